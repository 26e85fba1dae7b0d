/* Sessions and transactions of servers that share a state: here, elsewhere, or gone with one of them. */
#include "handlers/unit/reached.h"

#include "handlers/unit/answer_head.h"
#include "service/auth/auth.h"

#include "service/base/banned.h"

#define TRIES 5

static const struct app *app_of(const struct request *req)
{
	return req->app;
}

static void name_owner(struct request *req, struct response *res, const struct node_found *found)
{
	if (found->owner.p != NULL)
		header_set(res, "Ferro-Node", arena_str(&req->arena, found->owner));
}

bool session_reached(struct request *req, struct response *res, struct reached *r, struct err *err)
{
	struct node *const node = app_of(req)->node;
	struct node_found found;
	if (req->session_id.p == NULL || !node_shares(node))
		return true;
	const bool ok =
		node_session(node, req->session_id, principal_name(req), req->deadline, &req->arena, &found, err);
	if (ok && found.resumed.p != NULL)
		response_header(res, "Ferro-Session-Resumed", arena_str(&req->arena, found.resumed));
	name_owner(req, res, &found);
	r->tries++;
	r->here = found.here;
	r->closed = found.closed;
	return ok;
}

bool session_again(const struct reached *r, const struct err *err)
{
	return r->here && r->tries < TRIES && err->code == ERR_SESSION_NOT_FOUND;
}

void tx_explain(struct request *req, struct response *res, struct str tx_id, struct err *err)
{
	struct node *const node = app_of(req)->node;
	struct node_found found;
	if (err->code != ERR_TRANSACTION_NOT_FOUND || !node_shares(node))
		return;
	node_lost_tx(node, tx_id, req->session_id, principal_name(req), &req->arena, &found, err);
	name_owner(req, res, &found);
}
