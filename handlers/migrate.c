/* DDL: what create-tables would run, and running it. */
#include "handlers/migrate.h"

#include "handlers/handlers.h"
#include "handlers/render.h"

#include "service/base/banned.h"

struct table_list {
	struct str *names;
	size_t n;
};

static bool table_exists(void *arg, struct str table)
{
	const struct table_list *list = arg;
	for (size_t i = 0; i < list->n; i++) {
		if (str_eq(list->names[i], table))
			return true;
	}
	return false;
}

static bool run_plan(struct exec *x, const struct schema *s, struct arena *a, struct ddl_plan *plan, struct err *err)
{
	struct driver_conn *dc;
	struct table_list have = {0};
	const struct dialect *d = x->route->conn->dialect;
	if (!exec_conn(x, LEASE_WRITE, &dc, err) ||
	    !dc->driver->list_tables(dc, a, x->deadline, &have.names, &have.n, err) ||
	    !ddl_create_all(d, s, table_exists, &have, plan, err))
		return false;
	for (size_t i = 0; i < plan->n_statements; i++) {
		if (!exec_simple(x, plan->statements[i], err))
			return false;
	}
	return true;
}

bool tables_create(const struct route *r, const struct schema *s, int64_t deadline, struct arena *a, struct ddl_plan *plan,
		   struct err *err)
{
	struct exec x = {0};
	struct err ignored;
	ddl_plan_init(plan, a);
	exec_begin(&x, r, deadline, true);
	bool ok = run_plan(&x, s, a, plan, err);
	if (!exec_end(&x, ok, ok ? err : &ignored))
		ok = false;
	if (ok && plan->n_statements > 0) {
		pool_refresh(r->conn->pool);
		session_maps_stale(r->conn);
	}
	return ok;
}

void out_plan(struct strbuf *b, const struct ddl_plan *plan, bool applied)
{
	out_name(b, "statements");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < plan->n_statements; i++) {
		if (i > 0)
			strbuf_putc(b, ',');
		strbuf_json_string(b, plan->statements[i]);
	}
	strbuf_putc(b, ']');
	out_name(b, "warnings");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < plan->n_warnings; i++) {
		const struct ddl_warning *w = &plan->warnings[i];
		strbuf_puts(b, i > 0 ? ",{" : "{");
		out_str(b, "code", w->code);
		out_str(b, "table", w->table);
		if (w->column.p != NULL)
			out_str(b, "column", w->column);
		out_str(b, "detail", w->detail);
		strbuf_putc(b, '}');
	}
	strbuf_putc(b, ']');
	out_bool(b, "applied", applied);
}

bool handle_create_tables(struct request *req, struct response *res, struct err *err)
{
	struct context c;
	struct context_spec spec = {.args = context_no_args};
	struct json_reader r;
	json_t *doc;
	struct ddl_plan plan;
	if (!request_json(req, true, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_str(&r, "using", &spec.using);
	if (!json_reader_done(&r) || !context_open(&c, req, res, &spec, err))
		return false;
	bool ok = tables_create(&c.route, c.schema, c.deadline, &req->arena, &plan, err);
	if (!context_close(&c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_plan(b, &plan, true);
	strbuf_putc(b, '}');
	return true;
}

/* The dialect asked for, or that of the connection the request would run on. */
static bool wanted_dialect(struct request *req, struct response *res, const struct dialect **ret, struct err *err)
{
	struct str name = request_arg(req, "dialect");
	if (name.p != NULL) {
		*ret = dialect_by_name(name);
		if (*ret == NULL)
			return err_set(err, ERR_INVALID_PARAMETERS, "dialect is sqlite or postgres");
		return true;
	}
	struct context c;
	struct context_spec spec = {0};
	if (!context_open(&c, req, res, &spec, err))
		return false;
	*ret = c.route.conn->dialect;
	return context_close(&c, true, err);
}

bool handle_ddl(struct request *req, struct response *res, struct err *err)
{
	static const char *const args[] = {"dialect", NULL};
	const struct dialect *d;
	struct ddl_plan plan;
	if (!request_args_known(req, args, err) || !wanted_dialect(req, res, &d, err))
		return false;
	struct schema *s = schema_registry_get(&request_app(req)->store->models);
	ddl_plan_init(&plan, &req->arena);
	bool ok = ddl_create_all(d, s, NULL, NULL, &plan, err);
	schema_unref(s);
	if (!ok)
		return false;
	res->status = 200;
	res->content_type = "application/sql";
	for (size_t i = 0; i < plan.n_statements; i++) {
		strbuf_put(&res->body, plan.statements[i]);
		strbuf_puts(&res->body, ";\n");
	}
	return true;
}
