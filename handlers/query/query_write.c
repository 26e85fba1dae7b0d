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
	bool ahead;          /* `rows` are those from before the write */
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

static bool same_row(const struct model *m, const struct value *x, const struct value *y)
{
	for (size_t i = 0; i < m->n_columns; i++)
		if (!value_equal(x[i], y[i]))
			return false;
	return true;
}

/* What triggers have left of the changed rows. n_changed: how many there are; of rows from before the write that are
 * more than that, those that have changed. Those that were deleted are answered as they were. */
static bool settle_rows(struct returned *r, const struct model *m, bool deleted, int64_t n_changed, struct err *err)
{
	size_t n = (size_t)r->n_rows;
	const bool all = !r->ahead || n_changed == r->n_rows;
	r->n_rows = 0;
	for (size_t i = 0; i < n; i++) {
		struct value *now = r->rows[i];
		if (!deleted && !context_settle(r->c, m, true, NULL, &now, err))
			return false;
		if (now != NULL && (all || deleted || !same_row(m, r->rows[i], now)))
			write_row(r, now);
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

/* SQLite: RETURNING shows no column of a view that the update does not set, and there is none on virtual tables, so the
 * rows are found before the write. */
static bool looks_ahead(const struct context *c, const struct query_write *w, bool *ret, struct err *err)
{
	const struct model *m = w->q->model;
	const bool all = m->kind == MODEL_VIRTUAL;
	*ret = c->route.conn->dialect->id == DIALECT_SQLITE && (all || (m->kind == MODEL_VIEW && w->n_set > 0));
	if (*ret && w->n_set > 0 && m->n_pk == 0)
		return err_set(err, ERR_INVALID_QUERY, "SQLite does not tell what became of the rows of a %s: %s",
			       all ? "virtual table" : "view",
			       all ? "ask without Prefer: return=representation"
				   : "say in its model which columns are its key, or ask without Prefer: "
				     "return=representation");
	for (size_t i = 0; *ret && i < w->n_set; i++) {
		for (size_t k = 0; k < m->n_pk; k++)
			if (w->set[i].column == m->pk[k])
				return err_set(err, ERR_INVALID_QUERY,
					       "SQLite does not tell what became of a view's rows, and this changes "
					       "their keys: ask without Prefer: return=representation");
	}
	return true;
}

static bool look_ahead(struct returned *r, const struct query *q, struct err *err)
{
	struct row_sink sink = {.row = returned_row, .arg = r};
	struct stmt stmt;
	return query_lower_select(&r->c->req->arena, q, &stmt, &r->shape, err) &&
	       context_run(r->c, &stmt, &sink, NULL, err);
}

static bool lower(struct context *c, const struct query_write *w, bool returning, struct stmt *ret,
		  struct result_shape *ret_shape, struct err *err)
{
	struct arena *a = &c->req->arena;
	return w->n_set > 0 ? query_lower_update(a, w->q, w->set, w->n_set, returning, ret, ret_shape, err)
			    : query_lower_delete(a, w->q, returning, ret, ret_shape, err);
}

bool write_query_stmt(struct context *c, const struct query_write *w, struct stmt *ret, struct err *err)
{
	struct result_shape none;
	return lower(c, w, false, ret, &none, err);
}

bool write_query(struct context *c, struct query_write *w, struct strbuf *rows, int64_t *ret_affected, struct err *err)
{
	struct stmt stmt;
	struct exec_result result;
	struct returned r = {.c = c, .out = rows, .fmt = w->fmt};
	struct row_sink sink = {.row = returned_row, .arg = &r};
	bool returning = rows != NULL;
	bool triggers = false;
	if ((returning || c->imap != NULL) && !context_triggers(c, w->q->model, &triggers, err))
		return false;
	if (returning && !looks_ahead(c, w, &r.ahead, err))
		return false;
	r.triggers = r.ahead || (triggers && w->n_set > 0); /* a deleted row is answered as it was */
	arena_init(&r.scratch);
	if (r.ahead && !look_ahead(&r, w->q, err)) {
		arena_done(&r.scratch);
		return false;
	}
	returning = returning && !r.ahead;
	if (!lower(c, w, returning, &stmt, &r.shape, err))
		return false;
	enum mapped_what what = w->n_set > 0 ? MAPPED_ROWS : MAPPED_DELETED;
	for (size_t i = 0; i < w->n_set && what == MAPPED_ROWS; i++)
		what = mapped_column(c, w->q->model, w->set[i].column);
	mapped_write_all(c, w->q->model, what);
	context_unleash(c, triggers);
	bool ok = context_run(c, &stmt, returning ? &sink : NULL, &result, err);
	if (ok)
		context_unleashed(c, triggers);
	arena_done(&r.scratch);
	if (!ok)
		return false;
	*ret_affected = returning ? result.rows : result.affected;
	if (r.triggers && !settle_rows(&r, w->q->model, w->n_set == 0, *ret_affected, err))
		return false;
	return affected_within(*ret_affected, w->max_affected, err);
}
