/* The arguments of a list URL as generated clients send them. Lives in the request's arena. */
#ifndef FERROD_HANDLERS_LIST_ARGS_H
#define FERROD_HANDLERS_LIST_ARGS_H

#include "service/http/request.h"

/* Clients made from the description write the free filters as one argument, `filter={"age":"gte.18"}`, where they do
 * not know exploded form objects: its members take the argument's place in req->args (in the arena). A value that is
 * no JSON object is left alone: it filters a column of that name. ERR_INVALID_PARAMETERS for members that are neither
 * text nor arrays of text. */
bool list_args_spread(struct request *req, struct err *err) MUST_CHECK;

#endif
