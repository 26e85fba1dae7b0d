/* The current set behind one short lock, its changes behind a turn; a set itself is never changed, so readers only need
 * a reference. */
#include "store/schema/schema_registry.h"

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "service/base/wait.h"
#include "store/schema/schema_json.h"

#include "service/base/banned.h"

void schema_registry_init(struct schema_registry *r)
{
	turn_init(&r->changing);
	mutex_init(&r->lock);
	r->generation = 0;
	r->declared = NULL;
	r->current = schema_empty();
}

void schema_registry_done(struct schema_registry *r)
{
	schema_unref(r->current);
	schema_declared_destroy(r->declared);
	r->current = NULL;
	r->declared = NULL;
	mutex_done(&r->lock);
	turn_done(&r->changing);
}

struct schema_declared *schema_declared_create(struct schema *s)
{
	struct schema_declared *d = mem_alloc(sizeof(*d));

	d->schema = s;
	arena_init(&d->arena);
	return d;
}

void schema_declared_destroy(struct schema_declared *d)
{
	struct arena arena;

	if (d == NULL)
		return;
	schema_unref(d->schema);
	arena = d->arena;
	arena_done(&arena);
	mem_free(d);
}

static const char *file_of(const struct schema_declared *d, struct str model)
{
	const struct model *m = d != NULL ? schema_model(d->schema, model) : NULL;

	return m != NULL ? d->files[m - d->schema->models] : NULL;
}

static bool declared(const struct schema_registry *r, struct str model, struct err *err)
{
	return err_set(err, ERR_DECLARED, "model \"%.*s\" is declared in %s; change it there and reload",
		       STR_FMT(model), file_of(r->declared, model));
}

struct schema *schema_registry_get(struct schema_registry *r)
{
	struct schema *s;

	mutex_lock(&r->lock);
	s = schema_ref(r->current);
	mutex_unlock(&r->lock);
	return s;
}

/* Takes the reference; nobody else has seen s yet. */
static void publish(struct schema_registry *r, struct schema *s)
{
	struct schema *before;

	for (size_t i = 0; i < s->n_models; i++)
		s->models[i].origin = file_of(r->declared, s->models[i].name) != NULL ? "declared" : "told";
	mutex_lock(&r->lock);
	before = r->current;
	s->generation = ++r->generation;
	r->current = s;
	mutex_unlock(&r->lock);
	schema_unref(before);
}

/* The set is made without the lock, which those who only read it need; meanwhile nobody else changes anything. */
static bool begin_change(struct schema_registry *r, struct err *err)
{
	if (turn_take(&r->changing, CLOCK_NEVER, 0, NULL) == WAIT_READY)
		return true;
	(void)err_set(err, ERR_INTERNAL_ERROR, "given up while others changed the models");
	err->cancelled = true;
	return false;
}

static struct schema *base_of(const struct schema_declared *d)
{
	return d != NULL ? d->schema : NULL;
}

static void decref(void *doc)
{
	json_decref(doc);
}

/* d with what has been told so far, but what d has itself. The turn is held. */
static bool combine(const struct schema_registry *r, const struct schema_declared *d, struct arena *scratch,
		    struct schema **ret, struct err *err)
{
	json_t *doc = json_object(), *models = json_array();

	arena_on_done(scratch, decref, doc);
	(void)json_object_set_new(doc, "models", models);
	for (size_t i = 0; i < r->current->n_models; i++) {
		const struct model *m = &r->current->models[i];

		if (file_of(r->declared, m->name) == NULL && file_of(d, m->name) == NULL)
			(void)json_array_append_new(models, schema_model_json(m));
	}
	/* a set that nobody has seen yet is published as it is */
	if (d != NULL && d->schema->generation == 0 && json_array_size(models) == 0) {
		*ret = schema_ref(d->schema);
		return true;
	}
	if (schema_from_json(doc, base_of(d), scratch, ret, err))
		return true;
	char detail[sizeof(err->detail)];
	(void)snprintf(detail, sizeof(detail), "%.500s", err->detail);
	return err_set(err, ERR_INVALID_SCHEMA, "a told model does not fit what is declared: %s", detail);
}

