/* GET /metrics: the process's counters and the domain's gauges in Prometheus text. */
#include "handlers/unit/context.h"
#include "handlers/handlers.h"
#include "service/metrics.h"
#include "store/exec/company.h"
#include "store/exec/lane.h"
#include "store/query/query.h"
#include "store/exec/reader.h"

#include "service/base/banned.h"

struct pool_figure {
	const char *name, *type, *help;
	double (*get)(const struct pool_stats *s);
};

static double get_size(const struct pool_stats *s)
{
	return (double)s->size;
}
static double get_idle(const struct pool_stats *s)
{
	return (double)s->idle;
}
static double get_in_use(const struct pool_stats *s)
{
	return (double)s->in_use;
}
static double get_waiting(const struct pool_stats *s)
{
	return (double)s->waiting;
}
static double get_acquired(const struct pool_stats *s)
{
	return (double)s->acquired;
}
static double get_acquire_seconds(const struct pool_stats *s)
{
	return (double)s->acquire_ns / 1e9;
}
static double get_timeouts(const struct pool_stats *s)
{
	return (double)s->timeouts;
}
static double get_opened(const struct pool_stats *s)
{
	return (double)s->opened;
}
static double get_closed(const struct pool_stats *s)
{
	return (double)s->closed;
}
static double get_cache_hits(const struct pool_stats *s)
{
	return (double)s->cache_hits;
}
static double get_cache_misses(const struct pool_stats *s)
{
	return (double)s->cache_misses;
}

static const struct pool_figure pool_figures[] = {
	{"ferrod_pool_size", "gauge", "Open database connections.", get_size},
	{"ferrod_pool_idle", "gauge", "Database connections nobody uses.", get_idle},
	{"ferrod_pool_in_use", "gauge", "Leased database connections.", get_in_use},
	{"ferrod_pool_waiting", "gauge", "Requests waiting for a database connection.", get_waiting},
	{"ferrod_pool_acquired_total", "counter", "Leases given.", get_acquired},
	{"ferrod_pool_acquire_seconds_total", "counter", "Time spent waiting for leases.", get_acquire_seconds},
	{"ferrod_pool_timeouts_total", "counter", "Leases that timed out.", get_timeouts},
	{"ferrod_pool_opened_total", "counter", "Database connections opened.", get_opened},
	{"ferrod_pool_closed_total", "counter", "Database connections closed.", get_closed},
	{"ferrod_statement_cache_hits_total", "counter", "Statements found prepared.", get_cache_hits},
	{"ferrod_statement_cache_misses_total", "counter", "Statements prepared anew.", get_cache_misses},
};

static void write_pools(struct strbuf *b, struct connection **conns, const struct pool_stats *stats, size_t n)
{
	for (size_t f = 0; f < ARRAY_LEN(pool_figures); f++) {
		metrics_family(b, pool_figures[f].name, pool_figures[f].type, pool_figures[f].help);
		for (size_t i = 0; i < n; i++)
			strbuf_printf(b, "%s{connection=\"%.*s\"} %.15g\n", pool_figures[f].name,
				      STR_FMT(conns[i]->name), pool_figures[f].get(&stats[i]));
	}
}

static void write_sessions(struct strbuf *b, struct connection **conns, size_t n)
{
	metrics_family(b, "ferrod_sessions", "gauge", "Open sessions.");
	for (size_t i = 0; i < n; i++)
		strbuf_printf(b, "ferrod_sessions{connection=\"%.*s\"} %lld\n", STR_FMT(conns[i]->name),
			      (long long)__atomic_load_n(&conns[i]->n_sessions, __ATOMIC_RELAXED));
	metrics_family(b, "ferrod_transactions", "gauge", "Open transactions.");
	for (size_t i = 0; i < n; i++)
		strbuf_printf(b, "ferrod_transactions{connection=\"%.*s\"} %lld\n", STR_FMT(conns[i]->name),
			      (long long)__atomic_load_n(&conns[i]->n_transactions, __ATOMIC_RELAXED));
}

