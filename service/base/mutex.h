/*
 * Locks. `struct mutex` is a plain thread mutex for short critical sections: never held across a park. `struct turn`
 * is fiber-aware, first come, first served, may be held across parks, and its wait has a deadline: the order in which
 * requests use one session's transaction or one database's writer. Both are members of what they guard, and owned by
 * it.
 */
#ifndef FERROD_BASE_MUTEX_H
#define FERROD_BASE_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/macros.h"
#include "service/base/wait.h"

struct mutex {
	pthread_mutex_t m;
};

void mutex_init(struct mutex *m);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

struct turn_waiter;

struct turn {
	struct mutex lock;
	bool held;
	struct turn_waiter *head, *tail; /* arrival order; the nodes live on the waiters' stacks */
	size_t n_waiting;
};

void turn_init(struct turn *t);
/* Nobody may hold it or wait for it. */
void turn_done(struct turn *t);
/* Waits for the turn. n_max: refuse at once (WAIT_TIMEOUT with *ret_full = true when ret_full is not
 * NULL) when that many wait already; 0: no bound. Only WAIT_READY means that the caller holds it. */
enum wait_result turn_take(struct turn *t, int64_t deadline_ns, size_t n_max, bool *ret_full) MUST_CHECK;
/* Waits for it as event_wait_until does, in its place all the time. */
enum wait_result turn_take_until(struct turn *t, int64_t (*until)(void *arg), void *arg) MUST_CHECK;
/* Takes it only when nobody holds it or waits. */
bool turn_try(struct turn *t) MUST_CHECK;
/* Hands it straight to the first waiter, if any. Any thread. */
void turn_give(struct turn *t);

#endif
