/* Sessions: open, look, close, list. */
#include "handlers/unit/acting.h"
#include "handlers/unit/context.h"
#include "handlers/unit/reached.h"
#include "handlers/handlers.h"
#include "handlers/answer/render.h"
#include "service/base/clock.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

#define LOOK_NS (2 * CLOCK_NS_PER_MS) /* between two looks whether others have left a session */

static bool read_open(struct request *req, struct str *using, struct session_options *o, const json_t **ret_settings,
		      struct err *err)
{
	const struct session_limits *limits = &request_app(req)->store->options.sessions;
	struct json_reader r;
	json_t *doc;
	if (!request_options(req, true, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_str(&r, "using", using);
	json_reader_number(&r, "idle_timeout_seconds", 0.001, limits->max_lifetime_s, &o->idle_timeout_s);
	json_reader_number(&r, "max_lifetime_seconds", 0.001, limits->max_lifetime_s, &o->max_lifetime_s);
	json_reader_object(&r, "settings", ret_settings);
	if (request_header(req, "Ferro-Setting").p != NULL)
		json_reader_fault(&r, NULL, "a session's settings are the member `settings`, not Ferro-Setting");
	return json_reader_done(&r) && request_args_routed(req, context_no_args, err) && catalog_reached(req, err);
}

/* The connection a new session is pinned to. A new reference. */
static bool session_connection(struct request *req, struct str using, struct connection **ret, struct err *err)
{
	struct connection_registry *registry = &request_app(req)->store->connections;
	struct str arg = request_arg(req, "using");
	if (arg.p != NULL && using.p != NULL && !str_eq(arg, using))
		return err_set_at(err, ERR_INVALID_REQUEST, "/using",
				  "the query parameter and the member `using` name different connections");
	if (arg.p != NULL)
		using = arg;
	if (!connection_seen(req, using, err) ||
	    !(using.p != NULL ? connection_get(registry, using, ret, err) : connection_get_default(registry, ret, err)))
		return false;
	if (principal_connection(req, (*ret)->name, err) && connection_available(*ret, err))
		return true;
	connection_unref(*ret);
	return false;
}

/* What is refused before it enters its session tells about the session all the same. */
void sessions_before_reply(void *app, struct request *req, struct response *res)
{
	const struct app *a = app;
	struct session_view v;
	if (req->session_id.p == NULL)
		return;
	for (size_t i = 0; i < res->n_headers; i++)
		if (str_ieq_z(res->headers[i].name, "Ferro-Session-Info"))
			return;
	if (!session_peek(a->store->sessions, req->session_id, principal_name(req), &v))
		return;
	double idle_s = v.idle_expires_in_s < v.expires_in_s ? v.idle_expires_in_s : v.expires_in_s;
	const struct session_left left = {.idle_s = (int64_t)idle_s,
					  .lifetime_s = (int64_t)v.expires_in_s,
					  .n_transactions = v.n_transactions,
					  .n_queued = v.n_queued};
	response_header(res, "Ferro-Session-Info", session_info(&req->arena, &left));
}

/* What is opened outlives this server where others share its state; what cannot is not opened. */
static bool keep(struct request *req, struct session *s, struct err *err)
{
	struct app *app = request_app(req);
	struct err ignored;
	if (node_keep(app->node, s, req->claim, err))
		return true;
	(void)!session_close(app->store->sessions, str_z(s->id), s->owner, true, &ignored);
	session_leave(app->store->sessions, s);
	return false;
}

/* Their names: values may be what nobody else is to read. Those that the key fixes are among them. */
static void out_settings(struct request *req, struct strbuf *b, struct str text)
{
	struct setting_list all;
	struct err none;
	if (!settings_of_text(&req->arena, text, &all, &none))
		all.n = 0; /* whatever acts by them says so */
	for (size_t i = 0; req->principal != NULL && i < req->principal->settings.n; i++)
		(void)!setting_put(&req->arena, &all, req->principal->settings.list[i].name, STR(""), &none);
	out_name(b, "settings");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < all.n; i++) {
		strbuf_puts(b, i > 0 ? "," : "");
		strbuf_json_string(b, all.list[i].name);
	}
	strbuf_putc(b, ']');
}

bool handle_session_open(struct request *req, struct response *res, struct err *err)
{
	struct app *app = request_app(req);
	struct session_options o = {0};
	struct str using = STR_NONE;
	struct connection *conn;
	struct session *s;
	const json_t *settings = NULL;
	if (!read_open(req, &using, &o, &settings, err))
		return false;
	if (app->draining != NULL && __atomic_load_n(app->draining, __ATOMIC_RELAXED) != 0)
		return err_set(err, ERR_SHUTTING_DOWN, "the server is draining and opens no sessions");
	if (!session_connection(req, using, &conn, err))
		return false;
	o.max_per_owner = (size_t)principal_quotas(req).sessions;
	bool ok = acting_session(req, conn, settings, STR_NONE, &o.settings, err) &&
		  session_open(app->store->sessions, conn, principal_name(req), &o, &s, err);
	connection_unref(conn);
	if (!ok || !keep(req, s, err))
		return false;
	struct session_view v;
	session_view(s, &v);
	struct strbuf *b = response_json(res, 201);
	struct str id = arena_str(&req->arena, str_z(s->id));
	strbuf_putc(b, '{');
	out_str(b, "session_id", id);
	out_str(b, "connection_name", v.connection_name);
	out_instant(b, "created_at", v.created_us);
	out_seconds(b, "idle_timeout_seconds", v.idle_timeout_s);
	out_instant(b, "expires_at", v.expires_us);
	out_bool(b, "identity_map", imap_enabled(s->imap));
	out_settings(req, b, v.settings);
	strbuf_putc(b, '}');
	response_header(res, "Ferro-Session", id);
	session_info_header(res, s);
	session_leave(app->store->sessions, s);
	return true;
}

static void out_session(struct request *req, struct response *res, struct session *s)
{
	struct session_view v;
	struct tx_view *txs;
	session_view(s, &v);
	size_t n = tx_list(request_app(req)->store->transactions, s, &req->arena, &txs);
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_str(b, "connection_name", v.connection_name);
	out_instant(b, "created_at", v.created_us);
	out_instant(b, "last_used_at", v.last_used_us);
	out_instant(b, "expires_at", v.expires_us);
	out_seconds(b, "idle_timeout_seconds", v.idle_timeout_s);
	out_name(b, "transactions");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_putc(b, ',');
		out_transaction(b, &txs[i]);
	}
	strbuf_putc(b, ']');
	out_settings(req, b, v.settings);
	out_imap(b, &v.imap);
	strbuf_putc(b, '}');
}

