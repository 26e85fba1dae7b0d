/* Queues of quick reads and of quick writes, one of each per loop: only its own thread touches them, so there is
 * nothing to lock. */
#include "store/exec/lane.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/exec/lane_queue.h"
#include "store/exec/sharing.h"

#include "service/base/banned.h"

/* What tells quick statements from slow ones; the bounds of what they share are settings (sharing.h, limits.h). */
#define SLOW_NS (50 * CLOCK_NS_PER_MS) /* a round trip over that, and ITEM_NS a statement, has a slow one in it */
#define ITEM_NS (2 * CLOCK_NS_PER_MS)
#define SLOW_ALONE_NS (100 * CLOCK_NS_PER_MS) /* most of it may be the wait for a busy machine */
#define SUSPECTS 512                          /* a power of two */
#define JOINING 1024                          /* a power of two: clients' own statements that are known to */
#define SUSPECT_RUNS 8                        /* a suspect goes by itself so often, then it is quick again */
#define SLOW_RUNS 200                         /* the same for one that was slow by itself */
#define TRIED_RUNS 2                          /* quick runs by itself, before what may be slow goes along */
#define TRIED_NS (5 * CLOCK_NS_PER_MS)        /* a quick one is at most so long; one over UNTRIED_NS undoes them */
#define UNTRIED_NS (20 * CLOCK_NS_PER_MS)
#define TRIED_ROWS 1000

struct lane {
	struct lane_queue reads, writes;
	uint8_t suspects[SUSPECTS]; /* runs left outside the lane, by hash of the statement */
	uint8_t tried[SUSPECTS];    /* quick runs outside the lane, up to TRIED_RUNS, of what may be slow */
	uint64_t *joining;          /* JOINING hashes, by their last bits; NULL until there is one */
	struct lane_spare spare;
};

struct lane_set {
	struct lane *lanes[FIBER_LOOPS_MAX]; /* made by their loop on first use */
};

struct lane_set *lane_set_create(void)
{
	return mem_alloc(sizeof(struct lane_set));
}

void lane_set_destroy(struct lane_set *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < FIBER_LOOPS_MAX; i++) {
		if (s->lanes[i] == NULL)
			continue;
		lane_spare_done(&s->lanes[i]->spare);
		mem_free(s->lanes[i]->joining);
		mem_free(s->lanes[i]);
	}
	mem_free(s);
}

/* One round trip. */
struct trip {
	struct lane *lane;
	struct lane_queue *q;
	const struct driver *driver;
	struct lane_waiter *ws[LIMIT_SHARED_STATEMENTS]; /* NULL: answered and gone */
	struct batch_item *items[LIMIT_SHARED_STATEMENTS];
	size_t n;
	int64_t deadline;                     /* of the leader, who stays to the end */
	int64_t last_ns;                      /* when the one before was done */
	int64_t waits[LIMIT_PIPELINE_WRITES]; /* for the answers of those behind the first, in order of size */
	size_t n_waits;
};

static struct lane *lane_here(struct lane_set *s, const struct pool *p)
{
	const int i = fiber_loop_number();

	if (i < 0)
		return NULL;
	if (s->lanes[i] == NULL) {
		struct lane *l = mem_alloc(sizeof(*l));
		l->reads.n_leaders_max = LANE_LEADERS;
		l->writes.writes = true;
		l->writes.pipelines = pool_driver(p)->many_writers;
		l->writes.n_connections = (size_t)pool_get_config(p)->max_connections;
		l->writes.n_leaders_max = 1; /* a database has one writer at a time */
		if (l->writes.pipelines)
			lane_learn_commit(&l->writes, 0);
		__atomic_store_n(&s->lanes[i], l, __ATOMIC_RELEASE);
	}
	return s->lanes[i];
}

static uint8_t *suspect_of(struct lane *l, const struct stmt *stmt)
{
	return &l->suspects[stmt_hash(stmt) & (SUSPECTS - 1)];
}

/* Is it known to write, and to bear company? The driver looks again when it prepares it there. */
static bool joins(const struct lane *l, const struct stmt *stmt)
{
	const uint64_t hash = stmt_hash(stmt);

	return l->joining != NULL && l->joining[hash & (JOINING - 1)] == hash;
}

