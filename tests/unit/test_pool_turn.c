/* The pool and the writer's turn, then SQLite under load from several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/failing_pool.h"

/* ---- the writer's turn ----------------------------------------------------------------------------- */

static void writers_take_turns(void **state)
{
	struct lease w = {0}, r;

	(void)state;
	fake.has_turn = true;
	make_pool(3, 0.05);
	assert_true(pool_lease(pool, LEASE_WRITE, CLOCK_NEVER, &w, &err));
	assert_true(w.writer);
	r = lease();
	no_lease(LEASE_WRITE, ERR_POOL_TIMEOUT);
	assert_false(lease_upgrade(&r, CLOCK_NEVER, &err));
	assert_int_equal(err.code, ERR_POOL_TIMEOUT);
	assert_false(r.writer);
	lease_release(&w);
	assert_true(lease_upgrade(&r, CLOCK_NEVER, &err));
	assert_true(lease_upgrade(&r, CLOCK_NEVER, &err));
	no_lease(LEASE_WRITE, ERR_POOL_TIMEOUT);
	lease_release(&r);
	assert_true(pool_lease(pool, LEASE_WRITE, CLOCK_NEVER, &w, &err));
	lease_release(&w);
}

/* One holds the turn and wants a connection, the other holds the only connection and wants the turn. */
static void turn_and_connection_do_not_deadlock(void **state)
{
	struct client c = {.mode = LEASE_WRITE};
	struct lease r;

	(void)state;
	fake.has_turn = true;
	make_pool(1, 5);
	r = lease();
	assert_int_equal(pthread_create(&c.thread, NULL, client_main, &c), 0);
	wait_for_waiting(1);
	assert_true(lease_upgrade(&r, CLOCK_NEVER, &err));
	assert_int_equal(pthread_join(c.thread, NULL), 0);
	assert_true(c.ok);
	assert_true(c.ns < 4 * CLOCK_NS_PER_S);
	lease_release(&r);
	assert_int_equal(stats().size, 1);
}

/* Its page cache is as the database is; what another has committed would empty it. */
static void who_writes_gets_the_connection_that_wrote_last(void **state)
{
	struct lease readers[3], w = {0};
	const struct driver_conn *wrote;

	(void)state;
	fake.has_turn = true;
	make_pool(3, 5);
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		readers[i] = lease();
	wrote = readers[1].conn;
	assert_true(lease_upgrade(&readers[1], CLOCK_NEVER, &err));
	lease_release(&readers[1]);
	lease_release(&readers[0]);
	lease_release(&readers[2]); /* the last one that is idle is the next one for a reader */
	for (int i = 0; i < 3; i++) {
		assert_true(pool_lease(pool, LEASE_WRITE, CLOCK_NEVER, &w, &err));
		assert_ptr_equal(w.conn, wrote);
		readers[0] = lease();
		assert_ptr_not_equal(readers[0].conn, wrote);
		lease_release(&w);
		lease_release(&readers[0]);
	}
	readers[0] = lease(), readers[1] = lease(), readers[2] = lease();
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		if (readers[i].conn != wrote)
			lease_release(&readers[i]);
	assert_true(pool_lease(pool, LEASE_WRITE, CLOCK_NEVER, &w, &err)); /* it is in use: any other does */
	assert_ptr_not_equal(w.conn, wrote);
	lease_release(&w);
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		lease_release(&readers[i]);
}

/* ---- SQLite under load ----------------------------------------------------------------------------- */

#define WRITERS 4
#define ROUNDS 25

static bool run(struct driver_conn *c, const char *text, int64_t *ret_number, struct err *e)
{
	const struct stmt s = {.sql = str_z(text), .access = STMT_WRITE, .cache = true};
	struct cursor *cur;
	bool row = true, ok;

	if (!c->driver->prepare(c, &s, SECONDS(20), &cur, e))
		return false;
	while ((ok = c->driver->step(cur, &row, e)) && row) {
		if (ret_number != NULL)
			*ret_number = cur->row[0].u.i;
	}
	c->driver->finish(cur);
	return ok;
}

/* Read, add one, write back: loses updates unless writers are alone. */
static void *adder(void *arg)
{
	int *n_failed = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct lease l = {0};
		struct err e;
		bool ok = pool_lease(pool, LEASE_WRITE, SECONDS(20), &l, &e);

		ok = ok && l.conn->driver->begin(l.conn, TX_ISO_DEFAULT, false, SECONDS(20), &e) &&
		     run(l.conn, "SELECT n FROM t", NULL, &e) && run(l.conn, "UPDATE t SET n = n + 1", NULL, &e) &&
		     l.conn->driver->commit(l.conn, SECONDS(20), &e);
		if (!ok)
			__atomic_add_fetch(n_failed, 1, __ATOMIC_SEQ_CST);
		lease_release(&l);
	}
	return NULL;
}

static void add_from_threads(const char *url)
{
	struct pool_config cfg = pool_config_default();
	pthread_t threads[WRITERS];
	struct lease l = {0};
	struct arena arena;
	struct dsn dsn;
	int64_t n = 0;
	int n_failed = 0;

	arena_init(&arena);
	cfg.acquire_timeout_s = 20;
	assert_true(dsn_parse(&arena, str_z(url), &dsn, &err));
	assert_true(pool_create(&driver_sqlite, &dsn, &cfg, &pool, &err));
	assert_true(pool_lease(pool, LEASE_WRITE, SECONDS(5), &l, &err));
	assert_true(run(l.conn, "CREATE TABLE t(n)", NULL, &err) &&
		    run(l.conn, "INSERT INTO t VALUES (0)", NULL, &err));
	lease_release(&l);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, adder, &n_failed), 0);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	l = lease();
	assert_true(run(l.conn, "SELECT n FROM t", &n, &err));
	lease_release(&l);
	assert_int_equal(n_failed, 0);
	assert_int_equal(n, WRITERS * ROUNDS);
	pool_close(pool);
	pool_unref(pool);
	pool = NULL;
	arena_done(&arena);
}

static void sqlite_loses_no_update(void **state)
{
	char dir[] = "/tmp/ferrod-test-XXXXXX";
	char url[100], path[100];

	(void)state;
	driver_sqlite_configure(&(struct sqlite_options){.busy_timeout_s = 5});
	add_from_threads("sqlite::memory:");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(url, sizeof(url), "sqlite:%s/x.db?mode=rwc", dir);
	(void)snprintf(path, sizeof(path), "%s/x.db", dir);
	add_from_threads(url);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writers_take_turns),
		TEST(turn_and_connection_do_not_deadlock),
		TEST(who_writes_gets_the_connection_that_wrote_last),
		TEST(sqlite_loses_no_update),
	};

	return cmocka_run_group_tests_name("pool_turn", tests, NULL, NULL);
}
