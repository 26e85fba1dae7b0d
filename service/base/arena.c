/* Bump allocation: a list of blocks, the newest in front, and a list of cleanups. */
#include "service/base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "service/base/mem.h"

#include "service/base/banned.h"

#define BLOCK_BYTES_MIN 4096
#define BLOCK_BYTES_MAX ((size_t)256 * 1024)
#define LARGE_BYTES ((size_t)4 * 1024 * 1024) /* an arena of that size grows by blocks of MEM_LARGE */

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t size; /* bytes of data */
	alignas(max_align_t) unsigned char data[];
};

struct arena_cleanup {
	struct arena_cleanup *next;
	void (*fn)(void *arg);
	void *arg;
};

void arena_init(struct arena *a)
{
	*a = (struct arena){0};
}

/* A cleanup may still use the arena, even register another one. */
static void run_cleanups(struct arena *a)
{
	while (a->cleanups != NULL) {
		struct arena_cleanup *c = a->cleanups;

		a->cleanups = c->next;
		c->fn(c->arg);
	}
}

void arena_done(struct arena *a)
{
	run_cleanups(a);
	while (a->head != NULL) {
		struct arena_block *b = a->head;

		a->head = b->next;
		mem_free(b);
	}
	a->total = 0;
}

void arena_reset(struct arena *a)
{
	struct arena_block *kept = NULL;

	run_cleanups(a);
	while (a->head != NULL) {
		struct arena_block *b = a->head;

		a->head = b->next;
		if (kept == NULL && b->size == BLOCK_BYTES_MIN - sizeof(*b))
			kept = b;
		else
			mem_free(b);
	}
	a->total = 0;
	if (kept == NULL)
		return;
	kept->next = NULL;
	kept->used = 0;
	a->head = kept;
	a->total = BLOCK_BYTES_MIN;
}

/* A block with room for n bytes, linked in. It becomes the head unless the head has more room left. */
static struct arena_block *add_block(struct arena *a, size_t n)
{
	struct arena_block *b;
	size_t size = BLOCK_BYTES_MIN;

	if (n > SIZE_MAX / 2)
		mem_fail();
	if (a->head != NULL)
		size = a->total < BLOCK_BYTES_MAX ? a->total : a->total < LARGE_BYTES ? BLOCK_BYTES_MAX : MEM_LARGE;
	size -= sizeof(*b);
	if (size < n)
		size = n;
	b = mem_realloc(NULL, sizeof(*b) + size);
	b->used = 0;
	b->size = size;
	a->total += sizeof(*b) + size;
	if (a->head != NULL && size == n && a->head->size - a->head->used > 0) {
		b->next = a->head->next;
		a->head->next = b;
	} else {
		b->next = a->head;
		a->head = b;
	}
	return b;
}

/* Where the head has no room. */
static __attribute__((noinline)) void *alloc_elsewhere(struct arena *a, size_t room)
{
	struct arena_block *b;

	if (room > SIZE_MAX / 2)
		mem_fail();
	b = add_block(a, room);
	b->used = room;
	return b->data;
}

/* Memory that is not zeroed. */
static inline void *alloc_raw(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *b = a->head;
	/* a size that wraps around becomes one that no head has room for */
	const size_t room = n <= SIZE_MAX / 2 ? ((n | (n == 0)) + align - 1) & ~(align - 1) : n;

	if (LIKELY(b != NULL && b->size - b->used >= room)) {
		void *p = b->data + b->used;

		b->used += room;
		return p;
	}
	return alloc_elsewhere(a, room);
}

void *arena_alloc(struct arena *a, size_t n)
{
	void *p = alloc_raw(a, n);

	if (n != 0)
		memset(p, 0, n);
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		mem_fail();
	return arena_alloc(a, total);
}

struct str arena_str(struct arena *a, struct str s)
{
	if (s.p == NULL)
		return STR_NONE;
	return str_n(arena_strz(a, s), s.len);
}

char *arena_strz(struct arena *a, struct str s)
{
	char *p;

	if (s.len > SIZE_MAX / 2)
		mem_fail();
	p = alloc_raw(a, s.len + 1);
	if (s.len != 0)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return p;
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	p = alloc_raw(a, (size_t)n + 1);
	va_start(ap, fmt);
	n = vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return str_n(p, (size_t)n);
}

void arena_on_done(struct arena *a, void (*fn)(void *), void *arg)
{
	struct arena_cleanup *c = arena_alloc(a, sizeof(*c));

	c->fn = fn;
	c->arg = arg;
	c->next = a->cleanups;
	a->cleanups = c;
}
