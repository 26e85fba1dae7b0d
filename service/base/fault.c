/* The counter; nothing at all in other builds. */
#include "service/base/fault.h"

#ifdef FERROD_FAULTS

#include <stdatomic.h>

#include "service/base/banned.h"

static atomic_long left;
static atomic_bool fired;

void fault_arm(long n)
{
	atomic_store(&fired, false);
	atomic_store(&left, n);
}

bool fault_due(void)
{
	if (atomic_load(&left) <= 0 || atomic_fetch_sub(&left, 1) != 1)
		return false;
	atomic_store(&fired, true);
	return true;
}

bool fault_fired(void)
{
	return atomic_load(&fired);
}

#else

typedef int fault_nothing;

#endif
