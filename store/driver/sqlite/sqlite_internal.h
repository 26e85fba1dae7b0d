/*
 * What the files of the SQLite driver share; nobody else includes it. A pool owns its connections; the database
 * (struct driver_db), which they share, owns the anchor, and a connection its prepared statements.
 */
#ifndef FERROD_STORE_DRIVER_SQLITE_INTERNAL_H
#define FERROD_STORE_DRIVER_SQLITE_INTERNAL_H

#include <sqlite3.h>

#include "service/base/map.h"
#include "service/base/mutex.h"
#include "store/connection/dsn.h"
#include "store/driver/driver.h"

/*
 * The files:
 *
 *   driver_sqlite.c   the vtable: connections, ping, reset
 *   sqlite_db.c       per-database state: file name, anchor of an in-memory database
 *   sqlite_file.c     files as they lie on the disk: the writer's turn, and what happens when one is replaced
 *   sqlite_look.c     what opening a file would say
 *   sqlite_tx.c       transactions
 *   sqlite_part.c     parts of transactions that several requests share
 *   sqlite_stmt.c     statements: cache, parameters, steps (sqlite_stmt.h)
 *   sqlite_row.c      their columns and rows
 *   sqlite_text.c     their texts
 *   sqlite_ahead.c    rows of statements that compute for long, made off the loop
 *   sqlite_away.c     what shows only on a loop that it takes long, begun anew off it
 *   sqlite_compile.c  what others wrote, compiled off the loop
 *   sqlite_group.c    writes of many requests in one transaction
 *   sqlite_snapshot.c reads of many requests in one transaction
 *   sqlite_wait.c     how a connection waits: busy, progress, offloaded steps
 *   sqlite_proof.c    clients' texts that only read
 *   sqlite_policy.c   the authorizer: what SQL may not do, and what a connection must not be reused after
 *   sqlite_function.c functions of SQLite in linear time and in steps: instr, replace, trim, hex, randomblob
 *   sqlite_time.c     instants in the spellings of others
 *   sqlite_like.c     LIKE, GLOB, and ILIKE over all of Unicode
 *   sqlite_pattern.c  their patterns
 *   sqlite_json.c     functions on documents that SQLite lacks
 *   sqlite_case.c     lower and upper case in all of Unicode
 *   sqlite_tokenizer.c   full-text search: its tokenizers, with breaks
 *   sqlite_fts5.c, sqlite_rank.c, sqlite_match.c   its functions in linear time (sqlite_match.h)
 *   sqlite_virtual.c  does a statement touch virtual tables?
 *   introspect_sqlite.c, migrate_sqlite.c, uses_sqlite.c   what migrations need (store/driver/introspect.h)
 *   words_sqlite.c    booleans that are words
 *   fault_sqlite.c    SQLite's allocations, made to fail on purpose
 *   sqlite_backup.c   copies of a file that others write
 *   sqlite_error.c    result codes and messages to struct err
 */

struct sqlite_file;

/* A file that a database has had open. */
struct sqlite_past {
	struct sqlite_file *file;
	struct sqlite_past *next;
};

/* What is known of the locks that others hold on a database. */
struct sqlite_locked {
	int64_t since_ns; /* atomic; 0: none in the way. See sqlite_db_locked */
	int64_t tried_ns; /* atomic; when the one who has the writer's turn last looked whether it has gone */
};

struct driver_db {
	const struct dsn *dsn; /* borrowed */
	char *path;            /* of a file; owned, for connections outlive what they were made from by a moment */
	char *file_name;       /* what SQLite opens; owned */
	int open_flags;
	bool is_file;         /* commits sync a disk, opening may block */
	bool no_links;        /* a symbolic link is never followed to the file */
	sqlite3 *anchor;      /* keeps an in-memory database alive; NULL before the first open and for files */
	struct mutex lock;    /* of anchor */
	struct turn own_turn; /* until the file is known, and for in-memory databases */
	struct sqlite_locked own_locked; /* the same */
	struct sqlite_file *file;        /* atomic; that lay under the path when it was opened last; NULL before */
	struct sqlite_past *past;        /* all of them; under the lock of the files */
	struct sqlite_proofs *proofs;
};

/* Why a running statement was stopped by us. */
enum sqlite_stop { SQLITE_STOP_NONE, SQLITE_STOP_DEADLINE, SQLITE_STOP_CANCELLED, SQLITE_STOP_AWAY };

struct sqlite_stmt;

