/* The connection that reads of one loop turn share: who leases, who waits, when the snapshot is renewed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/wait.h"
#include "service/http/loop.h"
#include "store/exec/reader.h"
#include "tests/support/fake_driver.h"
#include "tests/support/fibers.h"

#include "service/base/banned.h"

#define IN_MS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_MS)

/* All of it belongs to the one loop's thread. */
static struct {
	struct driver driver;
	struct dsn dsn;
	struct pool *pool;
	struct reader_set *readers;
	struct loop *loop;
	uint64_t epoch;
	int n_opened, n_closed; /* snapshots */
	bool is_open;
	int n_shared, n_alone, n_failed;
	struct fiber *parked;
	bool go;
	struct err err;
} g;

static bool open_conn(struct driver_db *db, int64_t deadline, struct driver_conn **ret, struct err *err)
{
	if (!fake_driver.open(db, deadline, ret, err))
		return false;
	(*ret)->driver = &g.driver;
	return true;
}

static bool snapshot_open(struct driver_conn *c)
{
	(void)c;
	assert_false(g.is_open);
	g.is_open = true;
	g.n_opened++;
	return true;
}

static void snapshot_close(struct driver_conn *c)
{
	(void)c;
	assert_true(g.is_open);
	g.is_open = false;
	g.n_closed++;
}

static uint64_t write_epoch(void)
{
	return g.epoch;
}

static void create_pool(int64_t max)
{
	struct pool_config cfg = pool_config_default();
	struct err err;

	cfg.max_connections = max;
	cfg.acquire_timeout_s = 5;
	assert_true(pool_create(&g.driver, &g.dsn, &cfg, &g.pool, &err));
	g.readers = reader_set_create();
}

static int setup(void **state)
{
	struct err err;

	(void)state;
	memset(&g, 0, sizeof(g));
	fake_reset();
	g.driver = fake_driver;
	g.driver.open = open_conn;
	g.driver.snapshot_open = snapshot_open;
	g.driver.snapshot_close = snapshot_close;
	g.driver.write_epoch = write_epoch;
	return loop_create(&g.loop, &err) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	pool_close(g.pool);
	reader_set_unref(g.readers);
	pool_unref(g.pool);
	loop_destroy(g.loop);
	return 0;
}

/* The scenario is a fiber; the loop ends when all have, and everything was given back by then. */
static void run(void (*scenario)(void *arg))
{
	struct pool_stats st;

	loop_spawn(g.loop, scenario, NULL);
	loop_stop(g.loop);
	loop_run(g.loop);
	pool_stats(g.pool, &st);
	assert_int_equal(st.in_use, 0);
	assert_int_equal(g.n_opened, g.n_closed);
}

static void turns(int n)
{
	while (n-- > 0)
		wait_yield();
}

/* One read; parks in the middle of it when told to. */
static void read_one(int64_t deadline, bool park)
{
	struct reader *r;
	struct driver_conn *c;
	int64_t lease_ns = 0;

	if (!reader_enter(g.readers, g.pool, 0, deadline, &r, &c, &lease_ns, &g.err)) {
		g.n_failed++;
		return;
	}
	if (r == NULL) {
		g.n_alone++;
		return;
	}
	g.n_shared++;
	assert_true(g.is_open);
	g.parked = fiber_current();
	while (park && !g.go)
		fiber_park();
	assert_true(g.is_open);
	reader_leave(r);
}

static void reads(void *arg)
{
	(void)arg;
	read_one(CLOCK_NEVER, false);
}

static void reads_and_parks(void *arg)
{
	(void)arg;
	read_one(CLOCK_NEVER, true);
}

static void let_go(void)
{
	g.go = true;
	fiber_ready(g.parked);
}

static int64_t in_use(void)
{
	struct pool_stats st;

	pool_stats(g.pool, &st);
	return st.in_use;
}

static uint64_t acquired(void)
{
	struct pool_stats st;

	pool_stats(g.pool, &st);
	return st.acquired;
}

/* ---- scenarios ---- */

