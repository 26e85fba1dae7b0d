/* Update and delete by query in an open unit: see query_write.h. */
#include "handlers/query/query_write.h"

#include "handlers/unit/mapped.h"

#include "service/base/banned.h"

/* Rows of RETURNING on their way into an answer. */
struct returned {
	struct context *c;
	struct strbuf *out;
	struct result_shape shape;
	struct value_format fmt;
	struct arena scratch;
	int64_t n_rows;
};

/* An update or delete of everything must be meant. */
bool query_filtered(const struct request *req, const struct query *q, const char *pointer, struct err *err)
{
	bool all;
	if (!request_arg_bool(req, "all", &all, err))
		return false;
	if (all || q->n_where > 0 || q->m2m != NULL)
		return true;
	return err_set_at(err, ERR_INVALID_QUERY, pointer,
			  "without a filter this changes every row; say so with ?all=true");
}

/* Writes returned rows into the body; nothing may leave before the unit is committed. */
static bool returned_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct returned *r = arg;
	struct arena *a = &r->scratch;
	(void)ret_stop;
	(void)err;
	struct value *row = arena_array(a, n + 1, sizeof(*row));
	for (size_t i = 0; i < n && i < r->shape.n; i++)
		row[i] = codec_decode(a, r->c->route.conn->dialect, &r->shape.decode[i], values[i]);
	if (r->n_rows++ > 0)
		strbuf_putc(r->out, ',');
	out_shaped(r->out, &r->shape, row, &r->fmt);
	arena_done(a);
	return true;
}

bool query_write_set(struct context *c, struct query_write *w, const json_t *set, struct err *err)
{
	const json_t *own = w->q->set;
	if (set == NULL && own == NULL)
		return err_set_at(err, ERR_INVALID_REQUEST, "/set", "missing member");
	if (set != NULL && own != NULL)
		return err_set_at(err, ERR_INVALID_QUERY, w->q->set_pointer,
				  "\"set\" stands in the payload or beside it, not in both");
	w->q->set = NULL;
	return query_set_from_json(&c->req->arena, w->q->model, c->route.conn->dialect, set != NULL ? set : own,
				   set != NULL ? "/set" : w->q->set_pointer, &w->set, &w->n_set, err);
}

bool write_query(struct context *c, struct query_write *w, struct strbuf *rows, int64_t *ret_affected, struct err *err)
{
	struct arena *a = &c->req->arena;
	struct stmt stmt;
	struct exec_result result;
	struct returned r = {.c = c, .out = rows, .fmt = w->fmt};
	struct row_sink sink = {.row = returned_row, .arg = &r};
	bool returning = rows != NULL;
	if (w->n_set > 0 ? !query_lower_update(a, w->q, w->set, w->n_set, returning, &stmt, &r.shape, err)
			 : !query_lower_delete(a, w->q, returning, &stmt, &r.shape, err))
		return false;
	enum mapped_what what = w->n_set > 0 ? MAPPED_ROWS : MAPPED_DELETED;
	for (size_t i = 0; i < w->n_set && what == MAPPED_ROWS; i++)
		what = mapped_column(c, w->q->model, w->set[i].column);
	mapped_write_all(c, w->q->model, what);
	arena_init(&r.scratch);
	bool ok = context_run(c, &stmt, returning ? &sink : NULL, &result, err);
	arena_done(&r.scratch);
	if (!ok)
		return false;
	*ret_affected = returning ? result.rows : result.affected;
	return affected_within(*ret_affected, w->max_affected, err);
}
