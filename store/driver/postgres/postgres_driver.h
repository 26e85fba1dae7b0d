/*
 * What the files of the PostgreSQL driver share; nobody else includes it. A pool owns its connections, a connection
 * its prepared statements and settings.
 */
#ifndef FERROD_STORE_DRIVER_POSTGRES_DRIVER_H
#define FERROD_STORE_DRIVER_POSTGRES_DRIVER_H

#include <libpq-fe.h>

#include "service/base/map.h"
#include "service/base/mutex.h"
#include "service/base/strbuf.h"
#include "store/connection/dsn.h"
#include "store/driver/driver.h"
#include "store/driver/postgres/postgres_lex.h"
#include "store/driver/postgres/postgres_past.h"

/*
 * The files:
 *
 *   driver_postgres.c    the vtable: transactions, reset, ping, lists
 *   postgres_chain.c     which of them is open
 *   postgres_connect.c   open, close
 *   postgres_tls.c       URLs that may not be connected without TLS
 *   postgres_settings.c  the settings of every session
 *   postgres_io.c        waiting, draining
 *   postgres_told.c      what a server says unasked
 *   postgres_cancel.c    requests to cancel a statement
 *   postgres_send.c      what leaves when a statement starts, and what travels along
 *   postgres_along.c     a statement that goes in front of it
 *   postgres_words.c     BEGIN and COMMIT, prepared
 *   postgres_flight.c    what comes back of it
 *   postgres_cursor.c    prepare, step, finish
 *   postgres_batch.c     several quick statements in one pipeline
 *   postgres_batch_result.c  what comes of each
 *   postgres_wire.c      such a pipeline past libpq
 *   postgres_message.c   its messages
 *   postgres_steps.c     the statements of a migration, many in a flight
 *   postgres_pooled.c    what is different behind a pooler
 *   postgres_plain.c     tables that leave nothing in a session, looked at
 *   postgres_known.c     and remembered
 *   postgres_mark.c      by what such a transaction is known afterwards
 *   postgres_fate.c      transactions whose connection was lost while they committed
 *   postgres_load.c      COPY FROM STDIN
 *   postgres_cache.c     the prepared statements of a connection
 *   postgres_value.c     parameters out
 *   postgres_bytes.c     bytes that are text's parameters
 *   postgres_answer.c    cells in: the one reader of what a server answers
 *   postgres_error.c     SQLSTATE -> struct err
 *   introspect_postgres.c, introspect_types.c,
 *   migrate_postgres.c   what migrations need (store/driver/introspect.h)
 *   fault_postgres.c     libpq's calls, made to fail on purpose
 *   postgres_lex.c       what can be told from the text of raw SQL (pure)
 */

/* Longer texts are not worth keeping prepared on every connection. */
#define PG_CACHE_KEY_MAX (32 * 1024)

struct pg_names; /* postgres_pooled.c */
struct pg_plain; /* postgres_known.c */

struct driver_db {
	const struct dsn *dsn; /* borrowed */
	int pooler;            /* atomic; enum pooler, as asked for */
	int found;             /* atomic; enum pooler, once a connection has told */
	struct pg_names *names;
	struct pg_plain *plain;
	struct strbuf settings, path, begin; /* behind a pooler: before each flight; after BEGIN */
	struct strbuf reset;                 /* puts a session back */
};

struct pg_cancel; /* postgres_cancel.c */

struct pg_stmt {
	struct str key;         /* owned: SQL, NUL, one type letter a parameter */
	uint64_t hash;          /* of text and letters */
	uint64_t id;            /* the server knows it as "f<id>" */
	struct pg_shape *shape; /* a reference; NULL: not known */
	struct pg_stmt *newer, *older;
};

struct pg_cache {
	struct map by_key;
	struct pg_stmt *newest, *oldest;
	size_t n;
	uint64_t last_id;
	uint64_t *dead; /* owned: statements that the server still has to forget */
	size_t n_dead, dead_size;
	struct strbuf key; /* scratch: of the last look-up */
	uint64_t hash;
	const char *role; /* whose statements are asked for */
};

#define PG_NAME_BYTES 25 /* a letter and a number */

#define PG_POOLED_NAME_BYTES 40

/* Names of statements that a pool uses behind a pooler. */
#define PG_NAMES_MAX 256

