/* From a document to a published set: envelope, merge with what is there, the steps of schema_build.h, faults. */
#include "store/schema/schema_json.h"

#include "service/base/mem.h"
#include "service/base/wait.h"
#include "store/schema/schema_build.h"

#include "service/base/banned.h"

#define IR_VERSION_MAX 3

/* What the faults amount to; false when there is one. */
static bool verdict(struct schema_build *b, struct err *err)
{
	size_t listed = b->n_faults < LIMIT_ERR_FAULTS ? b->n_faults : LIMIT_ERR_FAULTS;

	if (b->n_faults == 0 && b->sql_given != NULL)
		return err_set_at(err, ERR_FORBIDDEN, b->sql_given,
				  "an SQL expression that is no literal, CURRENT_ word, now(), gen_random_uuid() or "
				  "nextval of the column's own sequence needs the scope \"sql\"");
	if (b->n_faults == 0)
		return true;
	if (b->n_faults == 1)
		(void)err_set_at(err, ERR_INVALID_SCHEMA, b->faults[0].pointer, "the schema is invalid: %s",
				 b->faults[0].detail);
	else
		(void)err_set_at(err, ERR_INVALID_SCHEMA, b->faults[0].pointer,
				 "the schema is invalid: %s (and %zu more faults)", b->faults[0].detail,
				 b->n_faults - 1);
	err->faults = b->faults;
	err->n_faults = listed;
	return false;
}

/* Everything after parsing. Takes the schema out of the build on success. */
static bool build(struct schema_build *b, struct schema **ret, struct err *err)
{
	schema_complete(b);
	schema_validate(b);
	if (!verdict(b, err))
		return false;
	schema_sort(b);
	schema_relate(b);
	if (!verdict(b, err))
		return false;
	schema_finish(b);
	*ret = b->s;
	b->s = NULL;
	return true;
}

/* The array of models of an envelope or a bare payload; NULL: faults were noted. */
static const json_t *find_models(struct schema_build *b, const json_t *doc)
{
	static const char *const of_envelope[] = {"ir_kind",  "ir_version", "payload", "fingerprint",
						  "warnings", "replaces",   NULL};
	static const char *const of_payload[] = {"dialect_agnostic", "models", NULL};
	static const char *const of_bare[] = {"dialect_agnostic", "models", "fingerprint", "warnings", NULL};
	const json_t *payload = doc, *agnostic, *models;
	const char *at = "";
	const char *const *known = of_bare;

	if (json_is_object(doc) &&
	    (json_object_get(doc, "ir_kind") != NULL || json_object_get(doc, "payload") != NULL)) {
		const json_t *kind = json_object_get(doc, "ir_kind"), *version = json_object_get(doc, "ir_version");

		if (!json_is_string(kind) || !str_eq_z(json_str(kind), "schema"))
			schema_fault(b, "/ir_kind", "\"ir_kind\" must be \"schema\"");
		if (!json_is_integer(version) || json_integer_value(version) < 1 ||
		    json_integer_value(version) > IR_VERSION_MAX)
			schema_fault(b, "/ir_version", "\"ir_version\" must be 1 to %d", IR_VERSION_MAX);
		else
			b->ir_version = (int)json_integer_value(version);
		schema_unknown_members(b, doc, "", of_envelope);
		payload = json_object_get(doc, "payload");
		at = "/payload";
		known = of_payload;
	}
	if (!json_is_object(payload)) {
		schema_fault(b, at, "a SchemaIR envelope or payload must be an object");
		return NULL;
	}
	schema_unknown_members(b, payload, at, known);
	agnostic = json_object_get(payload, "dialect_agnostic");
	if (json_is_boolean(agnostic))
		b->s->dialect_agnostic = json_is_true(agnostic);
	else if (agnostic != NULL && !json_is_null(agnostic))
		schema_fault(b, json_pointer_key(b->scratch, at, STR("dialect_agnostic")), "must be true or false");
	b->set_pointer = json_pointer_key(b->scratch, at, STR("models"));
	models = json_object_get(payload, "models");
	if (!json_is_array(models)) {
		schema_fault(b, b->set_pointer, "\"models\" must be an array");
		return NULL;
	}
	if (json_array_size(models) > LIMIT_MODELS) {
		schema_fault(b, b->set_pointer, "a set has at most %d models", LIMIT_MODELS);
		return NULL;
	}
	return models;
}

