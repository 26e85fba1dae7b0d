/* Transactions that others wait for or run in: order, timeouts, closing, many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <pthread.h>

#include "tests/support/tx_table.h"

#include "service/base/banned.h"

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
		T(requests_wait_in_order_and_not_too_many),
		T(waiting_ends),
		T(a_running_request_is_cancelled_at_the_timeout),
		T(a_raw_commit_that_won_is_told),
		T(closing_the_session_waits_for_the_request_inside),
		T(a_closed_connection_ends_them_all),
		T(many_threads),
	};

	return cmocka_run_group_tests_name("tx_waiting", tests, NULL, NULL);
}
