/* A live database as SchemaIR: introspection's answer. Pure. */
#ifndef FERROD_STORE_MIGRATE_LIVE_IR_H
#define FERROD_STORE_MIGRATE_LIVE_IR_H

#include "service/base/json.h"
#include "store/ddl/ddl.h"
#include "store/migrate/live_choice.h"

/*
 * A bare payload ({"models": [...]}) whose models say everything that SchemaIR can; schema_from_json makes the
 * canonical form of it. What cannot be said (triggers, policies, storage parameters, ...) is left out
 * and noted in `notes`, initialised by the caller, as a warning. *ret lives as long as the arena. ERR_INVALID_REQUEST
 * with a pointer for a table that is not there.
 */
bool live_ir(struct arena *a, const struct dialect *d, const struct live_schema *live, const struct live_ir_options *o,
	     struct ddl_plan *notes, json_t **ret, struct err *err) MUST_CHECK;

#endif
