/* The pool over a database that fails on demand, then over SQLite from several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "service/base/mutex.h"
#include "service/base/wait.h"
#include "store/connection/pool.h"
#include "store/driver/sqlite/driver_sqlite.h"

#define SECONDS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_S)
#define MS(n) (clock_mono_ns() + (int64_t)(n)*CLOCK_NS_PER_MS)

/* ---- the database ---------------------------------------------------------------------------------- */

static struct {
	int down;                     /* atomic: opening fails */
	int n_opening, n_opening_max; /* atomic: attempts under way while down */
	int n_attempts;               /* atomic */
	int n_open;                   /* atomic */
	int n_pings, n_rollbacks, n_resets;
	bool dead;        /* pings fail */
	bool keeps_state; /* resets fail */
	enum tx_state tx;
	bool has_turn;
	struct turn turn;
} fake;

static bool fake_db_open(const struct dsn *dsn, struct driver_db **ret, struct err *err)
{
	(void)dsn;
	(void)err;
	*ret = NULL;
	return true;
}

static void fake_db_close(struct driver_db *db)
{
	(void)db;
}

static const struct driver fake_driver_of_pool;

static bool fake_open(struct driver_db *db, int64_t deadline, struct driver_conn **ret, struct err *err)
{
	const int now = __atomic_add_fetch(&fake.n_opening, 1, __ATOMIC_SEQ_CST);
	struct driver_conn *c;
	const bool down = __atomic_load_n(&fake.down, __ATOMIC_SEQ_CST) != 0;

	(void)deadline;
	__atomic_add_fetch(&fake.n_attempts, 1, __ATOMIC_SEQ_CST);
	if (now > fake.n_opening_max)
		fake.n_opening_max = now;
	if (down)
		(void)wait_until(MS(20));
	__atomic_sub_fetch(&fake.n_opening, 1, __ATOMIC_SEQ_CST);
	if (down)
		return err_set(err, ERR_DATABASE_UNAVAILABLE, "down");
	c = mem_alloc(sizeof(*c));
	c->driver = &fake_driver_of_pool;
	c->db = db;
	c->opened_ns = clock_mono_ns();
	__atomic_add_fetch(&fake.n_open, 1, __ATOMIC_SEQ_CST);
	*ret = c;
	return true;
}

static void fake_close(struct driver_conn *c)
{
	__atomic_sub_fetch(&fake.n_open, 1, __ATOMIC_SEQ_CST);
	mem_free(c);
}

static bool fake_ping(struct driver_conn *c, int64_t deadline, struct err *err)
{
	(void)c;
	(void)deadline;
	fake.n_pings++;
	return !fake.dead || err_set(err, ERR_DATABASE_UNAVAILABLE, "dead");
}

static enum tx_state fake_tx_state(struct driver_conn *c)
{
	(void)c;
	return fake.tx;
}

static void fake_rollback(struct driver_conn *c)
{
	(void)c;
	fake.n_rollbacks++;
	fake.tx = TX_STATE_NONE;
}

static bool fake_reset(struct driver_conn *c, int64_t deadline)
{
	(void)c;
	(void)deadline;
	fake.n_resets++;
	return !fake.keeps_state;
}

static const char *fake_version(struct driver_conn *c)
{
	(void)c;
	return "9.9";
}

static struct turn *fake_turn(struct driver_db *db)
{
	(void)db;
	return fake.has_turn ? &fake.turn : NULL;
}

static const struct driver fake_driver_of_pool = {
	.name = "fake",
	.db_open = fake_db_open,
	.db_close = fake_db_close,
	.open = fake_open,
	.close = fake_close,
	.ping = fake_ping,
	.tx_state = fake_tx_state,
	.rollback = fake_rollback,
	.reset = fake_reset,
	.server_version = fake_version,
	.writer_turn = fake_turn,
};

/* ---- helpers --------------------------------------------------------------------------------------- */

static struct pool *pool;
static struct err err;

