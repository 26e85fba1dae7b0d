/* Conditions as SQL. */
#include <string.h>

#include "store/query/query_op.h"
#include "store/query/sql_leaf.h"

#include "service/base/banned.h"

static bool is_json(const struct condition *c)
{
	return sql_subject_type(c) != NULL && sql_subject_type(c)->logical == LT_JSON;
}

/* ---- comparisons ---- */

static void put_operand(struct sql *s, const struct condition *c)
{
	if (c->node->operand != NULL && is_json(c)) {
		sql_document(s, c->node->operand);
		return;
	}
	if (c->node->operand == NULL) {
		sql_value(s, c, c->node->values[0]);
		return;
	}
	sql_operand(s, c, c->node->operand);
}

static void put_json_compare(struct sql *s, const struct condition *c, const char *sign)
{
	const bool unequal = c->node->op == OP_NE;

	if (sql_on_postgres(s)) { /* json has no equality, jsonb has */
		sql_subject_document(s, c);
		sql_put(s, sign);
		if (c->node->operand != NULL) {
			sql_document(s, c->node->operand);
			return;
		}
		sql_put(s, "CAST(");
		sql_param(s, c->node->values[0]);
		sql_put(s, " AS jsonb)");
		return;
	}
	sql_put(s, unequal ? "NOT (" : "");
	if (c->node->operand == NULL) {
		sql_json_equal(s, c, c->node->values[0]);
	} else {
		sql_put(s, "ferro_json_equal(");
		sql_subject(s, c);
		sql_put(s, ", ");
		sql_document(s, c->node->operand);
		sql_put(s, ")");
	}
	sql_put(s, unequal ? ")" : "");
}

static bool null_operand(const struct query_node *node)
{
	return node->operand == NULL && node->n_values == 1 && node->values[0].kind == VALUE_NULL;
}

/* A composite IS NULL when all that is in it is null, and neither that nor NOT NULL when some of it is. */
static void put_is_null(struct sql *s, const struct condition *c, bool null)
{
	const struct column *type = sql_subject_type(c);
	const bool composite = type != NULL && type->shape == SHAPE_COMPOSITE && sql_on_postgres(s);

	sql_subject(s, c);
	if (composite)
		sql_put(s, null ? " IS NOT DISTINCT FROM NULL" : " IS DISTINCT FROM NULL");
	else
		sql_put(s, null ? " IS NULL" : " IS NOT NULL");
}

static void put_list_value(struct sql *s, const struct condition *c, struct value v)
{
	sql_value(s, c, v);
	if (!sql_either_class(s, v))
		return;
	sql_put(s, ", ");
	sql_param(s, value_bytes(v.u.s));
}

static void put_compare(struct sql *s, const struct condition *c, const char *sign)
{
	const enum query_op op = c->node->op;

	if (null_operand(c->node) && (op == OP_EQ || op == OP_NE)) {
		put_is_null(s, c, op == OP_EQ);
		return;
	}
	if (is_json(c)) {
		put_json_compare(s, c, sign);
		return;
	}
	if (sql_plain_text(s, c, sign) || sql_uuid_range(s, c, sign))
		return;
	if ((op == OP_EQ || op == OP_NE) && c->node->operand == NULL && !c->node->stored &&
	    sql_either_class(s, c->node->values[0])) {
		sql_subject(s, c);
		sql_put(s, op == OP_EQ ? " IN (" : " NOT IN (");
		put_list_value(s, c, c->node->values[0]);
		sql_put(s, ")");
		return;
	}
	if ((op == OP_GT || op == OP_LE) && c->node->operand == NULL && !c->node->stored &&
	    sql_either_class(s, c->node->values[0])) {
		sql_order_of_either(s, c, sign);
		return;
	}
	sql_subject(s, c);
	sql_put(s, sign);
	put_operand(s, c);
}

