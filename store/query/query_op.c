/* The operators' table, and operands of every kind but of the containers (query_container.c). */
#include "store/query/query_op.h"

#include <math.h>
#include <string.h>

#include "service/base/limits.h"
#include "service/base/num.h"
#include "store/codec/codec_respell.h"
#include "store/query/query_parse.h"

#include "service/base/banned.h"

#define ON_JSON (1U << CONTAINER_JSON)
#define ON_ARRAY (1U << CONTAINER_ARRAY)
#define ON_RANGE (1U << CONTAINER_RANGE)

static const struct {
	const char *word;
	enum operands operands;
	unsigned trait;      /* what the column must be good for; 0: any column */
	unsigned containers; /* not 0: works on these only */
	bool postgres;       /* there only */
} operators[] = {
	[OP_EQ] = {"==", OPERANDS_ONE, CODEC_EQUAL, 0, false},
	[OP_NE] = {"!=", OPERANDS_ONE, CODEC_EQUAL, 0, false},
	[OP_LT] = {"<", OPERANDS_ONE, CODEC_ORDERED, 0, false},
	[OP_LE] = {"<=", OPERANDS_ONE, CODEC_ORDERED, 0, false},
	[OP_GT] = {">", OPERANDS_ONE, CODEC_ORDERED, 0, false},
	[OP_GE] = {">=", OPERANDS_ONE, CODEC_ORDERED, 0, false},
	[OP_IN] = {"IN", OPERANDS_MANY, CODEC_EQUAL, 0, false},
	[OP_NOT_IN] = {"NOT IN", OPERANDS_MANY, CODEC_EQUAL, 0, false},
	[OP_LIKE] = {"LIKE", OPERANDS_ONE, CODEC_LIKE, 0, false},
	[OP_NOT_LIKE] = {"NOT LIKE", OPERANDS_ONE, CODEC_LIKE, 0, false},
	[OP_ILIKE] = {"ILIKE", OPERANDS_ONE, CODEC_LIKE, 0, false},
	[OP_NOT_ILIKE] = {"NOT ILIKE", OPERANDS_ONE, CODEC_LIKE, 0, false},
	[OP_BETWEEN] = {"BETWEEN", OPERANDS_PAIR, CODEC_ORDERED, 0, false},
	[OP_IS_NULL] = {"IS NULL", OPERANDS_NONE, 0, 0, false},
	[OP_IS_NOT_NULL] = {"IS NOT NULL", OPERANDS_NONE, 0, 0, false},
	[OP_DISTINCT] = {"is_distinct", OPERANDS_ONE, CODEC_EQUAL, 0, false},
	[OP_NOT_DISTINCT] = {"is_not_distinct", OPERANDS_ONE, CODEC_EQUAL, 0, false},
	[OP_REGEX] = {"regex", OPERANDS_ONE, CODEC_LIKE, 0, true},
	[OP_IREGEX] = {"iregex", OPERANDS_ONE, CODEC_LIKE, 0, true},
	[OP_CONTAINS] = {"contains", OPERANDS_ONE, 0, ON_JSON | ON_ARRAY | ON_RANGE, false},
	[OP_CONTAINED] = {"contained", OPERANDS_ONE, 0, ON_JSON | ON_ARRAY | ON_RANGE, false},
	[OP_OVERLAP] = {"overlap", OPERANDS_MANY, 0, ON_JSON | ON_ARRAY | ON_RANGE, false},
	[OP_ANY] = {"any", OPERANDS_ONE, 0, ON_JSON | ON_ARRAY, false},
	[OP_HAS_KEY] = {"has_key", OPERANDS_ONE, 0, ON_JSON, false},
	[OP_HAS_ANY] = {"has_any", OPERANDS_MANY, 0, ON_JSON, false},
	[OP_HAS_ALL] = {"has_all", OPERANDS_MANY, 0, ON_JSON, false},
	[OP_ADJACENT] = {"adjacent", OPERANDS_ONE, 0, ON_RANGE, true},
	[OP_LEFT_OF] = {"left_of", OPERANDS_ONE, 0, ON_RANGE, true},
	[OP_RIGHT_OF] = {"right_of", OPERANDS_ONE, 0, ON_RANGE, true},
	[OP_NOT_LEFT] = {"not_extends_left", OPERANDS_ONE, 0, ON_RANGE, true},
	[OP_NOT_RIGHT] = {"not_extends_right", OPERANDS_ONE, 0, ON_RANGE, true},
	[OP_MATCH] = {"match", OPERANDS_ONE, CODEC_LIKE, 0, false},
};

