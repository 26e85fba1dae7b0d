/* Queues of quick reads and of quick writes, one of each per loop: only its own thread touches them, so there is
 * nothing to lock. */
#include "store/lane.h"

#include <stdatomic.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

#define LOOPS_MAX 64
#ifdef __SANITIZE_ADDRESS__
#define SPARE_WAITERS 0 /* so that a use after the end shows */
#else
#define SPARE_WAITERS 64
#endif
/* Bytes of an item, and of a waiter, without the error. */
#define ITEM_BYTES offsetof(struct batch_item, err)
#define WAITER_BYTES (offsetof(struct waiter, item) + ITEM_BYTES)
#define BATCH_MAX 64
#define PIPELINE_MAX 8                       /* writes that are sent one behind the other */
#define PIPELINE_BYTES (64 * 1024)           /* the parameters of one of them */
#define PIPELINE_NS (2 * CLOCK_NS_PER_S)     /* one that has less time left goes by itself */
#define COMMIT_NS (CLOCK_NS_PER_MS / 10)     /* that a write waits for: worth one more connection */
#define COMMIT_NS_MAX (20 * CLOCK_NS_PER_MS) /* an odd one counts no more than that */
#define SLOW_NS (50 * CLOCK_NS_PER_MS)       /* a round trip over that, and ITEM_NS a statement, has a slow one in it */
#define ITEM_NS (2 * CLOCK_NS_PER_MS)
#define SLOW_ALONE_NS (100 * CLOCK_NS_PER_MS) /* most of it may be the wait for a busy machine */
#define SUSPECTS 512                          /* a power of two */
#define SUSPECT_RUNS 8                        /* a suspect goes by itself so often, then it is quick again */
#define SLOW_RUNS 200                         /* the same for one that was slow by itself */
#define BATCH_NS (5 * CLOCK_NS_PER_S)         /* a round trip's time; what is not done by then goes by itself */
#define STUCK_NS (20 * CLOCK_NS_PER_MS)       /* no write has been answered for so long: more may lead */

struct trip;

struct waiter {
	struct trip *trip; /* a pipeline of writes that it travels with */
	size_t place;      /* in it */
	struct event done;
	int64_t deadline;
	bool taken;     /* by a leader: its statement is on its way */
	bool finished;  /* its round trip is over */
	bool abandoned; /* its request has left: the leader frees it */
	bool lead;      /* woken to lead, not because it is done */
	bool leading;   /* or about to: it holds one of the lane's places */
	bool boarding;  /* leading, and has not decided yet who travels with it */
	struct waiter *next, *prev;
	struct batch_item item; /* last, for its error is large and only written when there is one */
};

struct queue {
	struct waiter *head, *tail;
	size_t n_waiting;
	size_t n_leaders, n_leaders_max;
	size_t n_boarding; /* of the leaders */
	bool writes;
	bool pipelines;       /* writes: each is its own transaction, several connections write at a time */
	size_t n_connections; /* of the pool; no more leaders than that */
	int64_t commit_ns;    /* pipelines: what a write waits for its answer there, smoothed */
	int64_t progress_ns;  /* pipelines: when one was answered */
	struct lane_stats stats;
};

struct lane {
	struct queue reads, writes;
	uint8_t suspects[SUSPECTS]; /* runs left outside the lane, by hash of the statement */
	struct waiter *spare;       /* linked by next */
	size_t n_spare;
};

struct lane_set {
	struct lane *lanes[LOOPS_MAX]; /* made by their loop on first use */
};

static int loop_index(void)
{
	static atomic_int next;
	static _Thread_local int mine = -1;

	if (mine < 0)
		mine = atomic_fetch_add(&next, 1);
	return mine;
}

struct lane_set *lane_set_create(void)
{
	return mem_alloc(sizeof(struct lane_set));
}

void lane_set_destroy(struct lane_set *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < LOOPS_MAX; i++) {
		struct waiter *next;

		for (struct waiter *w = s->lanes[i] != NULL ? s->lanes[i]->spare : NULL; w != NULL; w = next) {
			next = w->next;
			mem_free(w);
		}
		mem_free(s->lanes[i]);
	}
	mem_free(s);
}

static struct waiter *waiter_create(struct lane *l)
{
	struct waiter *w = l->spare;

	if (w == NULL)
		return mem_alloc(sizeof(*w));
	l->spare = w->next;
	l->n_spare--;
	memset(w, 0, WAITER_BYTES);
	return w;
}

static void waiter_destroy(struct lane *l, struct waiter *w)
{
	if (l->n_spare + 1 > SPARE_WAITERS) {
		mem_free(w);
		return;
	}
	w->next = l->spare;
	l->spare = w;
	l->n_spare++;
}

