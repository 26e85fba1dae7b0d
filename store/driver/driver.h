/*
 * The database driver's vtable: everything above it is the same for both databases. A connection belongs to one lease
 * at a time; its calls may park the fiber (wait.h) and must be made by the fiber that leased it. Rows go up into a
 * sink, as in handlers/answer/rows.h. A pool owns its connections, who prepares owns the cursor.
 */
#ifndef FERROD_STORE_DRIVER_DRIVER_H
#define FERROD_STORE_DRIVER_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/arena.h"
#include "service/base/clock.h"
#include "service/base/err.h"
#include "service/base/macros.h"
#include "service/base/wait.h"
#include "store/dialect/dialect.h"
#include "store/stmt.h"
#include "store/value.h"

struct dsn;
struct turn;
struct driver;
struct cursor;
struct live_schema;

/* What may be between us and the server (PostgreSQL): found out, nothing, or a pooler that gives each transaction
 * another of the server's connections. */
enum pooler { POOLER_AUTO, POOLER_NONE, POOLER_TRANSACTION };

enum tx_state { TX_STATE_NONE, TX_STATE_OPEN, TX_STATE_ABORTED, TX_STATE_UNKNOWN /* connection lost */ };

enum tx_isolation { TX_ISO_DEFAULT, TX_ISO_READ_COMMITTED, TX_ISO_REPEATABLE_READ, TX_ISO_SERIALIZABLE };

/* By what a transaction can be asked for after its connection was lost: its number, of one history of one cluster. */
struct commit_mark {
	bool is_set;
	bool asks;  /* its commit waits for a synchronous standby where the server has one */
	bool waits; /* and the server has one */
	uint64_t xid, cluster;
	uint32_t timeline;
};

/* What became of one. */
enum commit_fate {
	COMMIT_FATE_UNKNOWN,
	COMMIT_FATE_COMMITTED,
	COMMIT_FATE_LOCAL,   /* committed on the server that ran it; whether a standby has it that it was to wait for,
				is not known */
	COMMIT_FATE_WAITING, /* unknown, of one that was to wait for a standby */
	COMMIT_FATE_ROLLED_BACK
};

/* What is known of a client's own statement by its text and the database's catalog. */
enum raw_kind {
	RAW_UNKNOWN, /* nothing, or nothing any more */
	RAW_OTHER,
	RAW_CLEAN, /* it leaves nothing in the session */
	RAW_SHARES /* and it has no effect but its rows: it may go in company */
};

/* Per-database state shared by the connections of one pool: the name of an in-memory database, its anchor connection.
 * Made by driver->db_open, opaque to all others. */
struct driver_db;

#define DRIVER_ROLE_BYTES 64 /* PostgreSQL's names have 63 */

/* Base struct, embedded first in the driver's own. */
struct driver_conn {
	const struct driver *driver;
	struct driver_db *db;
	bool broken;           /* never to be reused: the pool closes it */
	int64_t opened_ns;     /* monotonic */
	int64_t idle_since_ns; /* set by the pool */
	uint64_t generation;   /* of the pool when it was opened; older ones are replaced */
	int64_t since_ns;      /* when what its user waits for began: others' locks are waited for so long after it */
	bool has_turn;         /* the writer's, set by the pool: what it waits for holds up all who queue for that */
	int64_t statement_timeout_ns; /* 0: none but the request's deadline */
	int64_t lent_ns;              /* set before a step: the statement's time is to be put off by that, once */
	int64_t request_deadline_ns;  /* set before each prepare: its request's own end, whatever the statement's is */
	bool unreplicated;            /* PostgreSQL: the last commit's wait for a standby was cancelled */
	/* PostgreSQL: what the statement had to tell, as JSON objects with commas between them; bounded. Emptied by
	 * exec before each statement of a client's own. */
	struct strbuf notices;
	unsigned n_notices;
	bool session_dirty;      /* raw SQL ran: `reset` before the next lease */
	bool refused;            /* PostgreSQL: by before_next */
	bool marks;              /* set before begin_later: `mark` is asked for with the first statement */
	struct commit_mark mark; /* likewise, of its transaction */
	bool company; /* others share the transaction: a client's statement that could tell, or end it, is refused with
			 ERR_AGAIN_ALONE */
	char role[DRIVER_ROLE_BYTES]; /* PostgreSQL, by exec: which one the next statements run under; "": its user's */
	struct driver_conn *next;     /* the pool's list */
	uint64_t cache_hits, cache_misses;
	/* Top-level transactions that have ended on this connection, whoever's SQL ended them; never reset. Counted
	 * after every statement: on PostgreSQL by the command tag (COMMIT; ROLLBACK when the connection is idle then,
	 * so not ROLLBACK TO), on SQLite when sqlite3_get_autocommit has turned from 0 to 1 (rolled back when the
	 * rollback hook fired, else committed). COMMIT AND CHAIN and ROLLBACK AND CHAIN count, though the next one is
	 * open then; PREPARE TRANSACTION counts as both: what will become of it is not known. */
	uint64_t n_commits, n_rollbacks;
};

