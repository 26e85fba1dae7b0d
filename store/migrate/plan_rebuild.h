/* The planner's part for tables that SQLite can only change by making them anew. Owns nothing: the plan is plan.c's. */
#ifndef FERROD_STORE_MIGRATE_PLAN_REBUILD_H
#define FERROD_STORE_MIGRATE_PLAN_REBUILD_H

#include "store/migrate/plan_build.h"

/* Whether the table needs a rebuild (it settles which columns get another type), and its statements. */
bool plan_needs_rebuild(struct planner *pl, struct table_pair *tp);
void plan_rebuild(struct planner *pl, const struct table_pair *tp);
/* Whether CREATE INDEX of a live index is run again after a rebuild. */
bool plan_keeps_index(const struct planner *pl, const struct table_pair *tp, const struct live_index *x);

#endif
