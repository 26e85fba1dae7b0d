/*
 * Fibers, waits, turns, offload and the event loop, over two loops on threads of their own beside the plain thread of
 * the test. What goes wrong in a fiber is counted (EXPECT), for cmocka's asserts cannot leave a fiber's stack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mutex.h"
#include "service/base/wait.h"
#include "service/http/loop.h"
#include "tests/support/fibers.h"

#include "service/base/banned.h"

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

static void expect(bool ok, const char *what, int line)
{
	if (ok)
		return;
	fprintf(stderr, "line %d: not so: %s\n", line, what);
	atomic_fetch_add(&g.wrong, 1);
}

/* ---- the two loops ---- */

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void start_loop(int i)
{
	assert_int_equal(pthread_create(&g.thread[i], NULL, run_loop, g.loop[i]), 0);
	g.running[i] = true;
}

static void end_loop(int i)
{
	if (!g.running[i])
		return;
	loop_stop(g.loop[i]);
	pthread_join(g.thread[i], NULL);
	g.running[i] = false;
}

static int setup(void **state)
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

static int teardown(void **state)
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

static void done(void)
{
	pthread_mutex_lock(&g.lock);
	g.n_done++;
	pthread_cond_broadcast(&g.changed);
	pthread_mutex_unlock(&g.lock);
}

static void note(int what)
{
	pthread_mutex_lock(&g.lock);
	if (g.n_order < (int)ARRAY_LEN(g.order))
		g.order[g.n_order++] = what;
	pthread_mutex_unlock(&g.lock);
}

/* Waits until n have said that they are done, and checks that nothing went wrong in them. */
static void await(int n)
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
static void yield_until(const atomic_int *flag, int at_least)
{
	const int64_t patience = IN_MS(PATIENCE_S * 1000);

	while (atomic_load(flag) < at_least && clock_mono_ns() < patience)
		(void)wait_until(IN_MS(1));
	EXPECT(atomic_load(flag) >= at_least);
}

static void pause_until(const atomic_int *flag, int at_least)
{
	const int64_t patience = IN_MS(PATIENCE_S * 1000);

	while (atomic_load(flag) < at_least && clock_mono_ns() < patience)
		(void)wait_until(IN_MS(1)); /* a plain thread: sleeps */
	assert_true(atomic_load(flag) >= at_least);
}

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

struct parked {
	_Atomic(struct fiber *) fiber;
	atomic_int go, woken;
};

static void park_until_told(void *arg)
{
	struct parked *p = arg;

	atomic_store(&p->fiber, fiber_current());
	while (atomic_load(&p->go) == 0) {
		fiber_park();
		atomic_fetch_add(&p->woken, 1);
	}
	done();
}

static struct fiber *fiber_of(struct parked *p)
{
	const int64_t patience = IN_MS(PATIENCE_S * 1000);
	struct fiber *f;

	while ((f = atomic_load(&p->fiber)) == NULL && clock_mono_ns() < patience)
		(void)wait_until(IN_MS(1));
	return f;
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

static int pipe_fds[2];

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

/* ---- time ---- */

struct sleeper {
	int n;
	int64_t until;
};

static void sleep_and_note(void *arg)
{
	const struct sleeper *s = arg;

	EXPECT(wait_until(s->until) == WAIT_TIMEOUT);
	EXPECT(clock_mono_ns() >= s->until);
	note(s->n);
	done();
}

static void test_deadlines_come_in_their_order(void **state)
{
	static const int places[] = {5, 2, 7, 0, 3, 6, 1, 4};
	struct sleeper all[ARRAY_LEN(places)];
	const int64_t base = IN_MS(100);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		all[i] = (struct sleeper){places[i], base + MS(20) * places[i]};
		loop_spawn(g.loop[0], sleep_and_note, &all[i]);
	}
	await((int)ARRAY_LEN(places));
	for (int i = 0; i < (int)ARRAY_LEN(places); i++)
		assert_int_equal(g.order[i], i);
}

/* ---- cancelling ---- */

static void wait_to_be_cancelled(void *arg)
{
	struct parked *p = arg;

	atomic_store(&p->fiber, fiber_current());
	EXPECT(wait_until(CLOCK_NEVER) == WAIT_CANCELLED);
	EXPECT(fiber_cancelled());
	EXPECT(wait_fd(pipe_fds[0], POLLIN, CLOCK_NEVER, NULL) == WAIT_CANCELLED); /* and from now on */

	fiber_shield();
	fiber_shield();
	fiber_unshield();
	EXPECT(fiber_shielded() && !fiber_cancelled() && fiber_cancel_asked(fiber_current()));
	const int64_t until = IN_MS(20);
	EXPECT(wait_until(until) == WAIT_TIMEOUT && clock_mono_ns() >= until);
	fiber_unshield();
	EXPECT(!fiber_shielded() && fiber_cancelled());
	EXPECT(wait_until(CLOCK_NEVER) == WAIT_CANCELLED);
	done();
}

