/* See openapi_records.h. */
#include "handlers/resources/openapi_records.h"

#include "service/base/banned.h"

/* ---- types ---- */

static json_t *typed(const char *type, const char *format)
{
	json_t *o = json_object();
	put_json(o, "type", json_string(type));
	if (format != NULL)
		put_json(o, "format", json_string(format));
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
		put_json(o, "items", json_object());
		return o;
	}
	return json_object();
}

/* 3.1 lists null among the types, 3.0 has a word beside them; a schema without a type takes it anyhow. */
static void allow_null(const struct describing *d, json_t *schema)
{
	const json_t *type = json_object_get(schema, "type");
	if (!json_is_string(type))
		return;
	if (d->old) {
		put_json(schema, "nullable", json_true());
		return;
	}
	json_t *both = json_array();
	(void)json_array_append(both, (json_t *)(uintptr_t)type);
	(void)json_array_append_new(both, json_string("null"));
	put_json(schema, "type", both);
}

static void put_labels(const struct column *c, json_t *schema)
{
	json_t *labels;
	if (c->logical != LT_STRING || !c->postgres_native_enum || json_array_size(c->enum_values) == 0)
		return;
	labels = json_copy((json_t *)(uintptr_t)c->enum_values);
	if (c->nullable)
		(void)json_array_append_new(labels, json_null());
	put_json(schema, "enum", labels);
}

static json_t *column_schema(const struct describing *d, const struct column *c)
{
	json_t *o = type_of(c);
	if (c->nullable)
		allow_null(d, o);
	put_labels(c, o);
	if (c->logical == LT_STRING && c->length > 0 && !c->postgres_native_enum)
		put_json(o, "maxLength", json_integer(c->length));
	if (c->fill.read_only)
		put_json(o, "readOnly", json_true());
	if (c->comment.p != NULL && str_is_utf8(c->comment))
		put_json(o, "description", json_text(c->comment));
	else if (c->logical == LT_NUMBER)
		put_json(o, "description", json_string("NaN, Infinity and -Infinity come as texts."));
	return o;
}

/* ---- records ---- */

/* A record, or null. 3.0 says neither that of a reference: there the whole record stands once more, and may be null. */
static json_t *perhaps(const struct describing *d, struct str name)
{
	json_t *o, *either;
	if (d->old)
		return component_ref("schemas", name, "_or_null");
	o = json_object();
	either = json_array();
	(void)json_array_append_new(either, component_ref("schemas", name, ""));
	(void)json_array_append_new(either, typed("null", NULL));
	put_json(o, "anyOf", either);
	return o;
}

/* How many of a record's members generators that know neither case nor _ make one of, by that name: `once` or more. */
static const char once = 0, often = 0;

static void count_member(struct describing *d, struct str name, struct map *members)
{
	const struct str key = describing_squashed(d->scratch, name);
	const char *n = map_get(members, key) == NULL ? &once : &often;
	(void)map_put(members, key, (char *)(uintptr_t)n);
}

static void count_members(struct describing *d, const struct model *m, struct map *members)
{
	for (size_t i = 0; i < m->n_columns; i++)
		count_member(d, m->columns[i].name, members);
	for (size_t i = 0; i < m->n_relations; i++)
		if (described_as(d, m->relations[i].target).p != NULL)
			count_member(d, m->relations[i].name, members);
}

/* Not one of them has the name: whatever came beside could take it over. */
static bool is_alike(struct describing *d, struct str name, const struct map *members)
{
	return map_get(members, describing_squashed(d->scratch, name)) == &often;
}

/* They are there all the same. */
static void tell_of_alike(struct describing *d, const struct model *m, const struct map *members, json_t *o)
{
	struct strbuf b;
	strbuf_init(&b, 0);
	for (size_t i = 0; i < m->n_columns; i++)
		if (is_alike(d, m->columns[i].name, members))
			strbuf_printf(&b, "%s`%.*s`", b.len > 0 ? ", " : "", STR_FMT(m->columns[i].name));
	if (b.len > 0) {
		put_json(o, "additionalProperties", json_true());
		put_json(o, "description",
			 json_sprintf("Beside these it has %.*s, which case or _ alone tells apart from another.",
				      STR_FMT(strbuf_str(&b))));
	}
	strbuf_done(&b);
}