struct sqlite_conn {
	struct driver_conn base; /* first */
	sqlite3 *h;
	struct sqlite_file *file; /* that it has open; NULL: in memory */
	int64_t deadline_ns;      /* of what runs now */
	int64_t busy_until_ns;    /* of the lock that is waited for */
	int64_t busy_timeout_ns;
	int value_bytes; /* SQLITE_LIMIT_LENGTH, but while a loop steps what reads */
	int64_t unit_ns; /* of a client's own statement in a transaction that it shares */
	enum sqlite_stop stop;
	unsigned n_progress; /* calls of the progress handler in this run of a statement */
	bool shielded;       /* a rollback runs: neither deadline nor cancellation */
	bool impatient;      /* no lock is waited for */
	bool busy;           /* one was, in this run of a statement */
	bool internal;       /* SQL of the driver itself: the authorizer lets it pass */
	struct fiber *
		offloaded; /* the parked fiber that a thread of the pool steps for; NULL: stepped by the fiber itself */
	bool stepping;     /* inside sqlite3_step: what VACUUM attaches is its own */
	bool committed;    /* the commit hook ran; counted by sqlite_settle */
	bool step_committed; /* it ran in the step before */
	bool rolled_back;    /* the rollback hook ran */
	bool raw;            /* the statement prepared last is a client's own */
	bool query_only;     /* a read-only transaction runs */
	bool migrating;  /* sorting for an index or dropping a table is one step of SQLite's machine, however long */
	bool rebuilding; /* and may rebuild tables */
	bool tainted;    /* a setting or temporary object may be left: never reset, only closed */
	int64_t changes_before; /* sqlite3_total_changes64 when the transaction, or the statement on its own, began */
	bool like_case;         /* PRAGMA case_sensitive_like, which would bring SQLite's own LIKE back */
	bool saw_insert;        /* by the authorizer, while preparing */
	bool saw_update, saw_match;
	bool saw_delete, saw_column; /* a DELETE that asks for no column empties its table in one step */
	bool saw_begin;              /* BEGIN */
	bool saw_divide;             /* SAVEPOINT or RELEASE */
	bool saw_own_savepoint;      /* its name is one of ours, which a client's text may not say */
	bool saw_taint;
	bool saw_alone; /* what shares no transaction: words about transactions, settings, counts of the connection */
	bool saw_busy;  /* PRAGMA busy_timeout, with a time or (-1) without */
	bool saw_paths; /* PRAGMA database_list */
	int64_t saw_busy_ms;
	bool saw_beyond;       /* more than reads: sqlite_proof.c */
	bool saw_heavy;        /* one step may compute for long: it is not made by the loop */
	bool saw_long;         /* compiling takes longer than compile_left allows: it was given up */
	bool saw_too_long;     /* it would have been more steps than a thread compiles */
	unsigned compile_left; /* questions of the compiler's that a loop may still wait for; 0: any number */
	unsigned compile_asked;
	bool here;            /* a loop is inside sqlite3_step */
	bool may_begin_anew;  /* and what it steps only reads */
	bool saw_changed;     /* something is compiled anew inside a step */
	bool away;            /* it gave up, for it would have taken long: a thread is to begin anew. sqlite_away.c */
	int64_t looked_ns;    /* the last look at the progress of what a loop steps; 0: none yet */
	int64_t aside_ns;     /* when the loop had a turn for others last, or that first look was */
	int64_t aside_cpu_ns; /* what its thread had taken of a processor by then; 0: not known */
	bool reads;           /* the statement that is stepped writes nothing */
	bool divides;         /* it begins or ends a savepoint within a transaction, which is brief and syncs nothing */
	bool begins;          /* it begins a transaction: the file is not written */
	bool savepoint_tx;    /* a SAVEPOINT began the transaction: RELEASE may commit it */
	unsigned words;       /* tokenized, all in all */
	size_t match_terms, match_phrases; /* of full-text queries since the last look at the progress */
	const char *match_at, *match_end;  /* that FTS3's tokenizer has opened last; compared only */
	size_t text_words;                 /* of it */
	bool match_refused;                /* what runs was a query of too many words */
	sqlite3_stmt *st_schema;           /* of sqlite_virtual.c; NULL until used */
	int64_t virtual_schema;            /* version of the schema that the next two are of; -1: not known */
	bool has_virtual;
	bool has_nested;                    /* views name others, likewise */
	bool wal;                           /* readers and the writer do not block each other */
	sqlite3_stmt *st_begin, *st_commit; /* of snapshots; NULL until the first one */
	sqlite3 *helper;                    /* of sqlite_function.c, with its statement; NULL until used */
	sqlite3_stmt *st_patch;
	struct map by_sql;                       /* cached statements */
	struct sqlite_stmt *lru_head, *lru_tail; /* cached statements, last used first */
	size_t n_cached;
};

