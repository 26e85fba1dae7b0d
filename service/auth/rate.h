/*
 * Token buckets, one a name: how many requests a key may send. Thread-safe; never parks. Owned by the composition
 * root.
 */
#ifndef FERROD_SERVICE_RATE_H
#define FERROD_SERVICE_RATE_H

#include <stdint.h>

#include "service/base/err.h"
#include "service/base/macros.h"
#include "service/base/str.h"

struct rate;

/* How fast a bucket fills; it may be another one at the next take, by which the bucket goes from then on. */
struct rate_flow {
	int64_t per_second; /* tokens that flow in; more than 0 */
	int64_t burst;      /* as many lie in a full bucket; 0: as many as flow in a second */
};

/* Owned by the caller. */
struct rate *rate_create(void);
void rate_destroy(struct rate *r);

/* Takes one token of `name`. ERR_TOO_MANY_REQUESTS when there is none, with the seconds until there is one. Buckets are
 * kept for good: names are those of configured keys, never what a client made up. */
bool rate_take(struct rate *r, struct str name, struct rate_flow flow, int64_t now_ns, struct err *err) MUST_CHECK;

/* The same for one who has no name, by address; an address shares its bucket with one in thousands. On true err is left
 * as it was. */
bool rate_take_address(struct rate *r, uint64_t address, struct rate_flow flow, int64_t now_ns,
		       struct err *err) MUST_CHECK;

#endif
