/* Routing over real in-memory SQLite databases, and what raw SQL does to transactions there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "service/base/clock.h"
#include "store/store.h"
#include "tests/support/small_store.h"
#include "tests/support/scratch_arena.h"

#include "service/base/banned.h"

static struct store *store;

static void connect_to(const char *name, bool make_default)
{
	const struct connect_options o = {
		.url = STR("sqlite::memory:"),
		.name = str_z(name),
		.make_default = make_default,
		.identity_map = true,
		.pool = pool_config_default(),
	};
	struct connection *c, *replaced = NULL;

	if (!connection_open(&store->connections, &o, clock_deadline(10), &c, &err) ||
	    !connection_register(&store->connections, c, &o, &replaced, &err))
		fail_msg("%s", err.detail);
	assert_null(replaced);
	connection_unref(c);
}

static int setup(void **state)
{
	(void)state;
	scratch_begin();
	store = store_create(&small_store);
	connect_to("app", true);
	connect_to("service", false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	store_destroy(store);
	scratch_end();
	return 0;
}

static struct str open_on(const char *name)
{
	struct connection *c;
	struct session *s;
	struct str id;

	assert_true(connection_get(&store->connections, str_z(name), &c, &err));
	assert_true(session_open(store->sessions, c, STR("ann"), NULL, &s, &err));
	id = arena_str(&arena, str_z(s->id));
	session_leave(store->sessions, s);
	connection_unref(c);
	return id;
}

static struct route_request request(struct str session, struct str tx, struct str using)
{
	return (struct route_request){
		.session_id = session,
		.tx_id = tx,
		.using = using,
		.owner = STR("ann"),
		.deadline = clock_deadline(10),
	};
}

static void goes_to(struct str session, struct str tx, struct str using, const char *name)
{
	const struct route_request q = request(session, tx, using);
	struct route r;

	if (!route_resolve(store, &q, &r, &err))
		fail_msg("%s", err.detail);
	assert_true(str_eq_z(r.conn->name, name));
	assert_true((r.session != NULL) == (session.p != NULL));
	assert_true((r.tx != NULL) == (tx.p != NULL));
	route_release(store, &r);
	assert_null(r.conn);
}

static void refused(struct str session, struct str tx, struct str using, enum err_code code)
{
	const struct route_request q = request(session, tx, using);
	struct route r;

	assert_false(route_resolve(store, &q, &r, &err));
	if (err.code != code)
		fail_msg("%s: %s", err_code_name(err.code), err.detail);
}

static struct str begin(struct str session, struct str using)
{
	const struct route_request q = request(session, STR_NONE, using);
	const struct tx_options o = {0};
	struct tx_view v;
	struct route r;

	assert_true(route_resolve(store, &q, &r, &err));
	if (!tx_begin(store->transactions, r.conn, r.session, STR("ann"), &o, q.deadline, &arena, &v, &err))
		fail_msg("%s", err.detail);
	route_release(store, &r);
	return arena_str(&arena, str_z(v.id));
}

static void run(struct str session, struct str tx, const char *sql)
{
	const struct stmt s = {
		.sql = str_z(sql), .access = STMT_UNKNOWN, .param_type = STMT_PARAM_BY_KIND, .raw = true};
	const struct route_request q = request(session, tx, STR_NONE);
	struct exec_result result;
	struct exec x = {0};
	struct route r;

	assert_true(route_resolve(store, &q, &r, &err));
	exec_begin(&x, &r, q.deadline, false);
	if (!exec_run(&x, &s, NULL, &result, &err) || !exec_end(&x, true, &err))
		fail_msg("%s: %s", sql, err.detail);
	route_release(store, &r);
}

struct rows {
	int64_t n;
};

static bool count_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *e)
{
	(void)values;
	(void)n;
	(void)ret_stop;
	(void)e;
	((struct rows *)arg)->n++;
	return true;
}

static int64_t rows(const char *sql)
{
	const struct stmt s = {
		.sql = str_z(sql), .access = STMT_UNKNOWN, .param_type = STMT_PARAM_BY_KIND, .raw = true};
	const struct route_request q = request(STR_NONE, STR_NONE, STR_NONE);
	struct rows got = {0};
	struct row_sink sink = {.row = count_row, .arg = &got};
	struct exec_result result;
	struct exec x = {0};
	struct route r;

	assert_true(route_resolve(store, &q, &r, &err));
	exec_begin(&x, &r, q.deadline, false);
	if (!exec_run(&x, &s, &sink, &result, &err) || !exec_end(&x, true, &err))
		fail_msg("%s: %s", sql, err.detail);
	route_release(store, &r);
	return got.n;
}

static void is(struct str session, struct str id, const char *word)
{
	struct session *s = NULL;
	struct tx_view v;

	if (session.p != NULL)
		assert_true(session_enter(store->sessions, session, STR("ann"), &s, &err));
	assert_true(tx_lookup(store->transactions, id, s, STR("ann"), &arena, &v, &err));
	assert_string_equal(v.state, word);
	session_leave(store->sessions, s);
}

static void nothing_is_leased(void)
{
	struct connection **all;
	size_t n = connection_list(&store->connections, &arena, &all, NULL);

	for (size_t i = 0; i < n; i++) {
		struct pool_stats st;

		pool_stats(all[i]->pool, &st);
		assert_int_equal(st.in_use, 0);
		connection_unref(all[i]);
	}
}

static void precedence(void **state)
{
	struct str s = open_on("service");

	(void)state;
	goes_to(STR_NONE, STR_NONE, STR_NONE, "app");
	goes_to(STR_NONE, STR_NONE, STR("service"), "service");
	goes_to(s, STR_NONE, STR_NONE, "service");
	goes_to(s, STR_NONE, STR("service"), "service");
	goes_to(s, begin(s, STR_NONE), STR_NONE, "service");
	goes_to(s, begin(s, STR_NONE), STR("service"), "service");
	goes_to(STR_NONE, begin(STR_NONE, STR("service")), STR_NONE, "service");
	goes_to(STR_NONE, begin(STR_NONE, STR_NONE), STR_NONE, "app");
}

static void conflicts(void **state)
{
	struct str s = open_on("service"), tx = begin(s, STR_NONE), alone = begin(STR_NONE, STR("service"));

	(void)state;
	refused(s, STR_NONE, STR("app"), ERR_ROUTE_CONFLICT);
	refused(s, tx, STR("app"), ERR_ROUTE_CONFLICT);
	refused(STR_NONE, alone, STR("app"), ERR_ROUTE_CONFLICT);
	goes_to(s, tx, STR_NONE, "service"); /* the refusal gave the turn back */
	goes_to(STR_NONE, alone, STR_NONE, "service");
	refused(STR_NONE, tx, STR_NONE, ERR_TRANSACTION_NOT_FOUND);
	refused(s, alone, STR_NONE, ERR_TRANSACTION_NOT_FOUND);
	refused(open_on("service"), tx, STR_NONE, ERR_TRANSACTION_NOT_FOUND);
	refused(STR_NONE, STR_NONE, STR("nowhere"), ERR_CONNECTION_NOT_FOUND);
	refused(STR("nonsense"), STR_NONE, STR_NONE, ERR_SESSION_NOT_FOUND);
	refused(STR_NONE, STR("nonsense"), STR_NONE, ERR_TRANSACTION_NOT_FOUND);
}

