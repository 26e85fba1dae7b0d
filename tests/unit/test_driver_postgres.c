/* The PostgreSQL driver against a server of its own: values, statements, time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "service/base/limits.h"
#include "tests/support/postgres_database.h"

/* ---- values ---------------------------------------------------------------------------------------- */

static void test_cells(void **state)
{
	struct rows r;

	NEEDS_SERVER();
	assert_ok(raw_with(
		c1,
		"SELECT true, (-1)::int2, 2147483647::int4, (-9223372036854775808)::int8, 1.5::float4, 0.1::float8,"
		" 'NaN'::float8, '-Infinity'::float8, 12.340::numeric, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid,"
		" '2026-01-02 03:04:05.06+02'::timestamptz, '2026-01-02'::date, '\\x00ff41'::bytea, ''::bytea,"
		" '{\"a\": 1}'::json, '[1,2]'::jsonb, 'h\u00e4'::text, ARRAY[1,2], NULL::int, 4294967295::oid,"
		" '1 day 2 hours'::interval",
		NULL, 0, &r));
	assert_int_equal(r.n, 1);
	assert_int_equal(r.n_columns, 21);
	assert_int_equal(r.cells[0].kind, VALUE_BOOL);
	assert_true(r.cells[0].u.b);
	assert_int_equal(r.cells[1].u.i, -1);
	assert_int_equal(r.cells[2].u.i, 2147483647);
	assert_true(r.cells[3].kind == VALUE_INT && r.cells[3].u.i == INT64_MIN);
	assert_true(r.cells[4].kind == VALUE_DOUBLE && r.cells[4].u.d >= 1.5 && r.cells[4].u.d <= 1.5);
	assert_true(r.cells[5].u.d >= 0.1 && r.cells[5].u.d <= 0.1);
	assert_true(r.cells[6].kind == VALUE_DOUBLE && isnan(r.cells[6].u.d));
	assert_true(isinf(r.cells[7].u.d) && r.cells[7].u.d < 0);
	assert_cell(&r, 8, VALUE_TEXT, "12.340");
	assert_cell(&r, 9, VALUE_TEXT, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
	assert_cell(&r, 10, VALUE_TEXT, "2026-01-02 01:04:05.06+00");
	assert_cell(&r, 11, VALUE_TEXT, "2026-01-02");
	assert_int_equal(r.cells[12].kind, VALUE_BYTES);
	assert_int_equal(r.cells[12].u.s.len, 3);
	assert_memory_equal(r.cells[12].u.s.p, "\0\377A", 3);
	assert_cell(&r, 13, VALUE_BYTES, "");
	assert_cell(&r, 14, VALUE_JSON, "{\"a\": 1}");
	assert_cell(&r, 15, VALUE_JSON, "[1, 2]");
	assert_cell(&r, 16, VALUE_TEXT, "h\u00e4");
	assert_cell(&r, 17, VALUE_TEXT, "{1,2}");
	assert_int_equal(r.cells[18].kind, VALUE_NULL);
	assert_true(r.cells[19].u.i == INT64_C(4294967295));
	assert_cell(&r, 20, VALUE_TEXT, "P1DT2H");
}

static void test_bytea_escape(void **state)
{
	struct rows r;

	NEEDS_SERVER();
	assert_ok(raw(c1, "SET bytea_output = escape"));
	assert_ok(raw_with(c1, "SELECT '\\x00ff5c41'::bytea", NULL, 0, &r));
	assert_int_equal(r.cells[0].u.s.len, 4);
	assert_memory_equal(r.cells[0].u.s.p, "\0\377\\A", 4);
}

static void test_params(void **state)
{
	const struct value by_kind[] = {value_bool(true), value_int(INT64_MAX), value_double(0.1),
					value_bytes(str_n("\0\1", 2)), value_null()};
	const struct value inferred[] = {value_int(7),
					 value_text(STR("1.50")),
					 value_text(STR("2026-01-02T03:04:05Z")),
					 value_bytes(STR("x")),
					 value_json(STR("[1]")),
					 value_double(NAN),
					 value_bool(false),
					 value_null()};
	struct stmt s = {.params = inferred, .n_params = ARRAY_LEN(inferred), .access = STMT_WRITE, .cache = true};
	struct rows r;

	NEEDS_SERVER();
	assert_ok(raw_with(c1, "SELECT $1, $2, $3, $4, $5::text, pg_typeof($2)::text", by_kind, 5, &r));
	assert_true(r.cells[0].kind == VALUE_BOOL && r.cells[0].u.b);
	assert_true(r.cells[1].u.i == INT64_MAX);
	assert_true(r.cells[2].kind == VALUE_DOUBLE);
	assert_true(r.cells[3].kind == VALUE_BYTES && r.cells[3].u.s.len == 2);
	assert_int_equal(r.cells[4].kind, VALUE_NULL);
	assert_cell(&r, 5, VALUE_TEXT, "bigint");

	assert_ok(raw(
		c1,
		"CREATE TABLE params (a int, b numeric, c timestamptz, d bytea, e jsonb, f float8, g bool, h uuid)"));
	s.sql = STR("INSERT INTO params VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *");
	for (int i = 0; i < 3; i++) {
		assert_ok(run_stmt(c1, &s, SECONDS(5), &r));
		assert_int_equal(r.n, 1);
		assert_int_equal(r.affected, 1);
		assert_int_equal(r.cells[0].u.i, 7);
		assert_cell(&r, 1, VALUE_TEXT, "1.50");
		assert_cell(&r, 2, VALUE_TEXT, "2026-01-02 03:04:05+00");
		assert_cell(&r, 3, VALUE_BYTES, "x");
		assert_cell(&r, 4, VALUE_JSON, "[1]");
		assert_true(isnan(r.cells[5].u.d));
		assert_int_equal(r.cells[7].kind, VALUE_NULL);
	}
	assert_int_equal(c1->cache_misses, 1);
	assert_int_equal(c1->cache_hits, 2);
}

static void test_bad_params(void **state)
{
	const struct value one = value_int(1), nul = value_text(str_n("a\0b", 3));
	const struct value two[] = {value_int(1), value_int(2)};
	struct stmt s = {.sql = STR("SELECT $1::text"), .params = &nul, .n_params = 1, .access = STMT_READ};
	struct rows r;

	NEEDS_SERVER();
	assert_err(raw_with(c1, "SELECT $1::int", NULL, 0, &r), ERR_INVALID_PARAMETERS);
	assert_err(raw_with(c1, "SELECT $1::int", two, 2, &r), ERR_INVALID_PARAMETERS);
	assert_err(raw_with(c1, "SELECT 1", &one, 1, &r), ERR_INVALID_PARAMETERS);
	assert_err(run_stmt(c1, &s, SECONDS(5), &r), ERR_INVALID_VALUE);
	assert_err(raw_with(c1, "SELECT $1::text", &nul, 1, &r), ERR_INVALID_PARAMETERS);
	assert_int_equal(number(c1, "SELECT 1"), 1);
}

/* ---- statements ------------------------------------------------------------------------------------ */

static void test_refused_raw(void **state)
{
	NEEDS_SERVER();
	assert_err(raw(c1, "SELECT 1; SELECT 2"), ERR_SQL_ERROR);
	assert_non_null(strstr(err.detail, "more than one statement"));
	assert_err(raw(c1, "COPY (SELECT 1) TO STDOUT"), ERR_SQL_ERROR);
	assert_err(raw(c1, "-- nothing"), ERR_SQL_ERROR);
	assert_err(raw(c1, "SELECT nonsense FROM nowhere"), ERR_SQL_ERROR);
	assert_string_equal(err.sqlstate, "42P01");
	assert_int_equal(err.position, 22);
	assert_err(raw(c1, "SELECT 1/0"), ERR_SQL_ERROR);
	assert_string_equal(err.sqlstate, "22012");
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_ok(raw(c1, "DO $$ BEGIN RAISE NOTICE 'ignored'; RAISE WARNING 'too'; END $$"));
	assert_int_equal(number(c1, "SELECT 1;"), 1);
	assert_false(c1->broken);
}

/* COPY behind the scanner's back: the connection is given up rather than left in the COPY protocol. */
static void test_copy_unseen(void **state)
{
	struct rows r;

	NEEDS_SERVER();
	assert_err(own(c1, "COPY (SELECT 1) TO STDOUT", false, &r), ERR_SQL_ERROR);
	assert_true(c1->broken);
	pg->close(c1);
	assert_ok(pg->open(g.db, SECONDS(5), &c1, &err));
	assert_ok(raw(c1, "CREATE TABLE copied (a int)"));
	assert_err(own(c1, "COPY copied FROM STDIN", true, &r), ERR_SQL_ERROR);
	assert_true(c1->broken);
	assert_err(pg->simple(c2, STR("COPY (SELECT 1) TO STDOUT"), SECONDS(5), &err), ERR_DATABASE_UNAVAILABLE);
	assert_true(c2->broken);
}

static void test_constraints(void **state)
{
	struct rows r;

	NEEDS_SERVER();
	assert_ok(raw(c1, "CREATE TABLE parents (id int PRIMARY KEY, name varchar(3) NOT NULL CHECK (name <> 'bad'))"));
	assert_ok(raw(c1, "CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents DEFERRABLE "
			  "INITIALLY DEFERRED)"));
	assert_ok(own(c1, "INSERT INTO parents VALUES (1, 'a'), (2, 'b')", true, &r));
	assert_int_equal(r.affected, 2);
	assert_err(own(c1, "INSERT INTO parents VALUES (1, 'a')", true, &r), ERR_UNIQUE_VIOLATION);
	assert_string_equal(err.constraint, "parents_pkey");
	assert_string_equal(err.table, "parents");
	assert_null(strstr(err.detail, "(1)"));
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_err(own(c1, "INSERT INTO parents (id) VALUES (3)", true, &r), ERR_NOT_NULL_VIOLATION);
	assert_string_equal(err.column, "name");
	assert_err(own(c1, "INSERT INTO parents VALUES (3, 'bad')", true, &r), ERR_CHECK_VIOLATION);
	assert_err(own(c1, "INSERT INTO parents VALUES (3, 'long')", true, &r), ERR_INVALID_VALUE);
	assert_err(own(c1, "SELECT 'secret'::int", true, &r), ERR_INVALID_VALUE);
	assert_null(strstr(err.detail, "secret"));
	/* deferred: the error comes after the command has been reported complete */
	assert_err(own(c1, "INSERT INTO children VALUES (1, 9)", true, &r), ERR_FOREIGN_KEY_VIOLATION);
	assert_int_equal(number(c1, "SELECT count(*) FROM children"), 0);
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_ok(own(c1, "INSERT INTO children VALUES (1, 9)", true, &r));
	assert_err(pg->commit(c1, SECONDS(5), &err), ERR_FOREIGN_KEY_VIOLATION);
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_int_equal(pg->tx_state(c1), TX_STATE_NONE);
	assert_int_equal(c1->n_rollbacks, 1);
	assert_int_equal(c1->n_commits, 0);
}

static void test_cache(void **state)
{
	struct rows r;
	char sql[64];

	NEEDS_SERVER();
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < LIMIT_STATEMENT_CACHE + 50; i++) {
			(void)snprintf(sql, sizeof(sql), "SELECT %d", i);
			assert_ok(own(c1, sql, true, &r));
			assert_int_equal(r.cells[0].u.i, i);
		}
	assert_int_equal(c1->cache_hits, 0);
	assert_in_range(number(c1, "SELECT count(*) FROM pg_prepared_statements"), LIMIT_STATEMENT_CACHE,
			LIMIT_STATEMENT_CACHE + 1);
	for (int i = 60; i < 100; i++) {
		(void)snprintf(sql, sizeof(sql), "SELECT %d", i);
		assert_ok(own(c1, sql, true, &r));
	}
	assert_int_equal(c1->cache_hits, 40);
	pg->forget(c1);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(sql, sizeof(sql), "SELECT %d", i);
		assert_ok(own(c1, sql, true, &r));
	}
	assert_in_range(number(c1, "SELECT count(*) FROM pg_prepared_statements"), 20, 21);
	/* a failed preparation is not kept, and leaves nothing in the way */
	assert_err(own(c1, "SELECT nonsense", true, &r), ERR_SQL_ERROR);
	assert_err(own(c1, "SELECT nonsense", true, &r), ERR_SQL_ERROR);
	assert_ok(own(c1, "SELECT 1", true, &r));
}

