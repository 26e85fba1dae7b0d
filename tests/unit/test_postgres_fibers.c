/* The PostgreSQL driver on fibers: waits park, a request that goes away has its statement cancelled, one loop serves
 * many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/wait.h"
#include "service/http/loop.h"
#include "store/connection/dsn.h"
#include "store/driver/driver.h"
#include "tests/support/fibers.h"
#include "tests/support/needs_server.h"

#include "service/base/banned.h"

#define SECONDS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_S)
#define N_CLIENTS 8

static const struct driver *const pg = &driver_postgres;

static struct {
	struct arena arena;
	struct loop *loop;
	struct dsn dsn;
	struct driver_db *db;
	int n_left;
	struct fiber *first;
	struct driver_conn *conn; /* of the first fiber */
	int n_done;
	int n_ready, n_asleep, n_asleep_max;
	struct err err;
} g;

static int setup(void **state)
{
	const char *url = getenv("FERROD_TEST_PG_URL");
	struct err e;

	(void)state;
	memset(&g, 0, sizeof(g));
	if (url == NULL)
		return 0;
	arena_init(&g.arena);
	offload_init(2);
	return loop_create(&g.loop, &e) && dsn_parse(&g.arena, str_z(url), &g.dsn, &e) && pg->db_open(&g.dsn, &g.db, &e)
		       ? 0
		       : -1;
}

static int teardown(void **state)
{
	(void)state;
	if (g.db == NULL)
		return 0;
	pg->db_close(g.db);
	loop_destroy(g.loop);
	offload_done();
	arena_done(&g.arena);
	return 0;
}

static void must(bool ok, const struct err *e, const char *what)
{
	if (!ok)
		fail_msg("%s: %s %s", what, err_code_name(e->code), e->detail);
}

static struct driver_conn *connect_one(void)
{
	struct driver_conn *c;
	struct err e;

	must(pg->open(g.db, SECONDS(10), &c, &e), &e, "open");
	return c;
}

/* Runs to the end; *ret: the rows. */
static bool sql(struct driver_conn *c, const char *text, enum stmt_access access, int64_t *ret, struct err *e)
{
	const struct stmt s = {.sql = str_z(text), .access = access, .cache = true};
	struct cursor *cur;
	bool row = true, ok;
	int64_t n = 0;

	if (!pg->prepare(c, &s, SECONDS(90), &cur, e))
		return false;
	while ((ok = pg->step(cur, &row, e)) && row)
		n++;
	pg->finish(cur);
	if (ret != NULL)
		*ret = n;
	return ok;
}

static void leave(void)
{
	if (--g.n_left == 0)
		loop_stop(g.loop);
}

/* ---- many on one loop ---- */

static void sleeper(void *arg)
{
	struct driver_conn *c = connect_one();
	struct err e;

	(void)arg;
	g.n_ready++;
	while (g.n_ready < N_CLIENTS)
		(void)wait_until(clock_mono_ns() + CLOCK_NS_PER_MS);
	g.n_asleep++;
	if (g.n_asleep > g.n_asleep_max)
		g.n_asleep_max = g.n_asleep;
	must(sql(c, "SELECT pg_sleep(0.3)", STMT_READ, NULL, &e), &e, "sleep");
	g.n_asleep--;
	pg->close(c);
	leave();
}

static void test_parallel(void **state)
{
	NEEDS_SERVER();
	g.n_left = N_CLIENTS;
	for (int i = 0; i < N_CLIENTS; i++)
		loop_spawn(g.loop, sleeper, NULL);
	loop_run(g.loop);
	assert_int_equal(g.n_left, 0);
	assert_int_equal(g.n_asleep_max, N_CLIENTS); /* one that blocks the loop sleeps alone */
}

/* ---- one that reads much beside others ---- */

static void reader(void *arg)
{
	struct driver_conn *c = connect_one();
	struct err e;
	int64_t n;

	(void)arg;
	must(sql(c, "SELECT generate_series(1, 300000), repeat('y', 100)", STMT_READ, &n, &e), &e, "read");
	assert_int_equal(n, 300000);
	g.n_done = -g.n_done; /* no one may count after this */
	pg->close(c);
	leave();
}

static void pinger(void *arg)
{
	struct driver_conn *c = connect_one();
	struct err e;

	(void)arg;
	while (g.n_done >= 0) {
		must(sql(c, "SELECT 1", STMT_READ, NULL, &e), &e, "ping");
		g.n_done++;
	}
	pg->close(c);
	leave();
}

static void test_fair(void **state)
{
	NEEDS_SERVER();
	g.n_left = 2;
	loop_spawn(g.loop, pinger, NULL);
	loop_spawn(g.loop, reader, NULL);
	loop_run(g.loop);
	assert_true(g.n_done < -20);
}

/* ---- cancelled ---- */

static void victim(void *arg)
{
	struct err e;
	bool in_transaction = arg != NULL;

	g.first = fiber_current();
	g.conn = connect_one();
	if (in_transaction)
		must(pg->begin(g.conn, TX_ISO_DEFAULT, false, SECONDS(5), &e), &e, "begin");
	if (sql(g.conn, "SELECT pg_sleep(60)", STMT_WRITE, NULL, &g.err))
		fail_msg("nobody cancelled it");
	assert_true(g.err.cancelled);
	assert_false(g.conn->broken);
	assert_int_equal(pg->tx_state(g.conn), in_transaction ? TX_STATE_ABORTED : TX_STATE_NONE);
	/* what is asked of it from now on is refused before it is sent */
	assert_false(sql(g.conn, "SELECT 1", STMT_WRITE, NULL, &g.err));
	assert_int_equal(g.err.outcome, ERR_OUTCOME_NOT_STARTED);
	/* but it still cleans up */
	pg->rollback(g.conn);
	assert_false(g.conn->broken);
	assert_int_equal(pg->tx_state(g.conn), TX_STATE_NONE);
	fiber_shield();
	must(sql(g.conn, "SELECT 1", STMT_READ, NULL, &e), &e, "after");
	fiber_unshield();
	pg->close(g.conn);
	leave();
}

static void canceller(void *arg)
{
	struct driver_conn *c = connect_one();
	struct err e;
	int64_t n = 0;

	(void)arg;
	for (int i = 0; i < 500 && n == 0; i++) {
		must(sql(c, "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(60%'",
			 STMT_READ, &n, &e),
		     &e, "look");
		if (n == 0)
			assert_int_equal(wait_until(clock_mono_ns() + 10 * CLOCK_NS_PER_MS), WAIT_TIMEOUT);
	}
	fiber_cancel(g.first);
	pg->close(c);
	leave();
}

static void run_cancel(void *in_transaction)
{
	const int64_t from = clock_mono_ns();

	g.n_left = 2;
	loop_spawn(g.loop, victim, in_transaction);
	loop_spawn(g.loop, canceller, NULL);
	loop_run(g.loop);
	assert_int_equal(g.n_left, 0);
	assert_true(clock_mono_ns() - from < 30 * CLOCK_NS_PER_S);
}

static void test_cancelled(void **state)
{
	NEEDS_SERVER();
	run_cancel(NULL);
	assert_int_equal(g.err.code, ERR_STATEMENT_TIMEOUT);
}

static void test_cancelled_in_transaction(void **state)
{
	NEEDS_SERVER();
	run_cancel(&g);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parallel),
		TEST(test_fair),
		TEST(test_cancelled),
		TEST(test_cancelled_in_transaction),
	};

	fibers_abort_on_failure();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
