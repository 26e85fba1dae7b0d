/*
 * Flights past libpq against a server (FERROD_TEST_PG_URL): what tests/unit/test_postgres_batch.c asks of pipelines,
 * of statements that are prepared and whose rows are known, so that libpq has no part in them; and that libpq goes on
 * behind them as if nothing had been.
 */
#include "tests/support/postgres_database.h"

#include <sys/socket.h>

#include "service/base/banned.h"

#define ITEMS 8

/* A row, or what else becomes of it: it sleeps so long, and ends its own session where it does not stay. */
#define WRITE_SQL \
	"INSERT INTO w SELECT $1, $2, $3, $4 FROM pg_sleep($5) WHERE $6 OR pg_terminate_backend(pg_backend_pid()) " \
	"RETURNING id, n"
#define READ_SQL \
	"SELECT i, 'ä' || repeat('x', $1), NULL::int, '\\x00ff'::bytea, '{\"a\":[1]}'::jsonb, i * 0.5::float8, i % 2 " \
	"= 0 " \
	"FROM generate_series(1, $2) i, pg_sleep($3) WHERE 1 / $4 < 2"

struct put {
	int64_t id, n, parent;
	double sleeps;
	bool ends;
};

static struct {
	struct driver_conn *c;
	struct value params[ITEMS][6];
	struct stmt stmts[ITEMS];
	struct batch_item items[ITEMS], *list[ITEMS];
	int n_done, cut_after;
} w;

static void done(struct batch_item *item UNUSED)
{
	if (++w.n_done == w.cut_after)
		(void)shutdown(PQsocket(pg_conn(w.c)->pg), SHUT_RDWR);
}

static void set_item(size_t i, const char *sql, size_t n_params, enum stmt_access access)
{
	w.stmts[i] = (struct stmt){.sql = str_z(sql),
				   .params = w.params[i],
				   .n_params = n_params,
				   .access = access,
				   .cache = true,
				   .quick = true};
	w.items[i] = (struct batch_item){.stmt = &w.stmts[i], .deadline_ns = SECONDS(20), .done = done};
	w.list[i] = &w.items[i];
}

/* Did it go past libpq? */
static bool write_all(const struct put *puts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct value *v = w.params[i];

		v[0] = value_int(puts[i].id);
		v[1] = value_int(puts[i].n);
		v[2] = puts[i].parent != 0 ? value_int(puts[i].parent) : value_null();
		v[3] = value_bytes(STR("\0\1\xff"));
		v[4] = value_double(puts[i].sleeps);
		v[5] = value_bool(!puts[i].ends);
		set_item(i, WRITE_SQL, 6, STMT_WRITE);
	}
	w.n_done = 0;
	pg_conn(w.c)->wire.sent = 0;
	pg->run_writes(w.c, w.list, n, SECONDS(5));
	return pg_conn(w.c)->wire.sent > 0;
}

#define WRITE(...) \
	write_all((const struct put[]){__VA_ARGS__}, sizeof((const struct put[]){__VA_ARGS__}) / sizeof(struct put))

struct ask {
	int64_t width, rows;
	double sleeps;
	int64_t divides;
};

static bool read_all(const struct ask *asks, size_t n, int64_t deadline)
{
	for (size_t i = 0; i < n; i++) {
		struct value *v = w.params[i];

		v[0] = value_int(asks[i].width);
		v[1] = value_int(asks[i].rows);
		v[2] = value_double(asks[i].sleeps);
		v[3] = value_int(asks[i].divides);
		set_item(i, READ_SQL, 4, STMT_READ);
	}
	pg_conn(w.c)->wire.sent = 0;
	pg->run_batch(w.c, w.list, n, deadline);
	return pg_conn(w.c)->wire.sent > 0;
}

#define READ_UNTIL(deadline, ...) \
	read_all((const struct ask[]){__VA_ARGS__}, sizeof((const struct ask[]){__VA_ARGS__}) / sizeof(struct ask), \
		 deadline)
