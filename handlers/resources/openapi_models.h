/* The description of the models at hand, for clients that are generated from it. Owns nothing: what it adds is part of
 * the caller's document. */
#ifndef FERROD_HANDLERS_OPENAPI_MODELS_H
#define FERROD_HANDLERS_OPENAPI_MODELS_H

#include "handlers/answer/render.h"
#include "store/schema/schema.h"

/* Adds to an OpenAPI document the records, filters and relations of each model of s that is of the set (STR_NONE: any),
 * on the connection `using` (STR_NONE: any). May step aside. */
void openapi_describe_models(struct arena *a, const struct schema *s, struct str set_name, struct str using,
			     json_t *doc);

#endif
