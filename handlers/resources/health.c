/* Is the process up, is it ready, what is it made of. */
#include "handlers/unit/context.h"
#include "handlers/handlers.h"
#include "handlers/answer/render.h"
#include "service/base/clock.h"
#include "service/base/json.h"

#include "service/base/banned.h"

#define READY_TIMEOUT_S 2.0 /* a probe does not wait for the acquire timeout */

static bool is_set(const int *flag)
{
	return flag != NULL && __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}

bool handle_healthz(struct request *req, struct response *res, struct err *err)
{
	const struct app *app = request_app(req);
	if (node_shares(app->node))
		response_header(res, "Ferro-Node",
				arena_printf(&req->arena, "%.*s; instance=\"%.*s\"", STR_FMT(node_name(app->node)),
					     STR_FMT(node_instance(app->node))));
	if (is_set(app->leaving))
		return err_set(err, ERR_SHUTTING_DOWN,
			       "the server has handed its sessions over and ends; ask another one");
	strbuf_puts(response_json(res, 200), "{\"status\":\"ok\"}");
	return true;
}

/* Every connection that the catalog declares, and the default one, answers. The detail names all that do not. */
static bool connections_ready(struct request *req, struct err *err)
{
	struct connection **conns;
	struct str default_name;
	struct strbuf down;
	size_t n = connection_list(&request_app(req)->store->connections, &req->arena, &conns, &default_name);
	int64_t deadline = clock_min(req->deadline, clock_deadline(READY_TIMEOUT_S));
	strbuf_init(&down, 0);
	for (size_t i = 0; i < n; i++) {
		struct err why;
		bool counts = conns[i]->origin == CONNECTION_DECLARED ||
			      (default_name.p != NULL && str_eq(conns[i]->name, default_name));
		if (counts && !connection_available(conns[i], &why))
			strbuf_printf(&down, "%s%s", down.len > 0 ? "; " : "", why.detail);
		else if (counts && !connection_probe(conns[i], deadline, &why))
			strbuf_printf(&down, "%sconnection '%.*s' does not answer", down.len > 0 ? "; " : "",
				      STR_FMT(conns[i]->name));
		connection_unref(conns[i]);
	}
	bool ok = down.len == 0;
	if (!ok)
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "%.*s", STR_FMT(strbuf_str(&down)));
	strbuf_done(&down);
	return ok;
}

/* Of the server alone: a database that is down takes none of those out that share it. */
static bool node_ready(const struct app *app, struct err *err)
{
	struct state *state = told_state(app->told);
	if (declared_starting(app->declared) > 0)
		return err_set(err, ERR_DATABASE_UNAVAILABLE, "the catalog is being applied");
	if (node_shares(app->node)) /* whose heartbeat has just been there */
		return node_in_touch(app->node) || err_set(err, ERR_DATABASE_UNAVAILABLE, "the state does not answer");
	return state == NULL || state_readable(state, READY_TIMEOUT_S, err);
}

bool handle_readyz(struct request *req, struct response *res, struct err *err)
{
	static const char *const args[] = {"of", NULL};
	struct app *app = request_app(req);
	const struct str of = request_arg(req, "of");
	if (!request_args_known(req, args, err))
		return false;
	if (of.p != NULL && !str_eq_z(of, "node"))
		return err_set(err, ERR_INVALID_PARAMETERS, "`of` is node");
	if (is_set(app->draining))
		return err_set(err, ERR_SHUTTING_DOWN, "the server is draining; ask another one");
	if (!(of.p != NULL ? node_ready(app, err) : connections_ready(req, err)))
		return false;
	strbuf_puts(response_json(res, 200), "{\"status\":\"ready\"}");
	return true;
}

bool handle_version(struct request *req, struct response *res, struct err *err)
{
	(void)err;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_str(b, "version", str_z(request_app(req)->version));
	out_str(b, "sqlite", str_z(driver_sqlite_version()));
	out_str(b, "libpq", str_z(driver_postgres_version()));
	out_str(b, "jansson", str_z(jansson_version_str()));
	if (request_app(req)->http_version != NULL)
		out_str(b, "libmicrohttpd", str_z(request_app(req)->http_version));
	strbuf_putc(b, '}');
	return true;
}