static inline struct sqlite_conn *sqlite_conn_of(struct driver_conn *c)
{
	return CONTAINER_OF(c, struct sqlite_conn, base);
}

/* ---- sqlite_db.c ---- */

bool sqlite_db_open(const struct dsn *dsn, struct driver_db **ret, struct err *err) MUST_CHECK;
void sqlite_db_close(struct driver_db *db);
/* A file's path as a URI with that query; owned by the caller. */
char *sqlite_uri_name(struct str path, const char *query);
/* driver.look. */
bool sqlite_look(const struct driver_db *db, struct driver_look *q, struct err *err) MUST_CHECK;
/* Is a file that SQLite keeps beside the database a symbolic link? It would refuse to open one too, but say less. */
bool sqlite_db_has_linked_sibling(const struct driver_db *db);
/* After a successful open: the anchor of an in-memory database. Returns a result code. */
int sqlite_db_anchor(struct driver_db *db);
struct turn *sqlite_db_turn(struct driver_db *db);
/* A lock of another process is in the way: since when, as far as this process has seen, which is now unless somebody
 * has waited for it already. So all who queue behind the first count from the same moment. Any thread. */
int64_t sqlite_db_locked(struct driver_db *db, int64_t now_ns);
/* It is not, or not any more. */
void sqlite_db_unlocked(struct driver_db *db);
bool sqlite_db_locked_out(struct driver_db *db);
/* The connection that has the writer's turn waits for such a lock now. */
void sqlite_db_waits(struct driver_db *db, int64_t now_ns);
/* As of driver->locked_until, where such locks are waited for so long. */
bool sqlite_db_locked_until(struct driver_db *db, int64_t since_ns, int64_t timeout_ns, int64_t *ret_ns);

/* ---- sqlite_proof.c ---- */

struct sqlite_proofs *sqlite_proofs_create(void);
void sqlite_proofs_destroy(struct sqlite_proofs *x);
/* A client's text that takes so many parameters has been proven to read only. */
void sqlite_proof_keep(struct sqlite_conn *c, struct str sql, size_t n_params);
/* Does what the authorizer is asked for belong to a read that may go in company? */
bool sqlite_proof_allows(int action, const char *one, const char *two);
/* driver->raw_kind */
enum raw_kind sqlite_raw_kind(struct driver_db *db, const struct stmt *s);

/* ---- sqlite_part.c ---- */

bool sqlite_part_begin(struct driver_conn *base, int64_t deadline_ns, struct err *err) MUST_CHECK;
bool sqlite_part_end(struct driver_conn *base, struct err *err) MUST_CHECK;
void sqlite_part_undo(struct driver_conn *base);
/* What is counted (changes(), last_insert_rowid()) begins here. */
void sqlite_part_fresh(struct sqlite_conn *c);
/* Are all foreign keys met? Else the error that a commit would give. */
bool sqlite_part_clean(struct sqlite_conn *c, struct err *err) MUST_CHECK;

/* ---- sqlite_stmt.c ---- */

bool sqlite_prepare(struct driver_conn *c, const struct stmt *s, int64_t deadline_ns, struct cursor **ret,
		    struct err *err) MUST_CHECK;
bool sqlite_step(struct cursor *cur, bool *ret_row, struct err *err) MUST_CHECK;
void sqlite_finish(struct cursor *cur);
void sqlite_forget(struct driver_conn *base);
/* Runs each statement of the text in turn, uncached. */
bool sqlite_simple(struct driver_conn *c, struct str sql, int64_t deadline_ns, struct err *err) MUST_CHECK;
/* Runs one statement, dropping its rows. */
bool sqlite_run(struct sqlite_conn *c, struct str sql, bool cache, int64_t deadline_ns, struct err *err) MUST_CHECK;

/* ---- sqlite_text.c ---- */

/* SELECTs in one statement. */
#define SQLITE_TEXT_SELECTS_MAX 250

/* What is left of the text after white space, comments and semicolons. */
struct str sqlite_skip_blank(struct str sql);
/* How many there are in it, at most: words in strings and comments count, too. */
size_t sqlite_text_selects(struct str sql);
/* May it name what it says, again and again (WITH), so that it takes long to compile though it is short? */
bool sqlite_text_may_double(struct str sql);

