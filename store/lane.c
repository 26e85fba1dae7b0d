/* Queues of quick reads, one per loop: only its own thread touches it, so there is nothing to lock. */
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
#define SLOW_NS (20 * CLOCK_NS_PER_MS) /* a round trip over that has a slow statement in it */
#define SUSPECTS 512                   /* a power of two */
#define SUSPECT_RUNS 8                 /* a suspect goes by itself so often, then it is quick again */
#define SLOW_RUNS 200                  /* the same for one that was slow by itself */
#define BATCH_NS (5 * CLOCK_NS_PER_S)  /* a round trip's time; what is not done by then goes by itself */

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

struct lane {
	struct waiter *head, *tail;
	size_t n_leaders;
	uint64_t statements, round_trips, again;
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
	if (s->lanes[i] == NULL)
		__atomic_store_n(&s->lanes[i], mem_alloc(sizeof(struct lane)), __ATOMIC_RELEASE);
	return s->lanes[i];
}

static uint8_t *suspect_of(struct lane *l, const struct stmt *stmt)
{
	return &l->suspects[num_hash(stmt->sql) & (SUSPECTS - 1)];
}

bool lane_fits(struct lane_set *s, struct pool *p, const struct stmt *stmt)
{
	if (!stmt->quick || !stmt->cache || stmt->access != STMT_READ || fiber_current() == NULL ||
	    pool_driver(p)->run_batch == NULL)
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

	if (l != NULL && ns > SLOW_NS)
		*suspect_of(l, stmt) = SLOW_RUNS;
}

/* ---- the queue ---- */

static void append(struct lane *l, struct waiter *w)
{
	w->next = NULL;
	if (l->tail != NULL)
		l->tail->next = w;
	else
		l->head = w;
	l->tail = w;
}

static void unlink_waiter(struct lane *l, struct waiter *w)
{
	struct waiter **at = &l->head, *last = NULL;

	while (*at != w) {
		last = *at;
		at = &(*at)->next;
	}
	*at = w->next;
	if (l->tail == w)
		l->tail = last;
}

static size_t take(struct lane *l, struct waiter **out)
{
	size_t n = 0;

	while (l->head != NULL && n < BATCH_MAX) {
		struct waiter *w = l->head;
		l->head = w->next;
		if (l->head == NULL)
			l->tail = NULL;
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

/* One round trip with everything that has gathered. */
static void round_trip(struct lane *l, struct pool *p, const struct waiter *self)
{
	const struct driver *driver = pool_driver(p);
	struct waiter *ws[BATCH_MAX];
	struct batch_item *items[BATCH_MAX];
	struct lease lease = {0};
	struct err err;

	/* what comes while the lease is waited for travels along */
	fiber_shield();
	bool ok = pool_lease(p, LEASE_READ, CLOCK_NEVER, &lease, &err);
	size_t n = take(l, ws);
	for (size_t i = 0; i < n; i++)
		items[i] = &ws[i]->item;
	if (ok && n > 0) {
		const int64_t from = clock_mono_ns();
		driver->run_batch(lease.conn, items, n, from + BATCH_NS);
		if (clock_mono_ns() - from > SLOW_NS && n > 1)
			for (size_t i = 0; i < n; i++)
				if (!ws[i]->abandoned)
					*suspect_of(l, ws[i]->item.stmt) = SUSPECT_RUNS;
	}
	lease_release(&lease);
	fiber_unshield();
	for (size_t i = 0; i < n; i++) {
		ws[i]->failed = !ok;
		if (!ok)
			ws[i]->err = err;
		l->again += ws[i]->item.again;
	}
	l->statements += n;
	l->round_trips++;
	hand_out(driver, ws, n, self);
}

/* Somebody is waiting and may lead next. */
static void pass_on(struct lane *l)
{
	struct waiter *w = l->head;
	l->n_leaders--;
	/* one that leads already would take the place and never give it back */
	while (w != NULL && w->leading)
		w = w->next;
	if (w == NULL || l->n_leaders >= LANE_LEADERS)
		return;
	l->n_leaders++;
	w->leading = true;
	w->lead = true;
	event_set(&w->done);
}

/* Leads until its own statement is on its way: by this leader, or by the other while this one was parked. */
static void lead(struct lane *l, struct pool *p, struct waiter *w)
{
	wait_yield(); /* the requests that came in the same turn gather first */
	while (!w->taken)
		round_trip(l, p, w);
	pass_on(l);
}

/* ---- following ---- */

/* Waits until w is finished, leading when asked to. False: gave up; w is freed or will be. */
static bool follow(struct lane *l, struct pool *p, struct waiter *w, struct err *err)
{
	while (!w->finished) {
		enum wait_result r = event_wait(&w->done, w->deadline);
		if (r == WAIT_READY) {
			if (!w->lead)
				continue; /* finished */
			w->lead = false;
			event_init(&w->done);
			lead(l, p, w);
			continue;
		}
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over before the statement ran");
		err->cancelled = r == WAIT_CANCELLED;
		const bool chosen = w->lead; /* and gone before it knew */
		if (w->taken) {
			w->abandoned = true;
		} else {
			unlink_waiter(l, w);
			mem_free(w);
		}
		if (chosen)
			pass_on(l);
		return false;
	}
	return true;
}

bool lane_run(struct lane_set *s, struct pool *p, const struct stmt *stmt, int64_t deadline, struct batch_item *ret,
	      struct err *err)
{
	struct lane *l = lane_here(s);
	struct waiter *w = mem_alloc(sizeof(*w));

	w->item.stmt = stmt;
	w->deadline = deadline;
	event_init(&w->done);
	append(l, w);
	if (l->n_leaders < LANE_LEADERS) {
		l->n_leaders++;
		w->leading = true;
		lead(l, p, w);
	}
	if (!follow(l, p, w, err)) {
		memset(ret, 0, sizeof(*ret));
		return false;
	}
	*ret = w->item;
	const bool failed = w->failed;
	if (failed)
		*err = w->err;
	else if (ret->failed)
		*err = ret->err;
	mem_free(w);
	return !failed && !ret->failed && !ret->again;
}

void lane_stats(const struct lane_set *s, struct lane_stats *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < LOOPS_MAX; i++) {
		const struct lane *l = __atomic_load_n(&s->lanes[i], __ATOMIC_ACQUIRE);
		if (l == NULL)
			continue;
		ret->statements += __atomic_load_n(&l->statements, __ATOMIC_RELAXED);
		ret->round_trips += __atomic_load_n(&l->round_trips, __ATOMIC_RELAXED);
		ret->again += __atomic_load_n(&l->again, __ATOMIC_RELAXED);
	}
}
