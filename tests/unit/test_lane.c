/* The quick lane over a driver that answers when it is told to: who leads, who travels along, who leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/wait.h"
#include "service/http/loop.h"
#include "store/exec/lane.h"
#include "tests/support/fake_driver.h"
#include "tests/support/fibers.h"

#include "service/base/banned.h"

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
	bool go[TRIPS_MAX];
	int n_trips, n_under_way, most_under_way;
	bool hold;
	int64_t commit_ns; /* of each write */
	size_t n_let;      /* so many of each pipeline are answered before it waits to be let go */
	int n_results, n_dropped, n_right, n_failed;
	struct fiber *caller;
	struct err err;
} g;

static void run_batch(struct driver_conn *c, struct batch_item *const *items, size_t n, int64_t deadline_ns)
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
		fiber_park();
	g.n_under_way--;
	for (size_t i = 0; i < n; i++) {
		items[i]->result = mem_alloc(1);
		g.n_results++;
	}
}

static void run_writes(struct driver_conn *c, struct batch_item *const *items, size_t n, int64_t deadline_ns)
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
			fiber_park();
		if (g.commit_ns > 0)
			(void)wait_until(clock_mono_ns() + g.commit_ns);
		items[i]->result = mem_alloc(1);
		g.n_results++;
		items[i]->done(items[i]);
	}
	g.n_under_way--;
}

static bool groups_writes(const struct driver_db *db)
{
	(void)db;
	return true;
}

static void batch_drop(struct batch_item *item)
{
	mem_free(item->result);
	item->result = NULL;
	g.n_dropped++;
}

static int setup(void **state)
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

static int teardown(void **state)
{
	(void)state;
	pool_close(g.pool);
	lane_set_destroy(g.lanes);
	pool_unref(g.pool);
	loop_destroy(g.loop);
	return 0;
}

static void be_there(void *arg)
{
	(void)arg;
	wait_yield();
}

/* The scenario is a fiber, too; the loop ends when all have. Stacks are made beforehand: under a thread sanitizer that
 * takes so long that writes seem stuck. */
static void run(void (*scenario)(void *arg))
{
	for (int i = 0; i < 48; i++)
		loop_spawn(g.loop, be_there, NULL);
	loop_spawn(g.loop, scenario, NULL);
	loop_stop(g.loop);
	loop_run(g.loop);
	assert_int_equal(g.n_results, g.n_dropped);
	assert_int_equal(g.n_under_way, 0);
}

static void let_go(int trip)
{
	g.go[trip] = true;
	fiber_ready(g.held[trip]);
}

static void turns(int n)
{
	while (n-- > 0)
		wait_yield();
}

static void call_until(int64_t deadline)
{
	struct batch_item item;

	if (!lane_fits(g.lanes, g.pool, &g.stmt)) {
		g.n_failed += 100;
		return;
	}
	if (lane_run(g.lanes, g.pool, &g.stmt, deadline, &item, &g.err)) {
		g.n_right += item.result != NULL;
		batch_drop(&item);
	} else {
		g.n_failed++;
	}
}

static void call(void *arg)
{
	(void)arg;
	g.caller = fiber_current();
	call_until(CLOCK_NEVER);
}

static void spawn_calls(int n)
{
	while (n-- > 0)
		loop_spawn(g.loop, call, NULL);
	turns(3);
}

/* ---- who travels with whom ---- */

static void gathering(void *arg)
{
	(void)arg;
	spawn_calls(5);  /* of one turn: one round trip */
	spawn_calls(3);  /* the second that may be under way */
	spawn_calls(70); /* wait for either */
	let_go(1);
	turns(6); /* its leader passes on; as many as fit into one go together */
	let_go(0);
	turns(6);
	g.hold = false;
	let_go(2);
	let_go(3);
}

static void test_what_gathers_travels_together(void **state)
{
	(void)state;
	run(gathering);
	assert_int_equal(g.n_right, 78);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.most_under_way, LANE_LEADERS);
	assert_int_equal(g.n_trips, 4);
	assert_int_equal(g.sizes[0], 5);
	assert_int_equal(g.sizes[1], 3);
	assert_int_equal(g.sizes[2], 64);
	assert_int_equal(g.sizes[3], 6);
}

