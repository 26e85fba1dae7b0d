/* The clauses: FROM, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT. */
#include "store/query/query_sql.h"

#include <assert.h>
#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

void sql_init(struct sql *s, struct arena *a, const struct dialect *d)
{
	*s = (struct sql){.arena = a, .dialect = d, .qualifier = STR_NONE};
	strbuf_init(&s->text, 0);
}

void sql_begin(struct sql *s, struct arena *a, const struct dialect *d, const struct plan_key *key)
{
	sql_init(s, a, d);
	s->plan = plan_find(a, key);
	if (s->plan == NULL)
		return;
	s->n_room = s->plan->stmt.n_params;
	s->params = arena_array(a, s->n_room, sizeof(*s->params));
}

void sql_drop(struct sql *s)
{
	strbuf_done(&s->text);
}

static void finish_planned(struct sql *s, struct stmt *ret)
{
	assert(s->n_params == s->plan->stmt.n_params);
	*ret = s->plan->stmt;
	ret->params = s->params;
}

bool sql_finish(struct sql *s, enum stmt_access access, struct stmt *ret, struct err *err)
{
	bool failed = strbuf_failed(&s->text);

	if (s->plan != NULL) {
		finish_planned(s, ret);
		return true;
	}
	*ret = (struct stmt){
		.sql = failed ? STR_NONE : arena_str(s->arena, strbuf_str(&s->text)),
		.hash = failed ? 0 : num_hash(strbuf_str(&s->text)),
		.params = s->params,
		.n_params = s->n_params,
		.access = access,
		.param_type = STMT_PARAM_INFER,
		.cache = true,
	};
	sql_drop(s);
	if (failed)
		return err_oom(err);
	if (s->n_params > s->dialect->params_max)
		return err_set(err, ERR_INVALID_QUERY,
			       "the statement would need %zu values; this database takes at most %zu", s->n_params,
			       s->dialect->params_max);
	return true;
}

void sql_put(struct sql *s, const char *z)
{
	if (s->plan == NULL)
		strbuf_puts(&s->text, z);
}

void sql_ident(struct sql *s, struct str name)
{
	if (s->plan == NULL)
		dialect_quote_ident(&s->text, name);
}

void sql_table(struct sql *s, const struct model *m)
{
	if (s->plan == NULL)
		dialect_quote_table(&s->text, m->schema_name, m->table);
}

void sql_column(struct sql *s, struct str name)
{
	if (s->qualifier.p != NULL) {
		sql_ident(s, s->qualifier);
		sql_put(s, ".");
	}
	sql_ident(s, name);
}

void sql_param(struct sql *s, struct value v)
{
	if (s->n_params == s->n_room) {
		size_t room = s->n_room != 0 ? s->n_room * 2 : 8;
		struct value *params = arena_array(s->arena, room, sizeof(*params));

		if (s->n_params != 0)
			memcpy(params, s->params, s->n_params * sizeof(*params));
		s->params = params;
		s->n_room = room;
	}
	s->params[s->n_params++] = v;
	if (s->plan == NULL)
		dialect_placeholder(s->dialect, &s->text, s->n_params);
}

void sql_columns(struct sql *s, const struct column *const *columns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			sql_put(s, ", ");
		sql_column(s, columns[i]->name);
	}
}

static bool on_postgres(const struct sql *s)
{
	return s->dialect->id == DIALECT_POSTGRES;
}

static void cast_column(struct sql *s, struct str name, const char *type)
{
	sql_put(s, "CAST(");
	sql_column(s, name);
	sql_put(s, " AS ");
	sql_put(s, type);
	sql_put(s, ")");
}

/* ---- aggregates ---- */

/* PostgreSQL has no min(uuid); its text sorts the same. */
static bool needs_text(const struct sql *s, const struct column *c)
{
	return on_postgres(s) && (c->storage == ST_UUID || c->storage == ST_UUID_LOGICAL);
}

bool sql_round_before(struct sql *s, const struct column *c)
{
	if (on_postgres(s) || c->logical != LT_DECIMAL)
		return false;
	sql_put(s, "CAST(CAST(");
	return true;
}

void sql_round_after(struct sql *s, bool rounding)
{
	if (rounding)
		sql_put(s, " AS TEXT) AS REAL)");
}

/* What avg answers on PostgreSQL for numeric has padding zeros, for integers is numeric. */
static void put_average(struct sql *s, const struct column *c)
{
	const char *before = "", *after = "";

	if (on_postgres(s) && c->logical == LT_DECIMAL) {
		before = "trim_scale(";
		after = ")";
	} else if (on_postgres(s) && c->logical == LT_INTEGER) {
		before = "CAST(";
		after = " AS double precision)";
	}
	sql_put(s, before);
	sql_put(s, "AVG(");
	sql_column(s, c->name);
	sql_put(s, ")");
	sql_put(s, after);
}

