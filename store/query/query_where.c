/* Predicates: nodes of `where` and `having`, and single conditions from URLs. */
#include <string.h>

#include "service/base/limits.h"
#include "store/query/query_parse.h"

#include "service/base/banned.h"

/* SQLITE_MAX_LIKE_PATTERN_LENGTH, as the library is built everywhere. */
#define SQLITE_PATTERN_BYTES 50000

enum operands { ONE, MANY, PAIR, NONE };

static const struct {
	const char *word;
	enum operands operands;
	unsigned trait; /* what the column must be good for; 0: any column */
} operators[] = {
	[OP_EQ] = {"==", ONE, CODEC_EQUAL},
	[OP_NE] = {"!=", ONE, CODEC_EQUAL},
	[OP_LT] = {"<", ONE, CODEC_ORDERED},
	[OP_LE] = {"<=", ONE, CODEC_ORDERED},
	[OP_GT] = {">", ONE, CODEC_ORDERED},
	[OP_GE] = {">=", ONE, CODEC_ORDERED},
	[OP_IN] = {"IN", MANY, CODEC_EQUAL},
	[OP_NOT_IN] = {"NOT IN", MANY, CODEC_EQUAL},
	[OP_LIKE] = {"LIKE", ONE, CODEC_LIKE},
	[OP_NOT_LIKE] = {"NOT LIKE", ONE, CODEC_LIKE},
	[OP_ILIKE] = {"ILIKE", ONE, CODEC_LIKE},
	[OP_NOT_ILIKE] = {"NOT ILIKE", ONE, CODEC_LIKE},
	[OP_BETWEEN] = {"BETWEEN", PAIR, CODEC_ORDERED},
	[OP_IS_NULL] = {"IS NULL", NONE, 0},
	[OP_IS_NOT_NULL] = {"IS NOT NULL", NONE, 0},
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

/* A condition being built: its operands are JSON values or texts. */
struct leaf {
	struct arena *arena;
	const struct dialect *dialect;
	const struct column *column; /* decides how operands are bound */
	enum query_op op;
	const json_t *single;    /* one JSON operand */
	const json_t *list;      /* or an array of them */
	const struct str *texts; /* or texts */
	size_t n;
	const char *pointer; /* of the operator's object, or of the URL argument */
	const char *value_pointer;
	struct err *err;
};

static bool fault(const struct leaf *l, const char *what)
{
	return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer, "operator %s %s", operators[l->op].word, what);
}

static bool check_operator(const struct leaf *l)
{
	const unsigned trait = operators[l->op].trait;
	const struct column *c = l->column;
	const char *why = trait == CODEC_LIKE ? "text" : c->logical == LT_DECIMAL ? "stored as numbers" : "ordered";

	if (trait == 0 || (codec_traits(c) & trait) != 0) {
		if (c->logical == LT_JSON && operators[l->op].operands == MANY)
			return fault(l, "does not work on JSON columns, == and != do");
		return true;
	}
	return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer,
			  "operator %s needs a column whose values are %s; "
			  "\"%.*s\" is of type %s",
			  operators[l->op].word, why, STR_FMT(c->name), logical_type_name(c->logical));
}

static bool check_count(const struct leaf *l)
{
	switch (operators[l->op].operands) {
	case ONE:
		return l->n == 1 || fault(l, "takes one value");
	case PAIR:
		return l->n == 2 || fault(l, "takes an array of two values, low and high");
	case NONE:
		return l->n == 0 || fault(l, "takes no value");
	case MANY:
		break;
	}
	return true;
}

static bool bind_pattern(const struct leaf *l, const json_t *v, const char *pointer, struct value *ret)
{
	struct str s;
	size_t escapes = 0;

	if (v != NULL && !json_is_string(v))
		return err_set_at(l->err, ERR_INVALID_VALUE, pointer, "operator %s takes a pattern, a string, not %s",
				  operators[l->op].word, json_type_name(v));
	s = v != NULL ? json_str(v) : l->texts[0];
	while (escapes < s.len && s.p[s.len - 1 - escapes] == '\\')
		escapes++;
	if (escapes % 2 != 0)
		return err_set_at(l->err, ERR_INVALID_VALUE, pointer, "the pattern ends in the escape character \\");
	if (l->dialect->id == DIALECT_SQLITE && s.len > SQLITE_PATTERN_BYTES)
		return err_set_at(l->err, ERR_INVALID_VALUE, pointer, "patterns on SQLite have at most %d bytes",
				  SQLITE_PATTERN_BYTES);
	return codec_bind_pattern(l->arena, l->dialect, l->column, s, pointer, ret, l->err);
}

