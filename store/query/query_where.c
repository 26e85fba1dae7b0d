/* Predicates: nodes of `where` and `having`, and single conditions from URLs. */
#include <string.h>

#include "service/base/limits.h"
#include "store/codec/codec_respell.h"
#include "store/query/query_expr.h"
#include "store/query/query_mix.h"
#include "store/query/query_op.h"
#include "store/query/query_ref.h"

#include "service/base/banned.h"

bool query_leaf_from_text(struct arena *a, const struct dialect *d, const struct query_expr *subject, enum query_op op,
			  const struct str *texts, size_t n_texts, const char *pointer, const struct query_node **ret,
			  struct err *err)
{
	const struct leaf l = {
		.arena = a,
		.dialect = d,
		.type = &subject->type,
		.name = subject->column->name,
		.op = op,
		.texts = texts,
		.n = n_texts,
		.pointer = pointer,
		.value_pointer = pointer,
		.err = err,
	};
	struct query_node *node = arena_alloc(a, sizeof(*node));

	node->config = STR_NONE;
	if (!query_bind_leaf(&l, node))
		return false;
	node->expr = subject;
	*ret = query_settle(a, node);
	return true;
}

const struct query_node *query_leaf_equal(struct arena *a, const struct dialect *d, const struct column *c,
					  struct value v)
{
	struct query_node *node = arena_alloc(a, sizeof(*node));
	struct value *values = arena_array(a, 1 + QUERY_BOOLEAN_WORDS, sizeof(*values));
	/* of bytes that are no UTF-8 nobody who was answered them knows whether SQLite has a text or a blob */
	bool either = v.kind == VALUE_TEXT && !str_is_utf8(v.u.s);

	values[0] = v;
	values[1] = value_bytes(v.u.s);
	either |= codec_twin(a, d, c, v, &values[1]);
	const size_t words = query_boolean_words(d, c, v, &values[1]);
	*node = (struct query_node){.kind = NODE_LEAF,
				    .op = either || words > 0 ? OP_IN : OP_EQ,
				    .column = c,
				    .values = values,
				    .n_values = 1 + (words > 0 ? words : either)};
	return node;
}

const struct query_node *query_leaf_place(struct arena *a, const struct query_expr *e, enum query_op op,
					  const struct value *v)
{
	struct query_node *node = arena_alloc(a, sizeof(*node));

	*node = (struct query_node){
		.kind = NODE_LEAF, .op = op, .expr = e, .values = v, .n_values = v != NULL, .stored = true};
	return query_settle(a, node);
}

const struct query_node *query_relation_node(struct arena *a, const struct relation *r, enum quantifier q,
					     const struct query_node *const *where, size_t n)
{
	return query_related(a, &(const struct relation *){r}, 1, q, where, n);
}

/* ---- trees ---- */

#define NODE_MEMBERS "node_kind"

static const char *const leaf_members[] = {NODE_MEMBERS, "column", "expr",      "operator",
					   "value",      "config", REF_MEMBERS, NULL};
static const char *const having_members[] = {NODE_MEMBERS, "column", "operator", "value", "path", NULL};
static const char *const compound_members[] = {NODE_MEMBERS, "operator", "left", "right", NULL};
static const char *const not_members[] = {NODE_MEMBERS, "operand", "child", NULL};
static const char *const relation_members[] = {NODE_MEMBERS, "relation", "quantifier", "where", NULL};
static const char *const exists_members[] = {NODE_MEMBERS, "hops", "where", "joins", NULL};

struct tree {
	struct query_parse *p;
	const struct model *model;
	const struct query *having; /* whose aggregates the leaves name; NULL: these are conditions on rows */
};

static bool aggregate_target(const struct tree *t, const json_t *obj, const char *pointer, struct query_node *ret,
			     struct column *ret_type)
{
	const struct query *q = t->having;
	struct str name;

