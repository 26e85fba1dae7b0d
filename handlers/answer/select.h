/*
 * Answers a select: rows streamed, or held in memory when something must be put below or turned around. Owns nothing:
 * what it holds lives in the request's arena.
 */
#ifndef FERROD_HANDLERS_SELECT_H
#define FERROD_HANDLERS_SELECT_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

/* Runs q in a unit of its own and writes {"rows": [...], ...} with cursors, and the total when the client prefers it.
 * Parks. */
bool select_answer(struct context *c, struct query *q, struct err *err) MUST_CHECK;
/* Answers {"row": {...}|null}: the first row, with its includes. Parks. */
bool first_answer(struct context *c, struct query *q, struct err *err) MUST_CHECK;

/* The same as JSON text appended to `out`, in an open unit and held in memory: for batch steps. `pointer`: of the
 * query. Parks. */
bool select_held(struct context *c, struct query *q, const char *pointer, struct strbuf *out,
		 struct err *err) MUST_CHECK;
bool first_held(struct context *c, struct query *q, struct strbuf *out, struct err *err) MUST_CHECK;

/* A lock needs the scope to write (ERR_FORBIDDEN), and a transaction to hold it (ERR_INVALID_QUERY). */
bool select_lock(const struct context *c, const struct query *q, struct err *err) MUST_CHECK;

#endif