/* ---- sqlite_tx.c: see driver.h ---- */

bool sqlite_begin(struct driver_conn *base, enum tx_isolation iso, bool read_only, int64_t deadline_ns,
		  struct err *err) MUST_CHECK;
bool sqlite_begin_write(struct driver_conn *base, int64_t deadline_ns, struct err *err) MUST_CHECK;
bool sqlite_commit(struct driver_conn *base, int64_t deadline_ns, struct err *err) MUST_CHECK;
/* Rolls back whatever is open, whatever the time. */
void sqlite_rollback(struct driver_conn *base);
enum tx_state sqlite_tx_state(struct driver_conn *base);

/* ---- sqlite_group.c: see driver.h ---- */

bool sqlite_groups_writes(const struct driver_db *db);
void sqlite_run_writes(struct driver_conn *base, struct batch_item *const *items, size_t n, int64_t deadline_ns);
struct cursor *sqlite_batch_cursor(struct batch_item *item);
bool sqlite_batch_step(struct cursor *cur);
void sqlite_batch_drop(struct batch_item *item);

/* ---- sqlite_away.c ---- */

/* Bounds of what is compiled and stepped from here on, by the loop or by a thread; text_len: of what is compiled. */
void sqlite_away_compiles(struct sqlite_conn *c, bool on_loop, size_t text_len);
/* Did the compiler end with that code, after so long, for want of steps that it may write? */
bool sqlite_away_too_long(int rc, int64_t took_ns);
/* Before and after sqlite3_step on a loop. */
void sqlite_away_enter(struct sqlite_conn *c, bool reads);
void sqlite_away_leave(struct sqlite_conn *c, int rc);
/* A look at the progress of what a loop steps. False: it is to give up. */
bool sqlite_away_look(struct sqlite_conn *c);

/* ---- sqlite_compile.c ---- */

/* Runs fn, which compiles what others wrote, off the loop, within the bounds of a thread and c's deadline. False: it
 * has not run, as of sqlite_wait_offload. */
bool sqlite_compile_away(struct sqlite_conn *c, void (*fn)(void *arg), void *arg) MUST_CHECK;
/* For an authorizer that listens there: is it to go on? Looks at the clock now and then. */
bool sqlite_compile_goes_on(struct sqlite_conn *c);
/* A step of h has ended with rc: was it for that reason, as what others have changed was compiled anew inside it? Says
 * so in c->saw_too_long, before the error is asked for. */
void sqlite_compile_judge(struct sqlite_conn *c, sqlite3_stmt *h, int rc);

/* ---- sqlite_snapshot.c: see driver.h ---- */

/* What a statement that reads has begun to see stays as it is for its connection until sqlite_snapshot_close. */
bool sqlite_snapshot_pin(struct sqlite_conn *c);

bool sqlite_snapshot_open(struct driver_conn *base);
void sqlite_snapshot_close(struct driver_conn *base);
/* Frees its statements. */
void sqlite_snapshot_done(struct sqlite_conn *c);

/* ---- sqlite_wait.c ---- */

/* Installs the busy and progress handlers. */
void sqlite_wait_init(struct sqlite_conn *c);
/* Puts our busy handler (back) in its place. */
void sqlite_wait_busy(struct sqlite_conn *c);
/* Begins a call: deadline (the earlier of it and the statement timeout), no stop yet. */
void sqlite_wait_begin(struct sqlite_conn *c, int64_t deadline_ns);
/* sqlite3_step, here and now; reads: it yields rows and writes nothing. */
int sqlite_wait_one(struct sqlite_conn *c, sqlite3_stmt *st, bool reads);
/* sqlite3_step, off the loop when it may sync a file. */
int sqlite_wait_step(struct sqlite_conn *c, sqlite3_stmt *st);
/* The same for a statement that yields rows and writes nothing: there is nothing to sync. was_in_tx: when it started.
 */
int sqlite_wait_read(struct sqlite_conn *c, sqlite3_stmt *st, bool was_in_tx);
/* Runs fn, which steps a statement and leaves the result code in *rc, on a thread that may compute for long, the fiber
 * being parked; the same accounts. */
void sqlite_wait_compute(struct sqlite_conn *c, void (*fn)(void *arg), void *arg, int *rc);
/* Runs fn on such a thread, which c belongs to meanwhile. False: none had begun it by c's deadline, and c->stop says
 * so.
 */
