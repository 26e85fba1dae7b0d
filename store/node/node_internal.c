/* Is this node in touch with the state? */
#include "store/node/node_internal.h"

#include <time.h>

#include "service/base/clock.h"

#include "service/base/banned.h"

int64_t node_clock_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * CLOCK_NS_PER_S + t.tv_nsec;
}

bool node_fresh(const struct node *n)
{
	const int64_t beat = __atomic_load_n(&n->beat_ns, __ATOMIC_ACQUIRE);
	return beat != 0 && node_clock_ns() - beat < STATE_SILENT_US * INT64_C(1000);
}
