/* The SQLite driver on fibers: it must never hold up its loop, nor run off a fiber's stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/strbuf.h"
#include "service/base/wait.h"
#include "service/http/loop.h"
#include "store/connection/dsn.h"
#include "store/driver/driver.h"
#include "store/driver/sqlite/driver_sqlite.h"
#include "tests/support/fibers.h"

#define SECONDS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_S)
#define COUNT_TO "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r"

static const struct driver *const lite = &driver_sqlite;

/* One loop on this thread, one database with a connection for each of two fibers. */
static struct {
	struct arena arena;
	struct loop *loop;
	struct dsn dsn;
	struct driver_db *db;
	struct driver_conn *a, *b;
	int n_left;
	bool done; /* what the second fiber waits for */
	bool locked;
	struct fiber *first;
	struct err err;
	char dir[64];
} g;

static void must(bool ok, const struct err *e, const char *what)
{
	if (!ok)
		fail_msg("%s: %s %s", what, err_code_name(e->code), e->detail);
}

static bool sql(struct driver_conn *c, const char *text, int64_t deadline, struct err *e)
{
	const struct stmt s = {.sql = str_z(text), .access = STMT_UNKNOWN};
	struct cursor *cur;
	bool row = true, ok;

	if (!lite->prepare(c, &s, deadline, &cur, e))
		return false;
	do
		ok = lite->step(cur, &row, e);
	while (ok && row);
	lite->finish(cur);
	return ok;
}

static void sql_ok(struct driver_conn *c, const char *text)
{
	struct err e;

	must(sql(c, text, SECONDS(20), &e), &e, text);
}

static void open_both(const char *url)
{
	struct err e;

	must(dsn_parse(&g.arena, str_z(url), &g.dsn, &e) && lite->db_open(&g.dsn, &g.db, &e) &&
		     lite->open(g.db, SECONDS(5), &g.a, &e) && lite->open(g.db, SECONDS(5), &g.b, &e),
	     &e, url);
}

static int setup(void **state)
{
	struct err e;

	(void)state;
	memset(&g, 0, sizeof(g));
	arena_init(&g.arena);
	(void)snprintf(g.dir, sizeof(g.dir), "/tmp/ferrod-test-XXXXXX");
	driver_sqlite_configure(&(struct sqlite_options){.busy_timeout_s = 5});
	offload_init(2);
	return mkdtemp(g.dir) == NULL || !loop_create(&g.loop, &e);
}

static int teardown(void **state)
{
	char path[100];

	(void)state;
	lite->close(g.a);
	lite->close(g.b);
	lite->db_close(g.db);
	(void)snprintf(path, sizeof(path), "%s/x.db", g.dir);
	(void)unlink(path);
	loop_destroy(g.loop);
	offload_done();
	arena_done(&g.arena);
	return rmdir(g.dir);
}

static void leave(void)
{
	if (--g.n_left == 0)
		loop_stop(g.loop);
}

/* Runs both on one loop to their ends. */
static void run_both(void (*first)(void *), void (*second)(void *))
{
	g.n_left = second != NULL ? 2 : 1;
	loop_spawn(g.loop, first, NULL);
	if (second != NULL)
		loop_spawn(g.loop, second, NULL);
	loop_run(g.loop);
	assert_int_equal(g.n_left, 0);
}

static const char *file_url(void)
{
	return arena_printf(&g.arena, "sqlite:%s/x.db?mode=rwc", g.dir).p;
}

/* ---- a long query ---- */

static void long_query(void *arg)
{
	(void)arg;
	g.first = fiber_current();
	if (sql(g.a, COUNT_TO ") SELECT count(*) FROM r", SECONDS(100), &g.err))
		fail_msg("an endless query ended");
	g.done = true;
	leave();
}

static void short_queries(void *arg)
{
	(void)arg;
	for (int i = 0; i < 50; i++) {
		sql_ok(g.b, "SELECT 1");
		wait_yield();
	}
	assert_false(g.done);
	fiber_cancel(g.first);
	/* it ends at its next look, which comes when the loop has nothing else to do */
	for (int turns = 0; !g.done; turns++) {
		assert_true(turns < 100);
		(void)wait_until(clock_mono_ns() + CLOCK_NS_PER_MS);
	}
	leave();
}

static void a_long_query_lets_others_run_and_can_be_cancelled(void **state)
{
	(void)state;
	open_both("sqlite::memory:");
	run_both(long_query, short_queries);
	assert_true(g.done);
	assert_true(g.err.cancelled);
}

