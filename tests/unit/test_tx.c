/* Transactions and savepoints on the fake database, where every outcome can be told to happen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <time.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "store/session/session.h"
#include "store/session/tx.h"
#include "tests/support/maps.h"
#include "tests/support/fake_driver.h"

#include "service/base/banned.h"

static struct session_table *sessions;
static struct tx_table *txs;
static struct connection *conn;
static struct session *session;
static struct arena arena;
static struct err err;

static void sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

static int setup(void **state)
{
	const struct session_limits limits = {
		.idle_timeout_s = 900,
		.max_lifetime_s = 86400,
		.tombstone_s = 900,
		.imap_entries = 1000,
		.imap_bytes = 100000,
	};

	(void)state;
	fake_reset();
	arena_init(&arena);
	conn = fake_connection("main", 4);
	sessions = session_table_create(&limits);
	txs = tx_table_create(sessions, 300, 3600, 900, 3, 2);
	return !session_open(sessions, conn, STR("ann"), NULL, &session, &err);
}

static int teardown(void **state)
{
	(void)state;
	session_leave(sessions, session);
	tx_table_destroy(txs);
	session_table_destroy(sessions);
	fake_connection_done(conn);
	arena_done(&arena);
	return 0;
}

static struct str begin_for(double timeout_s)
{
	const struct tx_options o = {.timeout_s = timeout_s};
	struct tx_view v;

	assert_true(tx_begin(txs, conn, session, STR("ann"), &o, CLOCK_NEVER, &arena, &v, &err));
	assert_string_equal(v.state, "open");
	assert_string_equal(v.parent_id, "");
	assert_null(v.savepoint.p);
	return arena_str(&arena, str_z(v.id));
}

static struct str begin(void)
{
	return begin_for(0);
}

static struct tx *enter(struct str id)
{
	struct tx *tx;

	if (!tx_enter(txs, id, session, STR("ann"), false, CLOCK_NEVER, &tx, &err))
		fail_msg("%s", err.detail);
	return tx;
}

static struct str savepoint(struct str parent)
{
	struct tx *tx = enter(parent);
	struct tx_view v;

	assert_true(tx_savepoint(txs, tx, CLOCK_NEVER, &arena, &v, &err));
	assert_true(str_eq(str_z(v.parent_id), parent));
	tx_leave(txs, tx);
	return arena_str(&arena, str_z(v.id));
}

static void refused(struct str id, enum err_code code)
{
	struct tx *tx;

	assert_false(tx_enter(txs, id, session, STR("ann"), false, clock_deadline(0.05), &tx, &err));
	if (err.code != code)
		fail_msg("%s: %s", err_code_name(err.code), err.detail);
	assert_null(strstr(err.detail, id.p));
}

static void ends(struct str id, bool commit)
{
	enum tx_phase phase = TX_OPEN;

	if (!tx_end(txs, id, session, STR("ann"), commit, CLOCK_NEVER, &phase, &err))
		fail_msg("%s", err.detail);
	assert_int_equal(phase, commit ? TX_COMMITTED : TX_ROLLED_BACK);
}

static void end_refused(struct str id, bool commit, enum err_code code, enum err_outcome outcome)
{
	enum tx_phase phase;

	assert_false(tx_end(txs, id, session, STR("ann"), commit, clock_deadline(1), &phase, &err));
	if (err.code != code || err.outcome != outcome)
		fail_msg("%s, %s: %s", err_code_name(err.code), err_outcome_name(err.outcome), err.detail);
}

static void is(struct str id, const char *word)
{
	struct tx_view v;

	assert_true(tx_lookup(txs, id, session, STR("ann"), &arena, &v, &err));
	assert_string_equal(v.state, word);
	assert_true(str_eq(str_z(v.id), id));
	assert_true(str_eq_z(v.connection_name, "main"));
	if (v.phase > TX_ABORTED)
		assert_true(v.ended_us > 0 && v.detail.len > 0);
}

static int64_t in_use(void)
{
	struct pool_stats st;

	pool_stats(conn->pool, &st);
	return st.in_use;
}

static void commit_and_rollback_repeat(void **state)
{
	struct str a = begin(), b = begin();

	(void)state;
	assert_int_equal(in_use(), 2);
	assert_int_equal(conn->n_transactions, 2);
	is(a, "open");
	ends(a, true);
	ends(a, true);
	end_refused(a, false, ERR_TRANSACTION_ENDED, ERR_OUTCOME_NONE);
	assert_string_equal(err.state, "committed");
	is(a, "committed");
	refused(a, ERR_TRANSACTION_ENDED);
	ends(b, false);
	ends(b, false);
	end_refused(b, true, ERR_TRANSACTION_ENDED, ERR_OUTCOME_NONE);
	assert_string_equal(err.state, "rolled_back");
	is(b, "rolled_back");
	assert_int_equal(in_use(), 0);
	assert_int_equal(session->n_transactions, 0);
	assert_string_equal(fake.log, "BEGIN;BEGIN;COMMIT;ROLLBACK");
}

static void nobody_elses(void **state)
{
	const struct tx_options o = {.read_only = true};
	struct str id = begin();
	struct session *other;
	struct tx_view v;
	enum tx_phase phase;
	struct tx *tx;

	(void)state;
	assert_true(session_open(sessions, conn, STR("ann"), NULL, &other, &err));
	assert_false(tx_enter(txs, id, other, STR("ann"), false, CLOCK_NEVER, &tx, &err));
	assert_int_equal(err.code, ERR_TRANSACTION_NOT_FOUND);
	assert_false(tx_enter(txs, id, NULL, STR("ann"), false, CLOCK_NEVER, &tx, &err));
	assert_int_equal(err.code, ERR_TRANSACTION_NOT_FOUND);
	assert_false(tx_end(txs, id, other, STR("ann"), false, CLOCK_NEVER, &phase, &err));
	assert_false(tx_lookup(txs, id, other, STR("ann"), &arena, &v, &err));
	assert_int_equal(err.code, ERR_TRANSACTION_NOT_FOUND);
	session_leave(sessions, other);
	ends(id, false);
	assert_false(tx_lookup(txs, id, NULL, STR("ann"), &arena, &v, &err));
	/* without a session the id and the owner are what counts */
	assert_true(tx_begin(txs, conn, NULL, STR("ann"), &o, CLOCK_NEVER, &arena, &v, &err));
	assert_true(v.read_only);
	assert_false(tx_enter(txs, str_z(v.id), session, STR("ann"), false, CLOCK_NEVER, &tx, &err));
	assert_false(tx_enter(txs, str_z(v.id), NULL, STR("bob"), false, CLOCK_NEVER, &tx, &err));
	assert_true(tx_enter(txs, str_z(v.id), NULL, STR("ann"), false, CLOCK_NEVER, &tx, &err));
	assert_ptr_equal(tx_connection(tx), conn);
	assert_non_null(tx_lease(tx)->conn);
	tx_leave(txs, tx);
	assert_true(tx_end(txs, str_z(v.id), NULL, STR("ann"), true, CLOCK_NEVER, &phase, &err));
}

