/* The quick lane over a driver that answers when it is told to. */
#ifndef FERROD_TESTS_SUPPORT_LANE_TRIPS_H
#define FERROD_TESTS_SUPPORT_LANE_TRIPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/wait.h"
#include "service/http/loop.h"
#include "store/exec/lane.h"
#include "tests/support/fake_driver.h"
#include "tests/support/fibers.h"

#define IN_MS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_MS)
#define TRIPS_MAX 1024

/* All of it belongs to the one loop's thread while that runs. */
static struct {
	struct driver driver;
	struct dsn dsn;
	struct pool *pool;
	struct lane_set *lanes;
	struct loop *loop;
	struct stmt stmt;
	struct fiber *held[TRIPS_MAX]; /* the leader of a round trip that waits to be let go */
	size_t sizes[TRIPS_MAX];
	bool go[TRIPS_MAX], parked[TRIPS_MAX];
	int n_trips, n_under_way, most_under_way;
	bool hold;
	int64_t commit_ns; /* of each write */
	size_t n_let;      /* so many of each pipeline are answered before it waits to be let go */
	int n_results, n_dropped, n_right, n_failed;
	struct fiber *caller;
	struct err err;
} g;

static inline void stay(int trip)
{
	g.parked[trip] = true;
	fiber_park();
	g.parked[trip] = false;
}

static inline void run_batch(struct driver_conn *c, struct batch_item *const *items, size_t n, int64_t deadline_ns)
{
	const int trip = g.n_trips++;

	(void)c;
	(void)deadline_ns;
	g.sizes[trip] = n;
	g.n_under_way++;
	if (g.n_under_way > g.most_under_way)
		g.most_under_way = g.n_under_way;
	g.held[trip] = fiber_current();
	while (g.hold && !g.go[trip])
		stay(trip);
	g.n_under_way--;
	for (size_t i = 0; i < n; i++) {
		items[i]->result = mem_alloc(1);
		g.n_results++;
	}
}

static inline void run_writes(struct driver_conn *c, struct batch_item *const *items, size_t n, int64_t deadline_ns)
{
	const int trip = g.n_trips++;

	(void)c;
	(void)deadline_ns;
	g.sizes[trip] = n;
	if (++g.n_under_way > g.most_under_way)
		g.most_under_way = g.n_under_way;
	g.held[trip] = fiber_current();
	for (size_t i = 0; i < n; i++) {
		while (g.hold && !g.go[trip] && i >= g.n_let)
			stay(trip);
		if (g.commit_ns > 0)
			(void)wait_until(clock_mono_ns() + g.commit_ns);
		items[i]->result = mem_alloc(1);
		g.n_results++;
		items[i]->done(items[i]);
	}
	g.n_under_way--;
}

static inline bool groups_writes(const struct driver_db *db)
{
	(void)db;
	return true;
}

static inline void batch_drop(struct batch_item *item)
{
	mem_free(item->result);
	item->result = NULL;
	g.n_dropped++;
}

static inline int setup(void **state)
{
	struct pool_config cfg = pool_config_default();
	struct err err;

	(void)state;
	memset(&g, 0, sizeof(g));
	fake_reset();
	g.driver = fake_driver;
	g.driver.run_batch = run_batch;
	g.driver.batch_drop = batch_drop;
	g.stmt = (struct stmt){.sql = STR("SELECT 1"), .access = STMT_READ, .cache = true, .quick = true};
	g.hold = true;
	cfg.acquire_timeout_s = 5;
	g.lanes = lane_set_create();
	return loop_create(&g.loop, &err) && pool_create(&g.driver, &g.dsn, &cfg, &g.pool, &err) ? 0 : -1;
}

static inline int teardown(void **state)
{
	(void)state;
	pool_close(g.pool);
	lane_set_destroy(g.lanes);
	pool_unref(g.pool);
	loop_destroy(g.loop);
	return 0;
}

static inline void be_there(void *arg)
{
	(void)arg;
	wait_yield();
}

static inline void let_go(int trip)
{
	g.go[trip] = true;
	fiber_ready(g.held[trip]);
}

/* Lets go what the scenario has left: round trips that it did not expect, on a machine that was busy. */
static inline void play(void *arg)
{
	void (*const *scenario)(void *arg) = arg;

	(*scenario)(NULL);
	g.hold = false;
	for (int i = 0; i < g.n_trips; i++)
		if (g.parked[i] && !g.go[i])
			let_go(i);
}

/* The scenario is a fiber, too; the loop ends when all have. Stacks are made beforehand: under a thread sanitizer that
 * takes so long that writes seem stuck. */
static inline void run(void (*scenario)(void *arg))
{
	for (int i = 0; i < 48; i++)
		loop_spawn(g.loop, be_there, NULL);
	loop_spawn(g.loop, play, &scenario);
	loop_stop(g.loop);
	loop_run(g.loop);
	assert_int_equal(g.n_results, g.n_dropped);
	assert_int_equal(g.n_under_way, 0);
}

static inline void turns(int n)
{
	while (n-- > 0)
		wait_yield();
}

static inline void call_until(int64_t deadline)
{
	struct batch_item item;

	if (!lane_fits(g.lanes, g.pool, &g.stmt)) {
		g.n_failed += 100;
		return;
	}
	if (lane_run(g.lanes, g.pool, &g.stmt, clock_mono_ns(), deadline, &item, &g.err)) {
		g.n_right += item.result != NULL;
		batch_drop(&item);
	} else {
		g.n_failed++;
	}
}

static inline void call(void *arg)
{
	(void)arg;
	g.caller = fiber_current();
	call_until(CLOCK_NEVER);
}

static inline void spawn_calls(int n)
{
	while (n-- > 0)
		loop_spawn(g.loop, call, NULL);
	turns(3);
}

static inline void closed(void *arg)
{
	(void)arg;
	pool_close(g.pool);
	spawn_calls(3);
}

#endif
