/* Small reads in an open unit: see reads.h. */
#include "handlers/unit/reads.h"

#include "service/base/banned.h"

static bool keep_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct row_keep *k = arg;
	(void)err;
	(void)ret_stop;
	if (k->row != NULL)
		return true;
	k->row = arena_array(k->arena, n + 1, sizeof(*k->row));
	k->n = n;
	for (size_t i = 0; i < n; i++) {
		struct value v = values[i];
		if (k->shape != NULL && i < k->shape->n)
			v = codec_decode(k->arena, k->dialect, &k->shape->decode[i], v);
		k->row[i] = value_dup(k->arena, v);
	}
	return true;
}

struct row_sink row_keep_sink(struct row_keep *k)
{
	return (struct row_sink){.row = keep_row, .arg = k};
}

bool context_first(struct context *c, const struct query *query, struct result_shape *shape, struct value **ret,
		   struct err *err)
{
	struct stmt stmt;
	struct row_keep keep = {.arena = &c->req->arena, .dialect = c->route.conn->dialect, .shape = shape};
	struct row_sink sink = row_keep_sink(&keep);
	if (!query_lower_select(keep.arena, query, &stmt, shape, err) || !context_run(c, &stmt, &sink, NULL, err))
		return false;
	*ret = keep.row;
	return true;
}

bool context_scalar(struct context *c, const struct stmt *stmt, int64_t *ret, struct err *err)
{
	struct row_keep keep = {.arena = &c->req->arena, .dialect = c->route.conn->dialect};
	struct row_sink sink = row_keep_sink(&keep);
	if (!context_run(c, stmt, &sink, NULL, err))
		return false;
	if (keep.row == NULL || keep.n == 0)
		return err_set(err, ERR_INTERNAL_ERROR, "the database answered no row where one was due");
	if (keep.row[0].kind != VALUE_BOOL && keep.row[0].kind != VALUE_INT)
		return err_set(err, ERR_INTERNAL_ERROR, "the database answered no number where one was due");
	*ret = keep.row[0].kind == VALUE_BOOL ? (int64_t)keep.row[0].u.b : keep.row[0].u.i;
	return true;
}

bool context_record(struct context *c, const struct model *m, const struct value *key, enum query_lock lock,
		    struct value **ret, struct err *err)
{
	struct query *q = query_by_pk(&c->req->arena, c->schema, c->route.conn->dialect, m, key);
	struct result_shape shape;
	q->lock = lock;
	return context_first(c, q, &shape, ret, err);
}
