/*
 * One event loop per core: epoll, timers, ready fibers and an inbox for other threads. It drives one client (the HTTP
 * server's daemon of that loop) and runs fibers in between. Everything here but loop_stop, loop_spawn and posting
 * belongs to the loop's thread. Owned by the server, which runs each in a thread of its own.
 */
#ifndef FERROD_SERVICE_LOOP_H
#define FERROD_SERVICE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "service/base/err.h"
#include "service/base/fiber.h"
#include "service/base/macros.h"

struct loop;

/* What the loop drives between fibers. */
struct loop_client {
	int fd;                    /* readable: run() is due; -1: none */
	void (*run)(void *arg);    /* never parks; runs on the thread's main stack */
	int64_t (*due)(void *arg); /* monotonic time of the next run() that no descriptor announces; 0: now */
	void *arg;
};

/* A callback when a descriptor has one of the epoll events; for callers that are no fiber. */
struct loop_watch {
	int fd;
	void (*fn)(void *arg);
	void *arg;
	bool active;
};

/* false: out of descriptors (ERR_INTERNAL_ERROR). Owned by the caller. */
bool loop_create(struct loop **ret, struct err *err) MUST_CHECK;
void loop_destroy(struct loop *l);

/* Runs on the calling thread until loop_stop and until no fiber is left, nor one that was spawned before. */
void loop_run(struct loop *l);
/* Any thread. */
void loop_stop(struct loop *l);

/* Cancels every fiber that lives on the loop, and every one that starts later; any thread. */
void loop_cancel_all(struct loop *l);

/* Borrowed for the loop's life; before loop_run or on its thread. */
void loop_set_client(struct loop *l, const struct loop_client *c);
/* Makes the client's run() due in this turn. */
void loop_kick(struct loop *l);

/* Starts a fiber on the loop; any thread. */
void loop_spawn(struct loop *l, void (*fn)(void *arg), void *arg);

/* One-shot: fn(arg) when fd has one of the events; loop_unwatch withdraws. Errors of epoll are ignored (nothing is
 * watched). */
void loop_watch(struct loop *l, struct loop_watch *w, unsigned events);
void loop_unwatch(struct loop *l, struct loop_watch *w);

/* The longest turn of any loop that runs, the present ones included: time in which a loop looked for no events. Any
 * thread. */
int64_t loop_longest_turn_ns(void);
/* The most processor time of a turn that has ended, which does not grow with what else the machine does. It may hold up
 * to 5 ms of the turns just before; of turns shorter than that nothing is known. Any thread. */
int64_t loop_longest_turn_cpu_ns(void);

/* Calls fn for each loop that is in a turn: its number, the turn's number, and for how long. Any thread; loops wait for
 * its end before they begin or end, not between turns. */
void loop_each_turn(void (*fn)(void *arg, int loop, uint64_t turn, int64_t ns), void *arg);

/* The calling thread's loop, or NULL. */
struct loop *loop_current(void);

#endif