bool query_op_from_word(struct str word, enum query_op *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
		if (str_eq_z(word, operators[i].word)) {
			*ret = (enum query_op)i;
			return true;
		}
	}
	return false;
}

enum operands query_operands(enum query_op op)
{
	return operators[op].operands;
}

const char *query_op_word(enum query_op op)
{
	return operators[op].word;
}

bool query_op_strict(enum query_op op)
{
	return op != OP_IS_NULL && op != OP_IS_NOT_NULL && op != OP_DISTINCT && op != OP_NOT_DISTINCT;
}

static bool fault(const struct leaf *l, const char *what)
{
	return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer, "operator %s %s", operators[l->op].word, what);
}

static bool check_container(const struct leaf *l)
{
	const enum container c = query_container(l->type);

	if ((operators[l->op].containers & 1U << c) == 0)
		return fault(l, operators[l->op].containers == ON_JSON    ? "needs a JSON column or a path of type json"
				: operators[l->op].containers == ON_RANGE ? "needs a column of ranges"
									  : "needs a column of documents, arrays or "
									    "ranges");
	if (c == CONTAINER_ARRAY && column_compared_as(l->type).p != NULL)
		return fault(l, "needs elements of a type that has an equality");
	if (l->dialect->id == DIALECT_SQLITE && c != CONTAINER_JSON)
		return fault(l, "works on JSON columns only on SQLite, which has no arrays and ranges");
	return true;
}

bool query_check_operator(const struct leaf *l)
{
	const unsigned trait = operators[l->op].trait;
	const char *why = trait == CODEC_LIKE              ? "text"
			  : l->type->logical == LT_DECIMAL ? "stored as numbers"
							   : "ordered";

	if (operators[l->op].postgres && l->dialect->id != DIALECT_POSTGRES)
		return fault(l, "works on PostgreSQL only");
	if (operators[l->op].containers != 0)
		return check_container(l);
	if (trait == 0 || (codec_traits(l->type) & trait) != 0) {
		if (l->type->logical == LT_JSON && operators[l->op].operands == OPERANDS_MANY)
			return fault(l, "does not work on JSON columns, == and != do");
		return true;
	}
	return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer,
			  "operator %s needs a column whose values are %s; \"%.*s\" is of type %s",
			  operators[l->op].word, why, STR_FMT(l->name),
			  l->type->own_type ? arena_strz(l->arena, l->type->db_type)
					    : logical_type_name(l->type->logical));
}

static bool check_count(const struct leaf *l)
{
	switch (operators[l->op].operands) {
	case OPERANDS_ONE:
		return l->n == 1 || fault(l, "takes one value");
	case OPERANDS_PAIR:
		return l->n == 2 || fault(l, "takes an array of two values, low and high");
	case OPERANDS_NONE:
		return l->n == 0 || fault(l, "takes no value");
	case OPERANDS_MANY:
		break;
	}
	return true;
}

static bool takes_null(const struct leaf *l)
{
	return l->op != OP_REGEX && l->op != OP_IREGEX && l->op != OP_MATCH;
}

static bool bind_pattern(const struct leaf *l, const json_t *v, const char *pointer, struct value *ret)
{
	struct str s;
	size_t escapes = 0;

	if (v != NULL && !json_is_string(v))
		return err_set_at(l->err, ERR_INVALID_VALUE, pointer, "operator %s takes a pattern, a string, not %s",
				  operators[l->op].word, json_type_name(v));
	s = v != NULL ? json_str(v) : l->texts[0];
	while (takes_null(l) && escapes < s.len && s.p[s.len - 1 - escapes] == '\\')
		escapes++;
	if (escapes % 2 != 0)
		return err_set_at(l->err, ERR_INVALID_VALUE, pointer, "the pattern ends in the escape character \\");
	if (l->dialect->id == DIALECT_SQLITE && s.len > LIMIT_PATTERN_BYTES)
		return err_set_at(l->err, ERR_INVALID_VALUE, pointer, "patterns on SQLite have at most %d bytes",
				  LIMIT_PATTERN_BYTES);
	return codec_bind_pattern(l->arena, l->dialect, l->type, s, pointer, ret, l->err);
}

