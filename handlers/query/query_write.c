/* Update and delete by query in an open unit: see query_write.h. */
#include "handlers/query/query_write.h"

#include "handlers/unit/mapped.h"
#include "handlers/unit/triggers.h"

#include "service/base/banned.h"

/* Rows of RETURNING on their way into an answer. */
struct returned {
	struct context *c;
	struct strbuf *out;
	struct result_shape shape;
	struct value_format fmt;
	struct arena scratch;
	int64_t n_rows;
	bool triggers;       /* of the table: rows are read again before they are written */
	struct value **rows; /* then; in the request's arena */
	size_t size;
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

static void write_row(struct returned *r, const struct value *row)
{
	if (r->n_rows++ > 0)
		strbuf_putc(r->out, ',');
	out_shaped(r->out, &r->shape, row, &r->fmt);
}

static void keep_row(struct returned *r, const struct value *row, size_t n)
{
	struct arena *a = &r->c->req->arena;
	struct value *copy = arena_array(a, n, sizeof(*copy));
	if ((size_t)r->n_rows == r->size) {
		size_t size = r->size > 0 ? 2 * r->size : 16;
		struct value **rows = arena_array(a, size, sizeof(struct value *));
		for (size_t i = 0; i < r->size; i++)
			rows[i] = r->rows[i];
		r->rows = rows;
		r->size = size;
	}
	for (size_t i = 0; i < n; i++)
		copy[i] = value_dup(a, row[i]);
	r->rows[r->n_rows++] = copy;
}

/* What triggers have left of the changed rows. */
static bool settle_rows(struct returned *r, const struct model *m, struct err *err)
{
	size_t n = (size_t)r->n_rows;
	r->n_rows = 0;
	for (size_t i = 0; i < n; i++) {
		if (!context_settle(r->c, m, true, &r->rows[i], err))
			return false;
		if (r->rows[i] != NULL)
			write_row(r, r->rows[i]);
	}
	return true;
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
	if (r->triggers)
		keep_row(r, row, n < r->shape.n ? n : r->shape.n);
	else
		write_row(r, row);
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
	bool triggers = false;
	if ((returning || c->imap != NULL) && !context_triggers(c, w->q->model, &triggers, err))
		return false;
	r.triggers = triggers && w->n_set > 0; /* a deleted row is answered as it was */
	if (w->n_set > 0 ? !query_lower_update(a, w->q, w->set, w->n_set, returning, &stmt, &r.shape, err)
			 : !query_lower_delete(a, w->q, returning, &stmt, &r.shape, err))
		return false;
	enum mapped_what what = w->n_set > 0 ? MAPPED_ROWS : MAPPED_DELETED;
	for (size_t i = 0; i < w->n_set && what == MAPPED_ROWS; i++)
		what = mapped_column(c, w->q->model, w->set[i].column);
	mapped_write_all(c, w->q->model, what);
	arena_init(&r.scratch);
	context_unleash(c, triggers);
	bool ok = context_run(c, &stmt, returning ? &sink : NULL, &result, err);
	if (ok)
		context_unleashed(c, triggers);
	arena_done(&r.scratch);
	if (!ok || (r.triggers && !settle_rows(&r, w->q->model, err)))
		return false;
	*ret_affected = returning ? result.rows : result.affected;
	return affected_within(*ret_affected, w->max_affected, err);
}
