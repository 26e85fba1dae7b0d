/* A binary heap of waits, by their deadlines. */
#include "service/http/timers.h"

#include "service/base/mem.h"

#include "service/base/banned.h"

static void heap_set(struct timers *t, size_t i, struct loop_wait *w)
{
	t->heap[i] = w;
	w->heap_index = i;
}

static void heap_up(struct timers *t, size_t i, struct loop_wait *w)
{
	while (i > 0 && t->heap[(i - 1) / 2]->deadline > w->deadline) {
		heap_set(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(t, i, w);
}

static void heap_down(struct timers *t, size_t i, struct loop_wait *w)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= t->n)
			break;
		if (child + 1 < t->n && t->heap[child + 1]->deadline < t->heap[child]->deadline)
			child++;
		if (t->heap[child]->deadline >= w->deadline)
			break;
		heap_set(t, i, t->heap[child]);
		i = child;
	}
	heap_set(t, i, w);
}

void timers_add(struct timers *t, struct loop_wait *w)
{
	if (t->n == t->size) {
		t->size = t->size > 0 ? t->size * 2 : 64;
		t->heap = mem_realloc(t->heap, t->size * sizeof(struct loop_wait *));
	}
	heap_up(t, t->n++, w);
}

void timers_remove(struct timers *t, struct loop_wait *w)
{
	size_t i = w->heap_index;
	w->heap_index = SIZE_MAX;
	struct loop_wait *last = t->heap[--t->n];
	if (last == w)
		return;
	if (i > 0 && t->heap[(i - 1) / 2]->deadline > last->deadline)
		heap_up(t, i, last);
	else
		heap_down(t, i, last);
}

void timers_done(struct timers *t)
{
	mem_free(t->heap);
	*t = (struct timers){0};
}