/* What `include` hangs below a record. */
static void put_relations(struct describing *d, const struct model *m, const struct map *members, json_t *properties)
{
	for (size_t i = 0; i < m->n_relations; i++) {
		const struct relation *r = &m->relations[i];
		const struct str target = described_as(d, r->target);
		json_t *o;
		if (target.p == NULL || is_alike(d, r->name, members))
			continue;
		if (r->to_one) {
			o = perhaps(d, target);
		} else {
			o = typed("array", NULL);
			put_json(o, "items", component_ref("schemas", target, ""));
		}
		if (json_object_get(o, "$ref") == NULL) /* 3.0 has nothing beside a reference */
			put_json(o, "description", json_string("Where `include` names it."));
		(void)json_object_set_new(properties, arena_strz(d->scratch, r->name), o);
	}
}

static bool must_be_given(const struct column *c)
{
	return !c->nullable && c->default_value == NULL && !c->autoincrement && !column_fills(c) &&
	       !c->fill.now_on_create && !c->fill.now_on_update && !c->fill.lock_version && !c->fill.read_only;
}

enum form { ANSWERED, GIVEN, CHANGED };

static json_t *record_schema(struct describing *d, const struct model *m, enum form form)
{
	json_t *o = typed("object", NULL), *properties = json_object(), *required = json_array();
	struct map members;
	map_init(&members);
	count_members(d, m, &members);
	for (size_t i = 0; i < m->n_columns; i++) {
		const struct column *c = &m->columns[i];
		if ((form != ANSWERED && c->fill.read_only) || is_alike(d, c->name, &members))
			continue;
		(void)json_object_set_new(properties, arena_strz(d->scratch, c->name), column_schema(d, c));
		if (form == ANSWERED || (form == GIVEN && must_be_given(c)))
			(void)json_array_append_new(required, json_text(c->name));
	}
	if (form == ANSWERED)
		put_relations(d, m, &members, properties);
	tell_of_alike(d, m, &members, o);
	map_done(&members);
	put_json(o, "properties", properties);
	if (json_array_size(required) > 0)
		put_json(o, "required", required);
	else
		json_decref(required);
	return o;
}

static json_t *list_schema(struct str name)
{
	json_t *o = typed("object", NULL), *properties = json_object(), *rows = typed("array", NULL);
	json_t *required = json_array();
	put_json(rows, "items", component_ref("schemas", name, ""));
	put_json(properties, "rows", rows);
	put_json(properties, "row_count", typed("integer", "int64"));
	put_json(properties, "next_cursor", typed("string", NULL));
	put_json(properties, "prev_cursor", typed("string", NULL));
	put_json(properties, "total", typed("integer", "int64"));
	(void)json_array_append_new(required, json_string("rows"));
	(void)json_array_append_new(required, json_string("row_count"));
	put_json(o, "properties", properties);
	put_json(o, "required", required);
	put_json(o, "description", json_string("Whole records; with `select` their rows have what it names."));
	return o;
}

/* What a to-one relation answers. */
static json_t *row_schema(const struct describing *d, struct str name)
{
	json_t *o = typed("object", NULL), *properties = json_object(), *required = json_array();
	put_json(properties, "row", perhaps(d, name));
	(void)json_array_append_new(required, json_string("row"));
	put_json(o, "properties", properties);
	put_json(o, "required", required);
	return o;
}

void openapi_put_records(struct describing *d, const struct model *m, json_t *schemas)
{
	const struct str name = described_as(d, m);
	const struct {
		const char *suffix;
		json_t *schema;
	} parts[] = {{"", record_schema(d, m, ANSWERED)},
		     {"_or_null", d->old ? record_schema(d, m, ANSWERED) : NULL},
		     {"_list", list_schema(name)},
		     {"_row", row_schema(d, name)},
		     {"_given", m->read_only ? NULL : record_schema(d, m, GIVEN)},
		     {"_changed", m->read_only ? NULL : record_schema(d, m, CHANGED)}};
	if (parts[1].schema != NULL)
		allow_null(d, parts[1].schema);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const struct str key = arena_printf(d->scratch, "%.*s%s", STR_FMT(name), parts[i].suffix);
		if (parts[i].schema != NULL)
			(void)json_object_set_new(schemas, key.p, parts[i].schema);
	}
}