#define READ(...) READ_UNTIL(SECONDS(20), __VA_ARGS__)

static void drop_all(size_t n)
{
	for (size_t i = 0; i < n; i++)
		pg->batch_drop(&w.items[i]);
}

/* '+' done, 'a' again, 's' again for it was slow, else the outcome's first letter. */
static void assert_fates(const char *want)
{
	char got[ITEMS + 1] = "";

	for (size_t i = 0; want[i] != '\0'; i++) {
		const struct batch_item *item = &w.items[i];

		got[i] = item->again    ? (item->slow ? 's' : 'a')
			 : item->failed ? err_outcome_name(item->err.outcome)[0]
			 : item->result ? '+'
					: '!';
	}
	assert_string_equal(got, want);
	drop_all(strlen(want));
}

/* By libpq. */
static int64_t ask(struct driver_conn *c, const char *sql)
{
	struct rows rows;

	assert_ok(own(c, sql, false, &rows));
	return rows.n > 0 ? rows.cells[0].u.i : -1;
}

static int setup(void **state)
{
	if (g.db == NULL)
		return 0;
	if (test_open(state) != 0)
		return -1;
	memset(&w, 0, sizeof(w));
	w.c = c1;
	assert_ok(raw(c2, "DROP TABLE IF EXISTS w"));
	assert_ok(raw(c2,
		      "CREATE TABLE w (id int PRIMARY KEY, n int CHECK (n >= 0), parent int REFERENCES w DEFERRABLE "
		      "INITIALLY DEFERRED, b bytea)"));
	/* from now on both are prepared and known */
	const bool past = WRITE({100, 0, 0, 0, false});
	drop_all(1);
	if (past || READ({1, 1, 0, 1}))
		return -1;
	drop_all(1);
	return 0;
}

static int teardown(void **state)
{
	return g.db == NULL ? 0 : test_close(state);
}

/* ---- writes ---- */

static void test_a_failing_write_harms_no_other(void **state)
{
	NEEDS_SERVER();
	for (int round = 0; round < 2; round++) {
		assert_true(WRITE({1, 5, 0, 0, false}, {100, 0, 0, 0, false}, {2, -1, 0, 0, false}, {3, 0, 0, 0, false},
				  {4, 0, 77, 0, false}, {5, 6, 100, 0, false}));
		assert_int_equal(w.n_done, 6);
		assert_int_equal(w.items[1].err.code, ERR_UNIQUE_VIOLATION);
		assert_string_equal(w.items[1].err.constraint, "w_pkey");
		assert_string_equal(w.items[1].err.table, "w");
		assert_string_equal(w.items[1].err.sqlstate, "23505");
		assert_int_equal(w.items[2].err.code, ERR_CHECK_VIOLATION);
		assert_int_equal(w.items[4].err.code, ERR_FOREIGN_KEY_VIOLATION);
		struct cursor *cur = pg->batch_cursor(&w.items[5]);
		assert_int_equal(cur->n_columns, 2);
		assert_true(pg->batch_step(cur));
		assert_true(cur->row[0].u.i == 5 && cur->row[1].u.i == 6);
		assert_int_equal(cur->affected, 1);
		assert_false(pg->batch_step(cur));
		assert_fates("+rr+r+");
		assert_false(w.c->broken);
		assert_int_equal(pg->tx_state(w.c), TX_STATE_NONE);
		assert_int_equal(ask(c2, "SELECT count(*) FROM w WHERE id < 100 AND b = '\\x0001ff'"), 3);
		/* libpq goes on, and takes the guard off */
		assert_int_equal(ask(w.c, "DELETE FROM w WHERE id < 100 RETURNING 7"), 7);
		assert_false(WRITE({6, 0, 0, 0, false})); /* the guard is to be set */
		assert_fates("+");
		assert_int_equal(ask(c2, "DELETE FROM w WHERE id = 6 RETURNING 7"), 7);
	}
}