static void so_many_per_session(void **state)
{
	const struct tx_options o = {0};
	struct str first = begin();
	struct tx_view v;

	(void)state;
	(void)begin();
	(void)begin();
	assert_false(tx_begin(txs, conn, session, STR("ann"), &o, CLOCK_NEVER, &arena, &v, &err));
	assert_int_equal(err.code, ERR_TRANSACTION_LIMIT);
	(void)savepoint(first); /* does not count */
	assert_int_equal(session->n_transactions, 3);
	ends(first, false);
	(void)begin();
}

static void savepoints_end_innermost_first(void **state)
{
	struct str root = begin(), a = savepoint(root), b = savepoint(a);
	struct tx_view *list;

	(void)state;
	refused(root, ERR_TRANSACTIONS_OPEN);
	refused(a, ERR_TRANSACTIONS_OPEN);
	end_refused(root, true, ERR_TRANSACTIONS_OPEN, ERR_OUTCOME_NONE);
	end_refused(a, true, ERR_TRANSACTIONS_OPEN, ERR_OUTCOME_NONE);
	assert_int_equal(tx_list(txs, session, &arena, &list), 3);
	assert_true(str_eq(str_z(list[0].id), root) && str_eq(str_z(list[2].id), b));
	assert_true(str_eq_z(list[2].savepoint, "sp_2"));
	ends(b, true);
	is(b, "committed");
	ends(a, false); /* takes with it what was released into it */
	is(b, "rolled_back");
	ends(a, false);
	ends(b, false);
	end_refused(b, true, ERR_TRANSACTION_ENDED, ERR_OUTCOME_NONE);
	tx_leave(txs, enter(root));
	ends(root, true);
	is(a, "rolled_back");
	assert_string_equal(fake.log, "BEGIN;SAVEPOINT sp_1;SAVEPOINT sp_2;RELEASE SAVEPOINT sp_2;"
				      "ROLLBACK TO SAVEPOINT sp_1;RELEASE SAVEPOINT sp_1;COMMIT");
}