/* One round trip. */
struct trip {
	struct lane *lane;
	struct queue *q;
	const struct driver *driver;
	struct waiter *ws[BATCH_MAX]; /* NULL: answered and gone */
	struct batch_item *items[BATCH_MAX];
	size_t n;
	int64_t last_ns;             /* when the one before was done */
	int64_t waits[PIPELINE_MAX]; /* for the answers of those behind the first, in order of size */
	size_t n_waits;
};

/* Few connections with long pipelines cost the least while a write takes no longer than it computes; the longer it
 * waits for its commit (to reach a disk, a standby) the more of them side by side. That wait is about the median of a
 * pipeline: a busy machine makes few of them wait for long, a slow commit all. */
static void learn_commit(struct queue *q, int64_t ns)
{
	q->commit_ns += (clock_min(ns, COMMIT_NS_MAX) - q->commit_ns) / 8;
	q->n_leaders_max = (size_t)(q->commit_ns / COMMIT_NS);
	if (q->n_leaders_max < LANE_LEADERS)
		q->n_leaders_max = LANE_LEADERS;
	if (q->n_leaders_max > q->n_connections)
		q->n_leaders_max = q->n_connections;
}

static struct lane *lane_here(struct lane_set *s, const struct pool *p)
{
	const int i = loop_index();

	if (i >= LOOPS_MAX)
		return NULL;
	if (s->lanes[i] == NULL) {
		struct lane *l = mem_alloc(sizeof(*l));
		l->reads.n_leaders_max = LANE_LEADERS;
		l->writes.writes = true;
		l->writes.pipelines = pool_driver(p)->many_writers;
		l->writes.n_connections = (size_t)pool_get_config(p)->max_connections;
		l->writes.n_leaders_max = 1; /* a database has one writer at a time */
		if (l->writes.pipelines)
			learn_commit(&l->writes, 0);
		__atomic_store_n(&s->lanes[i], l, __ATOMIC_RELEASE);
	}
	return s->lanes[i];
}

static uint8_t *suspect_of(struct lane *l, const struct stmt *stmt)
{
	return &l->suspects[stmt_hash(stmt) & (SUSPECTS - 1)];
}

bool lane_fits(struct lane_set *s, struct pool *p, const struct stmt *stmt)
{
	if (!stmt->quick || !stmt->cache || stmt->access == STMT_UNKNOWN || fiber_current() == NULL)
		return false;
	const struct driver *driver = pool_driver(p);
	if (stmt->access == STMT_READ ? driver->run_batch == NULL && driver->snapshot_open == NULL
				      : !pool_groups_writes(p))
		return false;
	struct lane *l = lane_here(s, p);
	if (l == NULL)
		return false;
	uint8_t *left = suspect_of(l, stmt);
	if (*left == 0)
		return true;
	(*left)--;
	return false;
}

void lane_learn(struct lane_set *s, struct pool *p, const struct stmt *stmt, int64_t ns)
{
	struct lane *l = stmt->quick && fiber_current() != NULL ? lane_here(s, p) : NULL;

	if (l != NULL && ns > SLOW_ALONE_NS)
		*suspect_of(l, stmt) = SLOW_RUNS;
}

/* Counters have one writer, this loop, and readers anywhere. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* ---- the queue ---- */

static void append(struct queue *q, struct waiter *w)
{
	w->next = NULL;
	w->prev = q->tail;
	*(q->tail != NULL ? &q->tail->next : &q->head) = w;
	q->tail = w;
	q->n_waiting++;
}

static void unlink_waiter(struct queue *q, struct waiter *w)
{
	*(w->prev != NULL ? &w->prev->next : &q->head) = w->next;
	*(w->next != NULL ? &w->next->prev : &q->tail) = w->prev;
	q->n_waiting--;
}

/* Takes one of the lane's places. */
static void take_place(struct queue *q, struct waiter *w)
{
	w->leading = w->boarding = true;
	q->n_leaders++;
	q->n_boarding++;
}

static void end_boarding(struct queue *q, struct waiter *w)
{
	q->n_boarding -= w->boarding;
	w->boarding = false;
}

static void board(struct trip *t, struct waiter *w)
{
	unlink_waiter(t->q, w);
	w->taken = true;
	w->trip = t;
	w->place = t->n;
	t->ws[t->n] = w;
	t->items[t->n++] = &w->item;
}

/* Who travels along. In a pipeline each waits for those before it, so it is only as long as it has to be: what waits is
 * spread over the connections that may still be had. And a leader's own statement stays with it: its answer must not
 * have to wait for a connection that it needs no more. */
