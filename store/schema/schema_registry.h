/* The process's registered models: an immutable snapshot that is swapped whole. */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_REGISTRY_H
#define FERROD_STORE_SCHEMA_SCHEMA_REGISTRY_H

#include "service/base/mutex.h"
#include "store/schema/schema.h"

struct schema_registry {
	struct turn changing;   /* of those who make the next set out of this one; held across parks */
	struct mutex lock;      /* of the two below */
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
/* What schema_from_source does, applied to the current set and published in one step; one change at a time. *ret: a new
 * reference to what was published. Parks, as do the two below. err->cancelled: given up. */
bool schema_registry_apply(struct schema_registry *r, const json_t *doc, const struct schema_change *how,
			   struct arena *scratch, struct schema **ret, struct err *err) MUST_CHECK;
bool schema_registry_remove(struct schema_registry *r, struct str model, struct arena *scratch,
			    struct err *err) MUST_CHECK;
bool schema_registry_clear(struct schema_registry *r, struct err *err) MUST_CHECK;

#endif
