/* Answers to requests with an Idempotency-Key whose work is in the state: kept there (store/state/state_answers.h). On
 * the request's fiber; what is said is in the request's arena. */
#ifndef FERROD_HANDLERS_TOLD_ANSWER_H
#define FERROD_HANDLERS_TOLD_ANSWER_H

#include "service/http/request.h"
#include "store/state/state_claims.h"
#include "store/state/told.h"

/* What a request's work is. */
enum told_kind {
	TOLD_NOT,     /* nothing that the state keeps */
	TOLD_TELLING, /* a connection, models */
	TOLD_SESSION, /* kept where servers share the state: elsewhere it ends with its server */
};

/* Does the state keep answers of that kind here? */
bool told_answer_kept(const struct request *req, enum told_kind kind);
/* A key that this request has for itself, among servers that share the state; on the caller's stack. */
struct told_claim {
	struct state_claim claim;
	bool held;
};
/* Gives the answer that an earlier request with the key left (*ret_found), or makes this one the first, of all servers
 * that share the state: one that runs on another is waited for. key and body: hashes in hexadecimal.
 * ERR_IDEMPOTENCY_KEY_REUSED: it came with another body, or its caller may do less since; ERR_TOO_MANY_REQUESTS: the
 * first has not ended in this one's time; ERR_DATABASE_UNAVAILABLE: the state cannot be asked. False, or found: nothing
 * is to end. Parks. */
bool told_answer_begin(struct request *req, struct response *res, struct str key, struct str body, struct told_claim *c,
		       bool *ret_found, struct err *err) MUST_CHECK;
/* After the work: keeps the answer of what went well; of the rest the next request is the first. What was told stands,
 * so a failure is logged (answer_not_kept): the answer is this server's alone then. Parks. */
void told_answer_end(struct response *res, struct told_claim *c, bool ok, size_t answer_max);

/* Who tells, for told.h. */
struct teller told_by(const struct request *req);

/* How long, and of one caller without bounds of its own how many and how much. Before the first request. */
void told_answer_configure(double hours, size_t entries, size_t bytes);

#endif