/* What is sent for a statement behind a pooler, and what its next attempt knows. */
struct pg_flight {
	int attempt;
	bool parses; /* a Parse travels with it */
	bool named;
	bool is_new;      /* could be named and has not run before */
	bool bare, loose; /* refuses to run in a transaction, as all that travels with it would make; or BEGIN */
	uint8_t digest[16];
	char name[PG_POOLED_NAME_BYTES];
	size_t n_before; /* results before its own */
};

/* What was sent for a statement and is to be read before its own results. */
struct pg_started {
	struct pg_stmt *hit; /* the cached statement that runs */
	uint64_t id;         /* the statement that is prepared on the way; 0: none */
	size_t n_dead;       /* DEALLOCATEs before it */
	bool opens;          /* BEGIN before all of it */
	size_t n_words;      /* it, and COMMIT, are prepared on the way: results before that */
	size_t n_along;      /* results of another statement behind that */
	bool pooled;         /* as postgres_pooled.c sends it */
	bool added;          /* `id` is in the cache already: others of its flight may run it, too */
};

/* What the text of a statement tells. */
struct pg_told {
	bool reads;
	bool several;     /* raw text that looks like more than one statement */
	bool deallocates; /* raw text that may drop our prepared statements */
	bool alters;      /* raw text that may change tables */
	char first[16];   /* raw text: its first word */
};

/* A statement that was sent behind another and whose turn has not come. */
struct pg_ahead_item {
	const struct stmt *s; /* borrowed, see driver->ahead */
	struct pg_started started;
	struct pg_told told;
};

struct pg_ahead {
	const struct stmt *const *stmts; /* noted for the next statement, which is the first of them; n_stmts 0: none */
	size_t n_stmts;
	struct pg_ahead_item *items; /* owned; DRIVER_AHEAD_MAX, or NULL */
	size_t n, at;                /* sent; those before `at` have had their turn */
	enum pg_io stopped;          /* it was asked to stop, because of that; PG_IO_OK: it was not */
	int64_t stop_until;
	bool closes;              /* COMMIT behind the last of them */
	struct commit_mark *mark; /* see pg_cursor.mark */
	uint64_t mark_id;         /* the question for the mark is prepared on the way; 0: it is not */
};

/* COMMIT, and BEGIN by isolation level, read only or not: postgres_words.c. */
#define PG_WORDS 9
#define PG_WORD_COMMIT 0
#define PG_WORD_NAME "ferrod_" /* what their names begin with */
struct pg_words {
	unsigned known, sent; /* bits: the server has them; they are prepared in the flight that is under way */
	unsigned opening;     /* the word of pg_conn.opening */
	bool off;             /* what the server has is not known */
};

struct pg_along { /* a statement that travels with the next one */
	bool waits;
	uint64_t id;       /* prepared as "f<id>" */
	bool prepares;     /* on its way */
	struct strbuf key; /* of that, for the cache */
	uint64_t hash;
	bool failed;       /* the last one that was sent did */
	struct strbuf sql; /* scratch */
	struct pg_params params;
};

/* The one statement that may run on a connection. */
struct pg_cursor {
	struct cursor base;
	bool active; /* between prepare and finish */
	bool done;   /* every result has been read */
	bool raw, autocommit;
	struct pg_told told;
	bool whole;               /* all rows arrive in one result */
	bool leaves;              /* raw text that may leave something in the session, behind a pooler */
	bool closes;              /* COMMIT travels with it */
	struct commit_mark *mark; /* and the mark before it: gets it; NULL: does not */
	bool marks;               /* the mark alone travels behind it */
	bool divides;             /* raw text inside a transaction that may end it: tx_began says which one it was */
	char tag[64];             /* of the command, as far as it has come */
	int64_t deadline;
	size_t n_expected;    /* columns; 0: any */
	PGresult *meta;       /* owned: holds the column names */
	PGresult *res;        /* owned unless it is meta: the row, or all rows */
	int next_row, n_rows; /* in res */
	size_t size;          /* of the arrays below, owned */
	struct cursor_column *columns;
	struct value *row;
	enum pg_cell *cells;
};

