/* AST -> SQL: select, count, exists, update, delete. */
#include "store/query/query_parse.h"
#include "store/query/query_sql.h"

#include "service/base/banned.h"

/* A page this small over an index is quick. */
#define QUICK_LIMIT 200

/* ---- shapes ---- */

static void full_shape(struct arena *a, const struct model *m, struct result_shape *ret)
{
	*ret = (struct result_shape){.n = m->n_columns, .decode = m->columns, .full = true};
	ret->columns = arena_array(a, m->n_columns, sizeof(*ret->columns));
	ret->names = arena_array(a, m->n_columns, sizeof(*ret->names));
	for (size_t i = 0; i < m->n_columns; i++) {
		ret->columns[i] = &m->columns[i];
		ret->names[i] = m->columns[i].name;
	}
}

/* The columns that stand before the aggregates. */
static void plain_columns(const struct query *q, const struct query_item **ret, size_t *ret_n)
{
	*ret = q->n_select != 0 ? q->select : q->group_by;
	*ret_n = q->n_select != 0 ? q->n_select : q->n_group_by;
}

struct shape_build {
	struct result_shape *shape;
	struct column *decode;
	size_t n;
};

static void add_item(struct shape_build *b, const struct query_item *i)
{
	b->shape->columns[b->n] = i->column;
	b->shape->names[b->n] = i->name;
	b->decode[b->n] = i->column != NULL ? *i->column : i->expr->type;
	b->decode[b->n].name = i->name;
	b->n++;
}

static void query_shape(struct arena *a, const struct query *q, struct result_shape *ret)
{
	const struct model *m = q->model;
	const struct query_item *items;
	struct shape_build b = {.shape = ret};
	size_t n_plain;

	plain_columns(q, &items, &n_plain);
	if (n_plain + q->n_aggregates + q->n_extra == 0) {
		full_shape(a, m, ret);
		return;
	}
	*ret = (struct result_shape){.full = n_plain + q->n_aggregates == 0};
	ret->n = (ret->full ? m->n_columns : n_plain + q->n_aggregates) + q->n_extra;
	ret->columns = arena_array(a, ret->n, sizeof(*ret->columns));
	ret->names = arena_array(a, ret->n, sizeof(*ret->names));
	ret->decode = b.decode = arena_array(a, ret->n, sizeof(*b.decode));
	for (size_t i = 0; ret->full && i < m->n_columns; i++)
		add_item(&b, &(const struct query_item){.column = &m->columns[i], .name = m->columns[i].name});
	for (size_t i = 0; i < n_plain; i++)
		add_item(&b, &items[i]);
	for (size_t i = 0; i < q->n_extra; i++)
		add_item(&b, &q->extra[i]);
	for (size_t i = 0; i < q->n_aggregates; i++) {
		ret->names[b.n] = q->aggregates[i].alias;
		b.decode[b.n++] = query_aggregate_column(&q->aggregates[i]);
	}
}

static void put_model_columns(struct sql *s, const struct model *m)
{
	if (s->plan != NULL)
		return;
	for (size_t i = 0; i < m->n_columns; i++) {
		if (i > 0)
			sql_put(s, ", ");
		sql_column(s, m->columns[i].name);
	}
}

static void put_select_list(struct sql *s, const struct query *q)
{
	const struct query_item *items;
	size_t n;

	plain_columns(q, &items, &n);
	if (n + q->n_aggregates == 0)
		put_model_columns(s, q->model);
	sql_items(s, items, n, true, q->distinct || q->n_group_by != 0);
	sql_items(s, q->extra, q->n_extra, false, false);
	for (size_t i = 0; i < q->n_aggregates; i++) {
		if (n + i > 0)
			sql_put(s, ", ");
		sql_aggregate(s, &q->aggregates[i]);
		sql_put(s, " AS ");
		sql_ident(s, q->aggregates[i].alias);
	}
}

/* ---- what is quick ---- */

/* One value, or the two forms that SQLite may have of it. */
static bool is_one_value(const struct query_node *node)
{
	return node->op == OP_EQ || (node->op == OP_IN && node->column != NULL && node->column->logical == LT_UUID &&
				     node->n_values == 2 && node->values[0].kind != node->values[1].kind);
}

