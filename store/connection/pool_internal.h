/*
 * What the files of the pool share, and nobody else includes: pool_config.c, pool_lease.c (life, leases, housekeeping)
 * and pool_queue.c (who gets which connection). The pool owns its connections, lent or not.
 */
#ifndef FERROD_STORE_CONNECTION_POOL_INTERNAL_H
#define FERROD_STORE_CONNECTION_POOL_INTERNAL_H

#include "service/base/mutex.h"
#include "service/base/wait.h"
#include "store/connection/pool.h"

/*
 * A connection is in one of four places: idle (a list, last used first), leased, being opened, or nowhere. One
 * function, pool_dispatch, moves what is free to those who wait, and is called after every change. Waiters are woken
 * with an outcome already theirs: a connection, a slot to open one in, or a failure; so none can be overtaken. The
 * driver is only called without the lock.
 */

struct pool_waiter;

struct pool_settings {
	struct pool_config cfg;
	struct pool_settings *before;
};

struct pool {
	int refs; /* atomic */
	const struct driver *driver;
	const struct dsn *dsn;
	struct pool_settings *settings; /* atomic; owned, with all before them: nobody asks who still reads those */
	struct driver_db *db;
	int64_t n_resting; /* atomic: leases on which nothing runs, see lease_rest */
	struct mutex lock; /* of all that follows */
	struct driver_conn *idle;
	const struct driver_conn *wrote; /* that had the writer's turn last; compared only, it may be gone */
	int64_t n_idle, n_leased, n_opening;
	struct pool_waiter *head, *tail;
	int64_t n_waiting, n_upgrading;
	int64_t n_queued; /* atomic: for the writer's turn; they hold no connection, or wait to write on theirs */
	int64_t n_probes; /* of those who wait, see LEASE_PROBE */
	uint64_t generation;
	bool closed;
	bool opened_once;
	/* an outage: opening failed */
	int n_failures;     /* in a row */
	int64_t retry_ns;   /* not before */
	bool probing;       /* one who may try is at it */
	int64_t suspect_ns; /* a connection broke then: those idle since before are checked */
	int64_t tidied_ns;
	struct pool_stats stats;
	char version[64];
};

static inline const struct pool_config *pool_cfg(const struct pool *p)
{
	return &__atomic_load_n(&p->settings, __ATOMIC_ACQUIRE)->cfg;
}

/* Hands what is free to those who wait. Lock held. */
void pool_dispatch(struct pool *p);
/* Every waiter gets the error. Lock held. */
void pool_fail_waiters(struct pool *p, const struct err *err);
/* True when c must not be used again. Lock held. */
bool pool_outdated(const struct pool *p, const struct driver_conn *c, int64_t now);
bool pool_closed_error(struct err *err);
/* For one that has waited in vain. Always false. */
bool pool_none_free(const struct pool *p, enum wait_result why, struct err *err);

/* A slot to open a connection in, when one may be opened; *ret_retry: an earlier attempt failed. Lock held. */
bool pool_take_slot(struct pool *p, enum lease_mode mode, bool *ret_retry) MUST_CHECK;
/* Opens a connection in the slot; it counts as leased. After a failed attempt the next is held back for a while. Parks.
 */
bool pool_open_slot(struct pool *p, bool retry, int64_t since_ns, int64_t deadline, struct driver_conn **ret,
		    struct err *err) MUST_CHECK;
/* Takes a leased connection out of the world. */
void pool_discard(struct pool *p, struct driver_conn *c);
/* A live connection for a lease (since_ns: as of pool_lease_since); LEASE_WRITE: the writer's turn is held. Parks. */
bool pool_acquire(struct pool *p, enum lease_mode mode, int64_t since_ns, int64_t deadline, struct driver_conn **ret,
		  struct err *err) MUST_CHECK;

#endif
