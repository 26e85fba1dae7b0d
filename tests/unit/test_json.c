/* JSON: what is refused and where, both writers, pointers, and the object reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "service/base/json.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "tests/support/scratch.h"

static json_t *parse(struct str text)
{
	json_t *v = NULL;

	if (!json_parse(&arena, text, &v, &err))
		fail_msg("refused: %s", err.detail);
	assert_non_null(v);
	return v;
}

static void refuses(struct str text, const char *detail)
{
	json_t *v = NULL;

	assert_false(json_parse(&arena, text, &v, &err));
	assert_null(v);
	assert_int_equal(err.code, ERR_INVALID_JSON);
	assert_non_null(strstr(err.detail, detail));
	assert_false(err.has_pointer);
}

static void any_value_is_a_document(void **state UNUSED)
{
	assert_true(json_is_null(parse(STR("null"))));
	assert_true(json_is_true(parse(STR(" true\n"))));
	assert_int_equal(json_integer_value(parse(STR("-7"))), -7);
	assert_true(json_is_array(parse(STR("[]"))));
	assert_true(str_eq(json_str(parse(STR("\"a\\u0000b\""))), STR("a\0b")));
	assert_true(json_integer_value(parse(STR("9223372036854775807"))) == INT64_MAX);
	assert_true(json_integer_value(parse(STR("-9223372036854775808"))) == INT64_MIN);
	assert_true(json_is_real(parse(STR("1e-999"))));
}

static void malformed_text_is_refused(void **state UNUSED)
{
	refuses(STR(""), "the body is empty");
	refuses(STR_NONE, "the body is empty");
	refuses(STR(" \r\n\t"), "the body is empty");
	refuses(STR("{\"a\":1"), "ends too early");
	refuses(STR("[\"abc"), "ends too early");
	refuses(STR("{} {}"), "bytes follow");
	refuses(STR("null\0"), "NUL byte"); /* jansson takes it for the end of the text */
	refuses(STR("null\0garbage"), "NUL byte");
	refuses(STR("[\0]"), "NUL byte");
	refuses(STR("{\"a\":1,\"b\":2,\"a\":3}"), "occurs twice");
	refuses(STR("[1,]"), "syntax error");
	refuses(STR("{a:1}"), "syntax error");
	refuses(STR("[01]"), "syntax error");
	refuses(STR("[NaN]"), "syntax error");
	refuses(STR("[\"\n\"]"), "syntax error");
	refuses(STR("\xEF\xBB\xBF{}"), "syntax error");
	refuses(STR("[\"\x80\"]"), "UTF-8");
	refuses(STR("[\"\xED\xA0\x80\"]"), "UTF-8");
	refuses(STR("[\"\\ud800\"]"), "syntax error");
	refuses(STR("{\"a\\u0000b\":1}"), "NUL character");
	refuses(STR("{\n \"a\": x}"), "line 2, column");
}

static void the_text_is_never_quoted(void **state UNUSED)
{
	static const char *const texts[] = {"hunter2",          "[hunter2]",  "{\"hunter2\":1,\"hunter2\":2}",
					    "[\"hunter2]",      "{} hunter2", "{\"hunter2\" 1}",
					    "[\"hunter2\x80\"]"};
	json_t *v;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_false(json_parse(&arena, str_z(texts[i]), &v, &err));
		assert_null(strstr(err.detail, "hunter"));
	}
}

