/* Update and delete by query, for their endpoints and for batch steps. Lives in the request's arena. */
#ifndef FERROD_HANDLERS_QUERY_WRITE_H
#define FERROD_HANDLERS_QUERY_WRITE_H

#include "handlers/answer/render.h"
#include "handlers/unit/affected.h"

struct query_write {
	struct query *q;
	struct query_set *set; /* n_set 0: a delete */
	size_t n_set;
	int64_t max_affected; /* negative: no bound */
	struct value_format fmt;
};

/* The new values: `set` beside the query (NULL: none there), or the one in its payload. ERR_INVALID_REQUEST when
 * neither stands, ERR_INVALID_QUERY when both do, and the errors of query_set_from_json. */
bool query_write_set(struct context *c, struct query_write *w, const json_t *set, struct err *err) MUST_CHECK;

/* ERR_INVALID_QUERY for a query without filter unless the request says ?all=true. */
bool query_filtered(const struct request *req, const struct query *q, const char *pointer, struct err *err) MUST_CHECK;

/* The statement of a write whose rows are not wanted. */
bool write_query_stmt(struct context *c, const struct query_write *w, struct stmt *ret, struct err *err) MUST_CHECK;
/* Runs the write in an open unit, which the caller ends; rows not NULL: changed rows are appended to it, without
 * brackets. ERR_MAX_AFFECTED_EXCEEDED. Parks. */
bool write_query(struct context *c, struct query_write *w, struct strbuf *rows, int64_t *ret_affected,
		 struct err *err) MUST_CHECK;

#endif
