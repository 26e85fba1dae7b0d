/* An arena and an error for each test: named as setup and teardown of the test that uses them. */
#ifndef FERROD_TESTS_SUPPORT_SCRATCH_H
#define FERROD_TESTS_SUPPORT_SCRATCH_H

#include <string.h>

#include "service/base/arena.h"
#include "service/base/err.h"

static struct arena arena;
static struct err err;

static inline int setup(void **state UNUSED)
{
	arena_init(&arena);
	memset(&err, 0, sizeof(err));
	return 0;
}

static inline int teardown(void **state UNUSED)
{
	arena_done(&arena);
	return 0;
}

#endif
