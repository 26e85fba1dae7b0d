/* What a plan is made of: changes, each one statement with what it costs, beside the warnings and the refusals. Plain
 * data; who made the plan owns it in an arena. */
#ifndef FERROD_STORE_MIGRATE_CHANGE_H
#define FERROD_STORE_MIGRATE_CHANGE_H

#include "store/ddl/ddl.h"

enum change_kind {
	CHANGE_CREATE_SCHEMA,
	CHANGE_CREATE_TYPE,
	CHANGE_CREATE_TABLE,
	CHANGE_ADD_COLUMN,
	CHANGE_DROP_DEFAULT,
	CHANGE_SET_DEFAULT,
	CHANGE_SET_IDENTITY,
	CHANGE_ALTER_TYPE,
	CHANGE_SET_NOT_NULL,
	CHANGE_DROP_NOT_NULL,
	CHANGE_REBUILD_TABLE, /* each statement of SQLite's twelve-step rebuild */
	CHANGE_CREATE_INDEX,
	CHANGE_ADD_CHECK,
	CHANGE_ADD_FOREIGN_KEY,
	CHANGE_DROP_INDEX,
	CHANGE_DROP_CHECK,
	CHANGE_DROP_FOREIGN_KEY,
	CHANGE_ADD_ENUM_VALUE,
	CHANGE_COMMENT,
	CHANGE_DROP_COLUMN,
	CHANGE_RENAME_TABLE,
	CHANGE_RENAME_COLUMN,
	CHANGE_RENAME_INDEX,
	CHANGE_RENAME_CONSTRAINT,
	CHANGE_RENAME_SEQUENCE,
	CHANGE_RENAME_LABEL
};

struct change {
	enum change_kind kind;
	struct str schema_name;              /* of the table; STR_NONE: the search path's */
	struct str statement, table, column; /* column STR_NONE: none; table too, for types */
	const char *lock; /* PostgreSQL's lock mode on the table; "EXCLUSIVE" on SQLite (the whole database); "NONE" */
	bool rewrites;    /* every row is written anew */
	bool loses_data;
	bool reversible;
	int64_t rows_affected; /* rows written or lost; -1: unknown */
	bool concurrent;       /* runs by itself after the transaction, and keeps nobody from the table */
	bool done;             /* it has run already, in this transaction */
	struct str count;      /* the rows that it is about, as a query; STR_NONE: it is due in any case */
	struct str cleanup;    /* of a concurrent one: what is to run when it fails; STR_NONE: nothing */
};

struct migrate_options {
	bool updates;      /* false: missing tables only */
	bool destructive;  /* implies updates */
	bool rebuild;      /* SQLite */
	bool concurrently; /* PostgreSQL: indexes of tables that are there are built beside the work on them */
};

/* A look at the data that a change of type depends on. Its one row: how many rows would lose, the key of one of them.
 * Or, of_default, a look at what two literals are to the database. Its one row: 1 where they are the same, else 0. */
struct plan_probe {
	bool of_default;
	struct str schema_name, table, column;
	struct str prepare; /* a statement to run first; STR_NONE: none */
	struct str query;
};

struct migration_plan {
	struct arena *arena;
	struct plan_probe
		*probes; /* wanted before a plan is final: of columns whose lossy_rows or default_same are not known */
	size_t n_probes, size_probes;
	struct change *changes;
	size_t n_changes, size_changes;
	struct ddl_plan notes;      /* its warnings are the plan's; its statements serve the planner only */
	struct err_fault *refusals; /* pointer: "" */
	size_t n_refusals, size_refusals;
	struct str refused_table, refused_column; /* of the first */
	bool rebuilds;
};

/* A change of this kind with what a kind means unless its maker knows better. */
struct change change_of(const struct dialect *d, enum change_kind k);

/* The wire's word ("add_column"); static. */
const char *change_kind_name(enum change_kind k);

/* SHA-256 hex over the dialect and the statements: two plans with one hash run the same statements. */
void plan_hash(const struct dialect *d, const struct migration_plan *p, char ret[65]);

#endif
