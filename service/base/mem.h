/*
 * The only callers of malloc and free. All of these abort the process with one log line when the heap is exhausted,
 * but mem_try, which answers NULL. Who gets a block owns it.
 */
#ifndef FERROD_BASE_MEM_H
#define FERROD_BASE_MEM_H

#include <stddef.h>

#include "service/base/macros.h"

/* Blocks of that many bytes go back to the system when they are freed, whichever thread had them: what one large
 * request took is there for the next. */
#define MEM_LARGE (1024 * 1024)

/* First thing in the process. */
void mem_setup(void);

/* Zeroed memory of n bytes (n > 0). Owned by the caller: mem_free. */
void *mem_alloc(size_t n) MUST_CHECK;

/* Zeroed array; n * size is overflow-checked. */
void *mem_array(size_t n, size_t size) MUST_CHECK;

/* Grown or shrunk; new bytes are not zeroed. */
void *mem_realloc(void *p, size_t n) MUST_CHECK;

/* A copy of a NUL-terminated string. */
char *mem_strdup(const char *z) MUST_CHECK;

/* A NUL-terminated copy of n bytes. */
char *mem_strndup(const char *p, size_t n) MUST_CHECK;

/* For large or client-sized blocks: NULL when there is none (p may be NULL; realloc semantics). */
void *mem_try(void *p, size_t n) MUST_CHECK;

/* free(); NULL is fine. */
void mem_free(void *p);

/* One line to stderr, then abort(). */
void mem_fail(void) NORETURN;

#endif
