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
#define BATCH_MAX 64
#define SLOW_NS (50 * CLOCK_NS_PER_MS) /* a round trip over that, and ITEM_NS a statement, has a slow one in it */
#define ITEM_NS (2 * CLOCK_NS_PER_MS)
#define SLOW_ALONE_NS (100 * CLOCK_NS_PER_MS) /* most of it may be the wait for a busy machine */
#define SUSPECTS 512                          /* a power of two */
#define SUSPECT_RUNS 8                        /* a suspect goes by itself so often, then it is quick again */
#define SLOW_RUNS 200                         /* the same for one that was slow by itself */
#define BATCH_NS (5 * CLOCK_NS_PER_S)         /* a round trip's time; what is not done by then goes by itself */

struct waiter {
	struct batch_item item;
	struct event done;
	int64_t deadline;
	bool taken;     /* by a leader: its statement is on its way */
	bool finished;  /* its round trip is over */
	bool abandoned; /* its request has left: the leader frees it */
	bool lead;      /* woken to lead, not because it is done */
	bool leading;   /* or about to: it holds one of the lane's places */
	struct err err; /* the lease failed */
	bool failed;
	struct waiter *next;
};

struct queue {
	struct waiter *head, *tail;
	size_t n_leaders, n_leaders_max;
	bool writes;
	struct lane_stats stats;
};

struct lane {
	struct queue reads, writes;
	uint8_t suspects[SUSPECTS]; /* runs left outside the lane, by hash of the statement */
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
	for (size_t i = 0; i < LOOPS_MAX; i++)
		mem_free(s->lanes[i]);
	mem_free(s);
}

static struct lane *lane_here(struct lane_set *s)
{
	const int i = loop_index();