bool schema_registry_declare(struct schema_registry *r, struct schema_declared *d, struct arena *scratch,
			     struct err *err)
{
	struct schema *s = NULL;
	struct schema_declared *before = NULL;

	if (!begin_change(r, err))
		return false;
	if (combine(r, d, scratch, &s, err)) {
		mutex_lock(&r->lock);
		before = r->declared;
		r->declared = d;
		mutex_unlock(&r->lock);
		publish(r, s);
	}
	turn_give(&r->changing);
	schema_declared_destroy(before);
	return s != NULL;
}

bool schema_registry_try(struct schema_registry *r, const struct schema_declared *d, struct arena *scratch,
			 struct schema **ret, struct err *err)
{
	struct schema *s = NULL;

	if (!begin_change(r, err))
		return false;
	bool ok = combine(r, d, scratch, &s, err);
	turn_give(&r->changing);
	if (ok && ret != NULL)
		*ret = s;
	else
		schema_unref(s);
	return ok;
}

struct str schema_registry_file(struct schema_registry *r, struct str model, struct arena *a)
{
	mutex_lock(&r->lock);
	const char *file = file_of(r->declared, model);
	struct str copy = file != NULL ? arena_str(a, str_z(file)) : STR_NONE;
	mutex_unlock(&r->lock);
	return copy;
}

/* No model of the document is one that is declared. The turn is held. */
static bool all_told(const struct schema_registry *r, const json_t *doc, struct arena *scratch, struct err *err)
{
	const json_t *payload = json_object_get(doc, "payload"), *models, *m;
	const char *at = payload != NULL ? "/payload/models" : "/models";
	size_t i;

	if (r->declared == NULL)
		return true;
	models = json_object_get(payload != NULL ? payload : doc, "models");
	json_array_foreach(models, i, m)
	{
		const json_t *name = json_object_get(m, "model_name");

		if (!json_is_string(name) || file_of(r->declared, json_str(name)) == NULL)
			continue;
		(void)declared(r, json_str(name), err);
		(void)snprintf(err->pointer, sizeof(err->pointer), "%s", json_pointer_index(scratch, at, i));
		err->has_pointer = true;
		return false;
	}
	return true;
}

/* The same of models that are no document. */
static bool all_told_models(const struct schema_registry *r, const struct schema *models, struct err *err)
{
	for (size_t i = 0; r->declared != NULL && i < models->n_models; i++)
		if (file_of(r->declared, models->models[i].name) != NULL)
			return declared(r, models->models[i].name, err);
	return true;
}

/* Models of a set, one by one. */
struct walk {
	const struct schema *models;
	size_t next;
};

static json_t *next_model(void *arg)
{
	struct walk *w = arg;

	return w->next < w->models->n_models ? schema_model_json(&w->models->models[w->next++]) : NULL;
}

/* Is the model that is to go in no set but those of the edit? One that is not there is for others to miss. */
static bool of_own_sets(const struct schema *s, const struct schema_edit *e, struct err *err)
{
	const struct model *m = schema_model(s, e->remove);

	for (size_t i = 0; e->sets != NULL && m != NULL && i < m->n_sets; i++) {
		bool own = false;

		for (size_t k = 0; k < e->n_sets; k++)
			own = own || str_eq(e->sets[k], m->sets[i]);
		if (!own)
			return err_set(err, ERR_FORBIDDEN, "model \"%.*s\" is of a set that this key may not change",
				       STR_FMT(m->name));
	}
	return true;
}

/* The set after the edit. The turn is held. */
static bool make(const struct schema_registry *r, const struct schema_edit *e, struct arena *scratch,
		 struct schema **ret, struct err *err)
{
	struct schema_source from = {.base = r->current,
				     .may_sql = e->how.may_sql,
				     .may_catalogs = e->how.may_catalogs,
				     .set = e->how.set,
				     .trusts_sets = e->how.trusts_sets,
				     .replaces = e->how.replace_all,
				     .declared = base_of(r->declared)};