struct pg_conn {
	struct driver_conn base;
	PGconn *pg;
	struct pg_cancel *cancel;
	struct pg_cache cache;
	struct pg_params params;
	struct pg_cursor cur;
	struct pg_ahead ahead;
	struct strbuf text;                /* scratch: a statement with its NUL */
	bool pooled;                       /* a pooler in transaction mode is between, or cannot be ruled out */
	bool leaves;                       /* pooled: the statement that is prepared next may leave something */
	bool unclean;                      /* pooled: the transaction may leave something in the session */
	bool has_plpgsql;                  /* pooled: the role may run it */
	bool nameless;                     /* pooled: whatever the pooler knew of names, it may know no more */
	uint64_t known[PG_NAMES_MAX / 64]; /* pooled: names whose Parse was sent on this connection, by their place */
	struct pg_wire wire;
	bool loading;     /* COPY FROM STDIN runs; `text` holds rows not sent yet */
	char opening[96]; /* BEGIN and its words, which travel with the next statement; "": none waits */
	struct pg_words words;
	bool marking; /* behind the first statement of the transaction travels the question for its mark */
	struct pg_along along;
	bool closing;                              /* the next statement takes COMMIT along */
	struct commit_mark *closing_mark;          /* and the mark, when somebody wants it; borrowed */
	char tx_began[48];                         /* now() before a statement that divides */
	bool by_rows;                              /* rows of the last statement by itself came a few at a time */
	int64_t seen_ns;                           /* when the server was last seen to be there, by peer_is_there */
	int pieces;                                /* reads that are left of a bounded answer; -1: no bound */
	unsigned n_blind, blind_bytes, blind_left; /* while rows are sent: postgres_io.c */
	uint64_t n_told;                           /* notices and notifications */
	bool at_end;                               /* the last result was the end of a statement's */
	int n_syncs;     /* pipeline: sync points not yet answered; 0 and not in a pipeline otherwise */
	char *wanted[4]; /* owned: keys of postgres_proof.c to be asked for when the session has been put back */
	size_t n_wanted;
	bool guarded; /* the server bounds each statement and each wait for a lock: postgres_batch.c */
	char version[32];
	bool has_history; /* of these two */
	uint64_t cluster;
	uint32_t timeline;
};

static inline struct pg_conn *pg_conn(struct driver_conn *c)
{
	return (struct pg_conn *)(void *)c;
}

/* Statements that were sent and whose turn has not come. */
static inline size_t pg_ahead_left(const struct pg_conn *c)
{
	return c->ahead.n - c->ahead.at;
}

/* postgres_connect.c */
bool pg_open(struct driver_db *db, int64_t deadline_ns, struct driver_conn **ret, struct err *err) MUST_CHECK;
void pg_close(struct driver_conn *base);
/* postgres_settings.c */
/* The statement that puts a session's settings where this driver needs them, in b; `local`: "true" for the transaction
 * only, "false". */
void pg_settings_sql(const struct dsn *dsn, const char *local, struct strbuf *b);

/* postgres_chain.c: ROLLBACK answers alike whether it went back to a savepoint or, AND CHAIN, ended the transaction and
 * began the next one; now() stands still in the one case only. */