	if (i >= LOOPS_MAX)
		return NULL;
	if (s->lanes[i] == NULL) {
		struct lane *l = mem_alloc(sizeof(*l));
		l->reads.n_leaders_max = LANE_LEADERS;
		l->writes.n_leaders_max = 1; /* a database has one writer at a time */
		l->writes.writes = true;
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
	struct lane *l = lane_here(s);
	if (l == NULL)
		return false;
	uint8_t *left = suspect_of(l, stmt);
	if (*left == 0)
		return true;
	(*left)--;
	return false;
}

void lane_learn(struct lane_set *s, const struct stmt *stmt, int64_t ns)
{
	struct lane *l = stmt->quick && fiber_current() != NULL ? lane_here(s) : NULL;

	if (l != NULL && ns > SLOW_ALONE_NS)
		*suspect_of(l, stmt) = SLOW_RUNS;
}

/* ---- the queue ---- */

static void append(struct queue *q, struct waiter *w)
{
	w->next = NULL;
	if (q->tail != NULL)
		q->tail->next = w;
	else
		q->head = w;
	q->tail = w;
}

static void unlink_waiter(struct queue *q, struct waiter *w)
{
	struct waiter **at = &q->head, *last = NULL;

	while (*at != w) {
		last = *at;
		at = &(*at)->next;
	}
	*at = w->next;
	if (q->tail == w)
		q->tail = last;
}

static size_t take(struct queue *q, struct waiter **out)
{
	size_t n = 0;

	while (q->head != NULL && n < BATCH_MAX) {
		struct waiter *w = q->head;
		q->head = w->next;
		if (q->head == NULL)
			q->tail = NULL;
		w->taken = true;
		out[n++] = w;
	}
	return n;
}

/* ---- leading ---- */

static void hand_out(const struct driver *driver, struct waiter *const *ws, size_t n, const struct waiter *self)
{
	for (size_t i = 0; i < n; i++) {
		struct waiter *w = ws[i];
		w->finished = true;
		if (w == self)
			continue;
		if (w->abandoned) {
			driver->batch_drop(&w->item);
			mem_free(w);
		} else {
			event_set(&w->done);
		}
	}
}

/* Whose statements were slow, or may have been: they go by themselves for a while. */
static void suspect(struct lane *l, const struct queue *q, struct waiter *const *ws, size_t n, int64_t ns)
{
	for (size_t i = 0; i < n; i++) {
		if (ws[i]->abandoned) /* its statement is gone */
			continue;
		if (ws[i]->item.slow)
			*suspect_of(l, ws[i]->item.stmt) = SLOW_RUNS;
		else if (!q->writes && ns > SLOW_NS + (int64_t)n * ITEM_NS && n > 1)
			*suspect_of(l, ws[i]->item.stmt) = SUSPECT_RUNS;
	}
}

/* The leader's own wait for a connection has ended without one. Of those behind it, each leads and waits in its turn.
 */
static void fail_self(struct queue *q, struct waiter *self, const struct err *err)
{
	unlink_waiter(q, self);
	self->taken = self->finished = self->failed = true;
	self->err = *err;
}

/* Counters have one writer, this loop, and readers anywhere. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* One round trip with everything that has gathered. */
static void round_trip(struct lane *l, struct queue *q, struct pool *p, struct waiter *self)
{
	const struct driver *driver = pool_driver(p);
	const int64_t deadline = q->writes ? self->deadline : CLOCK_NEVER;
	struct waiter *ws[BATCH_MAX];
	struct batch_item *items[BATCH_MAX];
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
	size_t n = take(q, ws);
	for (size_t i = 0; i < n; i++)
		items[i] = &ws[i]->item;
	if (ok && n > 0) {
		const int64_t from = clock_mono_ns();
		if (q->writes)
			driver->run_writes(lease.conn, items, n, from + BATCH_NS);
		else
			driver->run_batch(lease.conn, items, n, from + BATCH_NS);
		suspect(l, q, ws, n, clock_mono_ns() - from);
	}
	lease_release(&lease);
	fiber_unshield();
	for (size_t i = 0; i < n; i++) {
		ws[i]->failed = !ok;
		if (!ok)
			ws[i]->err = err;
		add(&q->stats.again, ws[i]->item.again);
	}
	add(&q->stats.statements, n);
	add(&q->stats.round_trips, 1);
	hand_out(driver, ws, n, self);
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
	q->n_leaders++;
	w->leading = true;
	w->lead = true;
	event_set(&w->done);
}

/* Leads until its own statement is on its way: by this leader, or by the other while this one was parked. */
static void lead(struct lane *l, struct queue *q, struct pool *p, struct waiter *w)
{
	wait_yield(); /* the requests that came in the same turn gather first */
	while (!w->taken)
		round_trip(l, q, p, w);
	pass_on(q);
}

/* ---- following ---- */

/* The thread pool reads the statement of a write that was taken: its request stays until that is over. */
static void stay(struct waiter *w)
{
	fiber_shield();
	while (!w->finished)
		(void)!event_wait(&w->done, CLOCK_NEVER);
	fiber_unshield();
}

/* w gives up before its statement is known to have run; it is freed, now or by its leader. */
static void leave(struct queue *q, struct waiter *w)
{
	const bool chosen = w->lead; /* to lead, and gone before it knew */

	if (w->taken) {
		w->abandoned = true;
	} else {
		unlink_waiter(q, w);
		mem_free(w);
	}
	if (chosen)
		pass_on(q);
}

/* Waits until w is finished, leading when asked to. False: gave up; w is freed or will be. */
static bool follow(struct lane *l, struct queue *q, struct pool *p, struct waiter *w, struct err *err)
{
	while (!w->finished) {
		const enum wait_result r = event_wait(&w->done, w->deadline);

		if (r == WAIT_READY) {
			if (!w->lead)
				continue; /* finished */
			w->lead = false;
			event_init(&w->done);
			lead(l, q, p, w);
		} else if (q->writes && w->taken) {
			stay(w);
		} else {
			leave(q, w);
			if (q->writes) {
				(void)err_set(
					err, ERR_POOL_TIMEOUT,
					"another request or transaction was writing to the database all the time");
				err->outcome = ERR_OUTCOME_NOT_STARTED;
			} else {
				(void)err_set(err, ERR_STATEMENT_TIMEOUT,
					      "the time allowed was over before the statement ran");
			}
			err->cancelled = r == WAIT_CANCELLED;
			return false;
		}
	}
	return true;
}

/* A write waits as long as it would for the writer's turn; its own time begins when it runs. */
static int64_t wait_deadline(struct pool *p, const struct stmt *stmt, int64_t deadline)
{
	if (stmt->access == STMT_WRITE)
		return clock_min(deadline, clock_deadline(pool_get_config(p)->acquire_timeout_s));
	const double seconds = pool_statement_timeout(p);

	return seconds > 0 ? clock_min(deadline, clock_deadline(seconds)) : deadline;
}

bool lane_run(struct lane_set *s, struct pool *p, const struct stmt *stmt, int64_t deadline, struct batch_item *ret,
	      struct err *err)
{
	struct lane *l = lane_here(s);
	struct queue *q = stmt->access == STMT_WRITE ? &l->writes : &l->reads;
	struct waiter *w = mem_alloc(sizeof(*w));

	w->item.stmt = stmt;
	w->deadline = wait_deadline(p, stmt, deadline);
	event_init(&w->done);
	append(q, w);
	if (q->n_leaders < q->n_leaders_max) {
		q->n_leaders++;
		w->leading = true;
		lead(l, q, p, w);
	}
	if (!follow(l, q, p, w, err)) {
		memset(ret, 0, sizeof(*ret));
		return false;
	}
	*ret = w->item;
	const bool failed = w->failed;
	if (failed) {
		*err = w->err;
		if (q->writes)
			err->outcome = ERR_OUTCOME_NOT_STARTED;
	} else if (ret->failed) {
		*err = ret->err;
	}
	mem_free(w);
	return !failed && !ret->failed && !ret->again;
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
