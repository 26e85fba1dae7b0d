/* See schema_instant.h. */
#include "store/schema/schema_instant.h"

#include <stdint.h>
#include <string.h>

#include "service/base/arena.h"
#include "service/base/num.h"

#include "service/base/banned.h"

/* Without what changes no instant: the T, a zone that is UTC, a fraction of zeroes; midnight where there is no time. */
static struct str instant(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 10);
	size_t n = s.len;

	memcpy(p, s.p, n);
	if (n > 10 && (p[10] == 'T' || p[10] == 't'))
		p[10] = ' ';
	if (n > 10 && (p[n - 1] == 'Z' || p[n - 1] == 'z'))
		n--;
	else if (n > 13 && memcmp(p + n - 3, "+00", 3) == 0)
		n -= 3;
	else if (n > 16 && memcmp(p + n - 6, "+00:00", 6) == 0)
		n -= 6;
	if (n > 0 && memchr(p, '.', n) != NULL) {
		while (p[n - 1] == '0')
			n--;
		n -= p[n - 1] == '.';
	}
	if (n == 16 || n == 5) {
		memcpy(p + n, ":00", 3);
		n += 3;
	}
	if (n == 10) {
		memcpy(p + n, " 00:00:00", 9);
		n += 9;
	}
	return str_n(p, n);
}

bool instant_same(struct str x, struct str y)
{
	struct arena a;
	bool same;

	arena_init(&a);
	same = str_eq(instant(&a, x), instant(&a, y));
	arena_done(&a);
	return same;
}

/* ---- intervals ---- */

struct interval {
	double months, days, seconds;
};

static bool add(struct interval *i, struct str unit, double n)
{
	static const struct {
		const char *word;
		double months, days, seconds;
	} units[] = {
		{"year", 12, 0, 0},   {"mon", 1, 0, 0},  {"month", 1, 0, 0},   {"week", 0, 7, 0}, {"day", 0, 1, 0},
		{"hour", 0, 0, 3600}, {"min", 0, 0, 60}, {"minute", 0, 0, 60}, {"sec", 0, 0, 1},  {"second", 0, 0, 1},
	};

	if (unit.len > 1 && (unit.p[unit.len - 1] == 's' || unit.p[unit.len - 1] == 'S'))
		unit.len--;
	for (size_t k = 0; k < ARRAY_LEN(units); k++) {
		if (!str_ieq_z(unit, units[k].word))
			continue;
		i->months += n * units[k].months;
		i->days += n * units[k].days;
		i->seconds += n * units[k].seconds;
		return true;
	}
	return false;
}

/* HH:MM:SS.ffffff, perhaps with a sign. */
static bool add_clock(struct interval *i, struct str s)
{
	const bool minus = s.p[0] == '-';
	double factor = 3600;
	struct str part;
	double n;

	if (minus || s.p[0] == '+')
		s = str_n(s.p + 1, s.len - 1);
	for (; str_split(&s, ':', &part); factor /= 60) {
		if (factor < 1 || !num_parse_double(part, &n))
			return false;
		i->seconds += (minus ? -n : n) * factor;
	}
	return true;
}

/* "1 year 2 mons -3 days 04:05:06" */
static bool read_words(struct str s, struct interval *ret)
{
	struct str word, unit;
	double n;

	*ret = (struct interval){0};
	while (str_split(&s, ' ', &word)) {
		if (word.len == 0)
			continue;
		if (memchr(word.p, ':', word.len) != NULL) {
			if (!add_clock(ret, word))
				return false;
			continue;
		}
		if (!num_parse_double(word, &n) || !str_split(&s, ' ', &unit) || !add(ret, unit, n))
			return false;
	}
	return true;
}

/* "P1Y2M-3DT4H5M6S" */
static bool read_iso(struct str s, struct interval *ret)
{
	static const char letters[] = "YMWDHMS";
	static const char *const units[] = {"year", "month", "week", "day", "hour", "minute", "second"};
	bool of_day = false;
	size_t from = 1;

	*ret = (struct interval){0};
	for (size_t i = 1; i < s.len; i++) {
		const char *at = s.p[i] != '\0' ? strchr(of_day ? letters + 4 : letters, s.p[i]) : NULL;
		double n;

		if (s.p[i] == 'T' && !of_day && from == i) {
			of_day = true;
			from = i + 1;
		} else if (at != NULL) {
			if (!num_parse_double(str_n(s.p + from, i - from), &n) ||
			    !add(ret, str_z(units[at - letters]), n))
				return false;
			from = i + 1;
		}
	}
	return s.len > 1 && from == s.len;
}

static bool read(struct str s, struct interval *ret)
{
	return s.len > 0 && (s.p[0] == 'P' ? read_iso(s, ret) : read_words(s, ret));
}

bool interval_same(struct str x, struct str y)
{
	struct interval one, other;

	if (str_eq(x, y))
		return true;
	return read(x, &one) && read(y, &other) && !(one.months < other.months) && !(one.months > other.months) &&
	       !(one.days < other.days) && !(one.days > other.days) && !(one.seconds < other.seconds) &&
	       !(one.seconds > other.seconds);
}