void lane_learn_joins(struct lane_set *s, struct pool *p, const struct stmt *stmt)
{
	const bool shares = pool_driver(p)->part_begin != NULL && pool_groups_writes(p);
	struct lane *l = shares && stmt->cache && fiber_current() != NULL ? lane_here(s, p) : NULL;

	if (l == NULL)
		return;
	if (l->joining == NULL)
		l->joining = mem_alloc(JOINING * sizeof(*l->joining));
	l->joining[stmt_hash(stmt) & (JOINING - 1)] = stmt_hash(stmt);
}

/* Of a statement that could go with others: does it go by itself for a while? */
static bool is_suspect(struct lane *l, const struct stmt *stmt)
{
	uint8_t *left = suspect_of(l, stmt);

	if (*left == 0)
		return false;
	(*left)--;
	return true;
}

static bool raw_fits(struct lane_set *s, struct pool *p, const struct stmt *stmt)
{
	struct lane *l = pool_groups_writes(p) ? lane_here(s, p) : NULL;

	return l != NULL && joins(l, stmt) && !is_suspect(l, stmt);
}

static bool was_tried(struct lane_set *s, const struct pool *p, const struct stmt *stmt)
{
	const struct lane *l = lane_here(s, p);

	return l != NULL && l->tried[stmt_hash(stmt) & (SUSPECTS - 1)] >= TRIED_RUNS;
}

bool lane_fits(struct lane_set *s, struct pool *p, const struct stmt *stmt)
{
	if (!stmt->cache || fiber_current() == NULL)
		return false;
	if (stmt->raw)
		return raw_fits(s, p, stmt);
	if (stmt->access == STMT_UNKNOWN || (!stmt->quick && !(stmt->small && was_tried(s, p, stmt))))
		return false;
	const struct driver *driver = pool_driver(p);
	if (stmt->access == STMT_READ ? !pool_groups_reads(p) && driver->snapshot_open == NULL : !pool_groups_writes(p))
		return false;
	if (!pool_plain(p, stmt)) /* not known yet, or to be put back afterwards */
		return false;
	struct lane *l = lane_here(s, p);
	return l != NULL && !is_suspect(l, stmt);
}

bool lane_fits_raw(struct lane_set *s, struct pool *p, const struct stmt *raw, struct stmt *ret)
{
	struct lane *l = raw->cache && fiber_current() != NULL ? lane_here(s, p) : NULL;

	if (l == NULL || !was_tried(s, p, raw) || (!pool_groups_reads(p) && pool_driver(p)->snapshot_open == NULL) ||
	    pool_raw_kind(p, raw) != RAW_SHARES || is_suspect(l, raw))
		return false;
	*ret = *raw;
	ret->access = STMT_READ;
	ret->quick = true;
	return true;
}

/* How quick a run by itself was of what may be slow. */
static void try_out(struct lane *l, const struct stmt *stmt, int64_t ns, int64_t rows)
{
	uint8_t *tried = &l->tried[stmt_hash(stmt) & (SUSPECTS - 1)];

	if (ns > UNTRIED_NS || rows > TRIED_ROWS)
		*tried = 0;
	else if (ns <= TRIED_NS && *tried < TRIED_RUNS)
		(*tried)++;
}

void lane_learn(struct lane_set *s, struct pool *p, const struct stmt *stmt, int64_t ns, int64_t rows)
{
	const bool may_go = stmt->quick || stmt->raw || stmt->small;
	struct lane *l = may_go && fiber_current() != NULL ? lane_here(s, p) : NULL;

	if (l == NULL)
		return;
	if (ns > SLOW_ALONE_NS)
		*suspect_of(l, stmt) = SLOW_RUNS;
	if (!stmt->quick)
		try_out(l, stmt, ns, rows);
}

/* Counters have one writer, this loop, and readers anywhere. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static void board(struct trip *t, struct lane_waiter *w)
{
	lane_queue_remove(t->q, w);
	w->taken = true;
	w->trip = t;
	w->place = t->n;
	t->ws[t->n] = w;
	t->items[t->n++] = &w->item;
}

/* Who travels along. In a pipeline each waits for those before it, so it is only as long as it has to be: what waits is
 * spread over the connections that may still be had. And a leader's own statement stays with it: its answer must not
 * have to wait for a connection that it needs no more. */