/* A leader that ends hands its place to the first who waits; that one must not be a leader already, about to leave: the
 * place would be lost, and with it half of what the lane can do. */
static void call_as_the_other_ends(void *arg)
{
	let_go(0); /* resumes before our own turn to lead has come */
	call(arg);
}

static void losing_a_place(void *arg)
{
	(void)arg;
	spawn_calls(1);
	loop_spawn(g.loop, call_as_the_other_ends, NULL);
	turns(6);
	let_go(1);
	turns(6);
	spawn_calls(1); /* both places are free again */
	spawn_calls(1);
	g.n_failed += g.n_under_way != LANE_LEADERS;
	g.hold = false;
	let_go(2);
	if (g.n_trips > 3)
		let_go(3);
}

static void test_no_place_is_lost(void **state)
{
	(void)state;
	run(losing_a_place);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_right, 4);
	assert_int_equal(g.n_trips, 4);
}

/* ---- who leaves ---- */

static void leaving(void *arg)
{
	(void)arg;
	spawn_calls(2); /* the second follows: g.caller */
	fiber_cancel(g.caller);
	turns(4);
	g.n_right += 10 * g.n_failed; /* it has left while its statement is on its way */
	let_go(0);
}

static void test_a_follower_that_leaves_while_its_statement_runs(void **state)
{
	(void)state;
	run(leaving);
	assert_int_equal(g.n_failed, 1);
	assert_true(g.err.cancelled);
	assert_int_equal(g.n_right, 10 + 1);
	assert_int_equal(g.n_dropped, 2); /* the leader dropped what was nobody's any more */
}

static void call_briefly(void *arg)
{
	(void)arg;
	call_until(IN_MS(2100)); /* with less it would go by itself */
}

static void late(void *arg)
{
	(void)arg;
	spawn_calls(1);
	spawn_calls(1);
	loop_spawn(g.loop, call_briefly, NULL); /* nobody takes it */
	while (g.n_failed == 0)
		(void)wait_until(IN_MS(1));
	spawn_calls(1); /* the queue is in order after it has left */
	let_go(0);
	let_go(1);
	turns(8);
	g.hold = false;
	let_go(2);
}

static void test_one_whose_time_is_over_before_it_is_taken(void **state)
{
	(void)state;
	run(late);
	assert_int_equal(g.n_failed, 1);
	assert_int_equal(g.err.code, ERR_STATEMENT_TIMEOUT);
	assert_false(g.err.cancelled);
	assert_int_equal(g.n_right, 3);
	assert_int_equal(g.n_results, 3);
}

static void cancelled_leader(void *arg)
{
	(void)arg;
	spawn_calls(1);
	fiber_cancel(g.held[0]); /* others' answers hang on it */
	turns(4);
	g.n_right += 10 * g.n_under_way;
	spawn_calls(1);
	let_go(0);
	turns(4);
	g.hold = false;
	let_go(1);
}

static void test_a_leader_goes_on_without_its_client(void **state)
{
	(void)state;
	run(cancelled_leader);
	assert_int_equal(g.n_right, 12);
	assert_int_equal(g.n_failed, 0);
}

/* ---- no connection ---- */

static void closed(void *arg)
{
	(void)arg;
	pool_close(g.pool);
	spawn_calls(3);
}

static void test_no_connection_is_everybodys_failure(void **state)
{
	(void)state;
	run(closed);
	assert_int_equal(g.n_failed, 3);
	assert_int_equal(g.n_right, 0);
	assert_int_equal(g.err.code, ERR_CONNECTION_NOT_FOUND);
}

/* ---- pipelines of writes ---- */

static int setup_writes(void **state)
{
	const int rc = setup(state);

	g.driver.run_writes = run_writes;
	g.driver.groups_writes = groups_writes;
	g.driver.many_writers = true;
	g.stmt.access = STMT_WRITE;
	return rc;
}

