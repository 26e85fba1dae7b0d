/* Two event loops on threads of their own, and what their fibers tell the test. */
#ifndef FERROD_TESTS_SUPPORT_TWO_LOOPS_H
#define FERROD_TESTS_SUPPORT_TWO_LOOPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mutex.h"
#include "service/base/wait.h"
#include "service/http/loop.h"
#include "tests/support/fibers.h"

#define MS(n) ((int64_t)(n)*CLOCK_NS_PER_MS)
#define IN_MS(n) (clock_mono_ns() + MS(n))
#define PATIENCE_S 30

static struct {
	struct loop *loop[2];
	pthread_t thread[2];
	bool running[2];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int n_done; /* under lock */
	atomic_int wrong;
	int order[64]; /* under lock */
	int n_order;
} g;

#define EXPECT(cond) expect((cond), #cond, __LINE__)

static inline void expect(bool ok, const char *what, int line)
{
	if (ok)
		return;
	fprintf(stderr, "line %d: not so: %s\n", line, what);
	atomic_fetch_add(&g.wrong, 1);
}

/* ---- the two loops ---- */

static inline void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static inline void start_loop(int i)
{
	assert_int_equal(pthread_create(&g.thread[i], NULL, run_loop, g.loop[i]), 0);
	g.running[i] = true;
}

static inline void end_loop(int i)
{
	if (!g.running[i])
		return;
	loop_stop(g.loop[i]);
	pthread_join(g.thread[i], NULL);
	g.running[i] = false;
}

static inline int setup(void **state)
{
	struct err err;

	(void)state;
	memset(&g, 0, sizeof(g));
	pthread_mutex_init(&g.lock, NULL);
	pthread_cond_init(&g.changed, NULL);
	for (int i = 0; i < 2; i++) {
		if (!loop_create(&g.loop[i], &err))
			return -1;
		start_loop(i);
	}
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		end_loop(i);
		loop_destroy(g.loop[i]);
	}
	pthread_cond_destroy(&g.changed);
	pthread_mutex_destroy(&g.lock);
	return 0;
}

static inline void done(void)
{
	pthread_mutex_lock(&g.lock);
	g.n_done++;
	pthread_cond_broadcast(&g.changed);
	pthread_mutex_unlock(&g.lock);
}

static inline void note(int what)
{
	pthread_mutex_lock(&g.lock);
	if (g.n_order < (int)ARRAY_LEN(g.order))
		g.order[g.n_order++] = what;
	pthread_mutex_unlock(&g.lock);
}

/* Waits until n have said that they are done, and checks that nothing went wrong in them. */
static inline void await(int n)
{
	struct timespec until;
	int got;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&g.lock);
	while (g.n_done < n && pthread_cond_timedwait(&g.changed, &g.lock, &until) == 0)
		;
	got = g.n_done;
	pthread_mutex_unlock(&g.lock);
	assert_int_equal(got, n);
	assert_int_equal(atomic_load(&g.wrong), 0);
}

/* Of a fiber: lets others run until the flag is up. */
static inline void yield_until(const atomic_int *flag, int at_least)
{
	const int64_t patience = IN_MS(PATIENCE_S * 1000);

	while (atomic_load(flag) < at_least && clock_mono_ns() < patience)
		(void)wait_until(IN_MS(1));
	EXPECT(atomic_load(flag) >= at_least);
}

static inline void pause_until(const atomic_int *flag, int at_least)
{
	const int64_t patience = IN_MS(PATIENCE_S * 1000);

	while (atomic_load(flag) < at_least && clock_mono_ns() < patience)
		(void)wait_until(IN_MS(1)); /* a plain thread: sleeps */
	assert_true(atomic_load(flag) >= at_least);
}

struct parked {
	_Atomic(struct fiber *) fiber;
	atomic_int go, woken;
};

static inline void park_until_told(void *arg)
{
	struct parked *p = arg;

	atomic_store(&p->fiber, fiber_current());
	while (atomic_load(&p->go) == 0) {
		fiber_park();
		atomic_fetch_add(&p->woken, 1);
	}
	done();
}

static inline struct fiber *fiber_of(struct parked *p)
{
	const int64_t patience = IN_MS(PATIENCE_S * 1000);
	struct fiber *f;

	while ((f = atomic_load(&p->fiber)) == NULL && clock_mono_ns() < patience)
		(void)wait_until(IN_MS(1));
	return f;
}

/* A pipe of the running test. */
static int pipe_fds[2];

#endif
