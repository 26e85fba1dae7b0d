/* The rows that belong to each of several link values, in one statement; what the query says holds for each of them. */
#include <string.h>

#include "store/query/query_parse.h"
#include "store/query/query_sql.h"

#include "service/base/banned.h"

#define LINK_NAME "ferro_link"
#define ROW_NAME "ferro_row"

static size_t n_links(const struct query_each *e)
{
	return e->links != NULL ? e->n_links : 1;
}

static const struct column *link_at(const struct query_each *e, size_t i)
{
	return e->links != NULL ? e->links[i] : e->link;
}

static void put_link(struct sql *s, const struct query *q, const struct query_each *e, size_t i)
{
	if (e->join != NULL) {
		sql_ident(s, e->join->join_table);
		sql_put(s, ".");
		sql_ident(s, e->link->name);
	} else {
		sql_ident(s, q->model->table);
		sql_put(s, ".");
		sql_ident(s, link_at(e, i)->name);
	}
}

/* The columns shown, and then the link's. */
static void each_shape(struct arena *a, const struct query *q, const struct query_each *e, struct result_shape *ret)
{
	const size_t shown = q->n_select != 0 ? q->n_select : q->model->n_columns, n = shown + q->n_extra;
	struct column *decode = arena_array(a, n + n_links(e), sizeof(*decode));

	*ret = (struct result_shape){.n = n + n_links(e), .decode = decode, .full = q->n_select == 0};
	ret->columns = arena_array(a, ret->n, sizeof(*ret->columns));
	ret->names = arena_array(a, ret->n, sizeof(*ret->names));
	for (size_t i = 0; i < n; i++) {
		const struct query_item *item = i >= shown         ? &q->extra[i - shown]
						: q->n_select != 0 ? &q->select[i]
								   : NULL;

		ret->columns[i] = item != NULL ? item->column : &q->model->columns[i];
		ret->names[i] = item != NULL ? item->name : q->model->columns[i].name;
		decode[i] = ret->columns[i] != NULL ? *ret->columns[i] : item->expr->type;
		decode[i].name = ret->names[i];
	}
	for (size_t i = 0; i < n_links(e); i++) {
		ret->columns[n + i] = NULL;
		ret->names[n + i] = i == 0 ? STR(LINK_NAME) : arena_printf(a, LINK_NAME "%zu", i + 1);
		decode[n + i] = *link_at(e, i);
	}
}

/* Which rows come first must be settled for a limit to mean something: the key closes the order. */
static void settle_order(struct arena *a, struct query *q)
{
	struct query_order *order = arena_array(a, q->n_order + q->model->n_pk, sizeof(*order));
	size_t n = q->n_order;

	if (n > 0)
		memcpy(order, q->order, n * sizeof(*order));
	for (size_t i = 0; i < q->model->n_pk; i++) {
		size_t k = 0;

		while (k < q->n_order && q->order[k].column != q->model->pk[i])
			k++;
		if (k == q->n_order)
			order[n++] = (struct query_order){.column = q->model->pk[i]};
	}
	q->order = order;
	q->n_order = n;
}

static void put_shown(struct sql *s, const struct query *q)
{
	sql_items(s, q->select, q->n_select, true, false);
	for (size_t i = 0; q->n_select == 0 && i < q->model->n_columns; i++) {
		sql_put(s, i > 0 ? ", " : "");
		sql_column(s, q->model->columns[i].name);
	}
	sql_items(s, q->extra, q->n_extra, false, false);
}

/* All links, a comma between them; `named`: as what they are read. */
static void put_all_links(struct sql *s, const struct query *q, const struct query_each *e, bool named)
{
	for (size_t i = 0; i < n_links(e); i++) {
		sql_put(s, i > 0 ? ", " : "");
		put_link(s, q, e, i);
		if (!named)
			continue;
		sql_put(s, " AS ");
		sql_ident(s, i == 0 ? STR(LINK_NAME) : arena_printf(s->arena, LINK_NAME "%zu", i + 1));
	}
}

/* (a, b) IN ((?, ?), ...); SQLite wants VALUES before them. */
static void put_several(struct sql *s, const struct query *q, const struct query_each *e)
{
	const size_t n = n_links(e);

	sql_put(s, "(");
	put_all_links(s, q, e, false);
	sql_put(s, sql_on_postgres(s) ? ") IN (" : ") IN (VALUES ");
	for (size_t i = 0; i < e->n_values; i++) {
		sql_put(s, i > 0 ? ", (" : "(");
		for (size_t k = 0; k < n; k++) {
			sql_put(s, k > 0 ? ", " : "");
			sql_param(s, e->values[i * n + k]);
		}
		sql_put(s, ")");
	}
	sql_put(s, ")");
}

/* "SELECT columns, link" up to WHERE. */
static void put_rows(struct sql *s, const struct query *q, const struct query_each *e, bool numbered)
{
	sql_put(s, "SELECT ");
	put_shown(s, q);
	sql_put(s, ", ");
	put_all_links(s, q, e, true);
	if (numbered) {
		sql_put(s, ", ROW_NUMBER() OVER (PARTITION BY ");
		put_all_links(s, q, e, false);
		sql_order_window(s, q);
		sql_put(s, ") AS \"" ROW_NAME "\"");
	}
	sql_from(s, q);
	sql_put(s, " WHERE ");
	if (n_links(e) > 1) {
		put_several(s, q, e);
		sql_and_where(s, q);
		return;
	}
	put_link(s, q, e, 0);
	sql_put(s, " IN (");
	for (size_t i = 0; i < e->n_values; i++) {
		if (i > 0)
			sql_put(s, ", ");
		sql_param(s, e->values[i]);
	}
	sql_put(s, ")");
	sql_and_where(s, q);
}

static void put_numbered(struct sql *s, const struct query *q, const struct query_each *e,
			 const struct result_shape *shape)
{
	int64_t offset = q->has_offset ? q->offset : 0;
	struct str qualifier = s->qualifier;

	s->qualifier = STR_NONE;
	sql_put(s, "SELECT ");
	for (size_t i = 0; i < shape->n; i++) {
		sql_put(s, i > 0 ? ", " : "");
		sql_ident(s, shape->names[i]);
	}
	sql_put(s, " FROM (");
	s->qualifier = qualifier;
	put_rows(s, q, e, true);
	s->qualifier = STR_NONE;
	sql_put(s, ") AS \"ferro_each\" WHERE \"" ROW_NAME "\" > ");
	sql_param(s, value_int(offset));
	if (q->has_limit) {
		sql_put(s, " AND \"" ROW_NAME "\" <= ");
		sql_param(s, value_int(q->limit > INT64_MAX - offset ? INT64_MAX : offset + q->limit));
	}
	sql_put(s, " ORDER BY \"" ROW_NAME "\""); /* what it was numbered by */
}

bool query_lower_each(struct arena *a, const struct query *q, const struct query_each *e, struct stmt *ret,
		      struct result_shape *ret_shape, struct err *err)
{
	struct query own = *q;
	struct sql s;

	own.m2m = e->join;
	if (!query_check(&own, "", err))
		return false;
	each_shape(a, q, e, ret_shape);
	sql_init(&s, a, q->dialect);
	sql_qualify(&s, &own);
	if (own.has_limit || own.has_offset) {
		settle_order(a, &own);
		put_numbered(&s, &own, e, ret_shape);
	} else {
		put_rows(&s, &own, e, false);
		sql_order(&s, &own);
	}
	if (!sql_finish(&s, STMT_READ, ret, err))
		return false;
	ret->n_columns = ret_shape->n;
	return true;
}
