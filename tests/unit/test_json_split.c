/* The splitter of long JSON texts: the same values and the same end, wherever the text is cut into pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "service/base/json_split.h"
#include "service/base/mem.h"

/* Splits a text that comes in pieces of `step` bytes, each in memory of its own; values are joined with '|', and the
 * result that ended it follows a '!'. */
static void split(struct strbuf *out, struct str text, bool lines, size_t value_max, size_t step)
{
	static const char *const ends[] = {
		[JSON_SPLIT_MORE] = "more",     [JSON_SPLIT_VALUE] = "value",   [JSON_SPLIT_END] = "end",
		[JSON_SPLIT_BROKEN] = "broken", [JSON_SPLIT_MEMBER] = "member", [JSON_SPLIT_TOO_LARGE] = "large"};
	enum json_split_result r = JSON_SPLIT_MORE;
	struct json_split s;

	if (lines)
		json_split_lines(&s, value_max);
	else
		json_split_array(&s, value_max);
	for (size_t at = 0; r == JSON_SPLIT_MORE; at += step) {
		const size_t n = at >= text.len ? 0 : text.len - at < step ? text.len - at : step;
		char *copy = n > 0 ? mem_strndup(text.p + at, n) : mem_strdup("");
		struct str piece = str_n(copy, n), value;

		do {
			r = json_split_next(&s, &piece, n == 0, &value);
			if (r == JSON_SPLIT_VALUE) {
				strbuf_put(out, value);
				strbuf_putc(out, '|');
			}
		} while (r == JSON_SPLIT_VALUE);
		if (r == JSON_SPLIT_MORE)
			assert_int_equal(piece.len, 0);
		mem_free(copy);
	}
	strbuf_putc(out, '!');
	strbuf_puts(out, ends[r]);
	json_split_done(&s);
}

static void check(const char *text, bool lines, size_t value_max, const char *want)
{
	for (size_t step = 1; step <= strlen(text) + 1; step++) {
		struct strbuf out;

		strbuf_init(&out, 0);
		split(&out, str_z(text), lines, value_max, step);
		assert_string_equal(out.p, want);
		strbuf_done(&out);
	}
}

static void arrays(void **state UNUSED)
{
	check("]}", false, 100, "!end");
	check(" \n] \t} \r\n ", false, 100, "!end");
	check("{},{} , {}]}", false, 100, "{}|{} |{}|!end");
	check("{\"a\":[1,{\"b\":2}],\"c\":\"}],{\"}]}", false, 100, "{\"a\":[1,{\"b\":2}],\"c\":\"}],{\"}|!end");
	check("\"a\\\"]\",\"\\\\\",\"\\\\\\\"]\"]}", false, 100, "\"a\\\"]\"|\"\\\\\"|\"\\\\\\\"]\"|!end");
	check("1,null,[[]],true]}", false, 100, "1|null|[[]]|true|!end");
	check("{\"\xc3\xbc\":\"\xf0\x9f\x98\x80\"}]}", false, 100, "{\"\xc3\xbc\":\"\xf0\x9f\x98\x80\"}|!end");
}

static void what_is_between_is_checked(void **state UNUSED)
{
	check("", false, 100, "!broken");
	check(" ", false, 100, "!broken");
	check("{}", false, 100, "{}|!broken");
	check("{},", false, 100, "{}|!broken");
	check("{},]}", false, 100, "{}|!broken");
	check(",{}]}", false, 100, "!broken");
	check("{},,{}]}", false, 100, "{}|!broken");
	check("{}]", false, 100, "{}|!broken");
	check("{}]]", false, 100, "{}|!broken");
	check("{}}", false, 100, "{}|!broken");
	check("{}]}x", false, 100, "{}|!broken");
	check("{}]}{}", false, 100, "{}|!broken");
	check("{}],\"more\":1}", false, 100, "{}|!member");
	check("{}] , 1}", false, 100, "{}|!broken");
	check("{}],", false, 100, "{}|!broken");
	check("]}\x01", false, 100, "!broken");
}

/* Values that are no JSON are handed out as they are: their parser refuses them. */
static void what_is_inside_is_not(void **state UNUSED)
{
	check("{} {},nope]}", false, 100, "{} {}|nope|!end");
	check("{\"a\":1", false, 100, "{\"a\":1|!broken");
	check("\"abc", false, 100, "\"abc|!broken");
	check("{\"a\":]}]}", false, 100, "{\"a\":]|!broken");
}

static void lines(void **state UNUSED)
{
	check("", true, 100, "!end");
	check("\n\n \r\n\t\n", true, 100, "!end");
	check("{}", true, 100, "{}|!end");
	check("{}\n", true, 100, "{}|!end");
	check("{\"n\": 1}\n\n{\"n\": 2}\r\n  {\"n\": 3}  ", true, 100, "{\"n\": 1}|{\"n\": 2}|{\"n\": 3}|!end");
	check("\v\n\f{}\f\n", true, 100, "\v|\f{}\f|!end"); /* white space elsewhere, not in JSON */
	check("{\"a\":\n1}\nx", true, 100, "{\"a\":|1}|x|!end");
}

static void a_value_has_a_bound(void **state UNUSED)
{
	check("12345,12345]}", false, 5, "12345|12345|!end");
	check("12345,123456]}", false, 5, "12345|!large");
	check("12345\n12345", true, 5, "12345|12345|!end");
	check("12345\n123456\n1", true, 5, "12345|!large");
	check("123456", true, 5, "!large");
}

static void bytes_that_are_no_text(void **state UNUSED)
{
	struct strbuf out;

	for (size_t step = 1; step < 9; step++) {
		strbuf_init(&out, 0);
		split(&out, STR("\0\xff,\"\0]\"]}"), false, 100, step);
		assert_true(str_eq(strbuf_str(&out), STR("\0\xff|\"\0]\"|!end")));
		strbuf_done(&out);
	}
}

static void the_opening(void **state UNUSED)
{
	static const char *const no[] = {"",
					 "{",
					 "[",
					 "{\"records\":",
					 "{\"records\":{",
					 "{\"record\":[",
					 "{records:[",
					 "{\"records\" [",
					 "{\"a\":1,\"records\":[",
					 "\xef\xbb\xbf{\"records\":[",
					 "{\"records\":null}"};
	struct str text = STR(" {\n\"records\"\t: [ {}]}");

	assert_true(json_split_opens(&text));
	assert_true(str_eq(text, STR(" {}]}")));
	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		text = str_z(no[i]);
		assert_false(json_split_opens(&text));
		assert_ptr_equal(text.p, no[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays),
		cmocka_unit_test(what_is_between_is_checked),
		cmocka_unit_test(what_is_inside_is_not),
		cmocka_unit_test(lines),
		cmocka_unit_test(a_value_has_a_bound),
		cmocka_unit_test(bytes_that_are_no_text),
		cmocka_unit_test(the_opening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