/* How many round trips and commits the quick lane saved: statements less round trips. */
static void write_lanes(struct strbuf *b, struct connection **conns, size_t n)
{
	static const struct {
		const char *name, *help;
	} figures[] = {
		{"ferrod_lane_statements_total",
		 "Statements, or whole units of work, that shared round trips or transactions."},
		{"ferrod_lane_round_trips_total", "Round trips, of SQLite writes transactions, that carried them."},
		{"ferrod_lane_again_total", "Those that were run again by themselves, or once more with others."},
	};
	for (size_t f = 0; f < ARRAY_LEN(figures); f++) {
		metrics_family(b, figures[f].name, "counter", figures[f].help);
		for (size_t i = 0; i < n; i++) {
			static const char *const kinds[] = {"read", "write", "unit"};
			struct lane_stats st[3];
			lane_stats(conns[i]->lanes, &st[0], &st[1]);
			reader_stats(conns[i]->readers, &st[0]);
			company_stats(conns[i]->companies, &st[2]);
			for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
				const uint64_t values[] = {st[k].statements, st[k].round_trips, st[k].again};
				strbuf_printf(b, "%s{connection=\"%.*s\",kind=\"%s\"} %llu\n", figures[f].name,
					      STR_FMT(conns[i]->name), kinds[k], (unsigned long long)values[f]);
			}
		}
	}
}

static void write_errors(struct strbuf *b, struct connection **conns, size_t n)
{
	metrics_family(b, "ferrod_database_errors_total", "counter", "Failed statements, by SQLSTATE class.");
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < CONNECTION_ERROR_CLASSES; k++) {
			uint64_t count = __atomic_load_n(&conns[i]->n_errors[k], __ATOMIC_RELAXED);
			if (count > 0)
				strbuf_printf(
					b, "ferrod_database_errors_total{connection=\"%.*s\",class=\"%s\"} %llu\n",
					STR_FMT(conns[i]->name), connection_error_class(k), (unsigned long long)count);
		}
	}
}

static void write_plans(struct strbuf *b)
{
	struct query_plan_stats s;
	query_plan_stats(&s);
	metrics_family(b, "ferrod_plan_cache_hits_total", "counter",
		       "Statements whose SQL was known from a query of the same shape.");
	strbuf_printf(b, "ferrod_plan_cache_hits_total %llu\n", (unsigned long long)s.hits);
	metrics_family(b, "ferrod_plan_cache_misses_total", "counter", "Statements whose SQL was written anew.");
	strbuf_printf(b, "ferrod_plan_cache_misses_total %llu\n", (unsigned long long)s.misses);
}

static void write_identity_maps(struct strbuf *b)
{
	struct imap_stats s;
	imap_totals(&s);
	metrics_family(b, "ferrod_identity_map_hits_total", "counter", "Records answered from an identity map.");
	strbuf_printf(b, "ferrod_identity_map_hits_total %llu\n", (unsigned long long)s.hits);
	metrics_family(b, "ferrod_identity_map_misses_total", "counter",
		       "Look-ups that an identity map could not answer.");
	strbuf_printf(b, "ferrod_identity_map_misses_total %llu\n", (unsigned long long)s.misses);
	metrics_family(b, "ferrod_identity_map_evictions_total", "counter", "Records dropped because a map was full.");
	strbuf_printf(b, "ferrod_identity_map_evictions_total %llu\n", (unsigned long long)s.evictions);
}

/* Those that the caller may know of come first; the rest is given back. */
static size_t visible(const struct request *req, struct connection **conns, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (principal_sees(req, conns[i]->name))
			conns[kept++] = conns[i];
		else
			connection_unref(conns[i]);
	}
	return kept;
}

bool handle_metrics(struct request *req, struct response *res, struct err *err)
{
	(void)err;
	struct str default_name;
	struct connection **conns;
	struct strbuf *b = &res->body;
	res->status = 200;
	res->content_type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(b);
	size_t n = connection_list(&request_app(req)->store->connections, &req->arena, &conns, &default_name);
	n = visible(req, conns, n);
	struct pool_stats *stats = arena_array(&req->arena, n + 1, sizeof(*stats));
	for (size_t i = 0; i < n; i++)
		pool_stats(conns[i]->pool, &stats[i]);
	write_pools(b, conns, stats, n);
	write_lanes(b, conns, n);
	write_sessions(b, conns, n);
	write_errors(b, conns, n);
	write_identity_maps(b);
	write_plans(b);
	for (size_t i = 0; i < n; i++)
		connection_unref(conns[i]);
	return true;
}
