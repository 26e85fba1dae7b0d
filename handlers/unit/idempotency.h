/*
 * Idempotency-Key: the first answer to a writing request is kept and given again for the same key and the same body. A
 * duplicate that comes while the first still runs waits for it. An answer is collected rather than streamed up to the
 * bound of what is kept; past it the store remembers that the request was done, never that it was not. Owned by the
 * process.
 */
#ifndef FERROD_HANDLERS_IDEMPOTENCY_H
#define FERROD_HANDLERS_IDEMPOTENCY_H

#include "handlers/unit/told_answer.h"
#include "service/http/request.h"

/* Runs `work` unless the request's key has an answer already. ERR_INVALID_REQUEST for a malformed key,
 * ERR_IDEMPOTENCY_KEY_REUSED when it came with another body, or when its answer is not there although its work
 * stands or may stand. Without the
 * header: just runs. Answers of what the state keeps are kept there, too. Parks. */
bool idempotent(struct request *req, struct response *res, handler_fn work, enum told_kind kind,
		struct err *err) MUST_CHECK;

struct idempotency_limits {
	int64_t hours;         /* of answers kept with their writes, see once.h */
	size_t answer_bytes;   /* the largest answer that is kept */
	size_t entries, bytes; /* of each caller */
};
/* Before the first request. */
void idempotency_configure(const struct idempotency_limits *l);

/* Gives no kept answer of that caller any more: it may not be allowed to have it. What was done stays known. */
void idempotency_withhold(struct str caller);

/* Forgets what is a day old. Now and then, on any thread. */
void idempotency_tick(void);

/* Forgets every answer; nobody may be in idempotent(). At the end of the process. */
void idempotency_done(void);

#endif
