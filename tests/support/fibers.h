/* For programs that run fibers: what a failed assertion in one of them does. */
#ifndef FERROD_TESTS_SUPPORT_FIBERS_H
#define FERROD_TESTS_SUPPORT_FIBERS_H

#include <stdlib.h>

/*
 * cmocka leaves a failed test by a jump to the thread's own stack. Out of a fiber that would leave the scheduler in the
 * belief that the fiber still runs: teardown then parks what nobody wakes, and the test hangs instead of failing. From
 * now on a failed assertion prints its place and aborts the program, whose remaining tests the runner counts as failed.
 */
static inline void fibers_abort_on_failure(void)
{
	if (setenv("CMOCKA_TEST_ABORT", "1", 1) != 0)
		abort();
}

#endif
