/* A request whose work is one query, and the small reads that handlers share. */
#ifndef FERROD_HANDLERS_QUERY_REQUEST_H
#define FERROD_HANDLERS_QUERY_REQUEST_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

struct query_request {
	struct context c;
	struct query *q;
};

/* Body = QueryIR (with an optional member `using`): opens the context and resolves the query. On false nothing is to
 * close. */
bool query_open(struct query_request *q, struct request *req, struct response *res, const char *const *args,
		struct err *err) MUST_CHECK;

/* First row of the query's select, decoded, in the request's arena; *ret NULL when there is none. In an open unit.
 * Parks. */
bool context_first(struct context *c, const struct query *query, struct result_shape *shape, struct value **ret,
		   struct err *err) MUST_CHECK;
/* One integer or boolean: counts. In an open unit. Parks. */
bool context_scalar(struct context *c, const struct stmt *stmt, int64_t *ret, struct err *err) MUST_CHECK;

/* What a full row that a read has brought shows: the mapped values when the session has them, else the row, which is
 * then mapped; with Cache-Control: no-cache the row overwrites. */
const struct value *context_mapped(struct context *c, const struct model *m, const struct value *row);
/* After a committed write of the model's records by query: the session's map forgets them; after a delete also those of
 * models that the database may have changed along with them (ON DELETE CASCADE and SET NULL, however far). */
void context_forget(struct context *c, const struct model *m, bool deleted);

/* A record by its key values, decoded, in the arena; *ret NULL when there is none. In an open unit. Parks. */
bool context_record(struct context *c, const struct model *m, const struct value *key, enum query_lock lock,
		    struct value **ret, struct err *err) MUST_CHECK;

#endif
