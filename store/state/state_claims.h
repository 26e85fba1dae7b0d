/*
 * Who does the work of an Idempotency-Key, where servers share the state: one of them claims the key before the work,
 * and its answer (state_answers.h) takes the claim's place. One whose node is dead by its heartbeat, or that is older
 * than its request may be, is anybody's. What the work writes into the state it writes while it holds its claim, so
 * that a server that was paused does not do what another has done meanwhile. Owns nothing; parks.
 */
#ifndef FERROD_STORE_STATE_STATE_CLAIMS_H
#define FERROD_STORE_STATE_STATE_CLAIMS_H

#include "service/base/err.h"
#include "service/base/str.h"

/*
 *   claims   key, body (hash), node and instance that have it, till_us
 */

struct state;
struct unit;

/* Spans are borrowed. */
struct state_claim {
	struct str key;            /* as that of a kept answer */
	struct str body;           /* hash of the request's */
	struct str node, instance; /* whose it is */
};

/* For so long at most; of a node whose beat is older than dead_us it is taken. *ret_mine; else another has it,
 * *ret_other_body: for a request with another body. Errors are those of the state's database. */
bool state_claim_take(struct state *s, const struct state_claim *c, int64_t for_us, int64_t dead_us, bool *ret_mine,
		      bool *ret_other_body, struct err *err) MUST_CHECK;
/* Nothing came of it, or what came is kept otherwise. */
bool state_claim_give(struct state *s, const struct state_claim *c, struct err *err) MUST_CHECK;

/* ---- for the state's own files ---- */

/* In a unit that writes what was claimed; NULL: nothing was. ERR_DATABASE_UNAVAILABLE (not started): another has it. */
bool state_claim_hold(struct unit *u, const struct state_claim *c, struct err *err) MUST_CHECK;
bool state_claim_drop(struct unit *u, const struct state_claim *c, struct err *err) MUST_CHECK;

#endif
