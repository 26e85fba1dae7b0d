/* What fibers wait for: time, cancelling, turns, events, offloaded work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/two_loops.h"

#include "service/base/banned.h"

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

static void compute_first(void *arg)
{
	(void)arg;
	EXPECT(offload_compute(block, NULL, CLOCK_NEVER));
	done();
}

static void never(void *arg)
{
	(void)arg;
	EXPECT(false);
}

/* Behind one that has the only thread: two that have no time to wait for it, around one that has. */
static void compute_late(void *arg)
{
	EXPECT(!offload_compute(never, NULL, clock_mono_ns()));
	if (atomic_fetch_add((atomic_int *)arg, 1) == 1)
		atomic_store(&job.may_end, 1);
	done();
}

static void compute_in_time(void *arg)
{
	EXPECT(offload_compute(count_one, arg, CLOCK_NEVER));
	done();
}

static void test_what_no_thread_begins_in_time_is_taken_back(void **state)
{
	atomic_int n = 0;

	(void)state;
	memset(&job, 0, sizeof(job));
	offload_init(1);
	loop_spawn(g.loop[0], compute_first, NULL);
	pause_until(&job.begun, 1);
	loop_spawn(g.loop[0], compute_late, &n);
	loop_spawn(g.loop[0], compute_in_time, &n);
	loop_spawn(g.loop[0], compute_late, &n);
	await(4);
	assert_int_equal(atomic_load(&n), 3);
	offload_done();
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

/* ---- handing on ---- */

static struct {
	struct event turn[2];
	bool stop, one_left;
	int n;
} ring;

static void wait_and_note(void *arg)
{
	const int *i = arg;

	event_init(&ring.turn[*i]);
	EXPECT(event_wait(&ring.turn[*i], CLOCK_NEVER) == WAIT_READY);
	note(*i + 1);
	done();
}

static void wake_both(void *arg)
{
	(void)arg;
	note(0);
	event_set(&ring.turn[1]);
	event_set_soon(&ring.turn[0]);
	wait_yield();
	note(3);
	done();
}

/* Within the first millisecond of a turn, which a slow machine may miss. */
static void test_who_is_handed_on_to_comes_first(void **state)
{
	static int places[] = {0, 1};
	const int *order = g.order;

	(void)state;
	for (int tries = 1; tries == 1 || (tries <= (int)ARRAY_LEN(g.order) / 4 && order[1] != 1); tries++) {
		loop_spawn(g.loop[0], wait_and_note, &places[0]);
		loop_spawn(g.loop[0], wait_and_note, &places[1]);
		loop_spawn(g.loop[0], wake_both, NULL);
		await(3 * tries);
		order = g.order + (size_t)(tries - 1) * 4;
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(order[i], i);
}

static void hand_on_for_ever(void *arg)
{
	const int i = *(const int *)arg;
	struct event *mine = &ring.turn[i], *other = &ring.turn[1 - i];

	event_init(mine);
	if (i == 1)
		event_set_soon(other);
	for (;; ring.n++) {
		EXPECT(event_wait(mine, CLOCK_NEVER) == WAIT_READY);
		event_init(mine);
		if (ring.stop && ring.one_left)
			break;
		ring.one_left = ring.stop;
		event_set_soon(other);
		if (ring.stop)
			break;
	}
	done();
}

static void stop_them(void *arg)
{
	(void)arg;
	EXPECT(wait_until(IN_MS(20)) == WAIT_TIMEOUT);
	ring.stop = true;
	done();
}

static void test_handing_on_holds_nobody_up(void **state)
{
	static int places[] = {0, 1};

	(void)state;
	memset(&ring, 0, sizeof(ring));
	loop_spawn(g.loop[0], stop_them, NULL);
	loop_spawn(g.loop[0], hand_on_for_ever, &places[0]);
	loop_spawn(g.loop[0], hand_on_for_ever, &places[1]);
	await(3);
	assert_true(ring.n > 2);
}

/* ---- one descriptor, waited for again ---- */

static void wait_again_and_again(void *arg)
{
	int a[2], b[2];
	char c;

	(void)arg;
	EXPECT(pipe(a) == 0);
	for (int i = 0; i < 3; i++) {
		EXPECT(wait_fd(a[0], POLLIN, IN_MS(10), NULL) == WAIT_TIMEOUT);
		EXPECT(write(a[1], "x", 1) == 1);
		EXPECT(wait_fd(a[0], POLLIN, CLOCK_NEVER, NULL) == WAIT_READY);
		EXPECT(wait_fd(a[0], POLLIN, CLOCK_NEVER, NULL) == WAIT_READY); /* still */
		EXPECT(read(a[0], &c, 1) == 1);
	}
	/* what comes while nobody waits wakes nobody, and is there afterwards */
	EXPECT(write(a[1], "x", 1) == 1);
	EXPECT(wait_until(IN_MS(10)) == WAIT_TIMEOUT);
	EXPECT(wait_fd(a[0], POLLIN, CLOCK_NEVER, NULL) == WAIT_READY);
	/* the number is another file's */
	EXPECT(close(a[0]) == 0 && close(a[1]) == 0 && pipe(b) == 0);
	EXPECT(b[0] == a[0]);
	EXPECT(wait_fd(b[0], POLLIN, IN_MS(10), NULL) == WAIT_TIMEOUT);
	EXPECT(write(b[1], "x", 1) == 1);
	EXPECT(wait_fd(b[0], POLLIN, CLOCK_NEVER, NULL) == WAIT_READY);
	EXPECT(close(b[1]) == 0 && read(b[0], &c, 1) == 1);
	EXPECT(wait_fd(b[0], POLLIN, CLOCK_NEVER, NULL) == WAIT_READY); /* its end */
	EXPECT(close(b[0]) == 0);
	done();
}

static void test_one_descriptor_again_and_again(void **state)
{
	(void)state;
	loop_spawn(g.loop[0], wait_again_and_again, NULL);
	await(1);
}

static void wait_once(void *arg)
{
	EXPECT(wait_fd(*(const int *)arg, POLLIN, IN_MS(10000), NULL) == WAIT_READY);
	done();
}

/* It wanders from loop to loop, as a connection of a pool does. */
static void test_one_descriptor_by_turns(void **state)
{
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	for (int i = 0; i < 6; i++) {
		loop_spawn(g.loop[i % 2], wait_once, &p[0]);
		await(i + 1);
	}
	(void)close(p[0]);
	(void)close(p[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_who_is_handed_on_to_comes_first),
		TEST(test_handing_on_holds_nobody_up),
		TEST(test_deadlines_come_in_their_order),
		TEST(test_one_descriptor_again_and_again),
		TEST(test_one_descriptor_by_turns),
		TEST(test_cancel_and_shield),
		TEST(test_cancel_all_holds_for_those_to_come),
		TEST(test_turns_go_by_arrival),
		TEST(test_who_gives_up_leaves_the_queue),
		TEST(test_grants_and_deadlines_that_meet),
		TEST(test_a_fiber_sets_a_plain_threads_event),
		TEST(test_offload_parks_and_is_never_abandoned),
		TEST(test_what_no_thread_begins_in_time_is_taken_back),
		TEST(test_offload_from_many_and_without_a_pool),
	};
	fibers_abort_on_failure();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