static void put_distinct(struct sql *s, const struct condition *c)
{
	const bool negated = c->node->op == OP_NOT_DISTINCT, json = is_json(c);

	if (sql_on_postgres(s)) {
		json ? sql_subject_document(s, c) : sql_subject(s, c);
		sql_put(s, negated ? " IS NOT DISTINCT FROM " : " IS DISTINCT FROM ");
		sql_put(s, json ? "CAST(" : "");
		put_operand(s, c);
		sql_put(s, json ? " AS jsonb)" : "");
		return;
	}
	if (c->node->n_values > 1) { /* a text or a blob, a word or a number: see bind_either */
		for (size_t i = 0; i < c->node->n_values; i++) {
			sql_put(s, i == 0 ? "(" : negated ? " OR " : " AND ");
			sql_subject(s, c);
			sql_put(s, negated ? " IS " : " IS NOT ");
			sql_value(s, c, c->node->values[i]);
		}
		sql_put(s, ")");
		return;
	}
	if (json)
		sql_put(s, negated ? "ferro_json_same(" : "NOT ferro_json_same(");
	sql_subject(s, c);
	sql_put(s, json ? ", " : negated ? " IS " : " IS NOT ");
	put_operand(s, c);
	sql_put(s, json ? ")" : "");
}

static void put_in(struct sql *s, const struct condition *c, bool negated)
{
	if (c->node->n_values == 0) {
		sql_put(s, negated ? "1 = 1" : "1 = 0");
		return;
	}
	sql_subject(s, c);
	sql_put(s, negated ? " NOT IN (" : " IN (");
	for (size_t i = 0; i < c->node->n_values; i++) {
		if (i > 0)
			sql_put(s, ", ");
		put_list_value(s, c, c->node->values[i]);
	}
	sql_put(s, ")");
}

/* ---- patterns ---- */

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* SQLite's LIKE knows no case, but in ASCII only; beyond, a function of our driver does. */
static void put_ilike_function(struct sql *s, const struct condition *c)
{
	sql_put(s, c->node->op == OP_NOT_ILIKE ? "NOT ferro_ilike(" : "ferro_ilike(");
	put_operand(s, c);
	sql_put(s, ", ");
	sql_subject(s, c);
	sql_put(s, ")");
}

static void put_like(struct sql *s, const struct condition *c, const char *sqlite, const char *postgres)
{
	const struct str pattern = c->node->operand == NULL ? c->node->values[0].u.s : STR("");
	const bool any_case = c->node->op == OP_ILIKE || c->node->op == OP_NOT_ILIKE;
	const bool computed = c->node->operand != NULL && !sql_on_postgres(s);

	if (any_case && !sql_on_postgres(s) && (computed || !is_ascii(pattern))) {
		put_ilike_function(s, c);
		return;
	}
	/* enums, native ones at least, and uuids are no text there */
	sql_subject_text(s, c);
	sql_put(s, sql_on_postgres(s) ? postgres : sqlite);
	put_operand(s, c);
	/* what PostgreSQL has by default */
	if (!sql_on_postgres(s) && (computed || (pattern.len != 0 && memchr(pattern.p, '\\', pattern.len) != NULL)))
		sql_put(s, " ESCAPE '\\'");
}

static void put_between(struct sql *s, const struct condition *c)
{
	if (sql_uuid_between(s, c))
		return;
	sql_subject(s, c);
	sql_put(s, " BETWEEN ");
	sql_value(s, c, c->node->values[0]);
	sql_put(s, " AND ");
	sql_value(s, c, c->node->values[1]);
}

static void put_null_test(struct sql *s, const struct condition *c)
{
	put_is_null(s, c, c->node->op == OP_IS_NULL);
}

static void put_pattern(struct sql *s, const struct condition *c)
{
	static const struct {
		const char *sqlite, *postgres;
	} words[] = {
		[OP_LIKE] = {" LIKE ", " LIKE "},   [OP_NOT_LIKE] = {" NOT LIKE ", " NOT LIKE "},
		[OP_ILIKE] = {" LIKE ", " ILIKE "}, [OP_NOT_ILIKE] = {" NOT LIKE ", " NOT ILIKE "},
		[OP_REGEX] = {NULL, " ~ "},         [OP_IREGEX] = {NULL, " ~* "},
	};

	put_like(s, c, words[c->node->op].sqlite, words[c->node->op].postgres);
}

