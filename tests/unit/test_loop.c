/* The event loop and its fibers: starting, waking, many of them, descriptors, the client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/support/two_loops.h"

#include "service/base/banned.h"

/* ---- fibers ---- */

struct numbered {
	int n;
};

static void note_number(void *arg)
{
	const struct numbered *me = arg;

	EXPECT(fiber_current() != NULL && loop_current() == g.loop[0]);
	note(me->n);
	done();
}

static void test_spawned_fibers_start_in_order(void **state)
{
	struct numbered all[32];

	(void)state;
	assert_null(fiber_current());
	assert_null(loop_current());
	for (int i = 0; i < 32; i++) {
		all[i].n = i;
		loop_spawn(g.loop[0], note_number, &all[i]);
	}
	await(32);
	for (int i = 0; i < 32; i++)
		assert_int_equal(g.order[i], i);
}

static void test_a_plain_thread_wakes_a_fiber(void **state)
{
	struct parked p = {.go = 0};

	(void)state;
	loop_spawn(g.loop[0], park_until_told, &p);
	fiber_ready(fiber_of(&p)); /* for nothing: it looks, and parks again */
	pause_until(&p.woken, 1);
	atomic_store(&p.go, 1);
	fiber_ready(fiber_of(&p));
	await(1);
}

/* Two fibers hand a ball to and fro; each wake-up crosses from one loop's thread to the other's. */
static struct {
	_Atomic(struct fiber *) fiber[2];
	atomic_int at, n_ready;
	int touched; /* by whose turn it is: the hand-over orders it */
} ball;

#define ROUNDS 3000

static void play(void *arg)
{
	const int me = ((struct numbered *)arg)->n;

	atomic_store(&ball.fiber[me], fiber_current());
	atomic_fetch_add(&ball.n_ready, 1);
	yield_until(&ball.n_ready, 2);
	for (int i = 0; i < ROUNDS; i++) {
		while (atomic_load(&ball.at) != me)
			fiber_park();
		ball.touched++;
		atomic_store(&ball.at, 1 - me);
		fiber_ready(atomic_load(&ball.fiber[1 - me]));
	}
	atomic_fetch_add(&ball.n_ready, 1);
	yield_until(&ball.n_ready, 4); /* the last wake-up finds the other still there */
	done();
}

static void test_fibers_of_two_loops_wake_each_other(void **state)
{
	struct numbered left = {0}, right = {1};

	(void)state;
	memset(&ball, 0, sizeof(ball));
	loop_spawn(g.loop[0], play, &left);
	loop_spawn(g.loop[1], play, &right);
	await(2);
	assert_int_equal(ball.touched, 2 * ROUNDS);
}

/* A fiber that ends while it is on the ready list must not take those behind it along. */
static struct parked behind[3];

static void end_while_queued(void *arg)
{
	(void)arg;
	fiber_ready(fiber_current());
	for (int i = 0; i < 3; i++) {
		atomic_store(&behind[i].go, 1);
		fiber_ready(fiber_of(&behind[i]));
	}
	done();
}

static void test_a_fiber_that_ends_while_queued_keeps_the_list(void **state)
{
	(void)state;
	for (int round = 0; round < 50; round++) {
		memset(behind, 0, sizeof(behind));
		g.n_done = 0;
		for (int i = 0; i < 3; i++)
			loop_spawn(g.loop[0], park_until_told, &behind[i]);
		for (int i = 0; i < 3; i++)
			assert_non_null(fiber_of(&behind[i]));
		loop_spawn(g.loop[0], end_while_queued, NULL);
		await(4);
	}
}

/* Its stack may serve another before the late wake-up comes: to that one it is spurious, and a wait goes on through it.
 */
static void sleep_undisturbed(void *arg)
{
	const int64_t until = IN_MS(30);

	(void)arg;
	EXPECT(wait_until(until) == WAIT_TIMEOUT);
	EXPECT(clock_mono_ns() >= until);
	done();
}

static void end_queued_and_spawn(void *arg)
{
	(void)arg;
	loop_spawn(g.loop[0], sleep_undisturbed, NULL);
	fiber_ready(fiber_current());
	done();
}

