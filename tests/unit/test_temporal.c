/* Calendar text: what is read, how it is written, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "service/base/macros.h"
#include "store/codec/temporal.h"

struct pair {
	const char *in, *out;
};

static void datetimes(void **state UNUSED)
{
	static const struct pair pairs[] = {
		{"2026-01-02T03:04:05", "2026-01-02T03:04:05"},
		{"2026-01-02 03:04:05Z", "2026-01-02T03:04:05Z"},
		{"2026-01-02t03:04:05z", "2026-01-02T03:04:05Z"},
		{"2026-01-02T03:04:05.500000+00:00", "2026-01-02T03:04:05.5Z"},
		{"2026-01-02T03:04:05.000001-00:00", "2026-01-02T03:04:05.000001Z"},
		{"2026-01-02T03:04:05.123456000", "2026-01-02T03:04:05.123456"},
		{"2026-01-02 03:04:05.5+00", "2026-01-02T03:04:05.5Z"},
		{"2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"},
		{"2024-02-28T23:30:00-01:00", "2024-02-29T00:30:00Z"},
		{"2023-02-28T23:30:00-01:00", "2023-03-01T00:30:00Z"},
		{"2024-03-01T00:00:00+05:30", "2024-02-29T18:30:00Z"},
		{"2024-03-01T00:00:00+0530", "2024-02-29T18:30:00Z"},
		{"1900-03-01T00:00:00+23:59", "1900-02-28T00:01:00Z"},
		{"2026-01-02T03:04:05+00:53:28", "2026-01-02T02:10:37Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
	};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		char out[TEMPORAL_BYTES];
		bool aware;

		assert_true(temporal_datetime(str_z(pairs[i].in), TEMPORAL_WIRE, out, &aware));
		assert_string_equal(out, pairs[i].out);
		assert_int_equal(aware, str_ends(str_z(pairs[i].out), STR("Z")));
		assert_true(temporal_datetime_read(str_z(out), TEMPORAL_WIRE, out, &aware));
		assert_string_equal(out, pairs[i].out);
	}
}

static void stored_form_sorts(void **state UNUSED)
{
	char out[TEMPORAL_BYTES];
	bool aware;

	assert_true(temporal_datetime(STR("2026-01-02T03:04:05Z"), TEMPORAL_STORED, out, &aware));
	assert_string_equal(out, "2026-01-02T03:04:05.000000Z");
	assert_true(temporal_datetime(STR("2026-01-02T03:04:05.25"), TEMPORAL_STORED, out, &aware));
	assert_string_equal(out, "2026-01-02T03:04:05.250000");
	assert_true(temporal_time(STR("03:04:05.25"), TEMPORAL_STORED, out));
	assert_string_equal(out, "03:04:05.250000");
	assert_true(temporal_time(STR("03:04"), TEMPORAL_STORED, out));
	assert_string_equal(out, "03:04:00");
}

static void what_is_no_datetime(void **state UNUSED)
{
	static const char *const bad[] = {
		"",
		"not a date",
		"2026-01-02",
		"2026-01-02T",
		"2026-01-02T03",
		"2026-01-02T03:04",
		"2026-1-02T03:04:05",
		"2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-02-30T00:00:00Z",
		"2023-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-01-02T24:00:00Z",
		"2026-01-02T23:60:00Z",
		"2026-01-02T23:59:60Z",
		"2026-01-02T03:04:05.Z",
		"2026-01-02T03:04:05.1234567Z",
		"2026-01-02T03:04:05.0000000000Z",
		"2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+1",
		"2026-01-02T03:04:05 Z",
		"2026-01-02T03:04:05Zx",
		"2026-01-02T03:04:05 +00:00",
		"0000-01-01T00:00:00Z",
		"10000-01-01T00:00:00Z",
		"0001-01-01T00:00:00+00:01",
		"9999-12-31T23:59:59-00:01",
		"infinity",
		"0044-03-15 12:00:00+00 BC",
		"2026-01-02\nT03:04:05Z",
		"-2026-01-02T03:04:05Z",
		"2026/01/02T03:04:05Z",
	};
	char out[TEMPORAL_BYTES];
	bool aware;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (temporal_datetime(str_z(bad[i]), TEMPORAL_WIRE, out, &aware))
			fail_msg("taken for a datetime: %s", bad[i]);
	assert_false(temporal_datetime(STR("2026-01-02T03:04:05\0Z"), TEMPORAL_WIRE, out, &aware));
}

static void what_others_stored_is_read(void **state UNUSED)
{
	static const struct pair pairs[] = {
		{"2026-01-02 03:04", "2026-01-02T03:04:00"},
		{"2026-01-02T03:04Z", "2026-01-02T03:04:00Z"},
		{"2026-01-02 03:04:05 +00:00", "2026-01-02T03:04:05Z"},
		{"2026-01-02 03:04:05.123000+02", "2026-01-02T01:04:05.123Z"},
	};
	char out[TEMPORAL_BYTES];
	bool aware;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		assert_true(temporal_datetime_read(str_z(pairs[i].in), TEMPORAL_WIRE, out, &aware));
		assert_string_equal(out, pairs[i].out);
	}
	assert_false(temporal_datetime_read(STR("2026-01-02"), TEMPORAL_WIRE, out, &aware));
}

/* Each day once, against a count of our own. */
static void every_day_of_the_calendar(void **state UNUSED)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	char in[TEMPORAL_BYTES], out[TEMPORAL_BYTES];

	for (int y = 1; y <= 9999; y += y < 1890 || y > 2110 ? 97 : 1) {
		for (int m = 1; m <= 12; m++) {
			int last = lengths[m - 1];

			if (m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0))
				last = 29;
			for (int d = 1; d <= 32; d++) {
				(void)snprintf(in, sizeof(in), "%04d-%02d-%02d", y, m, d);
				assert_int_equal(temporal_date(str_z(in), out), d <= last);
				if (d <= last)
					assert_string_equal(in, out);
			}
		}
	}
	assert_false(temporal_date(STR("2026-01-02 "), out));
	assert_false(temporal_date(STR("26-01-02"), out));
	assert_false(temporal_date(STR("0000-01-01"), out));
}

static void times(void **state UNUSED)
{
	static const struct pair pairs[] = {{"00:00", "00:00:00"},
					    {"23:59:59.999999", "23:59:59.999999"},
					    {"08:30:00.500", "08:30:00.5"},
					    {"01:02:03", "01:02:03"}};
	static const char *const bad[] = {"",          "24:00",          "1:00",   "12:60", "12:00:60",
					  "12:00:00Z", "12:00:00+01:00", "12:00:", "noon"};
	char out[TEMPORAL_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		assert_true(temporal_time(str_z(pairs[i].in), TEMPORAL_WIRE, out));
		assert_string_equal(out, pairs[i].out);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(temporal_time(str_z(bad[i]), TEMPORAL_WIRE, out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datetimes),
		cmocka_unit_test(stored_form_sorts),
		cmocka_unit_test(what_is_no_datetime),
		cmocka_unit_test(what_others_stored_is_read),
		cmocka_unit_test(every_day_of_the_calendar),
		cmocka_unit_test(times),
	};

	return cmocka_run_group_tests_name("temporal", tests, NULL, NULL);
}
