/* Batch: many operations in one round trip (api section 8 and its fine print). */
#ifndef FERROD_HANDLERS_BATCH_H
#define FERROD_HANDLERS_BATCH_H

#include "handlers/unit/context.h"

enum batch_op {
	BATCH_SQL_EXECUTE,
	BATCH_SQL_FETCH_ALL,
	BATCH_SQL_FETCH_ONE,
	BATCH_QUERY,
	BATCH_FIRST,
	BATCH_COUNT,
	BATCH_EXISTS,
	BATCH_UPDATE,
	BATCH_DELETE,
	BATCH_CREATE,
	BATCH_SAVE,
	BATCH_GET
};

/* Runs one operation in an open unit: `step` is the step's object with references resolved. Its JSON body is appended
 * to `out`, its status to *ret_status. Faults point below the step ("/query/where/0"). Parks. (batch_steps.c) */
bool batch_run(struct context *c, enum batch_op op, json_t *step, struct strbuf *out, int *ret_status,
	       struct err *err) MUST_CHECK;

/* ---- batch_refs.c ---- */

/* Calls fn for the text of every {"$ref": text} in the tree; false as soon as fn says so. */
bool batch_each_ref(const json_t *v, bool (*fn)(void *arg, struct str ref), void *arg);
/* A copy of the tree in which references are replaced by what `find` gives (borrowed; NULL: not there). New reference;
 * NULL with ERR_INVALID_VALUE at the reference's place, or ERR_INTERNAL_ERROR when out of memory. */
json_t *batch_resolve(struct arena *a, const json_t *v, const char *pointer, json_t *(*find)(void *arg, struct str ref),
		      void *arg, struct err *err);
/* What a path ("rows.0.id") leads to in v; NULL: nothing. */
json_t *batch_walk(json_t *v, struct str path);

#endif