/* ---- locks ---- */

static void hold_the_lock(void *arg)
{
	(void)arg;
	sql_ok(g.a, "BEGIN IMMEDIATE");
	g.locked = true;
	sql_ok(g.a, "INSERT INTO t VALUES (1)");
	(void)wait_until(clock_mono_ns() + 80 * CLOCK_NS_PER_MS);
	assert_false(g.done);
	sql_ok(g.a, "COMMIT");
	leave();
}

static void want_the_lock(void *arg)
{
	(void)arg;
	/* on files each takes its lock on a thread of the pool: the second might come first */
	while (!g.locked)
		(void)wait_until(clock_mono_ns() + CLOCK_NS_PER_MS);
	sql_ok(g.b, "BEGIN IMMEDIATE");
	g.done = true;
	sql_ok(g.b, "INSERT INTO t SELECT max(x) + 1 FROM t");
	sql_ok(g.b, "COMMIT");
	leave();
}

static void check_two(struct driver_conn *c)
{
	sql_ok(c, "SELECT CASE WHEN (SELECT sum(x) FROM t) = 3 THEN 1 ELSE abs(-9223372036854775807 - 1) END");
}

static void a_lock_is_waited_for_by_parking(void **state)
{
	static const bool file[] = {false, true};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(file); i++) {
		if (i > 0) {
			assert_int_equal(teardown(NULL), 0);
			assert_int_equal(setup(NULL), 0);
		}
		open_both(file[i] ? file_url() : "sqlite::memory:");
		sql_ok(g.a, "CREATE TABLE t(x)");
		run_both(hold_the_lock, want_the_lock);
		check_two(g.a);
	}
}

static void read_slowly(void *arg)
{
	const struct stmt s = {.sql = STR("SELECT x FROM t"), .access = STMT_READ};
	struct cursor *cur;
	struct err e;
	bool row;

	(void)arg;
	must(lite->prepare(g.a, &s, SECONDS(10), &cur, &e), &e, "prepare");
	for (int i = 0; i < 3; i++) {
		must(lite->step(cur, &row, &e), &e, "step");
		assert_true(row);
		(void)wait_until(clock_mono_ns() + 20 * CLOCK_NS_PER_MS);
	}
	lite->finish(cur);
	leave();
}

static void write_meanwhile(void *arg)
{
	(void)arg;
	sql_ok(g.b, "INSERT INTO t VALUES (9)");
	leave();
}

/* An in-memory database has one lock for all: the writer waits for the reader, not the other way round. */
static void a_writer_waits_for_a_reader_in_memory(void **state)
{
	(void)state;
	open_both("sqlite::memory:");
	sql_ok(g.a, "CREATE TABLE t(x)");
	sql_ok(g.a, "INSERT INTO t VALUES (1), (2), (3)");
	run_both(read_slowly, write_meanwhile);
}

/* Its second row is past its deadline. */
static bool second_row(int64_t lent_ns, struct err *e)
{
	const struct stmt s = {
		.sql = STR("SELECT 1 UNION ALL SELECT count(*) FROM (" COUNT_TO " WHERE n < 200000) SELECT n FROM r)"),
		.access = STMT_READ};
	const int64_t deadline = clock_mono_ns() + 500 * CLOCK_NS_PER_MS;
	struct cursor *cur;
	bool row, ok;

	must(lite->prepare(g.a, &s, deadline, &cur, e), e, "prepare");
	must(lite->step(cur, &row, e), e, "step");
	(void)wait_until(deadline);
	g.a->lent_ns = lent_ns;
	ok = lite->step(cur, &row, e);
	assert_true(!ok || (row && cur->row[0].u.i == 200000));
	lite->finish(cur);
	return ok;
}

static void what_is_lent_puts_a_deadline_off(void **state)
{
	struct err e;

	(void)state;
	open_both("sqlite::memory:");
	assert_false(second_row(0, &e));
	assert_int_equal(e.code, ERR_STATEMENT_TIMEOUT);
	must(second_row(60 * CLOCK_NS_PER_S, &e), &e, "the second row");
	assert_int_equal(g.a->lent_ns, 0);
}

/* ---- commits ---- */

static void write_a_lot(void *arg)
{
	struct err e;

	(void)arg;
	for (int i = 0; i < 20; i++)
		sql_ok(g.a, "INSERT INTO t VALUES (1)");
	for (int i = 0; i < 5; i++) {
		must(lite->begin(g.a, TX_ISO_DEFAULT, false, SECONDS(5), &e), &e, "begin");
		sql_ok(g.a, "INSERT INTO t VALUES (1)");
		sql_ok(g.a, "SAVEPOINT s");
		sql_ok(g.a, "RELEASE s");
		must(lite->commit(g.a, SECONDS(5), &e), &e, "commit");
	}
	assert_true(sqlite_write_epoch() >= 26);
	g.done = true;
	leave();
}

