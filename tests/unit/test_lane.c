/* The quick lane over a driver that answers when it is told to: who leads, who travels along, who leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/lane_trips.h"

#include "service/base/banned.h"

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

static void test_no_connection_is_everybodys_failure(void **state)
{
	(void)state;
	run(closed);
	assert_int_equal(g.n_failed, 3);
	assert_int_equal(g.n_right, 0);
	assert_int_equal(g.err.code, ERR_CONNECTION_NOT_FOUND);
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
	lane_learn(lanes, g.pool, &s, CLOCK_NS_PER_S, 1); /* it was slow: by itself for a while, and then again */
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

static void tried(struct stmt *s, int64_t ns, int64_t rows)
{
	lane_learn(g.lanes, g.pool, s, ns, rows);
	lane_learn(g.lanes, g.pool, s, ns, rows);
}

/* A read of few rows that may be slow goes along once it was quick twice, and no more when it was slow. */
static void trying(void *arg)
{
	struct stmt s = g.stmt;

	(void)arg;
	s.quick = false;
	s.small = true;
	g.n_failed += lane_fits(g.lanes, g.pool, &s);
	lane_learn(g.lanes, g.pool, &s, CLOCK_NS_PER_MS, 10);
	g.n_failed += lane_fits(g.lanes, g.pool, &s);
	lane_learn(g.lanes, g.pool, &s, CLOCK_NS_PER_MS, 10);
	g.n_right += lane_fits(g.lanes, g.pool, &s);
	lane_learn(g.lanes, g.pool, &s, 21 * CLOCK_NS_PER_MS, 10);
	g.n_failed += lane_fits(g.lanes, g.pool, &s);
	tried(&s, 6 * CLOCK_NS_PER_MS, 10); /* neither quick nor slow: as before */
	g.n_failed += lane_fits(g.lanes, g.pool, &s);
	tried(&s, CLOCK_NS_PER_MS, 1000);
	g.n_right += lane_fits(g.lanes, g.pool, &s);
	lane_learn(g.lanes, g.pool, &s, CLOCK_NS_PER_MS, 1001); /* too many rows */
	g.n_failed += lane_fits(g.lanes, g.pool, &s);
}

static void test_what_may_be_slow_is_tried(void **state)
{
	(void)state;
	run(trying);
	assert_int_equal(g.n_failed, 0);
	assert_int_equal(g.n_right, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		TEST(test_what_may_be_slow_is_tried),
	};
	fibers_abort_on_failure();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
