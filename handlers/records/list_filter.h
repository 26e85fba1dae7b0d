/* Query arguments of a list -> a query:
 * ?age=gte.18&role=in.(admin,owner)&order=age.desc,id&select=id,name&limit=&offset=&cursor= */
#ifndef FERROD_HANDLERS_LIST_FILTER_H
#define FERROD_HANDLERS_LIST_FILTER_H

#include "service/http/request.h"
#include "store/query/query.h"

/* Adds every argument of the request to q (made by query_new, or holding a relation's own condition). Everything lives
 * in the arena. ERR_INVALID_PARAMETERS when malformed, ERR_UNKNOWN_COLUMN, ERR_INVALID_VALUE. */
bool list_filter(const struct request *req, struct arena *a, struct query *q, struct err *err) MUST_CHECK;

#endif
