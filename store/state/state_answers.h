/*
 * First answers to requests with an Idempotency-Key whose work is in the state itself (tellings, sessions): kept there,
 * sealed, so that they are given again after a restart and by every server of the state. Without a key nothing of it is
 * kept. Owns nothing: the state is the caller's. Times are microseconds of the caller's clock; all of it parks.
 */
#ifndef FERROD_STORE_STATE_STATE_ANSWERS_H
#define FERROD_STORE_STATE_STATE_ANSWERS_H

#include "store/state/state.h"

/*
 *   answers   key, owner, body (hash), at_us, size, status, content_type, answer (sealed: headers and body)
 */

/* Spans are borrowed, or in the caller's arena when they come from here. */
struct state_answer {
	struct str key;   /* hash of caller, operation, arguments and Idempotency-Key */
	struct str owner; /* the caller, whose bounds they have together */
	struct str body;  /* hash of the request's */
	int64_t status;
	struct str content_type; /* "": none */
	struct str headers;      /* JSON, without a line's end */
	struct str text;
};

/* Those of before since_us count as gone, and so does what no key opens any more. ERR_DATABASE_UNAVAILABLE. */
bool state_answer_get(struct state *s, struct arena *a, struct str key, int64_t since_us, bool *ret_found,
		      struct state_answer *ret, struct err *err) MUST_CHECK;

struct state_answer_bounds {
	int64_t since_us, entries, bytes; /* the last two: of one owner */
};
/* Unless there is one already; what is older than since_us goes, and the owner's oldest beyond its bounds. The claim
 * under which the work was done (NULL: none) ends with it. Errors are those of the state's database. */
bool state_answer_put(struct state *s, const struct state_answer *x, int64_t now_us,
		      const struct state_answer_bounds *most, const struct state_claim *claim,
		      struct err *err) MUST_CHECK;

#endif