static bool disconnect(const char *name, bool force)
{
	struct connection *c;
	assert_true(connection_get(&store->connections, str_z(name), &c, &err));
	const bool ok = store_begin_disconnect(store, c, force, &err);
	if (ok)
		store_finish_disconnect(store, c);
	connection_unref(c);
	return ok;
}

static void disconnecting_ends_what_is_on_it(void **state)
{
	struct str s = open_on("service"), tx = begin(s, STR_NONE), alone = begin(STR_NONE, STR("service"));

	(void)state;
	assert_false(disconnect("service", false));
	assert_int_equal(err.code, ERR_CONNECTION_IN_USE);
	goes_to(s, tx, STR_NONE, "service");
	assert_true(disconnect("service", true));
	refused(s, tx, STR_NONE, ERR_SESSION_EXPIRED);
	refused(STR_NONE, alone, STR_NONE, ERR_TRANSACTION_EXPIRED);
	assert_int_equal(session_count(store->sessions), 0);
	connect_to("service", false); /* another one of that name is no way back in */
	refused(s, STR_NONE, STR_NONE, ERR_SESSION_EXPIRED);
	assert_true(disconnect("app", true));
	refused(STR_NONE, STR_NONE, STR_NONE, ERR_NO_DEFAULT_CONNECTION);
}

