/* See openapi_operations.h. */
#include "handlers/resources/openapi_operations.h"

#include "service/base/banned.h"

#define LIST_PATH "/v1/models/{model}/records"
#define RECORD_PATH "/v1/models/{model}/records/{pk}"
#define RELATION_PATH "/v1/models/{model}/records/{pk}/{relation}"

#define SAYS_COLUMN "`operator.value`: eq.1, gte.5, in.(a,b), ilike.*x*, is.null, not.eq.2, ..."
#define SAYS_RELATED "Conditions on the related records: `(column.operator.value,...)`."

/* ---- filters ---- */

static json_t *parameter(struct str name, const char *description, json_t *schema)
{
	json_t *o = json_object();
	put_json(o, "name", json_text(name));
	put_json(o, "in", json_string("query"));
	put_json(o, "description", json_string(description));
	put_json(o, "schema", schema);
	return o;
}

static json_t *text_schema(void)
{
	json_t *o = json_object();
	put_json(o, "type", json_string("string"));
	return o;
}

/* What generators make of the names that the operations' own parameters have. */
static const char *const general_names[] = {"using",
					    "ferrosession",
					    "ferrocatalog",
					    "ferrotransaction",
					    "ferrotransactionend",
					    "cachecontrol",
					    "prefer",
					    "idempotencykey",
					    "order",
					    "select",
					    "include",
					    "limit",
					    "offset",
					    "cursor",
					    "filter",
					    "or",
					    "and",
					    "not",
					    "onconflict",
					    "conflictcolumns",
					    "conflictindex",
					    "pk"};

/* Where the filters of a model go: into the components, or, as references to those, into an operation. */
struct filters {
	struct describing *d;
	struct str model;
	json_t *components, *references; /* one of them NULL */
	struct map taken;
	size_t n;
};

/* True once for what generators make of the name. */
static bool take_name(struct filters *f, struct str name)
{
	const struct str squashed = describing_squashed(f->d->scratch, name);
	return map_get(&f->taken, squashed) == NULL && map_put(&f->taken, squashed, f) == NULL;
}

static void put_filter(struct filters *f, struct str name, const char *says)
{
	if (f->n >= LIMIT_DESCRIBED_FILTERS)
		return;
	const struct str key = arena_printf(f->d->scratch, "%.*s_where_%zu", STR_FMT(f->model), ++f->n);
	if (f->components != NULL)
		(void)json_object_set_new(f->components, key.p, parameter(name, says, text_schema()));
	else
		(void)json_array_append_new(f->references, component_ref("parameters", key, ""));
}

/* One that looks like something else is reached with a dot before it, which generators spell out. */
static void put_column(struct filters *f, struct str name)
{
	if (take_name(f, name))
		put_filter(f, name, SAYS_COLUMN);
	else if (take_name(f, arena_printf(f->d->scratch, "dot%.*s", STR_FMT(name))))
		put_filter(f, arena_printf(f->d->scratch, ".%.*s", STR_FMT(name)), SAYS_COLUMN);
}

/* Whether there are related records of which something is true. */
static void put_quantifiers(struct filters *f, const struct relation *r)
{
	static const char *const quantifiers[] = {"any", "none", "all"};
	for (size_t i = 0; i < ARRAY_LEN(quantifiers); i++) {
		const struct str name = arena_printf(f->d->scratch, "%.*s!%s", STR_FMT(r->name), quantifiers[i]);
		if (take_name(f, name))
			put_filter(f, name, SAYS_RELATED);
	}
}

/* The related record's columns; writer.id is writer_id, and a column of that very name goes first. */
static void put_related_columns(struct filters *f, const struct relation *r)
{
	for (size_t i = 0; i < r->target->n_columns; i++) {
		const struct str name =
			arena_printf(f->d->scratch, "%.*s.%.*s", STR_FMT(r->name), STR_FMT(r->target->columns[i].name));
		if (take_name(f, name))
			put_filter(f, name, SAYS_COLUMN);
	}
}

