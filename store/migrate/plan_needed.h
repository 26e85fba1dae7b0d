/* The planner's part for what must not go: columns that something else needs. Owns nothing: the plan is plan.c's. */
#ifndef FERROD_STORE_MIGRATE_PLAN_NEEDED_H
#define FERROD_STORE_MIGRATE_PLAN_NEEDED_H

#include "store/migrate/plan_build.h"

/* Refuses to drop the column when a view, a trigger, an index, a check or a generated column needs it, and says which.
 */
void plan_refuse_needed(struct planner *pl, const struct table_pair *tp, const struct live_column *c);

#endif