	if (!query_member_str(t->p, obj, "column", pointer, true, &name))
		return false;
	for (size_t i = 0; i < q->n_aggregates; i++) {
		if (str_eq(q->aggregates[i].alias, name)) {
			ret->aggregate = i;
			*ret_type = query_aggregate_column(&q->aggregates[i]);
			return true;
		}
	}
	return err_set_at(t->p->err, ERR_INVALID_QUERY, json_pointer_key(t->p->arena, pointer, STR("column")),
			  "\"having\" works on the names of aggregates (their \"as\"), and none has this name");
}

/* A match of the whole row: every text that it holds. */
static bool whole_row(const struct tree *t, struct query_node *ret, struct column *ret_type)
{
	ret->model = t->model;
	*ret_type = query_path_column(PATH_TEXT);
	return true;
}

/* What stands left: a column, an expression, or in `having` an aggregate by its alias. */
static bool leaf_target(const struct tree *t, const json_t *obj, const char *pointer, struct query_node *ret,
			struct column *ret_type)
{
	const struct expr_scope scope = {.p = t->p, .model = t->model};
	const json_t *expr = query_member(t->p, obj, "expr"), *column = query_member(t->p, obj, "column");
	const char *at = json_pointer_key(t->p->arena, pointer, STR("expr"));

	if (t->having != NULL)
		return aggregate_target(t, obj, pointer, ret, ret_type);
	if (expr != NULL && column != NULL)
		return err_set_at(t->p->err, ERR_INVALID_QUERY, at, "\"expr\" stands in place of \"column\"");
	if (expr == NULL && ret->op == OP_MATCH && (column == NULL || json_is_null(column)))
		return whole_row(t, ret, ret_type);
	if (expr != NULL && !query_expr_alone(t->p, obj, pointer))
		return false;
	if (expr != NULL ? !query_parse_expr(&scope, expr, NULL, at, &ret->expr)
			 : !query_ref(t->p, t->model, obj, "column", pointer, &ret->expr))
		return false;
	*ret_type = ret->expr->type;
	return true;
}

/* SQLite finds rows by an index for values alone, in whatever form rows may have them: the time is one, as it is now.
 */
static bool take_now(struct leaf *l, struct query_node *ret)
{
	struct value *now = arena_alloc(l->arena, sizeof(*now));

	if (!record_now(l->arena, l->dialect, l->type, now, l->err))
		return false;
	ret->operand = NULL;
	ret->values = now;
	ret->n_values = 1;
	return true;
}

static bool takes_none(const struct leaf *l, const char *pointer)
{
	return err_set_at(l->err, ERR_INVALID_QUERY, pointer, "operator %s takes no expression%s", query_op_word(l->op),
			  l->type->logical != LT_JSON ? "" : "; write {\"$json\": ...} around a document");
}

/* Of a list of values. */
static bool no_expressions(const struct leaf *l, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (query_is_expr(json_array_get(list, i), l->type))
			return takes_none(l, json_pointer_index(l->arena, l->value_pointer, i));
	return true;
}

/* One value that the database computes. */
static bool leaf_operand(const struct tree *t, struct leaf *l, const json_t *v, struct query_node *ret)
{
	const struct expr_scope scope = {.p = t->p, .model = t->model, .compared = true};
	const bool compares = l->op <= OP_GE || l->op == OP_DISTINCT || l->op == OP_NOT_DISTINCT;

	if (t->having != NULL)
		return err_set_at(l->err, ERR_INVALID_QUERY, l->value_pointer, "\"having\" takes no expression");
	if (query_operands(l->op) != OPERANDS_ONE || l->op > OP_IREGEX)
		return takes_none(l, l->value_pointer);
	if (!query_check_operator(l) || !query_parse_expr(&scope, v, l->type, l->value_pointer, &ret->operand))
		return false;
	if (ret->operand->type.logical == LT_JSON && l->type->logical != LT_JSON && l->type->logical != LT_UNKNOWN)
		return err_set_at(l->err, ERR_INVALID_QUERY, l->value_pointer,
				  "this is a document; what it is compared with is of type %s (a path has a \"type\")",
				  logical_type_name(l->type->logical));
	if (compares && !query_compared(&scope, l->value_pointer, &ret->expr, &ret->operand))
		return false;
	ret->kind = NODE_LEAF;
	return ret->operand->kind != EXPR_NOW || l->dialect->id != DIALECT_SQLITE || take_now(l, ret);
}

