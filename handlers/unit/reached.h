/* Sessions and transactions of servers that share a state: here, elsewhere, or gone with one of them. What it says
 * lives in the request's arena. */
#ifndef FERROD_HANDLERS_REACHED_H
#define FERROD_HANDLERS_REACHED_H

#include "service/http/request.h"

/* Before the request's session is entered: it is here, or is adopted now (Ferro-Session-Resumed). Errors of
 * node_session (Ferro-Node with ERR_WRONG_NODE). May park, but not for a session that is here. */
struct reached {
	int tries;   /* 0 before the first call */
	bool here;   /* ERR_SESSION_NOT_FOUND is worth another call, said session_again */
	bool closed; /* on false: the client itself has closed it */
};
bool session_reached(struct request *req, struct response *res, struct reached *r, struct err *err) MUST_CHECK;
/* It was handed over between session_reached and its being entered: to be reached again. */
bool session_again(const struct reached *r, const struct err *err) MUST_CHECK;
/* *err tells of a transaction that is not there: it may be another node's, or have ended with one. */
void tx_explain(struct request *req, struct response *res, struct str tx_id, struct err *err);

#endif
