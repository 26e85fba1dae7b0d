/* One reader per loop and pool: only the loop's own thread touches it, so there is nothing to lock. */
#include "store/exec/reader.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* While other loops wait for a connection, handing one over each turn would cost more than the reads do: a loop keeps
 * it so long if its reads follow each other so closely. */
#define KEEP_NS (CLOCK_NS_PER_MS / 2)
#define GAP_NS (CLOCK_NS_PER_MS / 20)

enum reader_state {
	READER_IDLE,    /* no lease */
	READER_LEASING, /* a fiber waits for one */
	READER_HELD     /* until the turn ends */
};

/* A fiber that waits for the one that is leasing. On its stack. */
struct waiting {
	struct event woken;
	bool due; /* counted in n_due */
	struct waiting *next;
};

struct reader {
	struct reader_set *set; /* a reference while the lease is held */
	struct lease lease;
	enum reader_state state;
	struct waiting *head, *tail;
	size_t n_due;    /* woken with the lease in hand, not come back yet */
	bool running;    /* a statement is on the connection */
	bool snapshot;   /* is open, since the epoch was that */
	bool outlived;   /* its turn has ended without it */
	bool ends;       /* at_end is asked for */
	int64_t used_ns; /* end of the last turn with a read */
	bool used;       /* in this turn */
	uint64_t epoch;
	struct loop_turn_end at_end;
	struct lane_stats stats;
};

struct reader_set {
	int refs;                                /* atomic */
	struct reader *readers[FIBER_LOOPS_MAX]; /* made by their loop on first use */
};

struct reader_set *reader_set_create(void)
{
	struct reader_set *s = mem_alloc(sizeof(*s));

	s->refs = 1;
	return s;
}

void reader_set_unref(struct reader_set *s)
{
	if (s == NULL || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < FIBER_LOOPS_MAX; i++)
		mem_free(s->readers[i]);
	mem_free(s);
}

/* Counters have one writer, this loop, and readers anywhere. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* ---- the turn's end ---- */

static void close_snapshot(struct reader *r)
{
	if (r->snapshot)
		r->lease.conn->driver->snapshot_close(r->lease.conn);
	r->snapshot = r->outlived = false;
}

static void ask_for_end(struct reader *r)
{
	struct fiber_loop *loop = fiber_thread_loop();

	if (r->ends)
		return;
	r->ends = true;
	loop->at_turn_end(loop, &r->at_end);
}

/* Worth keeping for the next turn, though others wait for it? */
static bool worth_keeping(struct reader *r)
{
	if (r->n_due > 0)
		return true;
	if (!pool_contended(r->lease.pool))
		return false;
	const int64_t now = clock_mono_ns();
	if (r->used)
		r->used_ns = now;
	return now - r->lease.since_ns < KEEP_NS && now - r->used_ns < GAP_NS;
}

static void on_turn_end(void *arg)
{
	struct reader *r = arg;
	struct lease lease = r->lease;

	r->ends = false;
	if (r->running) { /* parked; reader_leave asks again */
		r->outlived = true;
		return;
	}
	close_snapshot(r);
	const bool keep = worth_keeping(r);
	r->used = false;
	if (keep) {
		ask_for_end(r);
		return;
	}
	r->lease = (struct lease){0};
	r->state = READER_IDLE;
	lease_release(&lease);
	reader_set_unref(r->set); /* r may go with the last */
}

/* ---- leasing ---- */

static struct reader *reader_here(struct reader_set *s)
{
	const int i = fiber_loop_number();

	if (i < 0)
		return NULL;
	if (s->readers[i] == NULL) {
		struct reader *r = mem_alloc(sizeof(*r));
		r->set = s;
		r->at_end = (struct loop_turn_end){.fn = on_turn_end, .arg = r};
		__atomic_store_n(&s->readers[i], r, __ATOMIC_RELEASE);
	}
	return s->readers[i];
}

static void wake_first(struct reader *r, bool due)
{
	struct waiting *w = r->head;

	r->head = w->next;
	if (r->head == NULL)
		r->tail = NULL;
	w->due = due;
	r->n_due += due;
	event_set(&w->woken);
}

