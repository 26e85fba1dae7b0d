/* The `set` of an update: values, and expressions that the database computes. */
#include <string.h>

#include "store/query/query_parse.h"

#include "service/base/banned.h"

static const struct {
	const char *word;
	enum set_kind kind;
	unsigned trait;
	const char *needs;
} expressions[] = {
	{"$add", SET_ADD, CODEC_ARITHMETIC, "a column of numbers"},
	{"$sub", SET_SUB, CODEC_ARITHMETIC, "a column of numbers"},
	{"$mul", SET_MUL, CODEC_ARITHMETIC, "a column of numbers"},
	{"$concat", SET_CONCAT, CODEC_CONCAT, "a column of free text"},
	{"$now", SET_NOW, CODEC_NOW, "a datetime, date or time column"},
};

struct member {
	struct arena *arena;
	const struct dialect *dialect;
	const struct model *model;
	const struct column *column;
	const char *pointer;
	struct err *err;
};

/* {"$add": 1} and its like: an object whose only member begins with '$'. JSON columns take none of them, and a document
 * that looks like one is no document until it says so: an expression is never stored in place of what it would give. */
static const char *expression_of(const json_t *v)
{
	const char *key;

	if (!json_is_object(v) || json_object_size(v) != 1)
		return NULL;
	key = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)v));
	return key[0] == '$' ? key : NULL;
}

static bool parse_expression(const struct member *m, const char *word, const json_t *operand, struct query_set *ret)
{
	const char *at = json_pointer_key(m->arena, m->pointer, str_z(word));
	size_t i = 0;

	while (i < ARRAY_LEN(expressions) && !str_eq_z(str_z(word), expressions[i].word))
		i++;
	if (i == ARRAY_LEN(expressions))
		return err_set_at(m->err, ERR_INVALID_QUERY, at,
				  "unknown expression; $add, $sub, $mul, $concat and $now are known%s",
				  m->column->logical != LT_JSON ? "" : ", and {\"$json\": ...} around a document");
	if ((codec_traits(m->column) & expressions[i].trait) == 0)
		return err_set_at(m->err, ERR_INVALID_QUERY, at, "%s needs %s; \"%.*s\" is of type %s", word,
				  expressions[i].needs, STR_FMT(m->column->name),
				  logical_type_name(m->column->logical));
	ret->kind = expressions[i].kind;
	if (ret->kind == SET_NOW)
		return json_is_true(operand) || err_set_at(m->err, ERR_INVALID_QUERY, at, "$now takes true");
	if (json_is_null(operand))
		return err_set_at(m->err, ERR_INVALID_VALUE, at, "%s takes a value, not null", word);
	return codec_bind(m->arena, m->dialect, m->column, operand, at, &ret->value, m->err);
}

/* What {"$json": X} says is a document: null is the document null, which is a value. */
static bool bind_document(const struct member *m, const json_t *v, struct value *ret)
{
	const char *at = json_pointer_key(m->arena, m->pointer, STR("$json"));

	if (!json_is_null(v))
		return codec_bind(m->arena, m->dialect, m->column, v, at, ret, m->err);
	*ret = value_json(STR("null"));
	return true;
}

static bool parse_member(const struct member *m, const json_t *v, struct query_set *ret)
{
	const char *expression = expression_of(v);

	ret->column = m->column;
	ret->kind = SET_VALUE;
	if (expression != NULL && m->column->logical == LT_JSON && strcmp(expression, "$json") == 0)
		return bind_document(m, json_object_get(v, expression), &ret->value);
	else if (expression != NULL)
		return parse_expression(m, expression, json_object_get(v, expression), ret);
	if (m->column->logical != LT_JSON)
		v = query_untyped(v);
	if (json_is_null(v) && (!m->column->nullable || m->column->primary_key))
		return query_not_null(m->err, m->pointer, m->model, m->column);
	return codec_bind(m->arena, m->dialect, m->column, v, m->pointer, &ret->value, m->err);
}

bool query_set_from_json(struct arena *a, const struct model *m, const struct dialect *d, const json_t *set,
			 const char *pointer, struct query_set **ret, size_t *ret_n, struct err *err)
{
	struct query_set *entries;
	const char *key;
	json_t *v;
	size_t n = 0;

	if (!json_is_object(set))
		return err_set_at(err, ERR_INVALID_QUERY, pointer, "\"set\" must be an object of columns and values");
	if (json_object_size(set) == 0)
		return err_set_at(err, ERR_INVALID_QUERY, pointer, "\"set\" names no column");
	entries = arena_array(a, json_object_size(set), sizeof(*entries));
	json_object_foreach((json_t *)(uintptr_t)set, key, v)
	{
		struct member member = {.arena = a, .dialect = d, .model = m, .err = err};

		member.pointer = json_pointer_key(a, pointer, str_z(key));
		member.column = model_column(m, str_z(key));
		if (member.column == NULL)
			return query_unknown_column(err, member.pointer, m, str_z(key));
		if (column_only_read(member.column))
			return err_set_at(err, ERR_INVALID_VALUE, member.pointer,
					  "\"%.*s\" is only read: the database gives it its value",
					  STR_FMT(member.column->name));
		if (!parse_member(&member, v, &entries[n++]))
			return false;
	}
	query_set_fill(a, m, &entries, &n);
	*ret = entries;
	*ret_n = n;
	return true;
}
