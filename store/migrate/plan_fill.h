/* What fills a column by itself, where model and database differ: defaults, identities, what is computed. Owns nothing;
 * texts live in the plan's arena. */
#ifndef FERROD_STORE_MIGRATE_PLAN_FILL_H
#define FERROD_STORE_MIGRATE_PLAN_FILL_H

#include "store/migrate/plan_build.h"

/* SQLite: has the column another default than the model says, which a rebuild can give it? */
bool plan_default_differs(const struct planner *pl, const struct table_pair *tp, const struct column *c,
			  const struct live_column *live);

/* A statement or a warning for each difference of a column that both sides have; what the model does not speak of is
 * none. */
void plan_fill(struct planner *pl, const struct table_pair *tp, const struct column *c, const struct live_column *live);

/* The clause of a column that is being added (" DEFAULT (...)", " GENERATED ..."), in the plan's arena; len 0: none. */
struct str plan_fill_clause(struct planner *pl, const struct table_pair *tp, const struct column *c);

#endif