/* A model of base leaves the set; false: it is of no other. */
static bool leave_set(struct arena *a, struct model *m, struct str set)
{
	struct str *sets = arena_array(a, m->n_sets, sizeof(*sets));
	size_t n = 0;

	for (size_t i = 0; i < m->n_sets; i++)
		if (!str_eq(m->sets[i], set))
			sets[n++] = m->sets[i];
	m->sets = sets;
	m->n_sets = n;
	return n > 0;
}

static bool is_declared(const struct schema_source *from, struct str name)
{
	return from->declared != NULL && schema_model(from->declared, name) != NULL;
}

/* From its canonical form, of which nothing is kept. */
static void parse_kept(struct schema_build *b, const struct model *m)
{
	json_t *json = schema_model_json(m);

	b->kept = true;
	schema_parse_model(b, json, b->set_pointer, true);
	b->kept = false;
	json_decref(json);
}

/* Adds the models of `base` that the drafts so far (or `except`) do not replace, from their canonical form. */
static void parse_base(struct schema_build *b, const struct schema_source *from, struct str except)
{
	struct map replaced;

	map_init(&replaced);
	for (size_t i = 0; i < b->n; i++)
		if (b->drafts[i].m->name.p != NULL)
			map_put(&replaced, b->drafts[i].m->name, &b->drafts[i]);
	for (size_t i = 0; i < from->base->n_models; i++) {
		const struct model *m = &from->base->models[i];

		wait_may_step_aside();
		if (map_get(&replaced, m->name) != NULL || str_eq(m->name, except))
			continue;
		parse_kept(b, m);
		if (from->replaces && !is_declared(from, m->name) &&
		    !leave_set(b->arena, b->drafts[b->n - 1].m, b->set))
			b->n--;
	}
	map_done(&replaced);
}

/* ---- models of several sets ---- */

/* A model that other sets have, too. */
struct shared {
	struct str name;
	const char *pointer;
	const struct model *theirs; /* base's */
	struct str set;             /* one of those that have it */
};

/* The drafts of the document join the sets that have them already. */
static size_t join_sets(struct schema_build *b, const struct schema_source *from, struct shared *ret)
{
	size_t n = 0;

	for (size_t i = 0; from->base != NULL && i < b->n; i++) {
		struct model *m = b->drafts[i].m;
		const struct model *theirs = m->name.p != NULL ? schema_model(from->base, m->name) : NULL;
		struct str *sets;
		size_t n_sets = 1;

		if (theirs == NULL || from->trusts_sets || is_declared(from, m->name))
			continue;
		sets = arena_array(b->arena, theirs->n_sets + 1, sizeof(*sets));
		sets[0] = b->drafts[i].m->sets[0];
		for (size_t k = 0; k < theirs->n_sets; k++)
			if (!str_eq(theirs->sets[k], sets[0]))
				sets[n_sets++] = arena_str(b->arena, theirs->sets[k]);
		m->sets = sets;
		m->n_sets = n_sets;
		if (n_sets > 1)
			ret[n++] = (struct shared){m->name, b->drafts[i].pointer, theirs, sets[1]};
	}
	return n;
}

/* What a model means, whoever has it: without its sets, and what follows from other models. */
static json_t *meaning(const struct model *m)
{
	static const char *const about[] = {"set", "sets", "origin"};
	json_t *o = schema_model_json(m), *relations = json_array(), *r;
	size_t i;

	for (i = 0; i < ARRAY_LEN(about); i++)
		(void)json_object_del(o, about[i]);
	json_array_foreach(json_object_get(o, "relations"), i, r)
	{
		if (!json_is_true(json_object_get(r, "derived")))
			(void)json_array_append(relations, r);
	}
	(void)json_object_set_new(o, "relations", relations);
	return o;
}

static bool same_meaning(const struct model *x, const struct model *y)
{
	json_t *one = meaning(x), *other = meaning(y);
	const bool same = json_equal(one, other);

	json_decref(one);
	json_decref(other);
	return same;
}

