/* From a document to a published set: envelope, merge with what is there, the steps of schema_build.h, faults. */
#include "store/schema/schema_json.h"

#include "service/base/mem.h"
#include "service/base/wait.h"
#include "store/schema/schema_build.h"

#include "service/base/banned.h"

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
	static const char *const of_envelope[] = {"ir_kind", "ir_version", "payload", "fingerprint", "warnings", NULL};
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
		if (!json_is_integer(version) || json_integer_value(version) != 1)
			schema_fault(b, "/ir_version", "\"ir_version\" must be 1");
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

/* Adds the models of `base` that the drafts so far (or `except`) do not replace, from their canonical form. */
static void parse_base(struct schema_build *b, const struct schema *base, struct str except)
{
	struct map replaced;

	map_init(&replaced);
	for (size_t i = 0; i < b->n; i++)
		if (b->drafts[i].m->name.p != NULL)
			map_put(&replaced, b->drafts[i].m->name, &b->drafts[i]);
	for (size_t i = 0; i < base->n_models; i++) {
		const struct model *m = &base->models[i];

		wait_may_step_aside();
		if (map_get(&replaced, m->name) == NULL && !str_eq(m->name, except))
			schema_parse_model(b, m->json, b->set_pointer, true);
	}
	map_done(&replaced);
}

bool schema_from_json(const json_t *doc, struct schema *base, struct arena *scratch, struct schema **ret,
		      struct err *err)
{
	const struct schema_source from = {.base = base, .may_sql = true, .may_catalogs = true};

	return schema_from_source(doc, &from, scratch, ret, err);
}

bool schema_from_source(const json_t *doc, const struct schema_source *from, struct arena *scratch, struct schema **ret,
			struct err *err)
{
	struct schema *base = from->base;
	struct schema_build b;
	const json_t *models;
	size_t n;
	bool ok;

	schema_build_init(&b, scratch);
	b.may_sql = from->may_sql;
	b.may_catalogs = from->may_catalogs;
	if (base != NULL)
		b.s->dialect_agnostic = base->dialect_agnostic;
	models = find_models(&b, doc);
	n = models != NULL ? json_array_size(models) : 0;
	b.drafts = arena_array(scratch, n + (base != NULL ? base->n_models : 0), sizeof(*b.drafts));
	for (size_t i = 0; i < n; i++) {
		wait_may_step_aside();
		schema_parse_model(&b, json_array_get(models, i), json_pointer_index(scratch, b.set_pointer, i), false);
	}
	if (base != NULL)
		parse_base(&b, base, STR_NONE);
	if (b.n > LIMIT_MODELS)
		schema_fault(&b, b.set_pointer, "a set has at most %d models", LIMIT_MODELS);
	ok = models != NULL ? build(&b, ret, err) : verdict(&b, err);
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
	parse_base(&b, base, model);
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
