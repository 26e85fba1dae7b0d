/* The hash table, also against a plain array as a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "service/base/map.h"

static void put_get_remove(void **state UNUSED)
{
	struct map m;
	int a = 1, b = 2;

	map_init(&m);
	assert_null(map_get(&m, STR("x")));
	assert_null(map_remove(&m, STR("x")));
	assert_null(map_put(&m, STR("x"), &a));
	assert_ptr_equal(map_get(&m, STR("x")), &a);
	assert_null(map_get(&m, STR("y")));
	assert_ptr_equal(map_put(&m, STR("x"), &b), &a);
	assert_int_equal(m.n, 1);
	assert_ptr_equal(map_remove(&m, STR("x")), &b);
	assert_null(map_get(&m, STR("x")));
	assert_int_equal(m.n, 0);
	map_done(&m);
	assert_null(m.slots);
}

static void keys_are_bytes(void **state UNUSED)
{
	struct map m;
	int a = 1, b = 2, c = 3;

	map_init(&m);
	map_put(&m, STR("a\0b"), &a);
	map_put(&m, STR("a\0c"), &b);
	map_put(&m, STR(""), &c);
	assert_ptr_equal(map_get(&m, STR("a\0b")), &a);
	assert_ptr_equal(map_get(&m, STR("a\0c")), &b);
	assert_ptr_equal(map_get(&m, STR_NONE), &c);
	assert_null(map_get(&m, STR("a")));
	map_done(&m);
}

static void replacing_takes_the_new_key(void **state UNUSED)
{
	struct map m;
	char old_key[] = "key", new_key[] = "key";
	int a = 1;

	map_init(&m);
	map_put(&m, str_z(old_key), &a);
	map_put(&m, str_z(new_key), &a);
	old_key[0] = 'x'; /* its owner may reuse the memory */
	assert_ptr_equal(map_get(&m, STR("key")), &a);
	map_done(&m);
}

#define N_KEYS 500

static void many_operations_agree_with_a_model(void **state UNUSED)
{
	static char keys[N_KEYS][16];
	static int values[N_KEYS][2];
	void *model[N_KEYS] = {NULL};
	size_t n = 0;
	uint32_t seed = 1;
	struct map m;

	map_init(&m);
	for (size_t i = 0; i < N_KEYS; i++)
		snprintf(keys[i], sizeof(keys[i]), "key%zu", i);
	for (int step = 0; step < 100000; step++) {
		size_t k;
		struct str key;

		seed = seed * 1664525U + 1013904223U;
		k = seed >> 8 & 0x1FF;
		if (k >= N_KEYS)
			continue;
		key = str_z(keys[k]);
		if ((seed >> 20 & 1) != 0) {
			void *value = &values[k][seed >> 21 & 1];

			assert_ptr_equal(map_put(&m, key, value), model[k]);
			n += model[k] == NULL;
			model[k] = value;
		} else {
			assert_ptr_equal(map_remove(&m, key), model[k]);
			n -= model[k] != NULL;
			model[k] = NULL;
		}
		assert_int_equal(m.n, n);
		if (step % 1000 == 0) {
			for (size_t i = 0; i < N_KEYS; i++)
				assert_ptr_equal(map_get(&m, str_z(keys[i])), model[i]);
		}
	}
	map_done(&m);
}

static void iteration_visits_each_once(void **state UNUSED)
{
	static char keys[100][8];
	static int seen[100];
	struct map m;
	size_t pos = 0, n = 0;
	int *value;

	map_init(&m);
	assert_null(map_next(&m, &pos));
	for (size_t i = 0; i < 100; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
		map_put(&m, str_z(keys[i]), &seen[i]);
	}
	pos = 0;
	while ((value = map_next(&m, &pos)) != NULL) {
		assert_int_equal((*value)++, 0);
		n++;
	}
	assert_int_equal(n, 100);
	map_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_get_remove),
		cmocka_unit_test(keys_are_bytes),
		cmocka_unit_test(replacing_takes_the_new_key),
		cmocka_unit_test(many_operations_agree_with_a_model),
		cmocka_unit_test(iteration_visits_each_once),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
