/* The identity map and its packed records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "store/session/imap_core.h"
#include "tests/support/user_map.h"

#include "service/base/banned.h"

static void every_kind_survives_packing(void **state)
{
	const struct value row[] = {
		value_null(),
		value_bool(true),
		value_bool(false),
		value_int(0),
		value_int(-1),
		value_int(63),
		value_int(-64),
		value_int(INT64_MAX),
		value_int(INT64_MIN),
		value_double(-0.0),
		value_double(1e308),
		value_text(STR("")),
		value_text(STR("gr\xC3\xBC\xC3\x9F")),
		value_bytes(str_n("\0\xFF\0", 3)),
		value_json(STR("{\"a\": [1]}")),
	};
	const size_t n = sizeof(row) / sizeof(row[0]), len = record_pack_len(row, n);
	char *bytes = arena_alloc(&arena, len + 1);
	const struct value *back;

	(void)state;
	bytes[len] = 'x';
	record_pack(row, n, (unsigned char *)bytes);
	assert_int_equal(bytes[len], 'x');
	back = record_unpack(&arena, str_n(bytes, len), n);
	for (size_t i = 0; i < n; i++)
		assert_true(value_equal(row[i], back[i]));
	assert_true(record_pack_len(row, 3) == 3); /* a byte each */
}

static void long_texts_survive_packing(void **state)
{
	char *text = arena_alloc(&arena, 70000);
	struct value row[2] = {value_text(str_n(text, 70000)), value_int(5)};
	const size_t len = record_pack_len(row, 2);
	char *bytes = arena_alloc(&arena, len);
	const struct value *back;

	(void)state;
	memset(text, 'y', 70000);
	record_pack(row, 2, (unsigned char *)bytes);
	back = record_unpack(&arena, str_n(bytes, len), 2);
	assert_true(value_equal(row[0], back[0]) && value_equal(row[1], back[1]));
}

/* ---- one after the other ---- */

static void what_was_read_is_mapped_and_what_was_written(void **state)
{
	struct imap *m = imap_create(true, 100, 100000);
	struct imap_read r;

	(void)state;
	assert_false(has(m, 1));
	fill(m, 1, "ann");
	fill(m, 2, "bob");
	write_one(m, 1, "anna");
	assert_string_equal(name_in(m, 1), "anna");
	assert_null(imap_get(m, &arena, &order, STR("1"), &r));
	assert_true(stats(m).enabled && stats(m).size == 2 && stats(m).hits == 1 && stats(m).misses == 2);
	write_one(m, 2, NULL);
	assert_false(has(m, 2));
	imap_destroy(m);
}

static void a_mapped_row_wins_over_a_read_one_unless_it_is_refreshed(void **state)
{
	struct imap *m = imap_create(true, 100, 100000);

	(void)state;
	fill(m, 1, "old");
	assert_true(value_equal(read_in(m, IMAP_LOOK, 1, "new")[1], value_text(STR("old"))));
	assert_true(stats(m).hits == 0 && stats(m).misses == 0 && stats(m).size == 1);
	assert_true(value_equal(read_in(m, IMAP_REFRESH, 1, "new")[1], value_text(STR("new"))));
	assert_string_equal(name_in(m, 1), "new");
	imap_destroy(m);
}

static void another_serial_is_not_answered(void **state)
{
	struct imap *m = imap_create(true, 100, 100000);
	struct imap_read r;

	(void)state;
	fill(m, 1, "old");
	assert_null(imap_get(m, &arena, &user_later, STR("1"), &r));
	assert_int_equal(stats(m).size, 0);
	imap_destroy(m);
}

static void the_least_recently_used_goes_first(void **state)
{
	struct imap *m = imap_create(true, 3, 100000);

	(void)state;
	fill(m, 1, "a");
	fill(m, 2, "b");
	fill(m, 3, "c");
	assert_true(has(m, 1));
	fill(m, 4, "d");
	assert_true(has(m, 1) && !has(m, 2) && has(m, 3) && has(m, 4));
	assert_true(stats(m).size == 3 && stats(m).evictions == 1);
	imap_destroy(m);
}

