/* Reading members of QueryIR objects: one kind of fault text for all of them. */
#include <stdio.h>
#include <string.h>

#include "service/base/limits.h"
#include "store/query/query_parse.h"

#include "service/base/banned.h"

static bool wrong(struct query_parse *p, const char *pointer, const char *key, const char *want, const json_t *got)
{
	return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, str_z(key)),
			  got != NULL ? "\"%s\" must be %s, not %s" : "\"%s\" must be %s", key, want,
			  got != NULL ? json_type_name(got) : "");
}

bool query_member_array(struct query_parse *p, const json_t *obj, const char *key, const char *pointer,
			const json_t **ret)
{
	const json_t *v = query_member(p, obj, key);

	*ret = NULL;
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_array(v))
		return wrong(p, pointer, key, "an array", v);
	*ret = v;
	return true;
}

bool query_member_bool(struct query_parse *p, const json_t *obj, const char *key, const char *pointer, bool *ret)
{
	const json_t *v = query_member(p, obj, key);

	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_boolean(v))
		return wrong(p, pointer, key, "a boolean", v);
	*ret = json_is_true(v);
	return true;
}

bool query_member_str(struct query_parse *p, const json_t *obj, const char *key, const char *pointer, bool required,
		      struct str *ret)
{
	const json_t *v = query_member(p, obj, key);

	if (v == NULL || (json_is_null(v) && !required))
		return !required || err_set_at(p->err, ERR_INVALID_QUERY, pointer, "member \"%s\" is missing", key);
	if (!json_is_string(v))
		return wrong(p, pointer, key, "a string", v);
	*ret = json_str(v);
	return true;
}

/* The first is kept, the others take turns. */
static void note(struct query_parse *p, const json_t *obj, uint64_t names)
{
	const unsigned n = p->n_noted++;

	p->noted[n == 0 ? 0 : 1 + (n - 1) % (QUERY_NOTED - 1)] = (struct query_noted){obj, names};
}

bool query_known(struct query_parse *p, const json_t *obj, const char *pointer, const char *const *words)
{
	uint64_t names = 0;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)obj, key, v)
	{
		const char *const *w = words;

		while (*w != NULL && strcmp(*w, key) != 0)
			w++;
		if (*w == NULL)
			return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, str_z(key)),
					  "no such member is known here");
		names |= query_name_bit(key);
	}
	note(p, obj, names);
	return true;
}

bool query_element(struct query_parse *p, const json_t *list, size_t i, const char *pointer, const json_t **ret,
		   const char **ret_pointer)
{
	*ret = json_array_get(list, i);
	*ret_pointer = json_pointer_index(p->arena, pointer, i);
	if (json_is_object(*ret))
		return true;
	return err_set_at(p->err, ERR_INVALID_QUERY, *ret_pointer, "an object is needed here, not %s",
			  json_type_name(*ret));
}

static void name_column(struct err *err, const struct model *m, struct str column)
{
	if (m != NULL)
		(void)snprintf(err->table, sizeof(err->table), "%.*s", STR_FMT(m->table));
	if (column.len < sizeof(err->column))
		(void)snprintf(err->column, sizeof(err->column), "%.*s", STR_FMT(column));
}

bool query_unknown_column(struct err *err, const char *pointer, const struct model *m, struct str name)
{
	const struct str shown = name.len <= LIMIT_NAME_BYTES ? name : STR("(a name over 63 bytes)");

	(void)err_set_at(err, ERR_UNKNOWN_COLUMN, pointer, "model \"%.*s\" has no column \"%.*s\"", STR_FMT(m->name),
			 STR_FMT(shown));
	name_column(err, m, name);
	return false;
}

bool query_not_null(struct err *err, const char *pointer, const struct model *m, const struct column *c)
{
	(void)err_set_at(err, ERR_NOT_NULL_VIOLATION, pointer, "column \"%.*s\" of model \"%.*s\" needs a value",
			 STR_FMT(c->name), STR_FMT(m->name));
	name_column(err, m, c->name);
	return false;
}

bool query_member_column(struct query_parse *p, const struct model *m, const json_t *obj, const char *key,
			 const char *pointer, const struct column **ret)
{
	struct str name;

	if (!query_member_str(p, obj, key, pointer, true, &name))
		return false;
	*ret = model_column(m, name);
	return *ret != NULL || query_unknown_column(p->err, json_pointer_key(p->arena, pointer, str_z(key)), m, name);
}

bool query_has_column(const struct column *const *list, size_t n, const struct column *c)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == c)
			return true;
	return false;
}

const struct column *query_aggregate_argument(const struct query_aggregate *g)
{
	return g->column != NULL ? g->column : g->expr != NULL ? &g->expr->type : NULL;
}

struct column query_aggregate_column(const struct query_aggregate *g)
{
	struct column c = {.logical = LT_INTEGER, .logical_word = STR("integer"), .storage = ST_BIGINT};
	const struct column *argument = query_aggregate_argument(g);

	if (g->fn != AGG_COUNT && argument != NULL)
		c = *argument;
	if (g->fn == AGG_SUM && c.logical == LT_INTEGER)
		c.storage = ST_BIGINT;
	if (g->fn == AGG_AVG && c.logical != LT_DECIMAL) {
		c.logical = LT_NUMBER;
		c.storage = ST_DOUBLE;
	}
	if (g->fn == AGG_SUM || g->fn == AGG_AVG)
		c.enum_values = NULL;
	c.name = g->alias;
	c.nullable = true;
	c.primary_key = c.autoincrement = c.unique = c.index_flag = false;
	return c;
}

static const char *const value_kinds[] = {"null",   "bool",  "int",    "float",   "string", "list",
					  "object", "array", "number", "unknown", "integer"};

bool query_is_value_kind(struct str kind)
{
	for (size_t i = 0; i < ARRAY_LEN(value_kinds); i++)
		if (str_eq_z(kind, value_kinds[i]))
			return true;
	return false;
}

const json_t *query_untyped(const json_t *v)
{
	const json_t *kind = json_object_get(v, "kind");
	const json_t *inner = json_object_get(v, "value");

	if (!json_is_string(kind) || json_object_size(v) != (inner != NULL ? 2U : 1U))
		return v;
	if (!query_is_value_kind(json_str(kind)))
		return v;
	return inner != NULL ? inner : str_eq_z(json_str(kind), value_kinds[0]) ? json_null() : v;
}

struct query *query_new(struct arena *a, const struct schema *s, const struct dialect *d, const struct model *m)
{
	struct query *q = arena_alloc(a, sizeof(*q));

	q->dialect = d;
	q->schema = s;
	q->model = m;
	q->cursor = STR_NONE;
	return q;
}

bool query_read_only(struct err *err, const struct model *m)
{
	return err_set(err, ERR_INVALID_QUERY, "model \"%.*s\" is of a %s that cannot be written to", STR_FMT(m->name),
		       model_kind_name(m->kind));
}
