/* Sessions: limits, expiry, tombstones, memory, use by many threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>
#include <time.h>

#include "service/base/clock.h"
#include "store/session/session.h"
#include "store/session/tx.h"
#include "tests/support/maps.h"
#include "tests/support/fake_driver.h"
#include "tests/support/scratch_arena.h"
#include "tests/support/small_store.h"

#include "service/base/banned.h"

static struct session_limits limits;
static struct session_table *sessions;
static struct tx_table *txs;
static struct connection *conn;

static int setup(void **state)
{
	(void)state;
	fake_reset();
	limits = small_store.sessions;
	limits.max_sessions = limits.max_per_owner = 1000;
	scratch_begin();
	conn = fake_connection("main", 4);
	return 0;
}

static void start(void)
{
	sessions = session_table_create(&limits);
	txs = tx_table_create(sessions, 300, 3600, 900, 16, 64);
}

static int teardown(void **state)
{
	(void)state;
	tx_table_destroy(txs);
	session_table_destroy(sessions);
	fake_connection_done(conn);
	scratch_end();
	return 0;
}

static struct str open_id(const char *owner, double idle_s, double life_s)
{
	const struct session_options o = {.idle_timeout_s = idle_s, .max_lifetime_s = life_s};
	struct session *s;
	struct str id;

	assert_true(session_open(sessions, conn, str_z(owner), &o, &s, &err));
	id = arena_str(&arena, str_z(s->id));
	session_leave(sessions, s);
	return id;
}

static bool enter_leave(struct str id, const char *owner)
{
	struct session *s;

	if (!session_enter(sessions, id, str_z(owner), &s, &err))
		return false;
	session_leave(sessions, s);
	return true;
}

static void refused(struct str id, const char *owner, enum err_code code, const char *words)
{
	assert_false(enter_leave(id, owner));
	assert_int_equal(err.code, code);
	if (strstr(err.detail, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, err.detail);
	assert_null(strstr(err.detail, id.p));
}

static void sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

static void begin(struct str id, struct tx_view *v)
{
	const struct tx_options o = {0};
	struct session *s;

	assert_true(session_enter(sessions, id, STR("ann"), &s, &err));
	assert_true(tx_begin(txs, conn, s, STR("ann"), &o, CLOCK_NEVER, &arena, v, &err));
	session_leave(sessions, s);
}

static void a_session_is_its_owners(void **state)
{
	struct str id, other;

	(void)state;
	start();
	id = open_id("ann", 0, 0);
	other = open_id("ann", 0, 0);
	assert_int_equal(id.len, 32);
	assert_false(str_eq(id, other));
	assert_true(enter_leave(id, "ann"));
	refused(id, "bob", ERR_SESSION_NOT_FOUND, "no session");
	refused(STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "ann", ERR_SESSION_NOT_FOUND, "no session");
	assert_false(session_close(sessions, id, STR("bob"), true, &err));
	assert_int_equal(err.code, ERR_SESSION_NOT_FOUND);
	assert_int_equal(session_count(sessions), 2);
}

static void closing_repeats(void **state)
{
	struct str id;

	(void)state;
	start();
	id = open_id("ann", 0, 0);
	assert_true(session_close(sessions, id, STR("ann"), false, &err));
	assert_true(session_close(sessions, id, STR("ann"), false, &err));
	assert_false(session_close(sessions, id, STR("bob"), false, &err));
	assert_int_equal(err.code, ERR_SESSION_NOT_FOUND);
	refused(id, "ann", ERR_SESSION_EXPIRED, "closed by the client, at 2");
	assert_int_equal(session_count(sessions), 0);
	assert_int_equal(conn->n_sessions, 0);
}

static void idle_ones_expire_when_looked_at(void **state)
{
	struct str id;

	(void)state;
	start();
	id = open_id("ann", 0.02, 0);
	assert_true(enter_leave(id, "ann"));
	sleep_ms(40);
	refused(id, "ann", ERR_SESSION_EXPIRED, "closed by the server after 0.02 s without use, at 2");
	assert_false(session_close(sessions, id, STR("ann"), true, &err));
	assert_int_equal(err.code, ERR_SESSION_EXPIRED);
}

static void housekeeping_ends_them_with_their_transactions(void **state)
{
	struct str id;
	struct tx_view v, after;
	struct pool_stats st;

	(void)state;
	start();
	id = open_id("ann", 0.02, 0);
	begin(id, &v);
	assert_true(session_tick(sessions) <= clock_mono_ns() + CLOCK_NS_PER_S);
	assert_int_equal(session_count(sessions), 1);
	sleep_ms(40);
	(void)session_tick(sessions);
	assert_int_equal(session_count(sessions), 0);
	pool_stats(conn->pool, &st);
	assert_int_equal(st.in_use, 0);
	assert_string_equal(fake.log, "BEGIN;ROLLBACK");
	refused(id, "ann", ERR_SESSION_EXPIRED, "; 1 transaction was rolled back;");
	assert_false(tx_lookup(txs, str_z(v.id), NULL, STR("ann"), &arena, &after, &err));
}

static void one_in_use_is_not_idle(void **state)
{
	struct session *s;
	struct session_view v;
	struct str id;

	(void)state;
	start();
	id = open_id("ann", 0.02, 0);
	assert_true(session_enter(sessions, id, STR("ann"), &s, &err));
	sleep_ms(40);
	(void)session_tick(sessions);
	assert_true(enter_leave(id, "ann"));
	sleep_ms(40);
	(void)session_tick(sessions);
	assert_int_equal(session_count(sessions), 1);
	session_leave(sessions, s);
	assert_true(enter_leave(id, "ann")); /* the time counts from its last request's end */
	assert_true(session_enter(sessions, id, STR("ann"), &s, &err));
	session_view(s, &v);
	assert_true(v.idle_expires_in_s > 0 && v.idle_expires_in_s <= 0.02 && v.idle_timeout_s > 0.019);
	session_leave(sessions, s);
}

