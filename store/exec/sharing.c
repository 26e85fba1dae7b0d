/* See sharing.h. */
#include "store/exec/sharing.h"

#include "service/base/clock.h"
#include "service/base/limits.h"

#include "service/base/banned.h"

static int64_t in_ns(double seconds)
{
	return (int64_t)(seconds * (double)CLOCK_NS_PER_S);
}

struct sharing sharing = {.trip_ns = LIMIT_SHARED_TRIP_S * CLOCK_NS_PER_S,
			  .write_ns = LIMIT_SHARED_WRITE_S * CLOCK_NS_PER_S,
			  .unit_ns = (int64_t)(LIMIT_SHARED_UNIT_S * 1e9),
			  .gather_ns = (int64_t)(LIMIT_SHARED_GATHER_S * 1e9)};

void sharing_configure(const struct sharing_limits *l)
{
	sharing = (struct sharing){.trip_ns = in_ns(l->trip_s),
				   .write_ns = in_ns(l->write_s),
				   .unit_ns = in_ns(l->unit_s),
				   .gather_ns = in_ns(l->gather_s)};
}