static void test_a_slow_write(void **state)
{
	NEEDS_SERVER();
	assert_true(WRITE({1, 0, 0, 5, false}, {2, 0, 0, 0, false}));
	assert_fates("s+");
	assert_int_equal(ask(c2, "SELECT sum(id) FROM w WHERE id < 100"), 2);
	assert_false(w.c->broken);
}

static void test_a_server_that_says_goodbye(void **state)
{
	NEEDS_SERVER();
	assert_true(WRITE({1, 0, 0, 0, false}, {2, 0, 0, 0.05, true}, {3, 0, 0, 0, false}));
	assert_int_equal(w.items[1].err.code, ERR_DATABASE_UNAVAILABLE);
	assert_fates("+ra");
	assert_true(w.c->broken);
	assert_int_equal(ask(c2, "SELECT sum(id) FROM w WHERE id < 100"), 1);
}

static void test_a_connection_that_is_cut(void **state)
{
	NEEDS_SERVER();
	w.cut_after = 1;
	assert_true(WRITE({1, 0, 0, 0, false}, {2, 0, 0, 0.06, false}, {3, 0, 0, 0, false}));
	assert_int_equal(w.items[1].err.code, ERR_DATABASE_UNAVAILABLE);
	assert_fates("+uu");
	assert_true(w.c->broken);
}

/* What a commit meets at its deadline is cancelled; those behind it are not harmed. */
static void test_a_commit_that_takes_too_long(void **state)
{
	NEEDS_SERVER();
	assert_ok(raw(c2, "CREATE OR REPLACE FUNCTION w_wait() RETURNS trigger LANGUAGE plpgsql AS "
			  "'BEGIN PERFORM pg_sleep(9); RETURN NULL; END'"));
	assert_ok(raw(c2, "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON w DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
			  "WHEN (NEW.id = 1) EXECUTE FUNCTION w_wait()"));
	w.c->statement_timeout_ns = CLOCK_NS_PER_S / 2;
	assert_true(WRITE({1, 0, 0, 0, false}, {2, 0, 0, 0, false}));
	w.c->statement_timeout_ns = 0;
	assert_int_equal(w.items[0].err.code, ERR_STATEMENT_TIMEOUT);
	assert_fates("r+");
	assert_true(w.c->broken);
	assert_int_equal(ask(c2, "SELECT sum(id) FROM w WHERE id < 100"), 2);
}

/* ---- reads ---- */

/* No writes were there before, or their guard bounds reads, too. */
#define NEEDS_TIME() assert_int_equal(ask(w.c, "SELECT 7"), 7)

static void assert_rows(size_t i, int64_t width, int64_t n)
{
	struct cursor *cur = pg->batch_cursor(&w.items[i]);
	int64_t got = 0;

	assert_int_equal(cur->n_columns, 7);
	while (pg->batch_step(cur)) {
		const struct value *v = cur->row;

		got++;
		assert_int_equal(v[0].u.i, got);
		assert_int_equal(v[1].u.s.len, width + 2);
		assert_int_equal(v[2].kind, VALUE_NULL);
		assert_true(v[3].kind == VALUE_BYTES && str_eq(v[3].u.s, STR("\0\xff")));
		assert_true(v[4].kind == VALUE_JSON && str_eq(v[4].u.s, STR("{\"a\": [1]}")));
		assert_true(v[5].u.d == (double)got * 0.5);
		assert_true(v[6].kind == VALUE_BOOL && v[6].u.b == (got % 2 == 0));
	}
	assert_int_equal(got, n);
}

static void test_reads(void **state)
{
	NEEDS_SERVER();
	NEEDS_TIME();
	/* rows longer than what is read at a time, none, very many */
	assert_true(READ({1, 3, 0, 1}, {100000, 2, 0, 1}, {0, 0, 0, 1}, {5, 20000, 0, 1}));
	assert_rows(0, 1, 3);
	assert_rows(1, 100000, 2);
	assert_rows(2, 0, 0);
	assert_rows(3, 5, 20000);
	assert_fates("++++");
	assert_true(pg_conn(w.c)->wire.in_size <= 65536 && pg_conn(w.c)->wire.rows.size <= 65536);
	assert_int_equal(ask(w.c, "SELECT 7"), 7);
}

