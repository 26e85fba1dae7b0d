/*
 * Small reads of one request, below every room: the first row of a select, one number, one record. They run in the
 * unit that the caller has opened (context.h), and keep what they bring in the request's arena.
 */
#ifndef FERROD_HANDLERS_READS_H
#define FERROD_HANDLERS_READS_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

/* Keeps the first row of a statement, decoded by shape, in the request's arena. */
struct row_keep {
	struct arena *arena;
	const struct dialect *dialect;
	const struct result_shape *shape; /* NULL: undecoded (counts) */
	struct value *row;                /* NULL: there was none */
	size_t n;
};
struct row_sink row_keep_sink(struct row_keep *k);

/* First row of the query's select, decoded, in the request's arena; *ret NULL when there is none. In an open unit.
 * Parks. */
bool context_first(struct context *c, const struct query *query, struct result_shape *shape, struct value **ret,
		   struct err *err) MUST_CHECK;
/* One integer or boolean: counts. In an open unit. Parks. */
bool context_scalar(struct context *c, const struct stmt *stmt, int64_t *ret, struct err *err) MUST_CHECK;
/* A record by its key values, decoded, in the arena; *ret NULL when there is none. In an open unit. Parks. */
bool context_record(struct context *c, const struct model *m, const struct value *key, enum query_lock lock,
		    struct value **ret, struct err *err) MUST_CHECK;

#endif
