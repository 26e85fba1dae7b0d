/* What the types of PostgreSQL's that SchemaIR has no words for are made of: by their names, and by what a model says.
 */
#include "store/schema/schema_sql.h"

#include <string.h>

#include "service/base/limits.h"
#include "service/base/num.h"
#include "store/schema/schema.h"

#include "service/base/banned.h"

/* Without the brackets behind it, and those that a size stands in. False: there are none. */
static bool without_brackets(struct str *s)
{
	bool any = false;

	for (;;) {
		size_t n = s->len;

		if (n < 2 || s->p[n - 1] != ']')
			return any;
		n--;
		while (n > 0 && s->p[n - 1] >= '0' && s->p[n - 1] <= '9')
			n--;
		if (n < 2 || s->p[n - 1] != '[')
			return any;
		*s = str_trim(str_n(s->p, n - 1));
		any = true;
	}
}

/* "timestamp(3) with time zone" -> "timestamp with time zone", and the 3. */
static struct str without_size(struct arena *a, struct str s, int64_t *ret_size)
{
	struct str head, inner, rest = s;

	*ret_size = 0;
	if (!str_split(&rest, '(', &head) || rest.p == NULL || !str_split(&rest, ')', &inner) || rest.p == NULL)
		return s;
	if (!num_parse_int(str_trim(inner), ret_size))
		*ret_size = 0;
	head = str_trim(head);
	return arena_printf(a, "%.*s%.*s", STR_FMT(head), STR_FMT(rest));
}

/* The database's own names of its types, where they are no word of SchemaIR, and names that it also takes. */
static bool storage_of(struct arena *a, struct str name, enum storage_type *ret, int64_t *ret_length)
{
	static const struct {
		const char *word;
		enum storage_type storage;
		bool sized;
	} words[] = {
		{"int2", ST_SMALLINT, false},
		{"int4", ST_INT, false},
		{"int8", ST_BIGINT, false},
		{"float4", ST_DOUBLE, false},
		{"real", ST_DOUBLE, false},
		{"float8", ST_DOUBLE, false},
		{"double precision", ST_DOUBLE, false},
		{"numeric", ST_NUMERIC, false},
		{"decimal", ST_NUMERIC, false},
		{"timestamp", ST_TIMESTAMP, false},
		{"timestamp without time zone", ST_TIMESTAMP, false},
		{"timestamptz", ST_TIMESTAMPTZ, false},
		{"timestamp with time zone", ST_TIMESTAMPTZ, false},
		{"time", ST_TIME, false},
		{"time without time zone", ST_TIME, false},
		{"character varying", ST_VARCHAR, true},
		{"character", ST_CHAR, true},
	};
	int64_t size;
	struct str word;

	if (storage_from_token(name, ret, ret_length))
		return true;
	word = without_size(a, name, &size);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_ieq_z(word, words[i].word))
			continue;
		*ret = words[i].storage;
		*ret_length = words[i].sized ? size : 0;
		return true;
	}
	return false;
}

/* ---- by name ---- */

static struct column *part(struct arena *a, struct str name, struct str db_type)
{
	struct column *c = arena_array(a, 1, sizeof(*c));

	c->name = name;
	c->nullable = true;
	c->db_type = db_type;
	c->storage = ST_UNRESOLVED;
	c->logical = LT_UNKNOWN;
	c->format = c->enum_type_name = c->base_type = c->bare_type = STR_NONE;
	c->fill.default_sql = STR_NONE;
	return c;
}

static void finish(struct column *c)
{
	c->logical_word = str_z(logical_type_name(c->logical));
}

/* The last name of "schema.name", without what stands in parentheses behind it. */
static struct str bare_name(struct str s)
{
	for (size_t i = s.len; i > 0; i--)
		if (s.p[i - 1] == '.')
			s = str_n(s.p + i, s.len - i);
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == '(')
			s.len = i;
	return str_trim(s);
}

/* "time(1) with time zone" is not what "time" is. */
static bool has_zone(struct str s)
{
	static const char end[] = "with time zone";
	const size_t n = sizeof(end) - 1;

	return s.len > n && str_ieq_z(str_n(s.p + s.len - n, n), end);
}