static bool check_shared(const struct schema *s, const struct shared *list, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (!same_meaning(schema_model(s, list[i].name), list[i].theirs))
			return err_set_at(err, ERR_MODEL_CONFLICT, list[i].pointer,
					  "set \"%.*s\" has a model \"%.*s\" with another meaning",
					  STR_FMT(list[i].set), STR_FMT(list[i].name));
	return true;
}

bool schema_from_json(const json_t *doc, struct schema *base, struct arena *scratch, struct schema **ret,
		      struct err *err)
{
	const struct schema_source from = {.base = base, .may_sql = true, .may_catalogs = true, .trusts_sets = true};

	return schema_from_source(doc, &from, scratch, ret, err);
}

/* The models that are given, from the document (NULL: faults were noted) or from the feed. */
static void parse_given(struct schema_build *b, const struct schema_source *from, const json_t *models)
{
	json_t *m;

	for (size_t i = 0; from->feed == NULL && i < json_array_size(models); i++) {
		wait_may_step_aside();
		schema_parse_model(b, json_array_get(models, i), json_pointer_index(b->scratch, b->set_pointer, i),
				   false);
	}
	for (size_t i = 0; from->feed != NULL && (m = from->feed->next(from->feed->arg)) != NULL; i++) {
		wait_may_step_aside();
		schema_parse_model(b, m, json_pointer_index(b->scratch, "/models", i), false);
		json_decref(m);
	}
}

bool schema_from_source(const json_t *doc, const struct schema_source *from, struct arena *scratch, struct schema **ret,
			struct err *err)
{
	struct schema *base = from->base;
	struct schema_build b;
	const json_t *models;
	struct shared *shared;
	size_t n, n_shared;
	bool ok;

	schema_build_init(&b, scratch);
	b.may_sql = from->may_sql;
	b.may_catalogs = from->may_catalogs;
	b.set = from->set.p != NULL ? from->set : STR("");
	b.trusts_sets = from->trusts_sets;
	if (base != NULL)
		b.s->dialect_agnostic = base->dialect_agnostic;
	models = from->feed == NULL ? find_models(&b, doc) : NULL;
	n = from->feed != NULL ? from->feed->n_max : json_array_size(models);
	b.drafts = arena_array(scratch, n + (base != NULL ? base->n_models : 0), sizeof(*b.drafts));
	parse_given(&b, from, models);
	shared = arena_array(scratch, b.n, sizeof(*shared));
	n_shared = join_sets(&b, from, shared);
	if (base != NULL)
		parse_base(&b, from, STR_NONE);
	if (b.n > LIMIT_MODELS)
		schema_fault(&b, b.set_pointer, "a set has at most %d models", LIMIT_MODELS);
	ok = models != NULL || from->feed != NULL ? build(&b, ret, err) : verdict(&b, err);
	if (ok && !check_shared(*ret, shared, n_shared, err)) {
		schema_unref(*ret);
		ok = false;
	}
	schema_build_done(&b);
	return ok;
}

bool schema_without(struct schema *base, struct str model, struct arena *scratch, struct schema **ret, struct err *err)
{
	struct schema_build b;
	bool ok;

	if (schema_model(base, model) == NULL)
		return err_set(err, ERR_MODEL_NOT_FOUND, "there is no model \"%.*s\"", STR_FMT(model));
	schema_build_init(&b, scratch);
	b.s->dialect_agnostic = base->dialect_agnostic;
	b.drafts = arena_array(scratch, base->n_models, sizeof(*b.drafts));
	parse_base(&b, &(struct schema_source){.base = base}, model);
	ok = build(&b, ret, err);
	schema_build_done(&b);
	return ok;
}

struct schema *schema_empty(void)
{
	struct schema_build b;
	struct schema *ret;
	struct arena scratch;

	arena_init(&scratch);
	schema_build_init(&b, &scratch);
	schema_sort(&b);
	schema_finish(&b);
	ret = b.s;
	b.s = NULL;
	schema_build_done(&b);
	arena_done(&scratch);
	return ret;
}
