/*
 * The one path all SQL takes, over real pools: SQLite in memory, and PostgreSQL where FERROD_TEST_PG_URL names a
 * database. On a plain thread, where waits block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "store/store.h"
#include "tests/support/assert_err.h"
#include "tests/support/small_store.h"
#include "tests/support/scratch_arena.h"

#include "service/base/banned.h"

static struct store *store;
static struct connection *conn;
static struct route plain; /* conn, no transaction */
static bool postgres;

/* ---- set-up ---- */

static int open_store(const char *url)
{
	struct connect_options co = {
		.url = str_z(url), .name = STR("app"), .make_default = true, .pool = pool_config_default()};
	struct connection *replaced = NULL;

	scratch_begin();
	co.pool.max_connections = 2;
	co.pool.acquire_timeout_s = 1;
	store = store_create(&small_store);
	if (!connection_open(&store->connections, &co, clock_deadline(10), &conn, &err) ||
	    !connection_register(&store->connections, conn, &co, &replaced, &err)) {
		print_error("%s\n", err.detail);
		return -1;
	}
	plain = (struct route){.conn = conn};
	return 0;
}

static int setup_sqlite(void **state)
{
	(void)state;
	postgres = false;
	return open_store("sqlite::memory:");
}

static struct exec_result result;

static bool run_on(struct exec *x, const char *sql, enum stmt_access access, struct row_sink *sink)
{
	const struct stmt s = {
		.sql = str_z(sql), .access = access, .param_type = STMT_PARAM_BY_KIND, .raw = access == STMT_UNKNOWN};

	return exec_run(x, &s, sink, &result, &err);
}

/* A unit of one statement. */
static bool run(const struct route *r, const char *sql, enum stmt_access access, struct row_sink *sink)
{
	struct exec x;
	struct err ignored;
	bool ok;

	exec_begin(&x, r, clock_deadline(10), false);
	ok = run_on(&x, sql, access, sink);
	return exec_end(&x, ok, ok ? &err : &ignored) && ok;
}

static bool keep_int(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *e)
{
	(void)n;
	(void)ret_stop;
	(void)e;
	assert_int_equal(values[0].kind, VALUE_INT);
	*(int64_t *)arg = values[0].u.i;
	return true;
}

static int64_t number(const struct route *r, const char *sql)
{
	int64_t n = -1;
	struct row_sink sink = {.row = keep_int, .arg = &n};

	assert_ok(run(r, sql, STMT_READ, &sink));
	return n;
}

static int setup_postgres(void **state)
{
	const char *url = getenv("FERROD_TEST_PG_URL");
	char sql[128];
	char with_path[1024];

	(void)state;
	postgres = true;
	store = NULL;
	if (url == NULL)
		return 0;
	(void)snprintf(with_path, sizeof(with_path), "%s%cferro_search_path=ferrod_exec_%d", url,
		       strchr(url, '?') != NULL ? '&' : '?', (int)getpid());
	if (open_store(with_path) != 0)
		return -1;
	(void)snprintf(sql, sizeof(sql), "CREATE SCHEMA ferrod_exec_%d", (int)getpid());
	return run(&plain, sql, STMT_UNKNOWN, NULL) ? 0 : -1;
}

static int teardown(void **state)
{
	char sql[128];
	struct pool_stats stats;
	bool ok = true;

	(void)state;
	if (store == NULL)
		return 0;
	pool_stats(conn->pool, &stats);
	if (stats.in_use != 0) {
		print_error("%d connections are still leased\n", (int)stats.in_use);
		ok = false;
	}
	(void)snprintf(sql, sizeof(sql), "DROP SCHEMA ferrod_exec_%d CASCADE", (int)getpid());
	if (postgres && !run(&plain, sql, STMT_UNKNOWN, NULL))
		ok = false;
	connection_unref(conn);
	store_destroy(store);
	scratch_end();
	return ok ? 0 : -1;
}

#define NEEDS_SERVER() \
	do { \
		(void)state; \
		if (store == NULL) \
			skip(); \
	} while (0)

static void make_table(void)
{
	assert_ok(run(&plain, "CREATE TABLE t (a INTEGER PRIMARY KEY)", STMT_UNKNOWN, NULL));
}

/* ---- rows ---- */

struct seen {
	size_t n_columns, n_rows, stop_after;
	bool fail;
};