static void test_a_late_wake_up_does_not_disturb_the_next_fiber(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		loop_spawn(g.loop[0], end_queued_and_spawn, NULL);
	await(20);
}

static void stop_and_end_queued(void *arg)
{
	wait_yield(); /* from the list on which the loop looks but once more */
	loop_stop(arg);
	fiber_ready(fiber_current());
	done();
}

/* The loop ends with the ended fiber still on its list: nothing of it may be left (LeakSanitizer looks). */
static void test_a_loop_ends_with_an_ended_fiber_queued(void **state)
{
	(void)state;
	loop_spawn(g.loop[0], stop_and_end_queued, g.loop[0]);
	await(1);
	end_loop(0);
}

static void only_done(void *arg)
{
	(void)arg;
	done();
}

/* What was spawned before the loop was told to stop may own something: it still runs. */
static void test_the_last_spawned_still_run(void **state)
{
	(void)state;
	end_loop(0);
	loop_destroy(g.loop[0]);
	struct err err;
	assert_true(loop_create(&g.loop[0], &err));
	for (int i = 0; i < 3; i++)
		loop_spawn(g.loop[0], only_done, NULL);
	loop_stop(g.loop[0]);
	start_loop(0);
	pthread_join(g.thread[0], NULL);
	g.running[0] = false;
	await(3);
}

/* ---- many ---- */

static atomic_int n_in, n_let_go;

static int n_ends;
static struct loop_turn_end at_end;

static void end_again(void *arg)
{
	(void)arg;
	if (++n_ends < 3)
		fiber_thread_loop()->at_turn_end(fiber_thread_loop(), &at_end);
}

static void ask_for_ends(void *arg)
{
	(void)arg;
	at_end.fn = end_again;
	fiber_thread_loop()->at_turn_end(fiber_thread_loop(), &at_end);
	loop_stop(loop_current());
}

static void test_a_loop_ends_after_the_ends_of_its_turns(void **state)
{
	(void)state;
	loop_spawn(g.loop[0], ask_for_ends, NULL);
	end_loop(0);
	assert_int_equal(n_ends, 3);
}

static void be_one_of_many(void *arg)
{
	volatile char deep[4096]; /* each has a stack of its own */

	(void)arg;
	for (size_t i = 0; i < sizeof(deep); i += 512)
		deep[i] = (char)i;
	atomic_fetch_add(&n_in, 1);
	yield_until(&n_let_go, 1);
	for (size_t i = 0; i < sizeof(deep); i += 512)
		EXPECT(deep[i] == (char)i);
	done();
}

static void test_many_fibers_at_once(void **state)
{
	(void)state;
	atomic_store(&n_in, 0);
	atomic_store(&n_let_go, 0);
	for (int i = 0; i < 600; i++)
		loop_spawn(g.loop[i % 2], be_one_of_many, NULL);
	pause_until(&n_in, 600);
	atomic_store(&n_let_go, 1);
	await(600);
}

/* ---- descriptors ---- */

static void read_byte(void *arg)
{
	short events = 0;
	char c = 0;

	(void)arg;
	EXPECT(wait_fd(pipe_fds[0], POLLIN, clock_mono_ns(), NULL) == WAIT_TIMEOUT); /* polls once */
	EXPECT(wait_fd(pipe_fds[0], POLLIN, IN_MS(5), NULL) == WAIT_TIMEOUT);
	EXPECT(wait_fd(pipe_fds[1], POLLOUT, CLOCK_NEVER, &events) == WAIT_READY && events == POLLOUT);
	atomic_fetch_add(&n_in, 1);
	EXPECT(wait_fd(pipe_fds[0], POLLIN, CLOCK_NEVER, &events) == WAIT_READY && events == POLLIN);
	EXPECT(read(pipe_fds[0], &c, 1) == 1 && c == 'x');
	done();
}

