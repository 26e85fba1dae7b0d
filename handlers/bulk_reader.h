/* The records of a bulk body, one at a time, so that only one is ever parsed: {"records": [...]} or a record a line. */
#ifndef FERROD_HANDLERS_BULK_READER_H
#define FERROD_HANDLERS_BULK_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/json.h"

struct bulk_reader {
	struct str text; /* borrowed */
	size_t pos;
	size_t index; /* of the next record */
	bool lines;   /* NDJSON */
	bool ended;
};

/* NDJSON: a record a line, blank lines skipped. */
void bulk_lines(struct bulk_reader *r, struct str text);
/* Is the document {"records": [ ... as far as can be seen from its start? Then the reader stands before the first
 * record. */
bool bulk_document(struct bulk_reader *r, struct str text);

/* Next record: parsed into `a`, its pointer ("/records/3" or "/3") too. *ret NULL at the end. ERR_INVALID_JSON, or
 * ERR_INVALID_REQUEST for members beside `records` and for records that are no objects. */
bool bulk_next(struct bulk_reader *r, struct arena *a, json_t **ret, const char **ret_pointer,
	       struct err *err) MUST_CHECK;

#endif
