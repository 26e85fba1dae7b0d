/* The identity map and its packed records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/session/identity_map.h"
#include "store/session/record_pack.h"

#include "service/base/banned.h"

static const struct model user = {.name = {"User", 4}, .n_columns = 2, .serial = 7};
static const struct model user_later = {.name = {"User", 4}, .n_columns = 2, .serial = 8};
static const struct model order = {.name = {"Order", 5}, .n_columns = 1, .serial = 9};

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_done(&arena);
	return 0;
}

static void put(struct imap *m, int key, const char *name)
{
	const struct value row[] = {value_int(key), value_text(str_z(name))};
	char k[16];

	(void)snprintf(k, sizeof(k), "%d", key);
	imap_put(m, &user, str_z(k), row);
}

static bool has(struct imap *m, int key)
{
	char k[16];

	(void)snprintf(k, sizeof(k), "%d", key);
	return imap_get(m, &arena, &user, str_z(k)) != NULL;
}

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

static void what_was_put_is_got(void **state)
{
	struct imap *m = imap_create(true, 100, 100000);
	struct imap_stats st;
	const struct value *v;

	(void)state;
	assert_null(imap_get(m, &arena, &user, STR("1")));
	put(m, 1, "ann");
	put(m, 2, "bob");
	put(m, 1, "anna");
	v = imap_get(m, &arena, &user, STR("1"));
	assert_non_null(v);
	assert_true(value_equal(v[1], value_text(STR("anna"))));
	assert_null(imap_get(m, &arena, &order, STR("1")));
	imap_stats(m, &st);
	assert_true(st.enabled && st.size == 2 && st.hits == 1 && st.misses == 2 && st.evictions == 0 && st.bytes > 0);
	imap_destroy(m);
}

static void a_mapped_row_wins_over_a_read_one(void **state)
{
	struct imap *m = imap_create(true, 100, 100000);
	const struct value first[] = {value_int(1), value_text(STR("old"))},
			   later[] = {value_int(1), value_text(STR("new"))};
	const struct value *v;
	struct imap_stats st;

	(void)state;
	v = imap_reconcile(m, &arena, &user, STR("1"), first);
	assert_ptr_equal(v, first);
	v = imap_reconcile(m, &arena, &user, STR("1"), later);
	assert_true(value_equal(v[1], value_text(STR("old"))));
	imap_stats(m, &st);
	assert_true(st.hits == 0 && st.misses == 0 && st.size == 1);
	imap_destroy(m);
}

static void another_serial_drops_the_record(void **state)
{
	struct imap *m = imap_create(true, 100, 100000);
	const struct value row[] = {value_int(1), value_null()};
	struct imap_stats st;

	(void)state;
	put(m, 1, "old");
	assert_null(imap_get(m, &arena, &user_later, STR("1")));
	imap_stats(m, &st);
	assert_int_equal(st.size, 0);
	put(m, 1, "old");
	assert_ptr_equal(imap_reconcile(m, &arena, &user_later, STR("1"), row), row);
	assert_false(has(m, 1));
	imap_destroy(m);
}

static void the_least_recently_used_goes_first(void **state)
{
	struct imap *m = imap_create(true, 3, 100000);
	struct imap_stats st;

	(void)state;
	put(m, 1, "a");
	put(m, 2, "b");
	put(m, 3, "c");
	assert_true(has(m, 1));
	put(m, 4, "d");
	assert_true(has(m, 1) && !has(m, 2) && has(m, 3) && has(m, 4));
	imap_stats(m, &st);
	assert_true(st.size == 3 && st.evictions == 1);
	imap_destroy(m);
}

static void bytes_are_bounded(void **state)
{
	struct imap *m = imap_create(true, 1000000, 4096);
	static char big[5000];
	struct imap_stats st;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		put(m, i, "some name of a length");
		imap_stats(m, &st);
		assert_true(st.bytes <= 4096);
	}
	assert_true(has(m, 999) && !has(m, 0));
	memset(big, 'x', sizeof(big) - 1);
	put(m, 999, big); /* does not fit, and what was there is out of date */
	assert_false(has(m, 999));
	imap_destroy(m);
}

static void eviction(void **state)
{
	struct imap *m = imap_create(true, 100, 100000);
	const struct value row[] = {value_int(1)};
	struct imap_stats st;

	(void)state;
	for (int i = 0; i < 50; i++)
		put(m, i, "x");
	imap_put(m, &order, STR("1"), row);
	assert_true(imap_evict(m, STR("User"), STR("1")));
	assert_false(imap_evict(m, STR("User"), STR("1")));
	assert_false(imap_evict(m, STR("Nobody"), STR("2")));
	imap_evict_model(m, STR("User"));
	imap_stats(m, &st);
	assert_int_equal(st.size, 1);
	assert_non_null(imap_get(m, &arena, &order, STR("1")));
	imap_clear(m);
	imap_stats(m, &st);
	assert_true(st.size == 0 && st.bytes == 0);
	put(m, 1, "again");
	assert_true(has(m, 1));
	imap_destroy(m);
}

static void a_disabled_map_holds_nothing(void **state)
{
	struct imap *m = imap_create(false, 100, 100000);
	const struct value row[] = {value_int(1), value_null()};
	struct imap_stats st;

	(void)state;
	put(m, 1, "a");
	assert_false(has(m, 1));
	assert_ptr_equal(imap_reconcile(m, &arena, &user, STR("1"), row), row);
	assert_ptr_equal(imap_reconcile(m, &arena, &user, STR("1"), row), row);
	assert_false(imap_evict(m, STR("User"), STR("1")));
	imap_evict_model(m, STR("User"));
	imap_clear(m);
	imap_stats(m, &st);
	assert_true(!st.enabled && st.size == 0 && st.hits == 0 && st.misses == 0);
	assert_false(imap_enabled(m));
	imap_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_kind_survives_packing, setup, teardown),
		cmocka_unit_test_setup_teardown(long_texts_survive_packing, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_put_is_got, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mapped_row_wins_over_a_read_one, setup, teardown),
		cmocka_unit_test_setup_teardown(another_serial_drops_the_record, setup, teardown),
		cmocka_unit_test_setup_teardown(the_least_recently_used_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(eviction, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disabled_map_holds_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("identity_map", tests, NULL, NULL);
}
