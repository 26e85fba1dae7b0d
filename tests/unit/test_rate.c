/* Token buckets: how many requests a key may send, at the edges of burst and second, under flows that change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/auth/rate.h"

#define SECOND INT64_C(1000000000)

/* How many of n are let through at that instant; the others tell to come again in `wait` seconds. */
static int through(struct rate *r, const char *name, struct rate_flow flow, int64_t at_ns, int n, int wait)
{
	struct err e;
	int passed = 0;
	for (int i = 0; i < n; i++) {
		if (rate_take(r, str_z(name), flow, at_ns, &e)) {
			passed++;
			continue;
		}
		assert_int_equal(e.code, ERR_TOO_MANY_REQUESTS);
		assert_int_equal(e.retry_after_s, wait);
	}
	return passed;
}

static void names_fill_by_their_own_flow(void **state UNUSED)
{
	struct rate *r = rate_create();
	const struct rate_flow slow = {1, 3}, quick = {10, 0};
	assert_int_equal(through(r, "a", slow, SECOND, 5, 1), 3);
	assert_int_equal(through(r, "b", quick, SECOND, 12, 1), 10);
	assert_int_equal(through(r, "a", slow, 2 * SECOND - 1, 1, 1), 0);
	assert_int_equal(through(r, "a", slow, 2 * SECOND + 1, 2, 1), 1);
	assert_int_equal(through(r, "b", quick, SECOND + SECOND / 10 + 1, 2, 1), 1);
	assert_int_equal(through(r, "a", slow, 100 * SECOND, 5, 1), 3);
	rate_destroy(r);
}

static void a_flow_may_change(void **state UNUSED)
{
	struct rate *r = rate_create();
	const struct rate_flow wide = {1, 100}, narrow = {1, 2};
	assert_int_equal(through(r, "a", wide, SECOND, 90, 1), 90);
	assert_int_equal(through(r, "a", narrow, SECOND + 1, 5, 1), 2); /* the ten that were left are no more */
	assert_int_equal(through(r, "a", wide, SECOND + 2, 1, 1), 0);
	assert_int_equal(through(r, "a", wide, 11 * SECOND + 3, 20, 1), 10);
	rate_destroy(r);
}

static void time_never_runs_backwards(void **state UNUSED)
{
	struct rate *r = rate_create();
	const struct rate_flow flow = {1, 1};
	assert_int_equal(through(r, "a", flow, 10 * SECOND, 1, 1), 1);
	assert_int_equal(through(r, "a", flow, 2 * SECOND, 3, 1), 0);
	assert_int_equal(through(r, "a", flow, 11 * SECOND, 3, 1), 1);
	rate_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_fill_by_their_own_flow),
		cmocka_unit_test(a_flow_may_change),
		cmocka_unit_test(time_never_runs_backwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
