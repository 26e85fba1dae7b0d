/* The process's registered models: an immutable snapshot that is swapped whole. */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_REGISTRY_H
#define FERROD_STORE_SCHEMA_SCHEMA_REGISTRY_H

#include "service/base/mutex.h"
#include "store/schema/schema.h"

struct schema_registry {
	struct mutex lock;
	struct schema *current; /* owned reference */
	uint64_t generation;
};

void schema_registry_init(struct schema_registry *r);
void schema_registry_done(struct schema_registry *r);

/* A new reference to the current set (never NULL: the empty set at first). Any thread, never parks. */
struct schema *schema_registry_get(struct schema_registry *r);

struct schema_change {
	bool replace_all; /* PUT, else POST */
	bool may_sql;     /* of schema_source */
};
/* What schema_from_source does, applied to the current set and published in one step under the lock. *ret: a new
 * reference to what was published. */
bool schema_registry_apply(struct schema_registry *r, const json_t *doc, const struct schema_change *how,
			   struct arena *scratch, struct schema **ret, struct err *err) MUST_CHECK;
bool schema_registry_remove(struct schema_registry *r, struct str model, struct arena *scratch,
			    struct err *err) MUST_CHECK;
void schema_registry_clear(struct schema_registry *r);

#endif
