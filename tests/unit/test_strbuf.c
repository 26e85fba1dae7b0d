/* The buffer: growth, the cap, the sticky failure, and JSON text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "service/base/mem.h"
#include "service/base/strbuf.h"

static void appends_grow_and_end_in_nul(void **state UNUSED)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	assert_int_equal(strbuf_str(&b).len, 0);
	for (int i = 0; i < 1000; i++) {
		strbuf_putc(&b, 'x');
		assert_int_equal(b.p[b.len], 0);
	}
	strbuf_puts(&b, "abc");
	strbuf_put(&b, STR("d\0e"));
	strbuf_put(&b, STR_NONE);
	strbuf_printf(&b, "%s-%d", "f", 7);
	strbuf_int(&b, INT64_MIN);
	assert_false(strbuf_failed(&b));
	assert_true(str_eq(str_n(b.p + 1000, b.len - 1000), STR("abcd\0ef-7-9223372036854775808")));
	strbuf_truncate(&b, 3);
	assert_string_equal(b.p, "xxx");
	strbuf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.p, "");
	strbuf_done(&b);
	assert_null(b.p);
}

static void long_printf_is_whole(void **state UNUSED)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_puts(&b, "ab");
	strbuf_printf(&b, "%*d", 5000, 1);
	assert_int_equal(b.len, 5002);
	assert_int_equal(b.p[5001], '1');
	assert_int_equal(b.p[5002], 0);
	strbuf_done(&b);
}

static void the_cap_is_exact_and_sticks(void **state UNUSED)
{
	for (size_t cap = 1; cap < 600; cap += 37) {
		struct strbuf b;

		strbuf_init(&b, cap);
		for (size_t i = 0; i < cap; i++)
			strbuf_putc(&b, 'x');
		assert_false(strbuf_failed(&b));
		assert_int_equal(b.len, cap);
		strbuf_putc(&b, 'y');
		assert_true(strbuf_failed(&b));
		assert_int_equal(b.len, cap);
		strbuf_truncate(&b, 0);
		strbuf_putc(&b, 'y'); /* there is room now, but the failure sticks */
		assert_int_equal(b.len, 0);
		assert_true(strbuf_failed(&b));
		strbuf_reset(&b);
		strbuf_putc(&b, 'y');
		assert_false(strbuf_failed(&b));
		assert_string_equal(b.p, "y");
		strbuf_done(&b);
		assert_int_equal(b.cap, cap);
	}
}

static void every_kind_of_append_minds_the_cap(void **state UNUSED)
{
	struct strbuf b;

	strbuf_init(&b, 3);
	strbuf_printf(&b, "%s", "abc");
	strbuf_printf(&b, "%s", "d");
	assert_true(strbuf_failed(&b));
	strbuf_reset(&b);
	strbuf_put(&b, STR("abcd"));
	assert_true(strbuf_failed(&b));
	assert_int_equal(b.len, 0);
	strbuf_reset(&b);
	strbuf_json_string(&b, STR("ab"));
	assert_true(strbuf_failed(&b));
	strbuf_reset(&b);
	strbuf_json_string(&b, STR("\n"));
	assert_true(strbuf_failed(&b));
	strbuf_reset(&b);
	strbuf_base64(&b, STR("a"));
	assert_true(strbuf_failed(&b));
	strbuf_reset(&b);
	assert_null(strbuf_reserve(&b, 4));
	assert_true(strbuf_failed(&b));
	strbuf_reset(&b);
	strbuf_json_double(&b, 123.5);
	assert_true(strbuf_failed(&b));
	strbuf_done(&b);
}

static void reserve_and_advance(void **state UNUSED)
{
	struct strbuf b;
	char *p;

	strbuf_init(&b, 0);
	strbuf_puts(&b, "ab");
	p = strbuf_reserve(&b, 1000);
	assert_non_null(p);
	memset(p, 'c', 1000);
	strbuf_advance(&b, 3);
	assert_string_equal(b.p, "abccc");
	strbuf_done(&b);
}

static void take_gives_the_bytes_away(void **state UNUSED)
{
	struct strbuf b;
	size_t len = 99;
	char *p;

	strbuf_init(&b, 10);
	p = strbuf_take(&b, &len);
	assert_string_equal(p, "");
	assert_int_equal(len, 0);
	mem_free(p);
	strbuf_puts(&b, "abc");
	p = strbuf_take(&b, &len);
	assert_string_equal(p, "abc");
	assert_int_equal(len, 3);
	mem_free(p);
	assert_null(b.p);
	assert_int_equal(b.len, 0);
	strbuf_done(&b);
}

static void assert_json(struct str in, const char *out)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_json_string(&b, in);
	assert_false(strbuf_failed(&b));
	assert_string_equal(b.p, out);
	strbuf_done(&b);
}