static void one_turn(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++)
		read_one(CLOCK_NEVER, false);
	assert_int_equal(in_use(), 0); /* held, but nothing runs */
	assert_int_equal(acquired(), 1);
	assert_int_equal(g.n_opened, 1);
	turns(2);
	assert_int_equal(in_use(), 0);
	assert_int_equal(g.n_closed, 1);
	read_one(CLOCK_NEVER, false);
	assert_int_equal(g.n_opened, 2);
}

static void test_a_turn_shares_one_lease_and_one_snapshot(void **state)
{
	(void)state;
	create_pool(5);
	run(one_turn);
	assert_int_equal(g.n_shared, 4);
}

static void commits_between(void *arg)
{
	(void)arg;
	read_one(CLOCK_NEVER, false);
	read_one(CLOCK_NEVER, false);
	g.epoch++;
	read_one(CLOCK_NEVER, false);
	assert_int_equal(g.n_opened, 2);
}

static void test_a_commit_renews_the_snapshot(void **state)
{
	(void)state;
	create_pool(5);
	run(commits_between);
	assert_int_equal(g.n_shared, 3);
}

static void one_parks(void *arg)
{
	(void)arg;
	loop_spawn(g.loop, reads_and_parks, NULL);
	turns(3);
	assert_int_equal(in_use(), 1);
	g.epoch++; /* its snapshot is its own: nobody takes it away */
	read_one(CLOCK_NEVER, false);
	assert_int_equal(g.n_alone, 1);
	let_go();
	turns(2);
	assert_int_equal(in_use(), 0);
	read_one(CLOCK_NEVER, false);
	assert_int_equal(g.n_shared, 2);
}

static void test_others_go_alone_while_one_is_parked(void **state)
{
	(void)state;
	create_pool(5);
	run(one_parks);
}

static void reads_when_it_leaves(void *arg)
{
	(void)arg;
	loop_spawn(g.loop, reads_and_parks, NULL);
	turns(3);
	let_go();
	turns(1); /* it leaves first, in this turn */
	read_one(CLOCK_NEVER, false);
	assert_int_equal(g.n_shared, 2);
	assert_int_equal(g.n_opened, 2);
}

static void test_a_snapshot_that_outlived_its_turn_serves_nobody_else(void **state)
{
	(void)state;
	create_pool(5);
	run(reads_when_it_leaves);
}

static void no_connection_free(void *arg)
{
	struct lease l = {0};

	(void)arg;
	assert_true(pool_lease(g.pool, LEASE_READ, CLOCK_NEVER, &l, &g.err));
	for (int i = 0; i < 20; i++)
		loop_spawn(g.loop, reads, NULL);
	turns(3);
	assert_int_equal(g.n_shared, 0);
	lease_release(&l);
	turns(3);
	assert_int_equal(g.n_shared, 20);
	assert_int_equal(g.n_opened, 2); /* of the one who leased, and of those who were woken in the turn after */
	turns(2);
	assert_int_equal(in_use(), 0);
}

static void test_all_who_wait_are_served_by_one_lease(void **state)
{
	(void)state;
	create_pool(1);
	run(no_connection_free);
	assert_int_equal(g.n_alone + g.n_failed, 0);
}

static void reads_in_haste(void *arg)
{
	(void)arg;
	read_one(IN_MS(20), false);
}

static void first_gives_up(void *arg)
{
	struct lease l = {0};
	struct pool_stats st;

	(void)arg;
	assert_true(pool_lease(g.pool, LEASE_READ, CLOCK_NEVER, &l, &g.err));
	loop_spawn(g.loop, reads_in_haste, NULL); /* leases for all, and gives up */
	turns(2);
	loop_spawn(g.loop, reads, NULL);
	loop_spawn(g.loop, reads_in_haste, NULL); /* waits for the first, and gives up */
	loop_spawn(g.loop, reads, NULL);
	(void)wait_until(IN_MS(60));
	assert_int_equal(g.n_failed, 2);
	assert_int_equal(g.err.code, ERR_POOL_TIMEOUT);
	pool_stats(g.pool, &st);
	assert_int_equal(st.timeouts, 2);
	lease_release(&l);
	turns(4);
	assert_int_equal(g.n_shared, 2);
}

static void test_the_next_leases_when_the_first_gives_up(void **state)
{
	(void)state;
	create_pool(1);
	run(first_gives_up);
	assert_int_equal(g.n_failed, 2);
}

