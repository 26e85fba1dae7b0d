/*
 * The description of the models at hand: what /openapi.json says in general of records, filters and relations, said
 * once more for each registered model by its own names and types, for clients that are generated from it.
 */
#include "handlers/resources/openapi_models.h"

#include "service/base/wait.h"

#include "service/base/banned.h"

#define LIST_PATH "/v1/models/{model}/records"
#define RECORD_PATH "/v1/models/{model}/records/{pk}"
#define RELATION_PATH "/v1/models/{model}/records/{pk}/{relation}"

struct describing {
	struct arena *a;
	struct str set, using; /* STR_NONE: any */
	const json_t *paths;   /* of the general description */
	json_t *out, *schemas;
	struct map names; /* of components, so that none is there twice */
	const struct schema *s;
};

static void set(json_t *o, const char *key, json_t *v)
{
	(void)json_object_set_new(o, key, v);
}

static json_t *text(struct str s)
{
	return json_stringn(s.p, s.len);
}

static json_t *reference(struct str name)
{
	json_t *o = json_object(), *v = json_sprintf("#/components/schemas/%.*s", STR_FMT(name));
	set(o, "$ref", v);
	return o;
}

/* The model's name as one of a component: letters, digits, dots, _ and -. */
static struct str component(struct describing *d, const struct model *m, const char *suffix)
{
	char *p = arena_strz(d->a, m->name);
	for (size_t i = 0; i < m->name.len; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9')))
			p[i] = '_';
	return arena_printf(d->a, "Model_%s%s", p, suffix);
}

static bool described(const struct describing *d, const struct model *m)
{
	for (size_t i = 0; i < m->n_sets; i++)
		if (d->set.p == NULL || str_eq(m->sets[i], d->set))
			return true;
	return false;
}

/* ---- types ---- */

static json_t *typed(const char *type, const char *format)
{
	json_t *o = json_object();
	set(o, "type", json_string(type));
	if (format != NULL)
		set(o, "format", json_string(format));
	return o;
}

static json_t *type_of(const struct column *c)
{
	switch (c->logical) {
	case LT_INTEGER:
		return typed("integer", "int64");
	case LT_NUMBER:
		return typed("number", "double");
	case LT_DECIMAL:
		return typed("string", "decimal");
	case LT_BOOLEAN:
		return typed("boolean", NULL);
	case LT_UUID:
		return typed("string", "uuid");
	case LT_BINARY:
		return typed("string", "byte");
	case LT_STRING:
	case LT_DATETIME: /* perhaps without an offset, or infinite: no date-time of RFC 3339 */
	case LT_DATE:
	case LT_TIME:
		return typed("string", NULL);
	case LT_JSON:
	case LT_UNKNOWN:
		break;
	}
	if (c->shape == SHAPE_ARRAY && c->element != NULL) {
		json_t *o = typed("array", NULL);
		set(o, "items", json_object());
		return o;
	}
	return json_object();
}

static void allow_null(json_t *schema)
{
	const json_t *type = json_object_get(schema, "type");
	json_t *both;
	if (!json_is_string(type))
		return;
	both = json_array();
	(void)json_array_append(both, (json_t *)(uintptr_t)type);
	(void)json_array_append_new(both, json_string("null"));
	set(schema, "type", both);
}

static void put_labels(const struct column *c, bool nullable, json_t *schema)
{
	json_t *labels;
	if (c->logical != LT_STRING || !c->postgres_native_enum || json_array_size(c->enum_values) == 0)
		return;
	labels = json_copy((json_t *)(uintptr_t)c->enum_values);
	if (nullable)
		(void)json_array_append_new(labels, json_null());
	set(schema, "enum", labels);
}

static json_t *column_schema(const struct column *c)
{
	json_t *o = type_of(c);
	if (c->nullable)
		allow_null(o);
	put_labels(c, c->nullable, o);
	if (c->logical == LT_STRING && c->length > 0 && !c->postgres_native_enum)
		set(o, "maxLength", json_integer(c->length));
	if (c->fill.read_only)
		set(o, "readOnly", json_true());
	if (c->comment.p != NULL && str_is_utf8(c->comment))
		set(o, "description", text(c->comment));
	return o;
}

/* ---- records ---- */

/* What `include` hangs below a record. */
static void put_relations(struct describing *d, const struct model *m, json_t *properties)
{
	for (size_t i = 0; i < m->n_relations; i++) {
		const struct relation *r = &m->relations[i];
		json_t *o;
		if (!described(d, r->target))
			continue;
		o = json_object();
		if (r->to_one) {
			json_t *either = json_array();
			(void)json_array_append_new(either, reference(component(d, r->target, "")));
			(void)json_array_append_new(either, typed("null", NULL));
			set(o, "anyOf", either);
		} else {
			set(o, "type", json_string("array"));
			set(o, "items", reference(component(d, r->target, "")));
		}
		set(o, "description", json_string("Where `include` names it."));
		(void)json_object_set_new(properties, arena_strz(d->a, r->name), o);
	}
}

static bool must_be_given(const struct column *c)
{
	return !c->nullable && c->default_value == NULL && !c->autoincrement && !column_fills(c) &&
	       !c->fill.now_on_create && !c->fill.now_on_update && !c->fill.lock_version && !c->fill.read_only;
}

/* given: what is sent, else what is answered. */
static json_t *record_schema(struct describing *d, const struct model *m, bool given, bool create)
{
	json_t *o = typed("object", NULL), *properties = json_object(), *required = json_array();
	for (size_t i = 0; i < m->n_columns; i++) {
		const struct column *c = &m->columns[i];
		if (given && c->fill.read_only)
			continue;
		(void)json_object_set_new(properties, arena_strz(d->a, c->name), column_schema(c));
		if (given ? create && must_be_given(c) : true)
			(void)json_array_append_new(required, text(c->name));
	}
	if (!given)
		put_relations(d, m, properties);
	set(o, "properties", properties);
	if (json_array_size(required) > 0)
		set(o, "required", required);
	else
		json_decref(required);
	return o;
}

static json_t *list_schema(struct describing *d, const struct model *m)
{
	json_t *o = typed("object", NULL), *properties = json_object(), *rows = typed("array", NULL);
	json_t *required = json_array();
	set(rows, "items", reference(component(d, m, "")));
	set(properties, "rows", rows);
	set(properties, "row_count", typed("integer", "int64"));
	set(properties, "next_cursor", typed("string", NULL));
	set(properties, "prev_cursor", typed("string", NULL));
	set(properties, "total", typed("integer", "int64"));
	(void)json_array_append_new(required, json_string("rows"));
	(void)json_array_append_new(required, json_string("row_count"));
	set(o, "properties", properties);
	set(o, "required", required);
	return o;
}

/* What a to-one relation answers. */
static json_t *row_schema(struct describing *d, const struct model *m)
{
	json_t *o = typed("object", NULL), *properties = json_object(), *row = json_object(), *either = json_array();
	json_t *required = json_array();
	(void)json_array_append_new(either, reference(component(d, m, "")));
	(void)json_array_append_new(either, typed("null", NULL));
	set(row, "anyOf", either);
	set(properties, "row", row);
	(void)json_array_append_new(required, json_string("row"));
	set(o, "properties", properties);
	set(o, "required", required);
	return o;
}

static void put_schema(struct describing *d, struct str name, json_t *schema)
{
	(void)json_object_set_new(d->schemas, arena_strz(d->a, name), schema);
}

/* ---- operations ---- */

static json_t *parameter(struct str name, const char *description, json_t *schema)
{
	json_t *o = json_object();
	set(o, "name", text(name));
	set(o, "in", json_string("query"));
	set(o, "description", json_string(description));
	set(o, "schema", schema);
	return o;
}

/* Names that parameters of their own have: the column is reached with a dot before it. */
static bool is_parameter(struct str name)
{
	static const char *const names[] = {
		"using", "order", "select",      "include",          "limit",         "offset", "cursor", "or",
		"and",   "not",   "on_conflict", "conflict_columns", "conflict_index"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_z(name, names[i]))
			return true;
	return false;
}

/* The general filter gives way to one a column. */
static void put_filters(struct describing *d, const struct model *m, json_t *operation)
{
	json_t *list = json_object_get(operation, "parameters"), *p;
	size_t i;
	json_array_foreach(list, i, p)
	{
		const json_t *ref = json_object_get(p, "$ref");
		if (json_is_string(ref) && str_eq_z(json_str(ref), "#/components/parameters/Filter")) {
			(void)json_array_remove(list, i);
			break;
		}
	}
	for (size_t k = 0; k < m->n_columns; k++) {
		const struct str name = m->columns[k].name;
		(void)json_array_append_new(
			list, parameter(is_parameter(name) ? arena_printf(d->a, ".%.*s", STR_FMT(name)) : name,
					"`operator.value`: eq.1, gte.5, in.(a,b), ilike.*x*, is.null, not.eq.2, ...",
					typed("string", NULL)));
	}
}

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
		schema = typed("string", NULL);
		(void)json_array_append_new(only, text(d->using));
		set(schema, "enum", only);
		(void)json_array_set_new(list, i, parameter(STR("using"), "The connection.", schema));
		break;
	}
}

