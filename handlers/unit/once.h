/* Exactly once: the answer of a request with an Idempotency-Key, kept in the transaction of its write. Lives on the
 * request's stack; what it says is in the request's arena. */
#ifndef FERROD_HANDLERS_ONCE_H
#define FERROD_HANDLERS_ONCE_H

#include "handlers/unit/context.h"
#include "store/once/once.h"

struct once {
	struct request_once hook; /* first: exec.opened gets it */
	struct request *req;
	struct once_row mine, kept;
	bool found;            /* an earlier request's answer is there: kept */
	struct connection *at; /* owned: where it was found, by no transaction of the client's; until once_replay */
	size_t answer_max;
	int64_t since_us; /* older answers count as gone */
	enum once_way way;
	bool tried; /* the quick way: once */
};

/* Before the work; key and body in hexadecimal (body "": it is still coming in). again: the work can be run again when
 * it says so (err.again). Sets req->once. */
void once_start(struct once *o, struct request *req, struct str key, struct str body, size_t answer_max, bool again);
/* After the work, which ended as `ok` says, when hook.used: its answer and its write are committed together, or neither
 * is. body: the hash of all of it. Returns what is true then. Parks. */
bool once_finish(struct once *o, struct response *res, struct str body, bool ok, struct err *err) MUST_CHECK;
/* Gives the kept answer, once it is as safe as one that is given now: else the error of a commit. Parks. */
bool once_replay(struct once *o, struct response *res, struct err *err) MUST_CHECK;
/* Headers of an answer, without those that tell about now: [["Name", "value"], ...], in the arena. */
struct str once_headers(struct arena *a, const struct response *res);
/* What was found is of no use. */
void once_drop(struct once *o);

/* How long answers are kept. Before the first request. */
void once_configure(double hours);
/* A fiber that deletes old answers little by little; arg: struct app. */
void once_upkeep(void *arg);

#endif