static bool see_columns(void *arg, const struct cursor_column *cols, size_t n, struct err *e)
{
	struct seen *seen = arg;

	(void)e;
	assert_int_equal(seen->n_rows, 0);
	if (n > 0)
		assert_true(str_eq_z(cols[0].name, "a"));
	seen->n_columns += n;
	return true;
}

static bool see_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *e)
{
	struct seen *seen = arg;

	assert_int_equal(n, seen->n_columns);
	assert_int_equal(values[0].kind, VALUE_INT);
	seen->n_rows++;
	*ret_stop = seen->n_rows == seen->stop_after;
	return !seen->fail || err_set(e, ERR_INTERNAL_ERROR, "the sink is full");
}

static void test_rows(void **state)
{
	struct seen seen = {0};
	struct row_sink sink = {.columns = see_columns, .row = see_row, .arg = &seen};

	NEEDS_SERVER();
	make_table();
	assert_ok(run(&plain, "INSERT INTO t VALUES (1), (2), (3)", STMT_UNKNOWN, NULL));
	assert_int_equal(result.affected, 3);
	assert_ok(run(&plain, "SELECT a FROM t", STMT_READ, &sink));
	assert_int_equal(seen.n_columns, 1);
	assert_int_equal(seen.n_rows, 3);
	assert_int_equal(result.rows, 3);

	seen = (struct seen){0};
	assert_ok(run(&plain, "SELECT a FROM t WHERE a > 9", STMT_READ, &sink));
	assert_int_equal(seen.n_columns, 1);
	assert_int_equal(seen.n_rows, 0);

	seen = (struct seen){.stop_after = 2};
	assert_ok(run(&plain, "SELECT a FROM t", STMT_UNKNOWN, &sink));
	assert_int_equal(seen.n_rows, 2);

	seen = (struct seen){.fail = true};
	assert_err(run(&plain, "SELECT a FROM t", STMT_READ, &sink), ERR_INTERNAL_ERROR);
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), 3);
}

/* A sink that wants no more rows does not stop a write. */
static void test_stopped_write(void **state)
{
	struct seen seen = {.stop_after = 1};
	struct row_sink sink = {.columns = see_columns, .row = see_row, .arg = &seen};

	NEEDS_SERVER();
	make_table();
	assert_ok(run(&plain, "INSERT INTO t VALUES (1), (2), (3) RETURNING a", STMT_UNKNOWN, &sink));
	assert_int_equal(seen.n_rows, 1);
	assert_int_equal(result.affected, 3);
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), 3);
}

/* ---- units ---- */

static void test_atomic(void **state)
{
	struct err ignored;
	struct exec x;

	NEEDS_SERVER();
	make_table();
	exec_begin(&x, &plain, clock_deadline(10), true);
	assert_ok(run_on(&x, "INSERT INTO t VALUES (1)", STMT_WRITE, NULL));
	assert_ok(run_on(&x, "INSERT INTO t VALUES (2)", STMT_WRITE, NULL));
	assert_ok(exec_end(&x, true, &err));
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), 2);

	exec_begin(&x, &plain, clock_deadline(10), true);
	assert_ok(run_on(&x, "INSERT INTO t VALUES (3)", STMT_WRITE, NULL));
	assert_err(run_on(&x, "INSERT INTO t VALUES (1)", STMT_WRITE, NULL), ERR_UNIQUE_VIOLATION);
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_ok(exec_end(&x, false, &ignored));
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), 2);

	/* nothing was run: nothing to commit */
	exec_begin(&x, &plain, clock_deadline(10), true);
	assert_ok(exec_end(&x, true, &err));

	/* too late to commit */
	exec_begin(&x, &plain, clock_mono_ns() + 300 * CLOCK_NS_PER_MS, true);
	assert_ok(run_on(&x, "INSERT INTO t VALUES (4)", STMT_WRITE, NULL));
	while (clock_mono_ns() < x.deadline)
		usleep(1000);
	assert_err(exec_end(&x, true, &err), ERR_STATEMENT_TIMEOUT);
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), 2);
}