static void a_lifetime_ends_even_one_in_use(void **state)
{
	struct session *s;
	struct str id;

	(void)state;
	start();
	id = open_id("ann", 0, 0.03);
	assert_true(session_enter(sessions, id, STR("ann"), &s, &err));
	sleep_ms(50);
	refused(id, "ann", ERR_SESSION_EXPIRED, "at the end of its lifetime of 0.03 s, at 2");
	session_leave(sessions, s);
	assert_int_equal(session_count(sessions), 0);
}

static void wishes_are_cut_to_the_bounds(void **state)
{
	const struct session_options o = {.idle_timeout_s = 1e300, .max_lifetime_s = 1e300};
	struct session_view v;
	struct session *s;

	(void)state;
	start();
	assert_true(session_open(sessions, conn, STR("ann"), &o, &s, &err));
	session_view(s, &v);
	assert_true(v.idle_timeout_s > 86399 && v.idle_timeout_s < 86401);
	assert_true(v.expires_in_s > 86390 && v.expires_in_s < 86401);
	assert_true(v.expires_us - v.created_us == INT64_C(86400000000));
	assert_int_equal(v.ref.len, 16);
	session_leave(sessions, s);
}

static void caps(void **state)
{
	struct session *s;
	struct str id;

	(void)state;
	limits.max_sessions = 3;
	limits.max_per_owner = 2;
	start();
	id = open_id("ann", 0, 0);
	(void)open_id("ann", 0, 0);
	assert_false(session_open(sessions, conn, STR("ann"), NULL, &s, &err));
	assert_int_equal(err.code, ERR_TOO_MANY_SESSIONS);
	assert_true(err.retry_after_s > 0);
	(void)open_id("bob", 0, 0);
	assert_false(session_open(sessions, conn, STR("eve"), NULL, &s, &err));
	assert_int_equal(err.code, ERR_TOO_MANY_SESSIONS);
	assert_true(session_close(sessions, id, STR("ann"), false, &err));
	(void)open_id("ann", 0, 0);
	assert_int_equal(conn->n_sessions, 3);
}

