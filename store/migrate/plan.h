/*
 * The planner: a live database against the wanted models -> the ordered statements that make one the other, what each
 * of them costs, what cannot be done (warnings) and what must not be (refusals). Pure; whoever executes a plan
 *
 *   - holds the migration lock from introspection to commit, in one transaction, all or nothing;
 *   - when `rebuilds` (SQLite): sets foreign_keys = OFF and legacy_alter_table = ON before BEGIN, and before COMMIT
 * looks at foreign_key_check and integrity_check; afterwards both pragmas go back to what they were;
 *   - refreshes the pool and clears identity maps when there was a change.
 */
#ifndef FERROD_STORE_MIGRATE_PLAN_H
#define FERROD_STORE_MIGRATE_PLAN_H

#include "store/ddl/ddl.h"
#include "store/migrate/live.h"
#include "store/schema/schema.h"

enum change_kind {
	CHANGE_CREATE_TYPE,
	CHANGE_CREATE_TABLE,
	CHANGE_ADD_COLUMN,
	CHANGE_DROP_DEFAULT,
	CHANGE_ALTER_TYPE,
	CHANGE_SET_NOT_NULL,
	CHANGE_DROP_NOT_NULL,
	CHANGE_REBUILD_TABLE, /* each statement of SQLite's twelve-step rebuild */
	CHANGE_CREATE_INDEX,
	CHANGE_ADD_CHECK,
	CHANGE_ADD_FOREIGN_KEY,
	CHANGE_DROP_INDEX,
	CHANGE_DROP_COLUMN
};

struct change {
	enum change_kind kind;
	struct str statement, table, column; /* column STR_NONE: none; table too, for types */
	const char *lock; /* PostgreSQL's lock mode on the table; "EXCLUSIVE" on SQLite (the whole database); "NONE" */
	bool rewrites;    /* every row is written anew */
	bool loses_data;
	bool reversible;
	int64_t rows_affected; /* rows written or lost; -1: unknown */
};

struct migrate_options {
	bool updates;     /* false: missing tables only */
	bool destructive; /* implies updates */
	bool rebuild;     /* SQLite */
};

struct migration_plan {
	struct arena *arena;
	struct change *changes;
	size_t n_changes, size_changes;
	struct ddl_plan notes;      /* its warnings are the plan's; its statements serve the planner only */
	struct err_fault *refusals; /* pointer: "" */
	size_t n_refusals, size_refusals;
	struct str refused_table, refused_column; /* of the first */
	bool rebuilds;
};

/*
 * Plans everything; the plan and all it holds live in `a` and borrow from s and live. False: ERR_MIGRATION_REFUSED
 * (table, column and the way out in the detail, every refusal in err->faults; *ret still has the rest of the plan and
 * the warnings) or ERR_INVALID_SCHEMA.
 */
bool plan_migration(struct arena *a, const struct dialect *d, const struct schema *s, const struct live_schema *live,
		    const struct migrate_options *o, struct migration_plan *ret, struct err *err) MUST_CHECK;

/* The wire's word ("add_column"); static. */
const char *change_kind_name(enum change_kind k);

/* SHA-256 hex over the dialect and the statements: two plans with one hash run the same statements. */
void plan_hash(const struct dialect *d, const struct migration_plan *p, char ret[65]);

#endif
