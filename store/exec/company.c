/* One open transaction a loop, and who takes part in it. Only the loop's own thread touches any of it. */
#include "store/exec/company.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "store/exec/sharing.h"

#include "service/base/banned.h"

#define SUSPECTS 256     /* a power of two */
#define SUSPECT_RUNS 200 /* a unit that took too long goes alone so often */

/* Waits for its turn, or for the commit; on the stack of whoever waits. */
struct guest {
	struct event woken;
	struct guest *next;
	bool again; /* another party is to be looked for */
};

struct guests {
	struct guest *head, **tail;
};

struct party {
	struct pool *pool; /* borrowed */
	struct lease lease;
	struct guests waiting; /* for their turn */
	struct guests ran;     /* wait for the commit */
	size_t n_seats;        /* taken, by those who have left again, too */
	size_t n_inside;       /* who has come and not left: the last one frees it */
	int64_t began_ns;
	int64_t since_ns; /* of the oldest work in it: others' locks are waited for so long after it */
	bool begun;
	bool kept; /* something in it is to be committed */
	bool again;
	bool failed; /* the commit: err */
	struct err err;
};

struct company_set {
	struct party *open[FIBER_LOOPS_MAX]; /* that still takes guests; NULL: none */
	struct lane_stats stats[FIBER_LOOPS_MAX];
	uint8_t suspects[FIBER_LOOPS_MAX][SUSPECTS]; /* runs left, by kind */
};

struct company_set *company_set_create(void)
{
	return mem_alloc(sizeof(struct company_set));
}

void company_set_destroy(struct company_set *s)
{
	mem_free(s);
}

/* Figures have one writer, their loop, and readers anywhere. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static struct lane_stats *stats_here(struct company_set *s)
{
	return &s->stats[fiber_loop_number()];
}

void company_stats(const struct company_set *s, struct lane_stats *ret)
{
	*ret = (struct lane_stats){0};
	for (size_t i = 0; i < FIBER_LOOPS_MAX; i++) {
		ret->statements += __atomic_load_n(&s->stats[i].statements, __ATOMIC_RELAXED);
		ret->round_trips += __atomic_load_n(&s->stats[i].round_trips, __ATOMIC_RELAXED);
		ret->again += __atomic_load_n(&s->stats[i].again, __ATOMIC_RELAXED);
	}
}

static uint8_t *suspect_of(struct company_set *s, uint64_t kind)
{
	return &s->suspects[fiber_loop_number()][kind & (SUSPECTS - 1)];
}

bool company_fits(struct company_set *s, const struct pool *p, uint64_t kind)
{
	if (fiber_current() == NULL || fiber_loop_number() < 0 || pool_driver(p)->part_begin == NULL ||
	    !pool_groups_writes(p))
		return false;
	uint8_t *left = suspect_of(s, kind);
	if (*left == 0)
		return true;
	(*left)--;
	return false;
}

/* ---- guests ---- */

static void append(struct guests *l, struct guest *g)
{
	g->next = NULL;
	*l->tail = g;
	l->tail = &g->next;
}

static void drop(struct guests *l, const struct guest *g)
{
	struct guest **at = &l->head;

	while (*at != NULL && *at != g)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = g->next;
	if (l->tail == &g->next)
		l->tail = at;
}

static struct guest *first(struct guests *l)
{
	struct guest *g = l->head;

	if (g != NULL)
		drop(l, g);
	return g;
}

static void wake_all(struct guests *l, bool again)
{
	for (struct guest *g = first(l); g != NULL; g = first(l)) {
		g->again = again;
		event_set(&g->woken);
	}
}

/* ---- the party ---- */

static struct party *party_create(struct pool *pool)
{
	struct party *p = mem_alloc(sizeof(*p));

	p->pool = pool;
	p->waiting.tail = &p->waiting.head;
	p->ran.tail = &p->ran.head;
	return p;
}

static void party_left(struct party *p)
{
	if (--p->n_inside == 0)
		mem_free(p);
}