static void put_operator(struct sql *s, const struct condition *c)
{
	static const char *const signs[] = {[OP_EQ] = " = ",  [OP_NE] = " <> ", [OP_LT] = " < ",
					    [OP_LE] = " <= ", [OP_GT] = " > ",  [OP_GE] = " >= "};

	switch (c->node->op) {
	case OP_EQ:
	case OP_NE:
	case OP_LT:
	case OP_LE:
	case OP_GT:
	case OP_GE:
		put_compare(s, c, signs[c->node->op]);
		return;
	case OP_IN:
	case OP_NOT_IN:
		put_in(s, c, c->node->op == OP_NOT_IN);
		return;
	case OP_LIKE:
	case OP_NOT_LIKE:
	case OP_ILIKE:
	case OP_NOT_ILIKE:
	case OP_REGEX:
	case OP_IREGEX:
		put_pattern(s, c);
		return;
	case OP_BETWEEN:
		put_between(s, c);
		return;
	case OP_IS_NULL:
	case OP_IS_NOT_NULL:
		put_null_test(s, c);
		return;
	case OP_DISTINCT:
	case OP_NOT_DISTINCT:
		put_distinct(s, c);
		return;
	case OP_CONTAINS:
	case OP_CONTAINED:
	case OP_OVERLAP:
	case OP_ANY:
	case OP_HAS_KEY:
	case OP_HAS_ANY:
	case OP_HAS_ALL:
	case OP_ADJACENT:
	case OP_LEFT_OF:
	case OP_RIGHT_OF:
	case OP_NOT_LEFT:
	case OP_NOT_RIGHT:
		sql_container(s, c);
		return;
	case OP_MATCH:
		sql_match(s, c);
		return;
	}
}

static void put_leaf(struct sql *s, const struct condition *c)
{
	const bool ranged = sql_time_range(s, c);

	put_operator(s, c);
	sql_put(s, ranged ? ")" : "");
}

/* ---- related records ---- */

struct place {
	const struct query *q;
	enum node_kind parent; /* the operator around; NODE_LEAF: none. Parentheses only where kinds mix. */
	bool negated;          /* what is wanted is that the node is false, not that it is true */
	bool deep;             /* SQLite's parser has little room: see is_deep */
};

static void put_node(struct sql *s, const struct query_node *node, struct place at);

/* The columns that link: of the row, and of the related record or, through a join table, of its row. */
static struct str link_here(const struct relation *r)
{
	return r->kind == REL_MANY_TO_MANY ? r->source_key : r->local ? r->column : r->to_column;
}

/* " FROM related AS alias"; the qualifier is the related record's from here on, *ret_link the other side of the link.
 */
static struct str put_related_from(struct sql *s, const struct relation *r, struct str *ret_outer,
				   struct str *ret_table)
{
	const struct str saved = sql_enter(s, ret_outer);

	*ret_table = s->qualifier;
	sql_put(s, " FROM ");
	sql_relation_table(s, r);
	sql_put(s, " AS ");
	sql_ident(s, s->qualifier);
	if (r->kind == REL_MANY_TO_MANY)
		sql_join_target(s, r, *ret_table);
	return saved;
}

enum inner { INNER_TRUE, INNER_FALSE, INNER_NOT_TRUE };

/* The conditions on the related record, with what stands before them. */
static void put_inner(struct sql *s, const struct query_node *node, enum inner how, const char *before)
{
	const struct place each = {.parent = NODE_AND};
	const struct place one = {.parent = NODE_LEAF, .negated = how == INNER_FALSE};

	if (node->n_where == 0 && how != INNER_NOT_TRUE)
		return;
	sql_put(s, before);
	if (how == INNER_NOT_TRUE)
		sql_put(s, node->n_where == 0 ? "1 = 0" : "(");
	for (size_t i = 0; i < node->n_where; i++) {
		sql_put(s, i > 0 ? " AND " : "");
		put_node(s, node->where[i], node->n_where == 1 && how != INNER_TRUE ? one : each);
	}
	if (how == INNER_NOT_TRUE && node->n_where > 0)
		sql_put(s, ") IS NOT TRUE");
}

