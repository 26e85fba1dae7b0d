/* The waits of a loop that have a deadline, earliest first. The loop owns the heap, and its thread alone touches it;
 * who waits owns the wait (service/base/fiber.h). */
#ifndef FERROD_HTTP_TIMERS_H
#define FERROD_HTTP_TIMERS_H

#include "service/base/fiber.h"

struct timers {
	struct loop_wait **heap; /* owned; heap[0] is due first */
	size_t n, size;
};

void timers_add(struct timers *t, struct loop_wait *w);
/* w is in it; its heap_index says so no more afterwards. */
void timers_remove(struct timers *t, struct loop_wait *w);
void timers_done(struct timers *t);

#endif