/* Is there a root that says column = value? */
static bool fixed(const struct query *q, const struct column *c)
{
	for (size_t i = 0; i < q->n_where; i++) {
		const struct query_node *node = q->where[i];

		if (node->kind == NODE_LEAF && is_one_value(node) && node->column == c && node->operand == NULL)
			return true;
	}
	return false;
}

static bool names_column(const struct column *c, const struct schema_index *index)
{
	return index->n_columns > 0 && str_eq(index->columns[0], c->name);
}

/* Does an index begin with the column? */
static bool indexed(const struct model *m, const struct column *c)
{
	if (c->unique || c->index_flag || (m->n_pk > 0 && m->pk[0] == c))
		return true;
	for (size_t i = 0; i < m->n_indexes; i++)
		if (names_column(c, &m->indexes[i]))
			return true;
	for (size_t i = 0; i < m->n_uniques; i++)
		if (names_column(c, &m->uniques[i]))
			return true;
	return false;
}

static bool by_unique_key(const struct query *q)
{
	const struct model *m = q->model;
	size_t n = 0;

	while (n < m->n_pk && fixed(q, m->pk[n]))
		n++;
	if (m->n_pk > 0 && n == m->n_pk)
		return true;
	for (size_t i = 0; i < m->n_columns; i++)
		if (m->columns[i].unique && fixed(q, &m->columns[i]))
			return true;
	return false;
}

/* Does an index lead to these rows: equality on one, or a range of the one that they are ordered by? */
static bool over_index(const struct query *q, const struct query_node *node)
{
	if (node->kind != NODE_LEAF || node->column == NULL || node->operand != NULL ||
	    !indexed(q->model, node->column))
		return false;
	if (q->n_order == 0)
		return is_one_value(node);
	return node->column == q->order[0].column && (is_one_value(node) || (node->op >= OP_LT && node->op <= OP_GE));
}

/* Does the answer hold what is computed, from however many rows? */
static bool computes(const struct query *q)
{
	for (size_t i = 0; i < q->n_select; i++)
		if (q->select[i].expr != NULL)
			return true;
	for (size_t i = 0; i < q->n_extra; i++)
		if (q->extra[i].expr != NULL && (q->extra[i].expr->kind != EXPR_COLUMN || q->extra[i].expr->n_hops > 0))
			return true;
	return false;
}

static bool is_quick(const struct query *q)
{
	if (q->n_aggregates != 0 || q->n_group_by != 0 || q->distinct || q->lock != QUERY_LOCK_NONE || computes(q))
		return false;
	if (by_unique_key(q))
		return true;
	if (!q->has_limit || q->limit > QUICK_LIMIT || q->has_offset || q->m2m != NULL)
		return false;
	if (q->n_order > 1 ||
	    (q->n_order == 1 && (q->order[0].column == NULL || !indexed(q->model, q->order[0].column))))
		return false;
	for (size_t i = 0; i < q->n_where; i++)
		if (!over_index(q, q->where[i]))
			return false;
	return true;
}

/* Few rows, of however many that are looked at. */
static bool is_small(const struct query *q)
{
	return q->has_limit && q->limit <= QUICK_LIMIT && q->lock == QUERY_LOCK_NONE;
}

/* ---- reads ---- */

/* Everything between the select list and ORDER BY. */
static void put_body(struct sql *s, const struct query *q)
{
	sql_from(s, q);
	sql_where(s, q);
	sql_group(s, q);
}

static void put_lock(struct sql *s, const struct query *q)
{
	if (q->lock == QUERY_LOCK_NONE || q->dialect->id != DIALECT_POSTGRES)
		return; /* SQLite has one writer at a time and nothing finer */
	sql_put(s, q->lock == QUERY_LOCK_UPDATE ? " FOR UPDATE" : " FOR SHARE");
	if (q->m2m != NULL) {
		sql_put(s, " OF ");
		sql_ident(s, q->model->table);
	}
}

static bool check_read(const struct query *q, struct err *err)
{
	return q->set == NULL || err_set_at(err, ERR_INVALID_QUERY, q->set_pointer, "\"set\" belongs to an update");
}

bool query_lower_select(struct arena *a, const struct query *q, struct stmt *ret, struct result_shape *ret_shape,
			struct err *err)
{
	struct query own;
	struct plan_key key;
	struct sql s;
	bool quick;

