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

/* What of a database has to be read for these models: for struct introspect_scope; *ret_n 0: everything. In the arena.
 */
void live_ir_tables(struct arena *a, const struct live_ir_options *o, const struct str **ret, size_t *ret_n);

/* The same model by model, for large databases: opened in the arena, with which it ends. Errors as above. */
struct live_builder;
bool live_ir_open(struct arena *a, const struct dialect *d, const struct live_schema *live,
		  const struct live_ir_options *o, struct ddl_plan *notes, struct live_builder **ret,
		  struct err *err) MUST_CHECK;
/* The next model, the caller's; NULL: that was the last. */
json_t *live_ir_next(struct live_builder *b);

#endif