static struct column *element_of(struct arena *a, const struct column *c, struct str db_type)
{
	struct column *e = part(a, c->name, db_type);

	(void)schema_type_by_name(a, e);
	return e;
}

static bool range_by_name(struct arena *a, struct column *c)
{
	static const struct {
		const char *range, *multirange, *element;
	} ranges[] = {
		{"int4range", "int4multirange", "integer"},
		{"int8range", "int8multirange", "bigint"},
		{"numrange", "nummultirange", "numeric"},
		{"tsrange", "tsmultirange", "timestamp without time zone"},
		{"tstzrange", "tstzmultirange", "timestamp with time zone"},
		{"daterange", "datemultirange", "date"},
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		const bool many = str_ieq_z(c->db_type, ranges[i].multirange);

		if (!many && !str_ieq_z(c->db_type, ranges[i].range))
			continue;
		c->shape = many ? SHAPE_MULTIRANGE : SHAPE_RANGE;
		c->element = element_of(a, c, str_z(ranges[i].element));
		return true;
	}
	return false;
}

static bool is_number_of_system(struct str name)
{
	return str_ieq_z(name, "oid") || str_ieq_z(name, "xid") || str_ieq_z(name, "cid");
}

bool schema_type_by_name(struct arena *a, struct column *c)
{
	struct str s = c->db_type.p != NULL ? str_trim(c->db_type) : STR("");

	c->storage = ST_UNRESOLVED;
	c->logical = LT_UNKNOWN;
	c->own_type = true;
	if (without_brackets(&s)) {
		c->shape = SHAPE_ARRAY;
		c->element = element_of(a, c, s);
	} else if (str_ieq_z(bare_name(s), "hstore")) {
		c->shape = SHAPE_HSTORE;
	} else if (str_ieq_z(bare_name(s), "vector") || str_ieq_z(bare_name(s), "halfvec")) {
		c->shape = SHAPE_VECTOR;
	} else if (is_number_of_system(s)) {
		c->logical = LT_INTEGER;
	} else if (!range_by_name(a, c)) {
		c->own_type = !storage_of(a, s, &c->storage, &c->length) &&
			      (has_zone(s) || !storage_of(a, bare_name(s), &c->storage, &c->length));
		c->logical = c->own_type ? LT_STRING : logical_from_storage(c->storage);
		finish(c);
		return !c->own_type;
	}
	finish(c);
	return true;
}

/* ---- by what a model says ---- */

#define TYPE_DEPTH 16

struct reading {
	struct arena *arena;
	const char *pointer, *wrong; /* of the first fault */
};

static bool fault(struct reading *r, const char *pointer, const char *wrong)
{
	r->pointer = pointer;
	r->wrong = wrong;
	return false;
}

static bool read_type(struct reading *r, const json_t *v, struct column *c, const char *pointer, size_t depth);

/* A text that is the name of a type. */
static bool read_type_name(struct reading *r, const json_t *v, const char *pointer, struct str *ret)
{
	if (!json_is_string(v) || memchr(json_string_value(v), '\0', json_string_length(v)) != NULL ||
	    !schema_sql_type_name(json_str(v)))
		return fault(r, pointer, "must be the name of a type");
	*ret = arena_str(r->arena, json_str(v));
	return true;
}

static bool read_part(struct reading *r, const json_t *o, const char *key, const struct column *whole,
		      const char *pointer, size_t depth, const struct column **ret)
{
	struct column *c = part(r->arena, whole->name, STR_NONE);

	*ret = c;
	return read_type(r, json_object_get(o, key), c, json_pointer_key(r->arena, pointer, str_z(key)), depth + 1);
}

