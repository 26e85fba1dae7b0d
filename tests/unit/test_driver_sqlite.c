/* The SQLite driver: opening, values, statements, errors, policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "tests/support/sqlite_database.h"

/* ---- opening --------------------------------------------------------------------------------------- */

static void files_open_as_the_url_says(void **state)
{
	struct database d, ro;

	(void)state;
	assert_err(open_url(file_url("a.db", ""), &d), ERR_INVALID_URL);
	assert_null(strstr(err.detail, "a.db"));
	close_database(&d);
	assert_err(open_url(file_url("none/a.db", "?mode=rwc"), &d), ERR_INVALID_URL);
	close_database(&d);
	d = file_database("a.db");
	assert_ok(sql(d.a, "CREATE TABLE t(x)"));
	assert_int_equal(number(d.b, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"), 1);
	assert_int_equal(number(d.b, "SELECT foreign_keys FROM pragma_foreign_keys"), 1);
	assert_int_equal(number(d.b, "SELECT synchronous FROM pragma_synchronous"), 2);
	assert_ok(open_url(file_url("a.db", "?mode=ro"), &ro));
	assert_int_equal(number(ro.a, "SELECT count(*) FROM t"), 0);
	assert_err(sql(ro.a, "INSERT INTO t VALUES (1)"), ERR_SQL_ERROR);
	assert_non_null(strstr(err.detail, "read-only database"));
	close_database(&ro);
	close_database(&d);
	assert_ok(open_url(file_url("a.db", "?mode=ro&immutable=1"), &ro));
	assert_int_equal(number(ro.a, "SELECT count(*) FROM t"), 0);
	close_database(&ro);
	assert_err(open_url(arena_printf(&arena, "sqlite:%s", dir), &d), ERR_INVALID_URL);
	close_database(&d);
}

static void what_is_no_database_is_refused(void **state)
{
	char path[100];
	struct database d;
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/b.db", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 500; i++)
		(void)fputs("this is a text, not a database. ", f);
	(void)fclose(f);
	assert_err(open_url(file_url("b.db", "?mode=rwc"), &d), ERR_INVALID_URL);
	assert_null(strstr(err.detail, dir));
	close_database(&d);
}

/* SQLite may be built to read any name as a URI; then a client could reach parameters that we refuse. */
static void names_are_no_uris(void **state)
{
	char path[100], old[300];
	struct database d;

	(void)state;
	assert_non_null(getcwd(old, sizeof(old)));
	assert_int_equal(chdir(dir), 0);
	assert_ok(open_url(STR("sqlite:file:c.db%3Fmode=memory?mode=rwc"), &d));
	assert_ok(sql(d.a, "CREATE TABLE t(x)"));
	close_database(&d);
	(void)snprintf(path, sizeof(path), "%s/file:c.db?mode=memory", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chdir(old), 0);
}

static void a_memory_database_is_one_per_connect(void **state)
{
	struct database d = memory_database(), other = memory_database();

	(void)state;
	assert_ok(sql(d.a, "CREATE TABLE t(x)"));
	assert_ok(sql(d.a, "INSERT INTO t VALUES (1)"));
	assert_int_equal(number(d.b, "SELECT count(*) FROM t"), 1);
	assert_err(sql(other.a, "SELECT * FROM t"), ERR_SQL_ERROR);
	/* it lives as long as its db, with no connection at all */
	lite->close(d.a);
	lite->close(d.b);
	d.b = NULL;
	assert_ok(lite->open(d.db, SECONDS(5), &d.a, &err));
	assert_int_equal(number(d.a, "SELECT count(*) FROM t"), 1);
	close_database(&d);
	close_database(&other);
}

/* ---- statements ------------------------------------------------------------------------------------ */

static void values_survive(void **state)
{
	const struct value in[] = {
		value_null(),
		value_int(INT64_MIN),
		value_double(0.1),
		value_text(str_n("a\0\xc3\xa9", 4)),
		value_bytes(str_n("\0\xff", 2)),
		value_bytes(STR_NONE),
		value_text(STR("")),
		value_bool(true),
		value_json(STR("{\"a\":1}")),
	};
	struct database d = memory_database();
	struct rows rows;

	(void)state;
	assert_ok(sql_with(d.a, "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? AS last", in, ARRAY_LEN(in), &rows));
	assert_int_equal(rows.n, 1);
	assert_true(rows.read_only);
	for (size_t i = 0; i < 7; i++)
		assert_true(value_equal(rows.cells[i], in[i]));
	assert_true(value_equal(rows.cells[7], value_int(1)));
	assert_true(value_equal(rows.cells[8], value_text(STR("{\"a\":1}"))));
	close_database(&d);
}

static void changes_are_counted(void **state)
{
	struct database d = memory_database();
	struct rows r;

	(void)state;
	assert_ok(sql_with(d.a, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)", NULL, 0, &r));
	assert_int_equal(r.affected, 0);
	assert_false(r.read_only);
	assert_ok(sql_with(d.a, "INSERT INTO t(x) VALUES (1), (2), (3)", NULL, 0, &r));
	assert_int_equal(r.affected, 3);
	assert_int_equal(r.last_insert_id, 3);
	assert_ok(sql_with(d.a, "UPDATE t SET x = 5 WHERE id < 3", NULL, 0, &r));
	assert_int_equal(r.affected, 2);
	assert_int_equal(r.last_insert_id, 0);
	/* neither shows the figures of the statement before */
	assert_ok(sql_with(d.a, "CREATE INDEX i ON t(x)", NULL, 0, &r));
	assert_int_equal(r.affected, 0);
	assert_ok(sql_with(d.a, "SELECT * FROM t", NULL, 0, &r));
	assert_int_equal(r.affected, 0);
	assert_ok(sql_with(d.a, "DELETE FROM t WHERE id = 99", NULL, 0, &r));
	assert_int_equal(r.affected, 0);
	assert_ok(sql_with(d.a, "INSERT INTO t(x) VALUES (7), (8) RETURNING id", NULL, 0, &r));
	assert_int_equal(r.n, 2);
	assert_int_equal(r.affected, 2);
	close_database(&d);
}

static void one_statement_with_its_parameters(void **state)
{
	static const char *const good[] = {"SELECT 1;", "SELECT 1 ; -- more", "/* a */ ; SELECT 1 /* b",
					   " \n-- x\nSELECT 1;;"};
	static const char *const bad[] = {"SELECT 1; SELECT 2",          "SELECT 1;;x", "", " ; ", "-- only",
					  "SELECT 1; /* */ DROP TABLE t"};
	const struct value two[] = {value_int(1), value_int(2)};
	const struct str names[] = {STR("b"), STR("a")}, wrong[] = {STR("a"), STR("c")};
	struct stmt s = {.sql = STR("SELECT :a * 10 + @b"), .params = two, .n_params = 2, .param_names = names};
	struct database d = memory_database();
	struct rows r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(number(d.a, good[i]), 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_err(sql(d.a, bad[i]), ERR_SQL_ERROR);
	s.sql = str_n("SELECT 1\0 ", 10);
	assert_err(run_on(d.a, &s, SECONDS(5), &r, &err), ERR_SQL_ERROR);
	assert_err(sql_with(d.a, "SELECT ?", two, 2, &r), ERR_INVALID_PARAMETERS);
	assert_err(sql_with(d.a, "SELECT ?, ?3", two, 2, &r), ERR_INVALID_PARAMETERS);
	assert_err(sql_with(d.a, "SELECT ?", NULL, 0, &r), ERR_INVALID_PARAMETERS);
	s.sql = STR("SELECT :a * 10 + @b");
	assert_ok(run_on(d.a, &s, SECONDS(5), &r, &err));
	assert_int_equal(r.cells[0].u.i, 21);
	s.param_names = wrong;
	assert_err(run_on(d.a, &s, SECONDS(5), &r, &err), ERR_INVALID_PARAMETERS);
	s.sql = STR("SELECT ?, ?");
	assert_err(run_on(d.a, &s, SECONDS(5), &r, &err), ERR_INVALID_PARAMETERS);
	close_database(&d);
}

static void statements_are_cached_and_see_new_columns(void **state)
{
	struct database d = memory_database();
	struct cursor *outer, *inner;
	const struct stmt s = {.sql = STR("SELECT * FROM t"), .access = STMT_READ, .cache = true};
	struct rows r;
	bool row;

	(void)state;
	assert_ok(sql(d.a, "CREATE TABLE t(a)"));
	assert_ok(sql(d.a, "INSERT INTO t VALUES (1), (2)"));
	assert_ok(cached(d.a, "SELECT * FROM t", &r));
	assert_int_equal(d.a->cache_hits, 0);
	assert_ok(cached(d.a, "SELECT * FROM t", &r));
	assert_int_equal(d.a->cache_hits, 1);
	assert_int_equal(r.n_columns, 1);
	/* CON-27: from another connection */
	assert_ok(sql(d.b, "ALTER TABLE t ADD COLUMN b"));
	assert_ok(cached(d.a, "SELECT * FROM t", &r));
	assert_int_equal(d.a->cache_hits, 2);
	assert_int_equal(r.n_columns, 2);
	assert_int_equal(r.n, 2);
	/* the same statement twice at once, forgotten while it runs */
	assert_ok(lite->prepare(d.a, &s, SECONDS(5), &outer, &err));
	assert_ok(lite->step(outer, &row, &err));
	assert_ok(lite->prepare(d.a, &s, SECONDS(5), &inner, &err));
	lite->forget(d.a);
	assert_ok(lite->step(inner, &row, &err));
	assert_true(row);
	assert_int_equal(inner->row[0].u.i, 1);
	assert_ok(lite->step(outer, &row, &err));
	assert_int_equal(outer->row[0].u.i, 2);
	lite->finish(outer);
	lite->finish(inner);
	for (int i = 0; i < LIMIT_STATEMENT_CACHE * 2; i++)
		assert_ok(cached(d.a, arena_printf(&arena, "SELECT %d", i).p, &r));
	close_database(&d);
}

/* ---- errors ---------------------------------------------------------------------------------------- */

static void constraints_name_what_they_guard(void **state)
{
	struct database d = memory_database();

	(void)state;
	assert_ok(lite->simple(d.a,
			       STR("CREATE TABLE p(id INTEGER PRIMARY KEY);"
				   "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL, b INT, c INT REFERENCES p,"
				   " UNIQUE (a), CONSTRAINT small CHECK (b < 10), CHECK (b <> 'secret'));"
				   "CREATE UNIQUE INDEX pair ON t(b, c); CREATE UNIQUE INDEX lowered ON t(lower(a));"
				   "INSERT INTO t VALUES (1, 'x', 1, NULL); INSERT INTO p VALUES (1)"),
			       SECONDS(5), &err));
	assert_err(sql(d.a, "INSERT INTO t(a) VALUES ('x')"), ERR_UNIQUE_VIOLATION);
	assert_err(sql(d.a, "INSERT INTO t(id, a) VALUES (1, 'y')"), ERR_UNIQUE_VIOLATION);
	assert_string_equal(err.table, "t");
	assert_string_equal(err.column, "id");
	assert_err(sql(d.a, "INSERT INTO t(a) VALUES ('X')"), ERR_UNIQUE_VIOLATION);
	assert_string_equal(err.constraint, "lowered");
	assert_ok(sql(d.a, "UPDATE t SET c = 1"));
	assert_err(sql(d.a, "INSERT INTO t(a, b, c) VALUES ('z', 1, 1)"), ERR_UNIQUE_VIOLATION);
	assert_string_equal(err.table, "t");
	assert_string_equal(err.column, "");
	assert_err(sql(d.a, "INSERT INTO t(b) VALUES (2)"), ERR_NOT_NULL_VIOLATION);
	assert_string_equal(err.column, "a");
	assert_err(sql(d.a, "INSERT INTO t(a, b) VALUES ('q', 11)"), ERR_CHECK_VIOLATION);
	assert_string_equal(err.constraint, "small");
	assert_err(sql(d.a, "INSERT INTO t(a, b) VALUES ('q', 'secret')"), ERR_CHECK_VIOLATION);
	assert_err(sql(d.a, "INSERT INTO t(a, c) VALUES ('q', 99)"), ERR_FOREIGN_KEY_VIOLATION);
	assert_int_equal(number(d.a, "SELECT count(*) FROM t"), 1);
	close_database(&d);
}

static void errors_have_positions_and_no_values(void **state)
{
	struct database d = memory_database();

	(void)state;
	assert_err(sql(d.a, "-- \xc3\xa9\nSELECT nope"), ERR_SQL_ERROR);
	assert_int_equal(err.position, 13);
	assert_non_null(strstr(err.detail, "nope"));
	assert_err(sql(d.a, "SELEKT 1"), ERR_SQL_ERROR);
	assert_int_equal(err.position, 1);
	assert_err(sql(d.a, "SELECT 1 'a' 'hunter2'"), ERR_SQL_ERROR);
	assert_null(strstr(err.detail, "hunter2"));
	assert_err(sql(d.a, "SELECT 'hunter2"), ERR_SQL_ERROR);
	assert_null(strstr(err.detail, "hunter2"));
	assert_err(sql(d.a, "SELECT json_extract('{}', '$hunter2')"), ERR_SQL_ERROR);
	assert_null(strstr(err.detail, "hunter2"));
	close_database(&d);
}

static void deep_statements_are_refused(void **state)
{
	struct database d = memory_database();
	struct strbuf b;

	(void)state;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "WITH c0 AS (SELECT 1)");
	for (int i = 1; i < 300; i++)
		strbuf_printf(&b, ", c%d AS (SELECT * FROM c%d)", i, i - 1);
	strbuf_puts(&b, " SELECT * FROM c299");
	assert_err(sql(d.a, b.p), ERR_SQL_ERROR);
	strbuf_reset(&b);
	strbuf_puts(&b, "SELECT 1");
	for (int i = 0; i < 300; i++)
		strbuf_puts(&b, " + 1");
	assert_err(sql(d.a, b.p), ERR_SQL_ERROR);
	strbuf_done(&b);
	close_database(&d);
}

/* ---- policy ---------------------------------------------------------------------------------------- */

static void foreign_files_and_code_are_out_of_reach(void **state)
{
	static const char *const bad[] = {
		"ATTACH DATABASE 'x.db' AS x",
		"ATTACH '' AS x",
		"ATTACH 'file:/ferrod-1?vfs=memdb' AS x",
		"DETACH main",
		"VACUUM INTO 'copy.db'",
		"SELECT load_extension('x')",
		"SELECT * FROM sqlite_stmt",
		"PRAGMA temp_store_directory = '/'",
		"SELECT fts3_tokenizer('simple')",
	};
	struct database d = file_database("a.db");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_err(sql(d.a, bad[i]), ERR_SQL_ERROR);
	assert_ok(sql(d.a, "VACUUM"));
	close_database(&d);
}

static void traces_of_a_client_close_the_connection(void **state)
{
	static const char *const traces[] = {
		"CREATE TEMP TABLE x(y)",
		"CREATE TABLE temp.x(y)",
		"CREATE TEMP VIEW v AS SELECT 1",
		"PRAGMA foreign_keys = OFF",
		"PRAGMA synchronous = 0",
		"PRAGMA case_sensitive_like = 1",
		"CREATE VIRTUAL TABLE temp.f USING fts5(x)",
	};
	static const char *const clean[] = {"SELECT 1",
					    "CREATE TABLE IF NOT EXISTS t(x)",
					    "PRAGMA foreign_keys",
					    "PRAGMA table_info(t)",
					    "INSERT INTO t VALUES (1)",
					    "BEGIN"};
	struct database d = memory_database();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
		assert_ok(sql(d.a, traces[i]));
		if (!d.a->session_dirty)
			fail_msg("%s leaves no trace", traces[i]);
		assert_false(lite->reset(d.a, SECONDS(5)));
		lite->close(d.a);
		assert_ok(lite->open(d.db, SECONDS(5), &d.a, &err));
	}
	for (size_t i = 0; i < ARRAY_LEN(clean); i++) {
		assert_ok(sql(d.a, clean[i]));
		assert_true(lite->reset(d.a, SECONDS(5)));
		assert_int_equal(lite->tx_state(d.a), TX_STATE_NONE);
	}
	assert_int_equal(number(d.a, "SELECT last_insert_rowid()"), 0);
	close_database(&d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(files_open_as_the_url_says),
		TEST(what_is_no_database_is_refused),
		TEST(names_are_no_uris),
		TEST(a_memory_database_is_one_per_connect),
		TEST(values_survive),
		TEST(changes_are_counted),
		TEST(one_statement_with_its_parameters),
		TEST(statements_are_cached_and_see_new_columns),
		TEST(constraints_name_what_they_guard),
		TEST(errors_have_positions_and_no_values),
		TEST(deep_statements_are_refused),
		TEST(foreign_files_and_code_are_out_of_reach),
		TEST(traces_of_a_client_close_the_connection),
	};

	return cmocka_run_group_tests_name("driver_sqlite", tests, NULL, NULL);
}