static bool bind_operand(const struct leaf *l, size_t i, const char *pointer, struct value *ret)
{
	const json_t *v = l->list != NULL ? query_untyped(json_array_get(l->list, i)) : l->single;

	if (operators[l->op].trait == CODEC_LIKE)
		return bind_pattern(l, v, pointer, ret);
	if (v != NULL)
		return codec_bind(l->arena, l->dialect, l->column, v, pointer, ret, l->err);
	return codec_bind_text(l->arena, l->dialect, l->column, l->texts[i], pointer, ret, l->err);
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

static bool bind_leaf(const struct leaf *l, struct query_node *ret)
{
	struct value *values;

	if (!check_operator(l) || !check_count(l))
		return false;
	if (l->n > l->dialect->params_max)
		return fault(l, "has more values than one statement takes");
	values = arena_array(l->arena, l->n, sizeof(*values));
	if (!bind_operands(l, values))
		return false;
	ret->kind = NODE_LEAF;
	ret->op = l->op;
	ret->values = values;
	ret->n_values = l->n;
	return true;
}

bool query_leaf_from_text(struct arena *a, const struct dialect *d, const struct column *c, enum query_op op,
			  const struct str *texts, size_t n_texts, const char *pointer, const struct query_node **ret,
			  struct err *err)
{
	const struct leaf l = {
		.arena = a,
		.dialect = d,
		.column = c,
		.op = op,
		.texts = texts,
		.n = n_texts,
		.pointer = pointer,
		.value_pointer = pointer,
		.err = err,
	};
	struct query_node *node = arena_alloc(a, sizeof(*node));

	if (!bind_leaf(&l, node))
		return false;
	node->column = c;
	*ret = node;
	return true;
}

const struct query_node *query_leaf_equal(struct arena *a, const struct column *c, struct value v)
{
	struct query_node *node = arena_alloc(a, sizeof(*node));
	struct value *values = arena_alloc(a, sizeof(*values));

	*values = v;
	*node = (struct query_node){.kind = NODE_LEAF, .op = OP_EQ, .column = c, .values = values, .n_values = 1};
	return node;
}

static const char *const value_kinds[] = {"null",   "bool",  "int",    "float",   "string", "list",
					  "object", "array", "number", "unknown", "integer"};

const json_t *query_untyped(const json_t *v)
{
	const json_t *kind = json_object_get(v, "kind");
	const json_t *inner = json_object_get(v, "value");

	if (!json_is_string(kind) || json_object_size(v) != (inner != NULL ? 2U : 1U))
		return v;
	for (size_t i = 0; i < ARRAY_LEN(value_kinds); i++)
		if (str_eq_z(json_str(kind), value_kinds[i]))
			return inner != NULL ? inner : i == 0 ? json_null() : v;
	return v;
}

/* ---- trees ---- */

static const char *const leaf_members[] = {"node_kind", "column", "operator", "value", NULL};
static const char *const compound_members[] = {"node_kind", "operator", "left", "right", NULL};
static const char *const not_members[] = {"node_kind", "operand", NULL};

struct tree {
	struct query_parse *p;
	const struct query *q;
	bool having;
};

/* What the leaf's "column" names: a column of the model, or in `having` an aggregate by its alias. */
static bool leaf_target(const struct tree *t, const json_t *obj, const char *pointer, struct query_node *ret,
			struct column *ret_aggregate)
{
	struct str name;

	if (!t->having)
		return query_member_column(t->p, t->q->model, obj, "column", pointer, &ret->column);
	if (!query_member_str(t->p, obj, "column", pointer, true, &name))
		return false;
	for (size_t i = 0; i < t->q->n_aggregates; i++) {
		if (str_eq(t->q->aggregates[i].alias, name)) {
			ret->aggregate = i;
			*ret_aggregate = query_aggregate_column(&t->q->aggregates[i]);
			return true;
		}
	}
	return err_set_at(t->p->err, ERR_INVALID_QUERY, json_pointer_key(t->p->arena, pointer, STR("column")),
			  "\"having\" works on the names of aggregates (their \"as\"), and none has this name");
}

/* The operands: absent, one, or a list where the operator takes several. */
static bool leaf_operands(struct leaf *l, const json_t *obj)
{
	const json_t *v = json_object_get(obj, "value");
	const bool typed = v != NULL && query_untyped(v) != v;
	const enum operands operands = operators[l->op].operands;

	l->value_pointer = json_pointer_key(l->arena, l->pointer, STR("value"));
	if (typed && json_object_get(v, "value") != NULL)
		l->value_pointer = json_pointer_key(l->arena, l->value_pointer, STR("value"));
	v = v != NULL ? query_untyped(v) : NULL;
	if (operands == NONE) {
		l->n = v == NULL || json_is_null(v) ? 0 : 1;
		return true;
	}
	if (v == NULL)
		return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer, "member \"value\" is missing");
	if (operands != ONE && json_is_array(v)) {
		l->list = v;
		l->n = json_array_size(v);
		return true;
	}
	l->single = v;
	l->n = 1;
	return true;
}