/* The operands: absent, one, or a list where the operator takes several. */
static bool leaf_operands(const struct tree *t, struct leaf *l, const json_t *obj, struct query_node *ret)
{
	const json_t *v = query_member(t->p, obj, "value");
	const bool typed = v != NULL && query_untyped(v) != v;
	const enum operands operands = query_operands(l->op);

	l->value_pointer = json_pointer_key(l->arena, l->pointer, STR("value"));
	if (query_is_expr(v, l->type))
		return leaf_operand(t, l, v, ret);
	if (operands != OPERANDS_ONE && !no_expressions(l, v != NULL ? query_untyped(v) : NULL))
		return false;
	if (typed && json_object_get(v, "value") != NULL)
		l->value_pointer = json_pointer_key(l->arena, l->value_pointer, STR("value"));
	v = v != NULL ? query_untyped(v) : NULL;
	if (operands == OPERANDS_NONE) {
		l->n = v == NULL || json_is_null(v) ? 0 : 1;
		return query_bind_leaf(l, ret);
	}
	if (v == NULL)
		return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer, "member \"value\" is missing");
	if (operands != OPERANDS_ONE && json_is_array(v)) {
		l->list = v;
		l->n = json_array_size(v);
		return query_bind_leaf(l, ret);
	}
	l->single = v;
	l->n = 1;
	return query_bind_leaf(l, ret);
}

static bool parse_config(const struct tree *t, const json_t *obj, const char *pointer, struct query_node *ret)
{
	if (!query_member_str(t->p, obj, "config", pointer, false, &ret->config) || ret->config.p == NULL)
		return ret->config.p == NULL;
	if (ret->op == OP_MATCH && t->p->dialect->id == DIALECT_POSTGRES)
		return true;
	return err_set_at(t->p->err, ERR_INVALID_QUERY, json_pointer_key(t->p->arena, pointer, STR("config")),
			  "\"config\" goes with match, on PostgreSQL");
}

static bool parse_leaf(const struct tree *t, const json_t *obj, const char *pointer, const struct query_node **ret)
{
	struct query_parse *p = t->p;
	struct query_node *node = arena_alloc(p->arena, sizeof(*node));
	struct column *type = arena_alloc(p->arena, sizeof(*type));
	struct leaf l = {.arena = p->arena, .dialect = p->dialect, .type = type, .pointer = pointer, .err = p->err};
	struct str word;

	node->config = STR_NONE;
	if (!query_known(p, obj, pointer, t->having != NULL ? having_members : leaf_members) ||
	    !query_member_str(p, obj, "operator", pointer, true, &word))
		return false;
	if (!query_op_from_word(word, &l.op))
		return err_set_at(
			p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("operator")),
			"unknown operator; == != < <= > >= IN, NOT IN, LIKE, NOT LIKE, ILIKE, NOT ILIKE, "
			"BETWEEN, IS NULL, IS NOT NULL, is_distinct, is_not_distinct, regex, iregex, contains, "
			"contained, overlap, any, has_key, has_any, has_all, adjacent, left_of, right_of, "
			"not_extends_left, not_extends_right and match "
			"are known");
	node->op = l.op;
	if (!leaf_target(t, obj, pointer, node, type) || !parse_config(t, obj, pointer, node))
		return false;
	l.name = node->expr != NULL && node->expr->column != NULL ? node->expr->column->name : STR("the value");
	if (!leaf_operands(t, &l, obj, node))
		return false;
	*ret = t->having != NULL ? node : query_settle(p->arena, node);
	return true;
}

