/* Types of a live PostgreSQL that SchemaIR has no word for, as members of its columns. Pure. */
#ifndef FERROD_STORE_MIGRATE_LIVE_TYPE_H
#define FERROD_STORE_MIGRATE_LIVE_TYPE_H

#include "service/base/json.h"
#include "store/migrate/live.h"

/* Is the column of such a type? */
bool live_type_own(const struct dialect *d, const struct live_column *c);

/* Sets db_type of the column's object, with what it is made of where the name alone does not say that; o NULL: nothing.
 * Returns the logical type of its values. */
enum logical_type live_type_ir(struct arena *a, const struct live_column *c, json_t *o);

#endif
