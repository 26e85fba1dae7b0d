/*
 * Instants, dates and times of day of SQLite, which others may have written in any form: compared through a function
 * that knows them all, beside a range of the stored values that an index serves.
 */
#include "store/codec/time_spelling.h"
#include "store/query/query_op.h"
#include "store/query/sql_leaf.h"

#include "service/base/banned.h"

bool sql_is_time(const struct sql *s, const struct column *c)
{
	return c != NULL && !sql_on_postgres(s) &&
	       (c->logical == LT_DATETIME || c->logical == LT_DATE || c->logical == LT_TIME);
}

bool sql_time_ordered(const struct sql *s, const struct column *c)
{
	return !sql_is_time(s, c) || time_spelling_sorts(c->spelling);
}

static bool has_unit(const struct column *c)
{
	return c->logical == LT_DATETIME && c->spelling >= TIME_UNIX && c->spelling <= TIME_JULIAN;
}

void sql_time_before(struct sql *s, const struct column *c)
{
	if (sql_is_time(s, c))
		sql_put(s, c->logical == LT_DATETIME ? "ferro_time("
			   : c->logical == LT_DATE   ? "ferro_date("
						     : "ferro_clock(");
}

void sql_time_after(struct sql *s, const struct column *c)
{
	if (!sql_is_time(s, c))
		return;
	if (has_unit(c))
		sql_put(s, arena_printf(s->arena, ", %d", (int)c->spelling).p);
	sql_put(s, ")");
}

/* Does every value of the column have one form, as far as anybody knows? */
static bool one_form(const struct column *c)
{
	return c->fill.position == 0 && c->spelling == TIME_FERROD;
}

bool sql_time_has_forms(const struct sql *s, const struct column *c)
{
	return sql_is_time(s, c) && !one_form(c);
}

void sql_time_same_before(struct sql *s, const struct column *c)
{
	if (!sql_time_has_forms(s, c))
		return;
	if (c->logical == LT_DATETIME)
		sql_put(s, "ferro_time_text(");
	else
		sql_time_before(s, c);
}

void sql_time_same_after(struct sql *s, const struct column *c)
{
	if (!sql_time_has_forms(s, c))
		return;
	if (c->logical == LT_DATETIME)
		sql_put(s, arena_printf(s->arena, ", %d, %d)", has_unit(c) ? (int)c->spelling : (int)TIME_MIXED,
					c->storage != ST_TIMESTAMP)
				   .p);
	else
		sql_time_after(s, c);
}

/* ---- values ---- */

struct value sql_time_value(struct sql *s, const struct column *c, struct value v)
{
	char out[TEMPORAL_BYTES];

	return time_normal(c, v, out) ? value_text(arena_str(s->arena, str_z(out))) : v;
}

/* ---- ranges of stored values ---- */

/* What the stored values of a comparison lie between; either side may be open. */
struct range {
	const struct column *column;
	bool has_low, has_high;
	struct time_bounds low, high;
};

static void put_column(struct sql *s, const struct range *r, const char *sign)
{
	sql_column(s, r->column->name);
	sql_put(s, sign);
}

static void put_value(struct sql *s, const struct range *r, const char *sign, struct value v)
{
	put_column(s, r, sign);
	sql_param(s, v);
}

static void put_text_range(struct sql *s, const struct range *r)
{
	const bool any = has_unit(r->column); /* digits may be numbers there */

	sql_put(s, "(");
	put_value(s, r, " >= ", value_text(r->has_low && !any ? r->low.text_low : STR("")));
	if (r->has_high && !any) {
		sql_put(s, " AND ");
		put_value(s, r, " < ", value_text(r->high.text_high));
	}
	sql_put(s, ")");
}

static void put_unit_range(struct sql *s, const struct range *r, enum time_spelling unit, const char *before)
{
	const size_t i = (size_t)unit - TIME_UNIX;
	/* where the unit is known, its numbers end where time does */
	const double end = time_unit_end(has_unit(r->column) && unit != TIME_JULIAN ? TIME_UNIX_US : unit);

	sql_put(s, before);
	sql_put(s, "(");
	put_value(s, r, " >= ", value_double(r->has_low ? r->low.low[i] : -end));
	sql_put(s, " AND ");
	put_value(s, r, " <= ", value_double(r->has_high ? r->high.high[i] : end));
	sql_put(s, ")");
}

/* One range a class of stored values and unit of numbers. Where texts are expected, a row of text is done with numbers,
 * all of which are below any text, at once. */
static void put_classes(struct sql *s, const struct range *r)
{
	const bool texts = !has_unit(r->column) && r->column->spelling != TIME_MIXED;
	const char *before = texts ? "" : " OR ";

	sql_put(s, "(");
	put_text_range(s, r);
	if (texts) {
		sql_put(s, " OR (");
		put_column(s, r, " < '' AND (");
	}
	for (int unit = TIME_UNIX; unit <= TIME_JULIAN; unit++) {
		if (has_unit(r->column) && unit != (int)r->column->spelling)
			continue;
		put_unit_range(s, r, (enum time_spelling)unit, before);
		before = " OR ";
	}
	sql_put(s, texts ? ")))" : ")");
}

static double least(const struct range *r)
{
	double d = r->low.low[0];

	if (has_unit(r->column))
		return r->low.low[r->column->spelling - TIME_UNIX];
	for (size_t i = 1; i < TIME_UNITS; i++)
		d = r->low.low[i] < d ? r->low.low[i] : d;
	return d;
}

