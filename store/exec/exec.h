/*
 * The one path all SQL takes: lease -> prepare -> bind -> step -> decode -> sink. Knows the deadline, the transaction
 * and the counters; callers hand it a statement and a sink. What steps is a connection of store/driver/driver.h. An
 * exec is owned by the unit of work that began it.
 */
#ifndef FERROD_STORE_EXEC_H
#define FERROD_STORE_EXEC_H

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "store/connection/registry.h"
#include "store/driver/driver.h"
#include "store/exec/company.h"
#include "store/session/session.h"
#include "store/session/tx.h"
#include "store/stmt.h"

/* Where a request's SQL runs: filled by route_resolve (route.h), given back with route_release. */
struct route {
	struct connection *conn; /* owned reference */
	struct session *session; /* entered; NULL: none */
	struct tx *tx;           /* entered; NULL: none */
	int64_t since_ns;        /* when its request began; 0: with its unit of work */
	/* What each unit of work tells the database for its own transaction; STR_NONE: nothing. Such a unit shares
	 * nothing with others, and has a transaction even for what else has none. Borrowed. */
	struct str acts;     /* all of it as one text, which another never has */
	struct str settings; /* of it: a JSON object of texts */
	struct str role;     /* of it: the role that is taken */
};

/* Gets rows; values are valid during the call only. false: *err is set and the statement is ended. */
struct row_sink {
	/* Once, before the first row, also when there is none. May be NULL. */
	bool (*columns)(void *arg, const struct cursor_column *cols, size_t n, struct err *err);
	/* May be NULL: rows are dropped. *ret_stop = true ends the statement after this row without error. */
	bool (*row)(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err);
	void *arg;
};

struct exec_result {
	int64_t rows; /* delivered to the sink */
	int64_t affected;
	int64_t last_insert_id; /* SQLite; 0: none */
	bool read_only;
	struct str notices; /* what PostgreSQL told (driver.h), until the unit's next statement or its end; len 0:
			       nothing */
	bool only_read;     /* the database says that it wrote nothing, and it was no statement about transactions */
};

/* Lanes and readers, for connection_registry_init. */
extern const struct connection_sharing exec_sharing;

/*
 * One unit of work of one request on one route: in the route's transaction when there is one, else on a lease of its
 * own that is taken at the first statement. Zero-init, exec_begin, any number of exec_run, exec_end.
 */
struct exec {
	const struct route *route;
	int64_t deadline;         /* monotonic; exec_deadline */
	int64_t held_ns;          /* what its fiber had been held by when it began */
	int64_t since_ns;         /* for driver_conn.since_ns */
	struct lease lease;       /* own lease, when the route has no transaction */
	struct company_seat seat; /* in place of it: a transaction that is shared with others, see company.h */
	bool atomic;     /* BEGIN before the first statement (own lease), or a savepoint inside a transaction */
	bool reads_only; /* of an atomic one: nothing in it will write. Set behind exec_begin by who knows */
	/* Of an atomic one that writes and waits for nobody in between (a client, another database): it may share its
	 * transaction. Set behind exec_begin by who runs it again when it is told to (err.again). */
	uint64_t joins; /* its kind (company_fits); 0: it does not */
	bool again;     /* by exec_end, of one that was not to be committed: what it has seen has not remained */
	bool probes;    /* it only looks whether the database answers (LEASE_PROBE). Set in the same way */
	bool tells;     /* of an atomic one on a lease of its own: a commit whose connection is lost is asked for. Set
			   behind exec_begin */
	bool started;
	/* Set by who knows: the next statement is the last, and nothing refuses it afterwards. COMMIT travels with it
	 * where that can be: of the route's transaction, or of the unit's own. */
	bool last;
	bool closing; /* it did */
	/* By exec_ahead: statements that follow each other, the next one first; n_ahead 0: not known, or on their way.
	 */
	const struct stmt *const *ahead;
	size_t n_ahead;
	bool ahead_last;    /* nothing follows them, see `last` */
	bool ahead_closing; /* COMMIT travels behind them */
	/* Of an atomic one: what it does first, each time its transaction begins. Set behind exec_begin; NULL: nothing
	 */
	bool (*opened)(void *arg, struct exec *x, struct err *err);
	void *opened_arg;
	bool before;                     /* something went along with its first statement, see exec_before */
	bool foreign;                    /* a client's own statement has run in it */
	bool generated;                  /* none will. Set behind exec_begin by who knows */
	bool asked;                      /* what became of its commit */
	struct commit_mark lost;         /* by exec_end: of such a commit of which nothing is known yet, see fate.h */
	uint64_t n_commits, n_rollbacks; /* the connection's counts when an atomic unit began */
	struct driver_conn *loading;     /* a load runs there */
	bool act_due; /* its transaction has begun, and route->acts is to be told in it (again: SQL of the client's has
			 run since) */
	bool acted;   /* it was */
	struct stmt act[2], shed;       /* those statements, and the one that puts the role off, */
	struct value act_value[2];      /* their values, */
	const struct stmt *act_list[3]; /* and what leaves with them */
	bool shed_last;                 /* `last` of a statement that runs under no role */
	int64_t db_ns;                  /* time spent below exec */
	int64_t lease_ns;               /* of it, waiting for a connection */
	int64_t slowest_ns;             /* the longest that one statement took, lease not counted */
	struct str slowest_sql;         /* that statement, as long as its owner keeps it */
	bool slowest_raw;               /* it is a client's own and may hold values */
};

