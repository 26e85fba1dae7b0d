/* A live database as SchemaIR, registered as models when asked for. */
#include "handlers/handlers.h"
#include "handlers/resources/migrate.h"
#include "handlers/answer/render.h"
#include "store/migrate/live_ir.h"
#include "store/schema/schema_json.h"

#include "service/base/banned.h"

struct introspection {
	struct str using;
	struct live_ir_options options;
	bool reg;
	struct ddl_plan notes;
};

static void unref(void *arg)
{
	schema_unref(arg);
}

static void read_tables(struct json_reader *r, const json_t *list, struct introspection *q)
{
	struct str *names = arena_array(r->arena, json_array_size(list) + 1, sizeof(*names));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		if (!json_is_string(item)) {
			json_reader_fault(r, "tables", "expected an array of table names");
			return;
		}
		names[i] = json_str(item);
	}
	q->options.tables = names;
	q->options.n_tables = json_array_size(list);
}

static bool read_request(struct request *req, struct introspection *q, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	const json_t *tables = NULL;
	memset(q, 0, sizeof(*q));
	if (!request_options(req, true, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_str(&r, "using", &q->using);
	json_reader_bool(&r, "register", &q->reg);
	if (json_reader_array(&r, "tables", &tables))
		read_tables(&r, tables, q);
	return json_reader_done(&r);
}

/* The canonical form of what the database has; *ret lives with the request. */
static bool introspect(struct context *c, struct introspection *q, struct schema **ret, struct err *err)
{
	struct arena *a = &c->req->arena;
	struct live_schema live;
	json_t *doc;
	ddl_plan_init(&q->notes, a);
	if (q->reg)
		q->options.known = c->schema;
	if (c->route.tx != NULL)
		return err_set(err, ERR_TRANSACTIONS_OPEN,
			       "introspection reads what is committed: send the request without Ferro-Transaction");
	if (!migrate_introspect(c->route.conn, c->deadline, a, &live, err) ||
	    !live_ir(a, c->route.conn->dialect, &live, &q->options, &q->notes, &doc, err) ||
	    !schema_from_json(doc, NULL, a, ret, err))
		return false;
	arena_on_done(a, unref, *ret);
	const struct schema_edit found = {
		.doc = doc,
		.how = {.may_sql = true, .may_catalogs = true}}; /* what SQL there is, the database has already */
	return !q->reg || told_models(c->app->told, &found, principal_name(c->req), a, NULL, err);
}

bool handle_introspect(struct request *req, struct response *res, struct err *err)
{
	struct introspection q;
	struct context c;
	struct schema *s;
	if (!read_request(req, &q, err))
		return false;
	struct context_spec spec = {.using = q.using, .args = context_no_args};
	if (!context_open(&c, req, res, &spec, err))
		return false;
	bool ok = introspect(&c, &q, &s, err);
	if (!context_close(&c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	if (q.reg)
		catalog_header(res);
	json_write(b, s->envelope, true);
	if (q.notes.n_warnings > 0) {
		strbuf_truncate(b, b->len - 1);
		out_warnings(b, &q.notes);
		strbuf_putc(b, '}');
	}
	return true;
}