static void closing_over_open_transactions(void **state)
{
	struct str id;
	struct tx_view v;
	enum tx_phase phase;
	struct session *s;

	(void)state;
	start();
	id = open_id("ann", 0, 0);
	begin(id, &v);
	assert_false(session_close(sessions, id, STR("ann"), false, &err));
	assert_int_equal(err.code, ERR_TRANSACTIONS_OPEN);
	assert_true(enter_leave(id, "ann"));
	assert_true(session_enter(sessions, id, STR("ann"), &s, &err));
	assert_true(tx_end(txs, str_z(v.id), s, STR("ann"), true, CLOCK_NEVER, &phase, &err));
	session_leave(sessions, s);
	begin(id, &v);
	assert_true(session_close(sessions, id, STR("ann"), true, &err));
	assert_string_equal(fake.log, "BEGIN;COMMIT;BEGIN;ROLLBACK");
	refused(id, "ann", ERR_SESSION_EXPIRED, "1 transaction was rolled back");
	assert_int_equal(conn->n_transactions, 0);
}

static void ended_by_the_server(void **state)
{
	struct connection *other = fake_connection("other", 1);
	struct str id, id2;
	struct session *s;

	(void)state;
	start();
	id = open_id("ann", 0, 0);
	assert_true(session_open(sessions, other, STR("ann"), NULL, &s, &err));
	id2 = arena_str(&arena, str_z(s->id));
	session_leave(sessions, s);
	session_end_all(sessions, other, SESSION_DISCONNECTED);
	refused(id2, "ann", ERR_SESSION_EXPIRED, "connection was disconnected, at 2");
	assert_false(session_close(sessions, id2, STR("ann"), true, &err));
	assert_int_equal(err.code, ERR_SESSION_EXPIRED);
	assert_true(enter_leave(id, "ann"));
	conn->closed = 1;
	refused(id, "ann", ERR_SESSION_EXPIRED, "connection was disconnected, at 2");
	assert_false(session_open(sessions, conn, STR("ann"), NULL, &s, &err));
	conn->closed = 0;
	for (int i = 0; i < 200; i++)
		id = open_id("ann", 0, 0);
	session_end_all(sessions, NULL, SESSION_RESET);
	refused(id, "ann", ERR_SESSION_EXPIRED, "reset, at 2");
	assert_int_equal(session_count(sessions), 0);
	fake_connection_done(other);
}

static void tombstones_are_forgotten(void **state)
{
	struct str id;

	(void)state;
	limits.tombstone_s = 0.02;
	start();
	id = open_id("ann", 0, 0);
	assert_true(session_close(sessions, id, STR("ann"), false, &err));
	(void)session_tick(sessions);
	refused(id, "ann", ERR_SESSION_EXPIRED, "client");
	sleep_ms(40);
	(void)session_tick(sessions);
	refused(id, "ann", ERR_SESSION_NOT_FOUND, "no session");
	assert_false(session_close(sessions, id, STR("ann"), false, &err));
	assert_int_equal(err.code, ERR_SESSION_NOT_FOUND);
}

static void ddl_clears_maps_at_the_next_use(void **state)
{
	const struct model model = {.name = STR("User"), .n_columns = 1, .serial = 1};
	const struct value row = value_int(1);
	struct session *s;
	struct str id;

	(void)state;
	start();
	id = open_id("ann", 0, 0);
	assert_true(session_enter(sessions, id, STR("ann"), &s, &err));
	map_read(s->imap, &arena, &model, STR("1"), &row);
	session_leave(sessions, s);
	assert_true(session_enter(sessions, id, STR("ann"), &s, &err));
	assert_true(is_mapped(s->imap, &arena, &model, STR("1")));
	session_leave(sessions, s);
	session_maps_stale(conn);
	assert_true(session_enter(sessions, id, STR("ann"), &s, &err));
	assert_false(is_mapped(s->imap, &arena, &model, STR("1")));
	session_leave(sessions, s);
}

