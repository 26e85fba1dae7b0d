/*
 * Whether two SQL expressions say the same, though PostgreSQL keeps one in words of its own: parentheses that change
 * nothing, casts that it adds or leaves out, cases, spaces and the spellings of IN, LIKE and BETWEEN do not count. What
 * is of no known form is compared token by token. Pure.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_SQL_SAME_H
#define FERROD_STORE_SCHEMA_SCHEMA_SQL_SAME_H

#include <stdbool.h>

#include "service/base/macros.h"
#include "service/base/str.h"
#include "store/dialect/dialect.h"

/* Two absent ones are the same; an absent one and another are not. */
bool schema_sql_same(enum dialect_id d, struct str x, struct str y) MUST_CHECK;
/* The same for defaults, where NULL is as good as none. */
bool schema_sql_same_default(enum dialect_id d, struct str x, struct str y) MUST_CHECK;

#endif
