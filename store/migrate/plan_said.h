/* The planner's part for what is said of a table and takes nothing from its rows: comments, collations, what types are
 * made of, whether a unique is a constraint. Owns nothing: the plan is plan.c's. */
#ifndef FERROD_STORE_MIGRATE_PLAN_SAID_H
#define FERROD_STORE_MIGRATE_PLAN_SAID_H

#include "store/migrate/plan_build.h"

/* A model that was introspected says by what it leaves out, too, that the database has none of it; one that was written
 * by hand does not. */
void plan_said(struct planner *pl, const struct table_pair *tp);

#endif