static void rolling_back_the_outer_one_ends_the_inner_ones(void **state)
{
	struct str root = begin(), a = savepoint(root), b = savepoint(a);

	(void)state;
	ends(root, false);
	is(a, "rolled_back");
	is(b, "rolled_back");
	refused(b, ERR_TRANSACTION_ENDED);
	ends(b, false);
	end_refused(a, true, ERR_TRANSACTION_ENDED, ERR_OUTCOME_NONE);
	assert_int_equal(in_use(), 0);
}

static void so_deep_and_no_deeper(void **state)
{
	struct str root = begin(), id = root;
	struct tx_view v;
	struct tx *tx;

	(void)state;
	for (int i = 0; i < LIMIT_SAVEPOINT_DEPTH; i++)
		id = savepoint(id);
	tx = enter(id);
	assert_false(tx_savepoint(txs, tx, CLOCK_NEVER, &arena, &v, &err));
	assert_int_equal(err.code, ERR_TRANSACTION_LIMIT);
	tx_leave(txs, tx);
	ends(root, false);
}

static void a_failed_statement_aborts_until_a_savepoint(void **state)
{
	struct str root = begin(), sp = savepoint(root);
	struct tx *tx = enter(sp);

	(void)state;
	fake_fail(tx_lease(tx)->conn);
	tx_leave(txs, tx);
	is(root, "aborted");
	is(sp, "aborted");
	refused(sp, ERR_TRANSACTION_ABORTED);
	ends(sp, false);
	is(root, "open");
	tx_leave(txs, enter(root));
	sp = savepoint(root);
	tx = enter(sp);
	fake_fail(tx_lease(tx)->conn);
	tx_leave(txs, tx);
	end_refused(sp, true, ERR_TRANSACTION_ABORTED, ERR_OUTCOME_ROLLED_BACK);
	is(sp, "rolled_back");
	tx = enter(root);
	fake_fail(tx_lease(tx)->conn);
	tx_leave(txs, tx);
	end_refused(root, true, ERR_TRANSACTION_ABORTED, ERR_OUTCOME_ROLLED_BACK);
	is(root, "rolled_back");
	ends(root, false);
	assert_int_equal(in_use(), 0);
}

static void commits_that_fail(void **state)
{
	struct str id;

	(void)state;
	fake.commit = FAKE_COMMIT_REFUSED;
	id = begin();
	end_refused(id, true, ERR_SERIALIZATION_FAILURE, ERR_OUTCOME_ROLLED_BACK);
	is(id, "rolled_back");
	fake.commit = FAKE_COMMIT_STAYS_OPEN;
	id = begin();
	end_refused(id, true, ERR_DATABASE_BUSY, ERR_OUTCOME_ROLLED_BACK);
	is(id, "rolled_back");
	fake.commit = FAKE_COMMIT_NOT_SENT;
	id = begin();
	end_refused(id, true, ERR_DATABASE_UNAVAILABLE, ERR_OUTCOME_ROLLED_BACK);
	is(id, "rolled_back");
	fake.commit = FAKE_COMMIT_LOST;
	id = begin();
	end_refused(id, true, ERR_DATABASE_UNAVAILABLE, ERR_OUTCOME_UNKNOWN);
	is(id, "unknown");
	end_refused(id, true, ERR_TRANSACTION_ENDED, ERR_OUTCOME_UNKNOWN);
	end_refused(id, false, ERR_TRANSACTION_ENDED, ERR_OUTCOME_UNKNOWN);
	assert_int_equal(in_use(), 0);
	assert_int_equal(session->n_transactions, 0);
}

