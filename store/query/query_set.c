/* The `set` of an update: values, and expressions that the database computes. */
#include <string.h>

#include "service/base/limits.h"
#include "store/query/query_container.h"
#include "store/query/query_expr.h"
#include "store/query/query_op.h"

#include "service/base/banned.h"

/* What an expression gives must be of the column's kind: the databases disagree about what they would make of others.
 */
static bool fits(const struct column *c, const struct column *type)
{
	if (c->logical == type->logical || c->logical == LT_UNKNOWN || type->logical == LT_UNKNOWN)
		return true;
	if (query_container(c) == CONTAINER_ARRAY)
		return query_container(type) == CONTAINER_ARRAY;
	return (c->logical == LT_NUMBER || c->logical == LT_DECIMAL) && (codec_traits(type) & CODEC_ARITHMETIC) != 0;
}

static bool parse_computed(const struct expr_scope *s, const json_t *v, const char *pointer, struct query_set *ret)
{
	if (!query_parse_expr(s, v, s->own, pointer, &ret->expr))
		return false;
	return fits(s->own, &ret->expr->type) || err_set_at(s->p->err, ERR_INVALID_QUERY, pointer,
							    "this gives a value of type %s; \"%.*s\" is of type %s",
							    logical_type_name(ret->expr->type.logical),
							    STR_FMT(s->own->name), logical_type_name(s->own->logical));
}

bool query_set_member(const struct expr_scope *s, const json_t *v, const char *pointer, struct query_set *ret)
{
	const struct column *c = s->own;

	ret->column = c;
	if (column_only_read(c))
		return err_set_at(s->p->err, ERR_INVALID_VALUE, pointer,
				  "\"%.*s\" is only read: the database gives it its value", STR_FMT(c->name));
	if (query_is_expr(v, c))
		return parse_computed(s, v, pointer, ret);
	if (c->logical != LT_JSON)
		v = query_untyped(v);
	if (c->retired_labels != NULL && !record_may_write_label(c, v, pointer, s->p->err))
		return false;
	if (json_is_null(v) && (!c->nullable || c->primary_key))
		return query_not_null(s->p->err, pointer, s->model, c);
	return query_bind(s->p->arena, s->p->dialect, c, v, pointer, &ret->value, s->p->err);
}

static bool parse_object(struct expr_scope *s, const json_t *set, const char *pointer, struct query_set *entries)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)set, key, v)
	{
		const char *at = json_pointer_key(s->p->arena, pointer, str_z(key));

		s->own = model_column(s->model, str_z(key));
		if (s->own == NULL)
			return query_unknown_column(s->p->err, at, s->model, str_z(key));
		if (!query_set_member(s, v, at, entries++))
			return false;
	}
	return true;
}

/* The reference's: [{column, value}]. */
static bool parse_entries(struct expr_scope *s, const json_t *set, const char *pointer, struct query_set *entries)
{
	static const char *const members[] = {"column", "value", NULL};

	for (size_t i = 0; i < json_array_size(set); i++) {
		const json_t *obj, *v;
		const char *at;

		if (!query_element(s->p, set, i, pointer, &obj, &at) || !query_known(s->p, obj, at, members) ||
		    !query_member_column(s->p, s->model, obj, "column", at, &s->own))
			return false;
		for (size_t k = 0; k < i; k++)
			if (entries[k].column == s->own)
				return err_set_at(s->p->err, ERR_INVALID_QUERY, at, "the column is set twice");
		v = json_object_get(obj, "value");
		if (v == NULL)
			return err_set_at(s->p->err, ERR_INVALID_QUERY, at, "member \"value\" is missing");
		if (!query_set_member(s, v, json_pointer_key(s->p->arena, at, STR("value")), &entries[i]))
			return false;
	}
	return true;
}

static bool parse_set(struct arena *a, const struct expr_scope *given, const struct dialect *d, const json_t *set,
		      const char *pointer, struct query_set **ret, size_t *ret_n, struct err *err)
{
	const struct model *m = given->model;
	struct query_parse p;
	struct expr_scope scope = *given;
	const size_t n = json_is_array(set) ? json_array_size(set) : json_object_size(set);
	struct query_set *entries;

	scope.p = &p;
	query_parse_init(&p, a, m->schema, d, err);
	if (!json_is_object(set) && !json_is_array(set))
		return err_set_at(err, ERR_INVALID_QUERY, pointer, "\"set\" must be an object of columns and values");
	if (n == 0)
		return err_set_at(err, ERR_INVALID_QUERY, pointer, "\"set\" names no column");
	if (n > LIMIT_COLUMNS)
		return err_set_at(err, ERR_INVALID_QUERY, pointer, "\"set\" has too many entries");
	entries = arena_array(a, n, sizeof(*entries));
	if (json_is_array(set) ? !parse_entries(&scope, set, pointer, entries)
			       : !parse_object(&scope, set, pointer, entries))
		return false;
	*ret = entries;
	*ret_n = n;
	query_set_fill(a, d, m, ret, ret_n);
	return true;
}

bool query_set_from_json(struct arena *a, const struct model *m, const struct dialect *d, const json_t *set,
			 const char *pointer, struct query_set **ret, size_t *ret_n, struct err *err)
{
	return parse_set(a, &(const struct expr_scope){.model = m}, d, set, pointer, ret, ret_n, err);
}

bool query_set_given(struct arena *a, const struct model *m, const struct dialect *d, const json_t *set,
		     const char *pointer, struct query_set **ret, size_t *ret_n, struct err *err)
{
	return parse_set(a, &(const struct expr_scope){.model = m, .given = true}, d, set, pointer, ret, ret_n, err);
}