static struct party **open_here(struct company_set *s)
{
	return &s->open[fiber_loop_number()];
}

static void shut(struct company_set *s, const struct party *p)
{
	if (*open_here(s) == p)
		*open_here(s) = NULL;
}

/* Nobody comes any more, and those that still wait for their turn come in anew, elsewhere, in the same order. */
static void move_on(struct company_set *s, struct party *p)
{
	shut(s, p);
	wake_all(&p->waiting, true);
}

static bool begin(struct party *p, struct pool *pool, const struct company_guest *who, int64_t deadline,
		  struct err *err)
{
	wait_yield(); /* who comes in the same turn of the loop takes part */
	if (!pool_lease_since(pool, LEASE_WRITE, who->since_ns, deadline, &p->lease, err))
		return false;
	const struct driver *driver = p->lease.conn->driver;
	if (!driver->begin_write(p->lease.conn, who->deadline, err)) {
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		lease_release(&p->lease);
		return false;
	}
	p->since_ns = who->since_ns;
	p->began_ns = clock_mono_ns();
	p->begun = true;
	return true;
}

/* Its end, whatever it is, for all who have run. */
static void end(struct company_set *s, struct party *p)
{
	struct driver_conn *c = p->lease.conn;

	move_on(s, p);
	add(&stats_here(s)->round_trips, 1);
	c->since_ns = p->since_ns;
	if (c->driver->tx_state(c) != TX_STATE_OPEN) {
		p->again = true;
	} else if (!p->kept) {
		c->driver->rollback(c);
	} else if (!c->driver->commit(c, CLOCK_NEVER, &p->err)) {
		c->driver->rollback(c);
		p->failed = true;
		if (p->err.outcome == ERR_OUTCOME_NONE || p->err.outcome == ERR_OUTCOME_NOT_STARTED)
			p->err.outcome = ERR_OUTCOME_ROLLED_BACK;
	}
	lease_release(&p->lease);
	wake_all(&p->ran, p->again);
}

/* ---- coming ---- */

/* True: it is its turn. False with g->again: another party is to be looked for; else *err. */
static bool wait_for_turn(struct party *p, struct pool *pool, const struct company_guest *who, int64_t deadline,
			  struct guest *g, struct err *err)
{
	struct pool_wait wait = {.pool = pool, .since_ns = who->since_ns, .deadline_ns = deadline};

	event_init(&g->woken);
	append(&p->waiting, g);
	const enum wait_result r = event_wait_until(&g->woken, pool_wait_until, &wait);
	if (g->woken.set != 0)
		return !g->again;
	drop(&p->waiting, g);
	(void)pool_gave_up(pool, LEASE_WRITE, r, err);
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	err->cancelled = r == WAIT_CANCELLED;
	return false;
}

/* Takes part in the open party, or opens one. */
static bool come(struct company_set *s, struct pool *pool, const struct company_guest *who, int64_t deadline,
		 struct party **ret, bool *ret_again, struct err *err)
{
	struct party *p = *open_here(s);
	struct guest g = {0};
	bool ok;

	*ret_again = false;
	if (p != NULL && p->n_seats < LIMIT_SHARED_STATEMENTS &&
	    (!p->begun || clock_mono_ns() - p->began_ns < sharing.gather_ns)) {
		p->n_seats++;
		p->n_inside++;
		ok = wait_for_turn(p, pool, who, deadline, &g, err);
		*ret_again = g.again;
	} else {
		p = *open_here(s) = party_create(pool);
		p->n_seats = p->n_inside = 1;
		ok = begin(p, pool, who, deadline, err);
		if (!ok)
			move_on(s, p);
	}
	*ret = p;
	if (!ok)
		party_left(p);
	return ok;
}

bool company_enter(struct company_set *s, struct pool *p, const struct company_guest *who, struct company_seat *ret,
		   struct err *err)
{
	const int64_t turn_by = clock_min(who->deadline, clock_deadline(pool_get_config(p)->acquire_timeout_s));
	struct party *party;
	bool again;

