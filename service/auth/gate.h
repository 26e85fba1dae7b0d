/* Who gets in: the keys in force, how often each may ask, and how many of its requests run at once. A gate owns its
 * keys.
 */
#ifndef FERROD_SERVICE_GATE_H
#define FERROD_SERVICE_GATE_H

#include "service/auth/keys.h"
#include "service/auth/rate.h"

struct gate;

struct gate_options {
	struct rate_flow rate;    /* of a key that says nothing else; 0 a second: no limit */
	int64_t requests_per_key; /* at once, of a key that says nothing else; 0: any number */
	bool public_metrics;      /* what any key may read, nobody needs one for */
};

/* Takes the keys; NULL: none. */
struct gate *gate_create(const struct gate_options *o, struct key_set *keys);
/* NULL is fine. */
void gate_destroy(struct gate *g);

/* Sets req->principal by the request's credential. ERR_UNAUTHENTICATED; ERR_TOO_MANY_REQUESTS: its key has asked too
 * often, or as many of its requests run as may (this one is counted until it has been answered). Any thread, never
 * parks. */
bool gate_enter(struct gate *g, struct request *req, struct err *err) MUST_CHECK;
/* Is there anything that gate_enter might refuse? */
bool gate_guards(const struct gate *g);
bool gate_has_keys(const struct gate *g);
/* Puts other keys in force (taken); those before go to the caller. */
struct key_set *gate_swap(struct gate *g, struct key_set *keys);

#endif