/* Puts the running statement's deadline off by what was lent since it was last asked. */
static inline void driver_take_loan(struct driver_conn *c, int64_t *deadline_ns)
{
	if (*deadline_ns < CLOCK_NEVER - c->lent_ns)
		*deadline_ns += c->lent_ns;
	c->lent_ns = 0;
}

/* One column of a running statement. */
struct cursor_column {
	struct str name;   /* borrowed until finish */
	unsigned type_oid; /* PostgreSQL; 0 on SQLite */
	struct str type;   /* SQLite: as it was declared; STR_NONE: it is no table's. Borrowed like the name */
};

/* A running statement. Whoever prepares must finish. */
struct cursor {
	struct driver_conn *conn;
	size_t n_columns;                    /* 0: yields no rows */
	const struct cursor_column *columns; /* valid until finish */
	const struct value *row;             /* n_columns; valid until the next step */
	int64_t affected;                    /* rows changed; valid once step has answered "no row" */
	int64_t last_insert_id;              /* SQLite; 0: none */
	bool read_only;                      /* the engine says that the statement writes nothing (SQLite) */
	bool joins; /* a client's own: it may share a transaction with others (see driver_conn.company) */
};

/* One of several quick statements that share a round trip or, SQLite's writes, a transaction. */
struct batch_item {
	const struct stmt *stmt; /* borrowed until the call first parks (its request may leave); by SQLite's run_writes
				  * until it returns */
	int64_t deadline_ns;     /* of its request: PostgreSQL's run_writes cancels what still runs then */
	int64_t since_ns;        /* when it came; writes without a pipeline only: as of driver_conn.since_ns */
	/* Called by run_writes as soon as this item's fate is known, or NULL; the item is not touched afterwards.
	 * SQLite knows them all at once, when it returns, and does not call it. */
	void (*done)(struct batch_item *item);
	/* what run_batch leaves: a result (cursor_of reads it), a failure, or `again`: nothing has happened, run it by
	 * itself */
	void *result; /* owned by whoever holds the item: batch_drop */
	bool failed, again;
	bool slow;      /* it took too long, or ended what it shared with others: better by itself in future */
	struct err err; /* when failed; last (lane.c) */
};

/* Rows of one shape on their way into a table. All borrowed. */
struct load {
	const bool *given; /* n_columns: the columns that the rows give */
	size_t n_columns;
	const struct value *const *rows; /* n_rows, each n_columns values, those not given unused */
	size_t n_rows;
};

/* What introspection looks at. */
struct introspect_scope {
	bool search_path; /* every schema of the search path; else the current one and those listed */
	const struct str *schemas;
	size_t n_schemas;
	bool listed_only;         /* not the current one */
	bool views;               /* views, foreign and virtual tables, too */
	const struct str *tables; /* those alone, and what their foreign keys point at; n_tables 0: all */
	size_t n_tables;
};

