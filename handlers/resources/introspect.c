/* A live database as SchemaIR, registered as models when asked for. */
#include "handlers/handlers.h"
#include "handlers/resources/migrate.h"
#include "handlers/resources/model_sets.h"
#include "handlers/unit/told_answer.h"
#include "handlers/answer/render.h"
#include "store/migrate/live_ir.h"
#include "store/schema/schema_json.h"

#include "service/base/banned.h"

struct introspection {
	struct str using;
	struct str set; /* that takes what is registered; STR_NONE: the caller's own */
	struct live_ir_options options;
	struct introspect_scope scope;
	bool reg;
	struct ddl_plan notes;
};

static void unref(void *arg)
{
	schema_unref(arg);
}

/* They are written into statements, one behind the other. */
static bool few_enough(struct json_reader *r, const char *key, size_t n)
{
	if (n > LIMIT_MODELS)
		json_reader_fault(r, key, "takes at most %d names", LIMIT_MODELS);
	return n <= LIMIT_MODELS;
}

static const struct str *read_names(struct json_reader *r, const char *key, size_t *ret_n)
{
	const json_t *list = NULL;
	*ret_n = 0;
	if (!json_reader_array(r, key, &list))
		return NULL;
	struct str *names = arena_array(r->arena, json_array_size(list) + 1, sizeof(*names));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		if (!json_is_string(item)) {
			json_reader_fault(r, key, "expected an array of names");
			return NULL;
		}
		names[i] = json_str(item);
	}
	*ret_n = json_array_size(list);
	return names;
}

static void read_kinds(struct json_reader *r, struct introspection *q)
{
	size_t n;
	const struct str *kinds = read_names(r, "kinds", &n);
	for (size_t i = 0; i < n; i++) {
		enum model_kind kind;
		if (model_kind_from_name(kinds[i], &kind))
			q->options.kinds |= 1U << kind;
		else
			json_reader_fault(
				r, "kinds",
				"expected table, partitioned, view, materialized_view, foreign_table or virtual");
	}
}

static void read_model_names(struct json_reader *r, struct introspection *q)
{
	const json_t *names = NULL, *v;
	const char *key;
	if (!json_reader_object(r, "names", &names) || !few_enough(r, "names", json_object_size(names)))
		return;
	struct live_name *list = arena_array(r->arena, json_object_size(names) + 1, sizeof(*list));
	json_object_foreach((json_t *)(uintptr_t)names, key, v)
	{
		if (!json_is_string(v) || json_string_length(v) == 0) {
			json_reader_fault(r, "names", "expected an object of tables and their models' names");
			return;
		}
		list[q->options.n_names++] = (struct live_name){str_z(key), json_str(v)};
	}
	q->options.names = list;
}

static bool read_request(struct request *req, struct introspection *q, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	memset(q, 0, sizeof(*q));
	if (!request_options(req, true, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_str(&r, "using", &q->using);
	json_reader_bool(&r, "register", &q->reg);
	json_reader_str(&r, "set", &q->set);
	if (q->set.p != NULL && !q->reg)
		json_reader_fault(&r, "set", "goes with register: true");
	q->options.tables = read_names(&r, "tables", &q->options.n_tables);
	(void)few_enough(&r, "tables", q->options.n_tables);
	q->options.exclude = read_names(&r, "exclude", &q->options.n_exclude);
	q->scope.schemas = read_names(&r, "schemas", &q->scope.n_schemas);
	(void)few_enough(&r, "schemas", q->scope.n_schemas);
	q->scope.listed_only = q->scope.schemas != NULL;
	q->scope.search_path = !q->scope.listed_only;
	q->scope.views = true;
	read_kinds(&r, q);
	read_model_names(&r, q);
	return json_reader_done(&r);
}

struct reading {
	struct live_builder *ir;
	struct arena *scratch; /* that all of it is in */
};

/* After the last one nobody looks at the database's own form again, which is as large as the models are. */
static json_t *next_model(void *arg)
{
	const struct reading *r = arg;
	json_t *model = live_ir_next(r->ir);

	if (model == NULL)
		arena_done(r->scratch);
	return model;
}

/* The canonical form of what the database has, in *ret. What it is made of is in `scratch`. */
static bool read_schema(struct context *c, struct introspection *q, struct arena *scratch, struct schema **ret,
			struct err *err)
{
	struct arena *a = &c->req->arena;
	struct live_schema live;
	struct live_builder *ir;

	live_ir_tables(a, &q->options, &q->scope.tables, &q->scope.n_tables);
	if (!migrate_introspect_scope(c->route.conn, &q->scope, c->deadline, scratch, &live, err) ||
	    !live_ir_open(scratch, c->route.conn->dialect, &live, &q->options, &q->notes, &ir, err))
		return false;
	struct reading reading = {.ir = ir, .scratch = scratch};
	const struct schema_feed feed = {.next = next_model, .arg = &reading, .n_max = live.n_tables + live.n_views};
	const struct schema_source from = {.feed = &feed, .may_sql = true, .may_catalogs = true, .trusts_sets = true};
	return schema_from_source(NULL, &from, a, ret, err);
}

/* What SQL there is, the database has already. */
static bool register_found(struct context *c, const struct schema *found, struct str set, struct err *err)
{
	struct schema_edit edit = {.models = found, .how = {.may_sql = true, .may_catalogs = true, .set = set}};
	const bool ok = set.p != NULL ? models_set_name(set, err) && models_may_change(c->req, set, err)
				      : models_own_set(c->req, &edit.how.set, err);

	return ok && (told_models(c->app->told, &edit, told_by(c->req), &c->req->arena, NULL, err) ||
		      models_refused(c->req, err));
}

static bool introspect(struct context *c, struct introspection *q, struct schema **ret, struct err *err)
{
	struct arena scratch;

	ddl_plan_init(&q->notes, &c->req->arena);
	if (q->reg)
		q->options.known = c->schema;
	if (c->route.tx != NULL)
		return err_set(err, ERR_TRANSACTIONS_OPEN,
			       "introspection reads what is committed: send the request without Ferro-Transaction");
	arena_init(&scratch);
	const bool ok = read_schema(c, q, &scratch, ret, err);
	arena_done(&scratch); /* as large as what is made of it: it is gone before more is made of that */
	if (ok)
		arena_on_done(&c->req->arena, unref, *ret);
	return ok && (!q->reg || register_found(c, *ret, q->set, err));
}

bool handle_introspect(struct request *req, struct response *res, struct err *err)
{
	struct introspection q;
	struct context c;
	struct schema *s;
	if (!read_request(req, &q, err))
		return false;
	struct context_spec spec = {.using = q.using, .args = context_no_args, .as_pool = true};
	if (!context_open(&c, req, res, &spec, err))
		return false;
	bool ok = introspect(&c, &q, &s, err);
	if (!context_close(&c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	if (q.reg)
		catalog_header(res);
	schema_write(b, s, NULL, NULL);
	if (q.notes.n_warnings > 0) {
		strbuf_truncate(b, b->len - 1);
		out_warnings(b, &q.notes);
		strbuf_putc(b, '}');
	}
	return true;
}
