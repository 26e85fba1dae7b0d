/*
 * Migrations carried out: lock, introspect, plan, run, commit; all or nothing. One path for create-tables, migrate,
 * dry runs and the flags of connect. Results live in the caller's arena.
 */
#ifndef FERROD_STORE_MIGRATE_APPLY_H
#define FERROD_STORE_MIGRATE_APPLY_H

#include "store/connection/registry.h"
#include "store/migrate/migration.h"

/* How long a migration waits for others in all, in seconds; once, before the first. */
void migrate_configure(double seconds);

/*
 * Brings the database of conn towards s, in a transaction of its own on a connection of its own. Parks; waits for
 * others (migrations, transactions, writers) no longer than is configured. When it returns false nothing has changed
 * (err->outcome says when that is not known) and ret->plan.notes has the warnings so far: ERR_MIGRATION_REFUSED    the
 * planner's refusals, or a statement that the data or the database refused (with table, column and sqlstate)
 *   ERR_MIGRATION_CONFLICT   plan_hash is that of another plan
 *   ERR_DATABASE_BUSY        somebody held a lock, or the writer's turn, all the time
 *   ERR_INVALID_SCHEMA, and what leases and drivers say
 */
bool migrate_run(struct connection *conn, const struct schema *s, const struct migrate_request *q, struct arena *a,
		 struct migrate_result *ret, struct err *err) MUST_CHECK;

/* What the scope names, as one moment has it. Parks. */
bool migrate_introspect_scope(struct connection *conn, const struct introspect_scope *scope, int64_t deadline,
			      struct arena *a, struct live_schema *ret, struct err *err) MUST_CHECK;
/* Every table and view of conn's search path as one moment has it. Parks. */
bool migrate_introspect(struct connection *conn, int64_t deadline, struct arena *a, struct live_schema *ret,
			struct err *err) MUST_CHECK;

#endif
