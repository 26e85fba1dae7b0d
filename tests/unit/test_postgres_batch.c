/*
 * Pipelines of the PostgreSQL driver against a server (FERROD_TEST_PG_URL): reads that share a sync point, writes that
 * each have their own. What is asserted of every write: an item without failure is in the table, one that is `again`,
 * not started or rolled back is not. Runs on a plain thread, where waits block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "store/driver/postgres/postgres_driver.h"
#include "tests/support/needs_server.h"

#include "service/base/banned.h"

#define IN_MS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_MS)
#define ITEMS 16

static const struct driver *const pg = &driver_postgres;

static struct {
	struct arena arena;
	struct dsn dsn;
	struct driver_db *db;
	char schema[32];
	struct driver_conn *c, *other;
	struct stmt stmts[ITEMS];
	struct batch_item items[ITEMS];
	struct batch_item *list[ITEMS];
	int order[ITEMS]; /* in which items were done */
	int n_done;
	int cut_after; /* the connection is cut when so many are done; 0: never */
} g;

static struct err err;

#define assert_ok(expression) \
	do { \
		if (!(expression)) \
			fail_msg("%s: %s %s %s", #expression, err_code_name(err.code), err.sqlstate, err.detail); \
	} while (0)

/* ---- helpers ---- */

/* Runs by itself; *ret: the last row's first cell, when it is a number. */
static bool one(struct driver_conn *c, const char *sql, int64_t *ret)
{
	const struct stmt s = {.sql = str_z(sql), .access = STMT_WRITE};
	struct cursor *cur;
	bool row = true, ok;

	if (!pg->prepare(c, &s, IN_MS(10000), &cur, &err))
		return false;
	while ((ok = pg->step(cur, &row, &err)) && row)
		if (ret != NULL && cur->row[0].kind == VALUE_INT)
			*ret = cur->row[0].u.i;
	pg->finish(cur);
	return ok;
}

static int64_t number(const char *sql)
{
	int64_t n = -1;

	assert_ok(one(g.other, sql, &n));
	return n;
}

static bool is_there(int id)
{
	char sql[80];

	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM t WHERE id = %d", id);
	return number(sql) == 1;
}

static void done(struct batch_item *item)
{
	g.order[g.n_done++] = (int)(item - g.items);
	if (g.n_done == g.cut_after)
		(void)shutdown(PQsocket(pg_conn(g.c)->pg), SHUT_RDWR);
}

/* Sends the texts as one batch. */
static void run(enum stmt_access access, int64_t deadline, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		g.stmts[i] = (struct stmt){.sql = str_z(texts[i]), .access = access, .cache = true, .quick = true};
		g.items[i] = (struct batch_item){.stmt = &g.stmts[i], .deadline_ns = deadline, .done = done};
		g.list[i] = &g.items[i];
	}
	g.n_done = 0;
	if (access == STMT_READ)
		pg->run_batch(g.c, g.list, n, deadline);
	else
		pg->run_writes(g.c, g.list, n, IN_MS(5000));
}

