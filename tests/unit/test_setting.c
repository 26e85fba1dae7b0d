/* Settings of sessions: what a shared state has kept is read again, or refused; it is never taken for no settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/auth/setting.h"

static void what_is_kept_is_read_again_or_refused(void **state UNUSED)
{
	static const char *const bad[] = {"{", "[]", "1", "{\"app.a\":1}", "{\"app.a\":\"1\",\"app.b\":null}"};
	struct setting_list s;
	struct arena a;
	struct err e;
	arena_init(&a);
	assert_true(settings_of_text(&a, STR("{\"app.a\":\"1\"}"), &s, &e));
	assert_int_equal(s.n, 1);
	assert_true(settings_of_text(&a, STR_NONE, &s, &e));
	assert_int_equal(s.n, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(settings_of_text(&a, str_z(bad[i]), &s, &e));
		assert_int_equal(e.code, ERR_INTERNAL_ERROR);
	}
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_kept_is_read_again_or_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
