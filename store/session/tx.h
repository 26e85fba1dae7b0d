/*
 * Transactions and savepoints: a table of allowed transitions, one leased connection from begin to end, requests in
 * arrival order. The table is owned by the store, and owns the transactions.
 */
#ifndef FERROD_STORE_SESSION_TX_H
#define FERROD_STORE_SESSION_TX_H

#include "store/session/session_state.h"
#include "store/session/tx_types.h"

struct session_table;
struct tx_table;

struct tx_table *tx_table_create(struct session_table *sessions, double default_timeout_s, double max_timeout_s,
				 double tombstone_s, size_t max_per_session, size_t queue_max);
void tx_table_destroy(struct tx_table *t);
/* From now on one that no request has used for so long ends (TX_EXPIRED); 0: none does, as at first. */
void tx_table_idle(struct tx_table *t, double seconds);

/* What a caller may hold from now on, unless its own options say otherwise; as at first: the zero struct. */
void tx_table_shares(struct tx_table *t, const struct tx_shares *shares);

/* Begins a root transaction on conn, in `session` (entered by the caller) or (NULL) without one. A timeout beyond the
 * bound is cut to it. Parks. ERR_TRANSACTION_LIMIT, ERR_TOO_MANY_REQUESTS (the caller's share), ERR_POOL_TIMEOUT,
 * ERR_SESSION_EXPIRED (it ended meanwhile) ... */
bool tx_begin(struct tx_table *t, struct connection *conn, struct session *session, struct str owner,
	      const struct tx_options *o, int64_t deadline, struct arena *a, struct tx_view *ret,
	      struct err *err) MUST_CHECK;

/* The same for a request that works in it at once: *ret is as of tx_enter. Give back with tx_leave. */
bool tx_open(struct tx_table *t, struct connection *conn, struct session *session, struct str owner,
	     const struct tx_options *o, int64_t deadline, struct tx **ret, struct err *err) MUST_CHECK;
/* As long as tx is the caller's. */
const char *tx_id(const struct tx *tx);

/* A savepoint inside the innermost open transaction `parent`, whose turn the caller holds (tx_enter). The new one is
 * innermost then: the caller's own `parent` is good for tx_leave only. ERR_TRANSACTION_LIMIT. Parks. */
bool tx_savepoint(struct tx_table *t, struct tx *parent, int64_t deadline, struct arena *a, struct tx_view *ret,
		  struct err *err) MUST_CHECK;

/* By id, for work: waits for the transaction's turn. Another session's (or owner's) is ERR_TRANSACTION_NOT_FOUND;
 * ended: ERR_TRANSACTION_ENDED with state; ended by the server: ERR_TRANSACTION_EXPIRED; an outer one while a savepoint
 * is open: ERR_TRANSACTIONS_OPEN; aborted: ERR_TRANSACTION_ABORTED (not with `even_aborted`); too many waiting, or too
 * long: ERR_TOO_MANY_REQUESTS. Parks. Give back with tx_leave. */
bool tx_enter(struct tx_table *t, struct str id, const struct session *session, struct str owner, bool even_aborted,
	      int64_t deadline, struct tx **ret, struct err *err) MUST_CHECK;
/* Looks at the engine's own state: a raw COMMIT or ROLLBACK ends the transaction here. Parks when it has to end it. */
void tx_leave(struct tx_table *t, struct tx *tx);

/* To be asked before each statement of a request inside, with the turn held: refuses when the transaction has ended
 * meanwhile (raw COMMIT or ROLLBACK in an earlier statement: ERR_TRANSACTION_ENDED; timeout, session's end:
 * ERR_TRANSACTION_EXPIRED). `raw_sql`: the client's own text, else STR_NONE; only used to know whether a connection
 * lost in it may have committed. */
bool tx_check(struct tx *tx, struct str raw_sql, struct err *err) MUST_CHECK;

/* For the error of a statement that was stopped, with the turn held: when it was for the end of the transaction (its
 * timeout, its session's or connection's end), *err becomes what any request in it gets from now on. */
void tx_stopped(struct tx_table *t, struct tx *tx, struct err *err);

/* Monotonic end of its timeout: statements inside run until the earlier of this and their request's deadline. */
int64_t tx_deadline(const struct tx *tx);