/* What waits is spread evenly over those that may lead; what comes later waits for them. */
static void spreading(void *arg)
{
	(void)arg;
	spawn_calls(7);
	g.n_failed += g.n_under_way != LANE_LEADERS || g.sizes[0] != 4 || g.sizes[1] != 3;
	spawn_calls(30);
	g.n_failed += g.n_under_way != LANE_LEADERS;
	let_go(1);
	turns(6); /* one of those that wait leads, with as many as a pipeline takes */
	g.n_failed += g.n_trips != 3 || g.sizes[2] != 8;
	g.hold = false;
	let_go(0);
	let_go(2);
}

static void test_writes_are_spread(void **state)
{
	struct lane_stats reads, writes;

	(void)state;
	run(spreading);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_right, 37);
	lane_stats(g.lanes, &reads, &writes);
	assert_int_equal(reads.statements, 0);
	assert_int_equal(writes.statements, 37);
	assert_int_equal(writes.round_trips, g.n_trips);
	assert_int_equal(writes.again, 0);
}

/* A write is answered when it is done, not when the last one of its pipeline is; but the one that leads. */
static void answering(void *arg)
{
	(void)arg;
	g.n_let = 2;
	spawn_calls(6);
	turns(3);
	g.n_failed += g.n_under_way != 2 || g.n_right != 2;
	let_go(0);
	turns(3);
	g.n_failed += g.n_under_way != 1 || g.n_right != 4;
	let_go(1);
}

static void test_each_write_is_answered_when_it_is_done(void **state)
{
	(void)state;
	run(answering);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_right, 6);
}

/* One that was sent stays, whether or not its client does: what became of it is worth knowing. */
static void leaving_a_write(void *arg)
{
	(void)arg;
	spawn_calls(6); /* the last one follows: g.caller */
	fiber_cancel(g.caller);
	turns(4);
	g.n_failed += 10 * g.n_right;
	let_go(0);
	let_go(1);
}

static void test_a_write_that_was_sent_stays(void **state)
{
	(void)state;
	run(leaving_a_write);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_right, 6);
}

/* But not beyond its time: then it is unknown. It must have had some when it was sent. */
static void call_for_2_seconds(void *arg)
{
	(void)arg;
	call_until(IN_MS(2100));
}

static void outlasting(void *arg)
{
	(void)arg;
	loop_spawn(g.loop, call, NULL);
	loop_spawn(g.loop, call, NULL);
	loop_spawn(g.loop, call_for_2_seconds, NULL);
	turns(4);
	g.n_right += 10 * (g.sizes[0] == 2);
	while (g.n_failed == 0)
		(void)wait_until(IN_MS(5));
	let_go(0);
	let_go(1);
}

static void test_a_write_whose_time_is_over_is_unknown(void **state)
{
	(void)state;
	run(outlasting);
	assert_int_equal(g.n_failed, 1);
	assert_int_equal(g.err.code, ERR_STATEMENT_TIMEOUT);
	assert_int_equal(g.err.outcome, ERR_OUTCOME_UNKNOWN);
	assert_int_equal(g.n_right, 12);
}

/* Nothing moves: those that wait lead, as long as the pool has connections. */
static void stuck(void *arg)
{
	(void)arg;
	spawn_calls(1);
	spawn_calls(1);
	spawn_calls(2);
	g.n_failed += g.n_trips != LANE_LEADERS;
	while (g.n_trips < LANE_LEADERS + 1)
		(void)wait_until(IN_MS(1));
	g.hold = false;
	for (int i = 0; i < g.n_trips; i++)
		let_go(i);
}

static void test_writes_go_round_what_is_stuck(void **state)
{
	(void)state;
	run(stuck);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_right, 4);
}

static void turns_only(void *arg)
{
	(void)arg;
	turns(2);
}

/* While commits take their time as many connections as there are share the work, afterwards few do. */
static void call_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++)
		call_until(CLOCK_NEVER);
}

