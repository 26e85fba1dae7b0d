/* One model's operations in a description: the general ones of records, with its own filters and schemas. Owns nothing:
 * what it makes is the caller's. */
#ifndef FERROD_HANDLERS_OPENAPI_OPERATIONS_H
#define FERROD_HANDLERS_OPENAPI_OPERATIONS_H

#include "handlers/resources/openapi_names.h"

/* Adds the filters of a model that is described, columns and relations by name, to an object of parameters. */
void openapi_put_filters(struct describing *d, const struct model *m, json_t *parameters);
/* Adds its operations to an object of paths. */
void openapi_put_operations(struct describing *d, const struct model *m, json_t *paths);

#endif
