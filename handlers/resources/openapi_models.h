/* The description with the models at hand, for clients that are generated from it; streamed, a model at a time. Owns
 * nothing. */
#ifndef FERROD_HANDLERS_OPENAPI_MODELS_H
#define FERROD_HANDLERS_OPENAPI_MODELS_H

#include "service/http/request.h"

/* Answers `general` (a description in JSON, of OpenAPI 3.0 when `old`) with the records, filters and relations of each
 * registered model of ?set= (none: any), on ?using= (none: any). ERR_INVALID_PARAMETERS, ERR_INVALID_CONNECTION_NAME:
 * not a name; ERR_MODEL_NOT_FOUND: no model is of the set; ERR_CONNECTION_NOT_FOUND, ERR_FORBIDDEN: the connection is
 * not there, or not the key's. Parks. */
bool openapi_with_models(struct request *req, struct response *res, struct str general, bool old,
			 struct err *err) MUST_CHECK;

#endif
