/* Rows written directly are those that decoding and value_write_json make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "store/codec/codec_write.h"

static const char *const texts[] = {
	"",
	"abc",
	"a \"quoted\" text, longer than a block, with \\ and \n in it",
	"na\xC3\xAFve \xE2\x82\xAC \xFF",
	"padded   ",
	"t",
	"f",
	"TRUE",
	"0",
	"1",
	"-17",
	"12.50",
	"1e3",
	"00.1",
	"NaN",
	"Infinity",
	"9223372036854775807",
	"9007199254740993",
	"2026-01-02",
	"2026-01-02   ",
	"2026-01-02 03:04:05",
	"2026-01-02 03:04:05.120000",
	"2026-01-02 03:04:05.5+02",
	"2026-01-02T03:04:05Z",
	"2026-01-02T03:04Z",
	"2026-02-30T03:04:05Z",
	"0001-01-01 00:00:00+05",
	"03:04",
	"03:04:05.100000",
	"5D0E8F1C-0000-4000-8000-0123456789ab",
	"5d0e8f1c00004000800001234567 89ab",
	"5d0e8f1c000040008000012345678 9ab    ",
	"5d0e8f1c000040008000012345678fab",
	"5d0e8f1c-0000-4000-8000-0123456789ab",
	"\\x00ff10",
	"\\xzz",
	"{\"a\": [1, 2],\n \"b\": null}",
	"{\"a\":",
};

static const int64_t integers[] = {0,         1,        -1, 42, INT64_C(9007199254740992), INT64_C(9007199254740993),
				   INT64_MAX, INT64_MIN};
static const double doubles[] = {0, -0.0, 1, 0.1, -2.5, 1e22, 1e-7, 5e-324, (double)NAN, HUGE_VAL, -HUGE_VAL, 0x1p60};

static const struct codec_ends alone, listed = {",", "}\n", 1, 2};

static void assert_same(const struct dialect *d, const struct column *c, struct value v, const struct value_format *fmt)
{
	static const char prefix[] = "{\"name\":\0padding of the prefix";
	struct codec_writer w = {.index = 1, .prefix = {prefix, 8}};
	const struct value row[2] = {value_text(STR("another")), v};
	struct arena arena;
	struct strbuf direct, expected;

	arena_init(&arena);
	strbuf_init(&direct, 0);
	strbuf_init(&expected, 0);
	strbuf_puts(&expected, "{\"name\":");
	if (c != NULL)
		v = codec_decode(&arena, d, c, v);
	else if (v.kind == VALUE_JSON)
		v.kind = VALUE_TEXT;
	value_write_json(&expected, v, fmt);
	codec_writer(&w, d, c, fmt);
	codec_write_row(&direct, &arena, &w, 1, codec_row_room(&w, 1), row, &alone);
	assert_string_equal(direct.p, expected.p);
	assert_int_equal(direct.len, expected.len);
	strbuf_reset(&direct);
	strbuf_truncate(&expected, 0);
	strbuf_puts(&expected, ",{\"name\":");
	value_write_json(&expected, v, fmt);
	strbuf_puts(&expected, "}\n");
	codec_writer_decoded(&w, NULL, fmt);
	codec_write_row(&direct, &arena, &w, 1, codec_row_room(&w, 1), (struct value[2]){value_null(), v}, &listed);
	assert_string_equal(direct.p, expected.p);
	strbuf_done(&direct);
	strbuf_done(&expected);
	arena_done(&arena);
}

static void assert_all_values(const struct dialect *d, const struct column *c, const struct value_format *fmt)
{
	assert_same(d, c, value_null(), fmt);
	assert_same(d, c, value_bool(true), fmt);
	assert_same(d, c, value_bool(false), fmt);
	for (size_t i = 0; i < ARRAY_LEN(integers); i++)
		assert_same(d, c, value_int(integers[i]), fmt);
	for (size_t i = 0; i < ARRAY_LEN(doubles); i++)
		assert_same(d, c, value_double(doubles[i]), fmt);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_same(d, c, value_text(str_z(texts[i])), fmt);
		assert_same(d, c, value_bytes(str_z(texts[i])), fmt);
	}
	assert_same(d, c, value_bytes(str_n("0123456789abcdef", 16)), fmt);
	assert_same(d, c, value_json(STR("{\"a\": 1,\n\"b\": \"x\\ny\"}")), fmt);
	assert_same(d, c, value_json(STR("7")), fmt);
}

static void every_column_writes_what_it_decodes(void **state UNUSED)
{
	const struct dialect *dialects[] = {&dialect_sqlite, &dialect_postgres};

	for (unsigned bits = 0; bits < 4; bits++) {
		const struct value_format fmt = {.int64_as_string = (bits & 1) != 0, .tag_bytes = (bits & 2) != 0};

		for (size_t k = 0; k < ARRAY_LEN(dialects); k++) {
			for (int logical = LT_INTEGER; logical <= LT_UNKNOWN; logical++) {
				for (int storage = ST_SMALLINT; storage <= ST_UNRESOLVED; storage++) {
					const struct column c = {.logical = (enum logical_type)logical,
								 .storage = (enum storage_type)storage};

					assert_all_values(dialects[k], &c, &fmt);
				}
			}
			assert_all_values(dialects[k], NULL, &fmt);
		}
	}
}

/* Of every length about what is written in one go, plain, and with one byte anywhere that is not. */
static void texts_of_all_lengths(void **state UNUSED)
{
	static const char *const odd[] = {"\"", "\\", "\n", "\x7F", "\xC3\xA4", "\xFF"};
	static const struct value_format fmt;
	char text[100];

	for (size_t len = 0; len < 90; len++) {
		memset(text, 'x', sizeof(text));
		assert_same(&dialect_sqlite, NULL, value_text(str_n(text, len)), &fmt);
		for (size_t k = 0; k < ARRAY_LEN(odd); k++) {
			const size_t n = strlen(odd[k]);

			for (size_t at = 0; at + n <= len; at++) {
				memset(text, 'x', sizeof(text));
				memcpy(text + at, odd[k], n);
				assert_same(&dialect_sqlite, NULL, value_text(str_n(text, len)), &fmt);
			}
		}
	}
}

static void a_failed_buffer_stays_failed(void **state UNUSED)
{
	static const struct value_format fmt;
	struct codec_writer w = {.prefix = STR("{\"n\":              ")};
	const struct value v = value_int(1);
	struct arena arena;
	struct strbuf b;

	arena_init(&arena);
	w.prefix.len = 5;
	codec_writer_decoded(&w, NULL, &fmt);
	strbuf_init(&b, 4);
	codec_write_row(&b, &arena, &w, 1, codec_row_room(&w, 1), &v, &alone);
	assert_true(strbuf_failed(&b));
	strbuf_done(&b);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_column_writes_what_it_decodes),
		cmocka_unit_test(texts_of_all_lengths),
		cmocka_unit_test(a_failed_buffer_stays_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