bool sqlite_wait_offload(struct sqlite_conn *c, void (*fn)(void *arg), void *arg) MUST_CHECK;
/* sqlite3_reset, likewise: ends what a step did not. */
void sqlite_wait_reset(struct sqlite_conn *c, sqlite3_stmt *st);
/* After each statement: a read-only transaction that has ended takes its setting with it. */
void sqlite_settle(struct sqlite_conn *c);

/* Called by functions now and then while they compute: what on_progress does between them. False: give up. */
bool sqlite_wait_pause(void *conn);
/* The connection whose statement this thread is stepping; NULL: none. */
struct sqlite_conn *sqlite_wait_stepping(void);
/* How often SQLite looks at the progress of what runs now: more often where what is counted between two looks is
 * bounded. */
void sqlite_wait_look(struct sqlite_conn *c, bool often);

/* ---- sqlite_tokenizer.c, sqlite_fts5.c ---- */

/* Terms of a full-text query at most; 0: any number. Before the first open. */
void sqlite_tokenizers_configure(size_t terms);
/* Is the text too long a full-text query? FTS5 offers no place to count the words of tables that name no tokenizer, so
 * that what is bound to a statement which only searches is counted before it runs. */
bool sqlite_tokenizers_too_many(struct str text);
/* Does a text that may hold such a query have more phrases in one NEAR group than are looked for, whose time grows with
 * their square? */
bool sqlite_tokenizers_too_near(struct str text);
/* Put ours in place of SQLite's. Return a result code. */
int sqlite_tokenizers_register(struct sqlite_conn *c);
int sqlite_fts5_register(struct sqlite_conn *c, fts5_api *api);

/* ---- sqlite_virtual.c ---- */

/* Does the statement, or a trigger that it fires, search or write virtual tables of the schema? When it cannot be told:
 * yes. */
bool sqlite_virtual_used(struct sqlite_conn *c, struct str sql);
/* May views take long to compile, for they name each other? When it cannot be told: yes. */
bool sqlite_virtual_nested(struct sqlite_conn *c);
/* Frees what it has used. */
void sqlite_virtual_done(struct sqlite_conn *c);

/* ---- sqlite_function.c ---- */

struct sqlite_function {
	const char *name;
	int n_args; /* -1: any */
	void (*call)(sqlite3_context *ctx, int n, sqlite3_value **args);
	int flags; /* SQLITE_DETERMINISTIC or 0 */
};

/* Defines functions whose user data is c. Returns a result code. */
int sqlite_functions_add(struct sqlite_conn *c, const struct sqlite_function *functions, size_t n);
/* Defines those of this file. Returns a result code. */
int sqlite_function_register(struct sqlite_conn *c);
/* Frees what they have used. */
void sqlite_function_done(struct sqlite_conn *c);

/* ---- sqlite_time.c ---- */

/* ferro_time(x), ferro_time(x, number of its unit's time_spelling): the instant in the form whose text order is time
 * order; what is none as it is. ferro_time_spelling(x): the spelling's word. Returns a result code. */
int sqlite_time_register(struct sqlite_conn *c);

/* ---- sqlite_respell.c ---- */

/* ferro_respell(x, code, code), ferro_document(x, code): see store/codec/codec_respell.h. Returns a result code. */
int sqlite_respell_register(struct sqlite_conn *c);

/* ---- sqlite_like.c ---- */

/* Returns a result code. */
int sqlite_like_register(struct sqlite_conn *c);

/* ---- sqlite_json.c, sqlite_case.c ---- */

/* Define ferro_json and its like, ferro_lower and ferro_upper. Return a result code. */
int sqlite_json_register(struct sqlite_conn *c);
int sqlite_case_register(struct sqlite_conn *c);

/* ---- sqlite_policy.c ---- */

void sqlite_policy_init(struct sqlite_conn *c);
/* The authorizer that says what a client's SQL may do, in place of any other. */
void sqlite_policy_authorize(struct sqlite_conn *c);
/* Before a statement is compiled: nothing of it has been seen yet. */
void sqlite_policy_begin(struct sqlite_conn *c);

/* ---- sqlite_error.c ---- */

/* Whether SQLite says that it has not been given a function, a collation or a module. */
bool sqlite_lacks(const char *said);
/* Fills err from the connection's last error; sql (may be STR_NONE) gives the position. Marks c broken when it is.
 * Returns false. */
bool sqlite_error(struct sqlite_conn *c, int rc, struct str sql, struct err *err);
/* For a handle that could not be opened. */
bool sqlite_open_error(int rc, int os_error, struct err *err);

#endif
