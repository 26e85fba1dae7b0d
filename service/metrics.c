/* Sharded counters; see metrics.h. */
#include "service/metrics.h"

#include <stdatomic.h>

#include "service/base/mem.h"
#include "service/base/mutex.h"
#include "service/http/loop.h"

#include "service/base/banned.h"

static const int statuses[] = {200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 406,
			       409, 410, 412, 413, 414, 415, 422, 429, 431, 500, 503, 504};
#define N_STATUSES (ARRAY_LEN(statuses) + 1) /* and one for any other */

/* Upper bounds in microseconds. */
static const int64_t bounds_us[] = {50,    100,    250,    500,    1000,    2500,    5000,    10000,   25000,
				    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
#define N_BOUNDS (ARRAY_LEN(bounds_us) + 1)

enum phase { PHASE_QUEUE, PHASE_LEASE, PHASE_DATABASE, PHASE_ENCODE, N_PHASES };
static const char *const phase_names[] = {"queue", "lease", "database", "encode"};

struct histogram {
	atomic_uint_least64_t buckets[N_BOUNDS];
	atomic_uint_least64_t sum_ns;
};

struct shard {
	struct shard *next;
	atomic_uint_least64_t counters[N_METRICS];
	struct histogram phases[N_PHASES];
	atomic_uint_least64_t *requests; /* (n_routes + 1) * N_STATUSES */
	struct histogram *latency;       /* n_routes + 1 */
};

static struct {
	const struct route_table *routes;
	struct mutex lock;
	struct shard *shards;
	atomic_uint generation; /* of metrics_init: a thread's old shard is not used again */
} all;

static _Thread_local struct shard *mine;
static _Thread_local unsigned mine_generation;

void metrics_init(const struct route_table *routes)
{
	all.routes = routes;
	mutex_init(&all.lock);
	atomic_fetch_add(&all.generation, 1);
}

void metrics_done(void)
{
	while (all.shards != NULL) {
		struct shard *s = all.shards;
		all.shards = s->next;
		mem_free(s->requests);
		mem_free(s->latency);
		mem_free(s);
	}
	all.routes = NULL;
}

static struct shard *shard(void)
{
	unsigned generation = atomic_load_explicit(&all.generation, memory_order_relaxed);
	if (LIKELY(mine != NULL && mine_generation == generation))
		return mine;
	if (all.routes == NULL)
		return NULL;
	struct shard *s = mem_alloc(sizeof(*s));
	s->requests = mem_array((all.routes->n_routes + 1) * N_STATUSES, sizeof(*s->requests));
	s->latency = mem_array(all.routes->n_routes + 1, sizeof(*s->latency));
	mutex_lock(&all.lock);
	s->next = all.shards;
	all.shards = s;
	mutex_unlock(&all.lock);
	mine = s;
	mine_generation = generation;
	return s;
}

static void bump(atomic_uint_least64_t *counter, uint64_t n)
{
	/* one writer a shard: no locked instruction is needed, only that readers see whole values */
	uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, v + n, memory_order_relaxed);
}

static void observe(struct histogram *h, int64_t ns)
{
	size_t i = 0;
	int64_t us = ns / 1000;
	while (i < ARRAY_LEN(bounds_us) && us > bounds_us[i])
		i++;
	bump(&h->buckets[i], 1);
	bump(&h->sum_ns, ns > 0 ? (uint64_t)ns : 0);
}

void metrics_add(enum metric m, uint64_t n)
{
	struct shard *s = shard();
	if (s != NULL)
		bump(&s->counters[m], n);
}

void metrics_request(const struct route_def *route, int status, const struct metrics_phases *p)
{
	struct shard *s = shard();
	if (s == NULL)
		return;
	const uintptr_t at = ((uintptr_t)route - (uintptr_t)all.routes->routes) / sizeof(*route);
	const size_t r = at < all.routes->n_routes ? at : all.routes->n_routes;
	size_t st = 0;
	while (st < ARRAY_LEN(statuses) && statuses[st] != status)
		st++;
	bump(&s->requests[r * N_STATUSES + st], 1);
	observe(&s->latency[r], p->queue + p->lease + p->database + p->encode);
	observe(&s->phases[PHASE_QUEUE], p->queue);
	observe(&s->phases[PHASE_LEASE], p->lease);
	observe(&s->phases[PHASE_DATABASE], p->database);
	observe(&s->phases[PHASE_ENCODE], p->encode);
}

/* ---- the text ---- */

