/*
 * The records of a bulk body, one at a time, as they arrive: {"records": [...]} or a record a line. Owned by the
 * handler of the request; borrows its body.
 */
#ifndef FERROD_HANDLERS_BULK_READER_H
#define FERROD_HANDLERS_BULK_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/json.h"
#include "service/base/json_split.h"
#include "service/http/request.h"

struct bulk_reader {
	struct json_split split;
	struct request *req; /* whose body goes on after `piece`; NULL: it does not */
	struct str piece;    /* what has arrived and is not read yet; borrowed */
	struct str record;   /* text of the record that was read last; valid until the next one is read */
	size_t value_max;    /* bytes of one record */
	size_t values_max;   /* JSON values of one record */
	size_t n_read;       /* records */
};

/* Reads from `text` and then from what follows in the body of `req` (NULL: nothing does); `lines`: a record a line,
 * else text stands behind "[". What it holds is freed with the arena, which outlives r. */
void bulk_reader_init(struct bulk_reader *r, struct arena *a, struct str text, struct request *req, bool lines);

/* The same of a parsed list. ERR_INVALID_REQUEST: it is none. */
bool bulk_reader_init_list(struct bulk_reader *r, struct arena *a, const json_t *records, struct err *err) MUST_CHECK;

/* Reads the next record; *ret_any false at the end. ERR_INVALID_JSON, ERR_INVALID_REQUEST for members beside `records`,
 * ERR_PAYLOAD_TOO_LARGE for a record that is too long; errors of request_body_next. May park. */
bool bulk_next(struct bulk_reader *r, bool *ret_any, struct err *err) MUST_CHECK;

/* Parses the record that was read last into `a`. ERR_INVALID_JSON, ERR_INVALID_REQUEST for one that is no object,
 * ERR_PAYLOAD_TOO_LARGE for one of too many values. May park. */
bool bulk_parse(const struct bulk_reader *r, struct arena *a, json_t **ret, struct err *err) MUST_CHECK;

/* Puts the pointer of the record that was read last ("/records/3" or "/3") before that of a fault in it. Always false.
 */
bool bulk_fault(const struct bulk_reader *r, struct arena *a, struct err *err);

#endif