/* What there is no room or no name for is said with the general filter. */
static void put_all(struct filters *f, const struct model *m)
{
	map_init(&f->taken);
	for (size_t i = 0; i < ARRAY_LEN(general_names); i++)
		(void)take_name(f, str_z(general_names[i]));
	for (size_t i = 0; i < m->n_columns; i++)
		put_column(f, m->columns[i].name);
	for (size_t i = 0; i < m->n_relations; i++)
		if (!m->relations[i].to_one && described_as(f->d, m->relations[i].target).p != NULL)
			put_quantifiers(f, &m->relations[i]);
	for (size_t i = 0; i < m->n_relations; i++)
		if (m->relations[i].to_one && described_as(f->d, m->relations[i].target).p != NULL)
			put_related_columns(f, &m->relations[i]);
	map_done(&f->taken);
}

void openapi_put_filters(struct describing *d, const struct model *m, json_t *parameters)
{
	struct filters f = {.d = d, .model = described_as(d, m), .components = parameters};
	put_all(&f, m);
}

/* Beside the general one, which stays for paths into documents and for or, and, not. */
static void refer_to_filters(struct describing *d, const struct model *m, json_t *operation)
{
	struct filters f = {
		.d = d, .model = described_as(d, m), .references = json_object_get(operation, "parameters")};
	put_all(&f, m);
}

/* ---- operations ---- */

/* The caller's connection instead of any. */
static void put_using(const struct describing *d, json_t *operation)
{
	json_t *list = json_object_get(operation, "parameters"), *p, *only, *schema;
	size_t i;
	if (d->using.p == NULL)
		return;
	json_array_foreach(list, i, p)
	{
		const json_t *ref = json_object_get(p, "$ref");
		if (!json_is_string(ref) || !str_eq_z(json_str(ref), "#/components/parameters/Using"))
			continue;
		only = json_array();
		schema = text_schema();
		(void)json_array_append_new(only, json_text(d->using));
		put_json(schema, "enum", only);
		(void)json_array_set_new(list, i, parameter(STR("using"), "The connection.", schema));
		break;
	}
}

static json_t *schema_of(struct str name, const char *suffix)
{
	json_t *o = json_object();
	put_json(o, "schema", component_ref("schemas", name, suffix));
	return o;
}

/* One operation of the general description for this model. */
static json_t *operation(const struct describing *d, const struct model *m, const char *path, const char *method,
			 struct str id)
{
	const json_t *item = json_object_get(json_object_get(d->general, "paths"), path);
	json_t *o = json_deep_copy(json_object_get(item, method)), *tags = json_array();
	const json_t *general = json_object_get(o, "operationId");
	put_json(o, "description", json_sprintf("As `%s`, of one model.", json_string_value(general)));
	put_json(o, "operationId", json_text(id));
	(void)json_array_append_new(tags, json_text(described_as(d, m)));
	put_json(o, "tags", tags);
	put_using(d, o);
	return o;
}

/* The general answer itself, not a reference to it. */
static json_t *resolved(const struct describing *d, const json_t *response)
{
	const json_t *ref = json_object_get(response, "$ref");
	const char *name = json_is_string(ref) ? strrchr(json_string_value(ref), '/') : NULL;
	if (name == NULL)
		return json_deep_copy(response);
	const json_t *all = json_object_get(json_object_get(d->general, "components"), "responses");
	return json_deep_copy(json_object_get(all, name + 1));
}

/* The answers of success carry this schema; their headers and other forms stay. */
static void answers(const struct describing *d, json_t *o, struct str name, const char *suffix)
{
	static const char *const codes[] = {"200", "201"};
	json_t *responses = json_object_get(o, "responses");
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		const json_t *was = json_object_get(responses, codes[i]);
		if (was == NULL)
			continue;
		json_t *response = resolved(d, was);
		put_json(json_object_get(response, "content"), "application/json", schema_of(name, suffix));
		put_json(responses, codes[i], response);
	}
}

