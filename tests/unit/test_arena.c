/* Arenas: alignment, zeroing, growth, copies, the order of cleanups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdalign.h>
#include <string.h>

#include "service/base/arena.h"
#include "service/base/mem.h"

static void allocations_are_zeroed_aligned_and_apart(void **state UNUSED)
{
	struct arena a;
	unsigned char *p[2000];

	arena_init(&a);
	assert_int_equal(a.total, 0);
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		const size_t n = i % 97 + 1;

		p[i] = arena_alloc(&a, n);
		assert_int_equal((uintptr_t)p[i] % alignof(max_align_t), 0);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(p[i][k], 0);
		memset(p[i], (int)(i & 0xFF), n);
	}
	for (size_t i = 0; i < ARRAY_LEN(p); i++) {
		for (size_t k = 0; k < i % 97 + 1; k++)
			assert_int_equal(p[i][k], i & 0xFF);
	}
	assert_true(a.total >= 2000 * 49);
	assert_true(a.total < (size_t)1024 * 1024);
	arena_done(&a);
	assert_int_equal(a.total, 0);
	assert_null(a.head);
}

static void large_blocks_leave_the_current_one_in_use(void **state UNUSED)
{
	struct arena a;
	char *first, *large, *second;

	arena_init(&a);
	first = arena_alloc(&a, 16);
	large = arena_alloc(&a, 3 * 1024 * 1024);
	second = arena_alloc(&a, 16);
	memset(large, 'x', 3 * 1024 * 1024);
	assert_ptr_equal(second, first + 16);
	assert_int_equal(second[0], 0);
	arena_done(&a);
}

static void zero_bytes_give_an_address(void **state UNUSED)
{
	struct arena a;

	arena_init(&a);
	assert_non_null(arena_alloc(&a, 0));
	assert_non_null(arena_array(&a, 0, 8));
	assert_ptr_not_equal(arena_alloc(&a, 0), arena_alloc(&a, 0));
	arena_done(&a);
}

static void strings_are_copied(void **state UNUSED)
{
	struct arena a;
	char source[] = "abc";
	struct str s;

	arena_init(&a);
	s = arena_str(&a, str_z(source));
	source[0] = 'x';
	assert_true(str_eq_z(s, "abc"));
	assert_int_equal(s.p[3], 0);
	assert_null(arena_str(&a, STR_NONE).p);
	assert_non_null(arena_str(&a, STR("")).p);
	assert_string_equal(arena_strz(&a, STR_NONE), "");
	assert_true(str_eq(arena_str(&a, STR("a\0b")), STR("a\0b")));
	s = arena_printf(&a, "%s/%d", "x", 42);
	assert_true(str_eq_z(s, "x/42"));
	assert_int_equal(s.p[s.len], 0);
	s = arena_printf(&a, "%*d", 10000, 7);
	assert_int_equal(s.len, 10000);
	arena_done(&a);
}

static char order[8];
static size_t n_order;
static struct arena *running;

static void note(void *arg)
{
	order[n_order++] = *(const char *)arg;
}

static void note_and_add(void *arg)
{
	note(arg);
	arena_on_done(running, note, arena_strz(running, STR("z")));
}

static void cleanups_run_last_first(void **state UNUSED)
{
	struct arena a;

	arena_init(&a);
	running = &a;
	n_order = 0;
	arena_on_done(&a, note, arena_strz(&a, STR("a")));
	arena_on_done(&a, note_and_add, arena_strz(&a, STR("b")));
	arena_on_done(&a, note, arena_strz(&a, STR("c")));
	arena_done(&a);
	assert_int_equal(n_order, 4);
	assert_memory_equal(order, "cbza", 4);
	arena_done(&a); /* again: nothing left */
	assert_int_equal(n_order, 4);
}

static void mem_copies_and_grows(void **state UNUSED)
{
	char *p = mem_strdup("abc");
	int *zeros = mem_array(4, sizeof(*zeros));

	assert_string_equal(p, "abc");
	p = mem_realloc(p, 100);
	assert_string_equal(p, "abc");
	mem_free(p);
	p = mem_strndup("abcdef", 2);
	assert_string_equal(p, "ab");
	mem_free(p);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(zeros[i], 0);
	mem_free(zeros);
	p = mem_try(NULL, 10);
	assert_non_null(p);
	mem_free(p);
	mem_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_zeroed_aligned_and_apart),
		cmocka_unit_test(large_blocks_leave_the_current_one_in_use),
		cmocka_unit_test(zero_bytes_give_an_address),
		cmocka_unit_test(strings_are_copied),
		cmocka_unit_test(cleanups_run_last_first),
		cmocka_unit_test(mem_copies_and_grows),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