static void raw_statements_end_it(void **state)
{
	struct str id = begin(), sp = savepoint(id);
	struct tx *tx = enter(sp);

	(void)state;
	assert_true(tx_check(tx, STR("COMMIT"), &err));
	fake_raw_commit(tx_lease(tx)->conn);
	assert_false(tx_check(tx, STR("SELECT 1"), &err));
	assert_int_equal(err.code, ERR_TRANSACTION_ENDED);
	assert_string_equal(err.state, "committed");
	tx_leave(txs, tx);
	is(id, "committed");
	is(sp, "committed");
	ends(id, true);
	refused(sp, ERR_TRANSACTION_ENDED);
	id = begin();
	tx = enter(id);
	fake_raw_rollback(tx_lease(tx)->conn);
	tx_leave(txs, tx);
	is(id, "rolled_back");
	end_refused(id, true, ERR_TRANSACTION_ENDED, ERR_OUTCOME_NONE);
	assert_int_equal(in_use(), 0);
}

static void a_lost_connection_rolls_back_unless_it_may_have_committed(void **state)
{
	static const char *const may[] = {"COMMIT", " \n;commit work", "END", "Prepare Transaction 'x'",
					  "-- c\ncommit"};
	struct str id = begin();
	struct tx *tx = enter(id);

	(void)state;
	assert_true(tx_check(tx, STR("UPDATE t SET a = 1"), &err));
	fake_lose(tx_lease(tx)->conn);
	tx_leave(txs, tx);
	is(id, "rolled_back");
	for (size_t i = 0; i < ARRAY_LEN(may); i++) {
		id = begin();
		tx = enter(id);
		assert_true(tx_check(tx, str_z(may[i]), &err));
		fake_lose(tx_lease(tx)->conn);
		tx_leave(txs, tx);
		is(id, "unknown");
	}
	assert_int_equal(in_use(), 0);
}

static void a_savepoint_that_raw_sql_released_takes_everything_along(void **state)
{
	struct str root = begin(), sp = savepoint(root);

	(void)state;
	fake.refuse = "ROLLBACK TO";
	ends(sp, false);
	is(root, "rolled_back");
	assert_int_equal(in_use(), 0);
	fake.refuse = "RELEASE";
	root = begin();
	sp = savepoint(root);
	end_refused(sp, true, ERR_SQL_ERROR, ERR_OUTCOME_ROLLED_BACK);
	is(root, "rolled_back");
	fake.refuse = NULL;
}

static void timeouts(void **state)
{
	struct str a = begin_for(0.3), b = begin_for(0.3), c = begin_for(0.3), sp = savepoint(a);
	struct tx_view v;

	(void)state;
	sleep_ms(320);
	end_refused(b, true, ERR_TRANSACTION_EXPIRED, ERR_OUTCOME_ROLLED_BACK); /* too late */
	refused(c, ERR_TRANSACTION_EXPIRED);
	assert_non_null(strstr(err.detail, "after its timeout of 0.3 s, at 2"));
	assert_string_equal(err.state, "expired");
	assert_int_equal(in_use(), 1);
	assert_true(tx_tick(txs) <= clock_mono_ns() + CLOCK_NS_PER_S);
	assert_int_equal(in_use(), 0);
	is(a, "expired");
	is(sp, "expired");
	end_refused(a, false, ERR_TRANSACTION_EXPIRED, ERR_OUTCOME_ROLLED_BACK);
	assert_null(strstr(fake.log, "COMMIT"));
	a = begin_for(0.3);
	sleep_ms(320);
	assert_true(tx_lookup(txs, a, session, STR("ann"), &arena, &v, &err)); /* looking is enough */
	assert_string_equal(v.state, "expired");
	assert_int_equal(in_use(), 0);
	a = begin_for(1e300);
	assert_true(tx_lookup(txs, a, session, STR("ann"), &arena, &v, &err));
	assert_true(v.expires_us - v.created_us <= INT64_C(3601000000));
}

static void rollback_clears_the_map(void **state)
{
	const struct model model = {.name = STR("User"), .n_columns = 1, .serial = 1};
	const struct value row = value_int(1);
	struct str root = begin(), sp = savepoint(root);
	struct tx *tx;

	(void)state;
	map_read(session->imap, &arena, &model, STR("1"), &row);
	ends(sp, true);
	assert_true(is_mapped(session->imap, &arena, &model, STR("1")));
	sp = savepoint(root);
	ends(sp, false);
	assert_false(is_mapped(session->imap, &arena, &model, STR("1")));
	map_read(session->imap, &arena, &model, STR("1"), &row);
	ends(root, true);
	assert_true(is_mapped(session->imap, &arena, &model, STR("1")));
	ends(begin(), false);
	assert_false(is_mapped(session->imap, &arena, &model, STR("1")));
	map_read(session->imap, &arena, &model, STR("1"), &row);
	tx = enter(begin());
	fake_raw_rollback(tx_lease(tx)->conn);
	tx_leave(txs, tx);
	assert_false(is_mapped(session->imap, &arena, &model, STR("1")));
}