struct column query_path_column(enum query_path_type t)
{
	struct column c = {.nullable = true, .enum_type_name = STR_NONE, .format = STR_NONE, .db_type = STR_NONE};

	switch (t) {
	case PATH_JSON:
		c.logical = LT_JSON;
		c.storage = ST_JSONB;
		break;
	case PATH_TEXT:
		c.logical = LT_STRING;
		c.storage = ST_TEXT;
		break;
	case PATH_NUMBER: /* of any size: no storage holds them all */
		c.logical = LT_NUMBER;
		c.storage = ST_NUMERIC;
		break;
	case PATH_BOOLEAN:
		c.logical = LT_BOOLEAN;
		c.storage = ST_BOOLEAN;
		break;
	}
	c.logical_word = str_z(logical_type_name(c.logical));
	return c;
}

static bool is_path_number(const struct column *type)
{
	return type->logical == LT_NUMBER && type->storage == ST_NUMERIC;
}

bool query_bind(struct arena *a, const struct dialect *d, const struct column *type, const json_t *v,
		const char *pointer, struct value *ret, struct err *err)
{
	struct column number = *type;

	if (is_path_number(type) && json_is_integer(v)) {
		*ret = value_int(json_integer_value(v));
		return true;
	}
	if (is_path_number(type))
		number.storage = ST_DOUBLE;
	return codec_bind(a, d, &number, v, pointer, ret, err);
}

bool query_bind_value(struct arena *a, const struct dialect *d, const struct column *type, const json_t *v,
		      struct value *ret, struct err *err)
{
	return query_bind(a, d, type, v, "", ret, err);
}

static bool bind_text(const struct leaf *l, struct str s, const char *pointer, struct value *ret)
{
	struct column number = *l->type;
	int64_t i;

	if (is_path_number(l->type) && num_parse_int(s, &i)) {
		*ret = value_int(i);
		return true;
	}
	if (is_path_number(l->type))
		number.storage = ST_DOUBLE;
	return codec_bind_stored_text(l->arena, l->dialect, &number, s, pointer, ret, l->err);
}

static bool bind_operand(const struct leaf *l, size_t i, const char *pointer, struct value *ret)
{
	const json_t *v = l->list != NULL ? query_untyped(json_array_get(l->list, i)) : l->single;

	if (operators[l->op].trait == CODEC_LIKE)
		return bind_pattern(l, v, pointer, ret);
	if (v != NULL && l->type->fill.position > 0) /* not as strict: what reads answer of the database is found */
		return codec_bind_stored(l->arena, l->dialect, l->type, v, pointer, ret, l->err);
	if (v != NULL)
		return query_bind(l->arena, l->dialect, l->type, v, pointer, ret, l->err);
	return bind_text(l, l->texts[i], pointer, ret);
}

/* The pointer of an element is only made when it is needed: lists may be long. */
static bool bind_operands(const struct leaf *l, struct value *ret)
{
	for (size_t i = 0; i < l->n; i++) {
		if (bind_operand(l, i, l->value_pointer, &ret[i]))
			continue;
		return l->list != NULL &&
		       bind_operand(l, i, json_pointer_index(l->arena, l->value_pointer, i), &ret[i]);
	}
	return true;
}

/* Whether a column of strings keeps a number as such: SQLite makes text of it where the column is one of texts. */
static bool keeps_numbers(const struct column *c)
{
	static const char *const texts[] = {"char", "clob", "text"};
	bool of_text = c->sqlite_type.p == NULL;

	for (size_t i = 0; i < ARRAY_LEN(texts) && !of_text; i++)
		for (size_t k = 0; k + 4 <= c->sqlite_type.len && !of_text; k++)
			of_text = str_ieq_z(str_n(c->sqlite_type.p + k, 4), texts[i]);
	return c->fill.position > 0 && !of_text;
}

/* The digits of a URL, where a text and a number of them are two values. */
static bool number_of_url(const struct leaf *l, struct str s, struct value *ret)
{
	int64_t i;
	double d;

	if (l->texts == NULL || l->type->logical != LT_STRING)
		return false;
	if (num_parse_int(s, &i))
		*ret = value_int(i);
	else if (num_parse_double(s, &d) && isfinite(d))
		*ret = value_double(d);
	else
		return false;
	return true;
}

