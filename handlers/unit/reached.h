/* Sessions and transactions of servers that share a state: here, elsewhere, or gone with one of them. */
#ifndef FERROD_HANDLERS_REACHED_H
#define FERROD_HANDLERS_REACHED_H

#include "service/http/request.h"

/* Before the request's session is entered: it is here, or is adopted now (Ferro-Session-Resumed). Errors of
 * node_session (Ferro-Node with ERR_WRONG_NODE). May park, but not for a session that is here. */
bool session_reached(struct request *req, struct response *res, bool *ret_closed, struct err *err) MUST_CHECK;
/* *err tells of a transaction that is not there: it may be another node's, or have ended with one. */
void tx_explain(struct request *req, struct response *res, struct str tx_id, struct err *err);

#endif