static void json_strings(void **state UNUSED)
{
	assert_json(STR(""), "\"\"");
	assert_json(STR_NONE, "\"\"");
	assert_json(STR("say \"hi\" \\ / there"), "\"say \\\"hi\\\" \\\\ / there\"");
	assert_json(STR("\b\t\n\v\f\r"), "\"\\b\\t\\n\\u000b\\f\\r\"");
	assert_json(STR("\0\x01\x1F\x7F"), "\"\\u0000\\u0001\\u001f\x7F\"");
	assert_json(STR("caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x8E\xAC"), "\"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x8E\xAC\"");
	assert_json(STR("a\x80z"), "\"a\xEF\xBF\xBDz\"");
	assert_json(STR("\xF0\x9F\x8Ez"), "\"\xEF\xBF\xBDz\"");
	assert_json(STR("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
	assert_json(STR("\xC3"), "\"\xEF\xBF\xBD\"");
}

/* Every byte value at every place of a word, against a byte-wise model. */
static void json_strings_escape_at_any_offset(void **state UNUSED)
{
	for (unsigned c = 0; c < 0x80; c++) {
		for (size_t len = 1; len <= 40; len++) {
			for (size_t at = 0; at < len; at++) {
				struct strbuf b;
				char in[40];
				size_t n;

				memset(in, 'a', sizeof(in));
				in[at] = (char)c;
				strbuf_init(&b, 0);
				strbuf_json_string(&b, str_n(in, len));
				n = c < 0x20 ? 6 : 1;
				if (c != 0 && strchr("\"\\\b\t\n\f\r", (int)c) != NULL)
					n = 2;
				assert_int_equal(b.len, len + 1 + n);
				for (size_t k = 0; k < at; k++)
					assert_int_equal(b.p[1 + k], 'a');
				assert_int_equal(b.p[1 + at], n == 1 ? (char)c : '\\');
				for (size_t k = at + n; k < len + n - 1; k++)
					assert_int_equal(b.p[1 + k], 'a');
				assert_int_equal(b.p[b.len - 1], '"');
				strbuf_done(&b);
			}
		}
	}
}

static void json_doubles(void **state UNUSED)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_json_double(&b, 1.0);
	strbuf_putc(&b, ' ');
	strbuf_json_double(&b, -0.1);
	strbuf_putc(&b, ' ');
	strbuf_json_double(&b, 1e16);
	assert_string_equal(b.p, "1.0 -0.1 1e+16");
	strbuf_done(&b);
}

static void base64_of_rfc_4648(void **state UNUSED)
{
	static const struct {
		const char *in, *out;
	} cases[] = {{"", ""},
		     {"f", "Zg=="},
		     {"fo", "Zm8="},
		     {"foo", "Zm9v"},
		     {"foob", "Zm9vYg=="},
		     {"fooba", "Zm9vYmE="},
		     {"foobar", "Zm9vYmFy"},
		     {"\xFF\xFE\xFD", "//79"},
		     {"\xFB\xEF", "++8="}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf b;

		strbuf_init(&b, 0);
		strbuf_base64(&b, str_z(cases[i].in));
		assert_false(strbuf_failed(&b));
		assert_true(str_eq_z(strbuf_str(&b), cases[i].out));
		strbuf_done(&b);
	}
}

/* Each byte at each place of texts of each length about the sizes of blocks; nothing is written beyond the text. */
static void what_is_copied_plain_is(void **state UNUSED)
{
	for (size_t n = 0; n < 40; n++) {
		for (size_t at = 0; at < (n > 0 ? n : 1); at++) {
			for (unsigned c = 0; c < 256; c++) {
				char text[40], out[41];
				const bool plain = n == 0 || (c >= ' ' && c < 0x80 && c != '"' && c != '\\');

				memset(text, 'x', sizeof(text));
				memset(out, '#', sizeof(out));
				text[at] = (char)c;
				assert_int_equal(strbuf_copy_plain(out, str_n(text, n)), plain);
				assert_true(!plain || memcmp(out, text, n) == 0);
				assert_int_equal(strbuf_copy_printable(out, str_n(text, n)),
						 plain && (n == 0 || c != 0x7F));
				assert_int_equal(out[n], '#');
			}
		}
	}
	assert_true(strbuf_copy_plain((char[1]){'#'}, STR_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_grow_and_end_in_nul),
		cmocka_unit_test(long_printf_is_whole),
		cmocka_unit_test(the_cap_is_exact_and_sticks),
		cmocka_unit_test(every_kind_of_append_minds_the_cap),
		cmocka_unit_test(reserve_and_advance),
		cmocka_unit_test(take_gives_the_bytes_away),
		cmocka_unit_test(json_strings),
		cmocka_unit_test(json_strings_escape_at_any_offset),
		cmocka_unit_test(what_is_copied_plain_is),
		cmocka_unit_test(json_doubles),
		cmocka_unit_test(base64_of_rfc_4648),
	};

	return cmocka_run_group_tests_name("strbuf", tests, NULL, NULL);
}
