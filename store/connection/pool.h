/*
 * A bounded pool of driver connections, shared by all loops. Waiters are served first come, first served; a released
 * connection is handed straight to the first of them. Lock order: see store.h. Owned by its connection; leases hold
 * references.
 */
#ifndef FERROD_STORE_CONNECTION_POOL_H
#define FERROD_STORE_CONNECTION_POOL_H

#include "service/base/wait.h"
#include "store/connection/dsn.h"
#include "store/driver/driver.h"

struct pool_config {
	int64_t max_connections, min_connections;
	double acquire_timeout_s, idle_timeout_s, max_lifetime_s, statement_timeout_s;
	enum pooler pooler;
};

/* The contract's defaults (5, 0, 5, 600, 1800, 0). */
struct pool_config pool_config_default(void);
bool pool_config_same(const struct pool_config *a, const struct pool_config *b);
/* A pooler's word on the wire: auto, none, transaction; static. */
struct str pooler_word(enum pooler p);
bool pooler_of(struct str word, enum pooler *ret) MUST_CHECK;

struct pool;

enum lease_mode {
	LEASE_READ,
	LEASE_WRITE, /* SQLite: with the database's writer turn; PostgreSQL: the same as READ */
	LEASE_PROBE  /* of a look whether the database answers: reads, and where all are in use it has one connection
			beyond max_connections, one such look at a time */
};

/* A borrowed connection. Zero-initialised: nothing is held. */
struct lease {
	struct pool *pool;
	struct driver_conn *conn;
	bool writer;       /* holds the writer's turn */
	bool resting;      /* nothing runs on it, see lease_rest */
	struct turn *turn; /* that one; borrowed from the driver's db */
	int64_t since_ns;
};

struct pool_stats {
	int64_t size, idle, in_use, waiting;
	uint64_t acquired, timeouts, opened, closed, acquire_ns;
	uint64_t cache_hits, cache_misses;
};

/* New pool; opens nothing. dsn is borrowed for the pool's life. */
bool pool_create(const struct driver *driver, const struct dsn *dsn, const struct pool_config *cfg, struct pool **ret,
		 struct err *err) MUST_CHECK;

/* No new leases (they and the waiters fail: ERR_CONNECTION_NOT_FOUND), idle connections closed; leased ones close when
 * they come back. */
void pool_close(struct pool *p);
/* Frees when closed and the last lease is back. */
void pool_unref(struct pool *p);
struct pool *pool_ref(struct pool *p);

/* Leases a live connection until `deadline` or the acquire timeout, whichever is first. Checks one that was idle for
 * long, replaces the dead. ERR_POOL_TIMEOUT, ERR_DATABASE_UNAVAILABLE (with backoff: while the database is known to be
 * down only one attempt at a time is made, others fail at once or wait for its outcome). Parks. */
bool pool_lease(struct pool *p, enum lease_mode mode, int64_t deadline, struct lease *ret, struct err *err) MUST_CHECK;

/* As pool_lease, for what began at since_ns (0: as pool_lease): behind a writer that waits for a lock of others it
 * queues no longer than it would wait for that lock itself, and is ERR_DATABASE_BUSY then. */
bool pool_lease_since(struct pool *p, enum lease_mode mode, int64_t since_ns, int64_t deadline, struct lease *ret,
		      struct err *err) MUST_CHECK;

/* A wait for the writer's turn, and, of a struct pool_wait (for event_wait_until), until when it may last as far as is
 * known now. */
struct pool_wait {
	const struct pool *pool;
	int64_t since_ns; /* as of pool_lease_since */
	int64_t deadline_ns;
};
int64_t pool_wait_until(void *wait);

/* The error of one that waited in vain (`why`: timed out or cancelled) for the lease that another of its loop was to
 * take for both; counted like pool_lease's own. Always false. */
bool pool_gave_up(struct pool *p, enum lease_mode mode, enum wait_result why, struct err *err);

/* Takes the writer's turn for a lease that reads so far, for what its connection's since_ns says, as pool_lease_since
 * does. No-op on PostgreSQL. Parks. */
bool lease_upgrade(struct lease *l, int64_t deadline, struct err *err) MUST_CHECK;

/* Whoever keeps a lease with nothing running on it says so: to pool_stats it is idle then. Any thread. */
void lease_rest(struct lease *l, bool resting);

/* Gives it back: rolls back anything open, resets what raw SQL may have set, closes the broken and the outdated. The
 * struct is zero afterwards; no-op on a zero lease. May park (shielded). */
void lease_release(struct lease *l);

/* A connection beside those of the pool, which takes no place among them, but is one to the file that lies there: for
 * work that opens the file by its name. pool_close_aside ends it. Errors as of pool_lease. Park. */
bool pool_open_aside(struct pool *p, int64_t deadline, struct driver_conn **ret, struct err *err) MUST_CHECK;
void pool_close_aside(struct pool *p, struct driver_conn *c);

/* Every connection is replaced: idle ones now, leased ones when they return. Never waits. */
void pool_refresh(struct pool *p);

/* Other limits from now on: what is leased goes on as it began, every connection is replaced when it comes back. */
void pool_reconfigure(struct pool *p, const struct pool_config *cfg);

/* Opens up to min_connections; closes idle ones past their time. Called by housekeeping on a fiber. */
void pool_tick(struct pool *p);

/* Does anybody wait for a connection? As it was a moment ago. */
bool pool_contended(const struct pool *p);
void pool_stats(struct pool *p, struct pool_stats *ret);
const struct pool_config *pool_get_config(const struct pool *p);
/* What a pool whose own statement timeout is 0 uses, seconds; 0: no bound. Before the first pool is made. */
void pool_set_statement_timeout(double seconds);
/* The statement timeout in force, seconds; 0: none. */
double pool_statement_timeout(const struct pool *p);
/* Borrowed. */
const struct driver *pool_driver(const struct pool *p);
/* What is between us and the server, as far as it is known. */
enum pooler pool_pooler(const struct pool *p);
/* Do quick reads of several requests share a round trip? */
bool pool_groups_reads(const struct pool *p);
/* Is the statement known to leave nothing in the session it runs in? */
bool pool_plain(const struct pool *p, const struct stmt *s);
/* What is known of a client's own statement. */
enum raw_kind pool_raw_kind(const struct pool *p, const struct stmt *s);
/* Do autocommit writes of several requests gain by sharing a transaction? */
bool pool_groups_writes(const struct pool *p);
/* Version of the server as last seen; "" before the first connect. Copied to buf. */
void pool_server_version(struct pool *p, char buf[64]);

#endif
