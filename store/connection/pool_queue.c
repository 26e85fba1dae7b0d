/* Who gets which connection: grants, waiters, opening with backoff. How it works: pool_internal.h. */
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "store/connection/pool_internal.h"

#include "service/base/banned.h"

#define BACKOFF_DOUBLINGS 6

enum grant { GRANT_NONE, GRANT_CONN, GRANT_OPEN, GRANT_FAILED };

struct pool_waiter {
	struct event woken;
	enum grant grant;
	struct driver_conn *conn; /* GRANT_CONN */
	struct err *err;          /* GRANT_FAILED: filled in */
	enum lease_mode mode;     /* LEASE_WRITE: holds the writer's turn */
	bool retry;               /* GRANT_OPEN: see pool_take_slot */
	struct pool_waiter *prev, *next;
};

/* ---- under the lock ---- */

/* Whoever writes gets the connection that wrote last, if it is there: what others commit empties a connection's page
 * cache. */
static struct driver_conn *take_idle(struct pool *p, enum lease_mode mode)
{
	struct driver_conn **at = &p->idle;
	struct driver_conn *c;

	while (mode == LEASE_WRITE && *at != NULL && *at != p->wrote)
		at = &(*at)->next;
	if (*at == NULL)
		at = &p->idle;
	c = *at;
	*at = c->next;
	c->next = NULL;
	p->n_idle--;
	p->n_leased++;
	return c;
}

static void remove_waiter(struct pool *p, struct pool_waiter *w)
{
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		p->head = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	else
		p->tail = w->prev;
	__atomic_store_n(&p->n_waiting, p->n_waiting - 1, __ATOMIC_RELAXED);
	p->n_probes -= w->mode == LEASE_PROBE;
}

static void wake(struct pool *p, struct pool_waiter *w, enum grant grant)
{
	remove_waiter(p, w);
	w->grant = grant;
	event_set(&w->woken);
}

/*
 * The writer of an SQLite database may open one connection more than allowed while another lease waits for its turn:
 * that lease keeps a connection until it gets the turn, the writer keeps the turn until it gets a connection.
 * A look at the database has one beyond either: whoever holds all connections does not make it look dead. What is too
 * many then is closed when it comes back.
 */
static bool may_open(const struct pool *p, enum lease_mode mode)
{
	const int64_t size = p->n_idle + p->n_leased + p->n_opening;
	const int64_t extra = mode != LEASE_READ && p->n_upgrading > 0 ? 1 : 0;

	if (p->n_failures > 0 && p->probing)
		return false;
	return size < pool_cfg(p)->max_connections + extra + (mode == LEASE_PROBE ? 1 : 0);
}

bool pool_take_slot(struct pool *p, enum lease_mode mode, bool *ret_retry)
{
	if (!may_open(p, mode))
		return false;
	p->n_opening++;
	*ret_retry = p->n_failures > 0;
	if (*ret_retry)
		p->probing = true;
	return true;
}

void pool_dispatch(struct pool *p)
{
	struct pool_waiter *w, *next;

	for (w = p->head; w != NULL && p->idle != NULL; w = next) {
		next = w->next;
		w->conn = take_idle(p, w->mode);
		wake(p, w, GRANT_CONN);
	}
	for (w = p->head; w != NULL; w = next) {
		next = w->next;
		if (pool_take_slot(p, w->mode, &w->retry))
			wake(p, w, GRANT_OPEN);
		else if (p->n_upgrading == 0 && p->n_probes == 0)
			break;
	}
}

void pool_fail_waiters(struct pool *p, const struct err *err)
{
	while (p->head != NULL) {
		*p->head->err = *err;
		wake(p, p->head, GRANT_FAILED);
	}
}

bool pool_closed_error(struct err *err)
{
	return err_set(err, ERR_CONNECTION_NOT_FOUND, "the connection was closed");
}

bool pool_outdated(const struct pool *p, const struct driver_conn *c, int64_t now)
{
	return p->closed || c->broken || c->generation != p->generation ||
	       (pool_cfg(p)->max_lifetime_s > 0 && (double)(now - c->opened_ns) > pool_cfg(p)->max_lifetime_s * 1e9);
}

/* ---- opening ---- */

