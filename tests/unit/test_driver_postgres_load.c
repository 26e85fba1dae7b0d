/* The PostgreSQL driver against a server of its own: loads by COPY. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/postgres_database.h"

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
		TEST(test_load),
		TEST(test_load_of_a_bad_row),
		TEST(test_load_given_up),
		TEST(test_load_into_no_table),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
