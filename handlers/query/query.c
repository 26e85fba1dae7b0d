/* Reads by QueryIR: rows, first, count, exists. */
#include "handlers/handlers.h"
#include "handlers/query/query_request.h"
#include "handlers/answer/rows.h"
#include "handlers/answer/select.h"

#include "service/base/banned.h"

bool query_open(struct query_request *q, struct request *req, struct response *res, const char *const *args,
		struct err *err)
{
	struct context_spec spec = {.args = args};
	json_t *doc;
	if (!request_json(req, false, &doc, err))
		return false;
	if (!json_is_object(doc))
		return err_set_at(err, ERR_INVALID_REQUEST, "", "expected a QueryIR object, not %s",
				  json_type_name(doc));
	if (!using_member(doc, &spec.using, err) || !context_open(&q->c, req, res, &spec, err))
		return false;
	if (query_from_json(&req->arena, q->c.schema, q->c.route.conn->dialect, doc, "", &q->q, err))
		return true;
	return context_close(&q->c, false, err);
}

bool handle_query(struct request *req, struct response *res, struct err *err)
{
	struct query_request q;
	if (!query_open(&q, req, res, context_no_args, err))
		return false;
	return context_close(&q.c, select_answer(&q.c, q.q, err), err);
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

const struct value *context_mapped(struct context *c, const struct model *m, const struct value *row)
{
	if (c->imap == NULL || m->n_pk == 0)
		return row;
	struct str key = record_key(&c->req->arena, m, row);
	if (!c->req->no_cache)
		return imap_reconcile(c->imap, &c->req->arena, m, key, row);
	imap_put(c->imap, m, key, row);
	return row;
}

/* Does deleting rows of `to` change rows of m? */
static bool follows(const struct model *m, const struct model *to)
{
	for (size_t i = 0; i < m->n_fks; i++) {
		struct str action = m->fks[i].on_delete;
		bool refuses = str_ieq_z(action, "RESTRICT") || str_ieq_z(action, "NO ACTION");
		if (!refuses && str_eq(m->fks[i].to_table, to->table))
			return true;
	}
	return false;
}

void context_forget(struct context *c, const struct model *m, bool deleted)
{
	if (c->imap == NULL || c->undo)
		return;
	imap_evict_model(c->imap, m->name);
	if (!deleted)
		return;
	const struct schema *s = c->schema;
	const struct model **gone = arena_array(&c->req->arena, s->n_models + 1, sizeof(const struct model *));
	size_t n = 0;
	gone[n++] = m;
	for (size_t from = 0; from < n; from++) {
		for (size_t i = 0; i < s->n_models; i++) {
			const struct model *other = &s->models[i];
			size_t k = 0;
			while (k < n && gone[k] != other)
				k++;
			if (k < n || !follows(other, gone[from]))
				continue;
			imap_evict_model(c->imap, other->name);
			gone[n++] = other;
		}
	}
}

bool handle_query_first(struct request *req, struct response *res, struct err *err)
{
	struct query_request q;
	if (!query_open(&q, req, res, context_no_args, err))
		return false;
	bool ok = true;
	if (q.q->cursor.p != NULL)
		ok = err_set_at(err, ERR_INVALID_QUERY, "/cursor", "first takes no cursor: there is one first row");
	return context_close(&q.c, ok && first_answer(&q.c, q.q, err), err);
}

bool context_scalar(struct context *c, const struct stmt *stmt, int64_t *ret, struct err *err)
{
	struct row_keep keep = {.arena = &c->req->arena, .dialect = c->route.conn->dialect};
	struct row_sink sink = row_keep_sink(&keep);
	if (!context_run(c, stmt, &sink, NULL, err))
		return false;
	if (keep.row == NULL || keep.n == 0)
		return err_set(err, ERR_INTERNAL_ERROR, "the database answered no row where one was due");
	*ret = keep.row[0].kind == VALUE_BOOL ? (int64_t)keep.row[0].u.b
					      : (keep.row[0].kind == VALUE_INT ? keep.row[0].u.i : 0);
	return true;
}

bool handle_query_count(struct request *req, struct response *res, struct err *err)
{
	struct query_request q;
	struct stmt stmt;
	int64_t n = 0;
	if (!query_open(&q, req, res, context_no_args, err))
		return false;
	context_read(&q.c);
	bool ok = query_lower_count(&req->arena, q.q, &stmt, err) && context_scalar(&q.c, &stmt, &n, err);
	if (!context_close(&q.c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_int(b, "count", n);
	strbuf_putc(b, '}');
	return true;
}

bool handle_query_exists(struct request *req, struct response *res, struct err *err)
{
	struct query_request q;
	struct stmt stmt;
	int64_t n = 0;
	if (!query_open(&q, req, res, context_no_args, err))
		return false;
	context_read(&q.c);
	bool ok = query_lower_exists(&req->arena, q.q, &stmt, err) && context_scalar(&q.c, &stmt, &n, err);
	if (!context_close(&q.c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_bool(b, "exists", n != 0);
	strbuf_putc(b, '}');
	return true;
}
