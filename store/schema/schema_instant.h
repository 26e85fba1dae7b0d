/*
 * Instants and intervals in the spellings that SQL has for them, brought into one for comparison. Pure.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_INSTANT_H
#define FERROD_STORE_SCHEMA_SCHEMA_INSTANT_H

#include <stdbool.h>

#include "service/base/macros.h"
#include "service/base/str.h"

/* "2026-01-01", "2026-01-01T00:00Z" and "2026-01-01 00:00:00+00" are one instant, "10:30" and "10:30:00.0" one time. */
bool instant_same(struct str x, struct str y) MUST_CHECK;
/* "1 day 02:00:00" and "P1DT2H" are one interval; what is of no known form is itself only. */
bool interval_same(struct str x, struct str y) MUST_CHECK;

#endif
