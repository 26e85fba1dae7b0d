/* What is known of tables at its bound: whatever falls out of it is looked at again, and no answer is ever another
 * table's. */
#include "tests/support/postgres_database.h"

static struct str name_of(int n)
{
	static char text[32];

	return str_n(text, (size_t)snprintf(text, sizeof(text), "table_%d", n));
}

static void fill(struct pg_plain *x, int n)
{
	for (int i = 0; i < n; i++)
		pg_plain_keep(x, "", name_of(i), i % 3 != 0, 0);
}

static void test_bound(void **state)
{
	struct pg_plain *x = pg_plain_create();
	uint64_t since;
	bool plain;

	(void)state;
	fill(x, LIMIT_PLAIN_TABLES);
	for (int i = 0; i < LIMIT_PLAIN_TABLES; i++) {
		assert_true(pg_plain_get(x, "", name_of(i), &plain, &since));
		assert_int_equal(plain, i % 3 != 0);
	}
	/* one that is known already takes no room, and may have become another */
	pg_plain_keep(x, "", name_of(0), true, 0);
	assert_true(pg_plain_get(x, "", name_of(0), &plain, &since) && plain);
	assert_true(pg_plain_get(x, "", name_of(1), &plain, &since) && plain);
	assert_true(pg_plain_get(x, "", name_of(3), &plain, &since) && !plain);
	/* one more */
	pg_plain_keep(x, "", name_of(LIMIT_PLAIN_TABLES), false, 0);
	assert_true(pg_plain_get(x, "", name_of(LIMIT_PLAIN_TABLES), &plain, &since) && !plain);
	for (int i = 0; i < LIMIT_PLAIN_TABLES; i++)
		assert_false(pg_plain_get(x, "", name_of(i), &plain, &since));
	fill(x, LIMIT_PLAIN_TABLES - 1);
	assert_true(pg_plain_get(x, "", name_of(LIMIT_PLAIN_TABLES), &plain, &since) && !plain);
	pg_plain_destroy(x);
}

/* A role may mean a table of a schema of its own. */
static void test_each_role_knows_its_own(void **state)
{
	struct pg_plain *x = pg_plain_create();
	uint64_t since;
	bool plain;

	(void)state;
	pg_plain_keep(x, "", STR("t"), true, 0);
	assert_false(pg_plain_get(x, "a", STR("t"), &plain, &since));
	pg_plain_keep(x, "a", STR("t"), false, 0);
	assert_true(pg_plain_get(x, "", STR("t"), &plain, &since) && plain);
	assert_true(pg_plain_get(x, "a", STR("t"), &plain, &since) && !plain);
	assert_false(pg_plain_get(x, "b", STR("t"), &plain, &since));
	pg_plain_destroy(x);
}

static void test_a_proof_that_is_older_than_a_change(void **state)
{
	struct pg_plain *x = pg_plain_create();
	const struct str key = STR("rwselect\nwt\n");
	const uint64_t since = pg_plain_since(x);

	(void)state;
	pg_plain_forget(x);
	pg_proof_keep(x, key, RAW_SHARES, since);
	assert_int_equal(pg_proof_get(x, key, NULL), RAW_UNKNOWN);
	pg_proof_keep(x, key, RAW_SHARES, pg_plain_since(x));
	assert_int_equal(pg_proof_get(x, key, NULL), RAW_SHARES);
	pg_plain_destroy(x);
}

/* Somebody's DDL between a look and its being kept. */
static void test_a_look_that_is_older_than_a_change(void **state)
{
	struct pg_plain *x = pg_plain_create();
	uint64_t since, later;
	bool plain;

	(void)state;
	assert_false(pg_plain_get(x, "", STR("t"), &plain, &since));
	pg_plain_forget(x);
	pg_plain_keep(x, "", STR("t"), true, since);
	assert_false(pg_plain_get(x, "", STR("t"), &plain, &later));
	pg_plain_keep(x, "", STR("t"), false, later);
	assert_true(pg_plain_get(x, "", STR("t"), &plain, &since) && !plain);
	pg_plain_destroy(x);
}

/* ---- with a server ---- */

static bool dirty_after(struct str table)
{
	struct stmt s = {.sql = arena_printf(&arena, "SELECT count(*) FROM \"%.*s\"", STR_FMT(table)),
			 .access = STMT_READ,
			 .tables = &table,
			 .n_tables = 1};
	struct rows rows;

	c1->session_dirty = false;
	assert_ok(run_stmt(c1, &s, SECONDS(10), &rows));
	return c1->session_dirty;
}

/* Both are right before the bound, at it, and when they have been pushed out. */
static void test_answers_at_the_bound(void **state)
{
	const struct str tables[] = {STR("known_plain"), STR("known_view")};
	const struct stmt s = {.tables = tables, .n_tables = 1};
	struct pg_plain *x;

	NEEDS_SERVER();
	x = c1->db->plain;
	assert_ok(raw(c1, "CREATE TABLE known_plain (a int)"));
	assert_ok(raw(c1, "CREATE FUNCTION known_f() RETURNS int LANGUAGE sql AS 'SELECT 1'"));
	assert_ok(raw(c1, "CREATE VIEW known_view AS SELECT known_f() AS a"));
	pg_plain_forget(x);
	for (int more = LIMIT_PLAIN_TABLES - 2; more <= LIMIT_PLAIN_TABLES + 1; more++) {
		uint64_t since;
		bool plain;

		assert_false(pg_plain_get(x, "", STR("known_nothing"), &plain, &since));
		for (int i = 0; i < more; i++)
			pg_plain_keep(x, "", name_of(i), i % 2 == 0, since);
		for (int twice = 0; twice < 2; twice++) {
			assert_false(dirty_after(tables[0]));
			assert_true(pg_plain_known(c1->db, &s));
			assert_true(dirty_after(tables[1]));
			assert_true(pg_plain_get(x, "", tables[1], &plain, &since) && !plain);
		}
	}
}

int main(void)
{
	const struct CMUnitTest pure[] = {
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_each_role_knows_its_own),
		cmocka_unit_test(test_a_look_that_is_older_than_a_change),
		cmocka_unit_test(test_a_proof_that_is_older_than_a_change),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers_at_the_bound, test_open, test_close),
	};
	const int failed = cmocka_run_group_tests_name("known", pure, NULL, NULL);

	return failed + cmocka_run_group_tests_name("known tables", tests, group_open, group_close);
}
