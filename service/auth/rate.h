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

/* per_second: tokens that flow in; burst: as many lie in a full bucket (0: as many as flow in a second). Owned by the
 * caller. */
struct rate *rate_create(int64_t per_second, int64_t burst);
void rate_destroy(struct rate *r);

/* Takes one token of `name`. ERR_TOO_MANY_REQUESTS when there is none, with the seconds until there is one. Buckets are
 * kept for good: names are those of configured keys, never what a client made up. */
bool rate_take(struct rate *r, struct str name, int64_t now_ns, struct err *err) MUST_CHECK;

/* The same for one who has no name, by address; an address shares its bucket with one in thousands. On true err is left
 * as it was. */
bool rate_take_address(struct rate *r, uint64_t address, int64_t now_ns, struct err *err) MUST_CHECK;

#endif
