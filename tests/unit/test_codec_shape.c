/* Texts of PostgreSQL's composite types, and what they are on the wire: also of what the server would not send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/codec/codec.h"
#include "store/codec/codec_int64.h"
#include "tests/support/scratch.h"

#define PG (&dialect_postgres)

static struct column of(const char *db_type)
{
	struct column c = {.name = STR("c"), .nullable = true, .db_type = str_z(db_type)};

	(void)schema_type_by_name(&arena, &c);
	return c;
}

static struct column described(const char *text)
{
	struct column c = {.name = STR("c"), .nullable = true, .logical_word = STR("unknown")};
	const char *pointer, *wrong;
	json_t *v = NULL;

	assert_true(json_parse(&arena, str_z(text), &v, &err));
	if (!schema_type_read(&arena, v, &c, &pointer, &wrong))
		fail_msg("%s: %s %s", text, pointer, wrong);
	return c;
}

static const char *bound(struct column c, const char *text)
{
	struct value v;
	json_t *in = NULL;

	assert_true(json_parse(&arena, str_z(text), &in, &err));
	if (!codec_bind(&arena, PG, &c, in, "/at", &v, &err))
		return arena_printf(&arena, "refused %s", err.pointer).p;
	return v.kind == VALUE_TEXT ? arena_strz(&arena, v.u.s) : "no text";
}

static const char *read_back(struct column c, const char *text)
{
	struct value v = codec_decode(&arena, PG, &c, value_text(str_z(text)));

	return arena_printf(&arena, "%s%.*s", v.kind == VALUE_JSON ? "" : "as it is: ", STR_FMT(v.u.s)).p;
}

static void both_ways(struct column c, const char *text, const char *wire)
{
	assert_string_equal(read_back(c, text), wire);
	assert_string_equal(read_back(c, bound(c, wire)), wire);
}

static void shapes_go_both_ways(void **state)
{
	struct column pair = described("{\"db_type\":\"pair\",\"type_kind\":\"composite\",\"fields\":[{\"name\":\"a\","
				       "\"db_type\":\"integer\"},{\"name\":\"b\",\"db_type\":\"text\"}]}");

	(void)state;
	both_ways(of("int4range"), "[1,5)", "{\"lower\":1,\"upper\":5,\"bounds\":\"[)\"}");
	both_ways(of("int4range"), "empty", "{\"empty\":true}");
	both_ways(of("numrange"), "(,\"2.50\"]", "{\"lower\":null,\"upper\":\"2.50\",\"bounds\":\"(]\"}");
	both_ways(of("int4multirange"), "{}", "[]");
	both_ways(of("vector(3)"), "[1,2.5,-3e-7]", "[1,2.5,-3e-7]");
	both_ways(of("vector[]"), "{\"[1,2]\",\"[]\"}", "[[1,2],[]]");
	both_ways(of("public.hstore"), "\"a\"=>\"1\", \"b\"=>NULL", "{\"a\":\"1\",\"b\":null}");
	both_ways(pair, "(1,\"x \"\"y\\\\\")", "{\"a\":1,\"b\":\"x \\\"y\\\\\"}");
	both_ways(pair, "(,)", "{\"a\":null,\"b\":null}");
	both_ways(pair, "(,\"\")", "{\"a\":null,\"b\":\"\"}");
}

static void what_is_no_such_text_stays(void **state)
{
	static const char *const ranges[] = {"", "[", "[1", "[1,2", "[1,2)x", "1,2)", "[1,\"2)", "[1,2\\"};
	static const char *const pairs[] = {"(1)", "(1,2,3)", "(1,2", "(1,\"2)", "1,2)"};
	struct column pair = described("{\"db_type\":\"pair\",\"type_kind\":\"composite\",\"fields\":[{\"name\":\"a\","
				       "\"db_type\":\"integer\"},{\"name\":\"b\",\"db_type\":\"text\"}]}");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		assert_string_equal(read_back(of("int4range"), ranges[i]),
				    arena_printf(&arena, "as it is: %s", ranges[i]).p);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		assert_string_equal(read_back(pair, pairs[i]), arena_printf(&arena, "as it is: %s", pairs[i]).p);
	assert_string_equal(read_back(of("hstore"), "\"a\"=1"), "as it is: \"a\"=1");
	assert_string_equal(read_back(of("vector"), "[1,"), "as it is: [1,");
}

static void faults_have_a_place(void **state)
{
	(void)state;
	assert_string_equal(bound(of("int4range"), "{\"lower\":\"x\"}"), "refused /at/lower");
	assert_string_equal(bound(of("int4multirange"), "[{\"upper\":1.5}]"), "refused /at/0/upper");
	assert_string_equal(bound(of("hstore"), "{\"a\":[]}"), "refused /at/a");
	assert_string_equal(bound(of("vector"), "[\"1\"]"), "refused /at");
	assert_string_equal(bound(of("hstore"), "{\"a\":\"\\u0000\"}"), "refused /at");
}

static void types_are_read_with_what_they_are_made_of(void **state)
{
	struct column c = {.name = STR("c"), .logical_word = STR("unknown")};
	const char *pointer = "", *wrong = "";
	json_t *v = NULL;

	(void)state;
	c = described("{\"db_type\":\"d\",\"type_kind\":\"domain\",\"base_type\":{\"db_type\":\"e\",\"base_type\":"
		      "\"bigint\"}}");
	assert_int_equal(c.logical, LT_INTEGER);
	assert_int_equal(c.storage, ST_BIGINT);
	assert_true(c.own_type);
	assert_true(
		json_parse(&arena,
			   STR("{\"db_type\":\"r\",\"type_kind\":\"composite\",\"fields\":[{\"name\":\"a\",\"db_type\":"
			       "\"x; drop\"}]}"),
			   &v, &err));
	assert_false(schema_type_read(&arena, v, &c, &pointer, &wrong));
	assert_string_equal(pointer, "/fields/0/db_type");
}

static void integers_inside_become_strings(void **state)
{
	struct value_format fmt = {.int64_as_string = true};
	struct column c = of("int8range"), list = of("bigint[]"), text = of("text[]");
	struct strbuf b;

	(void)state;
	strbuf_init(&b, 0);
	codec_write_decoded(&b, &c, value_json(STR("{\"lower\":9007199254740993,\"upper\":5,\"bounds\":\"[)\"}")),
			    &fmt);
	codec_write_decoded(&b, &list, value_json(STR("[[9007199254740992,-9007199254740993],[1,null]]")), &fmt);
	codec_write_decoded(&b, &text, value_json(STR("[\"9007199254740993\"]")), &fmt);
	assert_string_equal(arena_strz(&arena, strbuf_str(&b)),
			    "{\"lower\":\"9007199254740993\",\"upper\":5,\"bounds\":\"[)\"}"
			    "[[\"9007199254740992\",\"-9007199254740993\"],[1,null]][\"9007199254740993\"]");
	strbuf_done(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(shapes_go_both_ways),
		TEST(what_is_no_such_text_stays),
		TEST(faults_have_a_place),
		TEST(types_are_read_with_what_they_are_made_of),
		TEST(integers_inside_become_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
