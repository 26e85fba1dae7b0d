/* Reading and writing of calendar text: digits in, checked fields, digits out. */
#include "store/codec/temporal.h"

#include <stdint.h>
#include <string.h>

#include "service/base/banned.h"

struct instant {
	int year, month, day;
	int hour, minute, second;
	int micro;
};

/* What is left to read. */
struct scan {
	struct str rest;
};

static bool take(struct scan *s, char c)
{
	if (s->rest.len == 0 || s->rest.p[0] != c)
		return false;
	s->rest = str_n(s->rest.p + 1, s->rest.len - 1);
	return true;
}

/* Exactly n digits with a value in min..max. */
static bool digits(struct scan *s, size_t n, int min, int max, int *ret)
{
	int v = 0;

	if (s->rest.len < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->rest.p[i] < '0' || s->rest.p[i] > '9')
			return false;
		v = v * 10 + (s->rest.p[i] - '0');
	}
	if (v < min || v > max)
		return false;
	s->rest = str_n(s->rest.p + n, s->rest.len - n);
	*ret = v;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

static bool scan_date(struct scan *s, struct instant *t)
{
	return digits(s, 4, 1, 9999, &t->year) && take(s, '-') && digits(s, 2, 1, 12, &t->month) && take(s, '-') &&
	       digits(s, 2, 1, days_in_month(t->year, t->month), &t->day);
}

/* One to nine digits; what is finer than a microsecond must be zero. */
static bool scan_fraction(struct scan *s, int *ret)
{
	int v = 0;
	size_t n = 0;

	for (; n < s->rest.len && s->rest.p[n] >= '0' && s->rest.p[n] <= '9'; n++) {
		if (n >= 9 || (n >= 6 && s->rest.p[n] != '0'))
			return false;
		if (n < 6)
			v = v * 10 + (s->rest.p[n] - '0');
	}
	if (n == 0)
		return false;
	s->rest = str_n(s->rest.p + n, s->rest.len - n);
	for (; n < 6; n++)
		v *= 10;
	*ret = v;
	return true;
}

static bool scan_time(struct scan *s, bool seconds_optional, struct instant *t)
{
	if (!digits(s, 2, 0, 23, &t->hour) || !take(s, ':') || !digits(s, 2, 0, 59, &t->minute))
		return false;
	t->second = 0;
	t->micro = 0;
	if (!take(s, ':'))
		return seconds_optional;
	if (!digits(s, 2, 0, 59, &t->second))
		return false;
	return !take(s, '.') || scan_fraction(s, &t->micro);
}

/* Nothing, "Z", or a signed offset; *ret_seconds is east of Greenwich. */
static bool scan_offset(struct scan *s, bool *ret_aware, int *ret_seconds)
{
	int hour, minute = 0, second = 0;
	bool west;

	*ret_seconds = 0;
	*ret_aware = s->rest.len != 0;
	if (!*ret_aware || take(s, 'Z') || take(s, 'z'))
		return true;
	west = take(s, '-');
	if (!west && !take(s, '+'))
		return false;
	if (!digits(s, 2, 0, 23, &hour))
		return false;
	if (take(s, ':')) {
		if (!digits(s, 2, 0, 59, &minute) || (take(s, ':') && !digits(s, 2, 0, 59, &second)))
			return false;
	} else if (s->rest.len != 0 && !digits(s, 2, 0, 59, &minute)) {
		return false;
	}
	*ret_seconds = (hour * 60 + minute) * 60 + second;
	if (west)
		*ret_seconds = -*ret_seconds;
	return true;
}

/* The day before or after; false outside the years 1 to 9999. */
static bool step_day(struct instant *t, int by)
{
	t->day += by;
	if (t->day < 1) {
		t->month--;
		if (t->month < 1) {
			t->month = 12;
			t->year--;
		}
		t->day = days_in_month(t->year, t->month);
	} else if (t->day > days_in_month(t->year, t->month)) {
		t->day = 1;
		t->month++;
		if (t->month > 12) {
			t->month = 1;
			t->year++;
		}
	}
	return t->year >= 1 && t->year <= 9999;
}

/* Local time with that offset -> UTC. */
static bool to_utc(struct instant *t, int offset)
{
	const int day = 24 * 60 * 60;
	int seconds = (t->hour * 60 + t->minute) * 60 + t->second - offset;
	bool ok = true;

	if (seconds < 0) {
		seconds += day;
		ok = step_day(t, -1);
	} else if (seconds >= day) {
		seconds -= day;
		ok = step_day(t, 1);
	}
	t->hour = seconds / 3600;
	t->minute = seconds / 60 % 60;
	t->second = seconds % 60;
	return ok;
}

static char *put(char *out, int v, int n)
{
	for (int i = n - 1; i >= 0; i--) {
		out[i] = (char)('0' + v % 10);
		v /= 10;
	}
	return out + n;
}