static void test_ddl_unit(void **state)
{
	struct driver_conn *c;
	struct exec x;

	NEEDS_SERVER();
	exec_begin(&x, &plain, clock_deadline(10), true);
	assert_ok(exec_conn(&x, LEASE_WRITE, &c, &err));
	assert_int_equal(c->driver->tx_state(c), TX_STATE_OPEN);
	assert_ok(exec_simple(&x, STR("CREATE TABLE t (a INTEGER)"), &err));
	assert_err(exec_simple(&x, STR("CREATE TABLE t (a INTEGER)"), &err), ERR_SQL_ERROR);
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_ok(exec_end(&x, false, &err));
	assert_err(run(&plain, "SELECT a FROM t", STMT_READ, NULL), ERR_SQL_ERROR);
	assert_int_equal(err.outcome, ERR_OUTCOME_NONE);
}

/* A raw statement neither leaves a transaction behind nor ends the unit's. */
static void test_raw_transactions(void **state)
{
	struct err ignored;
	struct exec x;

	NEEDS_SERVER();
	make_table();
	assert_err(run(&plain, "BEGIN", STMT_UNKNOWN, NULL), ERR_SQL_ERROR);
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_ok(run(&plain, "INSERT INTO t VALUES (1)", STMT_UNKNOWN, NULL));
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), 1);

	exec_begin(&x, &plain, clock_deadline(10), true);
	assert_ok(run_on(&x, "INSERT INTO t VALUES (2)", STMT_WRITE, NULL));
	assert_err(run_on(&x, "COMMIT", STMT_UNKNOWN, NULL), ERR_SQL_ERROR);
	assert_ok(exec_end(&x, false, &ignored));
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), 2);
}

/* ---- inside a transaction ---- */

static void test_savepoint_unit(void **state)
{
	const struct tx_options o = {.isolation = TX_ISO_DEFAULT};
	struct tx_view view;
	struct route r = {.conn = conn};
	enum tx_phase phase;
	struct exec x;

	NEEDS_SERVER();
	make_table();
	assert_ok(tx_begin(store->transactions, conn, NULL, STR("ann"), &o, clock_deadline(10), &arena, &view, &err));
	assert_ok(tx_enter(store->transactions, str_z(view.id), NULL, STR("ann"), false, clock_deadline(10), &r.tx,
			   &err));
	assert_ok(run(&r, "INSERT INTO t VALUES (1)", STMT_WRITE, NULL));

	exec_begin(&x, &r, clock_deadline(10), true);
	assert_ok(run_on(&x, "INSERT INTO t VALUES (2)", STMT_WRITE, NULL));
	assert_err(run_on(&x, "INSERT INTO t VALUES (1)", STMT_WRITE, NULL), ERR_UNIQUE_VIOLATION);
	assert_ok(exec_end(&x, false, &err));
	assert_int_equal(number(&r, "SELECT count(*) FROM t"), 1);

	exec_begin(&x, &r, clock_deadline(10), true);
	assert_ok(run_on(&x, "INSERT INTO t VALUES (3)", STMT_WRITE, NULL));
	assert_ok(exec_end(&x, true, &err));
	assert_int_equal(number(&r, "SELECT count(*) FROM t"), 2);

	/* a failure that the caller thought nothing of: PostgreSQL cannot commit what came before it */
	exec_begin(&x, &r, clock_deadline(10), true);
	assert_ok(run_on(&x, "INSERT INTO t VALUES (4)", STMT_WRITE, NULL));
	assert_err(run_on(&x, "SELECT nonsense", STMT_UNKNOWN, NULL), ERR_SQL_ERROR);
	if (postgres)
		assert_err(exec_end(&x, true, &err), ERR_TRANSACTION_ABORTED);
	else
		assert_ok(exec_end(&x, true, &err));
	assert_int_equal(number(&r, "SELECT count(*) FROM t"), postgres ? 2 : 3);

	/* the client ends the transaction inside a unit: that is noticed, and nothing more runs in it */
	exec_begin(&x, &r, clock_deadline(10), true);
	assert_ok(run_on(&x, "INSERT INTO t VALUES (5)", STMT_WRITE, NULL));
	assert_err(run_on(&x, "COMMIT", STMT_UNKNOWN, NULL), ERR_TRANSACTION_ENDED);
	assert_int_equal(err.outcome, ERR_OUTCOME_COMMITTED);
	assert_err(run_on(&x, "INSERT INTO t VALUES (6)", STMT_WRITE, NULL), ERR_TRANSACTION_ENDED);
	assert_ok(exec_end(&x, false, &err));
	tx_leave(store->transactions, r.tx);
	assert_ok(
		tx_end(store->transactions, str_z(view.id), NULL, STR("ann"), true, clock_deadline(10), &phase, &err));
	assert_int_equal(phase, TX_COMMITTED);
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), postgres ? 3 : 4);
}

