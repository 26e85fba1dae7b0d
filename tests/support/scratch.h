/* An arena and an error for each test: named as setup and teardown of the test that uses them. */
#ifndef FERROD_TESTS_SUPPORT_SCRATCH_H
#define FERROD_TESTS_SUPPORT_SCRATCH_H

#include "tests/support/scratch_arena.h"

static inline int setup(void **state UNUSED)
{
	scratch_begin();
	return 0;
}

static inline int teardown(void **state UNUSED)
{
	scratch_end();
	return 0;
}

#endif