static bool parse_leaf(const struct tree *t, const json_t *obj, const char *pointer, struct query_node *ret)
{
	struct query_parse *p = t->p;
	struct column aggregate;
	struct leaf l = {.arena = p->arena, .dialect = p->dialect, .pointer = pointer, .err = p->err};
	struct str word;

	if (!query_known(p, obj, pointer, leaf_members) ||
	    !query_member_str(p, obj, "operator", pointer, true, &word) ||
	    !leaf_target(t, obj, pointer, ret, &aggregate))
		return false;
	l.column = t->having ? &aggregate : ret->column;
	if (!query_op_from_word(word, &l.op))
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("operator")),
				  "unknown operator; == != < <= > >= IN, NOT IN, LIKE, NOT LIKE, ILIKE, NOT ILIKE, "
				  "BETWEEN, IS NULL and IS NOT NULL are known");
	return leaf_operands(&l, obj) && bind_leaf(&l, ret);
}

static bool parse_node(const struct tree *t, const json_t *obj, const char *pointer, unsigned depth,
		       const struct query_node **ret);

static bool parse_operand(const struct tree *t, const json_t *obj, const char *key, const char *pointer, unsigned depth,
			  const struct query_node **ret)
{
	const json_t *child = json_object_get(obj, key);

	if (child == NULL)
		return err_set_at(t->p->err, ERR_INVALID_QUERY, pointer, "member \"%s\" is missing", key);
	return parse_node(t, child, json_pointer_key(t->p->arena, pointer, str_z(key)), depth + 1, ret);
}

static bool parse_compound(const struct tree *t, const json_t *obj, const char *pointer, unsigned depth,
			   struct query_node *ret)
{
	struct str word;

	if (!query_known(t->p, obj, pointer, compound_members) ||
	    !query_member_str(t->p, obj, "operator", pointer, true, &word))
		return false;
	if (str_eq(word, STR("AND")))
		ret->kind = NODE_AND;
	else if (str_eq(word, STR("OR")))
		ret->kind = NODE_OR;
	else
		return err_set_at(t->p->err, ERR_INVALID_QUERY, json_pointer_key(t->p->arena, pointer, STR("operator")),
				  "the operator of a compound node is AND or OR");
	return parse_operand(t, obj, "left", pointer, depth, &ret->left) &&
	       parse_operand(t, obj, "right", pointer, depth, &ret->right);
}

/* Recurses as deep as the tree, which the depth bounds. */
static bool parse_node(const struct tree *t, const json_t *obj, const char *pointer, unsigned depth,
		       const struct query_node **ret)
{
	struct query_node *node = arena_alloc(t->p->arena, sizeof(*node));
	struct str kind = STR("leaf");

	if (!json_is_object(obj))
		return err_set_at(t->p->err, ERR_INVALID_QUERY, pointer, "a node is an object, not %s",
				  json_type_name(obj));
	if (depth > LIMIT_PREDICATE_DEPTH)
		return err_set_at(t->p->err, ERR_INVALID_QUERY, pointer, "conditions are nested deeper than %d levels",
				  LIMIT_PREDICATE_DEPTH);
	if (!query_member_str(t->p, obj, "node_kind", pointer, !t->having, &kind))
		return false;
	*ret = node;
	if (str_eq(kind, STR("leaf")))
		return parse_leaf(t, obj, pointer, node);
	if (str_eq(kind, STR("compound")))
		return parse_compound(t, obj, pointer, depth, node);
	if (str_eq(kind, STR("not"))) {
		node->kind = NODE_NOT;
		return query_known(t->p, obj, pointer, not_members) &&
		       parse_operand(t, obj, "operand", pointer, depth, &node->left);
	}
	return err_set_at(t->p->err, ERR_INVALID_QUERY, json_pointer_key(t->p->arena, pointer, STR("node_kind")),
			  "a node is a \"leaf\", a \"compound\" or a \"not\"");
}

static bool parse_list(const struct tree *t, const json_t *list, const char *pointer, const struct query_node ***ret,
		       size_t *ret_n)
{
	size_t n = json_array_size(list);
	const struct query_node **nodes = arena_array(t->p->arena, n, sizeof(*nodes));

	for (size_t i = 0; i < n; i++)
		if (!parse_node(t, json_array_get(list, i), json_pointer_index(t->p->arena, pointer, i), 1, &nodes[i]))
			return false;
	*ret = nodes;
	*ret_n = n;
	return true;
}

bool query_parse_where(struct query_parse *p, struct query *q, const json_t *list, const char *pointer)
{
	const struct tree t = {.p = p, .q = q};

	return parse_list(&t, list, pointer, &q->where, &q->n_where);
}

bool query_parse_having(struct query_parse *p, struct query *q, const json_t *list, const char *pointer)
{
	const struct tree t = {.p = p, .q = q, .having = true};

	return parse_list(&t, list, pointer, &q->having, &q->n_having);
}
