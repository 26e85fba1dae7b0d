/* What the types of a PostgreSQL's columns are made of, in one query; in the arena of the catalog. */
#ifndef FERROD_STORE_DRIVER_POSTGRES_INTROSPECT_TYPES_H
#define FERROD_STORE_DRIVER_POSTGRES_INTROSPECT_TYPES_H

#include "store/driver/catalog.h"

/* Sets made_of of the columns that were read, whose type_id is set. Parks. */
bool postgres_introspect_types(struct catalog *c, struct err *err) MUST_CHECK;

#endif