static void test_stale_plans(void **state)
{
	struct rows r;

	NEEDS_SERVER();
	assert_ok(raw(c2, "CREATE TABLE stale (a int)"));
	assert_ok(raw(c2, "INSERT INTO stale VALUES (1)"));
	assert_ok(own(c1, "SELECT * FROM stale", true, &r));
	assert_int_equal(r.n_columns, 1);
	assert_ok(raw(c2, "ALTER TABLE stale ADD b int DEFAULT 2"));
	assert_ok(own(c1, "SELECT * FROM stale", true, &r));
	assert_int_equal(r.n_columns, 2);
	assert_int_equal(r.cells[1].u.i, 2);

	assert_ok(raw(c2, "ALTER TABLE stale ADD c int"));
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_err(own(c1, "SELECT * FROM stale", true, &r), ERR_SERIALIZATION_FAILURE);
	assert_int_equal(pg->tx_state(c1), TX_STATE_ABORTED);
	pg->rollback(c1);
	assert_ok(own(c1, "SELECT * FROM stale", true, &r));
	assert_int_equal(r.n_columns, 3);

	/* dropped behind our back */
	assert_ok(raw(c1, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"));
	assert_ok(own(c1, "SELECT * FROM stale", true, &r));
	assert_ok(raw(c1, "DEALLOCATE ALL"));
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_ok(own(c1, "SELECT * FROM stale", true, &r));
	assert_ok(pg->commit(c1, SECONDS(5), &err));
	/* and one that was queued to be forgotten */
	pg->forget(c1);
	assert_ok(raw(c1, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"));
	assert_ok(own(c1, "SELECT * FROM stale", true, &r));
}

static void test_streaming(void **state)
{
	struct stmt s = {.sql = STR("SELECT generate_series(1, 500000) n, repeat('x', 100)"), .access = STMT_READ};
	struct rusage before, after;
	struct cursor *cur;
	bool row;
	int64_t n = 0;

	NEEDS_SERVER();
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	assert_ok(pg->prepare(c1, &s, SECONDS(60), &cur, &err));
	assert_int_equal(cur->n_columns, 2);
	assert_true(str_eq_z(cur->columns[0].name, "n"));
	for (;;) {
		assert_ok(pg->step(cur, &row, &err));
		if (!row)
			break;
		assert_int_equal(cur->row[0].u.i, ++n);
	}
	assert_true(str_eq_z(cur->columns[1].name, "repeat"));
	pg->finish(cur);
	assert_int_equal(n, 500000);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(getenv("FERROD_TEST_VALGRIND") != NULL || after.ru_maxrss - before.ru_maxrss < 8 * 1024);
#endif
}

/* One row of very many is read. The connection is sound after it, unless the server (of a machine that has better to
 * do) took longer to heed the request to cancel than the driver has patience: only then is it given up. */
static void finish_early(struct driver_conn **c, struct stmt *s)
{
	for (int i = 0; i < 10; i++) {
		struct cursor *cur;
		bool row;
		int64_t from;

		assert_ok(pg->prepare(*c, s, SECONDS(30), &cur, &err));
		assert_ok(pg->step(cur, &row, &err));
		assert_true(row);
		from = clock_mono_ns();
		pg->finish(cur);
		if (!(*c)->broken)
			break;
		assert_true(clock_mono_ns() - from >= LIMIT_GRACE_NS);
		pg->close(*c);
		assert_ok(pg->open(g.db, SECONDS(10), c, &err));
	}
	assert_int_equal(number(*c, "SELECT 1"), 1);
}

static void test_finish_early(void **state)
{
	struct stmt s = {.sql = STR("SELECT generate_series(1, 2000000000) n"), .access = STMT_READ, .cache = true};
	const int64_t from = clock_mono_ns();

	NEEDS_SERVER();
	finish_early(&c1, &s);
	finish_early(&c1, &s);
	s.access = STMT_UNKNOWN;
	s.raw = true;
	s.cache = false;
	finish_early(&c1, &s);
	assert_true(clock_mono_ns() - from < 100 * CLOCK_NS_PER_S); /* less than to read them all */
	/* not cancelled: that would undo the insert, or abort the transaction */
	assert_ok(raw(c1, "CREATE TABLE early (a int)"));
	s = (struct stmt){.sql = STR("INSERT INTO early SELECT generate_series(1, 100000) RETURNING a"),
			  .access = STMT_WRITE};
	finish_early(&c1, &s);
	assert_int_equal(number(c1, "SELECT count(*) FROM early"), 100000);
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	s = (struct stmt){.sql = STR("SELECT generate_series(1, 1000000) n"), .access = STMT_READ};
	finish_early(&c1, &s);
	assert_int_equal(pg->tx_state(c1), TX_STATE_OPEN);
	assert_ok(pg->commit(c1, SECONDS(5), &err));
}

/* ---- time ------------------------------------------------------------------------------------------ */

static void test_deadline(void **state)
{
	struct stmt s = {.sql = STR("SELECT pg_sleep(30)"), .access = STMT_READ, .cache = true};
	struct rows r;
	int64_t from;

	NEEDS_SERVER();
	for (int i = 0; i < 3; i++) {
		from = clock_mono_ns();
		s.cache = i != 1;
		assert_err(run_stmt(c1, &s, clock_mono_ns() + 100 * CLOCK_NS_PER_MS, &r), ERR_STATEMENT_TIMEOUT);
		assert_true(clock_mono_ns() - from < 2 * CLOCK_NS_PER_S);
		assert_false(c1->broken);
		assert_int_equal(number(c1, "SELECT 1"), 1);
	}
	assert_err(run_stmt(c1, &s, clock_mono_ns() - 1, &r), ERR_STATEMENT_TIMEOUT);
	assert_int_equal(err.outcome, ERR_OUTCOME_NOT_STARTED);
	assert_err(pg->simple(c1, STR("SELECT pg_sleep(30)"), clock_mono_ns() + 100 * CLOCK_NS_PER_MS, &err),
		   ERR_STATEMENT_TIMEOUT);
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_err(run_stmt(c1, &s, clock_mono_ns() + 100 * CLOCK_NS_PER_MS, &r), ERR_STATEMENT_TIMEOUT);
	assert_int_equal(pg->tx_state(c1), TX_STATE_ABORTED);
	assert_err(raw(c1, "SELECT 1"), ERR_TRANSACTION_ABORTED);
	assert_err(pg->commit(c1, SECONDS(5), &err), ERR_TRANSACTION_ABORTED);
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_int_equal(pg->tx_state(c1), TX_STATE_NONE);
}

static void *cancel_soon(void *arg)
{
	struct driver_conn *c = arg;

	/* until it runs: c2 can see it */
	for (int i = 0; i < 500; i++) {
		if (number(c2, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT "
			       "pg_sleep(31%'") > 0)
			break;
		usleep(10000);
	}
	pg->cancel(c);
	return NULL;
}

static void test_cancel(void **state)
{
	struct stmt s = {.sql = STR("SELECT pg_sleep(31)"), .access = STMT_READ};
	struct rows r;
	pthread_t thread;

	NEEDS_SERVER();
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, c1), 0);
	assert_err(run_stmt(c1, &s, SECONDS(20), &r), ERR_STATEMENT_TIMEOUT);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(number(c1, "SELECT 1"), 1);
}

static void test_lock_timeout(void **state)
{
	struct rows r;

	NEEDS_SERVER();
	assert_ok(raw(c1, "CREATE TABLE locked (a int)"));
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_ok(own(c1, "LOCK TABLE locked", false, &r));
	assert_err(raw(c2, "LOCK TABLE locked NOWAIT"), ERR_SQL_ERROR); /* needs a transaction block */
	assert_ok(pg->begin(c2, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_err(own(c2, "LOCK TABLE locked NOWAIT", false, &r), ERR_DATABASE_BUSY);
	pg->rollback(c2);
	pg->rollback(c1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cells),       TEST(test_bytea_escape), TEST(test_params),       TEST(test_bad_params),
		TEST(test_refused_raw), TEST(test_copy_unseen),  TEST(test_constraints),  TEST(test_cache),
		TEST(test_stale_plans), TEST(test_streaming),    TEST(test_finish_early), TEST(test_deadline),
		TEST(test_cancel),      TEST(test_lock_timeout),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