static void bytes_are_bounded(void **state)
{
	struct imap *m = imap_create(true, 1000000, 4096);
	static char big[5000];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		fill(m, i, "some name of a length");
		assert_true(stats(m).bytes <= 4096);
	}
	assert_true(has(m, 999) && !has(m, 0));
	memset(big, 'x', sizeof(big) - 1);
	write_one(m, 999, big); /* does not fit, and what was there is out of date */
	assert_false(has(m, 999));
	assert_true(has(m, 998));
	imap_destroy(m);
}

static void what_is_written_counts_though_it_has_no_room(void **state)
{
	struct imap *m = imap_create(true, 4, 100000), *over;

	(void)state;
	for (int i = 0; i < 3; i++)
		fill(m, i, "old");
	over = imap_over(m, false, false);
	for (int i = 0; i < 10; i++) {
		write_in(over, i, "new");
		assert_true(stats(m).size <= 4);
	}
	for (int i = 0; i < 10; i++)
		assert_string_not_equal(name_in(over, i), "old");
	finish(over, IMAP_COMMITTED);
	for (int i = 0; i < 10; i++)
		assert_string_not_equal(name_in(m, i), "old");
	imap_destroy(m);
}

static void eviction(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *over;
	const struct value row[] = {value_int(1)};
	struct imap_read r;

	(void)state;
	for (int i = 0; i < 50; i++)
		fill(m, i, "x");
	imap_read_begin(&r, m, &order, IMAP_LOOK);
	(void)imap_read_row(&r, &arena, STR("1"), row);
	imap_evict(m, STR("User"), STR("1"));
	imap_evict(m, STR("Nobody"), STR("2"));
	assert_true(!has(m, 1) && stats(m).size == 50);
	over = imap_over(m, false, false);
	imap_write_begin(over, &user, IMAP_MODEL, STR_NONE);
	finish(over, IMAP_COMMITTED);
	assert_int_equal(stats(m).size, 1);
	assert_non_null(imap_get(m, &arena, &order, STR("1"), &r));
	imap_clear(m);
	assert_true(stats(m).size == 0 && stats(m).bytes == 0);
	fill(m, 1, "again");
	assert_true(has(m, 1));
	imap_destroy(m);
}

static void a_disabled_map_holds_nothing(void **state)
{
	struct imap *m = imap_create(false, 100, 100000);

	(void)state;
	fill(m, 1, "a");
	assert_false(has(m, 1));
	assert_null(imap_over(m, false, false));
	write_one(m, 1, "a");
	imap_evict(m, STR("User"), STR("1"));
	imap_clear(m);
	assert_true(!stats(m).enabled && stats(m).size == 0 && stats(m).hits == 0 && stats(m).misses == 0);
	assert_false(imap_enabled(m));
	fill(NULL, 1, "a");
	assert_false(has(NULL, 1));
	imap_destroy(m);
}

/* ---- maps over maps ---- */

static void a_transaction_sees_its_own_and_others_do_not(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *tx;

	(void)state;
	fill(m, 1, "old");
	tx = imap_over(m, false, false);
	assert_string_equal(name_in(tx, 1), "old");
	write_one(tx, 1, "mine");
	fill(tx, 2, "read");
	assert_string_equal(name_in(tx, 1), "mine");
	assert_string_equal(name_in(m, 1), "old");
	assert_true(has(tx, 2) && !has(m, 2));
	finish(tx, IMAP_COMMITTED);
	assert_string_equal(name_in(m, 1), "mine");
	assert_false(has(m, 2));
	tx = imap_over(m, false, false);
	write_one(tx, 1, "undone");
	finish(tx, IMAP_ROLLED_BACK);
	assert_string_equal(name_in(m, 1), "mine");
	imap_destroy(m);
}