/* Bytes that are no UTF-8 are answered alike, whether SQLite has them as a text or as a blob; so are, in a column of
 * strings, infinite numbers and the words for them. */
static bool other_class(const struct leaf *l, struct value v, struct value *ret)
{
	if (codec_twin(l->arena, l->dialect, l->type, v, ret))
		return true;
	if (l->dialect->id != DIALECT_SQLITE || v.kind != VALUE_TEXT || l->type->logical == LT_JSON)
		return false;
	*ret = value_bytes(v.u.s);
	if (!str_is_utf8(v.u.s))
		return true;
	if (l->type->logical == LT_UUID)
		return false;
	*ret = value_double(str_starts(v.u.s, STR("-")) ? -(double)INFINITY : (double)INFINITY);
	return l->type->logical == LT_STRING && keeps_numbers(l->type) &&
	       (str_eq_z(v.u.s, "Infinity") || str_eq_z(v.u.s, "-Infinity") || number_of_url(l, v.u.s, ret));
}

size_t query_boolean_words(const struct dialect *d, const struct column *c, struct value v, struct value *ret)
{
	static const char *const words[2][5] = {{"false", "FALSE", "False", "f", "F"},
						{"true", "TRUE", "True", "t", "T"}};

	if (d->id != DIALECT_SQLITE || !c->bool_words || v.kind != VALUE_BOOL)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(words[0]); i++)
		ret[i] = value_text(str_z(words[v.u.b][i]));
	return ARRAY_LEN(words[0]);
}

/* Other values that answers show as this one. */
static size_t other_forms(const struct leaf *l, struct value v, struct value ret[QUERY_BOOLEAN_WORDS])
{
	return other_class(l, v, ret) ? 1 : query_boolean_words(l->dialect, l->type, v, ret);
}

/* So all are looked for. */
static void bind_either(const struct leaf *l, struct query_node *ret, struct value *values)
{
	struct value *both, other[QUERY_BOOLEAN_WORDS];
	size_t n = 0;

	if (ret->op > OP_NOT_IN && ret->op != OP_DISTINCT && ret->op != OP_NOT_DISTINCT &&
	    (ret->op != OP_BETWEEN || l->type->logical != LT_UUID))
		return;
	if (ret->op >= OP_LT && ret->op <= OP_GE && l->type->logical != LT_UUID)
		return;
	for (size_t i = 0; i < ret->n_values; i++)
		n += other_forms(l, values[i], other);
	if (n == 0)
		return;
	both = arena_array(l->arena, ret->n_values + n + QUERY_BOOLEAN_WORDS, sizeof(*both));
	memcpy(both, values, ret->n_values * sizeof(*both));
	n = ret->n_values;
	for (size_t i = 0; i < ret->n_values; i++)
		n += other_forms(l, values[i], &both[n]);
	if (ret->op == OP_BETWEEN && n != 4) /* one of them is none */
		return;
	ret->values = both;
	ret->n_values = n;
	ret->op = ret->op == OP_EQ ? OP_IN : ret->op == OP_NE ? OP_NOT_IN : ret->op;
}

/* A list of documents in a URL is one text. */
static size_t most_values(const struct leaf *l)
{
	size_t n = l->n + 1;

	for (size_t i = 0; l->texts != NULL && l->op == OP_OVERLAP && i < l->texts[0].len; i++)
		n += l->texts[0].p[i] == ',';
	return n;
}

bool query_bind_leaf(const struct leaf *given, struct query_node *ret)
{
	struct leaf own = *given, *l = &own;
	struct value *values;

	own.word = operators[l->op].word;
	if (!query_check_operator(l) || !check_count(l))
		return false;
	if (l->n > l->dialect->params_max)
		return fault(l, "has more values than one statement takes");
	values = arena_array(l->arena, most_values(l), sizeof(*values));
	ret->n_values = l->n;
	if (!(operators[l->op].containers != 0 ? query_bind_container(l, values, &ret->n_values)
					       : bind_operands(l, values)))
		return false;
	ret->kind = NODE_LEAF;
	ret->op = l->op;
	ret->values = values;
	bind_either(l, ret, values);
	return true;
}
