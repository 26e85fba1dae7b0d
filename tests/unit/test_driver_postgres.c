/*
 * The PostgreSQL driver against a server of its own: FERROD_TEST_PG_URL names a database where a schema may be created.
 * Runs on a plain thread, where waits block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "store/connection/dsn.h"
#include "store/driver/driver.h"
#include "store/driver/postgres/postgres_driver.h"

#define SECONDS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_S)

static const struct driver *const pg = &driver_postgres;

/* One database of the group: its dsn, and two connections for each test. */
static struct {
	struct arena arena;
	struct str url;
	struct dsn dsn;
	struct driver_db *db;
} g;

static struct driver_conn *c1, *c2;
static struct arena arena; /* of the running test: copies of rows */
static struct err err;

/* ---- helpers --------------------------------------------------------------------------------------- */

#define assert_ok(expression) \
	do { \
		if (!(expression)) \
			fail_msg("%s: %s %s %s", #expression, err_code_name(err.code), err.sqlstate, err.detail); \
	} while (0)

#define assert_err(expression, want) \
	do { \
		memset(&err, 0, sizeof(err)); \
		if (expression) \
			fail_msg("%s succeeded", #expression); \
		if (err.code != (want)) \
			fail_msg("%s: %s %s %s", #expression, err_code_name(err.code), err.sqlstate, err.detail); \
	} while (0)

struct rows {
	size_t n, n_columns;
	struct value cells[64];
	int64_t affected;
};

/* Runs to the end; the first rows are copied. */
static bool run_stmt(struct driver_conn *c, const struct stmt *s, int64_t deadline, struct rows *ret)
{
	struct cursor *cur;
	bool row = false, ok;

	memset(ret, 0, sizeof(*ret));
	if (!pg->prepare(c, s, deadline, &cur, &err))
		return false;
	ret->n_columns = cur->n_columns;
	while ((ok = pg->step(cur, &row, &err)) && row) {
		for (size_t i = 0; i < cur->n_columns && ret->n * cur->n_columns + i < ARRAY_LEN(ret->cells); i++)
			ret->cells[ret->n * cur->n_columns + i] = value_dup(&arena, cur->row[i]);
		ret->n++;
	}
	ret->affected = cur->affected;
	pg->finish(cur);
	return ok;
}

static bool raw_with(struct driver_conn *c, const char *sql, const struct value *params, size_t n, struct rows *ret)
{
	struct stmt s = {.sql = str_z(sql),
			 .params = params,
			 .n_params = n,
			 .access = STMT_UNKNOWN,
			 .param_type = STMT_PARAM_BY_KIND,
			 .raw = true};

	return run_stmt(c, &s, SECONDS(10), ret);
}

static bool raw(struct driver_conn *c, const char *sql)
{
	struct rows rows;

	return raw_with(c, sql, NULL, 0, &rows);
}

/* A generated statement. */
static bool own(struct driver_conn *c, const char *sql, bool cache, struct rows *ret)
{
	struct stmt s = {.sql = str_z(sql), .access = STMT_WRITE, .cache = cache};

	return run_stmt(c, &s, SECONDS(10), ret);
}

static int64_t number(struct driver_conn *c, const char *sql)
{
	struct rows rows;

	assert_ok(raw_with(c, sql, NULL, 0, &rows));
	assert_int_equal(rows.n, 1);
	assert_int_equal(rows.cells[0].kind, VALUE_INT);
	return rows.cells[0].u.i;
}

static void assert_cell(const struct rows *rows, size_t i, enum value_kind kind, const char *text)
{
	assert_int_equal(rows->cells[i].kind, kind);
	if (!str_eq_z(rows->cells[i].u.s, text))
		fail_msg("cell %zu is \"%.*s\", not \"%s\"", i, STR_FMT(rows->cells[i].u.s), text);
}

static void assert_text(struct driver_conn *c, const char *sql, const char *want)
{
	struct rows rows;

	assert_ok(raw_with(c, sql, NULL, 0, &rows));
	assert_int_equal(rows.n, 1);
	assert_cell(&rows, 0, VALUE_TEXT, want);
}

static struct str url_with(struct arena *a, const char *parameter)
{
	const char sep = memchr(g.url.p, '?', g.url.len) != NULL ? '&' : '?';

	return arena_printf(a, "%.*s%c%s", STR_FMT(g.url), sep, parameter);
}

static struct driver_db *open_db(struct arena *a, struct str url, struct dsn *dsn)
{
	struct driver_db *db;

	assert_ok(dsn_parse(a, url, dsn, &err));
	assert_ok(pg->db_open(dsn, &db, &err));
	return db;
}

/* ---- set-up ---------------------------------------------------------------------------------------- */

static int group_open(void **state)
{
	const char *url = getenv("FERROD_TEST_PG_URL");
	struct driver_conn *c;
	char sql[128];

	(void)state;
	if (url == NULL)
		return 0;
	arena_init(&g.arena);
	g.url = str_z(url);
	g.db = open_db(&g.arena,
		       url_with(&g.arena, arena_printf(&g.arena, "ferro_search_path=ferrod_Unit_%d", (int)getpid()).p),
		       &g.dsn);
	if (!pg->open(g.db, SECONDS(10), &c, &err)) {
		print_error("%s\n", err.detail);
		return -1;
	}
	(void)snprintf(sql, sizeof(sql), "CREATE SCHEMA \"ferrod_Unit_%d\"", (int)getpid());
	if (!raw(c, sql))
		return -1;
	pg->close(c);
	return 0;
}

static int group_close(void **state)
{
	struct driver_conn *c;
	char sql[128];

	(void)state;
	if (g.db == NULL)
		return 0;
	if (!pg->open(g.db, SECONDS(10), &c, &err))
		return -1;
	(void)snprintf(sql, sizeof(sql), "DROP SCHEMA \"ferrod_Unit_%d\" CASCADE", (int)getpid());
	if (!raw(c, sql))
		return -1;
	pg->close(c);
	pg->db_close(g.db);
	arena_done(&g.arena);
	return 0;
}

static int test_open(void **state)
{
	(void)state;
	arena_init(&arena);
	c1 = c2 = NULL;
	if (g.db == NULL)
		return 0;
	return pg->open(g.db, SECONDS(10), &c1, &err) && pg->open(g.db, SECONDS(10), &c2, &err) ? 0 : -1;
}

static int test_close(void **state)
{
	(void)state;
	pg->close(c1);
	pg->close(c2);
	arena_done(&arena);
	return 0;
}

#define NEEDS_SERVER() \
	do { \
		(void)state; \
		if (g.db == NULL) \
			skip(); \
	} while (0)

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
	assert_cell(&r, 20, VALUE_TEXT, "1 day 02:00:00");
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
		assert_true(clock_mono_ns() - from >= PG_GRACE_NS);
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

/* ---- connecting ------------------------------------------------------------------------------------ */

static void refused(struct str url, enum err_code want)
{
	struct dsn dsn;
	struct driver_db *db = open_db(&arena, url, &dsn);
	struct driver_conn *c;

	assert_err(pg->open(db, SECONDS(3), &c, &err), want);
	assert_null(strstr(err.detail, "s3cret"));
	pg->db_close(db);
}

/* A listening socket on the loopback; accepts nothing. */
static int listen_port(int backlog, int *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* Several hosts: one that refuses, then one that does not answer at all, then the server. */
static void test_hosts(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct driver_conn *c;
	struct driver_db *db;
	struct dsn dsn;
	int closed, silent, fds[6], fd, quiet;
	int64_t from;
	struct rows r;

	NEEDS_SERVER();
	fd = listen_port(1, &closed);
	close(fd);
	quiet = listen_port(0, &silent);
	in.sin_port = htons((uint16_t)silent);
	/* its queue is full: further attempts to connect get no answer */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(fds[i] >= 0);
		if (connect(fds[i], (struct sockaddr *)&in, sizeof(in)) != 0)
			assert_int_equal(errno, EINPROGRESS);
	}
	assert_ok(raw_with(c1, "SHOW port", NULL, 0, &r));
	db = open_db(
		&arena,
		url_with(&arena, arena_printf(&arena,
					      "host=127.0.0.1,127.0.0.1,127.0.0.1&port=%d,%d,%.*s&connect_timeout=2&"
					      "target_session_attrs=read-write",
					      closed, silent, STR_FMT(r.cells[0].u.s))
					 .p),
		&dsn);
	from = clock_mono_ns();
	assert_ok(pg->open(db, SECONDS(20), &c, &err));
	assert_true(clock_mono_ns() - from > CLOCK_NS_PER_S); /* the silent one had its time */
	assert_true(clock_mono_ns() - from < 6 * CLOCK_NS_PER_S);
	assert_int_equal(number(c, "SELECT 1"), 1);
	pg->close(c);
	pg->db_close(db);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	close(quiet);
}

static void test_refused(void **state)
{
	struct driver_db *db;
	struct dsn dsn;
	int port, fd;
	int64_t from;

	NEEDS_SERVER();
	refused(url_with(&arena, "user=nobody_here&password=s3cret"), ERR_DATABASE_FORBIDDEN);
	refused(url_with(&arena, "dbname=not_there_s"), ERR_DATABASE_FORBIDDEN);
	assert_string_equal(err.sqlstate, "3D000");
	assert_ok(dsn_parse(&arena, STR("postgres://u:s3cret@localhost/db?no_such_parameter=1"), &dsn, &err));
	assert_err(pg->db_open(&dsn, &db, &err), ERR_INVALID_URL);
	assert_null(strstr(err.detail, "s3cret"));

	fd = listen_port(4, &port);
	from = clock_mono_ns();
	refused(arena_printf(&arena, "postgres://u:s3cret@127.0.0.1:%d/db", port), ERR_DATABASE_UNAVAILABLE);
	assert_true(clock_mono_ns() - from < 5 * CLOCK_NS_PER_S);
	close(fd);
	refused(arena_printf(&arena, "postgres://u:s3cret@127.0.0.1:%d/db", port), ERR_DATABASE_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "refused"));
	refused(STR("postgres://u:s3cret@no-such-host.invalid/db"), ERR_DATABASE_UNAVAILABLE);
}

static void test_settings(void **state)
{
	struct dsn dsn;
	struct driver_db *db;
	struct driver_conn *c;

	NEEDS_SERVER();
	db = open_db(&arena, url_with(&arena, "options=-c%20datestyle%3Dgerman%20-c%20work_mem%3D5MB"), &dsn);
	assert_ok(pg->open(db, SECONDS(5), &c, &err));
	assert_text(c, "SHOW datestyle", "ISO, MDY");
	assert_text(c, "SHOW work_mem", "5MB");
	assert_text(c, "SHOW application_name", "ferrod");
	assert_text(c, "SHOW client_encoding", "UTF8");
	assert_text(c, "SHOW timezone", "UTC");
	assert_true(strlen(pg->server_version(c)) >= 2);
	assert_true(pg->server_version(c)[0] >= '1' && pg->server_version(c)[0] <= '9');
	assert_null(strchr(pg->server_version(c), ' '));
	assert_ok(pg->ping(c, SECONDS(5), &err));
	pg->close(c);
	pg->db_close(db);
	db = open_db(&arena, url_with(&arena, "application_name=other"), &dsn);
	assert_ok(pg->open(db, SECONDS(5), &c, &err));
	assert_text(c, "SHOW application_name", "other");
	pg->close(c);
	pg->db_close(db);
}

/* Closing a connection ends what runs on it. */
static void test_close_running(void **state)
{
	struct stmt s = {.sql = STR("SELECT generate_series(1, 2000000000) n -- closing"), .access = STMT_READ};
	struct cursor *cur;

	NEEDS_SERVER();
	assert_ok(pg->prepare(c1, &s, SECONDS(20), &cur, &err));
	pg->close(c1);
	c1 = NULL;
	for (int i = 0; i < 500; i++) {
		if (number(c2, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%-- clo' || 'sing'") == 0)
			return;
		usleep(10000);
	}
	fail_msg("the statement still runs");
}

static void test_version(void **state)
{
	(void)state;
	assert_non_null(strchr(driver_postgres_version(), '.'));
	assert_ptr_equal(driver_postgres_version(), driver_postgres_version());
}

/* ---- loads ----------------------------------------------------------------------------------------- */

static bool load_row(struct driver_conn *c, const struct value *row)
{
	static const bool given[] = {true, false, true};
	const struct load l = {.given = given, .n_columns = 3, .rows = &row, .n_rows = 1};

	return pg->load_rows(c, &l, SECONDS(10), &err);
}

static void begin_load(struct driver_conn *c)
{
	bool began = false;

	assert_ok(pg->load_begin(c, STR("Load"), STR("COPY \"Load\" (a, c) FROM STDIN"), SECONDS(10), &began, &err));
	assert_true(began);
}

static void load_table(void)
{
	assert_ok(raw(c1, "DROP TABLE IF EXISTS \"Load\""));
	assert_ok(raw(c1, "CREATE TABLE \"Load\" (a int UNIQUE, b text DEFAULT 'd', c text)"));
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(10), &err));
}

static void test_load(void **state)
{
	const struct value rows[][3] = {
		{value_int(1), value_null(), value_text(STR("a\tb\n\\N\\.\r"))},
		{value_null(), value_null(), value_text(STR(""))},
		{value_int(-7), value_null(), value_null()},
	};
	int64_t n = 0;

	(void)state;
	load_table();
	begin_load(c1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_ok(load_row(c1, rows[i]));
	assert_ok(pg->load_end(c1, SECONDS(10), &n, &err));
	assert_int_equal(n, 3);
	begin_load(c1); /* another one in the same transaction, of nothing */
	assert_ok(pg->load_end(c1, SECONDS(10), &n, &err));
	assert_int_equal(n, 0);
	assert_ok(pg->commit(c1, SECONDS(10), &err));
	assert_text(c1, "SELECT c FROM \"Load\" WHERE a = 1", "a\tb\n\\N\\.\r");
	assert_text(c1, "SELECT b FROM \"Load\" WHERE a IS NULL AND c = ''", "d");
	assert_int_equal(number(c1, "SELECT count(*) FROM \"Load\" WHERE a = -7 AND c IS NULL"), 1);
}

static void test_load_of_a_bad_row(void **state)
{
	const struct value row[] = {value_int(1), value_null(), value_text(STR("x"))};
	const struct value nul[] = {value_int(2), value_null(), value_text(STR("x\0y"))};
	int64_t n;

	(void)state;
	load_table();
	begin_load(c1);
	for (int i = 0; i < 2; i++)
		assert_ok(load_row(c1, row));
	assert_err(pg->load_end(c1, SECONDS(10), &n, &err), ERR_UNIQUE_VIOLATION);
	assert_string_equal(err.sqlstate, "23505");
	assert_string_equal(err.table, "Load");
	assert_string_equal(err.constraint, "Load_a_key");
	assert_int_equal(pg->tx_state(c1), TX_STATE_ABORTED);
	pg->load_abort(c1); /* there is none any more */
	pg->rollback(c1);
	assert_ok(pg->begin(c1, TX_ISO_DEFAULT, false, SECONDS(10), &err));
	begin_load(c1);
	assert_err(load_row(c1, nul), ERR_INVALID_VALUE);
	pg->load_abort(c1);
	pg->rollback(c1);
	assert_false(c1->broken);
	assert_int_equal(number(c1, "SELECT count(*) FROM \"Load\""), 0);
}

static void test_load_given_up(void **state)
{
	static char wide[100000];
	const struct value row[] = {value_null(), value_null(), value_text(str_n(wide, sizeof(wide)))};

	(void)state;
	memset(wide, 'x', sizeof(wide));
	load_table();
	begin_load(c1);
	for (int i = 0; i < 100; i++)
		assert_ok(load_row(c1, row));
	pg->load_abort(c1);
	assert_int_equal(pg->tx_state(c1), TX_STATE_ABORTED);
	pg->rollback(c1);
	assert_false(c1->broken);
	assert_int_equal(number(c1, "SELECT count(*) FROM \"Load\""), 0);
}

static void test_load_into_no_table(void **state)
{
	bool began = true;

	(void)state;
	load_table();
	assert_ok(pg->simple(c1, STR("CREATE VIEW \"Seen\" AS SELECT * FROM \"Load\""), SECONDS(10), &err));
	assert_ok(pg->load_begin(c1, STR("Seen"), STR("COPY \"Seen\" (a) FROM STDIN"), SECONDS(10), &began, &err));
	assert_false(began);
	assert_ok(pg->simple(c1,
			     STR("CREATE TABLE \"Ruled\" (a int); CREATE RULE also AS ON INSERT TO \"Ruled\" "
				 "DO ALSO INSERT INTO \"Load\" (a) VALUES (NEW.a)"),
			     SECONDS(10), &err));
	began = true; /* COPY would not follow the rule */
	assert_ok(pg->load_begin(c1, STR("Ruled"), STR("COPY \"Ruled\" (a) FROM STDIN"), SECONDS(10), &began, &err));
	assert_false(began);
	began = true;
	assert_ok(pg->load_begin(c1, STR("Nope"), STR("COPY \"Nope\" (a) FROM STDIN"), SECONDS(10), &began, &err));
	assert_false(began);
	assert_err(pg->load_begin(c1, STR("Load"), STR("COPY \"Load\" (z) FROM STDIN"), SECONDS(10), &began, &err),
		   ERR_SQL_ERROR);
	assert_int_equal(pg->tx_state(c1), TX_STATE_ABORTED);
	pg->rollback(c1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cells),         TEST(test_bytea_escape),
		TEST(test_params),        TEST(test_bad_params),
		TEST(test_refused_raw),   TEST(test_copy_unseen),
		TEST(test_constraints),   TEST(test_cache),
		TEST(test_stale_plans),   TEST(test_streaming),
		TEST(test_finish_early),  TEST(test_deadline),
		TEST(test_cancel),        TEST(test_lock_timeout),
		TEST(test_transactions),  TEST(test_serialization),
		TEST(test_lost_idle),     TEST(test_lost_in_transaction),
		TEST(test_lost_running),  TEST(test_reset),
		TEST(test_list_tables),   TEST(test_refused),
		TEST(test_settings),      TEST(test_hosts),
		TEST(test_load),          TEST(test_load_of_a_bad_row),
		TEST(test_load_given_up), TEST(test_load_into_no_table),
		TEST(test_close_running), cmocka_unit_test(test_version),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