/* commit true: COMMIT or RELEASE; false: ROLLBACK or ROLLBACK TO + RELEASE (clears the session's map). Idempotent: the
 * same end again succeeds, the other is ERR_TRANSACTION_ENDED. Waits for its turn; once begun, it is finished even when
 * the client goes away. Parks. A failed commit has err->outcome: rolled back (ERR_TRANSACTION_ABORTED,
 * ERR_SERIALIZATION_FAILURE, ...) or unknown (ERR_DATABASE_UNAVAILABLE). ERR_TRANSACTION_NOT_FOUND,
 * ERR_TRANSACTION_EXPIRED, ERR_TRANSACTIONS_OPEN (commit of an outer one), ERR_TOO_MANY_REQUESTS. */
bool tx_end(struct tx_table *t, struct str id, const struct session *session, struct str owner, bool commit,
	    int64_t deadline, enum tx_phase *ret, struct err *err) MUST_CHECK;

/* The same by a request that works in it (tx_enter, tx_open) and has done its last work there: tx is good for tx_leave
 * only afterwards. One that a statement of the request's has ended in that way already is no error; the other way it is
 * ERR_TRANSACTION_ENDED. Of a commit whose outcome stays unknown *ret_lost is what the database can be asked by. */
bool tx_finish(struct tx_table *t, struct tx *tx, bool commit, int64_t deadline, struct commit_mark *ret_lost,
	       struct err *err) MUST_CHECK;
/* What became of one, whoever it is that asks. False: nobody knows (any more). */
bool tx_fate(struct tx_table *t, struct str id, enum tx_phase *ret);

/* The statement that runs next takes COMMIT along. False: not in a savepoint. *ret_mark: for the mark of the commit,
 * NULL when none is wanted. With the turn held; tx_finish follows. */
bool tx_will_commit(struct tx *tx, struct commit_mark **ret_mark) MUST_CHECK;
/* After a commit that travelled so and whose outcome is unknown: asks the database, and *err says it. Parks. */
void tx_ask(struct tx_table *t, struct tx *tx, int64_t deadline, struct commit_mark *ret_lost, struct err *err);

/* What it is or became; also of ended ones (tombstones). Ends one past its timeout first: may park.
 * ERR_TRANSACTION_NOT_FOUND. */
bool tx_lookup(struct tx_table *t, struct str id, const struct session *session, struct str owner, struct arena *a,
	       struct tx_view *ret, struct err *err) MUST_CHECK;
/* Asks the database, on a connection of conn's pool, what became of one that reads as unknown, and remembers it where
 * that is known for good. Parks. */
enum commit_fate tx_resolve(struct tx_table *t, struct str id, struct connection *conn, int64_t deadline);
/* Open ones of the session, savepoints too, in the order of their beginning; session NULL: of all. */
size_t tx_list(struct tx_table *t, const struct session *session, struct arena *a, struct tx_view **ret);

/* The lease of a transaction whose turn the caller holds. */
struct lease *tx_lease(struct tx *tx);
struct connection *tx_connection(struct tx *tx);
/* What a request without a session tells in it: what the one that began it did. Borrowed, valid as long as tx. */
struct str tx_settings(const struct tx *tx);
/* The same by id, a copy in the arena; STR_NONE also of one that is not open, is a session's, or another owner's. */
struct str tx_peek_settings(struct tx_table *t, struct str id, struct str owner, struct arena *a);
/* Does the database know this, told in this transaction, still? And what it was told, STR_NONE: it may have forgotten
 * it. With the turn held. */
bool tx_told(const struct tx *tx, struct str what);
void tx_tell(struct tx *tx, struct str what);
/* What it has of its session's records: a map over the session's; NULL without one. Borrowed, valid as long as tx. */
struct imap *tx_imap(struct tx *tx);

/* Rolls back all of a session's (its end) or a connection's (NULL: all) transactions; they read as TX_EXPIRED when
 * `expired` (a connection's always). A statement that runs in one is cancelled; its request is waited for, but not for
 * long: the request itself gives the connection back then. Parks. */
void tx_end_session(struct tx_table *t, struct session *s, bool expired);
void tx_end_connection(struct tx_table *t, struct connection *c);
/* The same for those that a caller has begun. */
void tx_end_owner(struct tx_table *t, struct str owner);
/* Housekeeping: rolls back those past their timeout, forgets old tombstones. Returns the monotonic time of the next
 * due. Parks. */
int64_t tx_tick(struct tx_table *t);

#endif