static void count_turns(void *arg)
{
	int turns = 0;

	(void)arg;
	for (; !g.done; turns++)
		(void)wait_until(clock_mono_ns() + 100000);
	assert_true(turns > 5);
	leave();
}

static void commits_leave_the_loop(void **state)
{
	(void)state;
	open_both(file_url());
	sql_ok(g.a, "CREATE TABLE t(x)");
	run_both(write_a_lot, count_turns);
	sql_ok(g.b, "SELECT CASE WHEN (SELECT count(*) FROM t) = 25 THEN 1 ELSE abs(-9223372036854775807 - 1) END");
}

/* How often others had the loop meanwhile. */
static uint64_t parks(const char *text)
{
	const uint64_t before = fiber_runs();

	sql_ok(g.a, text);
	return fiber_runs() - before;
}

static void divide(void *arg)
{
	uint64_t before, n = 0;
	struct err e;

	(void)arg;
	before = fiber_runs();
	must(lite->begin_write(g.a, SECONDS(5), &e), &e, "begin");
	assert_int_equal(fiber_runs(), before);
	sql_ok(g.a, "INSERT INTO t VALUES (1)");
	assert_int_equal(parks("SAVEPOINT s"), 0);
	assert_int_equal(parks("RELEASE s"), 0);
	before = fiber_runs();
	must(lite->part_begin(g.a, SECONDS(5), &e) && lite->part_end(g.a, &e), &e, "a part");
	assert_int_equal(fiber_runs(), before);
	must(lite->commit(g.a, SECONDS(5), &e), &e, "commit");
	/* what begins with a savepoint is committed with it; a thread may be back before it is waited for */
	for (int i = 0; i < 1000 && n == 0; i++) {
		sql_ok(g.a, "SAVEPOINT s");
		sql_ok(g.a, "INSERT INTO t VALUES (2)");
		n = parks("RELEASE s");
		assert_int_equal(lite->tx_state(g.a), TX_STATE_NONE);
	}
	assert_true(n > 0);
	/* virtual tables store at a savepoint what they have gathered */
	sql_ok(g.a, "CREATE VIRTUAL TABLE words USING fts5(word)");
	must(lite->begin_write(g.a, SECONDS(5), &e), &e, "begin");
	before = fiber_runs();
	for (int i = 0; i < 10000 && fiber_runs() == before; i++) {
		sql_ok(g.a, "SAVEPOINT s");
		sql_ok(g.a, "RELEASE s");
	}
	assert_true(fiber_runs() > before);
	must(lite->commit(g.a, SECONDS(5), &e), &e, "commit");
	leave();
}

static void what_divides_a_transaction_stays_on_the_loop(void **state)
{
	(void)state;
	open_both(file_url());
	sql_ok(g.a, "CREATE TABLE t(x)");
	run_both(divide, NULL);
}

/* ---- statements of a migration ---- */

#define MANY 50

static void migrate(void *arg)
{
	const struct migrate_begin how = {.lock_ns = SECONDS(5), .deadline_ns = SECONDS(20)};
	struct str sqls[MANY];
	size_t n_done;
	uint64_t before;
	struct err e;

	(void)arg;
	for (int i = 0; i < MANY; i++)
		sqls[i] = str_z(arena_printf(&g.arena, "CREATE TABLE t%d(x)", i).p);
	must(lite->migrate_begin(g.a, &how, &e), &e, "begin");
	before = fiber_runs();
	must(lite->simple_all(g.a, sqls, MANY, SECONDS(20), &n_done, &e), &e, "all");
	assert_int_equal(n_done, MANY);
	assert_true(fiber_runs() - before < MANY / 2);
	must(lite->commit(g.a, SECONDS(5), &e), &e, "commit");
	lite->migrate_end(g.a);
	must(lite->migrate_begin(g.a, &how, &e), &e, "begin");
	sqls[0] = STR("CREATE TABLE other(x)");
	sqls[1] = STR("CREATE TABLE t3(x)");
	assert_false(lite->simple_all(g.a, sqls, 3, SECONDS(20), &n_done, &e));
	assert_int_equal(n_done, 1);
	assert_int_equal(e.code, ERR_SQL_ERROR);
	g.first = fiber_current();
	g.locked = true;
	sqls[1] = STR("CREATE TABLE endless AS " COUNT_TO ") SELECT n FROM r");
	sqls[0] = STR("SELECT 1");
	assert_false(lite->simple_all(g.a, sqls, 2, SECONDS(100), &n_done, &e));
	assert_int_equal(n_done, 1);
	assert_true(e.cancelled);
	lite->rollback(g.a);
	lite->migrate_end(g.a);
	sql_ok(g.a, "SELECT x FROM t49");
	leave();
}