static void put_content(json_t *o, struct str schema)
{
	json_t *content = json_object(), *json = json_object();
	set(json, "schema", reference(schema));
	set(content, "application/json", json);
	set(o, "content", content);
}

/* One operation of the general description for this model; NULL: it has none. */
static json_t *operation(struct describing *d, const char *path, const char *method, struct str id)
{
	const json_t *item = json_object_get(d->paths, path);
	json_t *o = json_deep_copy(json_object_get(item, method));
	if (o == NULL)
		return NULL;
	set(o, "operationId", text(id));
	put_using(d, o);
	return o;
}

/* The answers of success carry this schema. */
static void answers(json_t *o, struct str schema)
{
	static const char *const codes[] = {"200", "201"};
	json_t *responses = json_object_get(o, "responses");
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		json_t *response;
		if (json_object_get(responses, codes[i]) == NULL)
			continue;
		response = json_object();
		set(response, "description", json_string("What was asked for."));
		put_content(response, schema);
		set(responses, codes[i], response);
	}
}

static void takes(json_t *o, struct str schema)
{
	json_t *body = json_object();
	set(body, "required", json_true());
	put_content(body, schema);
	set(o, "requestBody", body);
}

/* The path of the model's records, and what follows. */
static const char *path_of(struct describing *d, const struct model *m, const char *rest)
{
	struct strbuf b;
	const char *path;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "/v1/models/");
	out_segment(&b, m->name);
	strbuf_puts(&b, "/records");
	strbuf_puts(&b, rest);
	path = arena_strz(d->a, strbuf_str(&b));
	strbuf_done(&b);
	return path;
}

