/* DDL: what create-tables would run, and running it; migrations. */
#include "handlers/resources/migrate.h"

#include "handlers/handlers.h"
#include "handlers/answer/render.h"
#include "handlers/resources/model_sets.h"
#include "service/base/clock.h"
#include "store/schema/schema_subset.h"

#include "service/base/banned.h"

#define HASH_BYTES 64

int64_t migrate_deadline(const struct request *req)
{
	return (req->prefer.given & PREFER_TIMEOUT) != 0 ? req->deadline : CLOCK_NEVER;
}

int64_t migrate_look_ns(const struct request *req)
{
	return req->deadline != CLOCK_NEVER ? clock_max(req->deadline - req->start_ns, 1) : 0;
}

void out_warnings(struct strbuf *b, const struct ddl_plan *notes)
{
	out_name(b, "warnings");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < notes->n_warnings; i++) {
		const struct ddl_warning *w = &notes->warnings[i];
		strbuf_puts(b, i > 0 ? ",{" : "{");
		out_str(b, "code", w->code);
		out_str(b, "table", w->table);
		if (w->column.p != NULL)
			out_str(b, "column", w->column);
		if (w->object.p != NULL)
			out_str(b, "object", w->object);
		out_str(b, "detail", w->detail);
		if (w->rows >= 0)
			out_int(b, "rows", w->rows);
		if (w->key.p != NULL)
			out_str(b, "key", w->key);
		strbuf_putc(b, '}');
	}
	strbuf_putc(b, ']');
}

static void out_change(struct strbuf *b, const struct change *c)
{
	strbuf_putc(b, '{');
	out_str(b, "statement", c->statement);
	out_str(b, "table", c->table);
	if (c->column.p != NULL)
		out_str(b, "column", c->column);
	out_str(b, "kind", str_z(change_kind_name(c->kind)));
	out_str(b, "lock", str_z(c->lock));
	out_bool(b, "rewrites", c->rewrites);
	out_bool(b, "loses_data", c->loses_data);
	if (c->rows_affected >= 0)
		out_int(b, "rows_affected", c->rows_affected);
	else
		out_str(b, "rows_affected", STR_NONE);
	out_bool(b, "reversible", c->reversible);
	strbuf_putc(b, '}');
}

void out_migration_head(struct strbuf *b, const struct migrate_result *m)
{
	out_name(b, "statements");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < m->plan.n_changes; i++) {
		if (i > 0)
			strbuf_putc(b, ',');
		strbuf_json_string(b, m->plan.changes[i].statement);
	}
	strbuf_putc(b, ']');
	out_warnings(b, &m->plan.notes);
	out_bool(b, "applied", m->applied);
}

void out_migration(struct strbuf *b, const struct migrate_result *m)
{
	out_migration_head(b, m);
	out_bool(b, "pool_refreshed", m->pool_refreshed);
	out_str(b, "plan_hash", str_n(m->plan_hash, HASH_BYTES));
	out_name(b, "changes");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < m->plan.n_changes; i++) {
		if (i > 0)
			strbuf_putc(b, ',');
		out_change(b, &m->plan.changes[i]);
	}
	strbuf_putc(b, ']');
}

bool migrate_models(struct request *req, const struct schema *all, struct str set, const struct schema **ret,
		    struct err *err)
{
	if (!models_set_is_there(req, all, set, err))
		return false;
	*ret = set.p != NULL ? schema_of_set(all, set, &req->arena) : all;
	return true;
}