static void take(struct trip *t, struct lane_waiter *self)
{
	struct lane_queue *q = t->q;
	size_t max = LIMIT_SHARED_STATEMENTS;

	if (q->pipelines) {
		max = lane_queue_share(q);
		max = max < LIMIT_PIPELINE_WRITES ? max : LIMIT_PIPELINE_WRITES;
		board(t, self);
	}
	lane_end_boarding(q, self);
	for (struct lane_waiter *w = q->head, *next; w != NULL && t->n < max; w = next) {
		next = w->next;
		if (!q->pipelines || !w->leading)
			board(t, w);
	}
}

/* ---- leading ---- */

static void finish(const struct trip *t, struct lane_waiter *w)
{
	w->finished = true;
	if (w->abandoned) {
		t->driver->batch_drop(&w->item);
		lane_waiter_destroy(&t->lane->spare, w);
	} else if (!w->leading) { /* who leads looks by itself */
		event_set(&w->done);
	}
}

static void suspect(struct lane *l, const struct lane_waiter *w, uint8_t runs)
{
	if (!w->abandoned) /* else its statement is gone */
		*suspect_of(l, w->item.stmt) = runs;
}

static void keep_wait(struct trip *t, int64_t ns)
{
	size_t i = t->n_waits++;

	for (; i > 0 && t->waits[i - 1] > ns; i--)
		t->waits[i] = t->waits[i - 1];
	t->waits[i] = ns;
}

/* One write of a pipeline has its outcome. */
static void answered(struct batch_item *item)
{
	struct lane_waiter *w = CONTAINER_OF(item, struct lane_waiter, item);
	struct trip *t = w->trip;
	const int64_t now = clock_mono_ns();

	if (item->slow || now - t->last_ns > SLOW_NS)
		suspect(t->lane, w, SLOW_RUNS);
	if (w->place > 0)
		keep_wait(t, now - t->last_ns);
	t->last_ns = t->q->progress_ns = now;
	t->ws[w->place] = NULL;
	add(&t->q->stats.again, item->again);
	finish(t, w);
}

/* Whose statements were slow, or may have been: they go by themselves for a while. */
static void suspect_all(const struct trip *t, int64_t ns)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->items[i]->slow)
			suspect(t->lane, t->ws[i], SLOW_RUNS);
		else if (!t->q->writes && ns > SLOW_NS + (int64_t)t->n * ITEM_NS && t->n > 1)
			suspect(t->lane, t->ws[i], SUSPECT_RUNS);
	}
}

/* The leader's own wait for a connection has ended without one. Of those behind it, each leads and waits in its turn.
 */
static void fail_self(struct lane_queue *q, struct lane_waiter *self, const struct err *err)
{
	lane_queue_remove(q, self);
	lane_end_boarding(q, self);
	self->taken = self->finished = self->item.failed = true;
	self->item.err = *err;
	self->item.err.outcome = ERR_OUTCOME_NOT_STARTED;
}

static void run(struct trip *t, struct driver_conn *c)
{
	const int64_t from = t->last_ns = clock_mono_ns();

	if (!t->q->writes) {
		const int64_t timeout = c->statement_timeout_ns > 0 ? c->statement_timeout_ns : sharing.trip_ns;
		t->driver->run_batch(c, t->items, t->n,
				     clock_min(t->deadline, from + clock_min(timeout, sharing.trip_ns)));
	} else {
		for (size_t i = 0; t->q->pipelines && i < t->n; i++)
			t->items[i]->done = answered;
		/* who came first may have waited for another trip's lock already */
		for (size_t i = 0; !t->q->pipelines && i < t->n; i++)
			c->since_ns = clock_min(c->since_ns, t->items[i]->since_ns);
		t->driver->run_writes(c, t->items, t->n, from + sharing.write_ns);
	}
	if (!t->q->pipelines)
		suspect_all(t, clock_mono_ns() - from);
	else if (t->n_waits > 0)
		lane_learn_commit(t->q, t->waits[t->n_waits / 2]);
	else if (t->last_ns - from < t->q->commit_ns) /* a whole round trip */
		lane_learn_commit(t->q, t->last_ns - from);
}

