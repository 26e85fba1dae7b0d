/* The quick lane's pipelines of writes: how they are spread, answered and left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/exec/lane_queue.h"
#include "tests/support/lane_trips.h"

#include "service/base/banned.h"

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

/* Where nothing moves for LANE_STUCK_NS others lead, and a statement that waits for the processor counts as slow: on a
 * busy machine a scenario may show something else than it is there to show. It is played until it does, a bounded
 * number of times: what is never so is not so. */
static void run_until_right(void **state, void (*scenario)(void *arg), int n_failed, int n_right)
{
	run(scenario);
	for (int i = 0; i < 50 && (g.n_failed != n_failed || g.n_right != n_right); i++) {
		(void)teardown(state);
		assert_int_equal(setup_writes(state), 0);
		run(scenario);
	}
	assert_int_equal(g.n_failed, n_failed);
	assert_int_equal(g.n_right, n_right);
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

	run_until_right(state, spreading, 0, 37);
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
	run_until_right(state, answering, 0, 6);
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
	run_until_right(state, leaving_a_write, 0, 6);
}

/* But not beyond its time: then it is unknown. It must have had some when it was sent. */
static void call_for_2_seconds(void *arg)
{
	(void)arg;
	call_until(IN_MS(2100));
}

static void outlasting(void *arg)
{
	const int64_t enough = IN_MS(10000);
	(void)arg;
	loop_spawn(g.loop, call, NULL);
	loop_spawn(g.loop, call, NULL);
	loop_spawn(g.loop, call_for_2_seconds, NULL);
	turns(4);
	g.n_right += 10 * (g.sizes[0] == 2);
	while (g.n_failed == 0 && clock_mono_ns() < enough)
		(void)wait_until(IN_MS(5));
}

static void test_a_write_whose_time_is_over_is_unknown(void **state)
{
	run_until_right(state, outlasting, 1, 12);
	assert_int_equal(g.err.code, ERR_STATEMENT_TIMEOUT);
	assert_int_equal(g.err.outcome, ERR_OUTCOME_UNKNOWN);
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
	run_until_right(state, stuck, 0, 4);
}

static void turns_only(void *arg)
{
	(void)arg;
	turns(2);
}

#define CALLERS 24
#define CALLS 20

/* A statement that had to wait for a busy machine counts as slow and goes by itself: another one is taken, a digit
 * longer. */
static void call_often(void *arg)
{
	static char text[512] = "SELECT 1";
	int *n_back = arg;
	for (int i = 0; i < CALLS; i++) {
		if (!lane_fits(g.lanes, g.pool, &g.stmt) && g.stmt.sql.len < sizeof(text)) {
			text[g.stmt.sql.len] = '1';
			g.stmt.sql = str_n(text, g.stmt.sql.len + 1);
		}
		call_until(CLOCK_NEVER);
	}
	++*n_back;
}

static void callers(int64_t commit_ns)
{
	int n_back = 0;
	g.commit_ns = commit_ns;
	for (int i = 0; i < CALLERS; i++)
		loop_spawn(g.loop, call_often, &n_back);
	while (n_back < CALLERS)
		(void)wait_until(IN_MS(1));
}

/* While commits take their time as many connections as there are share the work, afterwards few do. */
static void slow_commits(void *arg)
{
	(void)arg;
	g.hold = false;
	callers(CLOCK_NS_PER_MS);
	g.n_failed += g.most_under_way != 5;
	callers(0);
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
	run_until_right(state, slow_commits, 0, 2 * CALLERS * CALLS + 5);
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
	g.n_failed += lane_run(g.lanes, g.pool, &s, 0, CLOCK_NEVER, &item, &g.err) || !item.again;
	s.n_params = 0;
	g.n_failed += lane_run(g.lanes, g.pool, &s, 0, IN_MS(1000), &item, &g.err) || !item.again;
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

#define TEST_WRITES(name) cmocka_unit_test_setup_teardown(name, setup_writes, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
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
