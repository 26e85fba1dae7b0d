/* Clocks: deadlines and the text form of instants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "service/base/clock.h"
#include "service/base/macros.h"

static void clocks_go_forward(void **state UNUSED)
{
	int64_t a = clock_mono_ns(), b = clock_mono_ns();

	assert_true(a > 0);
	assert_true(b >= a);
	/* between 2020 and 2200 */
	assert_true(clock_real_us() > INT64_C(1577836800000000));
	assert_true(clock_real_us() < INT64_C(7258118400000000));
}

static void deadlines_saturate(void **state UNUSED)
{
	int64_t before = clock_mono_ns(), deadline = clock_deadline(1.5), after = clock_mono_ns();

	assert_true(deadline >= before + 1500 * CLOCK_NS_PER_MS);
	assert_true(deadline <= after + 1500 * CLOCK_NS_PER_MS);
	assert_true(clock_deadline(0) == CLOCK_NEVER);
	assert_true(clock_deadline(-1) == CLOCK_NEVER);
	assert_true(clock_deadline((double)NAN) == CLOCK_NEVER);
	assert_true(clock_deadline((double)INFINITY) == CLOCK_NEVER);
	assert_true(clock_deadline(1e300) == CLOCK_NEVER);
	assert_true(clock_deadline(9.1e9) > 0);
	assert_true(clock_min(1, 2) == 1);
	assert_true(clock_min(CLOCK_NEVER, 2) == 2);
}

static void assert_rfc3339(int64_t us, const char *expected)
{
	char buf[CLOCK_RFC3339_BYTES];

	clock_rfc3339(us, buf);
	assert_string_equal(buf, expected);
}

static void instants_print(void **state UNUSED)
{
	assert_rfc3339(0, "1970-01-01T00:00:00.000Z");
	assert_rfc3339(INT64_C(1767323045678901), "2026-01-02T03:04:05.678Z");
	assert_rfc3339(INT64_C(951782400000000), "2000-02-29T00:00:00.000Z");
	assert_rfc3339(INT64_C(951868799999999), "2000-02-29T23:59:59.999Z");
	assert_rfc3339(INT64_C(4107542400000000), "2100-03-01T00:00:00.000Z");
	assert_rfc3339(-1, "1969-12-31T23:59:59.999Z");
	assert_rfc3339(-1000000, "1969-12-31T23:59:59.000Z");
	assert_rfc3339(INT64_MIN, "0000-01-01T00:00:00.000Z");
	assert_rfc3339(INT64_MAX, "9999-12-31T23:59:59.999Z");
}

/* Every day of four centuries and more against the C library's calendar. */
static void days_agree_with_the_c_library(void **state UNUSED)
{
	for (int64_t day = -80000; day < 120000; day++) {
		char buf[CLOCK_RFC3339_BYTES], expected[64];
		time_t t = (time_t)(day * 86400);
		struct tm tm;

		clock_rfc3339(day * INT64_C(86400000000), buf);
		assert_non_null(gmtime_r(&t, &tm));
		assert_int_equal(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &tm), 24);
		assert_string_equal(buf, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks_go_forward),
		cmocka_unit_test(deadlines_saturate),
		cmocka_unit_test(instants_print),
		cmocka_unit_test(days_agree_with_the_c_library),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
