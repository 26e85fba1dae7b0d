/* The pool over a database that fails on demand: leasing, outages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "tests/support/failing_pool.h"

/* ---- leasing --------------------------------------------------------------------------------------- */

static void connections_are_reused_last_used_first(void **state)
{
	struct lease a, b;
	struct driver_conn *last;
	char version[64];

	(void)state;
	make_pool(3, 1);
	a = lease();
	b = lease();
	assert_ptr_not_equal(a.conn, b.conn);
	assert_int_equal(stats().in_use, 2);
	last = a.conn;
	lease_release(&b);
	lease_release(&a);
	assert_null(a.pool);
	lease_release(&a);
	a = lease();
	assert_ptr_equal(a.conn, last);
	lease_release(&a);
	assert_int_equal(stats().idle, 2);
	assert_int_equal(stats().opened, 2);
	assert_int_equal(stats().acquired, 3);
	assert_int_equal(fake.n_pings, 0);
	pool_server_version(pool, version);
	assert_string_equal(version, "9.9");
}

static void a_full_pool_times_out(void **state)
{
	struct lease a, none = {0};
	int64_t from;

	(void)state;
	make_pool(1, 0.05);
	a = lease();
	from = clock_mono_ns();
	no_lease(LEASE_READ, ERR_POOL_TIMEOUT);
	assert_true(clock_mono_ns() - from >= 40 * CLOCK_NS_PER_MS);
	assert_false(pool_lease(pool, LEASE_READ, MS(1), &none, &err));
	assert_int_equal(stats().timeouts, 2);
	assert_int_equal(stats().waiting, 0);
	lease_release(&a);
	a = lease();
	lease_release(&a);
}

/* What looks whether the database answers has one connection beyond the pool's, and does not wait behind others. */
static void a_look_has_a_connection_beyond(void **state)
{
	struct client waiting = {.mode = LEASE_READ}, look = {.mode = LEASE_PROBE};
	struct lease a, probe = {0};

	(void)state;
	make_pool(1, 5);
	assert_true(
		pool_lease(pool, LEASE_PROBE, CLOCK_NEVER, &probe, &err)); /* one of the pool's, while there is one */
	assert_int_equal(stats().size, 1);
	lease_release(&probe);
	a = lease();
	assert_int_equal(pthread_create(&waiting.thread, NULL, client_main, &waiting), 0);
	wait_for_waiting(1);
	assert_true(pool_lease(pool, LEASE_PROBE, CLOCK_NEVER, &probe, &err));
	assert_int_equal(stats().size, 2);
	/* a second look waits for the first, and goes before who waits for the pool's own */
	assert_int_equal(pthread_create(&look.thread, NULL, client_main, &look), 0);
	wait_for_waiting(2);
	lease_release(&probe);
	assert_int_equal(pthread_join(look.thread, NULL), 0);
	assert_true(look.ok);
	assert_int_equal(stats().size, 1);
	assert_int_equal(stats().waiting, 1);
	lease_release(&a);
	assert_int_equal(pthread_join(waiting.thread, NULL), 0);
	assert_true(waiting.ok);
	assert_int_equal(stats().opened, 3);
}

static void waiters_are_served_in_order(void **state)
{
	struct client clients[5];
	struct lease a;

	(void)state;
	make_pool(1, 5);
	n_served = 0;
	a = lease();
	memset(clients, 0, sizeof(clients));
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		assert_int_equal(pthread_create(&clients[i].thread, NULL, client_main, &clients[i]), 0);
		wait_for_waiting((int64_t)i + 1);
	}
	lease_release(&a);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		assert_int_equal(pthread_join(clients[i].thread, NULL), 0);
		assert_true(clients[i].ok);
		assert_int_equal(clients[i].order, (int)i + 1);
	}
	assert_int_equal(stats().opened, 1);
}

static void what_a_client_left_is_cleared(void **state)
{
	struct lease a;

	(void)state;
	make_pool(2, 1);
	a = lease();
	fake.tx = TX_STATE_OPEN;
	a.conn->session_dirty = true;
	lease_release(&a);
	assert_int_equal(fake.n_rollbacks, 1);
	assert_int_equal(fake.n_resets, 1);
	assert_int_equal(stats().idle, 1);
	a = lease();
	assert_false(a.conn->session_dirty);
	fake.keeps_state = true;
	a.conn->session_dirty = true;
	lease_release(&a);
	assert_int_equal(stats().size, 0);
	assert_int_equal(fake.n_open, 0);
}

static void a_broken_connection_makes_the_others_suspect(void **state)
{
	struct lease a, b;

	(void)state;
	make_pool(2, 1);
	a = lease();
	b = lease();
	lease_release(&b);
	a.conn->broken = true;
	lease_release(&a);
	assert_int_equal(stats().size, 1);
	fake.dead = true;
	a = lease(); /* the idle one is found dead, and replaced */
	assert_int_equal(fake.n_pings, 1);
	assert_int_equal(stats().opened, 3);
	fake.dead = false;
	lease_release(&a);
	a = lease();
	assert_int_equal(fake.n_pings, 1);
	lease_release(&a);
}

