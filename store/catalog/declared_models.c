/* The declared set of models: what the files say, and what introspection found. */
#include "store/catalog/declared_impl.h"

#include "store/schema/schema_json.h"

#include "service/base/banned.h"

struct compose {
	json_t *models;
	struct map names, tables; /* of the models so far */
	struct arena *scratch;
};

/* Tables of one name in two schemas are two. */
static struct str place(const struct compose *c, struct str schema, struct str table)
{
	return arena_printf(c->scratch, "%.*s.%.*s", STR_FMT(schema), STR_FMT(table));
}

static struct str text_of(const json_t *model, const char *member)
{
	const json_t *v = json_object_get(model, member);
	return json_is_string(v) ? json_str(v) : STR_NONE;
}

static void add_explicit(struct compose *c, const struct schema *s, const json_t *models)
{
	(void)json_array_extend(c->models, (json_t *)(uintptr_t)models);
	for (size_t i = 0; i < s->n_models; i++) {
		(void)map_put(&c->names, s->models[i].name, (void *)(uintptr_t)&s->models[i]);
		(void)map_put(&c->tables, place(c, s->models[i].schema_name, s->models[i].table),
			      (void *)(uintptr_t)&s->models[i]);
	}
}

static void add_found(struct compose *c, const json_t *found)
{
	json_t *m;
	size_t i;
	json_array_foreach(found, i, m)
	{
		const struct str name = text_of(m, "model_name");
		const struct str table = place(c, text_of(m, "schema"), text_of(m, "table_name"));
		if (map_get(&c->names, name) != NULL || map_get(&c->tables, table) != NULL)
			continue;
		(void)json_array_append(c->models, m);
		(void)map_put(&c->names, name, m);
		(void)map_put(&c->tables, table, m);
	}
}

/* Where each model of the set stands. */
static void name_files(const struct catalog *c, const struct item_list *list, struct schema_declared *d)
{
	const char **files = arena_array(&d->arena, d->schema->n_models + 1, sizeof(*files));
	for (size_t i = 0; i < d->schema->n_models; i++) {
		const struct str name = d->schema->models[i].name;
		const char *file = schema_model(c->schema, name) != NULL ? catalog_model_file(c, name) : NULL;
		for (size_t k = 0; file == NULL && k < list->n; k++) {
			json_t *found = item_found(list->items[k]), *m;
			size_t at;
			json_array_foreach(found, at, m)
			{
				if (str_eq(text_of(m, "model_name"), name))
					file = list->items[k]->introspect->at.file;
			}
			json_decref(found);
		}
		files[i] = arena_strz(&d->arena, str_z(file != NULL ? file : "the catalog"));
	}
	d->files = files;
}

bool declared_models(const struct catalog *c, const struct item_list *list, struct schema_declared **ret,
		     struct err *err)
{
	json_t **kept;
	struct arena scratch;
	struct compose all = {.models = json_array(), .scratch = &scratch};
	struct schema *s = NULL;
	bool any = false, ok = true;
	arena_init(&scratch);
	kept = arena_array(&scratch, list->n + 1, sizeof(*kept));
	map_init(&all.names);
	map_init(&all.tables);
	add_explicit(&all, c->schema, c->models);
	for (size_t i = 0; i < list->n; i++) {
		kept[i] = item_found(list->items[i]);
		any = any || kept[i] != NULL;
		add_found(&all, kept[i]);
	}
	if (any) {
		json_t *doc = json_pack("{s:O}", "models", all.models);
		ok = schema_from_json(doc, NULL, &scratch, &s, err);
		json_decref(doc);
		err->faults = NULL; /* they live in the scratch */
		if (!ok)
			err->n_faults = 0;
	} else {
		s = schema_ref(c->schema);
	}
	map_done(&all.names);
	map_done(&all.tables);
	for (size_t i = 0; i < list->n; i++)
		json_decref(kept[i]);
	json_decref(all.models);
	arena_done(&scratch);
	if (!ok)
		return false;
	*ret = schema_declared_create(s);
	name_files(c, list, *ret);
	return true;
}

bool declared_publish_models(struct declared *d, struct err *err)
{
	struct schema_declared *set;
	struct arena scratch;
	if (!declared_models(d->catalog, &d->list, &set, err))
		return false;
	arena_init(&scratch);
	store_begin_publishing(d->store);
	const bool ok = schema_registry_declare(&d->store->models, set, &scratch, err);
	store_end_publishing(d->store);
	if (!ok) {
		err->faults = NULL; /* they live in the scratch */
		err->n_faults = 0;
		schema_declared_destroy(set);
	}
	arena_done(&scratch);
	return ok;
}
