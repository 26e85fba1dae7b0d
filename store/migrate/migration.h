/* A migration as it is asked for and as it came out. Plain data; the caller owns both. */
#ifndef FERROD_STORE_MIGRATE_MIGRATION_H
#define FERROD_STORE_MIGRATE_MIGRATION_H

#include "store/migrate/plan.h"

struct migrate_request {
	struct migrate_options options;
	bool dry_run;
	struct str plan_hash; /* only this plan is applied; STR_NONE: whatever the plan is */
	int64_t deadline;     /* monotonic */
	int64_t look_ns; /* of a look at the catalogs, a BEGIN or a lock, whatever the tables' sizes; 0: any time */
};

struct migrate_result {
	struct migration_plan plan; /* lives in the caller's arena, as does all that it holds */
	char plan_hash[65];
	bool applied;        /* it was no dry run */
	bool pool_refreshed; /* there was a change */
	int64_t db_ns;       /* time spent on the database */
};

#endif