static void opened(struct pool *p, struct driver_conn *c)
{
	const char *version = p->driver->server_version(c);
	size_t n = version != NULL ? strlen(version) : 0;

	if (n >= sizeof(p->version))
		n = sizeof(p->version) - 1;
	if (n > 0)
		memcpy(p->version, version, n);
	p->version[n] = '\0';
	p->n_failures = 0;
	p->opened_once = true;
	p->stats.opened++;
}

/* One could not be opened. With none left that could be waited for, all who wait learn it now. A lock of others is no
 * outage: each who opens one waits for it as long as for any. */
static void not_opened(struct pool *p, const struct err *err)
{
	int64_t pause;

	if (err->cancelled || err->code == ERR_DATABASE_BUSY)
		return;
	pause = p->n_failures < BACKOFF_DOUBLINGS ? LIMIT_POOL_PAUSE_NS << p->n_failures : LIMIT_POOL_PAUSE_MAX_NS;
	p->n_failures++;
	p->retry_ns = clock_mono_ns() + clock_min(pause, LIMIT_POOL_PAUSE_MAX_NS);
	if (p->n_leased + p->n_idle == 0)
		pool_fail_waiters(p, err);
}

/* A lock of others that keeps connections from being opened is waited for like any other: from since_ns on, whoever
 * was the first to meet it. False: that is over. */
static bool lock_allows(const struct pool *p, int64_t since_ns, int64_t *deadline, struct err *err)
{
	int64_t until;

	if (since_ns == 0 || p->driver->locked_until == NULL || !p->driver->locked_out(p->db))
		return true;
	const bool waits = p->driver->locked_until(p->db, since_ns, &until);
	*deadline = clock_min(*deadline, until);
	if (!waits || until > clock_mono_ns())
		return true;
	return err_set(err, ERR_DATABASE_BUSY, "the database is locked by another user; try again");
}

bool pool_open_slot(struct pool *p, bool retry, int64_t since_ns, int64_t deadline, struct driver_conn **ret,
		    struct err *err)
{
	struct driver_conn *c = NULL;
	const int64_t now = clock_mono_ns();
	int64_t at = 0;
	uint64_t generation;
	bool ok = true;

	mutex_lock(&p->lock);
	generation = p->generation;
	/* half of its time remains for the attempt: one that only waits until its deadline would fail without having
	 * tried, and put off the next one */
	if (retry)
		at = clock_min(p->retry_ns, now + (deadline - now) / 2);
	mutex_unlock(&p->lock);
	if (at > now && wait_until(at) == WAIT_CANCELLED) {
		ok = err_set(err, ERR_POOL_TIMEOUT, "cancelled while waiting for a connection");
		err->cancelled = true;
	}
	ok = ok && lock_allows(p, since_ns, &deadline, err) && p->driver->open(p->db, deadline, &c, err);

	mutex_lock(&p->lock);
	p->n_opening--;
	if (retry)
		p->probing = false;
	if (ok) {
		c->generation = generation;
		c->statement_timeout_ns = (int64_t)(pool_statement_timeout(p) * 1e9);
		opened(p, c);
		p->n_leased++;
		*ret = c;
	} else {
		if (err->code == ERR_INVALID_URL && p->opened_once)
			err->code = ERR_DATABASE_UNAVAILABLE; /* it was a database once */
		not_opened(p, err);
	}
	pool_dispatch(p);
	mutex_unlock(&p->lock);
	return ok;
}

/* ---- leasing ---- */

void pool_discard(struct pool *p, struct driver_conn *c)
{
	p->driver->close(c);
	mutex_lock(&p->lock);
	p->n_leased--;
	p->stats.closed++;
	pool_dispatch(p);
	mutex_unlock(&p->lock);
}

/* False: it was dead, or old, and is gone now. */
static bool fit(struct pool *p, struct driver_conn *c, int64_t deadline, struct err *err)
{
	const int64_t now = clock_mono_ns();
	bool check, old;

	mutex_lock(&p->lock);
	old = pool_outdated(p, c, now);
	check = now - c->idle_since_ns > LIMIT_POOL_UNASKED_NS || c->idle_since_ns <= p->suspect_ns;
	mutex_unlock(&p->lock);
	if (!old && p->driver->stale != NULL && p->driver->stale(c)) {
		mutex_lock(&p->lock);
		p->generation += c->generation == p->generation; /* nor are the others of its age of use any more */
		mutex_unlock(&p->lock);
		pool_discard(p, c);
		return false;
	}
	if (!old && (!check || p->driver->ping(c, clock_min(deadline, now + LIMIT_POOL_PING_NS), err)))
		return true;
	if (!old && !err->cancelled) {
		mutex_lock(&p->lock);
		p->suspect_ns = now;
		mutex_unlock(&p->lock);
	}
	pool_discard(p, c);
	return false;
}