/* ---- with others waiting or running ------------------------------------------------------------------ */

struct worker {
	struct str id;
	double wait_s;
	pthread_t thread;
	bool ok;
	struct err err;
	int order;
};

static int n_entered;

static void *work(void *arg)
{
	struct worker *w = arg;
	struct tx *tx;

	w->ok = tx_enter(txs, w->id, session, STR("ann"), false, clock_deadline(w->wait_s), &tx, &w->err);
	if (w->ok) {
		w->order = ++n_entered; /* the turn guards it */
		tx_leave(txs, tx);
	}
	return NULL;
}

static void start(struct worker *w, struct str id, double wait_s, size_t n_queued)
{
	struct session_view v;

	*w = (struct worker){.id = id, .wait_s = wait_s};
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
	for (int i = 0; i < 2000; i++) {
		session_view(session, &v);
		if (v.n_queued >= n_queued)
			return;
		sleep_ms(1);
	}
	fail_msg("it does not wait");
}

static void finish(struct worker *w)
{
	assert_int_equal(pthread_join(w->thread, NULL), 0);
}

static void requests_wait_in_order_and_not_too_many(void **state)
{
	struct str id = begin();
	struct worker a, b;
	struct tx *tx = enter(id);

	(void)state;
	n_entered = 0;
	start(&a, id, 10, 1);
	sleep_ms(50); /* counted before it is in the queue */
	start(&b, id, 10, 2);
	sleep_ms(50);
	refused(id, ERR_TOO_MANY_REQUESTS);
	assert_true(err.retry_after_s > 0);
	tx_leave(txs, tx);
	finish(&a);
	finish(&b);
	assert_true(a.ok && b.ok);
	assert_true(a.order == 1 && b.order == 2);
	ends(id, true);
}

static void waiting_ends(void **state)
{
	struct str id = begin();
	struct tx *tx = enter(id);
	struct worker a;

	(void)state;
	start(&a, id, 0.03, 0);
	finish(&a);
	assert_false(a.ok);
	assert_int_equal(a.err.code, ERR_TOO_MANY_REQUESTS);
	tx_leave(txs, tx);
	ends(id, true);
}

static void a_running_request_is_cancelled_at_the_timeout(void **state)
{
	struct str id = begin_for(0.5); /* the worker waits by then, on a busy machine too */
	struct tx *tx = enter(id);
	struct fake_conn *f = (struct fake_conn *)(void *)tx_lease(tx)->conn;
	struct worker a;

	(void)state;
	assert_true(tx_deadline(tx) <= clock_mono_ns() + CLOCK_NS_PER_S);
	start(&a, id, 10, 1);
	sleep_ms(520);
	(void)tx_tick(txs);
	assert_true(__atomic_load_n(&f->n_cancelled, __ATOMIC_RELAXED) >= 1);
	is(id, "expired");
	assert_int_equal(in_use(), 1); /* the request has it still */
	assert_false(tx_check(tx, STR_NONE, &err));
	assert_int_equal(err.code, ERR_TRANSACTION_EXPIRED);
	tx_leave(txs, tx);
	finish(&a);
	assert_false(a.ok);
	assert_int_equal(a.err.code, ERR_TRANSACTION_EXPIRED);
	assert_int_equal(in_use(), 0);
	assert_string_equal(fake.log, "BEGIN;ROLLBACK");
}

static void a_raw_commit_that_won_is_told(void **state)
{
	struct str id = begin_for(0.3), sp = savepoint(id);
	struct tx *tx = enter(sp);

	(void)state;
	sleep_ms(320);
	fake_raw_commit(tx_lease(tx)->conn);
	(void)tx_tick(txs);
	tx_leave(txs, tx);
	is(id, "committed");
	is(sp, "committed");
	assert_int_equal(in_use(), 0);
}

static void *close_session(void *arg)
{
	struct err e;

	return session_close(sessions, str_z(session->id), STR("ann"), true, &e) ? arg : NULL;
}

