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

bool handle_readyz(struct request *req, struct response *res, struct err *err)
{
	struct app *app = request_app(req);
	if (app->draining != NULL && __atomic_load_n(app->draining, __ATOMIC_RELAXED) != 0)
		return err_set(err, ERR_SHUTTING_DOWN, "the server is draining; ask another one");
	struct connection **conns;
	struct str default_name;
	size_t n = connection_list(&app->store->connections, &req->arena, &conns, &default_name);
	int64_t deadline = clock_min(req->deadline, clock_deadline(READY_TIMEOUT_S));
	bool ok = true;
	for (size_t i = 0; i < n; i++) {
		bool counts = default_name.p != NULL && str_eq(conns[i]->name, default_name);
		if (ok && counts)
			ok = connection_probe(conns[i], deadline, err);
		connection_unref(conns[i]);
	}
	if (!ok)
		return err_set(err, ERR_DATABASE_UNAVAILABLE, "the default connection does not answer");
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
