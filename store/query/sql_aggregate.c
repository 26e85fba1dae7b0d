/* Aggregates as SQL. */
#include "store/query/query_sql.h"

#include "service/base/banned.h"

static void put_argument(struct sql *s, const struct query_aggregate *g)
{
	if (g->column != NULL)
		sql_column(s, g->column->name);
	else
		sql_expr(s, g->expr);
}

/* What avg answers on PostgreSQL for numeric has padding zeros, for integers is numeric. */
static void put_average(struct sql *s, const struct query_aggregate *g)
{
	const struct column *c = query_aggregate_argument(g);
	const char *before = "", *after = "";

	if (sql_on_postgres(s) && c->logical == LT_DECIMAL) {
		before = "trim_scale(";
		after = ")";
	} else if (sql_on_postgres(s) && c->logical == LT_INTEGER) {
		before = "CAST(";
		after = " AS double precision)";
	}
	sql_put(s, before);
	sql_put(s, "AVG(");
	put_argument(s, g);
	sql_put(s, ")");
	sql_put(s, after);
}

void sql_aggregate(struct sql *s, const struct query_aggregate *g)
{
	static const char *const words[] = {
		[AGG_COUNT] = "COUNT(", [AGG_SUM] = "SUM(", [AGG_AVG] = "AVG(", [AGG_MIN] = "MIN(", [AGG_MAX] = "MAX("};
	const struct column *type = query_aggregate_argument(g);
	const bool extreme = g->fn == AGG_MIN || g->fn == AGG_MAX, as_text = extreme && sql_needs_text(s, type);
	bool rounding = false;

	if (g->fn == AGG_AVG || g->fn == AGG_SUM)
		rounding = sql_round_before(s, type);
	if (g->fn == AGG_AVG) {
		put_average(s, g);
		sql_round_after(s, rounding);
		return;
	}
	sql_put(s, words[g->fn]);
	sql_put(s, as_text ? "CAST(" : "");
	if (type == NULL)
		sql_put(s, "*");
	else if (extreme) {
		sql_time_same_before(s, type);
		sql_number_before(s, sql_is_numbered(s, type));
		put_argument(s, g);
		sql_number_after(s, sql_is_numbered(s, type));
		sql_time_same_after(s, type);
	} else
		put_argument(s, g);
	sql_put(s, as_text ? " AS text)" : "");
	sql_put(s, ")");
	sql_round_after(s, rounding);
}
