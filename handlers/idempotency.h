/*
 * Idempotency-Key: the first answer to a writing POST is kept and given again for the same key and the same body. A duplicate that
 * comes while the first still runs waits for it.
 */
#ifndef FERROD_HANDLERS_IDEMPOTENCY_H
#define FERROD_HANDLERS_IDEMPOTENCY_H

#include "service/request.h"

/* Runs `work` unless the request's key has an answer already. ERR_INVALID_REQUEST for a malformed key, ERR_IDEMPOTENCY_KEY_REUSED when
 * it came with another body. Without the header: just runs. Parks. */
bool idempotent(struct request *req, struct response *res, handler_fn work, struct err *err) MUST_CHECK;

/* Forgets every answer; nobody may be in idempotent(). At the end of the process. */
void idempotency_done(void);

#endif