static void one_that_reads_for_itself_does_not_look_below(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *tx, *savepoint;

	(void)state;
	fill(m, 1, "old");
	tx = imap_over(m, true, false);
	assert_false(has(tx, 1));
	fill(tx, 1, "read");
	savepoint = imap_over(tx, false, false);
	assert_string_equal(name_in(savepoint, 1), "read");
	write_one(savepoint, 1, "written");
	finish(savepoint, IMAP_COMMITTED);
	assert_string_equal(name_in(tx, 1), "written");
	savepoint = imap_over(tx, false, false);
	write_one(savepoint, 1, "undone");
	finish(savepoint, IMAP_ROLLED_BACK);
	assert_string_equal(name_in(tx, 1), "written");
	finish(tx, IMAP_COMMITTED);
	assert_string_equal(name_in(m, 1), "written");
	imap_destroy(m);
}

static void a_write_by_query_hides_the_model_and_keeps_what_is_written_after_it(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *tx, *unit;

	(void)state;
	fill(m, 1, "old");
	fill(m, 2, "old");
	tx = imap_over(m, false, false);
	write_one(tx, 1, "mine");
	unit = imap_over(tx, false, false);
	imap_write_begin(unit, &user, IMAP_MODEL, STR_NONE);
	assert_true(!has(unit, 1) && !has(unit, 2) && has(tx, 1));
	finish(unit, IMAP_COMMITTED);
	assert_true(!has(tx, 1) && !has(tx, 2) && has(m, 1));
	write_one(tx, 2, "after");
	finish(tx, IMAP_COMMITTED);
	assert_false(has(m, 1));
	assert_string_equal(name_in(m, 2), "after");
	imap_destroy(m);
}

static void the_clients_own_words_hide_everything_unless_they_only_read(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *tx, *savepoint, *unit;

	(void)state;
	fill(m, 1, "old");
	for (int only_read = 1; only_read >= 0; only_read--) {
		tx = imap_over(m, false, false);
		write_one(tx, 2, "mine");
		savepoint = imap_over(tx, false, false);
		unit = imap_over(savepoint, false, false);
		imap_write_begin(unit, NULL, IMAP_EVERYTHING, STR_NONE);
		imap_write_raw(unit, only_read != 0);
		finish(unit, IMAP_COMMITTED);
		assert_int_equal(has(savepoint, 1), only_read);
		finish(savepoint, IMAP_ROLLED_BACK);
		assert_int_equal(has(tx, 2), only_read); /* it may have gone back behind this savepoint */
		finish(tx, IMAP_COMMITTED);
		assert_int_equal(has(m, 1), only_read);
		fill(m, 1, "old");
	}
	unit = imap_over(m, false, false);
	imap_write_begin(unit, NULL, IMAP_EVERYTHING, STR_NONE);
	finish(unit, IMAP_ROLLED_BACK); /* the statement failed: part of it may have been done */
	assert_false(has(m, 1));
	imap_destroy(m);
}

static void what_nobody_knows_is_out(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *unit;
	const struct value row[] = {value_int(1)};
	struct imap_read r;

	(void)state;
	fill(m, 1, "old");
	imap_read_begin(&r, m, &order, IMAP_LOOK);
	(void)imap_read_row(&r, &arena, STR("1"), row);
	unit = imap_over(m, false, false);
	write_in(unit, 2, "new");
	finish(unit, IMAP_UNKNOWN);
	assert_true(!has(m, 1) && !has(m, 2));
	/* another model's stay, unless the two share a slot, by a hash that each process seeds anew */
	assert_true(imap_slot_of(order.name) == imap_slot_of(user.name) ||
		    imap_get(m, &arena, &order, STR("1"), &r) != NULL);
	imap_destroy(m);
}

static uint64_t bit_of(int key)
{
	return imap_record_bit(imap_hash(user.name, str_z(text_of(key))));
}

/* The first record after `key` whose bit is another: one in 64 shares it, by a hash that each process seeds anew. */
static int apart_from(int key)
{
	int other = key + 1;

	while (bit_of(other) == bit_of(key))
		other++;
	return other;
}

