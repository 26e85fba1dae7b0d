/* Spans: comparison, cutting, UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/base/str.h"

static void comparison_is_by_bytes(void **state UNUSED)
{
	assert_int_equal(str_cmp(STR("a"), STR("a")), 0);
	assert_true(str_cmp(STR("a"), STR("b")) < 0);
	assert_true(str_cmp(STR("b"), STR("a")) > 0);
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_cmp(STR("ab"), STR("a")) > 0);
	assert_true(str_cmp(STR_NONE, STR("a")) < 0);
	assert_int_equal(str_cmp(STR_NONE, STR("")), 0);
	/* U+FFFD sorts before U+1F3AC by code point (it would not in UTF-16) */
	assert_true(str_cmp(STR("\xEF\xBF\xBD"), STR("\xF0\x9F\x8E\xAC")) < 0);
	assert_true(str_cmp(STR("a\0b"), STR("a\0c")) < 0);
}

static void equality(void **state UNUSED)
{
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_eq_z(STR("abc"), "abc"));
	assert_false(str_eq_z(STR("abc"), "abd"));
	assert_true(str_ieq_z(STR("Content-TYPE"), "content-type"));
	assert_false(str_ieq_z(STR("content-typ"), "content-type"));
	assert_false(str_ieq_z(STR("["), "{")); /* only letters fold */
	assert_false(str_ieq_z(STR("@"), "`"));
}

static void prefixes_and_suffixes(void **state UNUSED)
{
	assert_true(str_starts(STR("sqlite:x"), STR("sqlite:")));
	assert_false(str_starts(STR("sqlit"), STR("sqlite:")));
	assert_true(str_starts(STR_NONE, STR("")));
	assert_true(str_ends(STR("a.json"), STR(".json")));
	assert_false(str_ends(STR("json"), STR(".json")));
	assert_true(str_ends(STR("a"), STR_NONE));
}

static void trim_takes_ascii_space_only(void **state UNUSED)
{
	assert_true(str_eq_z(str_trim(STR(" \t\r\n\v\fa b\n ")), "a b"));
	assert_int_equal(str_trim(STR(" \t ")).len, 0);
	assert_int_equal(str_trim(STR_NONE).len, 0);
	assert_true(str_eq_z(str_trim(STR("\xC2\xA0x")), "\xC2\xA0x"));
}

static void split_walks_every_part(void **state UNUSED)
{
	struct str s = STR("a,,b,");
	struct str head;

	assert_true(str_split(&s, ',', &head));
	assert_true(str_eq_z(head, "a"));
	assert_true(str_split(&s, ',', &head));
	assert_int_equal(head.len, 0);
	assert_true(str_split(&s, ',', &head));
	assert_true(str_eq_z(head, "b"));
	assert_true(str_split(&s, ',', &head));
	assert_int_equal(head.len, 0);
	assert_null(s.p);
	assert_false(str_split(&s, ',', &head));
	s = STR("");
	assert_true(str_split(&s, ',', &head));
	assert_false(str_split(&s, ',', &head));
}

static void utf8_well_formed(void **state UNUSED)
{
	assert_true(str_is_utf8(STR_NONE));
	assert_true(str_is_utf8(STR("plain ascii, longer than a word")));
	assert_true(str_is_utf8(STR("\x7F\xC2\x80\xDF\xBF")));
	assert_true(str_is_utf8(STR("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF")));
	assert_true(str_is_utf8(STR("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF")));
	assert_true(str_is_utf8(STR("a\0b")));
	assert_int_equal(str_utf8_count(STR("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\xAC")), 4);
	assert_int_equal(str_utf8_count(STR_NONE), 0);
}

static void utf8_ill_formed(void **state UNUSED)
{
	static const struct {
		struct str text;
		size_t subpart;
	} cases[] = {
		{{"\x80", 1}, 1},     /* continuation alone */
		{{"\xC0\x80", 2}, 1}, /* overlong */
		{{"\xC1\xBF", 2}, 1},
		{{"\xE0\x9F\xBF", 3}, 1},
		{{"\xF0\x8F\xBF\xBF", 4}, 1},
		{{"\xED\xA0\x80", 3}, 1},     /* surrogate */
		{{"\xF4\x90\x80\x80", 4}, 1}, /* over U+10FFFF */
		{{"\xF5\x80\x80\x80", 4}, 1},
		{{"\xFF", 1}, 1},
		{{"\xC3", 1}, 1}, /* cut short */
		{{"\xE2\x82", 2}, 2},
		{{"\xF0\x9F\x8E", 3}, 3},
		{{"\xF0\x9F\x8E"
		  "a",
		  4},
		 3},
		{{"\xC3"
		  "a",
		  2},
		 1},
	};
	uint32_t cp;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(str_is_utf8(cases[i].text));
		assert_int_equal(str_utf8_next(cases[i].text, 0, &cp), cases[i].subpart);
		assert_true(cp == STR_UTF8_BAD);
	}
	assert_false(str_is_utf8(STR("sixteen bytes ok\x80")));
	assert_false(str_is_utf8(STR("ab\x80 and then more than a word")));
}

static void utf8_next_decodes(void **state UNUSED)
{
	const struct str s = STR("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\xAC");
	uint32_t cp;

	assert_int_equal(str_utf8_next(s, 0, &cp), 1);
	assert_int_equal(cp, 'a');
	assert_int_equal(str_utf8_next(s, 1, &cp), 2);
	assert_int_equal(cp, 0xE9);
	assert_int_equal(str_utf8_next(s, 3, &cp), 3);
	assert_int_equal(cp, 0x20AC);
	assert_int_equal(str_utf8_next(s, 6, &cp), 4);
	assert_int_equal(cp, 0x1F3AC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparison_is_by_bytes), cmocka_unit_test(equality),
		cmocka_unit_test(prefixes_and_suffixes),  cmocka_unit_test(trim_takes_ascii_space_only),
		cmocka_unit_test(split_walks_every_part), cmocka_unit_test(utf8_well_formed),
		cmocka_unit_test(utf8_ill_formed),        cmocka_unit_test(utf8_next_decodes),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
