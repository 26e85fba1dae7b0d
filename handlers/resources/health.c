/* Is the process up, is it ready, what is it made of. */
#include "handlers/unit/context.h"
#include "handlers/handlers.h"
#include "handlers/answer/render.h"
#include "service/base/clock.h"
#include "service/base/json.h"

#include "service/base/banned.h"

#define READY_TIMEOUT_S 2.0 /* a probe does not wait for the acquire timeout */

bool handle_healthz(struct request *req, struct response *res, struct err *err)
{
	(void)req;
	(void)err;
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

bool handle_readyz(struct request *req, struct response *res, struct err *err)
{
	struct app *app = request_app(req);
	if (app->draining != NULL && __atomic_load_n(app->draining, __ATOMIC_RELAXED) != 0)
		return err_set(err, ERR_SHUTTING_DOWN, "the server is draining; ask another one");
	if (!connections_ready(req, err))
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