/* How the transaction of a migration begins. */
struct migrate_begin {
	bool leases;         /* PostgreSQL: by a row in place of an advisory lock */
	bool plan_only;      /* nothing will be written: no lock against other migrations */
	bool rebuild;        /* SQLite: tables may be rebuilt */
	int64_t lock_ns;     /* until when others are waited for: ERR_DATABASE_BUSY then */
	int64_t deadline_ns; /* of the whole */
};

/* What a look at a database reads of it: rows of two texts. A statement that cannot run has none. */
struct driver_look {
	const char *sql;
	void (*row)(void *arg, struct str name, struct str value); /* borrowed for the call */
	void *arg;
	bool opened; /* set: it can be opened, so a failure is one of reading the rows */
};

/* Statements that travel in one flight; fewer than a connection keeps prepared. */
#define DRIVER_AHEAD_MAX 64

struct driver {
	const char *name; /* "sqlite", "postgres" */
	const struct dialect *dialect;

	/* Shared state for the pool of one dsn (borrowed for the db's life). Does not connect. */
	bool (*db_open)(const struct dsn *dsn, struct driver_db **ret, struct err *err) MUST_CHECK;
	void (*db_close)(struct driver_db *db); /* every connection is closed by then */

	/* NULL: there can be none (SQLite). What is asked for, of connections to come; what is
	 * known. Any thread. */
	void (*db_set_pooler)(struct driver_db *db, enum pooler pooler);
	enum pooler (*db_pooler)(const struct driver_db *db);

	/* What `open` would refuse of a file, which is neither made nor changed; q may be NULL. Errors as of `open`.
	 * Blocks. NULL member: there is no file to look at (PostgreSQL). */
	bool (*look)(const struct driver_db *db, struct driver_look *q, struct err *err) MUST_CHECK;
	/* Connects. ERR_DATABASE_UNAVAILABLE, ERR_DATABASE_FORBIDDEN, ERR_INVALID_URL (a SQLite file that cannot be
	 * opened). */
	bool (*open)(struct driver_db *db, int64_t deadline_ns, struct driver_conn **ret, struct err *err) MUST_CHECK;
	/* Closes at once, whatever runs. Never parks. */
	void (*close)(struct driver_conn *c);

	/* Prepares (from the connection's cache when stmt->cache), binds and starts. On false nothing is left to
	 * finish. Raw SQL: a second statement in the text, or a wrong number of parameters, is refused before anything
	 * runs. */
	bool (*prepare)(struct driver_conn *c, const struct stmt *s, int64_t deadline_ns, struct cursor **ret,
			struct err *err) MUST_CHECK;
	/* Next row, or *ret_row = false at the end. On an error the cursor still has to be finished. */
	bool (*step)(struct cursor *cur, bool *ret_row, struct err *err) MUST_CHECK;
	/* Ends the statement; rows not read are dropped (the statement is cancelled when that would take long). NULL is
	 * fine. May set conn->broken. */
	void (*finish)(struct cursor *cur);

	/* NULL where reads that share a snapshot gain nothing (PostgreSQL). Until snapshot_close all reads of the
	 * connection see one state, which is fixed by the first of them; false: they see what each finds, here that is
	 * no dearer, or it could not be had. Neither parks; snapshot_close is a no-op without a snapshot. */
	bool (*snapshot_open)(struct driver_conn *c);
	void (*snapshot_close)(struct driver_conn *c);
	/* Moves with every commit of this process: a snapshot that was opened before it moved is older than an answer
	 * that was given. Any thread. */
	uint64_t (*write_epoch)(void);