/* Until when the unit may go on, monotonic: put off by what its fiber has been held since it began (fiber_held). */
static inline int64_t exec_deadline(const struct exec *x)
{
	const int64_t held = fiber_held_ns() - x->held_ns;

	return x->deadline < CLOCK_NEVER - held ? x->deadline + held : CLOCK_NEVER;
}

/* atomic: all statements of this exec commit together at exec_end(commit = true). */
void exec_begin(struct exec *x, const struct route *r, int64_t deadline, bool atomic);

/* Runs one statement. Parks. Errors are scrubbed and mapped (sqlstate, constraint, table, column; statement_timeout,
 * database_busy, database_unavailable ...). */
bool exec_run(struct exec *x, const struct stmt *s, struct row_sink *sink, struct exec_result *ret,
	      struct err *err) MUST_CHECK;

/* The next n statements of an atomic unit with a transaction of its own, in order, nothing between them: they may leave
 * in one flight, at the first one's exec_run, and each is given to exec_run in its turn all the same, with the same
 * text and values. last: they are its last, and nothing refuses any of them afterwards. Borrowed until the unit ends.
 */
void exec_ahead(struct exec *x, const struct stmt *const *stmts, size_t n, bool last);
/* Have statements left whose turn has not come? */
bool exec_travels(const struct exec *x);

/* Is a client's own statement known to have no effect but its rows? Never parks. */
bool exec_only_reads(const struct route *r, const struct stmt *s);

/* A load inserts rows of one shape, any number of them, in this atomic unit (driver.h, struct driver.load_begin); no
 * other statement runs until exec_load_end. *ret_began, place: as of load_begin. A unit that ends before is rolled
 * back. Only where exec_can_load says so. Errors as of exec_run. All park. */
bool exec_can_load(const struct exec *x);
bool exec_load_begin(struct exec *x, struct str place, struct str sql, bool *ret_began, struct err *err) MUST_CHECK;
bool exec_load_rows(struct exec *x, const struct load *l, struct err *err) MUST_CHECK;
bool exec_load_end(struct exec *x, int64_t *ret_rows, struct err *err) MUST_CHECK;

/* In `opened`: this write goes along with the statement that is about to run, in front of it and in its flight, where
 * that can be. A duplicate key fails that statement, unrun, with ERR_SERIALIZATION_FAILURE and err.again. */
bool exec_before(struct exec *x, const struct stmt *s) MUST_CHECK;

/* DDL and the like: unprepared, no rows. */
bool exec_simple(struct exec *x, struct str sql, struct err *err) MUST_CHECK;

/* Ends the unit. With atomic: commits or rolls back (commit false never fails). Gives the lease back; always call it
 * once, whatever happened; a failed commit has err->outcome set. A raw statement that left a transaction open on an own
 * lease is rolled back: ERR_SQL_ERROR. */
bool exec_end(struct exec *x, bool commit, struct err *err) MUST_CHECK;

/* The connection's driver_conn in use (introspection); leases it when needed. */
bool exec_conn(struct exec *x, enum lease_mode mode, struct driver_conn **ret, struct err *err) MUST_CHECK;

#endif
