/* SchemaIR JSON -> what a table has beside its columns, for schema_parse.c. Everything goes into the schema's arena. */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_ARTIFACTS_H
#define FERROD_STORE_SCHEMA_SCHEMA_ARTIFACTS_H

#include "store/schema/schema_reader.h"

/* The model's foreign keys, indexes, uniques, checks and exclusions; faults are noted in its build. */
void schema_parse_artifacts(struct parse *model);

#endif