bool pool_none_free(const struct pool *p, enum wait_result why, struct err *err)
{
	(void)err_set(err, ERR_POOL_TIMEOUT, "no connection became free in time: all %lld are in use",
		      (long long)pool_cfg(p)->max_connections);
	err->cancelled = why == WAIT_CANCELLED;
	return false;
}

/* Waits in line, with the lock held at the start and not at the end. GRANT_NONE: timed out or cancelled. */
static enum grant wait_in_line(struct pool *p, struct pool_waiter *w, int64_t deadline, enum wait_result *ret_why)
{
	event_init(&w->woken);
	w->next = NULL;
	w->prev = p->tail;
	if (p->tail != NULL)
		p->tail->next = w;
	else
		p->head = w;
	p->tail = w;
	__atomic_store_n(&p->n_waiting, p->n_waiting + 1, __ATOMIC_RELAXED);
	p->n_probes += w->mode == LEASE_PROBE;
	pool_dispatch(p);
	mutex_unlock(&p->lock);
	*ret_why = event_wait(&w->woken, deadline);
	mutex_lock(&p->lock); /* whoever wakes us does so under the lock: after this it is done with w */
	if (w->grant == GRANT_NONE)
		remove_waiter(p, w);
	mutex_unlock(&p->lock);
	return w->grant;
}

/* One grant, by right or by waiting. */
static enum grant get_grant(struct pool *p, struct pool_waiter *w, int64_t deadline, enum wait_result *ret_why)
{
	enum grant grant = GRANT_NONE;

	mutex_lock(&p->lock);
	if (p->closed) {
		(void)pool_closed_error(w->err);
		grant = GRANT_FAILED;
	} else if (p->head == NULL && p->idle != NULL) {
		w->conn = take_idle(p, w->mode);
		grant = GRANT_CONN;
	} else if ((p->head == NULL || w->mode == LEASE_PROBE) && pool_take_slot(p, w->mode, &w->retry)) {
		grant = GRANT_OPEN;
	}
	if (grant == GRANT_NONE)
		return wait_in_line(p, w, deadline, ret_why);
	mutex_unlock(&p->lock);
	return grant;
}

/* True when another connection is out there that may come back: then a failure to open one more is no reason to fail.
 */
static bool worth_waiting(struct pool *p)
{
	bool ret;

	mutex_lock(&p->lock);
	ret = !p->closed && p->opened_once && p->n_leased + p->n_idle > 0;
	mutex_unlock(&p->lock);
	return ret;
}

bool pool_acquire(struct pool *p, enum lease_mode mode, int64_t since_ns, int64_t deadline, struct driver_conn **ret,
		  struct err *err)
{
	bool failed = false;

	for (;;) {
		struct pool_waiter w = {.grant = GRANT_NONE, .err = err, .mode = mode};
		enum wait_result why = WAIT_READY;
		struct err tmp;

		switch (get_grant(p, &w, deadline, &why)) {
		case GRANT_FAILED:
			return false;
		case GRANT_CONN:
			tmp.cancelled = false;
			if (fit(p, w.conn, deadline, &tmp)) {
				*ret = w.conn;
				return true;
			}
			if (tmp.cancelled) {
				*err = tmp;
				return false;
			}
			break;
		case GRANT_OPEN:
			if (pool_open_slot(p, w.retry, since_ns, deadline, ret, err))
				return true;
			failed = true;
			/* a lock of others has been waited for already, and is in the way of the next one too */
			if (err->cancelled || err->code == ERR_DATABASE_BUSY || clock_mono_ns() >= deadline ||
			    !worth_waiting(p))
				return false;
			break;
		case GRANT_NONE:
			/* the reason why none could be opened says more than that none came */
			return failed && why == WAIT_TIMEOUT ? false : pool_none_free(p, why, err);
		}
	}
}
