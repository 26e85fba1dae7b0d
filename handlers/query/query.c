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

/* One number about what the query matches: a count, or whether there is any. */
typedef bool lower_fn(struct arena *a, const struct query *q, struct stmt *ret, struct err *err);
static bool answer_scalar(struct request *req, struct response *res, lower_fn *lower, const char *name, struct err *err)
{
	struct query_request q;
	struct stmt stmt;
	int64_t n = 0;
	if (!query_open(&q, req, res, context_no_args, err))
		return false;
	context_read(&q.c);
	bool ok = lower(&req->arena, q.q, &stmt, err) && context_scalar(&q.c, &stmt, &n, err);
	if (!context_close(&q.c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	if (lower == query_lower_exists)
		out_bool(b, name, n != 0);
	else
		out_int(b, name, n);
	strbuf_putc(b, '}');
	return true;
}

bool handle_query_count(struct request *req, struct response *res, struct err *err)
{
	return answer_scalar(req, res, query_lower_count, "count", err);
}

bool handle_query_exists(struct request *req, struct response *res, struct err *err)
{
	return answer_scalar(req, res, query_lower_exists, "exists", err);
}