/* Before a statement that may do either: remembers now(). */
bool pg_chain_before(struct pg_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
/* After its result: counts a transaction that it has ended. */
bool pg_chain_after(struct pg_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;

/* Writes the texts of db. */
void pg_settings_texts(struct driver_db *db);
/* What a statement may have left in the session, but for prepared statements; ends with NULL. */
extern const char *const pg_leavings[];
/* Behind a pooler: the statement that drops what SQL has prepared. Static. */
const char *pg_drop_prepared(const struct pg_conn *c);
/* Behind a pooler: the statements that put back what a transaction may have left, and those with its end. */
void pg_clean_sql(const struct pg_conn *c, struct strbuf *b);
void pg_commit_clean_sql(const struct pg_conn *c, struct strbuf *b);
void pg_rollback_clean_sql(const struct pg_conn *c, struct strbuf *b);

/* postgres_told.c: what a server says unasked, which libpq keeps. Of connections, not ours alone, whose answers are
 * being read or that are being made. */
/* Drops every notification; how many. */
size_t pg_told_drop(PGconn *pg);
/* Keeps, or drops, what the server tells of a statement. */
void pg_take_notice(struct pg_conn *c, const struct pg_said *said);
/* Has the server told of more settings than any has? */
bool pg_told_too_much(const PGconn *pg);

/* postgres_io.c */
/* The next result (NULL as in PQgetResult: the end of one statement's). Parks. */
enum pg_io pg_next(struct pg_conn *c, int64_t deadline_ns, PGresult **ret) MUST_CHECK;
/* driver->notified. */
enum wait_result pg_notified(struct driver_conn *base, int64_t deadline_ns);
/* Sends what libpq has buffered, taking in what the server says meanwhile. Parks. */
enum pg_io pg_flush(struct pg_conn *c, int64_t deadline_ns) MUST_CHECK;
/* Reads and drops everything until the connection is idle again, but the first error: *ret_error is the caller's to
 * clear, NULL when there was none, set whatever is returned. Parks. */
enum pg_io pg_drain(struct pg_conn *c, int64_t deadline_ns, PGresult **ret_error) MUST_CHECK;
/* After anything but PG_IO_OK: cancels what runs, waits for its end (shielded), marks the connection broken when that
 * fails. *err says what happened, with the outcome of a statement that was its own transaction. *ret_ended, when not
 * NULL: it had ended successfully all the same. False. */
bool pg_give_up(struct pg_conn *c, enum pg_io why, bool autocommit, bool *ret_ended, struct err *err);
/* After a request to cancel: waits until its signal can hit no other statement; received: it has hit one. The
 * connection is idle. False: it may still come. Parks. */
bool pg_cancel_over(struct pg_conn *c, bool received, int64_t deadline_ns) MUST_CHECK;
/* The error of a statement that was cancelled, because of a timeout or of its request's end. */
void pg_say_stopped(enum pg_io why, struct err *err);
/* Refuses before anything is sent: deadline over, request cancelled, connection dead. err->outcome: not started. */
bool pg_usable(struct pg_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
/* The same for a statement that runs by itself: the guard of the pipelines is taken off. Parks. */
bool pg_ready(struct pg_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
/* Runs a text by the simple protocol; the last command tag goes to tag (may be NULL). Parks. */
bool pg_simple(struct pg_conn *c, const char *sql, int64_t deadline_ns, char tag[32], struct err *err) MUST_CHECK;
/* The BEGIN that waits for a statement is sent by itself. Parks. */
bool pg_open_now(struct pg_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
/* Queues a statement without a name; the text is kept in c->text. */
bool pg_send_once(struct pg_conn *c, const struct stmt *s) MUST_CHECK;
/* To be told how each statement ended that began inside a transaction: tag NULL when it failed. Counts the
 * transaction's end. */
void pg_count_end(struct pg_conn *c, const char *tag);
/* What a commit came to whose wait for a standby was cancelled: an error with an unknown outcome. Always false. */
bool pg_fail_unreplicated(struct pg_conn *c, struct err *err);

/* postgres_cancel.c */
/* The right to cancel the connection's statement from any thread; outlives the connection while a request is under way.
 * NULL: there is none. */
struct pg_cancel *pg_cancel_create(PGconn *pg, const struct dsn *dsn);
void pg_cancel_unref(struct pg_cancel *x);
/* A pooler is, or may be, between: the number of the server's process says nothing. */
void pg_cancel_pooled(struct pg_cancel *x);
/* Asks the server to cancel; never waits. False: could not start. */
bool pg_cancel_send(struct pg_cancel *x);
/* Waits until no request is under way, for a late one would hit the next statement. False: one still is, or the last
 * one could not be sent. Parks. */
bool pg_cancel_settled(struct pg_cancel *x, int64_t deadline);
/* Has the statement committed, and waits only for a synchronous standby? Asks the server itself; false: no, or nobody
 * knows. Parks. */
bool pg_cancel_waits_for_standby(struct pg_cancel *x, int64_t deadline);

/* postgres_send.c */
/* Refuses what no server needs to see, notes in c->cur what is told from the text, and sets the parameters. */
bool pg_check(struct pg_conn *c, const struct stmt *s, struct err *err) MUST_CHECK;
/* Sends the statement that was checked, and behind it those of c->ahead that may travel along. */
bool pg_send_stmt(struct pg_conn *c, const struct stmt *s, struct pg_flight *f, struct pg_started *st) MUST_CHECK;
/* Queues the order to forget a statement. */
bool pg_send_deallocate(struct pg_conn *c, uint64_t id) MUST_CHECK;

/* postgres_words.c */
/* Queues what of COMMIT and c->opening is to be prepared. *ret_n: how many results come of it. */
bool pg_words_prepare(struct pg_conn *c, size_t *ret_n) MUST_CHECK;
/* Those results have been read; not ok: they have not, or were failures. */
void pg_words_done(struct pg_conn *c, bool ok);
/* Queues a word, by its name or its text. */
bool pg_word_send(struct pg_conn *c, unsigned word, const char *text) MUST_CHECK;
/* The server has forgotten all. */
void pg_words_forget(struct pg_conn *c);
/* Does the server have what is prepared, and no more? count: of what it has. */
bool pg_all_prepared(const struct pg_conn *c, struct str count);

/* postgres_along.c */
/* driver->before_next */
bool pg_along_note(struct driver_conn *base, const struct stmt *s);
/* None waits any more. */
void pg_along_forget(struct pg_conn *c);
/* Queues the one that waits. *ret_n: how many results come before anything that is queued behind it. */
bool pg_along_send(struct pg_conn *c, size_t *ret_n) MUST_CHECK;
/* It was sent, and what it came to has been read: error, or NULL. prepared: the server knows it from now on. */
void pg_along_done(struct pg_conn *c, const PGresult *error, bool prepared);

/* postgres_flight.c: of the cursor's statement, within its time. All that return pg_io park. */
/* How rows come that are not wanted all at once. libpq 17 hands out a few in one result, which spares a result's cost
 * for each; few, so that wide rows do not add up (the server sends small ones by the 8 KiB in any case). */
#define PG_CHUNK_ROWS 8
#ifdef LIBPQ_HAS_CHUNK_MODE
#define PG_ROWS_MODE(pg) PQsetChunkedRowsMode(pg, PG_CHUNK_ROWS)
#define PG_ROWS_STATUS PGRES_TUPLES_CHUNK
#else
#define PG_ROWS_MODE(pg) PQsetSingleRowMode(pg)
#define PG_ROWS_STATUS PGRES_SINGLE_TUPLE
#endif
bool pg_is_rows(const PGresult *res);
/* Its next result; NULL: the end of them. */
enum pg_io pg_flight_next(struct pg_conn *c, PGresult **ret) MUST_CHECK;
/* Up to its first one, or that of the step before it that failed. */
enum pg_io pg_flight_first(struct pg_conn *c, const struct pg_started *st, const struct pg_flight *f,
			   PGresult **ret) MUST_CHECK;
/* Behind its last one: to the end of the flight; where others travel along, to its own end. *ret_error: what failed. */
enum pg_io pg_flight_end(struct pg_conn *c, PGresult **ret_error) MUST_CHECK;
/* Drops what has not been read of it, others' results not. */
enum pg_io pg_flight_skip(struct pg_conn *c, PGresult **ret_error) MUST_CHECK;
/* Has what runs now travelled with others? Then the server holds back what it has to say until all are done. */
static inline bool pg_travels(const struct pg_conn *c)
{
	return c->ahead.n > 0;
}
/* Nothing is running any more, or the connection is broken; what travelled along has had no turn, and gets none. Parks.
 */
void pg_flight_settle(struct pg_conn *c, bool received);
/* All of the flight has been read. False: the connection is broken, for a request to stop it may hit what runs next.
 * received: that has hit something. Parks. */
bool pg_flight_over(struct pg_conn *c, bool received) MUST_CHECK;
/* Is COMMIT on its way whose answer was not read? */
bool pg_flight_commits(const struct pg_conn *c);
/* What became of that COMMIT, when the flight was not read to its end: both counts say that nobody knows. */
void pg_flight_unread(struct pg_conn *c, struct err *err);
/* driver->ahead */
bool pg_ahead(struct driver_conn *base, const struct stmt *const *stmts, size_t n);
/* The one whose turn it is has to be s: NULL when it is not. */
const struct pg_ahead_item *pg_ahead_take(struct pg_conn *c, const struct stmt *s);
/* Those that have had no turn get none: the flight has ended. */
void pg_ahead_forget(struct pg_conn *c);
/* What is left of the flight ends unread: it is rolled back. */
void pg_ahead_drop(struct pg_conn *c);
/* postgres_cursor.c */
bool pg_prepare(struct driver_conn *base, const struct stmt *s, int64_t deadline_ns, struct cursor **ret,
		struct err *err) MUST_CHECK;
bool pg_step(struct cursor *base, bool *ret_row, struct err *err) MUST_CHECK;
void pg_finish(struct cursor *base);
/* What a short read with one parameter answers, cached by its text: one row of one boolean; no row: false. Parks. */
bool pg_ask(struct driver_conn *base, struct str sql, struct str param, int64_t deadline_ns, bool *ret,
	    struct err *err) MUST_CHECK;
void pg_cursor_done(struct pg_cursor *cur);

/* postgres_fate.c: see driver.h */
/* Learns the cluster and the timeline that it writes to, if they can be had. False: the connection is lost. Parks. */
bool pg_history_find(struct pg_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
/* The statement that asks for it, and its answer. Not prepared in a dirty session: what is prepared may be gone. */
#define PG_MARK_COLUMNS \
	"pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text, " \
	"CASE WHEN pg_catalog.current_setting('synchronous_commit') NOT IN ('off', 'local') THEN CASE WHEN " \
	"pg_catalog.current_setting('synchronous_standby_names') <> '' THEN 'waits' ELSE 'asks' END END"
#define PG_MARK_SQL "SELECT " PG_MARK_COLUMNS
/* postgres_mark.c */
void pg_mark_set(const struct pg_conn *c, struct str xid, struct str waits, struct commit_mark *ret);
void pg_mark_read(const struct pg_conn *c, const PGresult *res, struct commit_mark *ret);
bool pg_commit_mark(struct driver_conn *base, int64_t deadline_ns, struct commit_mark *ret, struct err *err) MUST_CHECK;
enum commit_fate pg_commit_fate(struct driver_conn *base, const struct commit_mark *m, int64_t deadline_ns);

/* postgres_plain.c */
struct pg_plain *pg_plain_create(void);
void pg_plain_destroy(struct pg_plain *x);
/* Tables may have changed. Any thread, like the next two. */
void pg_plain_forget(struct pg_plain *x);
/* Is what that role ("": the pool's user) means by the table plain? False: not known (any more). *ret_since: for
 * pg_plain_keep. */
bool pg_plain_get(struct pg_plain *x, const char *role, struct str table, bool *ret_plain, uint64_t *ret_since);
/* What was found by a look that began after pg_plain_get said `since`: nothing is kept of one that tables may have
 * changed under. Of LIMIT_PLAIN_TABLES at most; one more, and only that one is known. */
void pg_plain_keep(struct pg_plain *x, const char *role, struct str table, bool plain, uint64_t since);
/* As driver->plain. */
bool pg_plain_known(struct driver_db *db, const struct stmt *s);
/* Of a statement that travels ahead: is known what its tables are? Where they are not plain, the session is to be put
 * back. */
bool pg_plain_seen(struct pg_conn *c, const struct stmt *s);
/* Is the table at the place plain? What is not known is looked up. Parks. */
bool pg_plain_table(struct pg_conn *c, struct str place, int64_t deadline_ns, bool *ret, struct err *err) MUST_CHECK;
/* A table's place as SQL. */
void pg_put_place(struct str place, struct strbuf *out);
/* driver->prepare: pg_prepare, and the session is to be put back after a statement on a table that is not plain. */
bool pg_plain_prepare(struct driver_conn *base, const struct stmt *s, int64_t deadline_ns, struct cursor **ret,
		      struct err *err) MUST_CHECK;

/* postgres_proof.c */
/* Functions of the server that are volatile and leave nothing in the session, for IN (...). */
#define PG_LEAVES_NOTHING \
	"'nextval', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'random', 'clock_timestamp', 'timeofday', 'txid_current', " \
	"'pg_current_xact_id'"
/* The relations of r have no index whose operators or support functions are in a language but "internal" and "c". */
#define PG_INDEXES_PLAIN \
	"AND NOT EXISTS (SELECT 1 FROM r JOIN pg_catalog.pg_index x ON x.indrelid = r.oid, " \
	"LATERAL pg_catalog.unnest(x.indclass) k(oid) JOIN pg_catalog.pg_opclass o ON o.oid = k.oid, " \
	"LATERAL (SELECT m.amproc::pg_catalog.oid FROM pg_catalog.pg_amproc m WHERE m.amprocfamily = o.opcfamily " \
	"UNION ALL SELECT q.oprcode::pg_catalog.oid FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator q " \
	"ON q.oid = a.amopopr WHERE a.amopfamily = o.opcfamily) f(oid) JOIN pg_catalog.pg_proc p ON p.oid = f.oid " \
	"WHERE p.prolang NOT IN (12, 13)) "
/* driver->raw_kind */
enum raw_kind pg_raw_kind(struct driver_db *db, const struct stmt *s);
/* Is it known that the client's statement leaves nothing in the session? If not, it is noted to be asked for. */
bool pg_raw_clean(struct pg_conn *c, const struct stmt *s);
/* postgres_prove.c: asks for what was noted; the session has just been put back. Parks. */
void pg_raw_learn(struct pg_conn *c, int64_t deadline_ns);
/* postgres_proof.c: forgets what was noted. */
void pg_raw_done(struct pg_conn *c);
/* postgres_known.c: what is kept of it. A key begins with one of these; an empty one: nothing can be proven. */
#define PG_KEY_READS 'r'
#define PG_KEY_WRITES 'm'
/* Appends the key of a text; false: it is not kept. */
bool pg_proof_text(struct pg_plain *x, const struct stmt *s, struct strbuf *ret_key);
void pg_proof_keep_text(struct pg_plain *x, const struct stmt *s, struct str key);
/* ret_wanted, unless NULL: this call is one that is to find out, since what is known ages, or the key has come again
 * and nothing is known; then RAW_UNKNOWN. */
enum raw_kind pg_proof_get(struct pg_plain *x, struct str key, bool *ret_wanted);
/* Not what was asked for before all was forgotten last. since: pg_plain_since, from before the question. */
void pg_proof_keep(struct pg_plain *x, struct str key, enum raw_kind kind, uint64_t since);
uint64_t pg_plain_since(struct pg_plain *x);

/* postgres_pooled.c */
struct pg_names *pg_names_create(void);
void pg_names_destroy(struct pg_names *names);
/* Sends an autocommit statement whose parameters are set. */
bool pg_pooled_send(struct pg_conn *c, const struct stmt *s, struct pg_flight *f) MUST_CHECK;
void pg_pooled_done(struct pg_conn *c, const struct pg_flight *f); /* its first result has come */
/* It has failed: is another flight to be sent? Nothing has happened then. */
bool pg_pooled_again(struct pg_conn *c, struct pg_flight *f, const PGresult *res);
/* A statement outside transactions has failed or was given up: the transaction begun for it is put an end to. */
void pg_pooled_end(struct pg_conn *c);
/* Does the statement need a session of its own? Then *err says so. */
bool pg_pooled_refuses(struct pg_conn *c, const struct pg_sql_facts *facts, struct str sql, struct err *err);

/* postgres_batch.c */
void pg_run_batch(struct driver_conn *base, struct batch_item *const *items, size_t n, int64_t deadline_ns);
void pg_run_writes(struct driver_conn *base, struct batch_item *const *items, size_t n, int64_t deadline_ns);
bool pg_groups(const struct driver_db *db);

/* postgres_steps.c: see driver.h */
bool pg_simple_all(struct driver_conn *base, const struct str *sqls, size_t n, int64_t deadline_ns, size_t *ret_done,
		   struct err *err) MUST_CHECK;

/* postgres_load.c: see driver.h */
bool pg_load_begin(struct driver_conn *base, struct str place, struct str sql, int64_t deadline_ns, bool *ret_began,
		   struct err *err) MUST_CHECK;
bool pg_load_rows(struct driver_conn *base, const struct load *l, int64_t deadline_ns, struct err *err) MUST_CHECK;
bool pg_load_end(struct driver_conn *base, int64_t deadline_ns, int64_t *ret_rows, struct err *err) MUST_CHECK;
void pg_load_abort(struct driver_conn *base);

/* postgres_cache.c */
void pg_cache_init(struct pg_cache *k, const char *role); /* role: driver_conn.role; borrowed */
void pg_cache_done(struct pg_cache *k);
/* NULL: not cached, or (*ret_fits false) never to be. The key stays in k->key for pg_cache_add. */
struct pg_stmt *pg_cache_find(struct pg_cache *k, const struct stmt *s, bool *ret_fits);
/* The server has prepared `id` for the key looked up last, or will have; evicts the oldest. */
void pg_cache_add(struct pg_cache *k, uint64_t id);
/* The same for a key that was looked up before another. */
void pg_cache_put(struct pg_cache *k, uint64_t id, struct str key, uint64_t hash);
/* What a sound result of a statement has shown of its rows. */
void pg_cache_shape(struct pg_cache *k, uint64_t id, const PGresult *res);
/* Drops an entry; gone: the server has dropped it already. */
void pg_cache_drop(struct pg_cache *k, struct pg_stmt *p, bool gone);
/* The server does not know a statement that was added before it had answered. */
void pg_cache_lost(struct pg_cache *k, uint64_t id);
/* Drops all; gone: DISCARD ALL or DEALLOCATE ALL ran. */
void pg_cache_clear(struct pg_cache *k, bool gone);
void pg_stmt_name(uint64_t id, char buf[PG_NAME_BYTES]);

/* postgres_value.c */
bool pg_params_set(struct pg_params *p, const struct stmt *s, struct err *err) MUST_CHECK;
void pg_params_done(struct pg_params *p);
/* The text of a float8, with its NUL; out has NUM_DOUBLE_BYTES. */
void pg_put_double(double d, char *out);
/* The letter of a parameter's type in a cache key. */
char pg_param_letter(const struct stmt *s, size_t i);
enum pg_cell pg_cell_of(Oid type);

/* postgres_bytes.c */
/* Are the bytes among a raw statement's parameters, which are set, meant by it as bytes? Else ERR_INVALID_PARAMETERS
 * with the argument's place. Parks; a BEGIN that waits is sent. */
bool pg_bytes_fit(struct pg_conn *c, const struct stmt *s, int64_t deadline_ns, struct err *err) MUST_CHECK;

/* postgres_answer.c */
/* For an answer that cannot be (`what`: a noun): an internal error, the connection is broken; an autocommit statement's
 * outcome is unknown. Always false. */
bool pg_fail_answer(struct pg_conn *c, const char *what, bool autocommit, struct err *err);
/* Rows that a statement changed; those that it read do not count. */
int64_t pg_count_affected(const char *tag);
/* What is wrong with the columns of an answer; n_expected 0: any number of them. Static text, NULL: nothing. */
const char *pg_columns_fault(const PGresult *res, size_t n_expected, bool names);
/* The cell of a row, checked; bytes are decoded inside res and may be read once. False: it is no value of its type. */
bool pg_cell_value(PGresult *res, int row, int column, enum pg_cell cell, struct value *ret) MUST_CHECK;
/* All cells of an answer, row by row, into ret, which has room for them; once. What is wrong with them: static text,
 * NULL: nothing. */
const char *pg_rows_read(PGresult *res, struct value *ret);
/* The same of DataRow messages one behind the other, and a byte behind them: each of its own length, and of as many
 * cells as the shape has, as far as its length leaves room for them. Texts are borrowed from them. */
const char *pg_cells_read(char *rows, size_t n_rows, const struct pg_shape *shape, struct value *ret);

/* postgres_error.c */
/* Is it the server's last word on this connection? NULL: no. */
bool pg_is_fatal(const PGresult *res);
/* Maps a failed result; res may be NULL: connection lost. Marks the connection broken when it is. Always false. The
 * outcome of an autocommit statement that met the server's last word is unknown: whoever knows that its result had not
 * been sent, and thus that its commit had not begun, may say rolled back. */
bool pg_fail(struct pg_conn *c, const PGresult *res, bool raw, bool autocommit, struct err *err);
bool pg_fail_said(struct pg_conn *c, const struct pg_said *said, bool raw, bool autocommit, struct err *err);
/* Maps a connection that could not be made. pg may be NULL. Always false. */
bool pg_fail_connect(const struct dsn *dsn, const PGconn *pg, struct err *err);

/* Do the options of a URL satisfy require_database_tls, where it is set? ERR_FORBIDDEN. */
bool pg_tls_enough(const PQconninfoOption *options, struct err *err) MUST_CHECK;

#endif