	/* NULL where a batch has no advantage (SQLite). Sends n cached autocommit reads at once, with one sync point
	 * behind them, and waits for all of them; a failing one costs the others nothing but `again`. May mark the
	 * connection broken. Parks. */
	void (*run_batch)(struct driver_conn *c, struct batch_item *const *items, size_t n, int64_t deadline_ns);
	/* Runs n cached autocommit writes; one that fails takes nothing with it, and one without `failed` and `again`
	 * is durable. SQLite: in one transaction, each in its savepoint, until deadline_ns. PostgreSQL: one after the
	 * other in a pipeline, each in its own transaction and within its own deadline. An item is `again` only when
	 * nothing of it has remained. May mark the connection broken. Parks. */
	void (*run_writes)(struct driver_conn *c, struct batch_item *const *items, size_t n, int64_t deadline_ns);
	/* Writes of several connections proceed side by side (PostgreSQL). */
	bool many_writers;
	/* Is it known that none of the statement's tables calls what could leave something in the session? NULL:
	 * nothing could (SQLite). Any thread, never parks. */
	bool (*plain)(struct driver_db *db, const struct stmt *s);
	/* What is known of a client's own statement outside a transaction. Any thread, never parks. */
	enum raw_kind (*raw_kind)(struct driver_db *db, const struct stmt *s);
	/* Is run_batch to be used? NULL: yes. */
	bool (*groups_reads)(const struct driver_db *db);
	/* Is there anything to gain by run_writes? */
	bool (*groups_writes)(const struct driver_db *db);
	/* A cursor over the item's result, valid until batch_drop; it belongs to no connection. Goes through
	 * batch_step; columns have names when the statement is a client's own. */
	struct cursor *(*batch_cursor)(struct batch_item *item);
	bool (*batch_step)(struct cursor *cur);
	/* Frees the result; no-op without one. Any thread. */
	void (*batch_drop)(struct batch_item *item);

	/* NULL where statements of many rows are as quick (SQLite). A load inserts any number of rows of one shape in
	 * an open transaction. Begins one; sql is COPY ... FROM STDIN. Nothing else runs on the connection until it has
	 * ended. place is the table's, given for the first load into it in a unit: if it is none that can be loaded
	 * into (a view, say), *ret_began is false. On false there is no load. Parks. */
	bool (*load_begin)(struct driver_conn *c, struct str place, struct str sql, int64_t deadline_ns,
			   bool *ret_began, struct err *err) MUST_CHECK;
	/* Adds rows. They may be looked at only later: an error can be that of an earlier row. On false the load is to
	 * be aborted. Parks. */
	bool (*load_rows)(struct driver_conn *c, const struct load *l, int64_t deadline_ns, struct err *err) MUST_CHECK;
	/* Ends it, whatever it returns; *ret_rows have been inserted since its beginning. Parks. */
	bool (*load_end)(struct driver_conn *c, int64_t deadline_ns, int64_t *ret_rows, struct err *err) MUST_CHECK;
	/* Gives a load up, if there is one; what it inserted is to be rolled back. Shielded. Parks. */
	void (*load_abort)(struct driver_conn *c);

	/* Runs statements without parameters or rows (BEGIN, DDL). Unprepared. */
	bool (*simple)(struct driver_conn *c, struct str sql, int64_t deadline_ns, struct err *err) MUST_CHECK;
	/* The same, one after the other in an open transaction and few round trips, on SQLite by one thread: each is
	 * one statement, and the first that fails ends it; *ret_done have been run by then. Parks. */
	bool (*simple_all)(struct driver_conn *c, const struct str *sqls, size_t n, int64_t deadline_ns,
			   size_t *ret_done, struct err *err) MUST_CHECK;

