/* An arena and an error for each test, for files whose own setup and teardown begin and end them. */
#ifndef FERROD_TESTS_SUPPORT_SCRATCH_ARENA_H
#define FERROD_TESTS_SUPPORT_SCRATCH_ARENA_H

#include <string.h>

#include "service/base/arena.h"
#include "service/base/err.h"

static struct arena arena;
static struct err err;

static inline void scratch_begin(void)
{
	arena_init(&arena);
	memset(&err, 0, sizeof(err));
}

static inline void scratch_end(void)
{
	arena_done(&arena);
}

#endif