static void give_up_migrating(void *arg)
{
	(void)arg;
	while (!g.locked)
		(void)wait_until(clock_mono_ns() + CLOCK_NS_PER_MS);
	(void)wait_until(clock_mono_ns() + 20 * CLOCK_NS_PER_MS);
	fiber_cancel(g.first);
	leave();
}

static void one_thread_makes_all_of_a_migration(void **state)
{
	(void)state;
	open_both(file_url());
	run_both(migrate, give_up_migrating);
}

/* ---- the stack ---- */

/* head, n times part, tail */
static const char *repeat(const char *head, const char *part, int n, const char *tail)
{
	struct strbuf b;
	struct str s;

	strbuf_init(&b, 0);
	strbuf_puts(&b, head);
	for (int i = 0; i < n; i++)
		strbuf_puts(&b, part);
	strbuf_puts(&b, tail);
	s = arena_str(&g.arena, strbuf_str(&b));
	strbuf_done(&b);
	return s.p;
}

/* The deepest recursions that SQLite allows itself under our limits; each either works or is refused. */
static void recurse(void *arg)
{
	const char *texts[] = {
		repeat(repeat("SELECT json('", "[", 1990, ""), "]", 1990, "')"),
		repeat(repeat("SELECT count(*) FROM json_tree('", "[", 1990, ""), "]", 1990, "')"),
		repeat("SELECT 1", " + 1", 195, ""),
		repeat("SELECT 1", " EXCEPT SELECT 1", 99, ""),
		repeat("SELECT 1", " UNION ALL SELECT 1", 99, ""),
		repeat(repeat("SELECT '", "a", 5000, "' LIKE '"), "%a", 495, "b'"),
		repeat(repeat("", "SELECT * FROM (", 30, "SELECT 1"), ")", 30, ""),
		"DELETE FROM f0",
		"SELECT * FROM v199",
	};
	struct err e;
	size_t n_ok = 0;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (sql(g.a, texts[i], SECONDS(20), &e))
			n_ok++;
		else
			assert_true(e.code == ERR_SQL_ERROR ||
				    e.code == ERR_INVALID_QUERY); /* the parser, of our own SQL */
	}
	assert_true(n_ok >= 6);
	leave();
}

static void deep_recursion_stays_on_the_stack(void **state)
{
	(void)state;
	/* measured: json() at its depth limit takes 130 KiB, 200 cascading foreign keys 310 KiB */
	if (LIMIT_FIBER_STACK < 384 * 1024)
		fail_msg("LIMIT_FIBER_STACK is %d: a client's SQL runs off the stack", LIMIT_FIBER_STACK);
	open_both("sqlite::memory:");
	sql_ok(g.a, "CREATE TABLE f0(id INTEGER PRIMARY KEY)");
	sql_ok(g.a, "CREATE VIEW v0 AS SELECT 1 AS x");
	for (int i = 1; i < 200; i++) {
		sql_ok(g.a, arena_printf(&g.arena,
					 "CREATE TABLE f%d(id INTEGER PRIMARY KEY REFERENCES f%d ON DELETE CASCADE)", i,
					 i - 1)
				    .p);
		sql_ok(g.a, arena_printf(&g.arena, "CREATE VIEW v%d AS SELECT sum(x) AS x FROM v%d", i, i - 1).p);
	}
	run_both(recurse, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_long_query_lets_others_run_and_can_be_cancelled),
		TEST(a_lock_is_waited_for_by_parking),
		TEST(a_writer_waits_for_a_reader_in_memory),
		TEST(what_is_lent_puts_a_deadline_off),
		TEST(commits_leave_the_loop),
		TEST(what_divides_a_transaction_stays_on_the_loop),
		TEST(one_thread_makes_all_of_a_migration),
		TEST(deep_recursion_stays_on_the_stack),
	};

	fibers_abort_on_failure();
	return cmocka_run_group_tests_name("sqlite_fibers", tests, NULL, NULL);
}