	/* BEGIN in the dialect's words. SQLite: deferred (read_only or not); the caller holds the writer's turn before
	 * it writes. */
	bool (*begin)(struct driver_conn *c, enum tx_isolation iso, bool read_only, int64_t deadline_ns,
		      struct err *err) MUST_CHECK;
	/* The same without a round trip: BEGIN travels with the first statement, whose error is its own then, too.
	 * NULL: begin costs none (SQLite). */
	bool (*begin_later)(struct driver_conn *c, enum tx_isolation iso, bool read_only, int64_t deadline_ns,
			    struct err *err) MUST_CHECK;
	/* The same for one that will write, after reading or not: what others lock is waited for now, while nothing has
	 * been read yet that they may change. NULL: begin will do. */
	bool (*begin_write)(struct driver_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
	bool (*commit)(struct driver_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
	/* The next statement takes COMMIT along, and before it the mark for ret_mark (NULL: none is wanted; else it
	 * stays until the statement's end): n_commits or n_rollbacks tells what came of it, both that nobody knows. A
	 * statement that fails leaves the transaction as ever. False: not here, nothing is noted. NULL: never (SQLite).
	 */
	bool (*commit_next)(struct driver_conn *c, struct commit_mark *ret_mark);
	/* The next statement takes this one along, in front of it: a cached INSERT without RETURNING. For a transaction
	 * that has begun by begin_later and has run nothing yet. Where it fails so does the next statement, unrun;
	 * c->refused then: it broke a unique constraint, or is to be prepared anew. c->mark is what it says of the
	 * transaction where it has succeeded. False: not here, nothing is noted. NULL: never (SQLite). Never parks. */
	bool (*before_next)(struct driver_conn *c, const struct stmt *s);
	/* In an open transaction: the next statement is stmts[0], and the others follow it in order, with nothing
	 * between. They leave with it, and behind the last of them the COMMIT of commit_next; each is prepared in its
	 * turn all the same, with the same text and values, and its answer is there then. One that fails ends them
	 * all, and nothing behind it has run. What may not travel goes by itself, and so do those behind it. Borrowed
	 * until none is left, or the transaction has ended. False: not here. NULL: never (SQLite). */
	bool (*ahead)(struct driver_conn *c, const struct stmt *const *stmts, size_t n);
	/* How many have left and have not been prepared. */
	size_t (*ahead_left)(const struct driver_conn *c);
	/* NULL: nobody could be asked (SQLite, which loses no connection). Before a commit: the open transaction's
	 * mark, not set when it has written nothing, or cannot be asked for. A failure is the transaction's. Parks. */
	bool (*commit_mark)(struct driver_conn *c, int64_t deadline_ns, struct commit_mark *ret,
			    struct err *err) MUST_CHECK;
	/* Afterwards, on any connection: waits for one that is still under way. Parks. */
	enum commit_fate (*commit_fate)(struct driver_conn *c, const struct commit_mark *m, int64_t deadline_ns);
	/* A part of an open transaction that others share, which is kept or undone by itself. What is kept leaves
	 * nothing behind that could make the commit fail: foreign keys that are not met undo the part. part_undo may
	 * have to roll back all of it. NULL: transactions are not shared (PostgreSQL). Park. */
	bool (*part_begin)(struct driver_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
	bool (*part_end)(struct driver_conn *c, struct err *err) MUST_CHECK;
	void (*part_undo)(struct driver_conn *c);
	/* Rolls back whatever is open; never leaves a transaction open (marks the connection broken instead). Shielded.
	 */
	void (*rollback)(struct driver_conn *c);
	/* The engine's own word, no round trip. */
	enum tx_state (*tx_state)(struct driver_conn *c);

	/* A round trip: is it alive? */
	bool (*ping)(struct driver_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
	/* Clears what a client may have set (DISCARD ALL, temp tables). false: close it. */
	bool (*reset)(struct driver_conn *c, int64_t deadline_ns) MUST_CHECK;
	/* Cancels the running statement of c; callable from another fiber or thread, returns at once. */
	void (*cancel)(struct driver_conn *c);
	/* Drops cached prepared statements (after DDL). */
	void (*forget)(struct driver_conn *c);
	/* Server's version text ("15.18", "3.40.1"), static or owned by c. */
	const char *(*server_version)(struct driver_conn *c);
	/* Writes the names of the ordinary tables of the current schema to the arena. */
	bool (*list_tables)(struct driver_conn *c, struct arena *a, int64_t deadline_ns, struct str **ret,
			    size_t *ret_n, struct err *err) MUST_CHECK;

	/* Every ordinary table of the scope, and views where it says so, in the arena; rows are not looked at. Parks.
	 */
	bool (*introspect)(struct driver_conn *c, const struct introspect_scope *scope, struct arena *a,
			   int64_t deadline_ns, struct live_schema *ret, struct err *err) MUST_CHECK;
	/* Begins the transaction of a migration, holding the lock that keeps other migrations (any process's) out until
	 * it ends. Whatever it returns, the caller ends the transaction and calls migrate_end. Parks. */
	bool (*migrate_begin)(struct driver_conn *c, const struct migrate_begin *how, struct err *err) MUST_CHECK;
	/* Whether what follows renames: then what hangs on a table follows it, which a rebuild must not have. NULL: it
	 * always does. */
	bool (*migrate_renaming)(struct driver_conn *c, bool renaming, struct err *err);
	/* Until when each statement that follows waits for others' locks. NULL: only the first one of a transaction
	 * waits. Parks. */
	bool (*migrate_patience)(struct driver_conn *c, int64_t lock_ns, int64_t deadline_ns,
				 struct err *err) MUST_CHECK;
	/* Fills uses and broken of a live schema, in the arena. Parks. */
	bool (*migrate_uses)(struct driver_conn *c, struct arena *a, int64_t deadline_ns, struct live_schema *ret,
			     struct err *err) MUST_CHECK;
	/* Before the commit of rebuilt tables: ERR_MIGRATION_REFUSED when the database is not sound. NULL: nothing to
	 * look at. Parks. */
	bool (*migrate_check)(struct driver_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
	/* After the transaction: what migrate_begin had set is as before, or the connection is marked broken. May be
	 * NULL. */
	void (*migrate_end)(struct driver_conn *c);

	/* Is the database that c has open not the one any more that its URL leads to? Cheap; asked at each lease. NULL:
	 * that cannot be. */
	bool (*stale)(struct driver_conn *c);
	/* Cleans up after a time of work, on an idle connection of a pool that nobody uses. False: others were in the
	 * way; to be tried again. Parks. NULL: nothing to do. */
	bool (*tidy)(struct driver_conn *c);
	/* Does somebody outside this process hold a lock that its writers wait for? Any thread. NULL: no such locks. */
	bool (*locked_out)(struct driver_db *db);
	/* Does the one who has the writer's turn wait for such a lock now? *ret_ns: until when one whose work began at
	 * since_ns waits with it, which may be over; else when to ask again. Any thread. NULL likewise. */
	bool (*locked_until)(struct driver_db *db, int64_t since_ns, int64_t *ret_ns);
	/* The client's end of the connection, as the system has it ("10.0.0.7", "[fe80::1]"; a local socket:
	 * "127.0.0.1"). Never parks. NULL: there is none (SQLite). */
	bool (*local_address)(struct driver_conn *c, char ret[64]);
	/* From now on the connection hears what is told on the channel, a word; it is nobody else's until it is reset.
	 * `notified` waits for that: WAIT_READY also when the connection is lost (broken). Park. NULL: there is no such
	 * thing (SQLite). */
	bool (*listen)(struct driver_conn *c, struct str channel, int64_t deadline_ns, struct err *err) MUST_CHECK;
	enum wait_result (*notified)(struct driver_conn *c, int64_t deadline_ns);
	/* Copies the database's file while others write it (sqlite_backup.h). NULL: the database has means of its own.
	 */
	bool (*backup)(const char *from, struct driver_conn *held, const char *to, int64_t deadline_ns,
		       int64_t *ret_bytes, struct err *err) MUST_CHECK;
	/* The turn that a lease takes before it writes; borrowed for the db's life. NULL member: writers need none. */
	struct turn *(*writer_turn)(struct driver_db *db);
};

extern const struct driver driver_sqlite;
extern const struct driver driver_postgres;

/* Library versions for /version: "3.40.1", "15.18"; static. */
const char *driver_sqlite_version(void);
const char *driver_postgres_version(void);

/* From now on connections tell the server that name (application_name) in place of "ferrod" and of what their URLs
 * say. Borrowed. Before the first open of those that shall. */
void driver_postgres_name(const char *name);
/* From now on ERR_FORBIDDEN for a URL that leads beyond loopback without sslmode=verify-full. Before the first open. */
void driver_postgres_require_tls(void);

#endif