/* An answer outlives its connection and its statement. */
static void test_an_answer_that_stays(void **state)
{
	NEEDS_SERVER();
	assert_true(READ({1, 3, 0, 1}));
	pg->forget(w.c);
	w.c->broken = true;
	assert_rows(0, 1, 3);
	assert_fates("+");
}

static void test_a_failing_read_is_its_own(void **state)
{
	NEEDS_SERVER();
	assert_true(READ({1, 3, 0, 1}, {1, 1, 0, 0}, {1, 1, 0, 1}));
	assert_int_equal(w.items[1].err.code, ERR_INVALID_VALUE);
	assert_string_equal(w.items[1].err.sqlstate, "22012");
	assert_fates("+ra");
	assert_true(READ({1, 3, 0, 1}));
	assert_fates("+");
	assert_false(w.c->broken);
}

/* A read that takes too long is cancelled, and the connection goes on by libpq and past it. */
static void test_a_slow_read(void **state)
{
	NEEDS_SERVER();
	NEEDS_TIME();
	assert_true(READ_UNTIL(clock_mono_ns() + CLOCK_NS_PER_S / 5, {1, 2, 0, 1}, {1, 1, 20, 1}, {1, 1, 0, 1}));
	assert_fates("aaa");
	assert_false(w.c->broken);
	assert_int_equal(ask(w.c, "SELECT 7"), 7);
	assert_true(READ({1, 3, 0, 1}));
	assert_fates("+");
}

static void test_a_stale_plan(void **state)
{
	NEEDS_SERVER();
	set_item(0, "SELECT * FROM w", 0, STMT_READ);
	pg->run_batch(w.c, w.list, 1, SECONDS(5));
	assert_fates("+");
	assert_ok(raw(c2, "ALTER TABLE w ALTER n TYPE bigint"));
	for (int i = 0; i < 2; i++) {
		set_item(0, "SELECT * FROM w", 0, STMT_READ);
		pg->run_batch(w.c, w.list, 1, SECONDS(5));
		assert_fates(i == 0 ? "a" : "+");
	}
	assert_false(w.c->broken);
}

/* A setting that libpq would not know of costs the connection, when all is answered. */
static void test_a_setting_that_changes(void **state)
{
	NEEDS_SERVER();
	for (int i = 0; i < 2; i++) {
		set_item(0, "SELECT set_config('application_name', $1, false)", 1, STMT_READ);
		w.params[0][0] = value_text(i == 0 ? STR("one") : STR("another"));
		pg->run_batch(w.c, w.list, 1, SECONDS(5));
		assert_fates("+");
		assert_int_equal(w.c->broken, i == 1);
	}
}

static void test_a_lost_connection(void **state)
{
	NEEDS_SERVER();
	char sql[80];

	(void)snprintf(sql, sizeof(sql), "SELECT 1 WHERE pg_terminate_backend(%d)",
		       (int)ask(w.c, "SELECT pg_backend_pid()"));
	assert_int_equal(ask(c2, sql), 1);
	(void)READ({1, 1, 0, 1}, {1, 1, 0, 1});
	assert_fates("aa");
	assert_true(w.c->broken);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_failing_write_harms_no_other),
		TEST(test_a_slow_write),
		TEST(test_a_server_that_says_goodbye),
		TEST(test_a_connection_that_is_cut),
		TEST(test_a_commit_that_takes_too_long),
		TEST(test_reads),
		TEST(test_an_answer_that_stays),
		TEST(test_a_failing_read_is_its_own),
		TEST(test_a_slow_read),
		TEST(test_a_stale_plan),
		TEST(test_a_setting_that_changes),
		TEST(test_a_lost_connection),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
