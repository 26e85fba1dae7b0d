/* Where a page begins: the rows that stand after some values in the query's order, or before them. */
#include "store/query/query_ref.h"

#include "service/base/banned.h"

/* Where nulls stand when nobody says: PostgreSQL takes them for the largest values, SQLite for the smallest. */
static bool nulls_first(const struct query *q, const struct query_order *o)
{
	if (o->nulls != NULLS_DEFAULT)
		return o->nulls == NULLS_FIRST;
	return q->dialect->id == DIALECT_POSTGRES ? o->descending : !o->descending;
}

static const struct query_node *join(struct arena *a, enum node_kind kind, const struct query_node *left,
				     const struct query_node *right)
{
	struct query_node *n = arena_alloc(a, sizeof(*n));

	*n = (struct query_node){.kind = kind, .left = left, .right = right};
	return n;
}

static const struct query_node *leaf(struct arena *a, const struct query_order *o, enum query_op op,
				     const struct value *v)
{
	struct query_node *node;

	if (o->column == NULL)
		return query_leaf_place(a, o->expr, op, v);
	node = arena_alloc(a, sizeof(*node));
	*node = (struct query_node){
		.kind = NODE_LEAF, .op = op, .column = o->column, .values = v, .n_values = v != NULL, .stored = true};
	return node;
}

static bool nullable(const struct query_order *o)
{
	return o->column == NULL || o->column->nullable;
}

/* "the column stands after v in its order"; NULL: nothing does. */
static const struct query_node *after(struct arena *a, const struct query *q, const struct query_order *o,
				      const struct value *v)
{
	const bool first = nulls_first(q, o);
	const struct query_node *n;

	if (v->kind == VALUE_NULL)
		return first ? leaf(a, o, OP_IS_NOT_NULL, NULL) : NULL;
	n = leaf(a, o, o->descending ? OP_LT : OP_GT, v);
	if (!first && nullable(o))
		n = join(a, NODE_OR, n, leaf(a, o, OP_IS_NULL, NULL));
	return n;
}

/* (c1 after v1) or (c1 = v1 and c2 after v2) or ...; NULL: no row can follow. */
static const struct query_node *position(struct arena *a, const struct query *q)
{
	const struct query_node *any = NULL, *equal = NULL;

	for (size_t i = 0; i < q->n_order; i++) {
		const struct query_node *term = after(a, q, &q->order[i], &q->keys[i]), *same;

		if (term != NULL && equal != NULL)
			term = join(a, NODE_AND, equal, term);
		if (term != NULL)
			any = any != NULL ? join(a, NODE_OR, any, term) : term;
		same = leaf(a, &q->order[i], OP_EQ, &q->keys[i]);
		equal = equal != NULL ? join(a, NODE_AND, equal, same) : same;
	}
	return any;
}

static void turn_order(struct arena *a, struct query *q)
{
	struct query_order *order = arena_array(a, q->n_order, sizeof(*order));

	for (size_t i = 0; i < q->n_order; i++) {
		order[i] = q->order[i];
		if (order[i].nulls != NULLS_DEFAULT)
			order[i].nulls = order[i].nulls == NULLS_FIRST ? NULLS_LAST : NULLS_FIRST;
		order[i].descending = !order[i].descending;
	}
	q->order = order;
}

/* A condition that no row meets. */
static const struct query_node *nothing(struct arena *a)
{
	struct query_node *n = arena_alloc(a, sizeof(*n));

	*n = (struct query_node){.kind = NODE_LEAF, .op = OP_IN};
	return n;
}

const struct query_expr *query_stored(struct arena *a, const struct column *c)
{
	struct query_expr *e = query_expr_column(a, c);

	e->type.logical = LT_UNKNOWN;
	return e;
}

void query_keyset(struct arena *a, struct query *q)
{
	const struct query_node **where = arena_array(a, q->n_where + 1, sizeof(const struct query_node *));
	const struct query_node *at;

	if (q->before)
		turn_order(a, q);
	at = position(a, q);
	for (size_t i = 0; i < q->n_where; i++)
		where[i] = q->where[i];
	where[q->n_where++] = at != NULL ? at : nothing(a);
	q->where = where;
	q->keys = NULL;
}