static void test_cancel_and_shield(void **state)
{
	struct parked p = {.go = 0};
	struct sleeper other = {1, IN_MS(150)};

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	loop_spawn(g.loop[0], sleep_and_note, &other); /* whose timer stays while others are withdrawn */
	loop_spawn(g.loop[0], wait_to_be_cancelled, &p);
	fiber_cancel(fiber_of(&p));
	await(2);
	assert_false(fiber_cancelled());
	assert_false(fiber_shielded());
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void cancelled_from_birth(void *arg)
{
	(void)arg;
	EXPECT(fiber_cancelled());
	EXPECT(wait_until(CLOCK_NEVER) == WAIT_CANCELLED);
	done();
}

static void test_cancel_all_holds_for_those_to_come(void **state)
{
	struct parked p[3] = {{.go = 0}};

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	for (int i = 0; i < 3; i++)
		loop_spawn(g.loop[0], wait_to_be_cancelled, &p[i]);
	for (int i = 0; i < 3; i++)
		assert_non_null(fiber_of(&p[i]));
	loop_cancel_all(g.loop[0]);
	await(3);
	loop_spawn(g.loop[0], cancelled_from_birth, NULL);
	await(4);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* ---- turns ---- */

static struct turn turn;

struct taker {
	int n, in_ms; /* in_ms 0: no deadline */
	enum wait_result want;
	_Atomic(struct fiber *) fiber;
};

static void take_turn(void *arg)
{
	struct taker *t = arg;

	atomic_store(&t->fiber, fiber_current());
	enum wait_result r = turn_take(&turn, t->in_ms > 0 ? IN_MS(t->in_ms) : CLOCK_NEVER, 0, NULL);
	EXPECT(r == t->want);
	if (r == WAIT_READY) {
		note(t->n);
		wait_yield(); /* held across a park */
		turn_give(&turn);
	}
	done();
}

static void await_waiting(size_t n)
{
	const int64_t patience = IN_MS(PATIENCE_S * 1000);
	size_t waiting;

	do {
		(void)wait_until(IN_MS(1));
		mutex_lock(&turn.lock);
		waiting = turn.n_waiting;
		mutex_unlock(&turn.lock);
	} while (waiting != n && clock_mono_ns() < patience);
	assert_int_equal(waiting, n);
}

static void test_turns_go_by_arrival(void **state)
{
	struct taker all[10];

	(void)state;
	turn_init(&turn);
	assert_true(turn_try(&turn));
	assert_false(turn_try(&turn));
	for (int i = 0; i < 10; i++) {
		all[i] = (struct taker){.n = i, .want = WAIT_READY};
		loop_spawn(g.loop[i % 2], take_turn, &all[i]);
		await_waiting((size_t)i + 1);
	}
	turn_give(&turn);
	await(10);
	for (int i = 0; i < 10; i++)
		assert_int_equal(g.order[i], i);
	assert_true(turn_try(&turn)); /* nobody has kept it */
	turn_done(&turn);
}

static void test_who_gives_up_leaves_the_queue(void **state)
{
	struct taker first = {.n = 1, .want = WAIT_READY}, late = {.n = 2, .in_ms = 20, .want = WAIT_TIMEOUT},
		     gone = {.n = 3, .want = WAIT_CANCELLED}, last = {.n = 4, .want = WAIT_READY};
	struct taker *all[] = {&first, &late, &gone, &last};
	bool full;

	(void)state;
	turn_init(&turn);
	assert_int_equal(turn_take(&turn, CLOCK_NEVER, 0, NULL), WAIT_READY);
	loop_spawn(g.loop[0], take_turn, &first);
	await_waiting(1);
	loop_spawn(g.loop[1], take_turn, &gone);
	await_waiting(2);
	loop_spawn(g.loop[0], take_turn, &last);
	await_waiting(3);
	assert_int_equal(turn_take(&turn, CLOCK_NEVER, 3, &full), WAIT_TIMEOUT);
	assert_true(full);
	assert_int_equal(turn_take(&turn, IN_MS(5), 4, &full), WAIT_TIMEOUT); /* a plain thread's deadline */
	assert_false(full);
	loop_spawn(g.loop[1], take_turn, &late);
	fiber_cancel(atomic_load(&gone.fiber));
	await(2);
	await_waiting(2);
	turn_give(&turn);
	await((int)ARRAY_LEN(all));
	assert_int_equal(g.order[0], 1);
	assert_int_equal(g.order[1], 4);
	assert_true(turn_try(&turn));
	turn_done(&turn);
}

/* Deadlines and grants that meet: whoever is told READY holds it, and it is never lost. */
static atomic_int inside;

static void contend(void *arg)
{
	(void)arg;
	for (int i = 0; i < 60; i++) {
		if (turn_take(&turn, clock_mono_ns() + 50000 * (i % 7), 0, NULL) != WAIT_READY)
			continue;
		EXPECT(atomic_fetch_add(&inside, 1) == 0);
		if (i % 3 == 0)
			(void)wait_until(clock_mono_ns() + 50000);
		atomic_fetch_sub(&inside, 1);
		turn_give(&turn);
	}
	done();
}

static void test_grants_and_deadlines_that_meet(void **state)
{
	(void)state;
	atomic_store(&inside, 0);
	turn_init(&turn);
	for (int i = 0; i < 16; i++)
		loop_spawn(g.loop[i % 2], contend, NULL);
	contend(NULL); /* a plain thread among them */
	await(17);
	assert_true(turn_try(&turn));
	turn_done(&turn);
}

/* ---- events ---- */

static struct {
	struct mutex lock;
	struct event *event; /* under lock */
} letter;

static void send_letter(void *arg)
{
	(void)arg;
	mutex_lock(&letter.lock);
	event_set(letter.event);
	mutex_unlock(&letter.lock);
	done();
}

static void test_a_fiber_sets_a_plain_threads_event(void **state)
{
	struct event e;

	(void)state;
	mutex_init(&letter.lock);
	event_init(&e);
	letter.event = &e;
	assert_int_equal(event_wait(&e, IN_MS(5)), WAIT_TIMEOUT);
	loop_spawn(g.loop[1], send_letter, NULL);
	assert_int_equal(event_wait(&e, IN_MS(PATIENCE_S * 1000)), WAIT_READY);
	assert_int_equal(event_wait(&e, CLOCK_NEVER), WAIT_READY); /* it stays set */
	mutex_lock(&letter.lock);                                  /* before e goes */
	mutex_unlock(&letter.lock);
	await(1);
	mutex_done(&letter.lock);
}

/* ---- offload ---- */

static struct {
	atomic_int begun, may_end, ended;
	pthread_t thread;
} job;

static void block(void *arg)
{
	(void)arg;
	job.thread = pthread_self();
	atomic_store(&job.begun, 1);
	const int64_t patience = IN_MS(PATIENCE_S * 1000);
	while (atomic_load(&job.may_end) == 0 && clock_mono_ns() < patience)
		usleep(1000);
	atomic_store(&job.ended, 1);
}

static void offload_one(void *arg)
{
	struct parked *p = arg;

	atomic_store(&p->fiber, fiber_current());
	offload(block, NULL);
	EXPECT(atomic_load(&job.ended) == 1);
	EXPECT(!pthread_equal(job.thread, pthread_self()));
	EXPECT(fiber_cancelled()); /* asked meanwhile; the call was not abandoned for it */
	done();
}

static void let_it_end(void *arg)
{
	(void)arg;
	yield_until(&job.begun, 1); /* the loop runs others while one of its fibers is in a blocking call */
	atomic_store(&job.may_end, 1);
	done();
}

static void test_offload_parks_and_is_never_abandoned(void **state)
{
	struct parked p = {.go = 0};

	(void)state;
	memset(&job, 0, sizeof(job));
	offload_init(2);
	loop_spawn(g.loop[0], offload_one, &p);
	struct fiber *f = fiber_of(&p);
	pause_until(&job.begun, 1);
	fiber_cancel(f);
	assert_int_equal(atomic_load(&job.ended), 0);
	loop_spawn(g.loop[0], let_it_end, NULL);
	await(2);
	offload_done();
}

static void count_one(void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
}

static void offload_often(void *arg)
{
	for (int i = 0; i < 20; i++)
		offload(count_one, arg);
	done();
}

static void test_offload_from_many_and_without_a_pool(void **state)
{
	atomic_int n = 0;

	(void)state;
	loop_spawn(g.loop[0], offload_often, &n); /* no pool: called in place */
	await(1);
	offload_init(2);
	for (int i = 0; i < 20; i++)
		loop_spawn(g.loop[i % 2], offload_often, &n);
	await(21);
	offload_done();
	offload(count_one, &n); /* a plain thread: called in place */
	assert_int_equal(atomic_load(&n), 21 * 20 + 1);
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
		TEST(test_deadlines_come_in_their_order),
		TEST(test_cancel_and_shield),
		TEST(test_cancel_all_holds_for_those_to_come),
		TEST(test_turns_go_by_arrival),
		TEST(test_who_gives_up_leaves_the_queue),
		TEST(test_grants_and_deadlines_that_meet),
		TEST(test_a_fiber_sets_a_plain_threads_event),
		TEST(test_offload_parks_and_is_never_abandoned),
		TEST(test_offload_from_many_and_without_a_pool),
	};
	fibers_abort_on_failure();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
