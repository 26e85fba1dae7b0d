/* Transactions and savepoints on the fake database, where every outcome can be told to happen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/support/tx_table.h"

#include "service/base/banned.h"

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
	};

	return cmocka_run_group_tests_name("tx", tests, NULL, NULL);
}
