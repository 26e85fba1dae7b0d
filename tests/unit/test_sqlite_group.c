/* Writes that share a transaction: each answers for itself, whatever happens to the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/strbuf.h"
#include "store/connection/dsn.h"
#include "store/driver/driver.h"
#include "store/driver/sqlite/driver_sqlite.h"

#define SECONDS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_S)
#define ITEMS 4

static const struct driver *const lite = &driver_sqlite;
static struct {
	struct arena arena;
	char dir[64];
	struct dsn dsn;
	struct driver_db *db;
	struct driver_conn *writer, *reader;
	struct stmt stmts[ITEMS];
	struct value values[ITEMS];
	struct batch_item items[ITEMS];
	struct batch_item *list[ITEMS];
} g;

static void must(bool ok, const struct err *e, const char *what)
{
	if (!ok)
		fail_msg("%s: %s %s", what, err_code_name(e->code), e->detail);
}

static void sql(const char *text)
{
	struct err err;

	must(lite->simple(g.writer, str_z(text), SECONDS(5), &err), &err, text);
}

/* The one integer that the query answers, read on the other connection. */
static int64_t number(const char *text)
{
	const struct stmt s = {.sql = str_z(text), .access = STMT_READ};
	struct cursor *cur;
	struct err err;
	int64_t ret;
	bool row;

	must(lite->prepare(g.reader, &s, SECONDS(5), &cur, &err), &err, text);
	must(lite->step(cur, &row, &err) && row, &err, text);
	ret = cur->row[0].u.i;
	lite->finish(cur);
	return ret;
}

/* The same statement for several values, as one group. */
static void run(const char *text, const int64_t *values, size_t n, int64_t deadline)
{
	for (size_t i = 0; i < n; i++) {
		g.values[i] = value_int(values[i]);
		g.stmts[i] = (struct stmt){.sql = str_z(text),
					   .params = &g.values[i],
					   .n_params = 1,
					   .access = STMT_WRITE,
					   .cache = true,
					   .quick = true};
		g.items[i] = (struct batch_item){.stmt = &g.stmts[i]};
		g.list[i] = &g.items[i];
	}
	lite->run_writes(g.writer, g.list, n, deadline);
	assert_int_equal(lite->tx_state(g.writer), TX_STATE_NONE);
}

/* The item's only row holds that number. */
static void assert_returned(size_t i, int64_t want)
{
	struct cursor *cur;

	assert_false(g.items[i].failed);
	assert_false(g.items[i].again);
	cur = lite->batch_cursor(&g.items[i]);
	assert_int_equal(cur->n_columns, 1);
	assert_true(lite->batch_step(cur));
	assert_int_equal(cur->row[0].u.i, want);
	assert_false(lite->batch_step(cur));
	assert_int_equal(cur->affected, 1);
}

static void drop_all(void)
{
	for (size_t i = 0; i < ITEMS; i++)
		lite->batch_drop(&g.items[i]);
}

static int setup(void **state)
{
	struct err err;

	(void)state;
	arena_init(&g.arena);
	snprintf(g.dir, sizeof(g.dir), "/tmp/ferrod-group-XXXXXX");
	assert_non_null(mkdtemp(g.dir));
	must(dsn_parse(&g.arena, arena_printf(&g.arena, "sqlite:%s/db?mode=rwc", g.dir), &g.dsn, &err), &err, "dsn");
	must(lite->db_open(&g.dsn, &g.db, &err), &err, "db");
	must(lite->open(g.db, SECONDS(5), &g.writer, &err), &err, "writer");
	must(lite->open(g.db, SECONDS(5), &g.reader, &err), &err, "reader");
	sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER UNIQUE CHECK (n < 100))");
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"db", "db-wal", "db-shm"};

	(void)state;
	drop_all();
	lite->close(g.writer);
	lite->close(g.reader);
	lite->db_close(g.db);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(arena_printf(&g.arena, "%s/%s", g.dir, names[i]).p);
	(void)rmdir(g.dir);
	arena_done(&g.arena);
	return 0;
}

static void all_are_durable_after_one_commit(void **state)
{
	const uint64_t commits = g.writer->n_commits;

	(void)state;
	run("INSERT INTO t (n) VALUES (?) RETURNING n", (int64_t[]){1, 2, 3, 4}, 4, SECONDS(5));
	for (size_t i = 0; i < 4; i++)
		assert_returned(i, (int64_t)i + 1);
	assert_int_equal(number("SELECT COUNT(*) FROM t"), 4);
	assert_int_equal(g.writer->n_commits, commits + 1);
}

static void a_failing_one_harms_nobody(void **state)
{
	(void)state;
	run("INSERT INTO t (n) VALUES (?) RETURNING n", (int64_t[]){1, 1, 100, 2}, 4, SECONDS(5));
	assert_returned(0, 1);
	assert_true(g.items[1].failed);
	assert_int_equal(g.items[1].err.code, ERR_UNIQUE_VIOLATION);
	assert_true(g.items[2].failed);
	assert_int_equal(g.items[2].err.code, ERR_CHECK_VIOLATION);
	assert_returned(3, 2);
	assert_int_equal(number("SELECT COUNT(*) FROM t"), 2);
}

/* A foreign key that is not met at its own end fails the statement, not the commit of all. */
static void a_deferred_fault_is_its_own(void **state)
{
	(void)state;
	sql("CREATE TABLE child (t INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (7, 7)");
	run("INSERT INTO child VALUES (?)", (int64_t[]){7, 8, 7}, 3, SECONDS(5));
	for (size_t i = 0; i < 3; i++)
		assert_false(g.items[i].again);
	assert_false(g.items[0].failed);
	assert_true(g.items[1].failed);
	assert_int_equal(g.items[1].err.code, ERR_FOREIGN_KEY_VIOLATION);
	assert_null(g.items[1].result);
	assert_false(g.items[2].failed);
	assert_int_equal(number("SELECT COUNT(*) FROM child WHERE t = 7"), 2);
	assert_int_equal(number("SELECT COUNT(*) FROM child"), 2);
	drop_all();
	run("INSERT INTO child VALUES (?)", (int64_t[]){8}, 1, SECONDS(5));
	assert_true(g.items[0].failed);
	assert_int_equal(g.items[0].err.code, ERR_FOREIGN_KEY_VIOLATION);
}

/* SQLite ends the whole transaction when it interrupts a write. */
static void one_that_takes_too_long_leaves_the_others_to_be_run_again(void **state)
{
	(void)state;
	sql("CREATE TABLE log (n INTEGER);"
	    "CREATE TRIGGER slow AFTER INSERT ON t WHEN new.n = 9 BEGIN INSERT INTO log "
	    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r; END");
	run("INSERT INTO t (n) VALUES (?) RETURNING n", (int64_t[]){1, 9, 2}, 3, clock_mono_ns() + CLOCK_NS_PER_S / 5);
	for (size_t i = 0; i < 3; i++) {
		assert_true(g.items[i].again);
		assert_false(g.items[i].failed);
		assert_int_equal(g.items[i].slow, i == 1);
	}
	assert_int_equal(number("SELECT COUNT(*) FROM t"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_are_durable_after_one_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failing_one_harms_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deferred_fault_is_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_takes_too_long_leaves_the_others_to_be_run_again, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("sqlite_group", tests, NULL, NULL);
}