static void put_link(struct sql *s, const struct relation *r, struct str table)
{
	sql_ident(s, table);
	sql_put(s, ".");
	sql_ident(s, r->kind == REL_MANY_TO_MANY ? r->source_column : r->local ? r->to_column : r->column);
}

/* [NOT] EXISTS (SELECT 1 FROM related WHERE the links are equal AND ...) */
static void put_exists(struct sql *s, const struct query_node *node, enum inner how, bool negated)
{
	const struct relation *r = node->relation;
	const bool through = r->kind == REL_MANY_TO_MANY;
	struct str outer, table, saved;

	sql_put(s, negated ? "NOT EXISTS (SELECT 1" : "EXISTS (SELECT 1");
	saved = put_related_from(s, r, &outer, &table);
	for (size_t i = 0; i < (through ? 1 : relation_n_pairs(r)); i++) {
		sql_put(s, i > 0 ? " AND " : " WHERE ");
		sql_ident(s, table);
		sql_put(s, ".");
		sql_ident(s, through ? r->source_column : relation_there(r, i));
		sql_put(s, " = ");
		sql_ident(s, outer);
		sql_put(s, ".");
		sql_ident(s, through ? r->source_key : relation_here(r, i));
	}
	put_inner(s, node, how, " AND ");
	sql_put(s, ")");
	s->qualifier = saved;
}

/* link IN (SELECT ...): reads the related records once, or goes by an index of the link, as the database sees fit. */
static void put_in_related(struct sql *s, const struct query_node *node, enum inner how, bool negated)
{
	const struct relation *r = node->relation;
	struct str outer, table, saved;

	if (r->n_columns > 1) {
		put_exists(s, node, how, negated);
		return;
	}
	sql_column(s, link_here(r));
	sql_put(s, negated ? " NOT IN (SELECT " : " IN (SELECT ");
	put_link(s, r, sql_next_alias(s)); /* made below, with the FROM that declares it */
	saved = put_related_from(s, r, &outer, &table);
	if (negated) { /* one null there would make every answer unknown */
		sql_put(s, " WHERE ");
		put_link(s, r, table);
		sql_put(s, " IS NOT NULL");
	}
	put_inner(s, node, how, negated ? " AND " : " WHERE ");
	sql_put(s, ")");
	s->qualifier = saved;
}

/* No related record is so. PostgreSQL plans NOT EXISTS as a join, which it cannot do for NOT IN; SQLite, without an
 * index on the link, would read all related records once a row. */
static void put_none(struct sql *s, const struct query_node *node, enum inner how)
{
	const struct relation *r = node->relation;

	if (sql_on_postgres(s) || r->n_columns > 1) {
		put_exists(s, node, how, true);
		return;
	}
	sql_put(s, "(");
	sql_column(s, link_here(r));
	sql_put(s, " IS NULL OR ");
	put_in_related(s, node, how, true);
	sql_put(s, ")");
}

static void put_relation(struct sql *s, const struct query_node *node, bool negated)
{
	if (node->reference) {
		put_in_related(s, node, negated ? INNER_FALSE : INNER_TRUE, false);
		return;
	}
	switch (node->quantifier) {
	case QUANTIFIER_ANY:
	case QUANTIFIER_NONE:
		if ((node->quantifier == QUANTIFIER_NONE) != negated)
			put_none(s, node, INNER_TRUE);
		else
			put_in_related(s, node, INNER_TRUE, false);
		return;
	case QUANTIFIER_ALL:
		if (negated)
			put_in_related(s, node, INNER_NOT_TRUE, false);
		else
			put_none(s, node, INNER_NOT_TRUE);
		return;
	}
}

/* ---- trees ---- */

/* Is there a condition on related records below? NOT goes to it then: IN with null on its left is neither true nor
 * false, where nothing is related. Recurses as deep as the tree. */
