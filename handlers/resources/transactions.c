/* Transactions and savepoints: begin, look, end. */
#include "handlers/unit/acting.h"
#include "handlers/unit/context.h"
#include "handlers/unit/reached.h"
#include "handlers/handlers.h"
#include "handlers/answer/render.h"
#include "handlers/unit/tx_request.h"

#include "service/base/banned.h"

static void read_isolation(struct json_reader *r, struct str word, enum tx_isolation *ret)
{
	if (!tx_request_isolation(word, ret))
		json_reader_fault(r, "isolation",
				  "expected \"read_committed\", \"repeatable_read\" or \"serializable\"");
}

static bool read_begin(struct request *req, struct str *using, struct tx_options *o, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	struct str isolation = STR_NONE;
	if (!request_options(req, true, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_str(&r, "using", using);
	if (json_reader_str(&r, "isolation", &isolation))
		read_isolation(&r, isolation, &o->isolation);
	json_reader_bool(&r, "read_only", &o->read_only);
	json_reader_number(&r, "timeout_seconds", 0.001, tx_request_timeout_max(req->app), &o->timeout_s);
	if (req->tx_id.p != NULL && (isolation.p != NULL || o->read_only || o->timeout_s > 0))
		json_reader_fault(&r, NULL, "a savepoint takes no options; they are those of its transaction");
	return json_reader_done(&r);
}

bool handle_tx_begin(struct request *req, struct response *res, struct err *err)
{
	struct context c;
	struct context_spec spec = {.args = context_no_args};
	struct tx_options o = {0};
	struct tx_view v;
	if (!read_begin(req, &spec.using, &o, err) || !context_open(&c, req, res, &spec, err))
		return false;
	struct tx_table *t = c.store->transactions;
	const struct principal_quotas own = principal_quotas(req);
	bool ok;
	o.since_ns = c.route.since_ns;
	o.shares = (struct tx_shares){.connections = (size_t)own.connections, .transactions = (size_t)own.transactions};
	if (c.route.tx != NULL)
		ok = tx_savepoint(t, c.route.tx, c.deadline, &req->arena, &v, err);
	else
		ok = (c.route.session != NULL || acting_header(req, &o.settings, err)) &&
		     tx_begin(t, c.route.conn, c.route.session, principal_name(req), &o, c.deadline, &req->arena, &v,
			      err);
	if (!context_close(&c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 201);
	struct str id = arena_str(&req->arena, str_z(v.id));
	strbuf_putc(b, '{');
	out_str(b, "transaction_id", id);
	out_str(b, "parent_id", v.parent_id[0] != '\0' ? str_z(v.parent_id) : STR_NONE);
	out_str(b, "connection_name", v.connection_name);
	out_str(b, "savepoint", v.savepoint);
	out_instant(b, "expires_at", v.expires_us);
	strbuf_putc(b, '}');
	header_set(res, "Ferro-Transaction", id);
	response_header(res, "Location", arena_printf(&req->arena, "/v1/transactions/%.*s", STR_FMT(id)));
	return true;
}

/* The database may know by now what became of one that was lost in its commit. */
static bool look_again(struct request *req, struct session *s, struct tx_view *v, struct err *err)
{
	struct store *store = request_app(req)->store;
	struct connection *conn;
	struct err ignored;
	if (!connection_get(&store->connections, v->connection_name, &conn, &ignored))
		return true;
	(void)tx_resolve(store->transactions, req->params[0], conn, req->deadline);
	connection_unref(conn);
	return tx_lookup(store->transactions, req->params[0], s, principal_name(req), &req->arena, v, err);
}

bool handle_tx(struct request *req, struct response *res, struct err *err)
{
	struct session *s;
	struct tx_view v;
	if (!request_args_known(req, context_no_args, err) || !session_of_request(req, res, false, &s, err))
		return false;
	bool ok = tx_lookup(request_app(req)->store->transactions, req->params[0], s, principal_name(req), &req->arena,
			    &v, err);
	ok = ok && (v.phase != TX_UNKNOWN || look_again(req, s, &v, err));
	session_done(req, s);
	if (!ok)
		tx_explain(req, res, req->params[0], err);
	else
		out_transaction(response_json(res, 200), &v);
	return ok;
}

static bool end_tx(struct request *req, struct response *res, bool commit, struct err *err)
{
	struct session *s;
	enum tx_phase phase;
	if (!request_no_members(req, err) || !request_args_known(req, context_no_args, err) ||
	    !session_of_request(req, res, false, &s, err))
		return false;
	bool ok = tx_end(request_app(req)->store->transactions, req->params[0], s, principal_name(req), commit,
			 req->deadline, &phase, err);
	if (s != NULL)
		session_info_header(res, s);
	session_done(req, s);
	if (!ok) {
		tx_explain(req, res, req->params[0], err);
		return false;
	}
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_str(b, "state", phase == TX_COMMITTED ? STR("committed") : STR("rolled_back"));
	strbuf_putc(b, '}');
	return true;
}

bool handle_tx_commit(struct request *req, struct response *res, struct err *err)
{
	return end_tx(req, res, true, err);
}

bool handle_tx_rollback(struct request *req, struct response *res, struct err *err)
{
	return end_tx(req, res, false, err);
}