	do {
		if (come(s, p, who, turn_by, &party, &again, err))
			break;
		if (!again)
			return false;
	} while (true);
	*ret = (struct company_seat){.set = s,
				     .party = party,
				     .alone = party->ran.head == NULL,
				     .lease = &party->lease,
				     .kind = who->kind,
				     .since_ns = who->since_ns,
				     .until_ns = clock_mono_ns() + sharing.unit_ns};
	if (party->lease.conn->driver->part_begin(party->lease.conn, who->deadline, err))
		return true;
	const struct err why = *err;
	(void)!company_leave(ret, false, err);
	*err = why;
	return false;
}

/* ---- going ---- */

/* Of one that has run: the next one's turn, or the end. */
static void pass_on(struct company_set *s, struct party *p)
{
	struct driver_conn *c = p->lease.conn;
	struct guest *g;

	if (c->driver->tx_state(c) == TX_STATE_OPEN && clock_mono_ns() - p->began_ns < sharing.gather_ns &&
	    (g = first(&p->waiting)) != NULL)
		event_set_soon(&g->woken);
	else
		end(s, p);
}

/* Always false. */
static bool undone(struct err *err)
{
	(void)err_set(err, ERR_SERIALIZATION_FAILURE,
		      "it was undone with the work of another that it shared a transaction with; send it again");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	err->again = ERR_AGAIN;
	return false;
}

/* Has anything that it saw of the others' not remained? */
static bool saw_what_went(const struct party *p, bool alone)
{
	return (p->again || p->failed) && !alone;
}

/* The commit met a lock, and was given up when the oldest work in it had waited long enough: the younger may go on. */
static bool may_wait_on(const struct party *p, int64_t since_ns)
{
	struct pool_wait wait = {.pool = p->pool, .since_ns = since_ns, .deadline_ns = CLOCK_NEVER};

	if (!p->failed || p->err.code != ERR_DATABASE_BUSY || since_ns <= p->since_ns)
		return false;
	const int64_t until = pool_wait_until(&wait);
	return until < CLOCK_NEVER && until > clock_mono_ns();
}

static bool verdict(const struct party *p, const struct company_seat *seat, bool keep, struct err *err)
{
	if (keep ? p->again || may_wait_on(p, seat->since_ns) : saw_what_went(p, seat->alone))
		return undone(err);
	if (p->failed && keep)
		*err = p->err;
	return !(p->failed && keep);
}

bool company_leave(struct company_seat *seat, bool keep, struct err *err)
{
	struct company_set *s = seat->set;
	struct party *p = seat->party;
	struct driver_conn *c = p->lease.conn;
	struct guest g = {0};
	const bool open = c->driver->tx_state(c) == TX_STATE_OPEN;
	bool ok = true;

	fiber_shield();
	add(&stats_here(s)->statements, 1);
	c->company = false;
	if (!open || seat->shy)
		*suspect_of(s, seat->kind) = SUSPECT_RUNS;
	if (open && keep)
		ok = c->driver->part_end(c, err);
	else if (open)
		c->driver->part_undo(c);
	if (!open && keep) { /* a statement of its own has ended all of it */
		(void)err_set(err, ERR_SQL_ERROR, "a statement ended the transaction that its unit runs in");
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
		ok = false;
	}
	keep = keep && ok;
	p->kept |= keep;
	if (keep)
		p->since_ns = clock_min(p->since_ns, seat->since_ns);
	event_init(&g.woken);
	const bool waits = open && (keep || !seat->alone);
	if (waits)
		append(&p->ran, &g);
	pass_on(s, p);
	if (waits)
		while (event_wait(&g.woken, CLOCK_NEVER) != WAIT_READY)
			;
	if (waits && ok)
		ok = verdict(p, seat, keep, err);
	else if (waits && saw_what_went(p, seat->alone)) /* its own failure was about what has not remained */
		ok = undone(err);
	add(&stats_here(s)->again, !ok && err->again != ERR_AGAIN_NO);
	party_left(p);
	fiber_unshield();
	*seat = (struct company_seat){0};
	return ok;
}
