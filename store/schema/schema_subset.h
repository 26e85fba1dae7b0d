/*
 * The models of one set, as a schema of their own: what a service that shares the server makes and migrates. Next:
 * store/migrate/apply.h, store/ddl/ddl.h.
 */
#ifndef FERROD_STORE_SCHEMA_SUBSET_H
#define FERROD_STORE_SCHEMA_SUBSET_H

#include "store/schema/schema.h"

/* Those of s that are registered for the set. Lives in the arena, borrows all that is in s, which must outlive it, and
 * is never given to schema_ref or schema_unref; relations lead to models of s. Any thread. */
const struct schema *schema_of_set(const struct schema *s, struct str set, struct arena *a);

/* Is the model registered for the set? Any thread. */
bool model_of_set(const struct model *m, struct str set);

#endif