static bool read_fields(struct reading *r, const json_t *o, struct column *c, const char *pointer, size_t depth)
{
	const json_t *list = json_object_get(o, "fields");
	const char *at = json_pointer_key(r->arena, pointer, STR("fields"));
	struct column *fields;

	if (!json_is_array(list) || json_array_size(list) > LIMIT_COLUMNS)
		return fault(r, at, "must be an array of the composite's fields");
	fields = arena_array(r->arena, json_array_size(list) + 1, sizeof(*fields));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i), *name = json_object_get(item, "name");
		const char *here = json_pointer_index(r->arena, at, i);

		if (!json_is_string(name) || json_string_length(name) == 0)
			return fault(r, json_pointer_key(r->arena, here, STR("name")), "must be the field's name");
		fields[i] = *part(r->arena, arena_str(r->arena, json_str(name)), STR_NONE);
		if (!read_type(r, item, &fields[i], here, depth + 1))
			return false;
	}
	c->fields = fields;
	c->n_fields = json_array_size(list);
	return true;
}

static void decref_cleanup(void *arg)
{
	json_decref(arg);
}

static const json_t *keep(struct arena *a, const json_t *v)
{
	json_t *copy = json_dup(a, v);

	arena_on_done(a, decref_cleanup, copy);
	return copy;
}

/* A domain is its base by another name. */
static void take_base(struct column *c, const struct column *base)
{
	c->storage = base->storage;
	c->logical = base->logical;
	c->length = base->length;
	c->shape = base->shape;
	c->element = base->element;
	c->fields = base->fields;
	c->n_fields = base->n_fields;
	if (c->enum_values == NULL)
		c->enum_values = base->enum_values;
}

static bool read_base(struct reading *r, const json_t *o, struct column *c, const char *pointer, size_t depth)
{
	const struct column *base;

	if (!read_part(r, o, "base_type", c, pointer, depth, &base))
		return false;
	take_base(c, base);
	c->base_type = base->db_type;
	c->bare_type = base->bare_type.p != NULL ? base->bare_type : base->db_type;
	c->own_type = true;
	return true;
}

/* What stands beside `type_kind`. */
static bool read_kind(struct reading *r, const json_t *o, struct str kind, struct column *c, const char *pointer,
		      size_t depth)
{
	static const struct {
		const char *word;
		enum column_shape shape;
	} shapes[] = {{"array", SHAPE_ARRAY}, {"range", SHAPE_RANGE}, {"multirange", SHAPE_MULTIRANGE}};

	c->own_type = true;
	c->storage = ST_UNRESOLVED;
	c->logical = LT_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		if (!str_eq_z(kind, shapes[i].word))
			continue;
		c->shape = shapes[i].shape;
		return read_part(r, o, "element", c, pointer, depth, &c->element);
	}
	if (str_eq_z(kind, "composite")) {
		c->shape = SHAPE_COMPOSITE;
		return read_fields(r, o, c, pointer, depth);
	}
	if (str_eq_z(kind, "enum")) {
		c->logical = LT_STRING;
		if (json_is_array(json_object_get(o, "labels")))
			c->enum_values = keep(r->arena, json_object_get(o, "labels"));
		return true;
	}
	if (str_eq_z(kind, "domain"))
		return read_base(r, o, c, pointer, depth);
	return fault(r, json_pointer_key(r->arena, pointer, STR("type_kind")),
		     "must be array, range, multirange, composite, enum or domain");
}

/* Recurses as deep as types are made of types, which is bounded. */
static bool read_type(struct reading *r, const json_t *v, struct column *c, const char *pointer, size_t depth)
{
	const json_t *kind = json_object_get(v, "type_kind");
	bool ok = true;

	if (depth > TYPE_DEPTH)
		return fault(r, pointer, "is nested too deeply");
	if (json_is_string(v)) {
		if (!read_type_name(r, v, pointer, &c->db_type))
			return false;
	} else if (!json_is_object(v)) {
		return fault(r, pointer, "must be a type: its name, or an object with db_type");
	} else if (!read_type_name(r, json_object_get(v, "db_type"),
				   json_pointer_key(r->arena, pointer, STR("db_type")), &c->db_type)) {
		return false;
	}
	if (json_is_string(kind))
		ok = read_kind(r, v, json_str(kind), c, pointer, depth);
	else if (json_is_object(v) && json_object_get(v, "base_type") != NULL)
		ok = read_base(r, v, c, pointer, depth);
	else if (kind != NULL && !json_is_null(kind))
		return fault(r, json_pointer_key(r->arena, pointer, STR("type_kind")), "must be a word");
	else
		(void)schema_type_by_name(r->arena, c);
	finish(c);
	return ok;
}