void sql_aggregate(struct sql *s, const struct query_aggregate *g)
{
	static const char *const words[] = {
		[AGG_COUNT] = "COUNT(", [AGG_SUM] = "SUM(", [AGG_AVG] = "AVG(", [AGG_MIN] = "MIN(", [AGG_MAX] = "MAX("};
	bool rounding = false;

	if (g->fn == AGG_AVG || g->fn == AGG_SUM)
		rounding = sql_round_before(s, g->column);
	if (g->fn == AGG_AVG) {
		put_average(s, g->column);
		sql_round_after(s, rounding);
		return;
	}
	sql_put(s, words[g->fn]);
	if (g->column == NULL)
		sql_put(s, "*");
	else if ((g->fn == AGG_MIN || g->fn == AGG_MAX) && needs_text(s, g->column))
		cast_column(s, g->column->name, "text");
	else
		sql_column(s, g->column->name);
	sql_put(s, ")");
	sql_round_after(s, rounding);
}

/* ---- FROM ---- */

void sql_qualify(struct sql *s, const struct query *q)
{
	s->qualifier = q->m2m != NULL ? q->model->table : STR_NONE;
}

static void put_dotted(struct sql *s, struct str table, struct str column)
{
	sql_ident(s, table);
	sql_put(s, ".");
	sql_ident(s, column);
}

void sql_from(struct sql *s, const struct query *q)
{
	const struct query_m2m *m2m = q->m2m;
	struct str key;

	sql_put(s, " FROM ");
	sql_table(s, q->model);
	if (m2m == NULL)
		return;
	key = m2m->target_key.p != NULL || q->model->n_pk == 0 ? m2m->target_key : q->model->pk[0]->name;
	sql_put(s, " INNER JOIN ");
	sql_ident(s, m2m->join_table);
	sql_put(s, " ON ");
	put_dotted(s, q->model->table, key);
	sql_put(s, " = ");
	put_dotted(s, m2m->join_table, m2m->target_col);
}

/* ---- conditions ---- */

struct condition {
	const struct query *q;
	const struct query_node *node;
};

/* The left side: the column, or in HAVING the aggregate. */
static void put_subject(struct sql *s, const struct condition *c)
{
	if (c->node->column != NULL)
		sql_column(s, c->node->column->name);
	else
		sql_aggregate(s, &c->q->aggregates[c->node->aggregate]);
}

static bool is_json(const struct condition *c)
{
	return c->node->column != NULL && c->node->column->logical == LT_JSON;
}

static void put_compare(struct sql *s, const struct condition *c, const char *sign)
{
	const struct value v = c->node->values[0];

	if (v.kind == VALUE_NULL && (c->node->op == OP_EQ || c->node->op == OP_NE)) {
		put_subject(s, c);
		sql_put(s, c->node->op == OP_EQ ? " IS NULL" : " IS NOT NULL");
		return;
	}
	if (on_postgres(s) && is_json(c)) { /* json has no equality, jsonb has */
		cast_column(s, c->node->column->name, "jsonb");
		sql_put(s, sign);
		sql_put(s, "CAST(");
		sql_param(s, v);
		sql_put(s, " AS jsonb)");
		return;
	}
	put_subject(s, c);
	sql_put(s, sign);
	sql_param(s, v);
}

static void put_in(struct sql *s, const struct condition *c, bool negated)
{
	if (c->node->n_values == 0) {
		sql_put(s, negated ? "1 = 1" : "1 = 0");
		return;
	}
	put_subject(s, c);
	sql_put(s, negated ? " NOT IN (" : " IN (");
	for (size_t i = 0; i < c->node->n_values; i++) {
		if (i > 0)
			sql_put(s, ", ");
		sql_param(s, c->node->values[i]);
	}
	sql_put(s, ")");
}

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
	sql_param(s, c->node->values[0]);
	sql_put(s, ", ");
	put_subject(s, c);
	sql_put(s, ")");
}

static void put_like(struct sql *s, const struct condition *c, const char *sqlite, const char *postgres)
{
	const struct column *column = c->node->column;
	const struct str pattern = c->node->values[0].u.s;
	const bool any_case = c->node->op == OP_ILIKE || c->node->op == OP_NOT_ILIKE;

	if (any_case && !on_postgres(s) && !is_ascii(pattern)) {
		put_ilike_function(s, c);
		return;
	}
	/* enums, native ones at least, and uuids are no text there */
	if (on_postgres(s) && column != NULL &&
	    (column->postgres_native_enum || column->enum_values != NULL || needs_text(s, column)))
		cast_column(s, column->name, "text");
	else
		put_subject(s, c);
	sql_put(s, on_postgres(s) ? postgres : sqlite);
	sql_param(s, c->node->values[0]);
	/* what PostgreSQL has by default */
	if (!on_postgres(s) && pattern.len != 0 && memchr(pattern.p, '\\', pattern.len) != NULL)
		sql_put(s, " ESCAPE '\\'");
}

