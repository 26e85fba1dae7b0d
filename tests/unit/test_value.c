/* Values: their JSON form, copies, equality. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "store/value.h"

static const struct value_format plain, strings = {.int64_as_string = true}, tagged = {.tag_bytes = true};

static void writes(struct value v, const struct value_format *fmt, const char *want)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	value_write_json(&b, v, fmt);
	assert_string_equal(strbuf_str(&b).p, want);
	strbuf_done(&b);
}

static void scalars(void **state UNUSED)
{
	writes(value_null(), &plain, "null");
	writes(value_bool(true), &plain, "true");
	writes(value_bool(false), NULL, "false");
	writes(value_int(INT64_MIN), &plain, "-9223372036854775808");
	writes(value_double(0.1), &plain, "0.1");
	writes(value_double(3), &plain, "3.0");
	writes(value_double((double)NAN), &plain, "\"NaN\"");
	writes(value_double(HUGE_VAL), &plain, "\"Infinity\"");
	writes(value_double(-HUGE_VAL), &plain, "\"-Infinity\"");
	writes(value_text(STR("a\"\n\xC3\xA4")), &plain, "\"a\\\"\\n\xC3\xA4\"");
	writes(value_text(STR_NONE), &plain, "\"\"");
}

static void big_integers_as_strings_when_asked(void **state UNUSED)
{
	writes(value_int(9007199254740991), &strings, "9007199254740991");
	writes(value_int(9007199254740992), &strings, "\"9007199254740992\"");
	writes(value_int(-9007199254740991), &strings, "-9007199254740991");
	writes(value_int(-9007199254740992), &strings, "\"-9007199254740992\"");
	writes(value_int(9007199254740992), &plain, "9007199254740992");
}

static void bytes(void **state UNUSED)
{
	writes(value_bytes(STR("\0\xFF")), &plain, "\"AP8=\"");
	writes(value_bytes(STR("")), &plain, "\"\"");
	writes(value_bytes(STR("\0\xFF")), &tagged, "{\"$bytes\":\"AP8=\"}");
}

static void documents_stay_on_one_line(void **state UNUSED)
{
	writes(value_json(STR("{\"a\": [1, 2]}")), &plain, "{\"a\": [1, 2]}");
	writes(value_json(STR("{\n \"a b\" :\r\n\t\"x \\\" y\\n\" }\n")), &plain, "{\"a b\":\"x \\\" y\\n\"}");
	writes(value_json(STR("\n1")), &plain, "1");
}

static void copies(void **state UNUSED)
{
	char text[] = "abc";
	struct arena a;
	struct value v;

	arena_init(&a);
	v = value_dup(&a, value_text(str_n(text, 3)));
	text[0] = 'x';
	assert_true(str_eq(v.u.s, STR("abc")));
	assert_non_null(value_dup(&a, value_bytes(STR_NONE)).u.s.p);
	assert_int_equal(value_dup(&a, value_int(7)).u.i, 7);
	arena_done(&a);
}

static void equality(void **state UNUSED)
{
	assert_true(value_equal(value_null(), value_null()));
	assert_true(value_equal(value_int(1), value_int(1)));
	assert_false(value_equal(value_int(1), value_double(1)));
	assert_true(value_equal(value_double((double)NAN), value_double((double)NAN)));
	assert_false(value_equal(value_double(0.0), value_double(-0.0)));
	assert_false(value_equal(value_bool(true), value_bool(false)));
	assert_true(value_equal(value_text(STR("a")), value_text(STR("a"))));
	assert_false(value_equal(value_text(STR("a")), value_bytes(STR("a"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars), cmocka_unit_test(big_integers_as_strings_when_asked),
		cmocka_unit_test(bytes),   cmocka_unit_test(documents_stay_on_one_line),
		cmocka_unit_test(copies),  cmocka_unit_test(equality),
	};

	return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