/* With a lease all who wait come; without one the first of them tries in its turn. */
static bool lease(struct reader *r, struct pool *p, int64_t since_ns, int64_t deadline, struct err *err)
{
	r->state = READER_LEASING;
	if (!pool_lease_since(p, LEASE_READ, since_ns, deadline, &r->lease, err)) {
		r->state = READER_IDLE;
		if (r->head != NULL)
			wake_first(r, false);
		return false;
	}
	r->state = READER_HELD;
	(void)__atomic_add_fetch(&r->set->refs, 1, __ATOMIC_RELAXED);
	ask_for_end(r);
	add(&r->stats.round_trips, 1);
	while (r->head != NULL)
		wake_first(r, true);
	return true;
}

static void withdraw(struct reader *r, const struct waiting *gone)
{
	struct waiting **at = &r->head, *last = NULL;

	while (*at != gone) {
		last = *at;
		at = &(*at)->next;
	}
	*at = gone->next;
	if (r->tail == gone)
		r->tail = last;
}

/* Waits for the fiber that is leasing: the lease is there then, or this fiber is to try. */
static bool wait_for_lease(struct reader *r, struct pool *p, int64_t deadline, struct err *err)
{
	struct waiting w = {.next = NULL};

	event_init(&w.woken);
	if (r->tail != NULL)
		r->tail->next = &w;
	else
		r->head = &w;
	r->tail = &w;
	const enum wait_result res = event_wait(&w.woken, deadline);
	if (res == WAIT_READY) {
		r->n_due -= w.due;
		return true;
	}
	withdraw(r, &w);
	return pool_gave_up(p, LEASE_READ, res, err);
}

/* Leads to READER_HELD. */
static bool get_lease(struct reader *r, struct pool *p, int64_t since_ns, int64_t deadline, int64_t *lease_ns,
		      struct err *err)
{
	const int64_t from = clock_mono_ns();
	bool ok = true;

	deadline = clock_min(deadline, clock_deadline(pool_get_config(p)->acquire_timeout_s));
	while (ok && r->state != READER_HELD)
		ok = r->state == READER_LEASING ? wait_for_lease(r, p, deadline, err)
						: lease(r, p, since_ns, deadline, err);
	*lease_ns += clock_mono_ns() - from;
	return ok;
}

/* ---- a read ---- */

/* False: the connection is of no more use. */
static bool renew_snapshot(struct reader *r)
{
	struct driver_conn *c = r->lease.conn;
	const uint64_t epoch = c->driver->write_epoch();

	if (!c->broken && !(r->snapshot && r->epoch == epoch)) {
		close_snapshot(r);
		if (r->used && c->driver->stale != NULL && c->driver->stale(c)) /* the lease has just looked */
			c->broken = true;
		r->epoch = epoch;
		r->snapshot = !c->broken && c->driver->snapshot_open(c);
	}
	return !c->broken;
}

bool reader_enter(struct reader_set *s, struct pool *p, int64_t since_ns, int64_t deadline, struct reader **ret,
		  struct driver_conn **ret_conn, int64_t *lease_ns, struct err *err)
{
	struct reader *r = reader_here(s);

	*ret = NULL;
	if (r == NULL || (r->state != READER_HELD && !get_lease(r, p, since_ns, deadline, lease_ns, err)))
		return r == NULL;
	if (r->running || !renew_snapshot(r))
		return true;
	r->running = r->used = true;
	lease_rest(&r->lease, false);
	add(&r->stats.statements, 1);
	*ret = r;
	*ret_conn = r->lease.conn;
	return true;
}

void reader_leave(struct reader *r)
{
	r->running = false;
	lease_rest(&r->lease, true);
	if (r->outlived) /* what other processes have committed since is not to be missed by the next */
		close_snapshot(r);
	ask_for_end(r);
}

void reader_stats(const struct reader_set *s, struct lane_stats *stats)
{
	for (size_t i = 0; i < FIBER_LOOPS_MAX; i++) {
		const struct reader *r = __atomic_load_n(&s->readers[i], __ATOMIC_ACQUIRE);

		if (r == NULL)
			continue;
		stats->statements += __atomic_load_n(&r->stats.statements, __ATOMIC_RELAXED);
		stats->round_trips += __atomic_load_n(&r->stats.round_trips, __ATOMIC_RELAXED);
	}
}
