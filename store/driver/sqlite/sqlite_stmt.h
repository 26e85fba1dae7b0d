/* A prepared statement of the SQLite driver with its cursor. Private to the driver. */
#ifndef FERROD_STORE_DRIVER_SQLITE_STMT_H
#define FERROD_STORE_DRIVER_SQLITE_STMT_H

#include "store/driver/sqlite/sqlite_internal.h"

struct sqlite_stmt {
	struct cursor cur;
	struct sqlite_conn *c;
	sqlite3_stmt *h;
	char *sql; /* the key in the cache; owned; NULL when never cached */
	size_t sql_len;
	bool cached, in_use;
	bool heavy;         /* see sqlite_conn.saw_heavy */
	bool hides_path;    /* the rows of PRAGMA database_list name files of the server */
	bool own_savepoint; /* ours, whoever has the same text */
	bool divides;       /* SAVEPOINT or RELEASE */
	bool begins;        /* BEGIN */
	bool searches;      /* its texts are full-text queries, or short */
	bool inserts;       /* puts rows into a table by itself */
	bool taints;        /* see sqlite_conn.tainted */
	bool alone;         /* see sqlite_conn.saw_alone */
	bool stepped;       /* at least once since it was started */
	bool row_waits;     /* the first step gave a row that the caller has not seen */
	bool ended;         /* done or failed: another step would run it anew */
	bool was_in_tx;
	bool changed;      /* it was compiled anew, and is to be once more before it runs again */
	bool pinned;       /* what it sees, by a transaction of its own */
	uint64_t n_given;  /* rows, in this run */
	uint64_t n_passed; /* of them, that a thread which has begun anew is still to pass over */
	int64_t changes_before;
	struct cursor_column *columns; /* columns_size each; owned */
	struct value *values;
	size_t columns_size;
	int columns_of;                  /* the compilation that they are of: 1 is the first one; 0: not read yet */
	struct sqlite_ahead *ahead;      /* rows of a heavy one that are there before they are asked for; owned */
	struct sqlite_stmt *prev, *next; /* by last use; cached ones only */
};

/* Compiles the first statement of sql; *ret_tail (may be NULL): what follows it. Start it, then step and finish its
 * cursor. */
bool sqlite_stmt_create(struct sqlite_conn *c, struct str sql, bool persistent, struct sqlite_stmt **ret,
			struct str *ret_tail, struct err *err) MUST_CHECK;
void sqlite_stmt_start(struct sqlite_stmt *st);

/* ---- sqlite_row.c ---- */

/* The columns may change when SQLite compiles a statement anew after a schema change: read them after the first step.
 */
void sqlite_stmt_columns(struct sqlite_stmt *st);
/* The row that SQLite stands on, to st->values; valid until the next step. */
void sqlite_stmt_row(struct sqlite_stmt *st);

/* ---- sqlite_ahead.c ---- */

/* Like sqlite3_step, but computed by a thread that may take its time, some rows at once; st->cur.row is the row. */
int sqlite_ahead_step(struct sqlite_stmt *st);
/* Drops what is left; NULL is fine. */
void sqlite_ahead_drop(struct sqlite_ahead *a);

#endif