static bool parse_node(const struct tree *t, const json_t *obj, const char *pointer, const struct query_node **ret);

static bool parse_operand(const struct tree *t, const json_t *obj, const char *key, const char *pointer,
			  const struct query_node **ret)
{
	const json_t *child = json_object_get(obj, key);

	if (child == NULL)
		return err_set_at(t->p->err, ERR_INVALID_QUERY, pointer, "member \"%s\" is missing", key);
	return parse_node(t, child, json_pointer_key(t->p->arena, pointer, str_z(key)), ret);
}

static bool parse_compound(const struct tree *t, const json_t *obj, const char *pointer, struct query_node *ret)
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
	return parse_operand(t, obj, "left", pointer, &ret->left) &&
	       parse_operand(t, obj, "right", pointer, &ret->right);
}

static bool parse_not(const struct tree *t, const json_t *obj, const char *pointer, struct query_node *ret)
{
	const bool child = json_object_get(obj, "operand") == NULL && json_object_get(obj, "child") != NULL;

	ret->kind = NODE_NOT;
	if (!query_known(t->p, obj, pointer, not_members))
		return false;
	if (!child && json_object_get(obj, "child") != NULL)
		return err_set_at(t->p->err, ERR_INVALID_QUERY, json_pointer_key(t->p->arena, pointer, STR("child")),
				  "\"child\" is the other name of \"operand\": one of them stands");
	return parse_operand(t, obj, child ? "child" : "operand", pointer, &ret->left);
}

static bool parse_list(const struct tree *t, const json_t *list, const char *pointer,
		       const struct query_node *const **ret, size_t *ret_n)
{
	size_t n = json_array_size(list);
	const struct query_node **nodes = arena_array(t->p->arena, n, sizeof(*nodes));

	for (size_t i = 0; i < n; i++)
		if (!parse_node(t, json_array_get(list, i), json_pointer_index(t->p->arena, pointer, i), &nodes[i]))
			return false;
	*ret = nodes;
	*ret_n = n;
	return true;
}

static bool parse_relation(const struct tree *t, const json_t *obj, const char *pointer, const struct query_node **ret)
{
	static const char *const words[] = {
		[QUANTIFIER_ANY] = "any", [QUANTIFIER_NONE] = "none", [QUANTIFIER_ALL] = "all"};
	struct query_parse *p = t->p;
	struct str name, word = STR("any");
	const struct relation *const *hops;
	const struct query_node *const *inner;
	struct tree there = *t;
	size_t n_hops, n_inner, q = 0;
	const json_t *where;

	if (!query_known(p, obj, pointer, relation_members) ||
	    !query_member_str(p, obj, "relation", pointer, true, &name) ||
	    !query_member_str(p, obj, "quantifier", pointer, false, &word) ||
	    !query_member_array(p, obj, "where", pointer, &where) ||
	    !query_hops(p, t->model, name, false, json_pointer_key(p->arena, pointer, STR("relation")), &hops, &n_hops))
		return false;
	while (q < ARRAY_LEN(words) && !str_eq_z(word, words[q]))
		q++;
	if (q == ARRAY_LEN(words))
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("quantifier")),
				  "\"quantifier\" is any, none or all");
	there.model = query_hops_end(t->model, hops, n_hops);
	if (!parse_list(&there, where, json_pointer_key(p->arena, pointer, STR("where")), &inner, &n_inner))
		return false;
	*ret = query_related(p->arena, hops, n_hops, (enum quantifier)q, inner, n_inner);
	return true;
}