static void put_between(struct sql *s, const struct condition *c)
{
	put_subject(s, c);
	sql_put(s, " BETWEEN ");
	sql_param(s, c->node->values[0]);
	sql_put(s, " AND ");
	sql_param(s, c->node->values[1]);
}

static void put_leaf(struct sql *s, const struct condition *c)
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
		put_like(s, c, " LIKE ", " LIKE ");
		return;
	case OP_NOT_LIKE:
		put_like(s, c, " NOT LIKE ", " NOT LIKE ");
		return;
	case OP_ILIKE:
		put_like(s, c, " LIKE ", " ILIKE ");
		return;
	case OP_NOT_ILIKE:
		put_like(s, c, " NOT LIKE ", " NOT ILIKE ");
		return;
	case OP_BETWEEN:
		put_between(s, c);
		return;
	case OP_IS_NULL:
	case OP_IS_NOT_NULL:
		put_subject(s, c);
		sql_put(s, c->node->op == OP_IS_NULL ? " IS NULL" : " IS NOT NULL");
		return;
	}
}

/* parent: the operator around the node; NODE_LEAF: none. Parentheses only where kinds mix. Recurses as deep as the
 * tree, which parsing bounds. */
static void put_node(struct sql *s, const struct query *q, const struct query_node *node, enum node_kind parent)
{
	const struct condition c = {q, node};
	bool mixed = parent != NODE_LEAF && parent != node->kind;

	switch (node->kind) {
	case NODE_LEAF:
		put_leaf(s, &c);
		return;
	case NODE_NOT:
		sql_put(s, "NOT (");
		put_node(s, q, node->left, NODE_LEAF);
		sql_put(s, ")");
		return;
	case NODE_AND:
	case NODE_OR:
		if (mixed)
			sql_put(s, "(");
		put_node(s, q, node->left, node->kind);
		sql_put(s, node->kind == NODE_AND ? " AND " : " OR ");
		put_node(s, q, node->right, node->kind);
		if (mixed)
			sql_put(s, ")");
		return;
	}
}

static void put_roots(struct sql *s, const struct query *q, const struct query_node *const *roots, size_t n, bool alone)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			sql_put(s, " AND ");
		put_node(s, q, roots[i], alone && n == 1 ? NODE_LEAF : NODE_AND);
	}
}

void sql_where(struct sql *s, const struct query *q)
{
	if (q->n_where == 0 && q->m2m == NULL)
		return;
	sql_put(s, " WHERE ");
	if (q->m2m != NULL) {
		put_dotted(s, q->m2m->join_table, q->m2m->source_col);
		sql_put(s, " = ");
		sql_param(s, q->m2m->source_id);
		if (q->n_where != 0)
			sql_put(s, " AND ");
	}
	put_roots(s, q, q->where, q->n_where, q->m2m == NULL);
}

void sql_and_where(struct sql *s, const struct query *q)
{
	if (q->n_where == 0)
		return;
	sql_put(s, " AND ");
	put_roots(s, q, q->where, q->n_where, false);
}

void sql_group(struct sql *s, const struct query *q)
{
	if (q->n_group_by != 0) {
		sql_put(s, " GROUP BY ");
		sql_columns(s, q->group_by, q->n_group_by);
	}
	if (q->n_having != 0) {
		sql_put(s, " HAVING ");
		put_roots(s, q, q->having, q->n_having, true);
	}
}

void sql_order(struct sql *s, const struct query *q)
{
	static const char *const nulls[] = {
		[NULLS_DEFAULT] = "", [NULLS_FIRST] = " NULLS FIRST", [NULLS_LAST] = " NULLS LAST"};

	for (size_t i = 0; i < q->n_order; i++) {
		const struct query_order *o = &q->order[i];

		sql_put(s, i == 0 ? " ORDER BY " : ", ");
		if (o->column != NULL)
			sql_column(s, o->column->name);
		else
			sql_aggregate(s, &q->aggregates[o->aggregate]);
		sql_put(s, o->descending ? " DESC" : " ASC");
		sql_put(s, nulls[o->nulls]);
	}
}

void sql_limit(struct sql *s, const struct query *q, bool page)
{
	if (q->has_limit && page && on_postgres(s)) {
		char digits[24];

		(void)num_format_int(q->limit, digits);
		sql_put(s, " LIMIT ");
		sql_put(s, digits);
	} else if (q->has_limit) {
		sql_put(s, " LIMIT ");
		sql_param(s, value_int(q->limit));
	} else if (q->has_offset && !on_postgres(s)) {
		sql_put(s, " LIMIT -1"); /* SQLite has no OFFSET of its own */
	}
	if (q->has_offset) {
		sql_put(s, " OFFSET ");
		sql_param(s, value_int(q->offset));
	}
}