#define WRITE_UNTIL(deadline, ...) \
	run(STMT_WRITE, deadline, (const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
#define WRITE(...) WRITE_UNTIL(IN_MS(20000), __VA_ARGS__)
#define READ(...) \
	run(STMT_READ, IN_MS(20000), (const char *const[]){__VA_ARGS__}, \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void drop_all(size_t n)
{
	for (size_t i = 0; i < n; i++)
		pg->batch_drop(&g.items[i]);
}

/* What became of item i: '+' done, 'a' again, 's' again for it was slow, else the outcome's first letter. */
static char fate(size_t i)
{
	const struct batch_item *item = &g.items[i];

	if (item->again)
		return item->failed || item->result != NULL ? '!' : item->slow ? 's' : 'a';
	if (item->failed)
		return item->result != NULL || item->err.outcome == ERR_OUTCOME_NONE
			       ? '!'
			       : err_outcome_name(item->err.outcome)[0];
	return item->result != NULL ? '+' : '!';
}

static void assert_fates(const char *want)
{
	char got[ITEMS + 1] = "";

	for (size_t i = 0; want[i] != '\0'; i++)
		got[i] = fate(i);
	assert_string_equal(got, want);
	drop_all(strlen(want));
}

static void assert_all_done_in_order(int n)
{
	assert_int_equal(g.n_done, n);
	for (int i = 0; i < n; i++)
		assert_int_equal(g.order[i], i);
}

/* ---- set-up ---- */

static int setup(void **state)
{
	const char *url = getenv("FERROD_TEST_PG_URL");
	char text[600];

	(void)state;
	memset(&g, 0, sizeof(g));
	if (url == NULL)
		return 0;
	arena_init(&g.arena);
	(void)snprintf(g.schema, sizeof(g.schema), "ferrod_batch_%d", (int)getpid());
	(void)snprintf(text, sizeof(text), "%s%cferro_search_path=%s", url, strchr(url, '?') != NULL ? '&' : '?',
		       g.schema);
	if (!dsn_parse(&g.arena, arena_str(&g.arena, str_z(text)), &g.dsn, &err) || !pg->db_open(&g.dsn, &g.db, &err) ||
	    !pg->open(g.db, IN_MS(10000), &g.c, &err) || !pg->open(g.db, IN_MS(10000), &g.other, &err))
		return -1;
	(void)snprintf(text, sizeof(text), "CREATE SCHEMA %s", g.schema);
	return one(g.other, text, NULL) &&
			       one(g.other,
				   "CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n >= 0), parent int REFERENCES t "
				   "DEFERRABLE INITIALLY DEFERRED)",
				   NULL) &&
			       one(g.other, "INSERT INTO t VALUES (100, 0)", NULL)
		       ? 0
		       : -1;
}

static int teardown(void **state)
{
	char text[80];

	(void)state;
	if (g.db == NULL)
		return 0;
	(void)snprintf(text, sizeof(text), "DROP SCHEMA %s CASCADE", g.schema);
	pg->close(g.c);
	const bool ok = one(g.other, text, NULL);
	pg->close(g.other);
	pg->db_close(g.db);
	arena_done(&g.arena);
	return ok ? 0 : -1;
}

/* ---- writes: each its own transaction ---- */

static void test_a_failing_write_harms_no_other(void **state)
{
	NEEDS_SERVER();
	for (int round = 0; round < 2; round++) { /* prepared on the way, and prepared before */
		WRITE("INSERT INTO t VALUES (1) RETURNING id", "INSERT INTO t VALUES (100)",
		      "INSERT INTO t VALUES (2, -1)", "INSERT INTO t VALUES (3)",
		      "INSERT INTO t VALUES (4, 0, 77)", /* the commit finds it */
		      "INSERT INTO t VALUES (5) RETURNING id", "INSERT INTO nowhere VALUES (1)",
		      "UPDATE t SET n = 9 WHERE id = 3", "INSERT INTO t VALUES (NULL)", "DELETE FROM t WHERE id = 1");
		assert_all_done_in_order(10);
		assert_int_equal(g.items[1].err.code, ERR_UNIQUE_VIOLATION);
		assert_string_equal(g.items[1].err.constraint, "t_pkey");
		assert_int_equal(g.items[2].err.code, ERR_CHECK_VIOLATION);
		assert_int_equal(g.items[4].err.code, ERR_FOREIGN_KEY_VIOLATION);
		assert_int_equal(g.items[6].err.code, ERR_SQL_ERROR);
		assert_string_equal(g.items[6].err.sqlstate, "42P01");
		assert_int_equal(g.items[8].err.code, ERR_NOT_NULL_VIOLATION);
		struct cursor *cur = pg->batch_cursor(&g.items[5]);
		assert_true(pg->batch_step(cur));
		assert_int_equal(cur->row[0].u.i, 5);
		assert_int_equal(cur->affected, 1);
		assert_false(pg->batch_step(cur));
		assert_int_equal(pg->batch_cursor(&g.items[7])->affected, 1);
		assert_fates("+rr+r+r+r+");
		assert_false(g.c->broken);
		assert_int_equal(pg->tx_state(g.c), TX_STATE_NONE);
		assert_int_equal(number("SELECT count(*) FROM t WHERE id < 100"), 2);
		assert_int_equal(number("SELECT n FROM t WHERE id = 3"), 9);
		assert_ok(one(g.other, "DELETE FROM t WHERE id < 100", NULL));
	}
}

static void test_a_parameter_that_cannot_be_sent(void **state)
{
	const struct value bad = value_text(STR("a\0b"));

	NEEDS_SERVER();
	g.stmts[0] = (struct stmt){.sql = STR("INSERT INTO t VALUES (1)"), .access = STMT_WRITE, .cache = true};
	g.stmts[1] = g.stmts[0];
	g.stmts[1].sql = STR("INSERT INTO t VALUES ($1)");
	g.stmts[1].params = &bad;
	g.stmts[1].n_params = 1;
	for (int i = 0; i < 2; i++) {
		g.items[i] = (struct batch_item){.stmt = &g.stmts[i], .deadline_ns = IN_MS(9000)};
		g.list[i] = &g.items[i];
	}
	pg->run_writes(g.c, g.list, 2, IN_MS(5000));
	assert_true(g.items[1].failed);
	assert_true(g.items[0].result != NULL);
	drop_all(2);
	assert_true(is_there(1));
}

/* The plan is of a table that has changed since. */
static void test_a_stale_plan(void **state)
{
	NEEDS_SERVER();
	WRITE("INSERT INTO t VALUES (1) RETURNING *");
	assert_fates("+");
	assert_ok(one(g.other, "ALTER TABLE t ADD COLUMN more int", NULL));
	WRITE("INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1) RETURNING *", "INSERT INTO t VALUES (3)");
	assert_fates("+a+");
	assert_true(is_there(2) && is_there(3));
	assert_ok(one(g.other, "DELETE FROM t WHERE id = 1", NULL));
	WRITE("INSERT INTO t VALUES (1) RETURNING *");
	assert_int_equal(pg->batch_cursor(&g.items[0])->n_columns, 4);
	assert_fates("+");
}

/* ---- writes: what waits holds nobody up for long ---- */

static void test_a_locked_row(void **state)
{
	const int64_t from = clock_mono_ns();

	NEEDS_SERVER();
	assert_ok(pg->begin(g.other, TX_ISO_DEFAULT, false, IN_MS(5000), &err));
	assert_ok(one(g.other, "UPDATE t SET n = 1 WHERE id = 100", NULL));
	WRITE("INSERT INTO t VALUES (1)", "UPDATE t SET n = 2 WHERE id = 100", "INSERT INTO t VALUES (2)",
	      "INSERT INTO t VALUES (3, 0, 100)"); /* the commit looks at the locked row, and may: its key is not */
	assert_true(clock_mono_ns() - from < 2 * CLOCK_NS_PER_S);
	assert_fates("+s++");
	assert_true(is_there(1) && is_there(2));
	assert_ok(pg->commit(g.other, IN_MS(5000), &err));
	assert_int_equal(number("SELECT n FROM t WHERE id = 100"), 1);
	assert_false(g.c->broken);
}

static void test_a_commit_that_waits_for_a_lock(void **state)
{
	NEEDS_SERVER();
	assert_ok(pg->begin(g.other, TX_ISO_DEFAULT, false, IN_MS(5000), &err));
	assert_ok(one(g.other, "SELECT FROM t WHERE id = 100 FOR UPDATE", NULL));
	WRITE("INSERT INTO t VALUES (3, 0, 100)", "INSERT INTO t VALUES (2)");
	assert_fates("s+");
	assert_ok(pg->commit(g.other, IN_MS(5000), &err));
	assert_false(is_there(3));
	assert_true(is_there(2));
}

static void test_a_slow_statement(void **state)
{
	const int64_t from = clock_mono_ns();

	NEEDS_SERVER();
	WRITE("INSERT INTO t SELECT 1 FROM pg_sleep(5)", "INSERT INTO t VALUES (2)");
	assert_true(clock_mono_ns() - from < 3 * CLOCK_NS_PER_S);
	assert_fates("s+");
	assert_false(is_there(1));
}

/* By itself a statement may take its time, on this connection too; and the bounds that were there before are back. */
static void test_the_guard_comes_off(void **state)
{
	int64_t n = 0;

	NEEDS_SERVER();
	assert_ok(one(g.c, "SELECT set_config('lock_timeout', '0', false)", NULL));
	WRITE("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)");
	assert_fates("++");
	assert_ok(one(g.c, "SELECT 7 FROM pg_sleep(0.3)", &n));
	assert_int_equal(n, 7);
	assert_ok(one(g.c,
		      "SELECT count(*) FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout') "
		      "AND setting = reset_val",
		      &n));
	assert_int_equal(n, 2);
	WRITE("INSERT INTO t SELECT 3 FROM pg_sleep(5)"); /* and on again */
	assert_fates("s");
}

/* Reads may well go over a connection with the guard on: one that hits it is sent again. */
static void test_reads_behind_the_guard(void **state)
{
	NEEDS_SERVER();
	WRITE("INSERT INTO t VALUES (1)");
	assert_fates("+");
	READ("SELECT id FROM t WHERE id = 1", "SELECT 1 FROM pg_sleep(5)", "SELECT id FROM t WHERE id = 100");
	assert_int_equal(fate(0), '+');
	assert_int_equal(fate(1), 's');
	assert_int_equal(fate(2), 'a');
	drop_all(3);
	assert_false(g.c->broken);
}

/* ---- writes: the request's time ---- */

/* The guard does not bound commits; what still runs at its deadline is cancelled, those behind it are not harmed. */
static void test_a_commit_that_takes_too_long(void **state)
{
	const int64_t from = clock_mono_ns();

	NEEDS_SERVER();
	assert_ok(one(g.other,
		      "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(9); "
		      "RETURN NULL; END'",
		      NULL));
	assert_ok(one(g.other,
		      "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
		      "WHEN (NEW.id = 1) EXECUTE FUNCTION wait()",
		      NULL));
	WRITE_UNTIL(IN_MS(400), "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)");
	assert_true(clock_mono_ns() - from < 4 * CLOCK_NS_PER_S);
	assert_int_equal(g.items[0].err.code, ERR_STATEMENT_TIMEOUT);
	assert_fates("r+");
	assert_false(is_there(1));
	assert_true(is_there(2));
	assert_true(g.c->broken); /* a request to cancel may still be on its way */
}

/* ---- writes: the connection is lost ---- */

static void test_a_server_that_says_goodbye(void **state)
{
	NEEDS_SERVER();
	WRITE("INSERT INTO t VALUES (1)",
	      "INSERT INTO t SELECT 2 FROM (SELECT pg_terminate_backend(pg_backend_pid())) x, pg_sleep(0.05)",
	      "INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (4)");
	assert_int_equal(g.items[1].err.code, ERR_DATABASE_UNAVAILABLE);
	assert_fates("+raa"); /* those behind it were never run: they may try elsewhere */
	assert_all_done_in_order(4);
	assert_true(is_there(1));
	assert_int_equal(number("SELECT count(*) FROM t WHERE id IN (2, 3, 4)"), 0);
	assert_true(g.c->broken);
}

static void test_a_connection_that_is_cut(void **state)
{
	NEEDS_SERVER();
	g.cut_after = 1;
	WRITE("INSERT INTO t VALUES (1)", "INSERT INTO t SELECT 2 FROM pg_sleep(0.06)", "INSERT INTO t VALUES (3)");
	assert_int_equal(g.items[1].err.code, ERR_DATABASE_UNAVAILABLE);
	assert_fates("+uu"); /* unknown: never to be run again */
	assert_all_done_in_order(3);
	assert_true(is_there(1));
	assert_true(g.c->broken);
}

static void test_a_connection_that_was_dead_before(void **state)
{
	NEEDS_SERVER();
	(void)shutdown(PQsocket(pg_conn(g.c)->pg), SHUT_RDWR);
	WRITE("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)");
	assert_fates("aa"); /* nothing was sent */
	assert_true(g.c->broken);
	assert_int_equal(number("SELECT count(*) FROM t WHERE id < 100"), 0);
}

/* ---- reads ---- */

static void test_a_failing_read_is_its_own(void **state)
{
	NEEDS_SERVER();
	READ("SELECT 1", "SELECT 1 / (id - 100) FROM t", "SELECT 3");
	assert_int_equal(g.items[1].err.code, ERR_INVALID_VALUE);
	assert_fates("+ra");
	READ("SELECT 1", "SELECT 3");
	assert_fates("++");
	assert_false(g.c->broken);
}

static void test_a_stale_plan_of_a_read(void **state)
{
	NEEDS_SERVER();
	READ("SELECT * FROM t", "SELECT 1");
	assert_fates("++");
	assert_ok(one(g.other, "ALTER TABLE t ADD COLUMN more int", NULL));
	READ("SELECT * FROM t", "SELECT 1");
	assert_fates("aa");
	READ("SELECT * FROM t", "SELECT 1");
	assert_int_equal(pg->batch_cursor(&g.items[0])->n_columns, 4);
	assert_fates("++");
}

static void test_reads_of_a_lost_connection_try_elsewhere(void **state)
{
	NEEDS_SERVER();
	READ("SELECT 1", "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(1)", "SELECT 3");
	assert_int_equal(fate(1), 'a');
	assert_int_equal(fate(2), 'a');
	drop_all(3);
	assert_true(g.c->broken);
}

/* Statements that fell out of the cache are forgotten by the server, too, where nothing but batches runs. */
static void test_the_server_forgets(void **state)
{
	char text[LIMIT_STATEMENT_CACHE + 40][32];
	int64_t n = 0;

	NEEDS_SERVER();
	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		(void)snprintf(text[i], sizeof(text[i]), "SELECT %zu", i);
		READ(text[i]);
		assert_fates("+");
	}
	assert_ok(one(g.c, "SELECT count(*) FROM pg_prepared_statements", &n));
	assert_in_range(n, LIMIT_STATEMENT_CACHE, LIMIT_STATEMENT_CACHE + 1);
}

static int64_t n_prepared(void)
{
	int64_t n = -1;

	assert_ok(one(g.c, "SELECT count(*) FROM pg_prepared_statements", &n));
	return n;
}

/* One that cannot be prepared costs the others of its batch nothing that they had, and leaves nothing behind. */
static void test_one_that_cannot_be_prepared(void **state)
{
	(void)state;
	NEEDS_SERVER();
	for (int i = 0; i < 30; i++) {
		READ("SELECT 1 FROM t", "SELECT 2 FROM t", "SELECT 3 FROM t", "SELECT 4 FROM t", "SELECT 5 FROM t",
		     "SELECT 6 FROM t", "SELECT 7 FROM t", "SELECT 8 FROM t", "SELECT 9 FROM t", "SELECT 1 FROM nope");
		assert_fates("+++++++++r");
		READ("SELECT 1 FROM nope", "SELECT 10 FROM t");
		assert_fates("ra");
		WRITE("INSERT INTO nope VALUES (1)", "INSERT INTO nope VALUES (1)", "DELETE FROM t");
		assert_fates("ra+");
	}
	assert_true(g.c->cache_misses <= 130);
	assert_int_equal(n_prepared(), 10);
	assert_int_equal(pg_conn(g.c)->cache.n_dead, 0);
}

static void test_more_statements_than_are_kept(void **state)
{
	static char texts[ITEMS][32];
	const char *list[ITEMS];

	(void)state;
	NEEDS_SERVER();
	for (int i = 0; i < 60; i++) {
		for (int j = 0; j < ITEMS; j++) {
			(void)snprintf(texts[j], sizeof(texts[j]), "SELECT %d FROM t", i * ITEMS + j);
			list[j] = texts[j];
		}
		run(STMT_READ, IN_MS(20000), list, ITEMS);
		assert_fates("++++++++++++++++");
	}
	assert_true(n_prepared() <= LIMIT_STATEMENT_CACHE + ITEMS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_failing_write_harms_no_other),
		TEST(test_a_parameter_that_cannot_be_sent),
		TEST(test_a_stale_plan),
		TEST(test_a_locked_row),
		TEST(test_a_commit_that_waits_for_a_lock),
		TEST(test_a_slow_statement),
		TEST(test_the_guard_comes_off),
		TEST(test_reads_behind_the_guard),
		TEST(test_a_commit_that_takes_too_long),
		TEST(test_a_server_that_says_goodbye),
		TEST(test_a_connection_that_is_cut),
		TEST(test_a_connection_that_was_dead_before),
		TEST(test_a_failing_read_is_its_own),
		TEST(test_a_stale_plan_of_a_read),
		TEST(test_reads_of_a_lost_connection_try_elsewhere),
		TEST(test_the_server_forgets),
		TEST(test_one_that_cannot_be_prepared),
		TEST(test_more_statements_than_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