	if (!query_check(q, "", err) || !check_read(q, err))
		return false;
	if (q->keys != NULL) {
		own = *q;
		query_keyset(a, &own);
		q = &own;
	}
	plan_key_query(&key, PLAN_SELECT, q, QUICK_LIMIT);
	sql_begin(&s, a, q->dialect, &key);
	quick = s.plan != NULL ? s.plan->stmt.quick : is_quick(q);
	sql_qualify(&s, q);
	sql_put(&s, q->distinct ? "SELECT DISTINCT " : "SELECT ");
	put_select_list(&s, q);
	put_body(&s, q);
	sql_order(&s, q);
	sql_limit(&s, q, true);
	put_lock(&s, q);
	/* a lock is taken by whoever may write: SQLite's one writer at a time included */
	if (!sql_finish(&s, q->lock == QUERY_LOCK_NONE ? STMT_READ : STMT_WRITE, ret, err))
		return false;
	if (s.plan != NULL) {
		*ret_shape = s.plan->shape;
		return true;
	}
	ret->quick = quick;
	ret->small = is_small(q);
	query_shape(a, q, ret_shape);
	ret->n_columns = ret_shape->n;
	plan_keep(&key, ret, ret_shape);
	return true;
}

/* Of a statement whose answer is one number. */
static bool finish_scalar(struct sql *s, const struct plan_key *key, bool quick, struct stmt *ret, struct err *err)
{
	if (!sql_finish(s, STMT_READ, ret, err))
		return false;
	if (s->plan != NULL)
		return true;
	ret->quick = quick;
	ret->small = true;
	ret->n_columns = 1;
	plan_keep(key, ret, NULL);
	return true;
}

static bool check_counted(const struct query *q, struct err *err)
{
	if (!check_read(q, err))
		return false;
	return q->keys == NULL || err_set_at(err, ERR_INVALID_QUERY, q->before ? "/before" : "/after",
					     "a page has no place where records are counted");
}

bool query_lower_count(struct arena *a, const struct query *q, struct stmt *ret, struct err *err)
{
	bool nested = q->distinct || q->n_aggregates != 0 || q->n_group_by != 0;
	struct plan_key key;
	struct sql s;

	if (!query_check(q, "", err) || !check_counted(q, err))
		return false;
	plan_key_query(&key, PLAN_COUNT, q, 0);
	sql_begin(&s, a, q->dialect, &key);
	sql_qualify(&s, q);
	sql_put(&s, "SELECT COUNT(*)");
	if (nested) {
		sql_put(&s, q->distinct ? " FROM (SELECT DISTINCT " : " FROM (SELECT ");
		put_select_list(&s, q);
	}
	put_body(&s, q);
	if (nested)
		sql_put(&s, ") AS \"counted\"");
	return finish_scalar(&s, &key, s.plan == NULL && !nested && by_unique_key(q), ret, err);
}

bool query_lower_exists(struct arena *a, const struct query *q, struct stmt *ret, struct err *err)
{
	struct plan_key key;
	struct sql s;

	if (!query_check(q, "", err) || !check_counted(q, err))
		return false;
	plan_key_query(&key, PLAN_EXISTS, q, 0);
	sql_begin(&s, a, q->dialect, &key);
	sql_qualify(&s, q);
	sql_put(&s, "SELECT EXISTS (SELECT ");
	if (q->n_aggregates != 0)
		put_select_list(&s, q);
	else
		sql_put(&s, "1");
	put_body(&s, q);
	sql_put(&s, ") AS \"found\"");
	return finish_scalar(&s, &key, s.plan == NULL && by_unique_key(q), ret, err);
}

/* ---- writes ---- */

static bool refuse(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID_QUERY, "an update or delete cannot have %s", what);
}

/* Nothing that a query says is ignored: what means nothing here is refused. */
static bool check_write(const struct query *q, struct err *err)
{
	if (q->model->read_only)
		return query_read_only(err, q->model);
	if (q->n_aggregates != 0 || q->n_group_by != 0 || q->n_having != 0)
		return refuse(err, "aggregates or groups");
	if (q->n_select != 0)
		return refuse(err, "\"select\"");
	if (q->distinct)
		return refuse(err, "\"distinct\"");
	if (q->n_includes != 0)
		return refuse(err, "\"include\"");
	if (q->cursor.p != NULL)
		return refuse(err, "\"cursor\"");
	if (q->keys != NULL)
		return refuse(err, q->before ? "\"before\"" : "\"after\"");
	if (q->set != NULL)
		return err_set_at(err, ERR_INVALID_QUERY, q->set_pointer, "\"set\" belongs to an update");
	if (q->lock != QUERY_LOCK_NONE)
		return refuse(err, "\"lock\"");
	if ((q->has_limit || q->has_offset || q->m2m != NULL) && q->model->n_pk == 0)
		return refuse(err, "limit, offset or m2m when the model has no primary key");
	return true;
}