static void closing_the_session_waits_for_the_request_inside(void **state)
{
	struct str id = begin();
	struct tx *tx = enter(id);
	pthread_t thread;
	void *done;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, close_session, txs), 0);
	while (tx_check(tx, STR_NONE, &err))
		sleep_ms(1);
	sleep_ms(10);
	assert_int_equal(in_use(), 1);
	tx_leave(txs, tx);
	assert_int_equal(pthread_join(thread, &done), 0);
	assert_non_null(done);
	assert_int_equal(in_use(), 0);
	assert_int_equal(session->end, SESSION_CLOSED);
	assert_false(tx_begin(txs, conn, session, STR("ann"), &(struct tx_options){0}, CLOCK_NEVER, &arena,
			      &(struct tx_view){0}, &err));
	assert_int_equal(err.code, ERR_SESSION_EXPIRED);
}

static void a_closed_connection_ends_them_all(void **state)
{
	const struct tx_options o = {0};
	struct str id = begin();
	enum tx_phase phase;
	struct tx_view v;

	(void)state;
	assert_true(tx_begin(txs, conn, NULL, STR("ann"), &o, CLOCK_NEVER, &arena, &v, &err));
	tx_end_connection(txs, conn);
	is(id, "expired");
	assert_false(tx_end(txs, str_z(v.id), NULL, STR("ann"), true, CLOCK_NEVER, &phase, &err));
	assert_int_equal(err.code, ERR_TRANSACTION_EXPIRED);
	assert_non_null(strstr(err.detail, "when its connection was closed"));
	assert_int_equal(in_use(), 0);
	conn->closed = 1;
	assert_false(tx_begin(txs, conn, NULL, STR("ann"), &o, CLOCK_NEVER, &arena, &v, &err));
	conn->closed = 0;
}

/* Four threads over one session's transactions: nothing is leased twice or lost, whoever ends what. */
static void *churn(void *arg)
{
	unsigned seed = *(unsigned *)arg;
	struct arena a;

	for (int i = 0; i < 400; i++) {
		const struct tx_options o = {.timeout_s = seed % 5 == 0 ? 0.001 : 10};
		struct tx_view v, sp;
		enum tx_phase phase;
		struct tx *tx;
		struct err e;

		arena_init(&a);
		seed = seed * 1103515245u + 12345u;
		if (tx_begin(txs, conn, session, STR("ann"), &o, CLOCK_NEVER, &a, &v, &e)) {
			if (tx_enter(txs, str_z(v.id), session, STR("ann"), false, CLOCK_NEVER, &tx, &e)) {
				if (seed % 3 == 0)
					(void)!tx_savepoint(txs, tx, CLOCK_NEVER, &a, &sp, &e);
				else if (seed % 7 == 0)
					fake_raw_commit(tx_lease(tx)->conn);
				tx_leave(txs, tx);
			}
			(void)!tx_end(txs, str_z(v.id), session, STR("ann"), seed % 2 == 0, CLOCK_NEVER, &phase, &e);
			(void)!tx_end(txs, str_z(v.id), session, STR("ann"), false, CLOCK_NEVER, &phase, &e);
		}
		(void)tx_tick(txs);
		arena_done(&a);
	}
	return NULL;
}

static void many_threads(void **state)
{
	unsigned seeds[4] = {1, 20, 300, 4000};
	pthread_t threads[4];
	struct tx_view *list;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, &seeds[i]), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(tx_list(txs, NULL, &arena, &list), 0);
	assert_int_equal(in_use(), 0);
	assert_int_equal(session->n_transactions, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(commit_and_rollback_repeat),
		T(nobody_elses),
		T(so_many_per_session),
		T(savepoints_end_innermost_first),
		T(rolling_back_the_outer_one_ends_the_inner_ones),
		T(so_deep_and_no_deeper),
		T(a_failed_statement_aborts_until_a_savepoint),
		T(commits_that_fail),
		T(raw_statements_end_it),
		T(a_lost_connection_rolls_back_unless_it_may_have_committed),
		T(a_savepoint_that_raw_sql_released_takes_everything_along),
		T(timeouts),
		T(rollback_clears_the_map),
		T(requests_wait_in_order_and_not_too_many),
		T(waiting_ends),
		T(a_running_request_is_cancelled_at_the_timeout),
		T(a_raw_commit_that_won_is_told),
		T(closing_the_session_waits_for_the_request_inside),
		T(a_closed_connection_ends_them_all),
		T(many_threads),
	};

	return cmocka_run_group_tests_name("tx", tests, NULL, NULL);
}
