/*
 * Sessions: an id that maps onto a pinned connection, an identity map and a set of transactions. Not tied to a loop or
 * a TCP connection. Ended ones leave a tombstone that says why. The table is owned by the store. Transactions: tx.h.
 */
#ifndef FERROD_STORE_SESSION_SESSION_H
#define FERROD_STORE_SESSION_SESSION_H

#include "store/session/session_state.h"

/*
 * One short lock, owned by the session table, guards this table and the transactions': which transactions a session has
 * and whether it is open change together. Nothing parks under it.
 */

struct session_options {
	double idle_timeout_s, max_lifetime_s; /* 0: the default; beyond the bound: the bound */
	size_t max_per_owner;                  /* of this caller; 0: the table's */
	struct str settings;                   /* text of an object; STR_NONE: none */
};

struct session_table;

struct session_table *session_table_create(const struct session_limits *limits);
/* Ends what is still open. No request may be inside. Before or after tx_table_destroy. NULL is fine. */
void session_table_destroy(struct session_table *t);

/* Opens on conn (takes a reference of its own). ERR_TOO_MANY_SESSIONS, ERR_CONNECTION_NOT_FOUND (conn was closed
 * meanwhile). *ret: entered, as by session_enter; given back with session_leave. */
bool session_open(struct session_table *t, struct connection *conn, struct str owner, const struct session_options *o,
		  struct session **ret, struct err *err) MUST_CHECK;

/* By id, for a request that begins now: touches last_used, counts it as running, clears a map made stale by DDL. *ret:
 * a new reference, given back with session_leave. ERR_SESSION_NOT_FOUND (never was, forgotten, another owner's),
 * ERR_SESSION_EXPIRED (tombstone: why and when; an explicitly closed one answers the same to work, see session_close).
 * Parks when it finds an expired session whose transactions it has to roll back. */
bool session_enter(struct session_table *t, struct str id, struct str owner, struct session **ret,
		   struct err *err) MUST_CHECK;
void session_leave(struct session_table *t, struct session *s);

/* What its requests tell the database from now on; its map, and those of its transactions, are emptied. The caller is
 * in it. False: so are others, who go by what it was; nothing has changed. */
bool session_set_settings(struct session_table *t, struct session *s, struct str settings) MUST_CHECK;

/* Ends it. Repeating a close succeeds while the tombstone stands. ERR_TRANSACTIONS_OPEN unless rollback (then they are
 * rolled back first: parks). ERR_SESSION_NOT_FOUND, ERR_SESSION_EXPIRED. */
bool session_close(struct session_table *t, struct str id, struct str owner, bool rollback, struct err *err) MUST_CHECK;

/* From now on no session or transaction is begun on it, and all that were are counted; or they are again. */
void session_keep_off(struct session_table *t, struct connection *conn, bool off);

/* Ends every session of conn (NULL: all), rolling back their transactions. Parks. */
void session_end_all(struct session_table *t, struct connection *conn, enum session_end why);

/* The same for those that a caller has opened. */
void session_end_owner(struct session_table *t, struct str owner, enum session_end why);

/* Housekeeping: ends the idle and the old, forgets tombstones past their time. Returns the monotonic time of the next
 * due. Parks. */
int64_t session_tick(struct session_table *t);

/* Clears the map of every session on conn at its next use (DDL): bumps conn->schema_epoch. */
void session_maps_stale(struct connection *conn);

size_t session_count(struct session_table *t);

/* A copy of what lists show, in the arena. */
struct session_view {
	struct str ref, connection_name, owner, settings;
	int64_t created_us, last_used_us;
	double idle_timeout_s, idle_expires_in_s, expires_in_s;
	int64_t expires_us;
	size_t n_transactions, n_queued;
	struct imap_stats imap;
};
/* Strings are borrowed from the session. */
void session_view(const struct session *s, struct session_view *ret);
/* The same by id, without entering it or counting as a use; the strings stay empty. false: not open, or another
 * owner's. */
bool session_peek(struct session_table *t, struct str id, struct str owner, struct session_view *ret) MUST_CHECK;
/* Its settings likewise, a copy in the arena; STR_NONE also of one that is not open here. */
struct str session_peek_settings(struct session_table *t, struct str id, struct str owner, struct arena *a);
/* Every open session, in no order; strings are copies in the arena. */
size_t session_list(struct session_table *t, struct arena *a, struct session_view **ret);

#endif