static double greatest(const struct range *r)
{
	double d = r->high.high[0];

	if (has_unit(r->column))
		return r->high.high[r->column->spelling - TIME_UNIX];
	for (size_t i = 1; i < TIME_UNITS; i++)
		d = r->high.high[i] > d ? r->high.high[i] : d;
	return d;
}

static void put_extreme(struct sql *s, const struct range *r, const struct model *m, const char *fn)
{
	const struct str saved = s->qualifier;

	s->qualifier = STR_NONE;
	sql_put(s, "CASE (SELECT typeof(");
	sql_put(s, fn);
	sql_put(s, "(");
	sql_column(s, r->column->name);
	sql_put(s, ")) FROM ");
	sql_table(s, m);
	sql_put(s, ")");
	s->qualifier = saved;
}

static void put_case(struct sql *s, const char *word, struct value v)
{
	sql_put(s, word);
	sql_param(s, v);
}

/* One range of all that is there: of text alone where the least or the greatest stored value is text, which an index
 * tells at once. */
static void put_whole(struct sql *s, const struct range *r, const struct model *m)
{
	const bool any = has_unit(r->column);

	if (r->has_low) {
		put_column(s, r, " >= ");
		put_extreme(s, r, m, "MIN");
		put_case(s, " WHEN 'text' THEN ", value_text(any ? STR("") : r->low.text_low));
		put_case(s, " ELSE ", value_double(least(r)));
		sql_put(s, r->has_high ? " END AND " : " END");
	}
	if (!r->has_high)
		return;
	put_column(s, r, " <= ");
	put_extreme(s, r, m, "MAX");
	put_case(s, " WHEN 'integer' THEN ", value_double(greatest(r)));
	put_case(s, " WHEN 'real' THEN ", value_double(greatest(r)));
	put_case(s, " ELSE ", any ? value_bytes(STR("")) : value_text(r->high.text_high));
	sql_put(s, " END");
}

/* Does an index of the model begin with the column? */
static bool is_indexed(const struct model *m, const struct column *c)
{
	if (c->unique || c->index_flag || (m->n_pk > 0 && m->pk[0] == c))
		return true;
	for (size_t i = 0; i < m->n_indexes; i++)
		if (m->indexes[i].n_columns > 0 && str_eq(m->indexes[i].columns[0], c->name))
			return true;
	for (size_t i = 0; i < m->n_uniques; i++)
		if (m->uniques[i].n_columns > 0 && str_eq(m->uniques[i].columns[0], c->name))
			return true;
	return false;
}

/* The model whose column it is, as far as the condition knows; NULL: it does not. */
static const struct model *model_of(const struct condition *c)
{
	const struct model *m = c->q != NULL ? c->q->model : NULL;

	return m != NULL && c->node->column >= m->columns && c->node->column < m->columns + m->n_columns ? m : NULL;
}

static void put_range(struct sql *s, const struct condition *c, const struct range *r)
{
	const struct model *m = model_of(c);

	if (r->column->logical == LT_TIME) { /* text alone: numbers are none */
		if (r->has_low)
			put_value(s, r, " >= ", value_text(r->low.text_low));
		sql_put(s, r->has_low && r->has_high ? " AND " : "");
		if (r->has_high)
			put_value(s, r, " < ", value_text(r->high.text_high));
	} else if (m != NULL && r->column->spelling != TIME_MIXED && is_indexed(m, r->column)) {
		put_whole(s, r, m);
	} else {
		put_classes(s, r);
	}
}

/* ---- conditions ---- */

static struct time_bounds bounds_of(struct sql *s, const struct column *c, struct value v)
{
	const struct str t = sql_time_value(s, c, v).u.s;

	return c->logical == LT_TIME
		       ? time_clock_bounds(s->arena, t)
		       : time_bounds(s->arena, c->logical == LT_DATE
						       ? arena_printf(s->arena, "%.*sT00:00:00.000000", STR_FMT(t))
						       : t);
}

/* The least and the greatest of the values. */
static void widest(struct sql *s, const struct query_node *node, struct value *ret_low, struct value *ret_high)
{
	*ret_low = *ret_high = sql_time_value(s, node->column, node->values[0]);
	for (size_t i = 1; i < node->n_values; i++) {
		const struct value v = sql_time_value(s, node->column, node->values[i]);

		if (str_cmp(v.u.s, ret_low->u.s) < 0)
			*ret_low = v;
		if (str_cmp(v.u.s, ret_high->u.s) > 0)
			*ret_high = v;
	}
}

bool sql_time_range(struct sql *s, const struct condition *c)
{
	const struct query_node *node = c->node;
	struct range r = {.column = node->column};
	struct value low, high;

	if (node->column == NULL || !sql_is_time(s, node->column) || node->operand != NULL || node->stored ||
	    !query_time_values(node->column, node))
		return false;
	r.has_low = node->op == OP_EQ || node->op == OP_IN || node->op == OP_BETWEEN || node->op == OP_GT ||
		    node->op == OP_GE;
	r.has_high = node->op == OP_EQ || node->op == OP_IN || node->op == OP_BETWEEN || node->op == OP_LT ||
		     node->op == OP_LE;
	if (!r.has_low && !r.has_high)
		return false;
	widest(s, node, &low, &high);
	if (node->op == OP_BETWEEN) {
		low = node->values[0];
		high = node->values[1];
	}
	if (r.has_low)
		r.low = bounds_of(s, node->column, low);
	if (r.has_high)
		r.high = bounds_of(s, node->column, high);
	sql_put(s, "(");
	put_range(s, c, &r);
	sql_put(s, " AND ");
	return true;
}
