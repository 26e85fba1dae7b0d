/* The current set behind one short lock, its changes behind a turn; a set itself is never changed, so readers only need
 * a reference. */
#include "store/schema/schema_registry.h"

#include "service/base/clock.h"
#include "store/schema/schema_json.h"

#include "service/base/banned.h"

void schema_registry_init(struct schema_registry *r)
{
	turn_init(&r->changing);
	mutex_init(&r->lock);
	r->generation = 0;
	r->current = schema_empty();
}

void schema_registry_done(struct schema_registry *r)
{
	schema_unref(r->current);
	r->current = NULL;
	mutex_done(&r->lock);
	turn_done(&r->changing);
}

struct schema *schema_registry_get(struct schema_registry *r)
{
	struct schema *s;

	mutex_lock(&r->lock);
	s = schema_ref(r->current);
	mutex_unlock(&r->lock);
	return s;
}

/* Takes the reference. */
static void publish(struct schema_registry *r, struct schema *s)
{
	struct schema *before;

	mutex_lock(&r->lock);
	before = r->current;
	s->generation = ++r->generation;
	r->current = s;
	mutex_unlock(&r->lock);
	schema_unref(before);
}

/* The set is made without the lock, which those who only read it need; meanwhile nobody else changes it. */
static bool begin_change(struct schema_registry *r, struct err *err)
{
	if (turn_take(&r->changing, CLOCK_NEVER, 0, NULL) == WAIT_READY)
		return true;
	(void)err_set(err, ERR_INTERNAL_ERROR, "given up while others changed the models");
	err->cancelled = true;
	return false;
}

bool schema_registry_apply(struct schema_registry *r, const json_t *doc, const struct schema_change *how,
			   struct arena *scratch, struct schema **ret, struct err *err)
{
	struct schema_source from = {.may_sql = how->may_sql};
	struct schema *s = NULL;

	if (!begin_change(r, err))
		return false;
	from.base = how->replace_all ? NULL : r->current;
	if (schema_from_source(doc, &from, scratch, &s, err)) {
		*ret = schema_ref(s);
		publish(r, s);
	}
	turn_give(&r->changing);
	return s != NULL;
}

bool schema_registry_remove(struct schema_registry *r, struct str model, struct arena *scratch, struct err *err)
{
	struct schema *s = NULL;

	if (!begin_change(r, err))
		return false;
	if (schema_without(r->current, model, scratch, &s, err))
		publish(r, s);
	turn_give(&r->changing);
	return s != NULL;
}

bool schema_registry_clear(struct schema_registry *r, struct err *err)
{
	if (!begin_change(r, err))
		return false;
	publish(r, schema_empty());
	turn_give(&r->changing);
	return true;
}
