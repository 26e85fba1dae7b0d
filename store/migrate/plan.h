/*
 * The planner: a live database against the wanted models -> the ordered statements that make one the other, what each
 * of them costs, what cannot be done (warnings) and what must not be (refusals). Pure; the plan is owned by the
 * caller's arena.
 */
#ifndef FERROD_STORE_MIGRATE_PLAN_H
#define FERROD_STORE_MIGRATE_PLAN_H

#include "store/migrate/change.h"
#include "store/migrate/live.h"
#include "store/schema/schema.h"

/*
 * Whoever executes a plan
 *
 *   - holds the migration lock from introspection to commit, in one transaction, all or nothing;
 *   - when `rebuilds` (SQLite): sets foreign_keys = OFF and legacy_alter_table = ON before BEGIN, and before COMMIT
 *     looks at foreign_key_check and integrity_check; afterwards both pragmas go back to what they were;
 *   - refreshes the pool and clears identity maps when there was a change.
 */

/*
 * Plans everything; the plan and all it holds live in `a` and borrow from s and live. False: ERR_MIGRATION_REFUSED
 * (table, column and the way out in the detail, every refusal in err->faults; *ret still has the rest of the plan and
 * the warnings) or ERR_INVALID_SCHEMA.
 */
bool plan_migration(struct arena *a, const struct dialect *d, const struct schema *s, const struct live_schema *live,
		    const struct migrate_options *o, struct migration_plan *ret, struct err *err) MUST_CHECK;

#endif
