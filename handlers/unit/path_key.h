/* The primary key in a path. Lives in the request's arena. */
#ifndef FERROD_HANDLERS_PATH_KEY_H
#define FERROD_HANDLERS_PATH_KEY_H

#include "service/http/request.h"
#include "store/query/query.h"

/* Path parameter `param` as key values of m (m->n_pk of them, in the arena). ERR_INVALID_QUERY for a model without
 * primary key; a text that no record can have as its key is ERR_RECORD_NOT_FOUND. */
bool path_key(struct request *req, const struct dialect *d, const struct model *m, size_t param, struct value **ret,
	      struct err *err) MUST_CHECK;

#endif