/* One round trip with everything that has gathered. */
static void round_trip(struct lane *l, struct lane_queue *q, struct pool *p, struct lane_waiter *self)
{
	struct trip t = {.lane = l, .q = q, .driver = pool_driver(p), .deadline = self->item.deadline_ns};
	const int64_t deadline = q->writes ? self->deadline : t.deadline;
	struct lease lease = {0};
	struct err err;

	/* what comes while the lease is waited for travels along */
	fiber_shield();
	const bool ok =
		pool_lease_since(p, q->writes ? LEASE_WRITE : LEASE_READ, self->item.since_ns, deadline, &lease, &err);
	if (!ok && (q->writes || err.code == ERR_POOL_TIMEOUT)) {
		if (!self->taken) /* by another leader, meanwhile */
			fail_self(q, self, &err);
		fiber_unshield();
		return;
	}
	take(&t, self);
	add(&q->stats.statements, t.n);
	add(&q->stats.round_trips, 1);
	if (ok && t.n > 0)
		run(&t, lease.conn);
	lease_release(&lease);
	fiber_unshield();
	for (size_t i = 0; i < t.n; i++) {
		struct lane_waiter *w = t.ws[i];

		if (w == NULL)
			continue;
		if (!ok) {
			w->item.failed = true;
			w->item.err = err;
		}
		add(&q->stats.again, w->item.again);
		finish(&t, w);
	}
}

/* Leads until its own statement is on its way: by this leader, or by the other while this one was parked. */
static void lead(struct lane *l, struct lane_queue *q, struct pool *p, struct lane_waiter *w)
{
	wait_yield(); /* the requests that came in the same turn gather first */
	while (!w->taken)
		round_trip(l, q, p, w);
	w->leading = false;
	lane_end_boarding(q, w);
	lane_pass_on(q);
}

/* ---- following ---- */

/* A write that was taken is on its way, whether or not its client is there: what became of it is worth knowing. In one
 * transaction with others it stays to the end, for the thread pool reads its statement. */
static bool stay(const struct lane_queue *q, struct lane_waiter *w)
{
	const int64_t deadline = q->pipelines ? w->item.deadline_ns : CLOCK_NEVER;

	fiber_shield();
	while (!w->finished && event_wait(&w->done, deadline) == WAIT_READY)
		;
	fiber_unshield();
	return w->finished;
}

/* w gives up before its statement is known to have run; it is freed, now or by its leader. */
static void leave(struct lane *l, struct lane_queue *q, struct lane_waiter *w)
{
	const bool chosen = w->lead; /* to lead, and gone before it knew */

	lane_end_boarding(q, w);
	if (w->taken) {
		w->abandoned = true;
	} else {
		lane_queue_remove(q, w);
		lane_waiter_destroy(&l->spare, w);
	}
	if (chosen)
		lane_pass_on(q);
}

/* Why one has left; `why`: how its wait ended. */
static void give_up_error(const struct lane_queue *q, struct pool *p, bool taken, enum wait_result why, struct err *err)
{
	if (!q->writes) {
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over before the statement ran");
	} else if (taken) {
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over while the statement ran");
		err->outcome = ERR_OUTCOME_UNKNOWN;
	} else {
		(void)pool_gave_up(p, LEASE_WRITE, why, err);
		err->outcome = ERR_OUTCOME_NOT_STARTED;
	}
	err->cancelled = why == WAIT_CANCELLED;
}

/* Until when w may wait for its leader, as far as is known now. */
static int64_t follows_until(const struct lane_queue *q, const struct pool *p, const struct lane_waiter *w)
{
	struct pool_wait wait = {.pool = p, .since_ns = w->item.since_ns, .deadline_ns = w->deadline};

	return q->writes && !w->taken ? pool_wait_until(&wait) : w->deadline;
}

/* Waits until w is finished, leading when asked to. False: gave up; w is freed or will be. */
static bool follow(struct lane *l, struct lane_queue *q, struct pool *p, struct lane_waiter *w, struct err *err)
{
	while (!w->finished) {
		const int64_t stuck = q->pipelines && !w->taken ? clock_mono_ns() + LANE_STUCK_NS : CLOCK_NEVER;
		const enum wait_result r = event_wait(&w->done, clock_min(follows_until(q, p, w), stuck));

		if (r == WAIT_READY) {
			if (!w->lead)
				continue; /* finished */
			w->lead = false;
			event_init(&w->done);
			lead(l, q, p, w);
		} else if (r == WAIT_TIMEOUT && lane_may_lead(q, w)) {
			lead(l, q, p, w);
		} else if (r == WAIT_TIMEOUT && clock_mono_ns() < follows_until(q, p, w)) {
			continue;
		} else if (!(q->writes && w->taken && stay(q, w))) {
			give_up_error(q, p, w->taken, r, err);
			leave(l, q, w);
			return false;
		}
	}
	return true;
}