/* On the connection that the request is routed to; a migration is a transaction of its own. */
static bool run(struct request *req, struct response *res, const struct context_spec *spec, struct str set,
		const struct migrate_request *q, struct migrate_result *ret, struct err *err)
{
	const struct schema *meant;
	struct context c;
	memset(ret, 0, sizeof(*ret));
	if (!context_open(&c, req, res, spec, err))
		return false;
	bool ok;
	if (c.route.tx != NULL)
		ok = err_set(err, ERR_TRANSACTIONS_OPEN,
			     "a migration is a transaction of its own: end this one first, or send the request without "
			     "Ferro-Transaction");
	else
		ok = migrate_models(req, c.schema, set, &meant, err) &&
		     migrate_run(c.route.conn, meant, q, &req->arena, ret, err);
	if (c.route.tx == NULL)
		req->db_ns += ret->db_ns;
	return context_close(&c, ok, err);
}

/* The body's members, of which `using` and `set` are read. */
static bool options_begin(struct json_reader *r, struct request *req, struct context_spec *spec, struct str *ret_set,
			  struct err *err)
{
	json_t *doc;
	if (!request_options(req, true, &doc, err))
		return false;
	json_reader_init(r, &req->arena, doc, "", err);
	json_reader_str(r, "using", &spec->using);
	json_reader_str(r, "set", ret_set);
	return true;
}

bool handle_create_tables(struct request *req, struct response *res, struct err *err)
{
	struct context_spec spec = {.args = context_no_args, .as_pool = true};
	struct migrate_request q = {.deadline = migrate_deadline(req), .look_ns = migrate_look_ns(req)};
	struct migrate_result m;
	struct json_reader r;
	struct str set = STR_NONE;
	if (!options_begin(&r, req, &spec, &set, err))
		return false;
	if (!json_reader_done(&r) || !run(req, res, &spec, set, &q, &m, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_migration_head(b, &m);
	strbuf_putc(b, '}');
	return true;
}

static void check_hash(struct json_reader *r, struct str hash)
{
	bool ok = hash.len == HASH_BYTES;
	for (size_t i = 0; ok && i < hash.len; i++)
		ok = (hash.p[i] >= '0' && hash.p[i] <= '9') || (hash.p[i] >= 'a' && hash.p[i] <= 'f');
	if (!ok)
		json_reader_fault(r, "plan_hash", "expected the plan_hash of a dry run: %d hexadecimal digits",
				  HASH_BYTES);
}

bool handle_migrate(struct request *req, struct response *res, struct err *err)
{
	struct context_spec spec = {.args = context_no_args, .as_pool = true};
	struct migrate_request q = {
		.options = {.updates = true}, .deadline = migrate_deadline(req), .look_ns = migrate_look_ns(req)};
	struct migrate_result m;
	struct json_reader r;
	struct str set = STR_NONE;
	if (!options_begin(&r, req, &spec, &set, err))
		return false;
	json_reader_bool(&r, "updates", &q.options.updates);
	json_reader_bool(&r, "destructive", &q.options.destructive);
	json_reader_bool(&r, "rebuild", &q.options.rebuild);
	json_reader_bool(&r, "concurrently", &q.options.concurrently);
	json_reader_bool(&r, "dry_run", &q.dry_run);
	if (json_reader_str(&r, "plan_hash", &q.plan_hash))
		check_hash(&r, q.plan_hash);
	if (!json_reader_done(&r) || !run(req, res, &spec, set, &q, &m, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_migration(b, &m);
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
	struct context_spec spec = {.as_pool = true};
	if (!context_open(&c, req, res, &spec, err))
		return false;
	*ret = c.route.conn->dialect;
	return context_close(&c, true, err);
}

bool handle_ddl(struct request *req, struct response *res, struct err *err)
{
	static const char *const args[] = {"dialect", "set", NULL};
	const struct schema *meant;
	const struct dialect *d;
	struct ddl_plan plan;
	if (!request_args_routed(req, args, err) || !wanted_dialect(req, res, &d, err))
		return false;
	struct schema *s = schema_registry_get(&request_app(req)->store->models);
	ddl_plan_init(&plan, &req->arena);
	bool ok = migrate_models(req, s, request_arg(req, "set"), &meant, err) &&
		  ddl_create_all(d, meant, NULL, NULL, &plan, err);
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
