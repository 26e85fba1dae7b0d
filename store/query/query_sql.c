/* The clauses: FROM, GROUP BY, HAVING, ORDER BY, LIMIT. */
#include "store/query/query_sql.h"

#include "service/base/num.h"

#include "service/base/banned.h"

/* ---- FROM ---- */

void sql_on(struct sql *s, const struct model *m)
{
	s->table = m->table;
	s->conditions = sql_more_conditions;
}

void sql_qualify(struct sql *s, const struct query *q)
{
	sql_on(s, q->model);
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
	sql_join_table(s, m2m->join_table);
	sql_put(s, " ON ");
	put_dotted(s, q->model->table, key);
	sql_put(s, " = ");
	put_dotted(s, m2m->join_table, m2m->target_col);
}

/* Where a computed column stands in the answer, for clauses that must mean the same one: its parameters are others each
 * time it is written. */
static bool put_position(struct sql *s, const struct query *q, const struct query_expr *e)
{
	const struct query_item *items = q->n_select != 0 ? q->select : q->group_by;
	const size_t n = q->n_select != 0 ? q->n_select : q->n_group_by;
	char digits[24];

	for (size_t i = 0; i < n; i++) {
		if (items[i].expr != e)
			continue;
		(void)num_format_int((int64_t)i + 1, digits);
		sql_put(s, digits);
		return true;
	}
	return false;
}

/* Times that are one value of the answer are one group, however they are written. */
static void put_same(struct sql *s, const struct column *c)
{
	sql_time_same_before(s, c);
	sql_column(s, c->name);
	sql_time_same_after(s, c);
}

static void put_by_item(struct sql *s, const struct query *q, const struct query_item *item)
{
	if (item->column != NULL)
		put_same(s, item->column);
	else if (!put_position(s, q, item->expr))
		sql_expr(s, item->expr);
}

void sql_items(struct sql *s, const struct query_item *items, size_t n, bool first, bool same)
{
	for (size_t i = 0; i < n; i++) {
		const struct column *c = items[i].column;

		sql_put(s, first && i == 0 ? "" : ", ");
		if (c != NULL && same)
			put_same(s, c);
		else if (c != NULL)
			sql_column(s, c->name);
		else
			sql_expr(s, items[i].expr);
		if (c != NULL && str_eq(c->name, items[i].name) && !(same && sql_is_time(s, c)))
			continue;
		sql_put(s, " AS ");
		sql_ident(s, items[i].name);
	}
}

void sql_group(struct sql *s, const struct query *q)
{
	if (q->n_group_by != 0) {
		sql_put(s, " GROUP BY ");
		for (size_t i = 0; i < q->n_group_by; i++) {
			sql_put(s, i > 0 ? ", " : "");
			put_by_item(s, q, &q->group_by[i]);
		}
	}
	if (q->n_having != 0) {
		sql_put(s, " HAVING ");
		sql_conditions(s, q, q->having, q->n_having);
	}
}

static void put_order(struct sql *s, const struct query *q, bool window)
{
	static const char *const nulls[] = {
		[NULLS_DEFAULT] = "", [NULLS_FIRST] = " NULLS FIRST", [NULLS_LAST] = " NULLS LAST"};

	for (size_t i = 0; i < q->n_order; i++) {
		const struct query_order *o = &q->order[i];

		const struct column *type = o->column != NULL ? o->column : o->expr != NULL ? &o->expr->type : NULL;
		/* of a related record the form is not known; groups are by what is one value */
		const bool grouped = o->column != NULL && q->n_group_by != 0;
		const bool spelled =
			!grouped && sql_is_time(s, type) && (o->column == NULL || !sql_time_ordered(s, type));

		const bool numbered = sql_is_numbered(s, type);

		sql_put(s, i == 0 ? " ORDER BY " : ", ");
		if (spelled)
			sql_time_before(s, type);
		sql_number_before(s, numbered);
		if (grouped)
			put_same(s, o->column);
		else if (o->column != NULL)
			sql_column(s, o->column->name);
		else if (o->expr != NULL && (window || spelled || numbered || !put_position(s, q, o->expr)))
			sql_expr(s, o->expr);
		else if (o->expr == NULL)
			sql_aggregate(s, &q->aggregates[o->aggregate]);
		sql_number_after(s, numbered);
		if (spelled)
			sql_time_after(s, type);
		sql_put(s, o->descending ? " DESC" : " ASC");
		sql_put(s, nulls[o->nulls]);
	}
}

void sql_order(struct sql *s, const struct query *q)
{
	put_order(s, q, false);
}

void sql_order_window(struct sql *s, const struct query *q)
{
	put_order(s, q, true);
}

static void put_number(struct sql *s, bool literal, int64_t n)
{
	char digits[24];

	if (!literal) {
		sql_param(s, value_int(n));
		return;
	}
	(void)num_format_int(n, digits);
	sql_put(s, digits);
}

void sql_limit(struct sql *s, const struct query *q, bool page)
{
	if (q->has_limit) {
		sql_put(s, " LIMIT ");
		put_number(s, page && plan_limit_stands(q), q->limit);
	} else if (q->has_offset && !sql_on_postgres(s)) {
		sql_put(s, " LIMIT -1"); /* SQLite has no OFFSET of its own */
	}
	if (q->has_offset) {
		sql_put(s, " OFFSET ");
		put_number(s, page && plan_offset_stands(q), q->offset);
	}
}