static void take(struct trip *t, struct waiter *self)
{
	struct queue *q = t->q;
	size_t max = BATCH_MAX;

	if (q->pipelines) {
		const size_t n_free = q->n_leaders < q->n_leaders_max ? q->n_leaders_max - q->n_leaders : 0;
		const size_t n_share = q->n_boarding + n_free;

		max = (q->n_waiting + n_share - 1) / n_share;
		max = max < PIPELINE_MAX ? max : PIPELINE_MAX;
		board(t, self);
	}
	end_boarding(q, self);
	for (struct waiter *w = q->head, *next; w != NULL && t->n < max; w = next) {
		next = w->next;
		if (!q->pipelines || !w->leading)
			board(t, w);
	}
}

/* ---- leading ---- */

static void finish(const struct trip *t, struct waiter *w)
{
	w->finished = true;
	if (w->abandoned) {
		t->driver->batch_drop(&w->item);
		waiter_destroy(t->lane, w);
	} else if (!w->leading) { /* who leads looks by itself */
		event_set(&w->done);
	}
}

static void suspect(struct lane *l, const struct waiter *w, uint8_t runs)
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
	struct waiter *w = CONTAINER_OF(item, struct waiter, item);
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
static void fail_self(struct queue *q, struct waiter *self, const struct err *err)
{
	unlink_waiter(q, self);
	end_boarding(q, self);
	self->taken = self->finished = self->item.failed = true;
	self->item.err = *err;
	self->item.err.outcome = ERR_OUTCOME_NOT_STARTED;
}

static void run(struct trip *t, struct driver_conn *c)
{
	const int64_t from = t->last_ns = clock_mono_ns();

	if (!t->q->writes) {
		t->driver->run_batch(c, t->items, t->n, from + BATCH_NS);
	} else {
		for (size_t i = 0; t->q->pipelines && i < t->n; i++)
			t->items[i]->done = answered;
		t->driver->run_writes(c, t->items, t->n, from + BATCH_NS);
	}
	if (!t->q->pipelines)
		suspect_all(t, clock_mono_ns() - from);
	else if (t->n_waits > 0)
		learn_commit(t->q, t->waits[t->n_waits / 2]);
	else if (t->last_ns - from < t->q->commit_ns) /* a whole round trip */
		learn_commit(t->q, t->last_ns - from);
}

