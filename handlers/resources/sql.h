/* Arguments of raw SQL. They live in the request's arena. */
#ifndef FERROD_HANDLERS_SQL_H
#define FERROD_HANDLERS_SQL_H

#include "handlers/unit/context.h"
#include "service/base/json.h"
#include "store/codec/codec.h"
#include "store/stmt.h"

/* `args` (array, object of named values, null or NULL) into s, in the arena. ERR_INVALID_VALUE with a pointer below
 * /args. */
bool sql_bind(struct arena *a, const json_t *args, struct stmt *s, struct err *err) MUST_CHECK;

/* Faults of the members sql and args as read: wrong kind, empty, too long. false: r has failed. */
bool sql_check(struct json_reader *r, const struct stmt *s, const json_t *args) MUST_CHECK;

/* Numbers among the arguments whose digits no double keeps: ERR_INVALID_VALUE with a pointer where the database has
 * doubles only. */
bool sql_numbers(const struct context *c, const struct stmt *s, struct err *err) MUST_CHECK;
/* Whether the statement may run in a unit that is to be undone (Prefer: tx=rollback): ERR_INVALID_REQUEST with the
 * pointer /sql for a word that would end it. */
bool sql_undoable(const struct context *c, const struct stmt *s, struct err *err) MUST_CHECK;

/* Named parameters on PostgreSQL: ERR_INVALID_REQUEST; returns false. */
bool sql_no_names(struct err *err);

#endif
