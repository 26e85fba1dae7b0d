/* The quick reader against jansson's: what it takes is the same tree, what jansson refuses it declines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "service/base/json.h"
#include "service/base/json_quick.h"
#include "service/base/limits.h"
#include "tests/support/scratch.h"

static json_t *quick(struct str text)
{
	/* a copy of its own, so that a byte read beyond the end shows */
	char *copy = arena_alloc(&arena, text.len + 1);

	memcpy(copy, text.p, text.len);
	return json_quick(&arena, str_n(copy, text.len), SIZE_MAX);
}

/* What the other reader makes of it, borrowed; NULL: it refuses. An escape beside the text keeps the quick one away. */
static const json_t *slow(struct str text)
{
	json_t *v;

	if (!json_parse(&arena, arena_printf(&arena, "[\"\\u0020\",%.*s]", STR_FMT(text)), &v, &err))
		return NULL;
	return json_array_size(v) == 2 ? json_array_get(v, 1) : NULL;
}

/* The same tree to jansson, and written in the same way: order and digits are the same, too. */
static void same(struct str text)
{
	json_t *q = quick(text);
	const json_t *s = slow(text);
	struct strbuf a, b;

	if (q == NULL)
		return;
	if (s == NULL)
		fail_msg("taken: %.*s", STR_FMT(text));
	strbuf_init(&a, 0);
	strbuf_init(&b, 0);
	json_write(&a, q, false);
	json_write(&b, s, false);
	if (!str_eq(strbuf_str(&a), strbuf_str(&b)) || !json_equal(q, s))
		fail_msg("%.*s became %s", STR_FMT(text), a.p);
	strbuf_done(&a);
	strbuf_done(&b);
	json_decref(q);
}

static void what_is_usual_is_taken(void **state UNUSED)
{
	static const char *const texts[] = {
		"{\"sql\":\"SELECT \\\"a\\\"\\n\\t\\\\ \\/ \\b\\f\\r FROM t\",\"params\":[1,-2,null,true,false]}",
		" { \"a\" : [ ] , \"b\" : { } , \"\" : \"\" } \r\n",
		"[[[]],{},\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80 and more than sixteen bytes\",123456789012345678,-0]",
		"\"text of many bytes, with \\\"quotes\\\" far behind the first block of sixteen\"",
		"1.5",
		"-1e3",
		"0",
		"-17",
		"null",
		"true",
		"false",
		"12345678901234567890",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		json_t *v = quick(str_z(texts[i]));

		if (v == NULL)
			fail_msg("declined: %s", texts[i]);
		json_decref(v);
		same(str_z(texts[i]));
	}
}

static void what_is_wrong_or_rare_is_declined(void **state UNUSED)
{
	static const char *const texts[] = {
		"",
		" ",
		"{",
		"[",
		"\"",
		"\"\\",
		"\"\\\"",
		"{\"a\"",
		"{\"a\":",
		"{\"a\":1",
		"{\"a\":1,",
		"{\"a\":1,}",
		"[1,",
		"[1,]",
		"[,1]",
		"{,}",
		"{} {}",
		"[1 2]",
		"tru",
		"nul",
		"fals",
		"truex",
		"-",
		"01",
		"-01",
		"1.",
		".5",
		"1e",
		"1e+",
		"+1",
		"1-2",
		"[\"\n\"]",
		"[\"\x80\"]",
		"[\"\xED\xA0\x80\"]",
		"[\"\xC3\"]",
		"\"\\u0041\"",
		"\"\\x\"",
		"{\"\\n\":1}",
		"{a:1}",
		"NaN",
		"{\"a\":1,\"b\":2,\"a\":3}",
		"\xEF\xBB\xBF{}",
		"[1]]",
		"{\"a\":1}}",
		"\"a\\",
		"'a'",
		"[\x7F]",
		"\x01",
	};
	char text[2 * (LIMIT_JSON_DEPTH + 1)];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (quick(str_z(texts[i])) != NULL)
			fail_msg("taken: %s", texts[i]);
	assert_null(quick(STR("null\0")));
	assert_null(quick(STR("\"a\0b\"")));
	memset(text, '[', LIMIT_JSON_DEPTH + 1);
	memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
	assert_null(quick(str_n(text, sizeof(text))));
}

/* The bound is the same one whichever reader comes to it. */
static void values_are_counted_alike(void **state UNUSED)
{
	static const struct {
		const char *text;
		size_t n;
	} cases[] = {{"1", 1}, {"[1,2,3]", 4}, {"[]", 2}, {"{\"a\":[],\"b\":{\"c\":1}}", 5}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *v = json_quick(&arena, str_z(cases[i].text), cases[i].n);

		assert_non_null(v);
		json_decref(v);
		assert_null(json_quick(&arena, str_z(cases[i].text), cases[i].n - 1));
		assert_true(json_parse_body(&arena, str_z(cases[i].text), cases[i].n, &v, &err));
		assert_false(json_parse_body(&arena, str_z(cases[i].text), cases[i].n - 1, &v, &err));
		assert_int_equal(err.code, ERR_PAYLOAD_TOO_LARGE);
	}
}

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Documents with a byte or two exchanged, dropped or doubled: mostly nearly right ones. */
static void damaged_documents_are_judged_alike(void **state UNUSED)
{
	static const char *const seeds[] = {
		"{\"model_name\":\"Item\",\"where\":[{\"node_kind\":\"leaf\",\"column\":\"id\",\"operator\":\"==\","
		"\"value\":777}],"
		"\"limit\":100}",
		"{\"sql\":\"SELECT \\\"a\\\", 'x' FROM t\\nWHERE b = $1\",\"params\":[1,-2.5,null,true,\"\xC3\xA4\"]}",
		"[{\"a\":{\"a\":[[],{}]},\"b\":\"\\\\\"},\"\",0,-1,1e5,false]",
	};
	static const char bytes[] = "{}[]:,\"\\0123456789-+.eE tfnul\n\x80\xC3\xA4\x01/";
	char text[256];
	uint32_t random = 20;

	for (unsigned round = 0; round < 30000; round++) {
		const char *seed = seeds[round % ARRAY_LEN(seeds)];
		size_t len = strlen(seed);

		memcpy(text, seed, len);
		for (unsigned i = next(&random) % 3 + 1; i > 0; i--) {
			const size_t at = next(&random) % len;
			const char byte = bytes[next(&random) % (sizeof(bytes) - 1)];

			switch (next(&random) % 3) {
			case 0:
				text[at] = byte;
				break;
			case 1:
				memmove(text + at, text + at + 1, --len - at);
				break;
			default:
				memmove(text + at + 1, text + at, len++ - at);
				text[at] = byte;
				break;
			}
		}
		same(str_n(text, len));
		arena_reset(&arena);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_usual_is_taken),
		TEST(what_is_wrong_or_rare_is_declined),
		TEST(values_are_counted_alike),
		TEST(damaged_documents_are_judged_alike),
	};

	return cmocka_run_group_tests_name("json_quick", tests, NULL, NULL);
}