/* One round trip with everything that has gathered. */
static void round_trip(struct lane *l, struct queue *q, struct pool *p, struct waiter *self)
{
	struct trip t = {.lane = l, .q = q, .driver = pool_driver(p)};
	const int64_t deadline = q->writes ? self->deadline : CLOCK_NEVER;
	struct lease lease = {0};
	struct err err;

	/* what comes while the lease is waited for travels along */
	fiber_shield();
	const bool ok = pool_lease(p, q->writes ? LEASE_WRITE : LEASE_READ, deadline, &lease, &err);
	if (!ok && q->writes) {
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
		struct waiter *w = t.ws[i];

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

/* Somebody is waiting and may lead next. */
static void pass_on(struct queue *q)
{
	struct waiter *w = q->head;

	q->n_leaders--;
	/* one that leads already would take the place and never give it back */
	while (w != NULL && w->leading)
		w = w->next;
	if (w == NULL || q->n_leaders >= q->n_leaders_max)
		return;
	take_place(q, w);
	w->lead = true;
	event_set(&w->done);
}

/* Leads until its own statement is on its way: by this leader, or by the other while this one was parked. */
static void lead(struct lane *l, struct queue *q, struct pool *p, struct waiter *w)
{
	wait_yield(); /* the requests that came in the same turn gather first */
	while (!w->taken)
		round_trip(l, q, p, w);
	w->leading = false;
	end_boarding(q, w);
	pass_on(q);
}

/* ---- following ---- */

/* A write that was taken is on its way, whether or not its client is there: what became of it is worth knowing. In one
 * transaction with others it stays to the end, for the thread pool reads its statement. */
static bool stay(const struct queue *q, struct waiter *w)
{
	const int64_t deadline = q->pipelines ? w->item.deadline_ns : CLOCK_NEVER;

	fiber_shield();
	while (!w->finished && event_wait(&w->done, deadline) == WAIT_READY)
		;
	fiber_unshield();
	return w->finished;
}

/* w gives up before its statement is known to have run; it is freed, now or by its leader. */
static void leave(struct lane *l, struct queue *q, struct waiter *w)
{
	const bool chosen = w->lead; /* to lead, and gone before it knew */

	end_boarding(q, w);
	if (w->taken) {
		w->abandoned = true;
	} else {
		unlink_waiter(q, w);
		waiter_destroy(l, w);
	}
	if (chosen)
		pass_on(q);
}

/* Why w has left. */
static void give_up_error(const struct queue *q, const struct pool *p, bool taken, struct err *err)
{
	if (!q->writes) {
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over before the statement ran");
		return;
	}
	if (taken) {
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over while the statement ran");
		err->outcome = ERR_OUTCOME_UNKNOWN;
		return;
	}
	if (q->pipelines)
		(void)err_set(err, ERR_POOL_TIMEOUT, "no connection became free in time: all %lld are in use",
			      (long long)pool_get_config(p)->max_connections);
	else
		(void)err_set(err, ERR_POOL_TIMEOUT,
			      "another request or transaction was writing to the database all the time");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
}

/* What w has been waiting for is stuck, and there are connections left: true, then w holds one of the lane's places. */
static bool may_lead(struct queue *q, struct waiter *w)
{
	const int64_t now = clock_mono_ns();

	if (!q->pipelines || w->taken || q->n_leaders >= q->n_connections || now >= w->deadline ||
	    now - q->progress_ns < STUCK_NS)
		return false;
	take_place(q, w);
	return true;
}

/* Waits until w is finished, leading when asked to. False: gave up; w is freed or will be. */
static bool follow(struct lane *l, struct queue *q, struct pool *p, struct waiter *w, struct err *err)
{
	while (!w->finished) {
		const int64_t stuck = q->pipelines && !w->taken ? clock_mono_ns() + STUCK_NS : CLOCK_NEVER;
		const enum wait_result r = event_wait(&w->done, clock_min(w->deadline, stuck));

		if (r == WAIT_READY) {
			if (!w->lead)
				continue; /* finished */
			w->lead = false;
			event_init(&w->done);
			lead(l, q, p, w);
		} else if (r == WAIT_TIMEOUT && may_lead(q, w)) {
			lead(l, q, p, w);
		} else if (r == WAIT_TIMEOUT && clock_mono_ns() < w->deadline) {
			continue;
		} else if (!(q->writes && w->taken && stay(q, w))) {
			give_up_error(q, p, w->taken, err);
			err->cancelled = r == WAIT_CANCELLED;
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
	return bytes <= PIPELINE_BYTES && (seconds <= 0 || seconds * 1e9 >= (double)PIPELINE_NS) &&
	       deadline - clock_mono_ns() >= PIPELINE_NS;
}

bool lane_run(struct lane_set *s, struct pool *p, const struct stmt *stmt, int64_t deadline, struct batch_item *ret,
	      struct err *err)
{
	struct lane *l = lane_here(s, p);
	struct queue *q = stmt->access == STMT_WRITE ? &l->writes : &l->reads;
	struct waiter *w;

	memset(ret, 0, ITEM_BYTES);
	if (q->pipelines && !fits_pipeline(p, stmt, deadline)) {
		ret->again = true;
		return false;
	}
	w = waiter_create(l);
	w->item.stmt = stmt;
	w->item.deadline_ns = deadline;
	w->deadline = wait_deadline(p, stmt, deadline);
	event_init(&w->done);
	append(q, w);
	if (q->n_leaders < q->n_leaders_max) {
		take_place(q, w);
		lead(l, q, p, w);
	}
	if (!follow(l, q, p, w, err))
		return false;
	memcpy(ret, &w->item, ITEM_BYTES);
	if (ret->failed)
		*err = w->item.err;
	waiter_destroy(l, w);
	return !ret->failed && !ret->again;
}

static void add_stats(const struct queue *q, struct lane_stats *ret)
{
	ret->statements += __atomic_load_n(&q->stats.statements, __ATOMIC_RELAXED);
	ret->round_trips += __atomic_load_n(&q->stats.round_trips, __ATOMIC_RELAXED);
	ret->again += __atomic_load_n(&q->stats.again, __ATOMIC_RELAXED);
}

void lane_stats(const struct lane_set *s, struct lane_stats *ret_reads, struct lane_stats *ret_writes)
{
	memset(ret_reads, 0, sizeof(*ret_reads));
	memset(ret_writes, 0, sizeof(*ret_writes));
	for (size_t i = 0; i < LOOPS_MAX; i++) {
		const struct lane *l = __atomic_load_n(&s->lanes[i], __ATOMIC_ACQUIRE);

		if (l == NULL)
			continue;
		add_stats(&l->reads, ret_reads);
		add_stats(&l->writes, ret_writes);
	}
}
