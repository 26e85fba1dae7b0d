/* Named connections: connect, look, check, disconnect, default, reset. */
#include "handlers/unit/context.h"
#include "handlers/unit/told_answer.h"
#include "handlers/handlers.h"
#include "handlers/resources/migrate.h"
#include "handlers/answer/render.h"
#include "handlers/resources/url_policy.h"
#include "service/base/clock.h"
#include "store/connection/connect_json.h"
#include "store/exec/coordination.h"
#include "store/exec/user_rights.h"
#include "store/once/once.h"

#include "service/base/banned.h"

struct connect_request {
	struct connect_options o;
	bool auto_migrate, updates, destructive;
	struct str set; /* whose models it migrates; STR_NONE: all */
};

static bool read_connect(struct request *req, struct connect_request *q, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	memset(q, 0, sizeof(*q));
	if (!request_options(req, false, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	connect_json_read(&r, &q->o);
	json_reader_bool(&r, "auto_migrate", &q->auto_migrate);
	json_reader_bool(&r, "migrate_updates", &q->updates);
	json_reader_bool(&r, "migrate_destructive", &q->destructive);
	json_reader_str(&r, "set", &q->set);
	return json_reader_done(&r) && request_args_known(req, context_no_args, err);
}

static void unref_schema(void *arg)
{
	schema_unref(arg);
}

/* Migrates the connection that is not registered yet. */
static bool connect_migrate(struct request *req, const struct connect_request *q, struct connection *conn,
			    struct migrate_result *ret, struct err *err)
{
	const struct migrate_request m = {
		.options = {.updates = q->updates, .destructive = q->destructive},
		.deadline = migrate_deadline(req),
		.look_ns = migrate_look_ns(req),
	};
	struct schema *s = schema_registry_get(&request_app(req)->store->models);
	arena_on_done(&req->arena, unref_schema, s); /* the plan borrows from it */
	const struct schema *meant;
	memset(ret, 0, sizeof(*ret));
	bool ok = migrate_models(req, s, q->set, &meant, err) && migrate_run(conn, meant, &m, &req->arena, ret, err);
	req->db_ns += ret->db_ns;
	return ok;
}

/* What the answer to a connect says beside the connection. */
struct connected {
	const struct migrate_result *migration; /* NULL: none was asked for */
	int status;
	bool kept;
	struct user_rights rights;
};

static void out_not_kept(struct strbuf *b)
{
	strbuf_putc(b, '{');
	out_str(b, "code", STR("not_kept"));
	out_str(b, "detail",
		STR("the URL has a secret, and the state has no key to seal it with (\"state_key_file\"): a restart "
		    "forgets this connection"));
	strbuf_putc(b, '}');
}

static void out_rights(struct strbuf *b, struct arena *a, const struct user_rights *r)
{
	strbuf_putc(b, '{');
	out_str(b, "code", STR("pool_user_has_rights"));
	out_str(b, "detail",
		arena_printf(a,
			     "requests act by role, and the pool's user %.*s: what takes the role off may do that, so "
			     "SQL on this connection needs the scope \"admin\"",
			     STR_FMT(r->why)));
	out_name(b, "tables");
	for (size_t i = 0; i < r->n_tables; i++) {
		strbuf_putc(b, i == 0 ? '[' : ',');
		strbuf_json_string(b, r->tables[i]);
	}
	strbuf_puts(b, r->n_tables == 0 ? "[]" : "]");
	if (r->more)
		out_bool(b, "more_tables", true);
	strbuf_putc(b, '}');
}

static void out_cautions(struct strbuf *b, struct arena *a, bool kept, const struct user_rights *r)
{
	if (kept && !r->any)
		return;
	out_name(b, "warnings");
	strbuf_putc(b, '[');
	if (!kept)
		out_not_kept(b);
	if (!kept && r->any)
		strbuf_putc(b, ',');
	if (r->any)
		out_rights(b, a, r);
	strbuf_putc(b, ']');
}

static void answer(struct request *req, struct response *res, struct connection *conn, const struct connected *what)
{
	struct connection *fallback;
	struct str default_name = STR_NONE;
	struct err none;
	if (connection_get_default(&request_app(req)->store->connections, &fallback, &none)) {
		default_name = arena_str(&req->arena, fallback->name);
		connection_unref(fallback);
	}
	struct strbuf *b = response_json(res, what->status);
	out_connection(b, conn, default_name, true);
	strbuf_truncate(b, b->len - 1);
	if (!what->kept)
		out_bool(b, "kept", false);
	out_cautions(b, &req->arena, what->kept, &what->rights);
	if (what->migration != NULL) {
		out_name(b, "migration");
		strbuf_putc(b, '{');
		out_migration(b, what->migration);
		strbuf_putc(b, '}');
	}
	strbuf_putc(b, '}');
	response_header(res, "Location", arena_printf(&req->arena, "/v1/connections/%.*s", STR_FMT(conn->name)));
	catalog_header(res);
}

/* The connection is there already, so start-up code may run twice: what it asks for beside is done. */
static bool connect_again(struct request *req, struct response *res, const struct connect_request *q,
			  struct connection *conn, struct err *err)
{
	struct migrate_result migration;
	struct connected what = {.status = 200, .kept = true};
	bool ok = connection_available(conn, err) &&
		  user_rights_look(conn, &req->arena, req->deadline, &what.rights, err);
	if (ok && (q->auto_migrate || q->updates || q->destructive)) {
		what.migration = &migration;
		ok = connect_migrate(req, q, conn, &migration, err);
	}
	ok = ok && (!q->o.make_default || told_default(request_app(req)->told, conn->name, told_by(req), err));
	if (ok)
		answer(req, res, conn, &what);
	connection_unref(conn);
	return ok;
}

bool handle_connect(struct request *req, struct response *res, struct err *err)
{
	struct connect_request q;
	struct connection *conn;
	struct told_connection told;
	struct migrate_result migration;
	if (!read_connect(req, &q, err))
		return false;
	struct store *store = request_app(req)->store;
	if (!principal_connection(req, q.o.name.p != NULL ? q.o.name : STR("default"), err) ||
	    !url_allowed(request_app(req), &req->arena, &q.o.url, err))
		return false;
	if (connection_same(&store->connections, &q.o, &conn))
		return connect_again(req, res, &q, conn, err);
	if (!connection_open(&store->connections, &q.o, req->deadline, &conn, err))
		return false;
	coordination_find(conn, req->deadline);
	const bool migrate = q.auto_migrate || q.updates || q.destructive;
	struct connected what = {.migration = migrate ? &migration : NULL, .status = 201};
	bool ok = (!conn->exactly_once || once_prepare(conn, req->deadline, err)) &&
		  (!migrate || connect_migrate(req, &q, conn, &migration, err)) &&
		  user_rights_look(conn, &req->arena, req->deadline, &what.rights, err) &&
		  told_connect(request_app(req)->told, conn, &q.o, told_by(req), &told, err);
	if (!ok) {
		connection_close(conn);
		connection_unref(conn);
		return false;
	}
	if (told.replaced != NULL)
		store_end_connection(store, told.replaced);
	what.kept = told.kept;
	answer(req, res, conn, &what);
	connection_unref(conn);
	return true;
}

bool handle_connections(struct request *req, struct response *res, struct err *err)
{
	struct connection **all;
	struct str default_name;
	if (!request_args_known(req, context_no_args, err))
		return false;
	size_t n = connection_list(&request_app(req)->store->connections, &req->arena, &all, &default_name);
	struct strbuf *b = response_json(res, 200);
	bool urls = principal_has(req, SCOPE_ADMIN);
	bool any = false;
	struct str shown = STR_NONE;
	strbuf_puts(b, "{\"connections\":[");
	for (size_t i = 0; i < n; i++) {
		struct err no;
		if (principal_connection(req, all[i]->name, &no)) {
			if (any)
				strbuf_putc(b, ',');
			out_connection(b, all[i], default_name, urls);
			any = true;
			if (default_name.p != NULL && str_eq(all[i]->name, default_name))
				shown = arena_str(&req->arena, default_name);
		}
		connection_unref(all[i]);
	}
	strbuf_putc(b, ']');
	out_str(b, "default", shown);
	strbuf_putc(b, '}');
	return true;
}

/* The connection named in the path, which the caller may use. A new reference. */
static bool named(struct request *req, struct connection **ret, struct err *err)
{
	return request_args_known(req, context_no_args, err) && principal_connection(req, req->params[0], err) &&
	       catalog_reached(req, err) &&
	       connection_get(&request_app(req)->store->connections, req->params[0], ret, err);
}

bool handle_connection(struct request *req, struct response *res, struct err *err)
{
	struct connection *conn;
	struct connection *fallback;
	struct str default_name = STR_NONE;
	struct err none;
	if (!named(req, &conn, err))
		return false;
	if (connection_get_default(&request_app(req)->store->connections, &fallback, &none)) {
		default_name = arena_str(&req->arena, fallback->name);
		connection_unref(fallback);
	}
	out_connection(response_json(res, 200), conn, default_name, principal_has(req, SCOPE_ADMIN));
	connection_unref(conn);
	return true;
}

bool handle_connection_check(struct request *req, struct response *res, struct err *err)
{
	struct connection *conn;
	struct user_rights rights;
	if (!request_no_members(req, err) || !named(req, &conn, err))
		return false;
	int64_t begin = clock_mono_ns();
	bool ok = connection_available(conn, err) && connection_probe(conn, req->deadline, err);
	int64_t took = clock_mono_ns() - begin;
	ok = ok && user_rights_look(conn, &req->arena, req->deadline, &rights, err);
	connection_unref(conn);
	if (!ok)
		return false;
	req->db_ns += took;
	struct strbuf *b = response_json(res, 200);
	strbuf_puts(b, "{\"ok\":true");
	out_name(b, "latency_ms");
	strbuf_printf(b, "%.3f", (double)took / 1e6);
	out_cautions(b, &req->arena, true, &rights);
	strbuf_putc(b, '}');
	return true;
}

bool handle_disconnect(struct request *req, struct response *res, struct err *err)
{
	static const char *const args[] = {"force", NULL};
	bool force;
	if (!request_args_known(req, args, err) || !request_arg_bool(req, "force", &force, err) ||
	    !principal_connection(req, req->params[0], err) ||
	    !told_disconnect(request_app(req)->told, req->params[0], force, told_by(req), err))
		return false;
	res->status = 204;
	catalog_header(res);
	return true;
}

bool handle_set_default(struct request *req, struct response *res, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	struct str name = STR_NONE;
	if (!request_options(req, false, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_str(&r, "name", &name);
	json_reader_require(&r, "name");
	if (!json_reader_done(&r) || !request_args_known(req, context_no_args, err) ||
	    !principal_connection(req, name, err) || !told_default(request_app(req)->told, name, told_by(req), err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_str(b, "name", name);
	strbuf_putc(b, '}');
	catalog_header(res);
	return true;
}

/* As the whole reset: what is told goes, what is declared is connected anew. */
static bool reset_one(struct request *req, struct str name, struct err *err)
{
	struct app *app = request_app(req);
	if (told_disconnect(app->told, name, true, told_by(req), err))
		return true;
	if (err->code == ERR_DECLARED)
		return store_reset_connection(app->store, name, err);
	return err->code == ERR_CONNECTION_NOT_FOUND;
}

/* A key with a list of connections resets those, and nothing of others. */
static bool reset_own(struct request *req, struct err *err)
{
	const struct principal *p = req->principal;
	for (size_t i = 0; i < p->n_connections; i++)
		if (!reset_one(req, p->connections[i], err))
			return false;
	return true;
}

bool handle_reset(struct request *req, struct response *res, struct err *err)
{
	if (!request_no_members(req, err) || !request_args_known(req, context_no_args, err))
		return false;
	if (!(principal_bound(req) ? reset_own(req, err)
				   : told_reset(request_app(req)->told, req->deadline, told_by(req), err)))
		return false;
	res->status = 204;
	catalog_header(res);
	return true;
}
