/*
 * Fibers: one request runs on a small pooled stack of its own and may park; the loop of its thread
 * then runs others. A fiber never changes threads. Stacks have a guard page below them, and every
 * switch is announced to ASan, TSan and valgrind.
 */
#ifndef FERROD_BASE_FIBER_H
#define FERROD_BASE_FIBER_H

#include <stdbool.h>
#include <stddef.h>

#include "service/base/macros.h"

struct fiber;

/* What the thread's event loop offers to fibers (service/loop.c). Thread-local; NULL outside loops. */
struct fiber_loop {
	/* Puts a parked fiber of this loop on the ready list; callable from any thread. */
	void (*post)(struct fiber_loop *loop, struct fiber *f);
	/* Calls fiber_ready(f) once when fd has one of the epoll events, or at the deadline (monotonic ns).
	 * *ret_events gets the epoll events, 0 at the deadline. Loop thread only; returns a wait handle. */
	struct loop_wait *(*arm)(struct fiber_loop *loop, struct fiber *f, int fd, unsigned events, long long deadline,
				 unsigned *ret_events);
	/* Withdraws an armed wait, fired or not. Loop thread only. */
	void (*disarm)(struct fiber_loop *loop, struct loop_wait *w);
};

/* Registers the calling thread's loop; NULL to leave. Also frees the thread's pooled stacks on NULL. */
void fiber_thread_init(struct fiber_loop *loop);

/* Creates a fiber on this thread's loop and runs it at once until it parks or ends. Returns true when
 * it has ended already. `fn` runs on the fiber's stack (LIMIT_FIBER_STACK bytes). NULL fiber memory is
 * recycled after fn has returned. Must be called from the thread's main stack, not from a fiber. */
bool fiber_start(void (*fn)(void *arg), void *arg, struct fiber **ret_parked);

/* Runs a parked fiber until it parks again or ends; true when it has ended. Main stack only. */
bool fiber_resume(struct fiber *f);

/* The running fiber, or NULL on a thread's own stack. */
struct fiber *fiber_current(void);

/* Parks the running fiber until fiber_ready; may return spuriously: callers re-check their condition. */
void fiber_park(void);

/* Makes f runnable; any thread. Waking a fiber that is running or ended is harmless. */
void fiber_ready(struct fiber *f);

/* Asks f to stop waiting: wait_* in it answer WAIT_CANCELLED from now on (unless shielded). Any thread. */
void fiber_cancel(struct fiber *f);

/* True when the running fiber was asked to stop and is not shielded. False outside fibers. */
bool fiber_cancelled(void);

/* Between these, the running fiber's waits ignore cancellation (roll back, hand a connection back).
 * Nestable; no-ops outside fibers. */
void fiber_shield(void);
void fiber_unshield(void);

/* Fibers that have started and not ended on this thread. */
size_t fiber_count(void);

#endif