static bool has_relation(const struct query_node *node)
{
	switch (node->kind) {
	case NODE_LEAF:
		return false;
	case NODE_RELATION:
		return true;
	case NODE_NOT:
		return has_relation(node->left);
	case NODE_AND:
	case NODE_OR:
		return has_relation(node->left) || has_relation(node->right);
	}
	return false;
}

static size_t height(const struct query_node *node)
{
	size_t left, right;

	if (node->kind == NODE_NOT)
		return height(node->left) + 1;
	if (node->kind != NODE_AND && node->kind != NODE_OR)
		return 1;
	left = height(node->left);
	right = height(node->right);
	return (left > right ? left : right) + 1;
}

/* SQLite's parser has a stack of 100 entries, of which a nested right side takes three and NOT two. A tall tree is
 * written with its taller sides first, which take one, and with NOT at its leaves. */
static bool is_deep(const struct sql *s, const struct query_node *node)
{
	return !sql_on_postgres(s) && (node->kind == NODE_NOT || node->kind == NODE_AND || node->kind == NODE_OR) &&
	       height(node) > 12;
}

static void put_not(struct sql *s, const struct query_node *node, struct place at)
{
	if (at.negated || at.deep || has_relation(node->left)) {
		at.negated = !at.negated;
		put_node(s, node->left, at);
		return;
	}
	sql_put(s, "NOT (");
	put_node(s, node->left, (struct place){.q = at.q, .parent = NODE_LEAF});
	sql_put(s, ")");
}

/* Recurses as deep as the tree, which parsing bounds. */
static void put_node(struct sql *s, const struct query_node *node, struct place at)
{
	const struct condition c = {at.q, node};
	const struct query_node *first = node->left, *second = node->right;
	enum node_kind kind = node->kind;
	bool mixed;

	switch (node->kind) {
	case NODE_LEAF:
		sql_put(s, at.negated ? "NOT (" : "");
		put_leaf(s, &c);
		sql_put(s, at.negated ? ")" : "");
		return;
	case NODE_RELATION:
		put_relation(s, node, at.negated);
		return;
	case NODE_NOT:
		put_not(s, node, at);
		return;
	case NODE_AND:
	case NODE_OR:
		if (at.negated)
			kind = kind == NODE_AND ? NODE_OR : NODE_AND;
		mixed = at.parent != NODE_LEAF && at.parent != kind;
		at.parent = kind;
		if (at.deep && height(second) > height(first)) {
			first = node->right;
			second = node->left;
		}
		sql_put(s, mixed ? "(" : "");
		put_node(s, first, at);
		sql_put(s, kind == NODE_AND ? " AND " : " OR ");
		put_node(s, second, at);
		sql_put(s, mixed ? ")" : "");
		return;
	}
}

static void put_roots(struct sql *s, const struct query *q, const struct query_node *const *roots, size_t n, bool alone)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			sql_put(s, " AND ");
		put_node(s, roots[i],
			 (struct place){.q = q,
					.parent = alone && n == 1 ? NODE_LEAF : NODE_AND,
					.deep = is_deep(s, roots[i])});
	}
}

void sql_conditions(struct sql *s, const struct query *q, const struct query_node *const *nodes, size_t n)
{
	put_roots(s, q, nodes, n, true);
}

void sql_more_conditions(struct sql *s, const struct query_node *const *nodes, size_t n, const char *before)
{
	if (n == 0)
		return;
	sql_put(s, before);
	put_roots(s, NULL, nodes, n, n == 1 && before[0] == '\0');
}

void sql_where(struct sql *s, const struct query *q)
{
	if (q->n_where == 0 && q->m2m == NULL)
		return;
	sql_put(s, " WHERE ");
	if (q->m2m != NULL) {
		sql_ident(s, q->m2m->join_table);
		sql_put(s, ".");
		sql_ident(s, q->m2m->source_col);
		sql_put(s, " = ");
		sql_param(s, q->m2m->source_id);
		if (q->n_where != 0)
			sql_put(s, " AND ");
	}
	put_roots(s, q, q->where, q->n_where, q->m2m == NULL);
}

void sql_and_where(struct sql *s, const struct query *q)
{
	sql_more_conditions(s, q->where, q->n_where, " AND ");
}