static void slow_commits(void *arg)
{
	(void)arg;
	g.hold = false;
	g.commit_ns = CLOCK_NS_PER_MS;
	for (int i = 0; i < 24; i++)
		loop_spawn(g.loop, call_often, NULL);
	while (g.n_right < 24 * 20)
		(void)wait_until(IN_MS(5));
	g.n_failed += g.most_under_way != 5;
	g.commit_ns = 0;
	for (int i = 0; i < 24; i++)
		loop_spawn(g.loop, call_often, NULL);
	while (g.n_right < 2 * 24 * 20)
		(void)wait_until(IN_MS(1));
	g.hold = true;
	for (int i = 0; i < 5; i++)
		spawn_calls(1);
	g.n_failed += g.n_under_way != LANE_LEADERS;
	g.hold = false;
	let_go(g.n_trips - 2);
	let_go(g.n_trips - 1);
}

static void test_connections_follow_the_commits(void **state)
{
	(void)state;
	run(slow_commits);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_right, 2 * 24 * 20 + 5);
}

static void call_big(void *arg)
{
	const size_t n = 100 * 1024;
	char *text = mem_alloc(n);
	const struct value big = value_text(str_n(text, n));
	struct stmt s = g.stmt;
	struct batch_item item;

	(void)arg;
	s.params = &big;
	s.n_params = 1;
	g.n_failed += lane_run(g.lanes, g.pool, &s, CLOCK_NEVER, &item, &g.err) || !item.again;
	s.n_params = 0;
	g.n_failed += lane_run(g.lanes, g.pool, &s, IN_MS(1000), &item, &g.err) || !item.again;
	mem_free(text);
}

static void test_what_goes_by_itself(void **state)
{
	(void)state;
	loop_spawn(g.loop, call_big, NULL);
	run(turns_only);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_trips, 0);
}

static void test_no_connection_for_writes(void **state)
{
	(void)state;
	run(closed);
	assert_int_equal(g.n_failed, 3);
	assert_int_equal(g.err.outcome, ERR_OUTCOME_NOT_STARTED);
}

/* ---- what belongs in it ---- */

static void fitting(void *arg)
{
	struct stmt s = g.stmt;
	struct lane_set *lanes = g.lanes;

	(void)arg;
	g.n_right += lane_fits(lanes, g.pool, &s);
	s.quick = false;
	g.n_failed += lane_fits(lanes, g.pool, &s);
	s.quick = true;
	s.access = STMT_WRITE;
	g.n_failed += lane_fits(lanes, g.pool, &s);
	s.access = STMT_READ;
	s.cache = false;
	g.n_failed += lane_fits(lanes, g.pool, &s);
	s.cache = true;
	lane_learn(lanes, g.pool, &s, CLOCK_NS_PER_S); /* it was slow: by itself for a while, and then again */
	g.n_failed += lane_fits(lanes, g.pool, &s);
	for (int i = 0; i < 1000 && g.n_right == 1; i++)
		g.n_right += lane_fits(lanes, g.pool, &s);
}

static void test_what_fits(void **state)
{
	(void)state;
	assert_false(lane_fits(g.lanes, g.pool, &g.stmt)); /* not on a fiber */
	run(fitting);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_right, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WRITES(name) cmocka_unit_test_setup_teardown(name, setup_writes, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_gathers_travels_together),
		TEST(test_no_place_is_lost),
		TEST(test_a_follower_that_leaves_while_its_statement_runs),
		TEST(test_one_whose_time_is_over_before_it_is_taken),
		TEST(test_a_leader_goes_on_without_its_client),
		TEST(test_no_connection_is_everybodys_failure),
		TEST(test_what_fits),
		TEST_WRITES(test_writes_are_spread),
		TEST_WRITES(test_each_write_is_answered_when_it_is_done),
		TEST_WRITES(test_a_write_that_was_sent_stays),
		TEST_WRITES(test_a_write_whose_time_is_over_is_unknown),
		TEST_WRITES(test_writes_go_round_what_is_stuck),
		TEST_WRITES(test_connections_follow_the_commits),
		TEST_WRITES(test_what_goes_by_itself),
		TEST_WRITES(test_no_connection_for_writes),
	};
	fibers_abort_on_failure();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