static void a_broken_connection_frees_its_place_for_a_waiter(void **state)
{
	struct client c = {.mode = LEASE_READ};
	struct lease a;

	(void)state;
	make_pool(1, 5);
	a = lease();
	assert_int_equal(pthread_create(&c.thread, NULL, client_main, &c), 0);
	wait_for_waiting(1);
	a.conn->broken = true;
	lease_release(&a);
	assert_int_equal(pthread_join(c.thread, NULL), 0);
	assert_true(c.ok);
	assert_int_equal(stats().opened, 2);
}

static void refresh_replaces_all_without_waiting(void **state)
{
	struct lease a, b;

	(void)state;
	make_pool(2, 1);
	a = lease();
	b = lease();
	lease_release(&b);
	pool_refresh(pool);
	assert_int_equal(stats().size, 1);
	lease_release(&a);
	assert_int_equal(stats().size, 0);
	a = lease();
	lease_release(&a);
	assert_int_equal(stats().idle, 1);
}

static void old_connections_go(void **state)
{
	struct pool_config cfg = pool_config_default();
	struct lease a, b;

	(void)state;
	cfg.min_connections = 1;
	cfg.idle_timeout_s = 0.01;
	assert_true(pool_create(&fake_driver_of_pool, NULL, &cfg, &pool, &err));
	assert_true(pool_get_config(pool)->min_connections == 1);
	pool_tick(pool);
	assert_int_equal(stats().idle, 1);
	a = lease();
	b = lease();
	lease_release(&b);
	lease_release(&a);
	(void)wait_until(MS(15));
	pool_tick(pool);
	assert_int_equal(stats().idle, 1);
	a = lease();
	a.conn->opened_ns -= 1801 * CLOCK_NS_PER_S;
	lease_release(&a);
	assert_int_equal(stats().idle, 0);
	pool_tick(pool);
	assert_int_equal(stats().idle, 1);
}

/* ---- outages --------------------------------------------------------------------------------------- */

static void one_probes_while_the_database_is_down(void **state)
{
	struct client clients[6];
	struct lease a;
	int attempts;

	(void)state;
	make_pool(5, 5);
	fake.down = 1;
	no_lease(LEASE_READ, ERR_DATABASE_UNAVAILABLE);
	fake.n_opening_max = 0;
	attempts = fake.n_attempts;
	memset(clients, 0, sizeof(clients));
	for (size_t i = 0; i < ARRAY_LEN(clients); i++)
		assert_int_equal(pthread_create(&clients[i].thread, NULL, client_main, &clients[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		assert_int_equal(pthread_join(clients[i].thread, NULL), 0);
		assert_false(clients[i].ok);
		assert_int_equal(clients[i].code, ERR_DATABASE_UNAVAILABLE);
		assert_true(clients[i].ns < 3 * CLOCK_NS_PER_S);
	}
	assert_int_equal(fake.n_opening_max, 1);
	assert_true(fake.n_attempts - attempts < (int)ARRAY_LEN(clients) + 1);
	__atomic_store_n(&fake.down, 0, __ATOMIC_SEQ_CST);
	a = lease();
	lease_release(&a);
}

/* Too many connections for the server, say: one that works is worth waiting for, although no more can be opened. */
static void a_working_connection_is_waited_for(void **state)
{
	struct client c = {.mode = LEASE_READ};
	const int64_t deadline = SECONDS(5);
	struct lease a;
	int attempts;

	(void)state;
	make_pool(2, 5);
	a = lease();
	__atomic_store_n(&fake.down, 1, __ATOMIC_SEQ_CST);
	attempts = fake.n_attempts;
	assert_int_equal(pthread_create(&c.thread, NULL, client_main, &c), 0);
	while (__atomic_load_n(&fake.n_attempts, __ATOMIC_SEQ_CST) < attempts + 2) {
		assert_true(clock_mono_ns() < deadline);
		(void)wait_until(MS(1));
	}
	/* its next attempt is held back; by then it has the one that came back, or opens its own */
	__atomic_store_n(&fake.down, 0, __ATOMIC_SEQ_CST);
	lease_release(&a);
	assert_int_equal(pthread_join(c.thread, NULL), 0);
	assert_true(c.ok);
}

static void a_closed_pool_refuses(void **state)
{
	struct client c = {.mode = LEASE_READ};
	struct lease a;

	(void)state;
	make_pool(1, 5);
	a = lease();
	assert_int_equal(pthread_create(&c.thread, NULL, client_main, &c), 0);
	wait_for_waiting(1);
	pool_close(pool);
	assert_int_equal(pthread_join(c.thread, NULL), 0);
	assert_int_equal(c.code, ERR_CONNECTION_NOT_FOUND);
	no_lease(LEASE_READ, ERR_CONNECTION_NOT_FOUND);
	assert_int_equal(fake.n_open, 1);
	lease_release(&a);
	assert_int_equal(fake.n_open, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connections_are_reused_last_used_first),
		TEST(a_full_pool_times_out),
		TEST(a_look_has_a_connection_beyond),
		TEST(waiters_are_served_in_order),
		TEST(what_a_client_left_is_cleared),
		TEST(a_broken_connection_makes_the_others_suspect),
		TEST(a_broken_connection_frees_its_place_for_a_waiter),
		TEST(refresh_replaces_all_without_waiting),
		TEST(old_connections_go),
		TEST(one_probes_while_the_database_is_down),
		TEST(a_working_connection_is_waited_for),
		TEST(a_closed_pool_refuses),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
