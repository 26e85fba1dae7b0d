/* struct err: formatting, bounds, pointers, and the words of the codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "service/base/err.h"
#include "service/base/str.h"

static void set_clears_every_other_member(void **state UNUSED)
{
	struct err err;

	memset(&err, 0xA5, sizeof(err));
	assert_false(err_set(&err, ERR_SQL_ERROR, "table \"%s\" has %d rows", "film", 3));
	assert_int_equal(err.code, ERR_SQL_ERROR);
	assert_string_equal(err.detail, "table \"film\" has 3 rows");
	assert_int_equal(err.outcome, ERR_OUTCOME_NONE);
	assert_false(err.cancelled);
	assert_int_equal(err.retry_after_s, 0);
	assert_int_equal(err.position, 0);
	assert_int_equal(err.step, -1);
	assert_int_equal(err.n_faults, 0);
	assert_null(err.faults);
	assert_string_equal(err.sqlstate, "");
	assert_false(err.has_pointer);
	assert_string_equal(err.pointer, "");
	assert_string_equal(err.constraint, "");
	assert_string_equal(err.table, "");
	assert_string_equal(err.column, "");
	assert_string_equal(err.state, "");
}

static void set_may_quote_the_error_itself(void **state UNUSED)
{
	struct err err;

	err_set_at(&err, ERR_INVALID_VALUE, "/a", "inner");
	assert_false(err_set_at(&err, ERR_INVALID_REQUEST, err.pointer, "outer: %s", err.detail));
	assert_string_equal(err.pointer, "/a");
	assert_string_equal(err.detail, "outer: inner");
	err_set(&err, ERR_INVALID_REQUEST, "third: %s", err.detail);
	assert_string_equal(err.detail, "third: outer: inner");
	assert_false(err.has_pointer);
}

static void long_detail_is_cut_between_characters(void **state UNUSED)
{
	char text[1000];
	struct err err;

	for (size_t lead = 0; lead < 4; lead++) {
		size_t len = lead;

		memset(text, 'x', lead);
		for (; len + 4 < sizeof(text); len += 4)
			memcpy(text + len, "\xF0\x9F\x8E\xAC", 4);
		text[len] = '\0';
		err_set(&err, ERR_SQL_ERROR, "%s", text);
		assert_true(strlen(err.detail) < sizeof(err.detail));
		assert_true(strlen(err.detail) >= sizeof(err.detail) - 4);
		assert_true(str_is_utf8(str_z(err.detail)));
	}
	/* one that fits whole keeps its last character */
	err_set(&err, ERR_SQL_ERROR, "caf\xC3\xA9");
	assert_string_equal(err.detail, "caf\xC3\xA9");
}

static void prefix_goes_before_the_pointer(void **state UNUSED)
{
	struct err err;

	err_set_at(&err, ERR_INVALID_VALUE, "/age", "x");
	err_prefix_pointer(&err, "/records/0");
	assert_true(err.has_pointer);
	assert_string_equal(err.pointer, "/records/0/age");
	err_set_at(&err, ERR_INVALID_VALUE, "", "x");
	assert_true(err.has_pointer);
	err_prefix_pointer(&err, "");
	assert_string_equal(err.pointer, "");
	err_set(&err, ERR_INVALID_VALUE, "x");
	err_prefix_pointer(&err, "/records");
	assert_false(err.has_pointer);
	assert_string_equal(err.pointer, "");
}

static void long_pointer_ends_at_a_whole_token(void **state UNUSED)
{
	char key[300];
	struct err err;

	memset(key, 'k', sizeof(key) - 1);
	key[0] = '/';
	key[sizeof(key) - 1] = '\0';
	err_set_at(&err, ERR_INVALID_VALUE, "/a", "x");
	err_prefix_pointer(&err, key);
	assert_string_equal(err.pointer, "");
	key[100] = '/';
	err_set_at(&err, ERR_INVALID_VALUE, key, "x");
	assert_int_equal(strlen(err.pointer), 100);
}

static void every_code_and_outcome_has_its_word(void **state UNUSED)
{
	assert_string_equal(err_code_name(ERR_INVALID_JSON), "invalid_json");
	assert_string_equal(err_code_name(ERR_STATEMENT_TIMEOUT), "statement_timeout");
	for (int code = 0; code < (int)ERR_N_CODES; code++) {
		assert_non_null(err_code_name((enum err_code)code));
		for (int other = 0; other < code; other++)
			assert_string_not_equal(err_code_name((enum err_code)code),
						err_code_name((enum err_code)other));
	}
	assert_null(err_outcome_name(ERR_OUTCOME_NONE));
	assert_string_equal(err_outcome_name(ERR_OUTCOME_NOT_STARTED), "not_started");
	assert_string_equal(err_outcome_name(ERR_OUTCOME_ROLLED_BACK), "rolled_back");
	assert_string_equal(err_outcome_name(ERR_OUTCOME_COMMITTED), "committed");
	assert_string_equal(err_outcome_name(ERR_OUTCOME_UNKNOWN), "unknown");
}

static void oom_is_an_internal_error(void **state UNUSED)
{
	struct err err;

	assert_false(err_oom(&err));
	assert_int_equal(err.code, ERR_INTERNAL_ERROR);
	assert_true(err.detail[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_clears_every_other_member),
		cmocka_unit_test(set_may_quote_the_error_itself),
		cmocka_unit_test(long_detail_is_cut_between_characters),
		cmocka_unit_test(prefix_goes_before_the_pointer),
		cmocka_unit_test(long_pointer_ends_at_a_whole_token),
		cmocka_unit_test(every_code_and_outcome_has_its_word),
		cmocka_unit_test(oom_is_an_internal_error),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