/* ---- PostgreSQL only ---- */

/* Ends the server's side of the one idle pooled connection, from another one. */
static void kill_idle(void)
{
	struct exec x;
	struct driver_conn *c;
	int64_t n = 0;
	struct row_sink sink = {.row = keep_int, .arg = &n};

	/* two leases at once: what is not leased now is idle */
	exec_begin(&x, &plain, clock_deadline(10), false);
	assert_ok(exec_conn(&x, LEASE_READ, &c, &err));
	assert_ok(run_on(
		&x,
		"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'ferrod' "
		"AND pid <> pg_backend_pid() AND query LIKE '%the idle one%'",
		STMT_UNKNOWN, &sink));
	assert_int_equal(n, 1);
	assert_ok(exec_end(&x, true, &err));
}

static void leave_idle_one(void)
{
	struct exec x, y;

	exec_begin(&x, &plain, clock_deadline(10), false);
	exec_begin(&y, &plain, clock_deadline(10), false);
	assert_ok(run_on(&x, "SELECT 1", STMT_READ, NULL));
	assert_ok(run_on(&y, "SELECT 1 -- the idle one", STMT_READ, NULL));
	/* the last one given back is the first one leased */
	assert_ok(exec_end(&y, true, &err));
	assert_ok(exec_end(&x, true, &err));
	kill_idle();
}

static void test_dead_connection(void **state)
{
	struct exec x, y;

	NEEDS_SERVER();
	make_table();
	for (int i = 0; i < 3; i++) {
		leave_idle_one();
		exec_begin(&x, &plain, clock_deadline(10), false);
		exec_begin(&y, &plain, clock_deadline(10), i == 2);
		assert_ok(run_on(&x, "SELECT 1", STMT_READ, NULL));
		assert_ok(run_on(&y, i == 0 ? "SELECT a FROM t" : "INSERT INTO t SELECT 1 + count(*) FROM t",
				 i == 0 ? STMT_READ : STMT_WRITE, NULL));
		assert_ok(exec_end(&y, true, &err));
		assert_ok(exec_end(&x, true, &err));
	}
	assert_int_equal(number(&plain, "SELECT count(*) FROM t"), 2);
}

static void test_session_state(void **state)
{
	NEEDS_SERVER();
	for (int i = 0; i < 4; i++) {
		assert_int_equal(
			number(&plain, "SELECT count(*) FROM pg_settings WHERE name = 'work_mem' AND setting = '7777'"),
			0);
		assert_ok(run(&plain, "SET work_mem = 7777", STMT_UNKNOWN, NULL));
		assert_ok(run(&plain, "CREATE TEMP TABLE temporary (a int)", STMT_UNKNOWN, NULL));
	}
}

static void test_statement_timeout(void **state)
{
	struct exec x;

	NEEDS_SERVER();
	exec_begin(&x, &plain, clock_mono_ns() + 200 * CLOCK_NS_PER_MS, false);
	assert_err(run_on(&x, "SELECT pg_sleep(20)", STMT_UNKNOWN, NULL), ERR_STATEMENT_TIMEOUT);
	assert_ok(exec_end(&x, false, &err));
	assert_true(x.db_ns >= 150 * CLOCK_NS_PER_MS && x.db_ns < 5 * CLOCK_NS_PER_S);
	assert_int_equal(number(&plain, "SELECT 1"), 1);
}

#define BOTH(f) \
	{#f " (sqlite)", f, setup_sqlite, teardown, NULL}, \
	{ \
#f " (postgres)", f, setup_postgres, teardown, NULL \
	}
#define POSTGRES(f) cmocka_unit_test_setup_teardown(f, setup_postgres, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_rows),
		BOTH(test_stopped_write),
		BOTH(test_atomic),
		BOTH(test_ddl_unit),
		BOTH(test_raw_transactions),
		BOTH(test_savepoint_unit),
		POSTGRES(test_dead_connection),
		POSTGRES(test_session_state),
		POSTGRES(test_statement_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
