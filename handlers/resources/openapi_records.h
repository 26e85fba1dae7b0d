/* One model's records as schemas of a description: answered, given, changed, listed. Owns nothing: what it makes is the
 * caller's. */
#ifndef FERROD_HANDLERS_OPENAPI_RECORDS_H
#define FERROD_HANDLERS_OPENAPI_RECORDS_H

#include "handlers/resources/openapi_names.h"

/* Adds the schemas of a model that is described to an object of them. */
void openapi_put_records(struct describing *d, const struct model *m, json_t *schemas);

#endif