static void depth_is_bounded(void **state UNUSED)
{
	static char text[400000];
	json_t *v;

	memset(text, '[', LIMIT_JSON_DEPTH);
	memset(text + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
	assert_true(json_is_array(parse(str_n(text, 2 * LIMIT_JSON_DEPTH))));
	memset(text, '[', LIMIT_JSON_DEPTH + 1);
	memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
	refuses(str_n(text, 2 * (LIMIT_JSON_DEPTH + 1)), "nested deeper");
	memset(text, '[', sizeof(text));
	refuses(str_n(text, sizeof(text)), "nested deeper");
	for (size_t i = 0; i + 5 <= sizeof(text); i += 5)
		memcpy(text + i, "{\"a\":", 5);
	refuses(str_n(text, sizeof(text)), "nested deeper");
	/* brackets in strings, also behind an escaped quote, do not count */
	memset(text, '[', sizeof(text));
	memcpy(text, "\"\\\"\\\\\\\"", 7);
	text[sizeof(text) - 1] = '"';
	assert_true(json_is_string(parse(str_n(text, sizeof(text)))));
	/* nor do closed ones */
	text[0] = '[';
	for (size_t i = 1; i + 3 < sizeof(text); i += 3)
		memcpy(text + i, "[],", 3);
	assert_true(json_parse(&arena, STR("[[],[],[[]],\"\\\\\",[]]"), &v, &err));
	memcpy(text + 3 * 1000 + 1, "1]", 2);
	assert_int_equal(json_array_size(parse(str_n(text, 3 * 1000 + 3))), 1001);
}

static void numbers_keep_their_digits(void **state UNUSED)
{
	static const struct {
		const char *text, *written; /* NULL: as it came */
	} cases[] = {
		{"9223372036854775808", NULL},
		{"[9223372036854775807,-9223372036854775808,-9223372036854775809]", NULL},
		{"1.50", NULL},
		{"[0,-0,-0.0,0.10,1E2,1e+2,1e999,-1e-999,123456789012345678901234567890.5]", NULL},
		{"{\"a\":{\"x\":[1,2],\"y\":{}},\"b\":[[],[0,[-1e400]]],\"1.5\":\"1.5\"}", NULL},
		{"{\"k\":\"\\\"1.5\",\"n\":1.5,\"m\":2}", NULL},
		{" [ 1.0 , 2 ] ", "[1.0,2]"},
	};
	json_t *v, *copy;
	struct strbuf b;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *want = cases[i].written != NULL ? cases[i].written : cases[i].text;

		assert_true(json_parse(&arena, str_z(cases[i].text), &v, &err));
		copy = json_dup(&arena, v);
		for (int round = 0; round < 2; round++) {
			strbuf_init(&b, 0);
			json_write(&b, round == 0 ? v : copy, false);
			assert_string_equal(b.p, want);
			strbuf_done(&b);
		}
		assert_true(json_equal(v, copy));
		json_decref(copy);
	}
	v = parse(STR("[1.5,5,1e400,-0]"));
	assert_true(json_is_real(json_array_get(v, 0)) && json_real_value(json_array_get(v, 0)) > 1.4);
	assert_true(str_eq(json_number_token(json_array_get(v, 0)), STR("1.5")));
	assert_true(json_is_integer(json_array_get(v, 1)) && json_number_token(json_array_get(v, 1)).p == NULL);
	assert_true(json_real_value(json_array_get(v, 2)) > 1e308);
}

static void numbers_are_equal_by_their_value(void **state)
{
	static const char *const groups[] = {
		"[1,1.0,10e-1,0.1e1,1e0,1E+0,0.0001e4]",
		"[0,-0,0.0,0e99,-0.00e-5]",
		"[123456789012345678901234567890.5,12345678901234567890123456789.05e1]",
		"[123456789012345678901234567890.6]",
		"[1e400,10e399,0.1e401]",
		"[1e401]",
		"[-1,-1.0]",
		"[0.1,0.10]",
		"[0.1000000000000000055]",
		"[9223372036854775807,9223372036854775807.0]",
		"[9223372036854775808]",
		"[1e99999999999999999999]",
		"[1e-99999999999999999999]",
		"[101,1.01e2]",
		"[11]",
	};

	(void)state;
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		for (size_t h = 0; h < ARRAY_LEN(groups); h++) {
			const json_t *a = parse(str_z(groups[g])), *b = parse(str_z(groups[h]));

			for (size_t i = 0; i < json_array_size(a); i++)
				for (size_t k = 0; k < json_array_size(b); k++)
					assert_int_equal(json_number_equal(json_array_get(a, i), json_array_get(b, k)),
							 g == h);
		}
	}
}

