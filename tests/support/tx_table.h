/* Transactions of one session on the fake database. */
#ifndef FERROD_TESTS_SUPPORT_TX_TABLE_H
#define FERROD_TESTS_SUPPORT_TX_TABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "store/session/session.h"
#include "store/session/tx.h"
#include "tests/support/maps.h"
#include "tests/support/fake_driver.h"
#include "tests/support/scratch_arena.h"
#include "tests/support/small_store.h"

static struct session_table *sessions;
static struct tx_table *txs;
static struct connection *conn;
static struct session *session;

static inline void sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

static inline int setup(void **state)
{
	(void)state;
	fake_reset();
	scratch_begin();
	conn = fake_connection("main", 4);
	sessions = session_table_create(&small_store.sessions);
	txs = tx_table_create(sessions, 300, 3600, 900, 3, 2);
	return !session_open(sessions, conn, STR("ann"), NULL, &session, &err);
}

static inline int teardown(void **state)
{
	(void)state;
	session_leave(sessions, session);
	tx_table_destroy(txs);
	session_table_destroy(sessions);
	fake_connection_done(conn);
	scratch_end();
	return 0;
}

static inline struct str begin_for(double timeout_s)
{
	const struct tx_options o = {.timeout_s = timeout_s};
	struct tx_view v;

	assert_true(tx_begin(txs, conn, session, STR("ann"), &o, CLOCK_NEVER, &arena, &v, &err));
	assert_string_equal(v.state, "open");
	assert_string_equal(v.parent_id, "");
	assert_null(v.savepoint.p);
	return arena_str(&arena, str_z(v.id));
}

static inline struct str begin(void)
{
	return begin_for(0);
}

static inline struct tx *enter(struct str id)
{
	struct tx *tx;

	if (!tx_enter(txs, id, session, STR("ann"), false, CLOCK_NEVER, &tx, &err))
		fail_msg("%s", err.detail);
	return tx;
}

static inline struct str savepoint(struct str parent)
{
	struct tx *tx = enter(parent);
	struct tx_view v;

	assert_true(tx_savepoint(txs, tx, CLOCK_NEVER, &arena, &v, &err));
	assert_true(str_eq(str_z(v.parent_id), parent));
	tx_leave(txs, tx);
	return arena_str(&arena, str_z(v.id));
}

static inline void refused(struct str id, enum err_code code)
{
	struct tx *tx;

	assert_false(tx_enter(txs, id, session, STR("ann"), false, clock_deadline(0.05), &tx, &err));
	if (err.code != code)
		fail_msg("%s: %s", err_code_name(err.code), err.detail);
	assert_null(strstr(err.detail, id.p));
}

static inline void ends(struct str id, bool commit)
{
	enum tx_phase phase = TX_OPEN;

	if (!tx_end(txs, id, session, STR("ann"), commit, CLOCK_NEVER, &phase, &err))
		fail_msg("%s", err.detail);
	assert_int_equal(phase, commit ? TX_COMMITTED : TX_ROLLED_BACK);
}

static inline void end_refused(struct str id, bool commit, enum err_code code, enum err_outcome outcome)
{
	enum tx_phase phase;

	assert_false(tx_end(txs, id, session, STR("ann"), commit, clock_deadline(1), &phase, &err));
	if (err.code != code || err.outcome != outcome)
		fail_msg("%s, %s: %s", err_code_name(err.code), err_outcome_name(err.outcome), err.detail);
}

static inline void is(struct str id, const char *word)
{
	struct tx_view v;

	assert_true(tx_lookup(txs, id, session, STR("ann"), &arena, &v, &err));
	assert_string_equal(v.state, word);
	assert_true(str_eq(str_z(v.id), id));
	assert_true(str_eq_z(v.connection_name, "main"));
	if (v.phase > TX_ABORTED)
		assert_true(v.ended_us > 0 && v.detail.len > 0);
}

static inline int64_t in_use(void)
{
	struct pool_stats st;

	pool_stats(conn->pool, &st);
	return st.in_use;
}

#endif