static void test_wait_fd(void **state)
{
	(void)state;
	atomic_store(&n_in, 0);
	assert_int_equal(pipe(pipe_fds), 0);
	loop_spawn(g.loop[0], read_byte, NULL);
	pause_until(&n_in, 1);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	await(1);
	close(pipe_fds[1]);
	assert_int_equal(wait_fd(pipe_fds[0], POLLIN, CLOCK_NEVER, NULL), WAIT_READY); /* a plain thread; hung up */
	close(pipe_fds[0]);
}

static void wait_on_a_file(void *arg)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)arg;
	/* epoll refuses some descriptors: the next call on them says what there is to say */
	EXPECT(wait_fd(fd, POLLIN, IN_MS(1000 * PATIENCE_S), NULL) == WAIT_READY);
	close(fd);
	done();
}

static void test_a_descriptor_that_cannot_be_watched_is_ready(void **state)
{
	(void)state;
	loop_spawn(g.loop[0], wait_on_a_file, NULL);
	await(1);
}

static void on_watched(void *arg)
{
	(void)arg;
	EXPECT(fiber_current() == NULL);
	done();
}

static struct loop_watch watches[2];

static void watch_both(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++) {
		watches[i] = (struct loop_watch){.fd = pipe_fds[i], .fn = on_watched};
		loop_watch(g.loop[0], &watches[i], i == 0 ? EPOLLIN : EPOLLRDHUP);
	}
	loop_unwatch(g.loop[0], &watches[1]);
	loop_unwatch(g.loop[0], &watches[1]); /* once more is harmless */
	done();
}

static void unwatch(void *arg)
{
	(void)arg;
	loop_unwatch(g.loop[0], &watches[0]);
	done();
}

static void test_a_watch_calls_once(void **state)
{
	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	loop_spawn(g.loop[0], watch_both, NULL);
	await(1);
	assert_int_equal(write(pipe_fds[1], "xy", 2), 2);
	await(2);
	loop_spawn(g.loop[0], unwatch, NULL);
	await(3); /* not called again, although there is still something to read */
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* ---- the client ---- */

static struct {
	atomic_int n_runs;
	atomic_llong due;
} client;

static void client_run(void *arg)
{
	(void)arg;
	char c;

	EXPECT(fiber_current() == NULL);
	if (read(pipe_fds[0], &c, 1) == 1)
		EXPECT(c == 'x');
	atomic_store(&client.due, CLOCK_NEVER);
	atomic_fetch_add(&client.n_runs, 1);
}

static int64_t client_due(void *arg)
{
	(void)arg;
	return atomic_load(&client.due);
}

static void kick(void *arg)
{
	loop_kick(arg);
	done();
}

static void test_the_client_runs_when_it_is_due(void **state)
{
	struct loop_client c = {.run = client_run, .due = client_due};

	(void)state;
	end_loop(0);
	loop_destroy(g.loop[0]);
	struct err err;
	assert_true(loop_create(&g.loop[0], &err));
	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC), 0);
	c.fd = pipe_fds[0];
	atomic_store(&client.n_runs, 0);
	atomic_store(&client.due, IN_MS(5)); /* by time */
	loop_set_client(g.loop[0], &c);
	start_loop(0);
	pause_until(&client.n_runs, 1);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1); /* by its descriptor */
	pause_until(&client.n_runs, 2);
	loop_spawn(g.loop[0], kick, g.loop[0]); /* by being told */
	pause_until(&client.n_runs, 3);
	await(1);
	end_loop(0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_spawned_fibers_start_in_order),
		TEST(test_a_plain_thread_wakes_a_fiber),
		TEST(test_fibers_of_two_loops_wake_each_other),
		TEST(test_a_fiber_that_ends_while_queued_keeps_the_list),
		TEST(test_a_late_wake_up_does_not_disturb_the_next_fiber),
		TEST(test_a_loop_ends_with_an_ended_fiber_queued),
		TEST(test_the_last_spawned_still_run),
		TEST(test_a_loop_ends_after_the_ends_of_its_turns),
		TEST(test_many_fibers_at_once),
		TEST(test_wait_fd),
		TEST(test_a_descriptor_that_cannot_be_watched_is_ready),
		TEST(test_a_watch_calls_once),
		TEST(test_the_client_runs_when_it_is_due),
	};
	fibers_abort_on_failure();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