static void the_list_shows_refs_only(void **state)
{
	struct session_view *list;
	struct str id;

	(void)state;
	start();
	id = open_id("ann", 0, 0);
	assert_int_equal(session_list(sessions, &arena, &list), 1);
	assert_int_equal(list[0].ref.len, 16);
	assert_false(str_starts(id, list[0].ref));
	assert_true(str_eq_z(list[0].owner, "ann") && str_eq_z(list[0].connection_name, "main"));
}

static void ten_thousand_fit_in_64_mib(void **state)
{
	const struct model model = {.name = STR("Customer"), .n_columns = 8, .serial = 1};
	const struct value row[8] = {
		value_int(123456),
		value_text(STR("Ada Lovelace-Byron")),
		value_text(STR("ada.lovelace@analytical-engine.example")),
		value_text(STR("2026-01-02T03:04:05.000000Z")),
		value_text(STR("7f3c0d6a-2b4e-4a51-9d7e-0a1b2c3d4e5f")),
		value_bool(true),
		value_double(1234.5),
		value_null(),
	};
	size_t before;

	(void)state;
	limits.max_sessions = limits.max_per_owner = 10000;
	start();
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (int i = 0; i < 10000; i++) {
		struct session *s;

		assert_true(session_open(sessions, conn, STR("ann"), NULL, &s, &err));
		for (int k = 0; k < 10; k++) {
			char key[16];

			(void)snprintf(key, sizeof(key), "%d", k);
			map_read(s->imap, &arena, &model, str_z(key), row);
		}
		session_leave(sessions, s);
	}
	assert_true(mallinfo2().uordblks + mallinfo2().hblkhd - before < 64u * 1024 * 1024);
	session_end_all(sessions, NULL, SESSION_RESET);
}

static struct str shared_id;

static void *hammer(void *arg)
{
	const bool closer = *(const bool *)arg;
	struct err e;

	for (int i = 0; i < 3000; i++) {
		struct session *s;
		struct session_view v;

		if (session_enter(sessions, shared_id, STR("ann"), &s, &e)) {
			session_view(s, &v);
			session_leave(sessions, s);
		} else if (e.code != ERR_SESSION_EXPIRED) {
			return arg;
		}
		if (!session_open(sessions, conn, STR("bob"), NULL, &s, &e))
			return arg;
		if (!session_close(sessions, str_z(s->id), STR("bob"), true, &e))
			return arg;
		session_leave(sessions, s);
		if (closer && i % 100 == 0)
			(void)session_tick(sessions);
		if (closer && i == 2000 && !session_close(sessions, shared_id, STR("ann"), false, &e))
			return arg;
	}
	return NULL;
}

static void many_threads(void **state)
{
	bool closer[4] = {true, false, false, true};
	pthread_t threads[4];

	(void)state;
	start();
	shared_id = open_id("ann", 0, 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &closer[i]), 0);
	for (int i = 0; i < 4; i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(session_count(sessions), 0);
	assert_int_equal(conn->n_sessions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_session_is_its_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_repeats, setup, teardown),
		cmocka_unit_test_setup_teardown(idle_ones_expire_when_looked_at, setup, teardown),
		cmocka_unit_test_setup_teardown(housekeeping_ends_them_with_their_transactions, setup, teardown),
		cmocka_unit_test_setup_teardown(one_in_use_is_not_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lifetime_ends_even_one_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(wishes_are_cut_to_the_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(caps, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_over_open_transactions, setup, teardown),
		cmocka_unit_test_setup_teardown(ended_by_the_server, setup, teardown),
		cmocka_unit_test_setup_teardown(tombstones_are_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(ddl_clears_maps_at_the_next_use, setup, teardown),
		cmocka_unit_test_setup_teardown(the_list_shows_refs_only, setup, teardown),
		cmocka_unit_test_setup_teardown(ten_thousand_fit_in_64_mib, setup, teardown),
		cmocka_unit_test_setup_teardown(many_threads, setup, teardown),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