static void takes(json_t *o, struct str name, const char *suffix)
{
	json_t *body = json_object(), *content = json_object();
	put_json(content, "application/json", schema_of(name, suffix));
	put_json(body, "required", json_true());
	put_json(body, "content", content);
	put_json(o, "requestBody", body);
}

static struct str with(struct describing *d, const struct model *m, const char *suffix)
{
	return arena_printf(d->scratch, "%.*s%s", STR_FMT(described_as(d, m)), suffix);
}

/* The path of the model's records, of one of them, or of what is related to one. */
static const char *path_of(struct describing *d, const struct model *m, bool one, struct str relation)
{
	struct strbuf b;
	const char *path;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "/v1/models/");
	out_segment(&b, m->name);
	strbuf_puts(&b, one ? "/records/{pk}" : "/records");
	if (relation.p != NULL) {
		strbuf_putc(&b, '/');
		out_segment(&b, relation);
	}
	path = arena_strz(d->scratch, strbuf_str(&b));
	strbuf_done(&b);
	return path;
}

static json_t *record_item(void)
{
	json_t *item = json_object(), *list = json_array();
	(void)json_array_append_new(list, component_ref("parameters", STR("PrimaryKey"), ""));
	put_json(item, "parameters", list);
	return item;
}

static void put_list(struct describing *d, const struct model *m, json_t *paths)
{
	json_t *item = json_object(), *o = operation(d, m, LIST_PATH, "get", with(d, m, "_list"));
	answers(d, o, described_as(d, m), "_list");
	refer_to_filters(d, m, o);
	put_json(item, "get", o);
	if (!m->read_only) {
		o = operation(d, m, LIST_PATH, "post", with(d, m, "_create"));
		takes(o, described_as(d, m), "_given");
		answers(d, o, described_as(d, m), "");
		put_json(item, "post", o);
	}
	put_json(paths, path_of(d, m, false, STR_NONE), item);
}

static void put_record(struct describing *d, const struct model *m, json_t *paths)
{
	static const struct {
		const char *method, *suffix, *takes;
	} methods[] = {{"get", "_get", NULL},
		       {"put", "_save", "_given"},
		       {"patch", "_update", "_changed"},
		       {"delete", "_delete", NULL}};
	json_t *item = record_item();
	for (size_t i = 0; i < (m->read_only ? 1 : ARRAY_LEN(methods)); i++) {
		json_t *o = operation(d, m, RECORD_PATH, methods[i].method, with(d, m, methods[i].suffix));
		if (methods[i].takes != NULL)
			takes(o, described_as(d, m), methods[i].takes);
		answers(d, o, described_as(d, m), "");
		put_json(item, methods[i].method, o);
	}
	put_json(paths, path_of(d, m, true, STR_NONE), item);
}

static void put_related(struct describing *d, const struct model *m, const struct relation *r, json_t *paths)
{
	const struct str target = described_as(d, r->target);
	const struct str id = arena_printf(d->scratch, "%.*s_%.*s", STR_FMT(with(d, m, "_related")), STR_FMT(r->name));
	json_t *item = record_item(), *o = operation(d, m, RELATION_PATH, "get", describing_name(d, id));
	answers(d, o, target, r->to_one ? "_row" : "_list");
	refer_to_filters(d, r->target, o);
	put_json(item, "get", o);
	put_json(paths, path_of(d, m, true, r->name), item);
}

void openapi_put_operations(struct describing *d, const struct model *m, json_t *paths)
{
	put_list(d, m, paths);
	if (m->n_pk == 0)
		return;
	put_record(d, m, paths);
	for (size_t i = 0; i < m->n_relations; i++)
		if (described_as(d, m->relations[i].target).p != NULL)
			put_related(d, m, &m->relations[i], paths);
}