/* A write waits as long as it would for the writer's turn or for a connection; its own time begins when it runs. */
static int64_t wait_deadline(struct pool *p, const struct stmt *stmt, int64_t deadline)
{
	if (stmt->access == STMT_WRITE)
		return clock_min(deadline, clock_deadline(pool_get_config(p)->acquire_timeout_s));
	const double seconds = pool_statement_timeout(p);

	return seconds > 0 ? clock_min(deadline, clock_deadline(seconds)) : deadline;
}

/* A pipeline is for what neither holds others up nor is hurt by being held up. */
static bool fits_pipeline(const struct pool *p, const struct stmt *stmt, int64_t deadline)
{
	const double seconds = pool_statement_timeout(p);
	size_t bytes = 0;

	for (size_t i = 0; i < stmt->n_params; i++) {
		const struct value *v = &stmt->params[i];

		if (v->kind == VALUE_TEXT || v->kind == VALUE_BYTES || v->kind == VALUE_JSON)
			bytes += v->u.s.len;
	}
	return bytes <= LIMIT_PIPELINE_BYTES && (seconds <= 0 || seconds * 1e9 >= (double)sharing.trip_ns) &&
	       deadline - clock_mono_ns() >= sharing.trip_ns;
}

/* A round trip of reads may take so long, and cutting it off costs the connection. */
static bool has_time(int64_t deadline)
{
	return deadline == CLOCK_NEVER || deadline - clock_mono_ns() >= sharing.trip_ns;
}

bool lane_run(struct lane_set *s, struct pool *p, const struct stmt *stmt, int64_t since_ns, int64_t deadline,
	      struct batch_item *ret, struct err *err)
{
	struct lane *l = lane_here(s, p);
	struct lane_queue *q = stmt->access == STMT_WRITE ? &l->writes : &l->reads;
	struct lane_waiter *w;

	memset(ret, 0, LANE_ITEM_BYTES);
	if (q->writes ? q->pipelines && !fits_pipeline(p, stmt, deadline) : !has_time(deadline)) {
		ret->again = true;
		return false;
	}
	w = lane_waiter_create(&l->spare);
	w->item.stmt = stmt;
	w->item.deadline_ns = deadline;
	w->deadline = wait_deadline(p, stmt, deadline);
	if (q->writes && !q->pipelines)
		w->item.since_ns = since_ns;
	event_init(&w->done);
	lane_queue_append(q, w);
	if (q->n_leaders < q->n_leaders_max) {
		lane_take_place(q, w);
		lead(l, q, p, w);
	}
	if (!follow(l, q, p, w, err))
		return false;
	memcpy(ret, &w->item, LANE_ITEM_BYTES);
	if (ret->failed)
		*err = w->item.err;
	lane_waiter_destroy(&l->spare, w);
	return !ret->failed && !ret->again;
}

static void add_stats(const struct lane_queue *q, struct lane_stats *ret)
{
	ret->statements += __atomic_load_n(&q->stats.statements, __ATOMIC_RELAXED);
	ret->round_trips += __atomic_load_n(&q->stats.round_trips, __ATOMIC_RELAXED);
	ret->again += __atomic_load_n(&q->stats.again, __ATOMIC_RELAXED);
}

void lane_stats(const struct lane_set *s, struct lane_stats *ret_reads, struct lane_stats *ret_writes)
{
	memset(ret_reads, 0, sizeof(*ret_reads));
	memset(ret_writes, 0, sizeof(*ret_writes));
	for (size_t i = 0; i < FIBER_LOOPS_MAX; i++) {
		const struct lane *l = __atomic_load_n(&s->lanes[i], __ATOMIC_ACQUIRE);

		if (l == NULL)
			continue;
		add_stats(&l->reads, ret_reads);
		add_stats(&l->writes, ret_writes);
	}
}
