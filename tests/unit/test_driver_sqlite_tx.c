/* The SQLite driver: transactions, waiting for locks and turns, deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "tests/support/sqlite_database.h"

/* ---- transactions ---------------------------------------------------------------------------------- */

static void transactions_begin_and_end(void **state)
{
	struct database d = file_database("a.db");
	uint64_t epoch;

	(void)state;
	assert_ok(sql(d.a, "CREATE TABLE t(x)"));
	epoch = sqlite_write_epoch();
	assert_ok(lite->begin(d.a, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_int_equal(lite->tx_state(d.a), TX_STATE_OPEN);
	assert_ok(sql(d.a, "INSERT INTO t VALUES (1)"));
	assert_int_equal(number(d.b, "SELECT count(*) FROM t"), 0);
	assert_true(sqlite_write_epoch() == epoch);
	assert_ok(lite->commit(d.a, SECONDS(5), &err));
	assert_true(sqlite_write_epoch() > epoch);
	assert_int_equal(number(d.b, "SELECT count(*) FROM t"), 1);
	assert_ok(lite->begin(d.a, TX_ISO_SERIALIZABLE, false, SECONDS(5), &err));
	assert_ok(sql(d.a, "DELETE FROM t"));
	lite->rollback(d.a);
	assert_int_equal(lite->tx_state(d.a), TX_STATE_NONE);
	assert_int_equal(number(d.b, "SELECT count(*) FROM t"), 1);
	assert_err(lite->commit(d.a, SECONDS(5), &err), ERR_SQL_ERROR);
	/* raw SQL: the engine's own word */
	assert_ok(sql(d.a, "BEGIN IMMEDIATE"));
	assert_int_equal(lite->tx_state(d.a), TX_STATE_OPEN);
	assert_ok(sql(d.a, "COMMIT"));
	assert_int_equal(lite->tx_state(d.a), TX_STATE_NONE);
	close_database(&d);
}

static void read_only_transactions_only_read(void **state)
{
	struct database d = file_database("a.db");

	(void)state;
	assert_ok(sql(d.a, "CREATE TABLE t(x)"));
	assert_ok(lite->begin(d.a, TX_ISO_DEFAULT, true, SECONDS(5), &err));
	assert_err(sql(d.a, "INSERT INTO t VALUES (1)"), ERR_SQL_ERROR);
	assert_non_null(strstr(err.detail, "read-only transaction"));
	assert_err(sql(d.a, "PRAGMA query_only = 0"), ERR_SQL_ERROR);
	assert_int_equal(number(d.a, "SELECT count(*) FROM t"), 0);
	assert_ok(lite->commit(d.a, SECONDS(5), &err));
	assert_ok(sql(d.a, "INSERT INTO t VALUES (1)"));
	assert_ok(lite->begin(d.a, TX_ISO_DEFAULT, true, SECONDS(5), &err));
	assert_ok(sql(d.a, "ROLLBACK"));
	assert_ok(sql(d.a, "INSERT INTO t VALUES (1)"));
	assert_true(lite->reset(d.a, SECONDS(5)));
	close_database(&d);
}

static void a_stale_snapshot_cannot_write(void **state)
{
	struct database d = file_database("a.db");

	(void)state;
	assert_ok(sql(d.a, "CREATE TABLE t(x)"));
	assert_ok(lite->begin(d.a, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_int_equal(number(d.a, "SELECT count(*) FROM t"), 0);
	assert_ok(sql(d.b, "INSERT INTO t VALUES (1)"));
	assert_err(sql(d.a, "INSERT INTO t VALUES (2)"), ERR_SERIALIZATION_FAILURE);
	lite->rollback(d.a);
	assert_ok(sql(d.a, "INSERT INTO t VALUES (2)"));
	close_database(&d);
}

/* SQLite asks about time after so many steps of one statement, counted over all its runs. */
static void snapshots_know_no_deadline(void **state)
{
	struct database d = file_database("a.db");
	const struct stmt s = {.sql = STR("SELECT 1 FROM sqlite_schema"), .access = STMT_READ};
	struct rows rows;

	(void)state;
	assert_err(run_on(d.a,
			  &(struct stmt){.sql = STR("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
						    "SELECT count(*) FROM n")},
			  clock_mono_ns() + CLOCK_NS_PER_MS, &rows, &err),
		   ERR_STATEMENT_TIMEOUT);
	for (int i = 0; i < 10000; i++) {
		assert_true(lite->snapshot_open(d.a));
		lite->snapshot_close(d.a);
		assert_false(d.a->broken);
	}
	assert_ok(run_on(d.a, &s, SECONDS(5), &rows, &err));
	close_database(&d);
}

static void locks_of_others_are_waited_for(void **state)
{
	struct database files = file_database("a.db"), memory = memory_database();
	struct database *const both[] = {&files, &memory};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct database *d = both[i];
		int64_t from;

		assert_ok(sql(d->a, "CREATE TABLE t(x)"));
		assert_ok(sql(d->a, "BEGIN IMMEDIATE"));
		d->b->since_ns = from = clock_mono_ns();
		assert_err(sql(d->b, "INSERT INTO t VALUES (1)"), ERR_DATABASE_BUSY);
		assert_true(clock_mono_ns() - from >= 150 * CLOCK_NS_PER_MS);
		/* who began to wait with the first has waited long enough */
		from = clock_mono_ns();
		assert_err(sql(d->b, "INSERT INTO t VALUES (1)"), ERR_DATABASE_BUSY);
		assert_true(clock_mono_ns() - from < 100 * CLOCK_NS_PER_MS);
		d->b->since_ns = clock_mono_ns();
		d->b->statement_timeout_ns = 20 * CLOCK_NS_PER_MS;
		assert_err(sql(d->b, "INSERT INTO t VALUES (1)"), ERR_DATABASE_BUSY);
		d->b->statement_timeout_ns = 0;
		assert_true(lite->ping(d->b, SECONDS(5), &err));
		lite->rollback(d->a);
		assert_ok(sql(d->b, "INSERT INTO t VALUES (1)"));
		close_database(d);
	}
}

static void statements_end_at_their_deadline(void **state)
{
	static const char endless[] =
		"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r";
	const struct stmt s = {.sql = str_z(endless)};
	struct database d = memory_database();
	struct rows r;

	(void)state;
	assert_ok(lite->begin(d.a, TX_ISO_DEFAULT, false, SECONDS(5), &err));
	assert_err(run_on(d.a, &s, clock_mono_ns() + 50 * CLOCK_NS_PER_MS, &r, &err), ERR_STATEMENT_TIMEOUT);
	assert_false(err.cancelled);
	assert_int_equal(lite->tx_state(d.a), TX_STATE_OPEN);
	assert_ok(sql(d.a, "CREATE TABLE t(x)"));
	d.a->statement_timeout_ns = 50 * CLOCK_NS_PER_MS;
	/* SQLite rolls a transaction back whose write is stopped, and we say so */
	assert_err(sql(d.a,
		       "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) INSERT INTO t SELECT n FROM r"),
		   ERR_STATEMENT_TIMEOUT);
	assert_int_equal(err.outcome, ERR_OUTCOME_ROLLED_BACK);
	assert_int_equal(lite->tx_state(d.a), TX_STATE_NONE);
	close_database(&d);
}

static void tables_are_listed(void **state)
{
	struct database d = memory_database();
	struct str *names;
	size_t n;

	(void)state;
	assert_ok(lite->list_tables(d.a, &arena, SECONDS(5), &names, &n, &err));
	assert_int_equal(n, 0);
	assert_ok(lite->simple(d.a,
			       STR("CREATE TABLE b(id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE \"A x\"(y);"
				   "CREATE TABLE sqliteish(x); CREATE VIEW v AS SELECT 1; -- end"),
			       SECONDS(5), &err));
	assert_ok(lite->list_tables(d.a, &arena, SECONDS(5), &names, &n, &err));
	assert_int_equal(n, 3);
	assert_true(str_eq_z(names[0], "A x") && str_eq_z(names[1], "b") && str_eq_z(names[2], "sqliteish"));
	close_database(&d);
}

static void one_file_has_one_turn(void **state)
{
	struct database a = file_database("a.db"), b, memory = memory_database();
	char from[100], to[100];

	(void)state;
	(void)snprintf(from, sizeof(from), "%s/a.db", dir);
	(void)snprintf(to, sizeof(to), "%s/link.db", dir);
	assert_int_equal(symlink(from, to), 0);
	assert_ok(open_url(file_url("link.db", ""), &b));
	assert_ptr_equal(lite->writer_turn(a.db), lite->writer_turn(b.db));
	assert_ptr_not_equal(lite->writer_turn(a.db), lite->writer_turn(memory.db));
	close_database(&a);
	assert_true(turn_try(lite->writer_turn(b.db)));
	turn_give(lite->writer_turn(b.db));
	close_database(&b);
	close_database(&memory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(transactions_begin_and_end),
		TEST(read_only_transactions_only_read),
		TEST(a_stale_snapshot_cannot_write),
		TEST(snapshots_know_no_deadline),
		TEST(locks_of_others_are_waited_for),
		TEST(statements_end_at_their_deadline),
		TEST(tables_are_listed),
		TEST(one_file_has_one_turn),
	};

	return cmocka_run_group_tests_name("driver_sqlite_tx", tests, NULL, NULL);
}
