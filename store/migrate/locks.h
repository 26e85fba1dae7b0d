/*
 * PostgreSQL: every table lock that a plan's statements take, taken before the first of them and in one order. So
 * waiting for others is told from working, and bounded as a whole; and two that lock several tables do not lock each
 * other out. Pure; lists live in the caller's arena.
 */
#ifndef FERROD_STORE_MIGRATE_LOCKS_H
#define FERROD_STORE_MIGRATE_LOCKS_H

#include "store/migrate/plan.h"

struct table_lock {
	struct str schema_name, table;
	int mode; /* index of LOCK TABLE's words, weakest first */
};

struct table_locks {
	struct table_lock *list; /* by table name */
	size_t n;
};

/* What the plan will lock among the tables that are there; `reading`: only what is needed to count their rows, and of
 * every table of a model. In the arena. Pure. */
void table_locks_of(struct arena *a, const struct schema *s, const struct live_schema *live,
		    const struct migration_plan *p, bool reading, struct table_locks *ret);

/* The statement for one of them. A table that we may only refer to is left to the statement that does: LOCK TABLE would
 * want more rights than that. */
void table_lock_sql(const struct table_lock *l, struct strbuf *out);

#endif
