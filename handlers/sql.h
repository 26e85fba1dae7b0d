/* Arguments of raw SQL. */
#ifndef FERROD_HANDLERS_SQL_H
#define FERROD_HANDLERS_SQL_H

#include "service/base/json.h"
#include "store/codec/codec.h"
#include "store/stmt.h"

/* `args` (array, object of named values, null or NULL) into s, in the arena. ERR_INVALID_VALUE with a pointer below /args. */
bool sql_bind(struct arena *a, const json_t *args, struct stmt *s, struct err *err) MUST_CHECK;

#endif
