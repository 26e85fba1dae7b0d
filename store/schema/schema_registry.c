/* The current set behind one short lock; a set itself is never changed, so readers only need a reference. */
#include "store/schema/schema_registry.h"

#include "store/schema/schema_json.h"

#include "service/base/banned.h"

void schema_registry_init(struct schema_registry *r)
{
	mutex_init(&r->lock);
	r->generation = 0;
	r->current = schema_empty();
}

void schema_registry_done(struct schema_registry *r)
{
	schema_unref(r->current);
	r->current = NULL;
	mutex_done(&r->lock);
}

struct schema *schema_registry_get(struct schema_registry *r)
{
	struct schema *s;

	mutex_lock(&r->lock);
	s = schema_ref(r->current);
	mutex_unlock(&r->lock);
	return s;
}

/* Takes the reference. The lock is held. */
static void publish(struct schema_registry *r, struct schema *s)
{
	schema_unref(r->current);
	s->generation = ++r->generation;
	r->current = s;
}

bool schema_registry_apply(struct schema_registry *r, const json_t *doc, const struct schema_change *how,
			   struct arena *scratch, struct schema **ret, struct err *err)
{
	struct schema_source from = {.may_sql = how->may_sql};
	struct schema *s = NULL;

	mutex_lock(&r->lock);
	from.base = how->replace_all ? NULL : r->current;
	if (schema_from_source(doc, &from, scratch, &s, err)) {
		publish(r, s);
		*ret = schema_ref(s);
	}
	mutex_unlock(&r->lock);
	return s != NULL;
}

bool schema_registry_remove(struct schema_registry *r, struct str model, struct arena *scratch, struct err *err)
{
	struct schema *s = NULL;

	mutex_lock(&r->lock);
	if (schema_without(r->current, model, scratch, &s, err))
		publish(r, s);
	mutex_unlock(&r->lock);
	return s != NULL;
}

void schema_registry_clear(struct schema_registry *r)
{
	struct schema *empty = schema_empty();

	mutex_lock(&r->lock);
	publish(r, empty);
	mutex_unlock(&r->lock);
}
