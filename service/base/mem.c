/* The heap: malloc and friends, with "no memory" made fatal where nobody could do better. */
#include "service/base/mem.h"

#include "service/base/fault.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/base/banned.h"

void mem_setup(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, MEM_LARGE);
	(void)mallopt(M_TRIM_THRESHOLD, 4 * MEM_LARGE);
}

void *mem_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (UNLIKELY(p == NULL))
		mem_fail();
	return p;
}

void *mem_array(size_t n, size_t size)
{
	void *p = calloc(n != 0 ? n : 1, size); /* calloc checks the product */

	if (UNLIKELY(p == NULL))
		mem_fail();
	return p;
}

void *mem_realloc(void *p, size_t n)
{
	void *q = realloc(p, n != 0 ? n : 1);

	if (UNLIKELY(q == NULL))
		mem_fail();
	return q;
}

char *mem_strdup(const char *z)
{
	return mem_strndup(z, strlen(z));
}

char *mem_strndup(const char *p, size_t n)
{
	char *copy;

	if (UNLIKELY(n == SIZE_MAX))
		mem_fail();
	copy = malloc(n + 1);
	if (UNLIKELY(copy == NULL))
		mem_fail();
	if (n != 0)
		memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

void *mem_try(void *p, size_t n)
{
#ifdef FERROD_FAULTS
	if (fault_due())
		return NULL;
#endif
	return realloc(p, n != 0 ? n : 1);
}

void mem_free(void *p)
{
	free(p);
}

void mem_fail(void)
{
	static const char line[] = "{\"level\":\"error\",\"event\":\"out_of_memory\"}\n";
	/* The line is all that can be done: nothing is left to do when even this fails. */
	ssize_t n UNUSED
	= write(STDERR_FILENO, line, sizeof(line) - 1);

	abort();
}
