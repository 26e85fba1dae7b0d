/*
 * struct err -> status and application/problem+json (RFC 9457). The only place where codes have statuses. Owns
 * nothing.
 */
#ifndef FERROD_SERVICE_PROBLEM_H
#define FERROD_SERVICE_PROBLEM_H

#include "service/http/request.h"

/* HTTP status of a code. */
int problem_status(enum err_code code);
/* Short human title, static. */
const char *problem_title(enum err_code code);
/* What the page /problems/<code> says: a sentence or two, static. */
const char *problem_help(enum err_code code);
/* By wire name; false when unknown. */
bool problem_code(struct str name, enum err_code *ret) MUST_CHECK;
bool problem_retryable(enum err_code code);

/* Appends the problem document. instance: the request id. */
void problem_write(struct strbuf *b, const struct err *err, struct str instance);

/* Replaces whatever the response holds by the problem (status, body, Retry-After). */
void problem_respond(struct response *res, const struct err *err);

#endif