static void resetting_ends_everything(void **state)
{
	struct str s = open_on("service"), tx = begin(STR_NONE, STR_NONE);

	(void)state;
	store_reset(store, &(struct connection_set){0});
	refused(s, STR_NONE, STR_NONE, ERR_SESSION_EXPIRED);
	refused(STR_NONE, tx, STR_NONE, ERR_TRANSACTION_EXPIRED);
	refused(STR_NONE, STR_NONE, STR_NONE, ERR_NO_DEFAULT_CONNECTION);
}

static void raw_sql_ends_transactions(void **state)
{
	struct str s = open_on("app"), tx;
	struct exec_result result;
	struct route_request q;
	struct exec x = {0};
	struct route r;
	enum tx_phase phase;

	(void)state;
	run(STR_NONE, STR_NONE, "CREATE TABLE marker (id INTEGER PRIMARY KEY)");
	tx = begin(s, STR_NONE);
	run(s, tx, "INSERT INTO marker VALUES (1)");
	run(s, tx, "COMMIT");
	is(s, tx, "committed");
	refused(s, tx, STR_NONE, ERR_TRANSACTION_ENDED);
	assert_int_equal(rows("SELECT id FROM marker"), 1);
	tx = begin(s, STR_NONE);
	run(s, tx, "INSERT INTO marker VALUES (2)");
	run(s, tx, "ROLLBACK");
	is(s, tx, "rolled_back");
	assert_int_equal(rows("SELECT id FROM marker"), 1);
	tx = begin(STR_NONE, STR_NONE);
	run(STR_NONE, tx, "COMMIT"); /* nothing written: committed all the same */
	is(STR_NONE, tx, "committed");
	tx = begin(STR_NONE, STR_NONE);
	run(STR_NONE, tx, "SAVEPOINT mine");
	run(STR_NONE, tx, "INSERT INTO marker VALUES (3)");
	run(STR_NONE, tx, "ROLLBACK TO mine");
	is(STR_NONE, tx, "open");
	/* a statement after a COMMIT in one request does not run outside */
	q = request(STR_NONE, tx, STR_NONE);
	assert_true(route_resolve(store, &q, &r, &err));
	exec_begin(&x, &r, q.deadline, false);
	assert_true(exec_run(&x, &(struct stmt){.sql = STR("COMMIT"), .access = STMT_UNKNOWN, .raw = true}, NULL,
			     &result, &err));
	assert_false(exec_run(
		&x, &(struct stmt){.sql = STR("INSERT INTO marker VALUES (4)"), .access = STMT_UNKNOWN, .raw = true},
		NULL, &result, &err));
	assert_int_equal(err.code, ERR_TRANSACTION_ENDED);
	(void)!exec_end(&x, false, &err);
	route_release(store, &r);
	is(STR_NONE, tx, "committed");
	assert_true(tx_end(store->transactions, tx, NULL, STR("ann"), true, q.deadline, &phase, &err));
	assert_int_equal(rows("SELECT id FROM marker"), 1);
	nothing_is_leased();
}

static void savepoints_on_sqlite(void **state)
{
	struct str root, inner;
	struct route_request q;
	struct tx_view v;
	enum tx_phase phase;
	struct route r;

	(void)state;
	run(STR_NONE, STR_NONE, "CREATE TABLE marker (id INTEGER PRIMARY KEY)");
	root = begin(STR_NONE, STR_NONE);
	run(STR_NONE, root, "INSERT INTO marker VALUES (1)");
	q = request(STR_NONE, root, STR_NONE);
	assert_true(route_resolve(store, &q, &r, &err));
	assert_true(tx_savepoint(store->transactions, r.tx, q.deadline, &arena, &v, &err));
	route_release(store, &r);
	inner = arena_str(&arena, str_z(v.id));
	run(STR_NONE, inner, "INSERT INTO marker VALUES (2)");
	refused(STR_NONE, root, STR_NONE, ERR_TRANSACTIONS_OPEN);
	assert_true(tx_end(store->transactions, inner, NULL, STR("ann"), false, q.deadline, &phase, &err));
	run(STR_NONE, root, "INSERT INTO marker VALUES (3)");
	assert_true(tx_end(store->transactions, root, NULL, STR("ann"), true, q.deadline, &phase, &err));
	assert_int_equal(rows("SELECT id FROM marker WHERE id IN (1, 3)"), 2);
	assert_int_equal(rows("SELECT id FROM marker"), 2);
	nothing_is_leased();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(precedence),
		T(conflicts),
		T(disconnecting_ends_what_is_on_it),
		T(resetting_ends_everything),
		T(raw_sql_ends_transactions),
		T(savepoints_on_sqlite),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
