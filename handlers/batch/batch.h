/* Batch: many operations in one round trip (api section 8 and its fine print). Lives in the request's arena. */
#ifndef FERROD_HANDLERS_BATCH_H
#define FERROD_HANDLERS_BATCH_H

#include "handlers/unit/context.h"

/* ---- batch_refs.c ---- */

/* Calls fn for the text of every {"$ref": text} in the step that stands for a whole value (STR_NONE: of one that is no
 * string); false as soon as fn says so. */
bool batch_each_ref(const json_t *step, bool (*fn)(void *arg, struct str ref), void *arg);
/* A copy of the step in which they are replaced by what `find` gives (borrowed; NULL: not there). New reference; NULL
 * with ERR_INVALID_VALUE at the reference's place, or ERR_INTERNAL_ERROR when out of memory. */
json_t *batch_resolve(struct arena *a, const json_t *step, json_t *(*find)(void *arg, struct str ref), void *arg,
		      struct err *err);
/* What a path ("rows.0.id") leads to in v; NULL: nothing. */
json_t *batch_walk(json_t *v, struct str path);

#endif
