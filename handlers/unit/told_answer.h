/* Answers to requests with an Idempotency-Key whose work is in the state: kept there (store/state/state_answers.h). On
 * the request's fiber; what is said is in the request's arena. */
#ifndef FERROD_HANDLERS_TOLD_ANSWER_H
#define FERROD_HANDLERS_TOLD_ANSWER_H

#include "service/http/request.h"

/* What a request's work is. */
enum told_kind {
	TOLD_NOT,     /* nothing that the state keeps */
	TOLD_TELLING, /* a connection, models */
	TOLD_SESSION, /* kept where servers share the state: elsewhere it ends with its server */
};

/* Does the state keep answers of that kind here? */
bool told_answer_kept(const struct request *req, enum told_kind kind);
/* Gives the answer that an earlier request with the key left (*ret_found). key and body: hashes in hexadecimal.
 * ERR_IDEMPOTENCY_KEY_REUSED: it came with another body, or its caller may do less since; ERR_DATABASE_UNAVAILABLE: the
 * state cannot be read. Parks. */
bool told_answer_find(struct request *req, struct response *res, struct str key, struct str body, bool *ret_found,
		      struct err *err) MUST_CHECK;
/* Keeps the answer of work that went well. What was told stands, so a failure is logged (answer_not_kept): the answer
 * is this server's alone then. Parks. */
void told_answer_put(struct response *res, struct str key, struct str body, size_t answer_max);

/* How long, and of one caller without bounds of its own how many and how much. Before the first request. */
void told_answer_configure(double hours, size_t entries, size_t bytes);

#endif
