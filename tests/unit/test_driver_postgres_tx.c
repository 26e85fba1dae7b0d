/* The PostgreSQL driver against a server of its own: transactions, lost connections, sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/support/postgres_database.h"

/* ---- transactions ---------------------------------------------------------------------------------- */

static void test_transactions(void **state)
{
	NEEDS_SERVER();
	assert_ok(raw(c1, "CREATE TABLE tx (a int)"));
	assert_int_equal(pg->tx_state(c1), TX_STATE_NONE);
	assert_ok(pg->begin(c1, TX_ISO_SERIALIZABLE, false, SECONDS(5), &err));
	assert_int_equal(pg->tx_state(c1), TX_STATE_OPEN);
	assert_text(c1, "SHOW transaction_isolation", "serializable");
	assert_ok(raw(c1, "INSERT INTO tx VALUES (1)"));
	assert_int_equal(number(c2, "SELECT count(*) FROM tx"), 0);
	assert_ok(pg->commit(c1, SECONDS(5), &err));
	assert_int_equal(c1->n_commits, 1);
	assert_int_equal(number(c2, "SELECT count(*) FROM tx"), 1);

	assert_ok(pg->begin(c1, TX_ISO_REPEATABLE_READ, true, SECONDS(5), &err));
	assert_err(raw(c1, "INSERT INTO tx VALUES (2)"), ERR_SQL_ERROR);
	assert_string_equal(err.sqlstate, "25006");
	assert_int_equal(err.outcome, ERR_OUTCOME_NONE);
	assert_int_equal(pg->tx_state(c1), TX_STATE_ABORTED);
	pg->rollback(c1);
	assert_int_equal(pg->tx_state(c1), TX_STATE_NONE);
	assert_int_equal(c1->n_rollbacks, 1);
	pg->rollback(c1);
	assert_int_equal(c1->n_rollbacks, 1);

	/* raw ends are counted, savepoints are not */
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_ok(raw(c1, "SAVEPOINT a"));
	assert_err(raw(c1, "SELECT nonsense"), ERR_SQL_ERROR);
	assert_ok(raw(c1, "ROLLBACK TO a"));
	assert_int_equal(c1->n_rollbacks, 1);
	assert_ok(raw(c1, "COMMIT"));
	assert_int_equal(c1->n_commits, 2);
	assert_ok(raw(c1, "BEGIN"));
	assert_ok(raw(c1, "ROLLBACK"));
	assert_int_equal(c1->n_rollbacks, 2);
	assert_int_equal(c1->n_commits, 2);
}

static void test_serialization(void **state)
{
	struct rows r;

	NEEDS_SERVER();
	assert_ok(raw(c1, "CREATE TABLE ser (a int)"));
	assert_ok(raw(c1, "INSERT INTO ser VALUES (1)"));
	assert_ok(pg->begin(c1, TX_ISO_REPEATABLE_READ, false, SECONDS(5), &err));
	assert_int_equal(number(c1, "SELECT a FROM ser"), 1);
	assert_ok(raw(c2, "UPDATE ser SET a = 2"));
	assert_err(own(c1, "UPDATE ser SET a = 3", true, &r), ERR_SERIALIZATION_FAILURE);
	pg->rollback(c1);
}

/* ---- loss ------------------------------------------------------------------------------------------ */

static void kill_backend(int64_t pid)
{
	char sql[128];

	(void)snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%lld, 5000)", (long long)pid);
	assert_ok(raw(c2, sql));
}

static void test_lost_idle(void **state)
{
	struct rows r;

	NEEDS_SERVER();
	kill_backend(number(c1, "SELECT pg_backend_pid()"));
	assert_err(own(c1, "INSERT INTO anything VALUES (1)", true, &r), ERR_DATABASE_UNAVAILABLE);
	assert_int_equal(err.outcome, ERR_OUTCOME_NOT_STARTED);
	assert_true(c1->broken);
	assert_int_equal(pg->tx_state(c1), TX_STATE_UNKNOWN);
	assert_err(pg->ping(c1, SECONDS(5), &err), ERR_DATABASE_UNAVAILABLE);
}

static void test_lost_in_transaction(void **state)
{
	NEEDS_SERVER();
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	kill_backend(number(c1, "SELECT pg_backend_pid()"));
	assert_err(raw(c1, "SELECT 1"), ERR_DATABASE_UNAVAILABLE);
	assert_int_equal(err.outcome, ERR_OUTCOME_NONE);
	assert_true(c1->broken);
	pg->rollback(c1);
	pg->close(c1);
	assert_ok(pg->open(g.db, SECONDS(5), &c1, &err));
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	kill_backend(number(c1, "SELECT pg_backend_pid()"));
	assert_err(pg->commit(c1, SECONDS(5), &err), ERR_DATABASE_UNAVAILABLE);
	assert_int_equal(err.outcome, ERR_OUTCOME_UNKNOWN);
}

