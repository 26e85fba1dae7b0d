/* One run of a migration: what it knows, and its looks at the data. Only apply.c includes it. */
#ifndef FERROD_STORE_MIGRATE_RUN_H
#define FERROD_STORE_MIGRATE_RUN_H

#include "store/connection/registry.h"
#include "store/migrate/migration.h"

struct run {
	struct connection *conn;
	const struct schema *s;
	const struct migrate_request *q;
	struct arena *a;
	struct driver_conn *c;
	struct live_schema live;
	struct migrate_result *ret;
	int64_t lock_ns;      /* until when the connection and the migrations' lock are waited for */
	int64_t wait_left_ns; /* then: how much longer tables' locks are */
	bool needs_writer;    /* a dry run that renames, and could not: once more, with the writer's turn */
	bool writing;         /* so it has it */
	bool stepped_back;    /* a table's lock was not to be had in a step */
};

/* Until when a look that begins now may take: a server that is silent is not waited for like one that rewrites a table.
 */
int64_t run_look_until(const struct run *r);
/* Whether something that hangs on columns may be in the way of the plan, or break by it. */
bool run_touches_columns(const struct migration_plan *p);

/* Asks PostgreSQL which of the plan's defaults are those it has, in other words; *ret_asked: one at least was in doubt,
 * and the plan is to be made anew. Into r->live. Parks. */
bool run_defaults(struct run *r, bool *ret_asked, struct err *err) MUST_CHECK;

/* The new names that the models ask for; refused where what the database has as a text speaks of the old ones. */
bool run_plan_renames(struct run *r, struct migration_plan *ret, struct err *err) MUST_CHECK;
/* Leaves out of the renames those that no row needs. Parks. */
bool run_due(struct run *r, struct migration_plan *renames, struct err *err) MUST_CHECK;

/* Looks at what the plan so far depends on: rows of the tables that it touches (when it was refused, of all wanted
 * ones), what changes of type would cost, what hangs on columns. Into r->live. Parks. */
bool run_look(struct run *r, bool refused, struct err *err) MUST_CHECK;

#endif