/* ---- what they are compared by ---- */

struct str column_own_type(const struct column *c)
{
	return c->bare_type.p != NULL ? c->bare_type : c->db_type;
}

static bool is_among(struct str name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_ieq_z(name, list[i]))
			return true;
	return false;
}

/* Types that are built in and that no index can be made of. */
static bool by_text(const struct column *c)
{
	static const char *const names[] = {"point",     "line",          "lseg",        "box",    "path",
					    "polygon",   "circle",        "xml",         "cid",    "jsonpath",
					    "refcursor", "txid_snapshot", "pg_snapshot", "aclitem"};

	return c->own_type && is_among(column_own_type(c), names, ARRAY_LEN(names));
}

static bool part_by_text(const struct column *c)
{
	return c->storage == ST_JSON || column_compared_as(c).p != NULL;
}

/* Recurses as deep as types are made of types, which reading them bounds. */
struct str column_compared_as(const struct column *c)
{
	const struct str name = column_own_type(c);

	if (!c->own_type || name.p == NULL)
		return STR_NONE;
	if (c->shape == SHAPE_ARRAY && c->element->storage == ST_JSON)
		return STR("jsonb[]");
	if (c->shape == SHAPE_ARRAY)
		return part_by_text(c->element) && c->element->enum_values == NULL ? STR("text") : STR_NONE;
	for (size_t i = 0; i < c->n_fields; i++)
		if (part_by_text(&c->fields[i]) && c->fields[i].enum_values == NULL)
			return STR("text");
	if (c->shape == SHAPE_PLAIN && c->bare_type.p != NULL && c->enum_values != NULL)
		return name; /* a domain over an enum has no operators */
	return by_text(c) ? STR("text") : STR_NONE;
}

/* hstore has an order that no sign names. */
bool column_ordered(const struct column *c)
{
	const struct str as = column_compared_as(c);

	if (as.p != NULL)
		return !str_eq_z(as, "text") && !str_eq_z(as, "jsonb[]");
	if (c->shape == SHAPE_ARRAY)
		return c->element->shape == SHAPE_HSTORE || column_ordered(c->element);
	for (size_t i = 0; i < c->n_fields; i++)
		if (c->fields[i].shape != SHAPE_HSTORE && !column_ordered(&c->fields[i]))
			return false;
	return c->shape != SHAPE_HSTORE && !(c->own_type && str_ieq_z(column_own_type(c), "xid"));
}

const char *const schema_type_members[SCHEMA_TYPE_MEMBERS] = {"type_kind", "element", "fields", "base_type", "domain"};

bool schema_type_said(const json_t *o)
{
	for (size_t i = 0; i < SCHEMA_TYPE_MEMBERS; i++)
		if (json_object_get(o, schema_type_members[i]) != NULL &&
		    !json_is_null(json_object_get(o, schema_type_members[i])))
			return true;
	return false;
}

bool schema_type_read(struct arena *a, const json_t *o, struct column *c, const char **ret_pointer,
		      const char **ret_wrong)
{
	struct reading r = {.arena = a};
	const struct str word = c->logical_word;
	json_t *said;

	if (!read_type(&r, o, c, "", 0)) {
		*ret_pointer = r.pointer;
		*ret_wrong = r.wrong;
		return false;
	}
	c->logical_word = word;
	if (!schema_type_said(o))
		return true;
	said = json_object();
	for (size_t i = 0; i < SCHEMA_TYPE_MEMBERS; i++)
		if (json_object_get(o, schema_type_members[i]) != NULL)
			(void)json_object_set(said, schema_type_members[i], json_object_get(o, schema_type_members[i]));
	c->type_json = keep(a, said);
	json_decref(said);
	return true;
}
