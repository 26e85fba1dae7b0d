/* Endpoints of writes by QueryIR, and of what the database makes of a query. */
#include "handlers/handlers.h"
#include "handlers/query/query_request.h"
#include "handlers/query/query_write.h"
#include "handlers/unit/triggers.h"

#include "service/base/banned.h"

static const char *const write_args[] = {"all", NULL};

/* Runs and answers. The unit is atomic when a guard may have to undo it. */
static bool run_write(struct context *c, struct query_write *w, struct err *err)
{
	int64_t affected = 0;
	bool representation = prefers(c->res, PREFER_RETURN_REPRESENTATION);
	w->max_affected = affected_bound(c->res);
	if (representation)
		w->fmt = context_format(c->res);
	struct strbuf *b = response_json(c->res, 200);
	strbuf_puts(b, representation ? "{\"rows\":[" : "{");
	bool triggers = false;
	if (representation && !context_triggers(c, w->q->model, &triggers, err))
		return false;
	/* rows of a virtual table are found by a statement of their own: they are to be those that are written */
	const bool found_first = representation && w->q->model->kind == MODEL_VIRTUAL;
	context_write(c, w->max_affected >= 0 || triggers || found_first);
	if (!write_query(c, w, representation ? b : NULL, &affected, err) || !context_commit(c, err))
		return false;
	if (representation)
		strbuf_putc(b, ']');
	out_int(b, "rows_affected", affected);
	strbuf_putc(b, '}');
	return true;
}

/* Body {query, set, using?}: the members; set NULL for a delete. */
bool handle_query_update(struct request *req, struct response *res, struct err *err)
{
	struct context c;
	struct context_spec spec = {.args = write_args};
	struct query_write w = {0};
	struct json_reader r;
	json_t *doc;
	const json_t *query = NULL;
	const json_t *set = NULL;
	if (!request_json(req, false, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_object(&r, "query", &query);
	json_reader_require(&r, "query");
	json_reader_object(&r, "set", &set);
	json_reader_str(&r, "using", &spec.using);
	if (!json_reader_done(&r) || (spec.using.p == NULL && !using_member(query, &spec.using, err)) ||
	    !context_open(&c, req, res, &spec, err))
		return false;
	const struct dialect *d = c.route.conn->dialect;
	bool ok = query_from_json(&req->arena, c.schema, d, query, "/query", &w.q, err) &&
		  query_write_set(&c, &w, set, err) && query_filtered(req, w.q, "/query/where", err) &&
		  run_write(&c, &w, err);
	return context_close(&c, ok, err);
}

bool handle_query_delete(struct request *req, struct response *res, struct err *err)
{
	struct query_request q;
	if (!query_open(&q, req, res, write_args, err))
		return false;
	struct query_write w = {.q = q.q};
	bool ok = query_filtered(req, q.q, "/where", err) && run_write(&q.c, &w, err);
	return context_close(&q.c, ok, err);
}

/* ---- explain ---- */

struct plan {
	struct strbuf *out;
	size_t n;
	bool sqlite;
};

static bool no_plan(struct err *err)
{
	return err_set(err, ERR_INTERNAL_ERROR, "the database answered no plan where one was due");
}

/* SQLite: one line of the plan a row (its last column); PostgreSQL: one row with the plan as JSON. */
static bool plan_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct plan *p = arg;
	const struct value_format plain = {0};
	(void)ret_stop;
	if (!p->sqlite && (p->n > 0 || n != 1 || values[0].kind != VALUE_JSON))
		return no_plan(err);
	if (n == 0)
		return true;
	if (p->n++ > 0)
		strbuf_putc(p->out, ',');
	value_write_json(p->out, values[n - 1], &plain);
	return true;
}

static bool explain(struct query_request *q, struct err *err)
{
	struct context *c = &q->c;
	struct arena *a = &c->req->arena;
	struct stmt stmt;
	struct result_shape shape;
	bool sqlite = c->route.conn->dialect->id == DIALECT_SQLITE;
	struct value_format plain = {.tag_bytes = true};
	if (!query_lower_select(a, q->q, &stmt, &shape, err))
		return false;
	struct strbuf *b = response_json(c->res, 200);
	strbuf_putc(b, '{');
	out_str(b, "sql", stmt.sql);
	out_name(b, "parameters");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < stmt.n_params; i++) {
		if (i > 0)
			strbuf_putc(b, ',');
		value_write_json(b, stmt.params[i], &plain);
	}
	strbuf_putc(b, ']');
	out_name(b, "plan");
	struct plan p = {.out = b, .sqlite = sqlite};
	struct row_sink sink = {.row = plan_row, .arg = &p};
	stmt.sql =
		arena_printf(a, "%s %.*s", sqlite ? "EXPLAIN QUERY PLAN" : "EXPLAIN (FORMAT JSON)", STR_FMT(stmt.sql));
	stmt.cache = false;
	stmt.quick = false;
	stmt.access = STMT_READ; /* a lock is planned, not taken */
	stmt.n_columns = sqlite ? 0 : 1;
	if (sqlite)
		strbuf_putc(b, '[');
	context_read(c);
	if (!context_run(c, &stmt, &sink, NULL, err) || (!sqlite && p.n == 0 && !no_plan(err)) ||
	    !context_commit(c, err))
		return false;
	strbuf_puts(b, sqlite ? "]}" : "}");
	return true;
}

bool handle_query_explain(struct request *req, struct response *res, struct err *err)
{
	struct query_request q;
	if (!query_open(&q, req, res, context_no_args, err))
		return false;
	return context_close(&q.c, explain(&q, err), err);
}
