/* Clocks and the one text form of an instant. */
#include "service/base/clock.h"

#include <string.h>
#include <time.h>

#include "service/base/banned.h"

#define US_PER_S INT64_C(1000000)
#define S_PER_DAY INT64_C(86400)

int64_t clock_mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail: the clock exists and t is ours */
	return (int64_t)t.tv_sec * CLOCK_NS_PER_S + t.tv_nsec;
}

int64_t clock_thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * CLOCK_NS_PER_S + t.tv_nsec;
}

int64_t clock_coarse_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * CLOCK_NS_PER_S + t.tv_nsec;
}

int64_t clock_real_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

int64_t clock_deadline(double seconds)
{
	int64_t now, add;

	if (!(seconds > 0) || seconds >= 9.2e9)
		return CLOCK_NEVER;
	now = clock_mono_ns();
	add = (int64_t)(seconds * (double)CLOCK_NS_PER_S);
	return add < CLOCK_NEVER - now ? now + add : CLOCK_NEVER;
}

/* Year, month and day of a day number since 1970-01-01 in the proleptic Gregorian calendar. Years start in
 * March here, so the leap day is their last, and a 400-year era has 146097 days. */
static void civil(int64_t day, int64_t *ret_year, int64_t *ret_month, int64_t *ret_day)
{
	int64_t shifted = day + 719468; /* since 0000-03-01 */
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t doe = shifted - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t m = (5 * doy + 2) / 153;

	*ret_day = doy - (153 * m + 2) / 5 + 1;
	*ret_month = m < 10 ? m + 3 : m - 9;
	*ret_year = yoe + era * 400 + (*ret_month <= 2);
}

static void put_digits(char *at, size_t n, int64_t v)
{
	while (n-- > 0) {
		at[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

void clock_rfc3339(int64_t real_us, char buf[CLOCK_RFC3339_BYTES])
{
	/* years 0000 to 9999: what RFC 3339 can say */
	const int64_t min = INT64_C(-62167219200) * US_PER_S, max = INT64_C(253402300800) * US_PER_S - 1;
	int64_t us = real_us < min ? min : real_us > max ? max : real_us;
	int64_t s = us >= 0 ? us / US_PER_S : -((-us + US_PER_S - 1) / US_PER_S);
	int64_t day = s >= 0 ? s / S_PER_DAY : -((-s + S_PER_DAY - 1) / S_PER_DAY);
	int64_t year, month, mday, sod = s - day * S_PER_DAY;

	civil(day, &year, &month, &mday);
	static const char form[] = "0000-00-00T00:00:00.000Z";
	memcpy(buf, form, sizeof(form));
	put_digits(buf, 4, year);
	put_digits(buf + 5, 2, month);
	put_digits(buf + 8, 2, mday);
	put_digits(buf + 11, 2, sod / 3600);
	put_digits(buf + 14, 2, sod / 60 % 60);
	put_digits(buf + 17, 2, sod % 60);
	put_digits(buf + 20, 3, (us - s * US_PER_S) / 1000);
}
