/* Where a request's SQL runs: transaction, then `using`, then session, then the default connection. */
#include "service/base/clock.h"
#include "service/base/map.h"
#include "store/store.h"

#include "service/base/banned.h"

static bool conflict(struct str using, const struct connection *conn, const char *what, struct err *err)
{
	if (using.p == NULL || str_eq(using, conn->name))
		return true;
	return err_set(err, ERR_ROUTE_CONFLICT, "`using` names another connection than the %s's, which is \"%.*s\"",
		       what, STR_FMT(conn->name));
}

static bool by_transaction(struct store *s, const struct route_request *q, struct route *r, struct err *err)
{
	if (!tx_enter(s->transactions, q->tx_id, r->session, q->owner, false, q->deadline, &r->tx, err))
		return false;
	r->conn = connection_ref(tx_connection(r->tx));
	return conflict(q->using, r->conn, "transaction", err);
}

bool route_resolve(struct store *s, const struct route_request *q, struct route *ret, struct err *err)
{
	struct route r = {.since_ns = clock_mono_ns()};
	bool ok = true;

	if (q->session_id.p != NULL) {
		if (!session_enter(s->sessions, q->session_id, q->owner, &r.session, err))
			return false;
		/* before a transaction's turn is waited for: its connection is the session's */
		ok = conflict(q->using, r.session->conn, "session", err);
	}
	if (ok && q->tx_id.p != NULL)
		ok = by_transaction(s, q, &r, err);
	else if (ok && r.session != NULL)
		r.conn = connection_ref(r.session->conn);
	else if (ok && q->using.p != NULL)
		ok = connection_get(&s->connections, q->using, &r.conn, err);
	else if (ok)
		ok = connection_get_default(&s->connections, &r.conn, err);
	ok = ok && connection_available(r.conn, err);
	if (!ok) {
		route_release(s, &r);
		return false;
	}
	*ret = r;
	return true;
}

void route_release(struct store *s, struct route *r)
{
	tx_leave(s->transactions, r->tx);
	session_leave(s->sessions, r->session);
	if (r->conn != NULL)
		connection_unref(r->conn);
	*r = (struct route){0};
}