static void make_pool(int64_t max, double acquire_s)
{
	struct pool_config cfg = pool_config_default();

	cfg.max_connections = max;
	cfg.acquire_timeout_s = acquire_s;
	assert_true(pool_create(&fake_driver_of_pool, NULL, &cfg, &pool, &err));
}

static struct lease lease(void)
{
	struct lease l = {0};

	if (!pool_lease(pool, LEASE_READ, CLOCK_NEVER, &l, &err))
		fail_msg("%s %s", err_code_name(err.code), err.detail);
	return l;
}

static void no_lease(enum lease_mode mode, enum err_code code)
{
	struct lease l = {0};

	if (pool_lease(pool, mode, CLOCK_NEVER, &l, &err))
		fail_msg("a lease was given");
	if (err.code != code)
		fail_msg("%s %s", err_code_name(err.code), err.detail);
	assert_null(l.pool);
}

static struct pool_stats stats(void)
{
	struct pool_stats s;

	pool_stats(pool, &s);
	return s;
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	turn_init(&fake.turn);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (pool != NULL) {
		pool_close(pool);
		pool_unref(pool);
		pool = NULL;
	}
	turn_done(&fake.turn);
	return fake.n_open == 0 ? 0 : -1;
}

/* A thread that leases, notes how that went, and releases. */
struct client {
	pthread_t thread;
	enum lease_mode mode;
	int order; /* in which it got its lease */
	bool ok;
	enum err_code code;
	int64_t ns;
};

static int n_served; /* atomic */

static void *client_main(void *arg)
{
	struct client *c = arg;
	const int64_t from = clock_mono_ns();
	struct lease l = {0};
	struct err e;

	c->ok = pool_lease(pool, c->mode, CLOCK_NEVER, &l, &e);
	c->ns = clock_mono_ns() - from;
	if (c->ok)
		c->order = __atomic_add_fetch(&n_served, 1, __ATOMIC_SEQ_CST);
	else
		c->code = e.code;
	lease_release(&l);
	return NULL;
}

static void wait_for_waiting(int64_t n)
{
	const int64_t deadline = SECONDS(5);

	while (stats().waiting != n) {
		assert_true(clock_mono_ns() < deadline);
		(void)wait_until(MS(1));
	}
}

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

/* ---- the writer's turn ----------------------------------------------------------------------------- */

static void writers_take_turns(void **state)
{
	struct lease w = {0}, r;

	(void)state;
	fake.has_turn = true;
	make_pool(3, 0.05);
	assert_true(pool_lease(pool, LEASE_WRITE, CLOCK_NEVER, &w, &err));
	assert_true(w.writer);
	r = lease();
	no_lease(LEASE_WRITE, ERR_POOL_TIMEOUT);
	assert_false(lease_upgrade(&r, CLOCK_NEVER, &err));
	assert_int_equal(err.code, ERR_POOL_TIMEOUT);
	assert_false(r.writer);
	lease_release(&w);
	assert_true(lease_upgrade(&r, CLOCK_NEVER, &err));
	assert_true(lease_upgrade(&r, CLOCK_NEVER, &err));
	no_lease(LEASE_WRITE, ERR_POOL_TIMEOUT);
	lease_release(&r);
	assert_true(pool_lease(pool, LEASE_WRITE, CLOCK_NEVER, &w, &err));
	lease_release(&w);
}

/* One holds the turn and wants a connection, the other holds the only connection and wants the turn. */
static void turn_and_connection_do_not_deadlock(void **state)
{
	struct client c = {.mode = LEASE_WRITE};
	struct lease r;

	(void)state;
	fake.has_turn = true;
	make_pool(1, 5);
	r = lease();
	assert_int_equal(pthread_create(&c.thread, NULL, client_main, &c), 0);
	wait_for_waiting(1);
	assert_true(lease_upgrade(&r, CLOCK_NEVER, &err));
	assert_int_equal(pthread_join(c.thread, NULL), 0);
	assert_true(c.ok);
	assert_true(c.ns < 4 * CLOCK_NS_PER_S);
	lease_release(&r);
	assert_int_equal(stats().size, 1);
}