static char *put_date(char *out, const struct instant *t)
{
	out = put(out, t->year, 4);
	*out++ = '-';
	out = put(out, t->month, 2);
	*out++ = '-';
	return put(out, t->day, 2);
}

/* always: six digits even when the fraction is zero; trim: no trailing zeros. */
static char *put_time(char *out, const struct instant *t, bool always, bool trim)
{
	out = put(out, t->hour, 2);
	*out++ = ':';
	out = put(out, t->minute, 2);
	*out++ = ':';
	out = put(out, t->second, 2);
	if (t->micro != 0 || always) {
		*out++ = '.';
		out = put(out, t->micro, 6);
		while (trim && out[-1] == '0')
			out--;
	}
	return out;
}

static bool datetime(struct str in, bool lenient, enum temporal_style style, char out[TEMPORAL_BYTES], bool *ret_aware)
{
	struct scan s = {in};
	struct instant t;
	bool aware;
	int offset;
	char *end;

	if (!scan_date(&s, &t) || !(take(&s, 'T') || take(&s, ' ') || take(&s, 't')) || !scan_time(&s, lenient, &t))
		return false;
	if (lenient && s.rest.len > 1)
		(void)take(&s, ' ');
	if (!scan_offset(&s, &aware, &offset) || s.rest.len != 0 || !to_utc(&t, offset))
		return false;
	end = put_date(out, &t);
	*end++ = 'T';
	end = put_time(end, &t, style == TEMPORAL_STORED, style == TEMPORAL_WIRE);
	if (aware)
		*end++ = 'Z';
	*end = '\0';
	*ret_aware = aware;
	return true;
}

bool temporal_datetime(struct str in, enum temporal_style style, char out[TEMPORAL_BYTES], bool *ret_aware)
{
	return datetime(in, false, style, out, ret_aware);
}

bool temporal_datetime_read(struct str in, enum temporal_style style, char out[TEMPORAL_BYTES], bool *ret_aware)
{
	return datetime(in, true, style, out, ret_aware);
}

bool temporal_date(struct str in, char out[TEMPORAL_BYTES])
{
	struct scan s = {in};
	struct instant t;

	if (!scan_date(&s, &t) || s.rest.len != 0)
		return false;
	*put_date(out, &t) = '\0';
	return true;
}

static bool scan_long_date(struct scan *s, struct instant *t, size_t *ret_digits)
{
	size_t n = 0;

	while (n < s->rest.len && s->rest.p[n] >= '0' && s->rest.p[n] <= '9')
		n++;
	*ret_digits = n;
	return n >= 4 && n <= 7 && digits(s, n, 1, 9999999, &t->year) && take(s, '-') &&
	       digits(s, 2, 1, 12, &t->month) && take(s, '-') && digits(s, 2, 1, 31, &t->day);
}

static bool is_infinity(struct str in, char *out)
{
	const bool negative = in.len > 0 && in.p[0] == '-';
	const char *word = negative ? "-infinity" : "infinity";

	if (!str_ieq_z(in, word))
		return false;
	memcpy(out, word, strlen(word) + 1);
	return true;
}

bool temporal_beyond(struct str in, bool time, bool zone, char out[TEMPORAL_BYTES])
{
	struct scan s = {in};
	struct instant t = {0};
	bool bc = false, aware;
	size_t n;
	int offset;
	char *end;

	if (is_infinity(in, out))
		return true;
	if (str_ends(s.rest, STR(" BC"))) {
		bc = true;
		s.rest.len -= 3;
	}
	if (!scan_long_date(&s, &t, &n) || (!bc && t.year <= 9999) || (n > 4 && t.year <= 9999) ||
	    t.day > days_in_month(bc ? t.year - 1 : t.year, t.month))
		return false;
	if (time && (!(take(&s, ' ') || take(&s, 'T')) || !scan_time(&s, false, &t) ||
		     !scan_offset(&s, &aware, &offset) || offset != 0))
		return false;
	if (s.rest.len != 0)
		return false;
	end = put(out, t.year, (int)n);
	*end++ = '-';
	end = put(end, t.month, 2);
	*end++ = '-';
	end = put(end, t.day, 2);
	if (time) {
		*end++ = ' ';
		end = put_time(end, &t, false, true);
	}
	memcpy(end, zone ? "+00" : "", zone ? 4 : 1);
	end += zone ? 3 : 0;
	memcpy(end, bc ? " BC" : "", bc ? 4 : 1);
	return true;
}

bool temporal_time(struct str in, enum temporal_style style, char out[TEMPORAL_BYTES])
{
	struct scan s = {in};
	struct instant t;

	if (!scan_time(&s, true, &t) || s.rest.len != 0)
		return false;
	*put_time(out, &t, false, style == TEMPORAL_WIRE) = '\0';
	return true;
}
