/* A pool over a database that fails on demand. */
#ifndef FERROD_TESTS_SUPPORT_FAILING_POOL_H
#define FERROD_TESTS_SUPPORT_FAILING_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

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

static inline bool fake_db_open(const struct dsn *dsn, struct driver_db **ret, struct err *err)
{
	(void)dsn;
	(void)err;
	*ret = NULL;
	return true;
}

static inline void fake_db_close(struct driver_db *db)
{
	(void)db;
}

static const struct driver fake_driver_of_pool;

static inline bool fake_open(struct driver_db *db, int64_t deadline, struct driver_conn **ret, struct err *err)
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

static inline void fake_close(struct driver_conn *c)
{
	__atomic_sub_fetch(&fake.n_open, 1, __ATOMIC_SEQ_CST);
	mem_free(c);
}

static inline bool fake_ping(struct driver_conn *c, int64_t deadline, struct err *err)
{
	(void)c;
	(void)deadline;
	fake.n_pings++;
	return !fake.dead || err_set(err, ERR_DATABASE_UNAVAILABLE, "dead");
}

static inline enum tx_state fake_tx_state(struct driver_conn *c)
{
	(void)c;
	return fake.tx;
}

static inline void fake_rollback(struct driver_conn *c)
{
	(void)c;
	fake.n_rollbacks++;
	fake.tx = TX_STATE_NONE;
}

static inline bool fake_reset(struct driver_conn *c, int64_t deadline)
{
	(void)c;
	(void)deadline;
	fake.n_resets++;
	return !fake.keeps_state;
}

static inline const char *fake_version(struct driver_conn *c)
{
	(void)c;
	return "9.9";
}

static inline struct turn *fake_turn(struct driver_db *db)
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

static inline void make_pool(int64_t max, double acquire_s)
{
	struct pool_config cfg = pool_config_default();

	cfg.max_connections = max;
	cfg.acquire_timeout_s = acquire_s;
	assert_true(pool_create(&fake_driver_of_pool, NULL, &cfg, &pool, &err));
}

static inline struct lease lease(void)
{
	struct lease l = {0};

	if (!pool_lease(pool, LEASE_READ, CLOCK_NEVER, &l, &err))
		fail_msg("%s %s", err_code_name(err.code), err.detail);
	return l;
}

static inline void no_lease(enum lease_mode mode, enum err_code code)
{
	struct lease l = {0};

	if (pool_lease(pool, mode, CLOCK_NEVER, &l, &err))
		fail_msg("a lease was given");
	if (err.code != code)
		fail_msg("%s %s", err_code_name(err.code), err.detail);
	assert_null(l.pool);
}

static inline struct pool_stats stats(void)
{
	struct pool_stats s;

	pool_stats(pool, &s);
	return s;
}

static inline int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	turn_init(&fake.turn);
	return 0;
}

static inline int teardown(void **state)
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

static inline void *client_main(void *arg)
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

static inline void wait_for_waiting(int64_t n)
{
	const int64_t deadline = SECONDS(5);

	while (stats().waiting != n) {
		assert_true(clock_mono_ns() < deadline);
		(void)wait_until(MS(1));
	}
}

#endif
