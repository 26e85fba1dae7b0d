/* Creating tables, shared by the endpoint and by connect. */
#ifndef FERROD_HANDLERS_MIGRATE_H
#define FERROD_HANDLERS_MIGRATE_H

#include "handlers/context.h"
#include "store/ddl/ddl.h"

/* Creates every registered table that is not there yet, in one unit on the route; the statements that ran stand in `plan`,
 * which lives in `a`. Afterwards the pool is refreshed and identity maps on the connection are stale. Parks. */
bool tables_create(const struct route *r, const struct schema *s, int64_t deadline, struct arena *a, struct ddl_plan *plan,
		   struct err *err) MUST_CHECK;

/* "statements":[...],"warnings":[...],"applied":true of an object that is being written. */
void out_plan(struct strbuf *b, const struct ddl_plan *plan, bool applied);

#endif