static void a_row_that_was_only_read_goes_when_it_is_written_elsewhere(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *tx;
	const int mine = apart_from(1);

	(void)state;
	tx = imap_over(m, false, false);
	fill(tx, 1, "read");
	write_one(tx, mine, "mine");
	write_one(m, 1, "elsewhere");
	write_one(m, mine, "elsewhere");
	assert_string_equal(name_in(tx, 1), "elsewhere");
	assert_string_equal(name_in(tx, mine), "mine");
	finish(tx, IMAP_COMMITTED);
	assert_string_equal(name_in(m, 1), "elsewhere");
	assert_false(has(m, mine)); /* which of the two the database took last is not known here */
	imap_destroy(m);
}

/* Records that share a bit are taken for one another: that costs a row that is not kept, never a wrong one. */
static void records_of_one_bit_cost_a_row_and_no_more(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *tx;
	int twin = 2;

	(void)state;
	while (bit_of(twin) != bit_of(1))
		twin++;
	tx = imap_over(m, false, false);
	write_one(tx, twin, "mine");
	write_one(m, 1, "elsewhere");
	assert_string_equal(name_in(tx, twin), "mine");
	assert_false(has(m, 1));
	finish(tx, IMAP_COMMITTED);
	assert_false(has(m, twin));
	imap_destroy(m);
}

static void a_refresh_in_a_transaction_is_one_of_the_session(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *tx;

	(void)state;
	fill(m, 1, "old");
	tx = imap_over(m, false, false);
	(void)read_in(tx, IMAP_REFRESH, 1, "new");
	assert_string_equal(name_in(tx, 1), "new");
	assert_false(has(m, 1));
	finish(tx, IMAP_ROLLED_BACK);
	imap_destroy(m);
}

static void the_reads_of_a_unit_stay_if_nothing_was_written_meanwhile(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *unit;

	(void)state;
	for (int written = 0; written < 2; written++) {
		unit = imap_over(m, false, true);
		fill(unit, 1, "read");
		if (written != 0)
			write_one(m, 2, "x");
		finish(unit, IMAP_COMMITTED);
		assert_int_equal(has(m, 1), written == 0);
		imap_clear(m);
	}
	imap_destroy(m);
}

static void one_that_the_server_has_ended_answers_nothing(void **state)
{
	struct imap *m = imap_create(true, 100, 100000), *tx, *unit;

	(void)state;
	tx = imap_over(m, false, false);
	unit = imap_over(tx, false, false);
	write_in(unit, 1, "mine");
	imap_end(tx, IMAP_ROLLED_BACK);
	write_in(unit, 2, "late");
	assert_false(has(tx, 1));
	finish(unit, IMAP_COMMITTED);
	assert_true(!has(m, 1) && !has(m, 2));
	fill(tx, 3, "late");
	assert_true(!has(tx, 3) && !has(m, 3));
	imap_destroy(tx);
	fill(m, 1, "stays");
	assert_true(has(m, 1));
	imap_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_kind_survives_packing, setup, teardown),
		cmocka_unit_test_setup_teardown(long_texts_survive_packing, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_read_is_mapped_and_what_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mapped_row_wins_over_a_read_one_unless_it_is_refreshed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(another_serial_is_not_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(the_least_recently_used_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_written_counts_though_it_has_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(eviction, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disabled_map_holds_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_transaction_sees_its_own_and_others_do_not, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_reads_for_itself_does_not_look_below, setup, teardown),
		cmocka_unit_test_setup_teardown(a_write_by_query_hides_the_model_and_keeps_what_is_written_after_it,
						setup, teardown),
		cmocka_unit_test_setup_teardown(the_clients_own_words_hide_everything_unless_they_only_read, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_nobody_knows_is_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_row_that_was_only_read_goes_when_it_is_written_elsewhere, setup,
						teardown),
		cmocka_unit_test_setup_teardown(records_of_one_bit_cost_a_row_and_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refresh_in_a_transaction_is_one_of_the_session, setup, teardown),
		cmocka_unit_test_setup_teardown(the_reads_of_a_unit_stay_if_nothing_was_written_meanwhile, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_that_the_server_has_ended_answers_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("identity_map", tests, NULL, NULL);
}
