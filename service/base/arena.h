/*
 * Bump allocation for what lives as long as one request, one snapshot or one connection. Blocks grow
 * geometrically; nothing is freed before arena_done. Not thread-safe: one owner at a time.
 */
#ifndef FERROD_BASE_ARENA_H
#define FERROD_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "service/base/macros.h"
#include "service/base/str.h"

struct arena_block;
struct arena_cleanup;

struct arena {
	struct arena_block *head;
	struct arena_cleanup *cleanups;
	size_t total; /* bytes obtained from malloc, for accounting */
};

/* An empty arena; allocates nothing yet. */
void arena_init(struct arena *a);

/* Runs the cleanups, last registered first, and frees every block; the arena is empty again. */
void arena_done(struct arena *a);

/* The same, but keeps one block of the first size for the arena's next use. */
void arena_reset(struct arena *a);

/* Zeroed memory aligned for any object; never NULL (an exhausted heap ends the process through
 * mem_fail, see mem.h: small allocations are not recoverable, large ones go through strbuf's cap). */
void *arena_alloc(struct arena *a, size_t n);

/* Zeroed array of n objects of `size` bytes; the product is overflow-checked. */
void *arena_array(struct arena *a, size_t n, size_t size);

/* A copy in the arena, with a NUL after it that len does not count; an absent span (p NULL) stays absent. */
struct str arena_str(struct arena *a, struct str s);

/* The same as a NUL-terminated C string (an inner NUL ends it early for C readers). */
char *arena_strz(struct arena *a, struct str s);

/* printf into the arena; the span has a NUL after it. */
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Calls fn(arg) at arena_done (json_decref of a tree, a reference to give back). */
void arena_on_done(struct arena *a, void (*fn)(void *), void *arg);

#endif