/* WHERE of an update or delete. What these statements cannot say themselves goes into a subquery by primary key; an
 * order alone changes nothing. */
static void put_write_where(struct sql *s, const struct query *q)
{
	if (!q->has_limit && !q->has_offset && q->m2m == NULL) {
		sql_where(s, q);
		return;
	}
	sql_put(s, q->model->n_pk > 1 ? " WHERE (" : " WHERE ");
	sql_columns(s, q->model->pk, q->model->n_pk);
	sql_put(s, q->model->n_pk > 1 ? ") IN (SELECT " : " IN (SELECT ");
	sql_qualify(s, q);
	sql_columns(s, q->model->pk, q->model->n_pk);
	put_body(s, q);
	sql_order(s, q);
	sql_limit(s, q, false);
	s->qualifier = STR_NONE;
	sql_put(s, ")");
}

/* The key of an update (n_set > 0) or a delete. */
static void write_key(struct plan_key *k, const struct query *q, const struct query_set *set, size_t n_set,
		      bool returning)
{
	plan_key_query(k, n_set > 0 ? PLAN_UPDATE : PLAN_DELETE, q, 0);
	plan_key_number(k, returning);
	plan_key_number(k, n_set);
	for (size_t i = 0; i < n_set; i++) {
		plan_key_column(k, set[i].column);
		plan_key_number(k, set[i].fill);
		plan_key_expr(k, set[i].expr);
		plan_key_number(k, set[i].value.kind == VALUE_NULL);
		k->too_long = k->too_long || set[i].default_sql.p != NULL;
	}
}

static bool finish_write(struct sql *s, const struct query *q, const struct plan_key *key, bool returning,
			 struct stmt *ret, struct result_shape *ret_shape, struct err *err)
{
	bool counts = false;

	if (returning) {
		sql_put(s, " RETURNING ");
		put_model_columns(s, q->model);
	} else {
		counts = sql_count_rows(s, q->model);
	}
	if (!sql_finish(s, STMT_WRITE, ret, err))
		return false;
	if (s->plan != NULL && returning)
		*ret_shape = s->plan->shape;
	else if (returning)
		full_shape(s->arena, q->model, ret_shape);
	if (s->plan != NULL)
		return true;
	ret->quick = by_unique_key(q);
	ret->counts_rows = counts;
	ret->n_columns = returning ? ret_shape->n : counts;
	plan_keep(key, ret, returning ? ret_shape : NULL);
	return true;
}

bool query_lower_update(struct arena *a, const struct query *q, const struct query_set *set, size_t n_set,
			bool returning, struct stmt *ret, struct result_shape *ret_shape, struct err *err)
{
	struct plan_key key;
	struct sql s;

	if (!check_write(q, err))
		return false;
	if (n_set == 0)
		return err_set(err, ERR_INVALID_QUERY, "the update sets no column");
	write_key(&key, q, set, n_set, returning);
	sql_begin(&s, a, q->dialect, &key);
	sql_on(&s, q->model);
	sql_put(&s, "UPDATE ");
	sql_table(&s, q->model);
	sql_put(&s, " SET ");
	for (size_t i = 0; i < n_set; i++) {
		if (i > 0)
			sql_put(&s, ", ");
		sql_set(&s, &set[i]);
	}
	put_write_where(&s, q);
	return finish_write(&s, q, &key, returning, ret, ret_shape, err);
}

bool query_lower_delete(struct arena *a, const struct query *q, bool returning, struct stmt *ret,
			struct result_shape *ret_shape, struct err *err)
{
	struct plan_key key;
	struct sql s;

	if (!check_write(q, err))
		return false;
	write_key(&key, q, NULL, 0, returning);
	sql_begin(&s, a, q->dialect, &key);
	sql_on(&s, q->model);
	sql_put(&s, "DELETE");
	sql_put(&s, " FROM ");
	sql_table(&s, q->model);
	put_write_where(&s, q);
	return finish_write(&s, q, &key, returning, ret, ret_shape, err);
}