static void pool_goes(void *arg)
{
	(void)arg;
	read_one(CLOCK_NEVER, false);
	pool_close(g.pool); /* the lease is out */
	turns(2);
	read_one(CLOCK_NEVER, false);
	assert_int_equal(g.n_failed, 1);
}

static void test_a_closed_pool_gets_its_connection_back(void **state)
{
	(void)state;
	create_pool(1);
	run(pool_goes);
	assert_int_equal(g.n_shared, 1);
	assert_int_equal(g.err.code, ERR_CONNECTION_NOT_FOUND);
}

static void test_a_thread_without_a_loop_shares_nothing(void **state)
{
	(void)state;
	create_pool(1);
	read_one(CLOCK_NEVER, false);
	assert_int_equal(g.n_alone, 1);
}

static void test_figures(void **state)
{
	struct lane_stats st = {0};

	(void)state;
	create_pool(5);
	run(one_turn);
	reader_stats(g.readers, &st);
	assert_int_equal(st.statements, 4);
	assert_int_equal(st.round_trips, 2);
}

/* ---- with SQLite ---- */

/* The one number that the statement yields, or -1. */
static int64_t run_sql(struct driver_conn *c, const char *text)
{
	const struct stmt s = {.sql = str_z(text), .access = STMT_UNKNOWN};
	struct cursor *cur;
	int64_t n = -1;
	bool row = true;

	assert_true(driver_sqlite.prepare(c, &s, CLOCK_NEVER, &cur, &g.err));
	while (row) {
		assert_true(driver_sqlite.step(cur, &row, &g.err));
		if (row)
			n = cur->row[0].u.i;
	}
	driver_sqlite.finish(cur);
	return n;
}

static int64_t read_number(void)
{
	struct reader *r;
	struct driver_conn *c;
	int64_t lease_ns = 0;

	assert_true(reader_enter(g.readers, g.pool, 0, CLOCK_NEVER, &r, &c, &lease_ns, &g.err));
	assert_non_null(r);
	const int64_t n = run_sql(c, "SELECT n FROM t");
	reader_leave(r);
	return n;
}

/* No thread pool: nothing parks, so all of it is one turn. */
static void writes_between(void *arg)
{
	struct lease l = {0};

	(void)arg;
	assert_true(pool_lease(g.pool, LEASE_WRITE, CLOCK_NEVER, &l, &g.err));
	(void)run_sql(l.conn, "CREATE TABLE t (n integer)");
	(void)run_sql(l.conn, "INSERT INTO t VALUES (0)");
	for (int64_t n = 1; n <= 5; n++) {
		assert_int_equal(read_number(), n - 1);
		assert_int_equal(run_sql(l.conn, "UPDATE t SET n = n + 1"), -1);
		assert_int_equal(read_number(), n);
	}
	lease_release(&l);
}

static void test_sqlite_reads_what_this_turn_has_committed(void **state)
{
	char dir[] = "/tmp/ferrod-test-XXXXXX", url[100];
	struct arena arena;
	struct dsn dsn;

	(void)state;
	arena_init(&arena);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(url, sizeof(url), "sqlite:%s/x.db?mode=rwc", dir);
	assert_true(dsn_parse(&arena, str_z(url), &dsn, &g.err));
	g.driver = driver_sqlite;
	g.dsn = dsn;
	create_pool(5);
	run(writes_between);
	pool_close(g.pool);
	(void)snprintf(url, sizeof(url), "%s/x.db", dir);
	assert_int_equal(unlink(url), 0); /* the log went with the last connection */
	assert_int_equal(rmdir(dir), 0);
	reader_set_unref(g.readers);
	pool_unref(g.pool);
	create_pool(1); /* for the teardown */
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_turn_shares_one_lease_and_one_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_commit_renews_the_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_go_alone_while_one_is_parked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_snapshot_that_outlived_its_turn_serves_nobody_else, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_all_who_wait_are_served_by_one_lease, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_next_leases_when_the_first_gives_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_closed_pool_gets_its_connection_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_thread_without_a_loop_shares_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_figures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sqlite_reads_what_this_turn_has_committed, setup, teardown),
	};
	fibers_abort_on_failure();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