void metrics_family(struct strbuf *b, const char *name, const char *type, const char *help)
{
	strbuf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Over all shards; i: route * N_STATUSES + status. */
static uint64_t sum_requests(size_t i)
{
	uint64_t n = 0;
	for (struct shard *s = all.shards; s != NULL; s = s->next)
		n += atomic_load_explicit(&s->requests[i], memory_order_relaxed);
	return n;
}

/* Adds the histogram of every shard: latency of route r, or (r = SIZE_MAX) the phase ph. */
static void write_histogram(struct strbuf *b, const char *name, const char *label, const char *value, size_t r,
			    size_t ph)
{
	uint64_t cumulative = 0, sum = 0, counts[N_BOUNDS] = {0};
	for (struct shard *s = all.shards; s != NULL; s = s->next) {
		struct histogram *h = r != SIZE_MAX ? &s->latency[r] : &s->phases[ph];
		for (size_t i = 0; i < N_BOUNDS; i++)
			counts[i] += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		sum += atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
	}
	uint64_t total = 0;
	for (size_t i = 0; i < N_BOUNDS; i++)
		total += counts[i];
	if (total == 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(bounds_us); i++) {
		cumulative += counts[i];
		strbuf_printf(b, "%s_bucket{%s=\"%s\",le=\"%g\"} %llu\n", name, label, value,
			      (double)bounds_us[i] / 1e6, (unsigned long long)cumulative);
	}
	strbuf_printf(b, "%s_bucket{%s=\"%s\",le=\"+Inf\"} %llu\n", name, label, value, (unsigned long long)total);
	strbuf_printf(b, "%s_sum{%s=\"%s\"} %.9f\n", name, label, value, (double)sum / 1e9);
	strbuf_printf(b, "%s_count{%s=\"%s\"} %llu\n", name, label, value, (unsigned long long)total);
}

static const char *route_name(size_t r)
{
	return r < all.routes->n_routes ? all.routes->routes[r].operation_id : "none";
}

static void write_requests(struct strbuf *b)
{
	metrics_family(b, "ferrod_requests_total", "counter", "Requests answered, by operation and status.");
	for (size_t r = 0; r <= all.routes->n_routes; r++) {
		for (size_t st = 0; st < N_STATUSES; st++) {
			uint64_t n = sum_requests(r * N_STATUSES + st);
			if (n == 0)
				continue;
			strbuf_printf(b, "ferrod_requests_total{operation=\"%s\",status=\"", route_name(r));
			if (st < ARRAY_LEN(statuses))
				strbuf_printf(b, "%d\"} %llu\n", statuses[st], (unsigned long long)n);
			else
				strbuf_printf(b, "other\"} %llu\n", (unsigned long long)n);
		}
	}
}

static void write_counters(struct strbuf *b)
{
	static const struct {
		const char *name, *help;
	} defs[] = {
#define METRICS_DEF(id, name, help) {name, help},
		METRICS_COUNTERS(METRICS_DEF)
#undef METRICS_DEF
	};
	for (size_t i = 0; i < N_METRICS; i++) {
		uint64_t n = 0;
		for (struct shard *s = all.shards; s != NULL; s = s->next)
			n += atomic_load_explicit(&s->counters[i], memory_order_relaxed);
		metrics_family(b, defs[i].name, "counter", defs[i].help);
		if (str_ends(str_z(defs[i].name), STR("_seconds_total")))
			strbuf_printf(b, "%s %llu.%03llu\n", defs[i].name, (unsigned long long)n / 1000,
				      (unsigned long long)n % 1000);
		else
			strbuf_printf(b, "%s %llu\n", defs[i].name, (unsigned long long)n);
	}
}

void metrics_write(struct strbuf *b)
{
	if (all.routes == NULL)
		return;
	mutex_lock(&all.lock);
	write_requests(b);
	metrics_family(b, "ferrod_request_duration_seconds", "histogram", "Time from head to answer, by operation.");
	for (size_t r = 0; r <= all.routes->n_routes; r++)
		write_histogram(b, "ferrod_request_duration_seconds", "operation", route_name(r), r, 0);
	metrics_family(b, "ferrod_phase_duration_seconds", "histogram", "Time of requests by phase.");
	for (size_t ph = 0; ph < N_PHASES; ph++)
		write_histogram(b, "ferrod_phase_duration_seconds", "phase", phase_names[ph], SIZE_MAX, ph);
	write_counters(b);
	mutex_unlock(&all.lock);
	metrics_family(b, "ferrod_loop_longest_turn_seconds", "gauge",
		       "Longest time in which an event loop looked for no events.");
	strbuf_printf(b, "ferrod_loop_longest_turn_seconds %.6f\n", (double)loop_longest_turn_ns() / 1e9);
	metrics_family(b, "ferrod_loop_longest_turn_cpu_seconds", "gauge",
		       "Most processor time of an event loop's turn, whatever else the machine did; 0: under 5 ms.");
	strbuf_printf(b, "ferrod_loop_longest_turn_cpu_seconds %.6f\n", (double)loop_longest_turn_cpu_ns() / 1e9);
}