/* The reference's: a path to many records of which one exists. */
static bool parse_exists(const struct tree *t, const json_t *obj, const char *pointer, const struct query_node **ret)
{
	struct query_parse *p = t->p;
	const json_t *hops_list, *where, *joins, *outer = p->joins;
	const struct relation *const *hops;
	const struct query_node *const *inner;
	struct tree there = *t;
	size_t n_hops, n_inner;
	bool ok;

	if (!query_known(p, obj, pointer, exists_members) || !query_member_array(p, obj, "hops", pointer, &hops_list) ||
	    !query_member_array(p, obj, "where", pointer, &where) ||
	    !query_member_array(p, obj, "joins", pointer, &joins) ||
	    !query_reference_hops(p, t->model, hops_list, json_pointer_key(p->arena, pointer, STR("hops")), &hops,
				  &n_hops))
		return false;
	there.model = query_hops_end(t->model, hops, n_hops);
	p->joins = joins;
	ok = parse_list(&there, where, json_pointer_key(p->arena, pointer, STR("where")), &inner, &n_inner) &&
	     query_joined(p, there.model, joins, json_pointer_key(p->arena, pointer, STR("joins")), &inner, &n_inner);
	p->joins = outer;
	if (ok)
		*ret = query_related(p->arena, hops, n_hops, QUANTIFIER_ANY, inner, n_inner);
	return ok;
}

static bool parse_kind(const struct tree *t, const json_t *obj, struct str kind, const char *pointer,
		       const struct query_node **ret)
{
	struct query_node *node;

	if (str_eq(kind, STR("leaf")))
		return parse_leaf(t, obj, pointer, ret);
	if (t->having == NULL && str_eq(kind, STR("relation")))
		return parse_relation(t, obj, pointer, ret);
	if (t->having == NULL && str_eq(kind, STR("exists")))
		return parse_exists(t, obj, pointer, ret);
	node = arena_alloc(t->p->arena, sizeof(*node));
	*ret = node;
	if (str_eq(kind, STR("compound")))
		return parse_compound(t, obj, pointer, node);
	if (str_eq(kind, STR("not")))
		return parse_not(t, obj, pointer, node);
	return err_set_at(t->p->err, ERR_INVALID_QUERY, json_pointer_key(t->p->arena, pointer, STR("node_kind")),
			  "a node is a \"leaf\", a \"compound\", a \"not\" or a \"relation\"");
}

/* Recurses as deep as the tree, which the depth bounds. */
static bool parse_node(const struct tree *t, const json_t *obj, const char *pointer, const struct query_node **ret)
{
	struct str kind = STR("leaf");
	bool ok;

	if (!json_is_object(obj))
		return err_set_at(t->p->err, ERR_INVALID_QUERY, pointer, "a node is an object, not %s",
				  json_type_name(obj));
	if (t->p->depth == LIMIT_PREDICATE_DEPTH)
		return err_set_at(t->p->err, ERR_INVALID_QUERY, pointer, "conditions are nested deeper than %d levels",
				  LIMIT_PREDICATE_DEPTH);
	if (!query_member_str(t->p, obj, "node_kind", pointer, t->having == NULL, &kind))
		return false;
	t->p->depth++;
	ok = parse_kind(t, obj, kind, pointer, ret);
	t->p->depth--;
	return ok;
}

static bool parse_one(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
		      const struct query_node **ret)
{
	const struct tree t = {.p = p, .model = m};

	return parse_node(&t, obj, pointer, ret);
}

bool query_parse_nodes(struct query_parse *p, const struct model *m, const json_t *list, const char *pointer,
		       const struct query_node *const **ret, size_t *ret_n)
{
	const struct tree t = {.p = p, .model = m};

	return parse_list(&t, list, pointer, ret, ret_n);
}

bool query_parse_having(struct query_parse *p, struct query *q, const json_t *list, const char *pointer)
{
	const struct tree t = {.p = p, .model = q->model, .having = q};

	return parse_list(&t, list, pointer, &q->having, &q->n_having);
}

void query_parse_init(struct query_parse *p, struct arena *a, const struct schema *s, const struct dialect *d,
		      struct err *err)
{
	*p = (struct query_parse){.arena = a,
				  .schema = s,
				  .dialect = d,
				  .err = err,
				  .node = parse_one,
				  .nodes = query_parse_nodes,
				  .expr = query_parse_expr};
}
