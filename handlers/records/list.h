/* Records by filter: the arguments of a list URL become a query. Lives in the request's arena. */
#ifndef FERROD_HANDLERS_LIST_H
#define FERROD_HANDLERS_LIST_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

/* Adds the request's arguments to q and answers it as a list. ERR_INVALID_PARAMETERS for what is malformed. Parks. */
bool list_answer(struct context *c, struct query *q, struct err *err) MUST_CHECK;

#endif
