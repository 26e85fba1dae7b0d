/*
 * The primitives by which store code waits. In a fiber they park it; on a plain thread (unit tests, start-up) they
 * block. Deadlines are CLOCK_MONOTONIC nanoseconds (clock.h). The caller owns what it waits on.
 */
#ifndef FERROD_BASE_WAIT_H
#define FERROD_BASE_WAIT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "service/base/macros.h"

enum wait_result {
	WAIT_READY,
	WAIT_TIMEOUT,
	WAIT_CANCELLED /* fiber_cancel: the client is gone or the server gives up on the request */
};

/* Waits until fd is readable (POLLIN), writable (POLLOUT) or either. An error or hang-up on fd counts as
 * ready. A deadline in the past polls once. *ret_events, when not NULL, gets POLLIN / POLLOUT bits. */
enum wait_result wait_fd(int fd, short events, int64_t deadline_ns, short *ret_events) MUST_CHECK;

/* Sleeps. WAIT_TIMEOUT when the time has come. */
enum wait_result wait_until(int64_t time_ns);

/* Lets other fibers of this loop run, then goes on; a no-op outside fibers. */
void wait_yield(void);

/* The same for one that computes for long, called now and then: all such fibers of the loop together get the time that
 * is left, and when others keep the loop busy as much time as those. */
void wait_step_aside(void);

/* For work whose length others choose (documents, models, plans): steps aside once it has had the loop for longer than
 * a few milliseconds. Cheap enough for every element of a list; parks, so no lock may be held. */
void wait_may_step_aside(void);

/* Runs fn(arg) on a small thread pool and waits for its end, cancelled or not (fn is never abandoned).
 * For calls that block in the kernel: name lookup, fsync. fn must not use fibers or thread-locals. */
void offload(void (*fn)(void *arg), void *arg);

/* The same for what computes for long, on threads of its own: those of offload stay free for commits. False: all of
 * them were busy until the deadline, and fn has not been called. */
bool offload_compute(void (*fn)(void *arg), void *arg, int64_t deadline_ns) MUST_CHECK;

/* Starts / joins `n_threads` for each of the two. Without them offload calls fn directly. */
void offload_init(unsigned n_threads);
void offload_done(void);

/*
 * A one-shot flag that one waiter waits for. Memory is the waiter's (usually its stack); whoever calls
 * event_set must hold a lock that the waiter takes before it lets the event go out of scope.
 */
struct event {
	int set;             /* atomic */
	struct fiber *fiber; /* the waiter, NULL for a plain thread */
};

/* Binds the event to the calling fiber or thread. */
void event_init(struct event *e);

/* Sets it and wakes the waiter. Any thread. */
void event_set(struct event *e);
/* The same for a fiber of the calling thread's loop: it runs in this turn of the loop still (fiber_ready_soon). */
void event_set_soon(struct event *e);

/* Waits until it is set (WAIT_READY), the deadline, or cancellation. */
enum wait_result event_wait(struct event *e, int64_t deadline_ns) MUST_CHECK;
/* The same until a time that may change: once it has come `until` is asked again, and the wait ends when it names one
 * that is over. */
enum wait_result event_wait_until(struct event *e, int64_t (*until)(void *arg), void *arg) MUST_CHECK;

#endif