	if (e->models != NULL) {
		struct walk walk = {.models = e->models};
		const struct schema_feed feed = {.next = next_model, .arg = &walk, .n_max = e->models->n_models};

		from.feed = &feed;
		return all_told_models(r, e->models, err) && schema_from_source(NULL, &from, scratch, ret, err);
	}
	if (e->doc != NULL)
		return all_told(r, e->doc, scratch, err) && schema_from_source(e->doc, &from, scratch, ret, err);
	if (e->remove.p != NULL) {
		if (file_of(r->declared, e->remove) != NULL)
			return declared(r, e->remove, err);
		return of_own_sets(r->current, e, err) && schema_without(r->current, e->remove, scratch, ret, err);
	}
	json_t *nothing = json_pack("{s:[]}", "models");
	arena_on_done(scratch, decref, nothing);
	return schema_from_json(nothing, base_of(r->declared), scratch, ret, err);
}

/* Each model is written and forgotten: a tree of all of them would be twenty times their text. */
static void write_told(const struct schema_registry *r, const struct schema *s, struct strbuf *b)
{
	strbuf_putc(b, '[');
	for (size_t i = 0; i < s->n_models; i++) {
		json_t *m;

		if (file_of(r->declared, s->models[i].name) != NULL)
			continue;
		wait_may_step_aside();
		m = schema_model_short_json(&s->models[i]);
		if (b->len > 1)
			strbuf_putc(b, ',');
		json_write(b, m, true);
		json_decref(m);
	}
	strbuf_putc(b, ']');
}

bool schema_registry_stage(struct schema_registry *r, const struct schema_edit *e, bool keeps, struct arena *scratch,
			   struct schema_staged *ret, struct err *err)
{
	struct schema *s = NULL;

	if (!begin_change(r, err))
		return false;
	bool ok = make(r, e, scratch, &s, err);
	if (ok) {
		*ret = (struct schema_staged){.schema = s, .base = r->generation};
		strbuf_init(&ret->told, 0);
		if (keeps)
			write_told(r, s, &ret->told);
	}
	turn_give(&r->changing);
	return ok;
}

bool schema_registry_publish(struct schema_registry *r, const struct schema_staged *s)
{
	struct err ignored;

	if (!begin_change(r, &ignored))
		return false;
	bool ok = r->generation == s->base;
	if (ok)
		publish(r, schema_ref(s->schema));
	turn_give(&r->changing);
	return ok;
}

void schema_staged_done(struct schema_staged *s)
{
	schema_unref(s->schema);
	strbuf_done(&s->told);
	*s = (struct schema_staged){0};
}

static bool edit(struct schema_registry *r, const struct schema_edit *e, struct arena *scratch, struct schema **ret,
		 struct err *err)
{
	struct schema *s = NULL;

	if (!begin_change(r, err))
		return false;
	bool ok = make(r, e, scratch, &s, err);
	if (ok) {
		if (ret != NULL)
			*ret = schema_ref(s);
		publish(r, s);
	}
	turn_give(&r->changing);
	return ok;
}

bool schema_registry_apply(struct schema_registry *r, const json_t *doc, const struct schema_change *how,
			   struct arena *scratch, struct schema **ret, struct err *err)
{
	return edit(r, &(struct schema_edit){.doc = doc, .how = *how}, scratch, ret, err);
}

bool schema_registry_remove(struct schema_registry *r, struct str model, struct arena *scratch, struct err *err)
{
	return edit(r, &(struct schema_edit){.remove = model}, scratch, NULL, err);
}

bool schema_registry_clear(struct schema_registry *r, struct arena *scratch, struct err *err)
{
	return edit(r, &(struct schema_edit){.doc = NULL}, scratch, NULL, err);
}
