/* SQL text fit for a log line. Pure. */
#ifndef FERROD_HANDLERS_SQL_MASK_H
#define FERROD_HANDLERS_SQL_MASK_H

#include "service/base/arena.h"
#include "service/base/str.h"

/* A client's own SQL without its literals and comments: numbers and strings become ?. What stands in double quotes
 * goes, too, for SQLite takes it as a string where there is no such column. In doubt less is shown. In the arena. */
struct str sql_mask(struct arena *a, struct str sql);

#endif
