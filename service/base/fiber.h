/*
 * Fibers: one request runs on a small pooled stack of its own and may park; the loop of its thread
 * then runs others. A fiber never changes threads. Stacks have a guard page below them, and every
 * switch is announced to ASan, TSan and valgrind.
 */
#ifndef FERROD_BASE_FIBER_H
#define FERROD_BASE_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/macros.h"

struct fiber;

/* One thing a fiber waits for; on its stack, registered with its loop while it is parked. */
struct loop_wait {
	struct fiber *fiber;
	int fd;           /* -1: the deadline alone */
	unsigned events;  /* EPOLLIN, EPOLLOUT */
	int64_t deadline; /* monotonic ns; CLOCK_NEVER: none */
	unsigned revents; /* epoll events that came; 0: none so far */
	bool timed_out;
	size_t heap_index; /* the loop's; SIZE_MAX: not in its timer heap */
};

/* Something to do once when the loop's present turn ends: after the fibers and requests of the turn have run, before
 * the loop waits again. fn runs on the thread's main stack and must not park; it may ask for the next turn's end.
 * Memory is the caller's, until fn runs. */
struct loop_turn_end {
	void (*fn)(void *arg);
	void *arg;
	struct loop_turn_end *next; /* the loop's */
};

/* What the thread's event loop offers to fibers (service/http/loop.c). */
struct fiber_loop {
	/* Puts a fiber of this loop on the ready list; callable from any thread. */
	void (*post)(struct fiber_loop *loop, struct fiber *f);
	/* The same, but in this turn still, before what comes from outside is looked at, unless the turn has lasted for
	 * long. Loop thread only. */
	void (*post_soon)(struct fiber_loop *loop, struct fiber *f);
	/* The same as post for one that computes for long: it runs when the loop has nothing else to do, and as long as
	 * others do at most. Loop thread only. */
	void (*post_aside)(struct fiber_loop *loop, struct fiber *f);
	/* Registers w; when its fd is ready or its deadline has come, the loop marks w and resumes w->fiber. Loop
	 * thread only. A descriptor that epoll cannot watch counts as ready at once. */
	void (*arm)(struct fiber_loop *loop, struct loop_wait *w);
	/* Withdraws w, fired or not. Loop thread only. */
	void (*disarm)(struct fiber_loop *loop, struct loop_wait *w);
	/* Runs e->fn when the turn ends; e must not be waiting for that already. Loop thread only. */
	void (*at_turn_end)(struct fiber_loop *loop, struct loop_turn_end *e);
};

/* Registers the calling thread's loop; NULL to leave. Also frees the thread's pooled stacks on NULL. */
void fiber_thread_init(struct fiber_loop *loop);

/* Creates a fiber on this thread's loop and runs it at once until it parks or ends. Returns true when
 * it has ended already; else *ret_parked is the fiber (valid until fiber_resume answers true). `fn` runs on a stack of
 * LIMIT_FIBER_STACK bytes. Must be called from the thread's main stack, not from a fiber. */
bool fiber_start(void (*fn)(void *arg), void *arg, struct fiber **ret_parked);

/* Runs a fiber that `post` was given until it parks again or ends; true when it has ended (or had before: a late
 * wake-up). Main stack only. */
bool fiber_resume(struct fiber *f);

/* The loop's ready list is threaded through this link. */
struct fiber **fiber_link(struct fiber *f);

/* The running fiber, or NULL on a thread's own stack. */
struct fiber *fiber_current(void);

/* Parks the running fiber until fiber_ready; may return spuriously: callers re-check their condition. */
void fiber_park(void);

/* Makes f runnable; any thread. Waking a fiber that is running or ended is harmless. */
void fiber_ready(struct fiber *f);

/* The same for a fiber of the calling thread's loop that what the loop does now is handed on to (post_soon). */
void fiber_ready_soon(struct fiber *f);

/* Parks the running fiber until the loop has served others (post_aside). */
void fiber_step_aside(void);

/* Processor time that the running fiber has had since it first asked: 0 then. Two system calls a run from then on. In a
 * fiber only. */
int64_t fiber_cpu_ns(void);

/* Books that the running fiber was kept waiting for the sake of others alone: whoever bounds the time of its work puts
 * the bound off by what has been added meanwhile. fiber_held: in a fiber only; fiber_held_ns: 0 outside. */
void fiber_held(int64_t ns);
int64_t fiber_held_ns(void);

/* Asks f to stop waiting: wait_* in it answer WAIT_CANCELLED from now on (unless shielded). Any thread. */
void fiber_cancel(struct fiber *f);

/* fiber_cancel for every fiber of the calling thread, and for those that it starts from now on. Main stack only. */
void fiber_cancel_all(void);

/* How often fibers have been given this thread so far: what has not changed is of one run without a park. */
uint64_t fiber_runs(void);

/* The loop of the running fiber; NULL outside fibers. */
struct fiber_loop *fiber_current_loop(void);

/* The calling thread's loop; NULL when it has none. */
struct fiber_loop *fiber_thread_loop(void);

/* A number from 0 to FIBER_LOOPS_MAX - 1 that the calling thread's loop has to itself while it is registered, for what
 * is kept per loop; -1: the thread has no loop, or too many have one. */
#define FIBER_LOOPS_MAX 64
int fiber_loop_number(void);

/* True when the running fiber was asked to stop and is not shielded. False outside fibers. */
bool fiber_cancelled(void);

/* Was f asked to stop, shielded or not? Any thread: for one that works for a parked fiber (wait.h, offload). */
bool fiber_cancel_asked(const struct fiber *f);

/* Between these, the running fiber's waits ignore cancellation (roll back, hand a connection back).
 * Nestable; no-ops outside fibers. */
void fiber_shield(void);
void fiber_unshield(void);
bool fiber_shielded(void);

/* Fibers that have started and not ended on this thread. */
size_t fiber_count(void);

#endif