static void writes(const char *text, bool sorted, const char *expected)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	json_write(&b, parse(str_z(text)), sorted);
	assert_false(strbuf_failed(&b));
	assert_string_equal(b.p, expected);
	strbuf_done(&b);
}

static void writing_is_compact(void **state UNUSED)
{
	writes("{ \"b\" : [ 1 , -2.50 , true , false , null , \"x\\n\\u00e9\" ] , \"a\" : { } , \"c\" : [ ] }", false,
	       "{\"b\":[1,-2.50,true,false,null,\"x\\n\xC3\xA9\"],\"a\":{},\"c\":[]}");
	writes("{\"b\":1,\"a\":{\"z\":1,\"y\":2}}", true, "{\"a\":{\"y\":2,\"z\":1},\"b\":1}");
	writes("{}", true, "{}");
	writes("1E2", false, "1E2");
	writes("-9223372036854775808", false, "-9223372036854775808");
	writes("\"a\\u0000\"", false, "\"a\\u0000\"");
}

/* Expected texts: Python 3, json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")). */
static void canonical_form_is_pythons(void **state UNUSED)
{
	static const struct {
		const char *text, *canonical;
	} cases[] = {
		{"{\"b\":1,\"a\":[1e22,1.5,100.0,1e-7,-0.0,1e16,123456789.125]}",
		 "{\"a\":[1e+22,1.5,100.0,1e-07,-0.0,1e+16,123456789.125],\"b\":1}"},
		{"\"caf\\u00E9 \\ud83c\\udfac \\u007f \\u20AC / \\\" \\\\ \\b\\f\\n\\r\\t\\u000b\\u0000\"",
		 "\"caf\\u00e9 \\ud83c\\udfac \\u007f \\u20ac / \\\" \\\\ \\b\\f\\n\\r\\t\\u000b\\u0000\""},
		{"{\"\\ud83c\\udfac\":1,\"\\ufffd\":2,\"Z\":3,\"a\":4,\"\":5,\"aa\":6}",
		 "{\"\":5,\"Z\":3,\"a\":4,\"aa\":6,\"\\ufffd\":2,\"\\ud83c\\udfac\":1}"},
		{"[null,true,false,{},[]]", "[null,true,false,{},[]]"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf b;

		strbuf_init(&b, 0);
		json_write_canonical(&b, parse(str_z(cases[i].text)));
		assert_false(strbuf_failed(&b));
		assert_string_equal(b.p, cases[i].canonical);
		strbuf_done(&b);
	}
}

/* The reference implementation's own vector: the SHA-256 of the canonical IR is its fingerprint. */
static void the_reference_fingerprint_comes_out(void **state UNUSED)
{
	static char text[64 * 1024];
	FILE *f = fopen("tests/golden/vectors/schema_phase1_fixture_models_v1.json", "rb");
	struct strbuf b;
	uint8_t digest[32];
	char hex[65];
	json_t *doc;
	size_t n;

	assert_non_null(f); /* the suites run from the root of the tree */
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	assert_true(n < sizeof(text));
	doc = parse(str_n(text, n));
	strbuf_init(&b, 0);
	json_write_canonical(&b, json_object_get(doc, "ir"));
	num_sha256(strbuf_str(&b), digest);
	num_hex(digest, sizeof(digest), hex);
	assert_string_equal(hex, "aafcfe76d373bbce78092eb728456ddc7ff1d6a6f3ac647514e210bc84af143e");
	assert_string_equal(hex, json_string_value(json_object_get(doc, "fingerprint")));
	strbuf_done(&b);
}

static void pointers_escape(void **state UNUSED)
{
	assert_string_equal(json_pointer_key(&arena, "", STR("a/b~c")), "/a~1b~0c");
	assert_string_equal(json_pointer_key(&arena, "/x", STR("")), "/x/");
	assert_string_equal(json_pointer_index(&arena, "/x", 12), "/x/12");
}

static void types_have_names(void **state UNUSED)
{
	assert_string_equal(json_type_name(parse(STR("null"))), "null");
	assert_string_equal(json_type_name(parse(STR("false"))), "boolean");
	assert_string_equal(json_type_name(parse(STR("1"))), "integer");
	assert_string_equal(json_type_name(parse(STR("1.0"))), "number");
	assert_string_equal(json_type_name(parse(STR("\"\""))), "string");
	assert_string_equal(json_type_name(parse(STR("[]"))), "array");
	assert_string_equal(json_type_name(parse(STR("{}"))), "object");
}

static void reader_reads(void **state UNUSED)
{
	const json_t *obj = parse(STR("{\"s\":\"x\",\"b\":true,\"i\":5,\"n\":1.5,\"m\":2,\"o\":{},\"a\":[],\"y\":null,"
				      "\"z\":null}"));
	struct json_reader r;
	struct str s = STR_NONE;
	bool b = false;
	int64_t i = 0;
	double n = 0, m = 0;
	const json_t *o = NULL, *a = NULL, *y = NULL;

	json_reader_init(&r, &arena, obj, "/q", &err);
	assert_true(json_reader_str(&r, "s", &s));
	assert_true(json_reader_bool(&r, "b", &b));
	assert_true(json_reader_int(&r, "i", 0, 5, &i));
	assert_true(json_reader_number(&r, "n", 0, 2, &n));
	assert_true(json_reader_number(&r, "m", 0, 2, &m));
	assert_true(json_reader_object(&r, "o", &o));
	assert_true(json_reader_array(&r, "a", &a));
	assert_true(json_reader_any(&r, "y", &y));
	assert_false(json_reader_str(&r, "z", &s));
	assert_false(json_reader_int(&r, "absent", 0, 5, &i));
	json_reader_require(&r, "s");
	json_reader_require(&r, "y"); /* null is a value for json_reader_any */
	assert_true(json_reader_done(&r));
	assert_true(str_eq_z(s, "x"));
	assert_true(b);
	assert_int_equal(i, 5);
	assert_true(n > 1.4 && n < 1.6);
	assert_true(m > 1.9 && m < 2.1);
	assert_true(json_is_object(o) && json_is_array(a) && json_is_null(y));
}

enum kind { KIND_STR, KIND_BOOL, KIND_INT, KIND_NUMBER, KIND_OBJECT, KIND_ARRAY };

static bool read_kind(struct json_reader *r, enum kind kind, const char *key)
{
	struct str s;
	bool b;
	int64_t i;
	double n;
	const json_t *v;

	switch (kind) {
	case KIND_STR:
		return json_reader_str(r, key, &s);
	case KIND_BOOL:
		return json_reader_bool(r, key, &b);
	case KIND_INT:
		return json_reader_int(r, key, -1, 10, &i);
	case KIND_NUMBER:
		return json_reader_number(r, key, 0, 10, &n);
	case KIND_OBJECT:
		return json_reader_object(r, key, &v);
	case KIND_ARRAY:
		return json_reader_array(r, key, &v);
	}
	return false;
}

static void reader_refuses(void **state UNUSED)
{
	static const struct {
		enum kind kind;
		const char *text, *detail;
	} cases[] = {
		{KIND_STR, "{\"k\":1}", "must be a string, not integer"},
		{KIND_BOOL, "{\"k\":\"true\"}", "must be a boolean, not string"},
		{KIND_INT, "{\"k\":1.0}", "must be an integer, not number"},
		{KIND_INT, "{\"k\":true}", "must be an integer, not boolean"},
		{KIND_INT, "{\"k\":11}", "must be from -1 to 10"},
		{KIND_INT, "{\"k\":-2}", "must be from -1 to 10"},
		{KIND_NUMBER, "{\"k\":10.5}", "must be from 0 to 10"},
		{KIND_NUMBER, "{\"k\":-1}", "must be from 0 to 10"},
		{KIND_NUMBER, "{\"k\":\"1\"}", "must be a number, not string"},
		{KIND_OBJECT, "{\"k\":[]}", "must be an object, not array"},
		{KIND_ARRAY, "{\"k\":{}}", "must be an array, not object"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_reader r;

		json_reader_init(&r, &arena, parse(str_z(cases[i].text)), "/q/0", &err);
		assert_false(read_kind(&r, cases[i].kind, "k"));
		assert_false(json_reader_done(&r));
		assert_int_equal(err.code, ERR_INVALID_REQUEST);
		assert_string_equal(err.pointer, "/q/0/k");
		assert_string_equal(err.detail, cases[i].detail);
	}
}

static void reader_refuses_unknown_and_missing_members(void **state UNUSED)
{
	struct json_reader r;
	struct str s;

	json_reader_init(&r, &arena, parse(STR("{\"a\":\"x\",\"b/c\":1}")), "", &err);
	assert_true(json_reader_str(&r, "a", &s));
	assert_false(json_reader_done(&r));
	assert_int_equal(err.code, ERR_INVALID_REQUEST);
	assert_string_equal(err.pointer, "/b~1c");
	assert_string_equal(err.detail, "unknown member");

	json_reader_init(&r, &arena, parse(STR("{}")), NULL, &err);
	assert_false(json_reader_str(&r, "a", &s));
	json_reader_require(&r, "a");
	assert_false(json_reader_done(&r));
	assert_string_equal(err.pointer, "/a");
	assert_string_equal(err.detail, "missing member");

	json_reader_init(&r, &arena, parse(STR("{\"a\":null}")), "", &err);
	assert_false(json_reader_str(&r, "a", &s));
	json_reader_require(&r, "a");
	assert_false(json_reader_done(&r));
	assert_string_equal(err.detail, "must not be null");
}

static void reader_takes_no_object_and_refuses_others(void **state UNUSED)
{
	struct json_reader r;
	struct str s;

	json_reader_init(&r, &arena, NULL, "", &err);
	assert_false(json_reader_str(&r, "a", &s));
	assert_true(json_reader_done(&r));
	json_reader_init(&r, &arena, parse(STR("[1]")), "/x", &err);
	assert_false(json_reader_str(&r, "a", &s));
	assert_false(json_reader_done(&r));
	assert_string_equal(err.pointer, "/x");
	assert_string_equal(err.detail, "must be an object, not array");
}

static void the_first_fault_sticks(void **state UNUSED)
{
	struct json_reader r;
	struct str s = STR("kept");

	json_reader_init(&r, &arena, parse(STR("{\"a\":1,\"b\":\"x\",\"c\":2}")), "", &err);
	assert_false(json_reader_str(&r, "a", &s));
	assert_false(json_reader_str(&r, "b", &s));
	json_reader_fault(&r, "b", "second %d", 2);
	assert_false(json_reader_done(&r));
	assert_string_equal(err.pointer, "/a");
	assert_true(str_eq_z(s, "kept"));
	json_reader_init(&r, &arena, NULL, "/p", &err);
	json_reader_fault(&r, NULL, "own %s", "words");
	assert_false(json_reader_done(&r));
	assert_string_equal(err.pointer, "/p");
	assert_string_equal(err.detail, "own words");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_value_is_a_document),
		TEST(malformed_text_is_refused),
		TEST(the_text_is_never_quoted),
		TEST(depth_is_bounded),
		TEST(numbers_keep_their_digits),
		TEST(numbers_are_equal_by_their_value),
		TEST(writing_is_compact),
		TEST(canonical_form_is_pythons),
		TEST(the_reference_fingerprint_comes_out),
		TEST(pointers_escape),
		TEST(types_have_names),
		TEST(reader_reads),
		TEST(reader_refuses),
		TEST(reader_refuses_unknown_and_missing_members),
		TEST(reader_takes_no_object_and_refuses_others),
		TEST(the_first_fault_sticks),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
