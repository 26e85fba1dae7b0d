/* Pools: life, leases, housekeeping. How it works: pool_internal.h. */
#include "store/connection/pool.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "store/connection/pool_internal.h"

#include "service/base/banned.h"

#define TIDY_AFTER_NS (2 * CLOCK_NS_PER_S)

/* ---- life ---- */

bool pool_create(const struct driver *driver, const struct dsn *dsn, const struct pool_config *cfg, struct pool **ret,
		 struct err *err)
{
	struct driver_db *db;
	struct pool *p;

	if (!driver->db_open(dsn, &db, err))
		return false;
	if (driver->db_set_pooler != NULL)
		driver->db_set_pooler(db, cfg->pooler);
	p = mem_alloc(sizeof(*p));
	p->refs = 1;
	p->driver = driver;
	p->dsn = dsn;
	p->settings = mem_alloc(sizeof(*p->settings));
	p->settings->cfg = *cfg;
	p->db = db;
	mutex_init(&p->lock);
	*ret = p;
	return true;
}

struct pool *pool_ref(struct pool *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void pool_unref(struct pool *p)
{
	if (p == NULL || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	pool_close(p);
	p->driver->db_close(p->db);
	mutex_done(&p->lock);
	for (struct pool_settings *s = p->settings, *before; s != NULL; s = before) {
		before = s->before;
		mem_free(s);
	}
	mem_free(p);
}

const struct driver *pool_driver(const struct pool *p)
{
	return p->driver;
}

enum pooler pool_pooler(const struct pool *p)
{
	return p->driver->db_pooler != NULL ? p->driver->db_pooler(p->db) : POOLER_NONE;
}

bool pool_groups_reads(const struct pool *p)
{
	return p->driver->run_batch != NULL && (p->driver->groups_reads == NULL || p->driver->groups_reads(p->db));
}

bool pool_plain(const struct pool *p, const struct stmt *s)
{
	return p->driver->plain == NULL || p->driver->plain(p->db, s);
}

enum raw_kind pool_raw_kind(const struct pool *p, const struct stmt *s)
{
	return p->driver->raw_kind != NULL ? p->driver->raw_kind(p->db, s) : RAW_UNKNOWN;
}

bool pool_groups_writes(const struct pool *p)
{
	return p->driver->groups_writes != NULL && p->driver->groups_writes(p->db);
}

/* Closes a list of connections that nobody else sees any more. */
static void close_all(struct pool *p, struct driver_conn *list)
{
	while (list != NULL) {
		struct driver_conn *next = list->next;

		p->driver->close(list);
		list = next;
	}
}

/* Lock held. */
static struct driver_conn *take_all_idle(struct pool *p)
{
	struct driver_conn *list = p->idle;

	p->stats.closed += (uint64_t)p->n_idle;
	p->idle = NULL;
	p->n_idle = 0;
	return list;
}

/* ---- leasing ---- */

static struct turn *turn_of(const struct pool *p)
{
	return p->driver->writer_turn != NULL ? p->driver->writer_turn(p->db) : NULL;
}

int64_t pool_wait_until(void *wait)
{
	const struct pool_wait *w = wait;
	const struct driver *driver = w->pool->driver;
	int64_t until;

	if (w->since_ns == 0 || driver->locked_until == NULL)
		return w->deadline_ns;
	(void)driver->locked_until(w->pool->db, w->since_ns, &until);
	return clock_min(w->deadline_ns, until);
}

/* Whoever has the turn, and a lock of others in its way, opens no connection for longer than it waits for that. */
static int64_t acquire_until(const struct pool *p, int64_t since_ns, int64_t deadline)
{
	int64_t until;

	if (since_ns == 0 || p->driver->locked_until == NULL || !p->driver->locked_until(p->db, since_ns, &until))
		return deadline;
	return clock_min(deadline, until);
}

static bool take_turn(struct pool *p, struct turn *t, int64_t since_ns, int64_t deadline, struct err *err)
{
	struct pool_wait wait = {.pool = p, .since_ns = since_ns, .deadline_ns = deadline};

	__atomic_add_fetch(&p->n_queued, 1, __ATOMIC_RELAXED);
	const enum wait_result r = turn_take_until(t, pool_wait_until, &wait);
	__atomic_sub_fetch(&p->n_queued, 1, __ATOMIC_RELAXED);

	return r == WAIT_READY || pool_gave_up(p, LEASE_WRITE, r, err);
}

bool pool_gave_up(struct pool *p, enum lease_mode mode, enum wait_result why, struct err *err)
{
	mutex_lock(&p->lock);
	p->stats.timeouts += why == WAIT_TIMEOUT;
	mutex_unlock(&p->lock);
	if (mode != LEASE_WRITE || p->driver->writer_turn == NULL)
		return pool_none_free(p, why, err);
	if (why == WAIT_TIMEOUT && p->driver->locked_out != NULL && p->driver->locked_out(p->db))
		return err_set(err, ERR_DATABASE_BUSY, "the database is locked by another user; try again");
	(void)err_set(err, ERR_POOL_TIMEOUT, "another request or transaction was writing to the database all the time");
	err->cancelled = why == WAIT_CANCELLED;
	return false;
}

bool pool_lease(struct pool *p, enum lease_mode mode, int64_t deadline, struct lease *ret, struct err *err)
{
	return pool_lease_since(p, mode, 0, deadline, ret, err);
}

bool pool_lease_since(struct pool *p, enum lease_mode mode, int64_t since_ns, int64_t deadline, struct lease *ret,
		      struct err *err)
{
	const int64_t start = clock_mono_ns();
	struct turn *turn = mode == LEASE_WRITE ? turn_of(p) : NULL;
	struct driver_conn *c = NULL;

	deadline = clock_min(deadline, clock_deadline(pool_cfg(p)->acquire_timeout_s));
	/* the turn first: nobody holds a connection while queueing for it */
	if (turn != NULL && !take_turn(p, turn, since_ns, deadline, err))
		return false;
	if (turn != NULL)
		deadline = acquire_until(p, since_ns, deadline);
	if (!pool_acquire(p, mode == LEASE_WRITE && turn == NULL ? LEASE_READ : mode, since_ns, deadline, &c, err)) {
		if (turn != NULL)
			turn_give(turn);
		mutex_lock(&p->lock);
		p->stats.timeouts += err->code == ERR_POOL_TIMEOUT && !err->cancelled;
		mutex_unlock(&p->lock);
		return false;
	}
	mutex_lock(&p->lock);
	p->stats.acquired++;
	p->stats.acquire_ns += (uint64_t)(clock_mono_ns() - start);
	mutex_unlock(&p->lock);
	c->since_ns = since_ns != 0 ? since_ns : start;
	c->has_turn = turn != NULL;
	c->role[0] = '\0';
	*ret = (struct lease){
		.pool = pool_ref(p), .conn = c, .writer = turn != NULL, .turn = turn, .since_ns = clock_mono_ns()};
	return true;
}

bool lease_upgrade(struct lease *l, int64_t deadline, struct err *err)
{
	struct pool *p = l->pool;
	struct turn *turn = l->writer ? NULL : turn_of(p);
	bool ok = true;

	if (turn == NULL)
		return true;
	if (!turn_try(turn)) {
		deadline = clock_min(deadline, clock_deadline(pool_cfg(p)->acquire_timeout_s));
		mutex_lock(&p->lock);
		p->n_upgrading++;
		pool_dispatch(p); /* the one who has the turn may wait for a connection */
		mutex_unlock(&p->lock);
		ok = take_turn(p, turn, l->conn->since_ns, deadline, err);
		mutex_lock(&p->lock);
		p->n_upgrading--;
		mutex_unlock(&p->lock);
	}
	if (ok) {
		l->writer = l->conn->has_turn = true;
		l->turn = turn;
	}
	return ok;
}

/* ---- beside it ---- */

void pool_refresh(struct pool *p)
{
	struct driver_conn *list;

	mutex_lock(&p->lock);
	p->generation++;
	list = take_all_idle(p);
	pool_dispatch(p);
	mutex_unlock(&p->lock);
	close_all(p, list);
}

/* The idle connections go when their database does not lie there any more: what does is not opened before. */
static void drop_stale(struct pool *p)
{
	bool stale;

	if (p->driver->stale == NULL)
		return;
	mutex_lock(&p->lock);
	stale = p->idle != NULL && p->driver->stale(p->idle);
	mutex_unlock(&p->lock);
	if (stale)
		pool_refresh(p);
}

bool pool_open_aside(struct pool *p, int64_t deadline, struct driver_conn **ret, struct err *err)
{
	drop_stale(p); /* what is idle there would be waited for */
	return p->driver->open(p->db, clock_min(deadline, clock_deadline(pool_cfg(p)->acquire_timeout_s)), ret, err);
}

void pool_close_aside(struct pool *p, struct driver_conn *c)
{
	fiber_shield();
	p->driver->close(c);
	fiber_unshield();
}

/* ---- giving back ---- */

/* What a client left behind is cleared. False: only closing clears it. */
static bool clean(struct pool *p, struct driver_conn *c)
{
	if (!c->broken && p->driver->tx_state(c) != TX_STATE_NONE)
		p->driver->rollback(c);
	if (c->broken)
		return false;
	if (c->session_dirty && !p->driver->reset(c, clock_mono_ns() + LIMIT_POOL_PING_NS))
		return false;
	c->session_dirty = false;
	return !c->broken && p->driver->tx_state(c) == TX_STATE_NONE;
}

/* From those that are leased to those that are idle, under the lock. */
static void put_idle(struct pool *p, struct driver_conn *c)
{
	p->n_leased--;
	c->next = p->idle;
	p->idle = c;
	p->n_idle++;
	pool_dispatch(p);
}

static void put(struct pool *p, struct driver_conn *c, bool ok, bool wrote)
{
	const int64_t now = clock_mono_ns();
	bool keep;

	mutex_lock(&p->lock);
	if (wrote)
		p->wrote = c;
	p->stats.cache_hits += c->cache_hits;
	p->stats.cache_misses += c->cache_misses;
	c->cache_hits = c->cache_misses = 0;
	if (c->broken)
		p->suspect_ns = now;
	keep = ok && !pool_outdated(p, c, now) &&
	       p->n_idle + p->n_leased + p->n_opening <= pool_cfg(p)->max_connections;
	if (keep) {
		c->idle_since_ns = now + 1; /* after a suspicion of this very moment */
		put_idle(p, c);
	}
	mutex_unlock(&p->lock);
	if (!keep)
		pool_discard(p, c);
}

void lease_rest(struct lease *l, bool resting)
{
	if (l->resting == resting)
		return;
	l->resting = resting;
	__atomic_add_fetch(&l->pool->n_resting, resting ? 1 : -1, __ATOMIC_RELAXED);
}

void lease_release(struct lease *l)
{
	struct pool *p = l->pool;
	struct driver_conn *c = l->conn;
	struct turn *turn = l->writer ? l->turn : NULL;
	const bool resting = l->resting;
	bool ok;

	if (p == NULL)
		return;
	*l = (struct lease){0};
	fiber_shield();
	ok = clean(p, c);
	c->has_turn = false;
	put(p, c, ok, turn != NULL); /* before the turn: the next writer is to find it */
	if (turn != NULL)
		turn_give(turn);
	if (resting) /* it was idle to others all the time */
		__atomic_sub_fetch(&p->n_resting, 1, __ATOMIC_RELAXED);
	fiber_unshield();
	pool_unref(p);
}

void pool_close(struct pool *p)
{
	struct driver_conn *list;
	struct err err;

	(void)pool_closed_error(&err);
	mutex_lock(&p->lock);
	p->closed = true;
	list = take_all_idle(p);
	pool_fail_waiters(p, &err);
	mutex_unlock(&p->lock);
	close_all(p, list);
}

void pool_reconfigure(struct pool *p, const struct pool_config *cfg)
{
	struct pool_settings *fresh = mem_alloc(sizeof(*fresh));

	fresh->cfg = *cfg;
	mutex_lock(&p->lock);
	fresh->before = p->settings;
	__atomic_store_n(&p->settings, fresh, __ATOMIC_RELEASE);
	mutex_unlock(&p->lock);
	if (fresh->before->cfg.pooler != cfg->pooler && p->driver->db_set_pooler != NULL)
		p->driver->db_set_pooler(p->db, cfg->pooler);
	pool_refresh(p);
}

/* ---- housekeeping ---- */

/* Takes out the idle that are past their time. The list is ordered by last use, so those that idled longest are its
 * end. */
static struct driver_conn *take_expired(struct pool *p, int64_t now)
{
	struct driver_conn **at = &p->idle, *out = NULL;
	int64_t position = 0;

	while (*at != NULL) {
		struct driver_conn *c = *at;
		const bool spare = position >= pool_cfg(p)->min_connections;
		const bool idle = pool_cfg(p)->idle_timeout_s > 0 &&
				  (double)(now - c->idle_since_ns) > pool_cfg(p)->idle_timeout_s * 1e9;

		if (!pool_outdated(p, c, now) && !(spare && idle)) {
			position++;
			at = &c->next;
			continue;
		}
		*at = c->next;
		c->next = out;
		out = c;
		p->n_idle--;
		p->stats.closed++;
	}
	return out;
}

static bool want_more(struct pool *p, bool *ret_retry)
{
	bool ret = false;

	mutex_lock(&p->lock);
	if (!p->closed && p->n_failures == 0 && p->n_idle + p->n_leased + p->n_opening < pool_cfg(p)->min_connections)
		ret = pool_take_slot(p, LEASE_READ, ret_retry);
	mutex_unlock(&p->lock);
	return ret;
}

/* Takes an idle connection out of a pool that nobody has used for a while, once after each use. */
static struct driver_conn *take_to_tidy(struct pool *p)
{
	const int64_t now = clock_mono_ns();
	struct driver_conn *c = NULL;

	mutex_lock(&p->lock);
	if (p->idle != NULL && p->n_leased == 0 && now - p->idle->idle_since_ns > TIDY_AFTER_NS &&
	    p->idle->idle_since_ns > p->tidied_ns) {
		c = p->idle;
		p->idle = c->next;
		p->n_idle--;
		p->n_leased++;
		p->tidied_ns = now;
	}
	mutex_unlock(&p->lock);
	return c;
}

/* It has not been used: its place and its time are as before. */
static void put_back(struct pool *p, struct driver_conn *c)
{
	bool keep;

	mutex_lock(&p->lock);
	keep = !pool_outdated(p, c, clock_mono_ns());
	if (keep)
		put_idle(p, c);
	mutex_unlock(&p->lock);
	if (!keep)
		pool_discard(p, c);
}

static void tidy(struct pool *p)
{
	struct driver_conn *c = p->driver->tidy != NULL ? take_to_tidy(p) : NULL;

	if (c == NULL)
		return;
	if (!p->driver->tidy(c)) {
		mutex_lock(&p->lock);
		p->tidied_ns = 0;
		mutex_unlock(&p->lock);
	}
	put_back(p, c);
}

void pool_tick(struct pool *p)
{
	struct driver_conn *list, *c;
	struct err err;
	bool retry;

	mutex_lock(&p->lock);
	list = take_expired(p, clock_mono_ns());
	mutex_unlock(&p->lock);
	close_all(p, list);
	drop_stale(p);
	tidy(p);
	while (want_more(p, &retry)) {
		if (!pool_open_slot(p, retry, 0, clock_mono_ns() + LIMIT_POOL_OPEN_NS, &c, &err))
			break;
		put(p, c, true, false);
	}
}

/* ---- figures ---- */

bool pool_contended(const struct pool *p)
{
	return __atomic_load_n(&p->n_waiting, __ATOMIC_RELAXED) > 0;
}

void pool_stats(struct pool *p, struct pool_stats *ret)
{
	mutex_lock(&p->lock);
	*ret = p->stats;
	ret->size = p->n_idle + p->n_leased + p->n_opening;
	/* whose answer has come finds nothing of it in use */
	const int64_t resting = __atomic_load_n(&p->n_resting, __ATOMIC_RELAXED);
	ret->in_use = p->n_leased > resting ? p->n_leased - resting : 0;
	ret->idle = p->n_idle + p->n_leased - ret->in_use;
	ret->waiting = p->n_waiting + __atomic_load_n(&p->n_queued, __ATOMIC_RELAXED);
	mutex_unlock(&p->lock);
}

void pool_server_version(struct pool *p, char buf[64])
{
	mutex_lock(&p->lock);
	memcpy(buf, p->version, sizeof(p->version));
	mutex_unlock(&p->lock);
}