/* ---- SQLite under load ----------------------------------------------------------------------------- */

#define WRITERS 4
#define ROUNDS 25

static bool run(struct driver_conn *c, const char *text, int64_t *ret_number, struct err *e)
{
	const struct stmt s = {.sql = str_z(text), .access = STMT_WRITE, .cache = true};
	struct cursor *cur;
	bool row = true, ok;

	if (!c->driver->prepare(c, &s, SECONDS(20), &cur, e))
		return false;
	while ((ok = c->driver->step(cur, &row, e)) && row) {
		if (ret_number != NULL)
			*ret_number = cur->row[0].u.i;
	}
	c->driver->finish(cur);
	return ok;
}

/* Read, add one, write back: loses updates unless writers are alone. */
static void *adder(void *arg)
{
	int *n_failed = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct lease l = {0};
		struct err e;
		bool ok = pool_lease(pool, LEASE_WRITE, SECONDS(20), &l, &e);

		ok = ok && l.conn->driver->begin(l.conn, TX_ISO_DEFAULT, false, SECONDS(20), &e) &&
		     run(l.conn, "SELECT n FROM t", NULL, &e) && run(l.conn, "UPDATE t SET n = n + 1", NULL, &e) &&
		     l.conn->driver->commit(l.conn, SECONDS(20), &e);
		if (!ok)
			__atomic_add_fetch(n_failed, 1, __ATOMIC_SEQ_CST);
		lease_release(&l);
	}
	return NULL;
}

static void add_from_threads(const char *url)
{
	struct pool_config cfg = pool_config_default();
	pthread_t threads[WRITERS];
	struct lease l = {0};
	struct arena arena;
	struct dsn dsn;
	int64_t n = 0;
	int n_failed = 0;

	arena_init(&arena);
	cfg.acquire_timeout_s = 20;
	assert_true(dsn_parse(&arena, str_z(url), &dsn, &err));
	assert_true(pool_create(&driver_sqlite, &dsn, &cfg, &pool, &err));
	assert_true(pool_lease(pool, LEASE_WRITE, SECONDS(5), &l, &err));
	assert_true(run(l.conn, "CREATE TABLE t(n)", NULL, &err) &&
		    run(l.conn, "INSERT INTO t VALUES (0)", NULL, &err));
	lease_release(&l);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, adder, &n_failed), 0);
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	l = lease();
	assert_true(run(l.conn, "SELECT n FROM t", &n, &err));
	lease_release(&l);
	assert_int_equal(n_failed, 0);
	assert_int_equal(n, WRITERS * ROUNDS);
	pool_close(pool);
	pool_unref(pool);
	pool = NULL;
	arena_done(&arena);
}

static void sqlite_loses_no_update(void **state)
{
	char dir[] = "/tmp/ferrod-test-XXXXXX";
	char url[100], path[100];

	(void)state;
	driver_sqlite_configure(&(struct sqlite_options){.busy_timeout_s = 5});
	add_from_threads("sqlite::memory:");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(url, sizeof(url), "sqlite:%s/x.db?mode=rwc", dir);
	(void)snprintf(path, sizeof(path), "%s/x.db", dir);
	add_from_threads(url);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connections_are_reused_last_used_first),
		TEST(a_full_pool_times_out),
		TEST(waiters_are_served_in_order),
		TEST(what_a_client_left_is_cleared),
		TEST(a_broken_connection_makes_the_others_suspect),
		TEST(a_broken_connection_frees_its_place_for_a_waiter),
		TEST(refresh_replaces_all_without_waiting),
		TEST(old_connections_go),
		TEST(one_probes_while_the_database_is_down),
		TEST(a_working_connection_is_waited_for),
		TEST(a_closed_pool_refuses),
		TEST(writers_take_turns),
		TEST(turn_and_connection_do_not_deadlock),
		TEST(sqlite_loses_no_update),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
