/*
 * Requests on one record, and what reads and writes of records share. Owned by the handler that answers it; all it
 * holds lives in the request's arena.
 */
#ifndef FERROD_HANDLERS_RECORDS_H
#define FERROD_HANDLERS_RECORDS_H

#include "handlers/answer/render.h"
#include "handlers/records/record_insert.h"

/* A request on /v1/models/{model}/records/{pk}. */
struct record_request {
	struct context *c; /* in the request's arena */
	const struct model *m;
	struct value *key;  /* m->n_pk */
	struct str map_key; /* of the identity map */
	bool triggers;      /* of the table: set by record_write_unit */
	bool swallowed;     /* by a trigger: the record stands as it did, or what was written is not there */
};

/* Opens the context, resolves model and key. On false nothing is to close. */
bool record_open(struct record_request *r, struct request *req, struct response *res, struct err *err) MUST_CHECK;

/* The same with query arguments (context_spec). */
bool record_open_args(struct record_request *r, struct request *req, struct response *res, const char *const *args,
		      struct err *err) MUST_CHECK;

/* ERR_RECORD_NOT_FOUND; returns false. */
bool record_missing(const struct model *m, struct err *err);

/* Sets Location, where the record has one. */
void record_located(struct context *c, const struct model *m, const struct value *row);

/* Answers a write with the record: ETag, Location with 201, the body unless Prefer: return=minimal. */
void record_answer(struct context *c, const struct model *m, const struct value *row, int status);

/* Starts a unit of writes; guarded: atomic, and on SQLite with the writer's turn from the start. Parks. */
bool record_write_unit(struct context *c, bool guarded, struct err *err) MUST_CHECK;
/* What PUT does: replaces the record of r->key or creates it; *ret_status 200 or 201. *ret NULL: a trigger took the
 * record. `doc` gets the key's members. In an open guarded unit, r->triggers set. ERR_PRECONDITION_FAILED. Parks. */
bool record_save(struct record_request *r, json_t *doc, const struct value **ret, int *ret_status,
		 struct err *err) MUST_CHECK;

#endif
