/* What gives tables, columns, what hangs on them and labels the names that models say they have had others before. It
 * runs before anything else is compared: a plan is made of what is there then. Pure; the plan is owned
 * by the caller's arena. */
#ifndef FERROD_STORE_MIGRATE_PLAN_RENAME_H
#define FERROD_STORE_MIGRATE_PLAN_RENAME_H

#include "store/migrate/change.h"
#include "store/migrate/live.h"

/* The renames that are due, in *ret, like a plan (plan.h): an old name that is there, and a new one that is not. A
 * change with a `count` is due only when that finds rows. */
bool plan_renames(struct arena *a, const struct dialect *d, const struct schema *s, const struct live_schema *live,
		  struct migration_plan *ret, struct err *err) MUST_CHECK;

/* Puts renames, which have run, before what a plan made after them does. */
void plan_after_renames(struct migration_plan *p, const struct migration_plan *renames);

/* Whether the model's table is there by its old name only. */
bool plan_rename_due(const struct dialect *d, const struct live_schema *live, const struct model *m);

#endif