static void *kill_soon(void *arg)
{
	int64_t *pid = arg;

	for (int i = 0; i < 500; i++) {
		if (number(c2, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT "
			       "pg_sleep(32%'") > 0)
			break;
		usleep(10000);
	}
	kill_backend(*pid);
	return NULL;
}

static void test_lost_running(void **state)
{
	struct stmt s = {.sql = STR("SELECT pg_sleep(32)"), .access = STMT_WRITE};
	struct rows r;
	pthread_t thread;
	int64_t pid;

	NEEDS_SERVER();
	pid = number(c1, "SELECT pg_backend_pid()");
	assert_int_equal(pthread_create(&thread, NULL, kill_soon, &pid), 0);
	assert_err(run_stmt(c1, &s, SECONDS(20), &r), ERR_DATABASE_UNAVAILABLE);
	assert_string_equal(err.sqlstate, "57P01");
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_true(c1->broken);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- sessions -------------------------------------------------------------------------------------- */

static void test_reset(void **state)
{
	struct rows r;
	char schema[64];

	NEEDS_SERVER();
	(void)snprintf(schema, sizeof(schema), "ferrod_Unit_%d", (int)getpid());
	assert_int_equal(number(c1, "SELECT count(*) FROM pg_class WHERE false"), 0);
	assert_true(c1->session_dirty); /* whatever its text looks like */
	assert_ok(own(c1, "SELECT 1", true, &r));
	assert_text(c1, "SELECT current_schema()", schema);
	assert_ok(raw(c1, "SELECT set_config('ferrod.test', 'mine', false)"));
	assert_true(c1->session_dirty);
	assert_ok(raw(c1, "SET datestyle = 'German'"));
	assert_ok(raw(c1, "SET timezone = 'America/New_York'"));
	assert_ok(raw(c1, "SET search_path = pg_catalog"));
	assert_ok(raw(c1, "CREATE TEMP TABLE mine (a int)"));
	assert_ok(raw(c1, "PREPARE mine AS SELECT 1"));
	assert_ok(raw(c1, "SELECT pg_advisory_lock(4711)"));
	assert_true(pg->reset(c1, SECONDS(5)));
	assert_false(c1->session_dirty);
	assert_text(c1, "SELECT current_schema()", schema);
	assert_text(c1, "SELECT coalesce(current_setting('ferrod.test', true), '')", "");
	assert_text(c1, "SELECT '2026-01-02 03:04:05+00'::timestamptz::text", "2026-01-02 03:04:05+00");
	assert_int_equal(number(c1, "SELECT count(*) FROM pg_prepared_statements"), 0);
	assert_err(raw(c1, "SELECT * FROM mine"), ERR_SQL_ERROR);
	assert_ok(raw_with(c2, "SELECT pg_try_advisory_lock(4711)", NULL, 0, &r));
	assert_true(r.cells[0].u.b);
	assert_ok(own(c1, "SELECT 1", true, &r));
	/* a transaction that is still open is none of reset's business */
	assert_ok(raw(c1, "BEGIN"));
	assert_false(pg->reset(c1, SECONDS(5)));
}

static void test_list_tables(void **state)
{
	struct str *names;
	size_t n;

	NEEDS_SERVER();
	assert_ok(raw(c1, "CREATE SCHEMA listed"));
	assert_ok(raw(c1, "SET search_path = listed"));
	assert_ok(pg->list_tables(c1, &arena, SECONDS(5), &names, &n, &err));
	assert_int_equal(n, 0);
	assert_ok(raw(c1, "CREATE TABLE \"b B\" (a int)"));
	assert_ok(raw(c1, "CREATE TABLE a (a int) PARTITION BY LIST (a)"));
	assert_ok(raw(c1, "CREATE VIEW v AS SELECT 1"));
	assert_ok(pg->list_tables(c1, &arena, SECONDS(5), &names, &n, &err));
	assert_int_equal(n, 2);
	assert_true(str_eq_z(names[0], "a"));
	assert_true(str_eq_z(names[1], "b B"));
	assert_ok(raw(c1, "DROP SCHEMA listed CASCADE"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_transactions),        TEST(test_serialization), TEST(test_lost_idle),
		TEST(test_lost_in_transaction), TEST(test_lost_running),  TEST(test_reset),
		TEST(test_list_tables),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
