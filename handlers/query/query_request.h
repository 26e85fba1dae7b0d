/*
 * A request whose body is one query. Owned by the handler that answers it; all it holds lives in the request's arena.
 */
#ifndef FERROD_HANDLERS_QUERY_REQUEST_H
#define FERROD_HANDLERS_QUERY_REQUEST_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

struct query_request {
	struct context c;
	struct query *q;
};

/* Body = QueryIR (with an optional member `using`): opens the context and resolves the query. On false nothing is to
 * close. */
bool query_open(struct query_request *q, struct request *req, struct response *res, const char *const *args,
		struct err *err) MUST_CHECK;

#endif