static json_t *path_item(struct describing *d, bool keyed)
{
	json_t *item = json_object(), *list, *p;
	if (!keyed)
		return item;
	list = json_array();
	p = json_object();
	(void)d;
	set(p, "$ref", json_string("#/components/parameters/PrimaryKey"));
	(void)json_array_append_new(list, p);
	set(item, "parameters", list);
	return item;
}

static void put_list(struct describing *d, const struct model *m)
{
	json_t *item = path_item(d, false), *o = operation(d, LIST_PATH, "get", component(d, m, "_list"));
	answers(o, component(d, m, "_list"));
	put_filters(d, m, o);
	set(item, "get", o);
	if (!m->read_only) {
		o = operation(d, LIST_PATH, "post", component(d, m, "_create"));
		takes(o, component(d, m, "_given"));
		answers(o, component(d, m, ""));
		set(item, "post", o);
	}
	set(d->out, path_of(d, m, ""), item);
}

static void put_record(struct describing *d, const struct model *m)
{
	static const struct {
		const char *method, *suffix, *takes;
	} methods[] = {{"get", "_get", NULL},
		       {"put", "_save", "_given"},
		       {"patch", "_update", "_changed"},
		       {"delete", "_delete", NULL}};
	json_t *item = path_item(d, true);
	for (size_t i = 0; i < (m->read_only ? 1 : ARRAY_LEN(methods)); i++) {
		json_t *o = operation(d, RECORD_PATH, methods[i].method, component(d, m, methods[i].suffix));
		if (methods[i].takes != NULL)
			takes(o, component(d, m, methods[i].takes));
		answers(o, component(d, m, ""));
		set(item, methods[i].method, o);
	}
	set(d->out, path_of(d, m, "/{pk}"), item);
	for (size_t i = 0; i < m->n_relations; i++) {
		const struct relation *r = &m->relations[i];
		struct strbuf rest;
		json_t *o;
		if (!described(d, r->target))
			continue;
		item = path_item(d, true);
		o = operation(d, RELATION_PATH, "get",
			      arena_printf(d->a, "%.*s_%zu", STR_FMT(component(d, m, "_related")), i + 1));
		answers(o, component(d, r->target, r->to_one ? "_row" : "_list"));
		put_filters(d, r->target, o);
		set(item, "get", o);
		strbuf_init(&rest, 0);
		strbuf_puts(&rest, "/{pk}/");
		out_segment(&rest, r->name);
		set(d->out, path_of(d, m, arena_strz(d->a, strbuf_str(&rest))), item);
		strbuf_done(&rest);
	}
}

static void describe(struct describing *d, const struct model *m)
{
	put_schema(d, component(d, m, ""), record_schema(d, m, false, false));
	put_schema(d, component(d, m, "_list"), list_schema(d, m));
	put_schema(d, component(d, m, "_row"), row_schema(d, m));
	if (!m->read_only) {
		put_schema(d, component(d, m, "_given"), record_schema(d, m, true, true));
		put_schema(d, component(d, m, "_changed"), record_schema(d, m, true, false));
	}
	put_list(d, m);
	if (m->n_pk > 0)
		put_record(d, m);
}

void openapi_describe_models(struct arena *a, const struct schema *s, struct str set_name, struct str using,
			     json_t *doc)
{
	json_t *paths = json_object_get(doc, "paths");
	struct describing d = {.a = a, .s = s, .set = set_name, .using = using, .paths = paths};
	d.schemas = json_object_get(json_object_get(doc, "components"), "schemas");
	d.out = json_object();
	for (size_t i = 0; i < s->n_models; i++) {
		wait_may_step_aside();
		if (described(&d, &s->models[i]))
			describe(&d, &s->models[i]);
	}
	(void)json_object_update(paths, d.out);
	json_decref(d.out);
}
