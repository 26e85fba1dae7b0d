/*
 * What the drivers offer to migrations (store/migrate/apply.c), as members of struct driver. Results live in the
 * caller's arena.
 */
#ifndef FERROD_STORE_DRIVER_INTROSPECT_H
#define FERROD_STORE_DRIVER_INTROSPECT_H

#include "store/driver/driver.h"
#include "store/migrate/live.h"

bool postgres_introspect(struct driver_conn *c, const struct introspect_scope *scope, struct arena *a,
			 int64_t deadline_ns, struct live_schema *ret, struct err *err) MUST_CHECK;
bool postgres_migrate_patience(struct driver_conn *c, int64_t lock_ns, int64_t deadline_ns, struct err *err) MUST_CHECK;
bool postgres_migrate_begin(struct driver_conn *c, const struct migrate_begin *how, struct err *err) MUST_CHECK;

bool sqlite_introspect(struct driver_conn *c, const struct introspect_scope *scope, struct arena *a,
		       int64_t deadline_ns, struct live_schema *ret, struct err *err) MUST_CHECK;
bool postgres_migrate_uses(struct driver_conn *c, struct arena *a, int64_t deadline_ns, struct live_schema *ret,
			   struct err *err) MUST_CHECK;
bool sqlite_migrate_uses(struct driver_conn *c, struct arena *a, int64_t deadline_ns, struct live_schema *ret,
			 struct err *err) MUST_CHECK;
bool sqlite_migrate_begin(struct driver_conn *c, const struct migrate_begin *how, struct err *err) MUST_CHECK;
bool sqlite_migrate_check(struct driver_conn *c, int64_t deadline_ns, struct err *err) MUST_CHECK;
/* See driver.h. */
bool sqlite_migrate_renaming(struct driver_conn *base, bool renaming, struct err *err) MUST_CHECK;
bool sqlite_simple_all(struct driver_conn *base, const struct str *sqls, size_t n, int64_t deadline_ns,
		       size_t *ret_done, struct err *err) MUST_CHECK;
void sqlite_migrate_end(struct driver_conn *base);

#endif