bool handle_session(struct request *req, struct response *res, struct err *err)
{
	struct session *s;
	if (!request_args_known(req, context_no_args, err) || !session_of_request(req, res, true, &s, err))
		return false;
	out_session(req, res, s);
	session_done(req, s);
	return true;
}

/* Kept where others go on with the session, then in force: nobody is in it meanwhile who goes by what it was.
 * *ret_busy: somebody is. */
static bool change(struct request *req, struct session *s, const json_t *given, bool *ret_busy, struct err *err)
{
	struct app *app = request_app(req);
	const struct str before = str_z(s->settings);
	struct str now;
	struct err ignored;
	*ret_busy = false;
	if (!acting_session(req, s->conn, given, before, &now, err))
		return false;
	if (str_eq(now, before))
		return true;
	if (!node_settings(app->node, s, now.p != NULL ? now : STR(""), err))
		return false;
	*ret_busy = !session_set_settings(app->store->sessions, s, now);
	if (*ret_busy)
		(void)!node_settings(app->node, s, before.p != NULL ? before : STR(""), &ignored);
	return true;
}

/* Waits until it is alone in the session. */
static bool change_alone(struct request *req, struct response *res, const json_t *given, struct session **ret,
			 struct err *err)
{
	bool busy;
	for (;;) {
		if (!session_of_request(req, res, true, ret, err))
			return false;
		if (!change(req, *ret, given, &busy, err))
			break;
		if (!busy)
			return true;
		session_done(req, *ret);
		if (clock_mono_ns() >= req->deadline || wait_until(clock_mono_ns() + LOOK_NS) == WAIT_CANCELLED) {
			*ret = NULL;
			(void)err_set(
				err, ERR_TOO_MANY_REQUESTS,
				"other requests of the session run, and its settings change between requests only");
			err->outcome = ERR_OUTCOME_NOT_STARTED;
			break;
		}
	}
	session_done(req, *ret);
	return false;
}

bool handle_session_patch(struct request *req, struct response *res, struct err *err)
{
	const json_t *settings = NULL;
	struct json_reader r;
	struct session *s;
	json_t *doc;
	if (!request_options(req, false, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_object(&r, "settings", &settings);
	json_reader_require(&r, "settings");
	if (!json_reader_done(&r) || !request_args_known(req, context_no_args, err) ||
	    !change_alone(req, res, settings, &s, err))
		return false;
	out_session(req, res, s);
	session_done(req, s);
	return true;
}

bool handle_session_close(struct request *req, struct response *res, struct err *err)
{
	static const char *const args[] = {"rollback", NULL};
	bool rollback;
	if (!request_args_known(req, args, err) || !request_arg_bool(req, "rollback", &rollback, err))
		return false;
	if (req->session_id.p == NULL)
		return err_set(err, ERR_INVALID_REQUEST,
			       "send the header Ferro-Session with the id of the session to close");
	struct app *app = request_app(req);
	struct reached r = {0};
	bool ok;
	do
		ok = session_reached(req, res, &r, err) &&
		     session_close(app->store->sessions, req->session_id, principal_name(req), rollback, err);
	while (!ok && session_again(&r, err));
	if (!ok && !r.closed) /* closed: on another node */
		return false;
	if (!node_flush_ended(app->node, err))
		return false;
	res->status = 204;
	return true;
}

bool handle_sessions(struct request *req, struct response *res, struct err *err)
{
	struct session_view *list;
	if (!request_args_known(req, context_no_args, err))
		return false;
	size_t n = session_list(request_app(req)->store->sessions, &req->arena, &list);
	struct strbuf *b = response_json(res, 200);
	bool any = false;
	strbuf_puts(b, "{\"sessions\":[");
	for (size_t i = 0; i < n; i++) {
		const struct session_view *v = &list[i];
		if (!principal_sees(req, v->connection_name))
			continue;
		strbuf_puts(b, any ? ",{" : "{");
		any = true;
		out_str(b, "ref", v->ref);
		out_str(b, "connection_name", v->connection_name);
		out_str(b, "owner", v->owner.len > 0 ? v->owner : STR_NONE);
		out_instant(b, "created_at", v->created_us);
		out_instant(b, "last_used_at", v->last_used_us);
		out_instant(b, "expires_at", v->expires_us);
		out_int(b, "transactions", (int64_t)v->n_transactions);
		out_imap(b, &v->imap);
		strbuf_putc(b, '}');
		if (!response_flush(res, err))
			return false;
	}
	strbuf_puts(b, "]}");
	return true;
}
