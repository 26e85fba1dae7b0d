/* Instants of SQLite in the spellings of others. */
#include "store/codec/time_spelling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

#define US_PER_S INT64_C(1000000)
#define US_PER_DAY (86400 * US_PER_S)
#define JULIAN_1970 2440587.5
#define JULIAN_END 5373484.5 /* the year 10000 */
#define YEAR_1_US (INT64_C(-62135596800) * US_PER_S)
#define YEAR_10000_US (INT64_C(253402300800) * US_PER_S)

/* Places in "YYYY-MM-DDTHH:MM:SS.ffffff". */
#define AT_T 10
#define AT_POINT 19
#define LENGTH 26

static int number(const char *p, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++)
		v = v * 10 + (p[i] - '0');
	return v;
}

/* Days since 1970 of the Gregorian calendar (years are counted from March, so that the leap day is their last). */
static int64_t days_from_date(int year, int month, int day)
{
	const int64_t y = month <= 2 ? year - 1 : year;
	const int64_t era = y / 400, of_era = y - era * 400;
	const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	const int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
	const int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	const int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;

	*ret_day = (int)(of_year - (153 * m + 2) / 5 + 1);
	*ret_month = (int)(m < 10 ? m + 3 : m - 9);
	*ret_year = (int)(y + era * 400 + (*ret_month <= 2));
}

/* Of canonical text. */
static int64_t microseconds(const char *p)
{
	const int64_t days = days_from_date(number(p, 4), number(p + 5, 2), number(p + 8, 2));
	const int64_t seconds = number(p + 11, 2) * 3600 + number(p + 14, 2) * 60 + number(p + 17, 2);

	return days * US_PER_DAY + seconds * US_PER_S + number(p + AT_POINT + 1, 6);
}

static bool put_microseconds(int64_t us, char out[TEMPORAL_BYTES])
{
	int64_t days, rest;
	int year, month, day;
	char text[64];

	if (us < YEAR_1_US || us >= YEAR_10000_US)
		return false;
	days = us >= 0 ? us / US_PER_DAY : -((-us + US_PER_DAY - 1) / US_PER_DAY);
	rest = us - days * US_PER_DAY;
	date_from_days(days, &year, &month, &day);
	(void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06d", year, month, day,
		       (int)(rest / (3600 * US_PER_S)), (int)(rest / (60 * US_PER_S) % 60), (int)(rest / US_PER_S % 60),
		       (int)(rest % US_PER_S));
	memcpy(out, text, LENGTH + 1);
	return true;
}

/* ---- numbers ---- */

/* The unit that a number of that size has where nobody says. */
static enum time_spelling unit_of(double d)
{
	const double size = fabs(d);

	if (d >= 0 && d < JULIAN_END)
		return TIME_JULIAN;
	return size < 1e11 ? TIME_UNIX : size < 1e14 ? TIME_UNIX_MS : TIME_UNIX_US;
}

static bool is_number(enum time_spelling spelling)
{
	return spelling >= TIME_UNIX && spelling <= TIME_JULIAN;
}

/* How many microseconds a unit has. */
static int64_t unit_us(enum time_spelling unit)
{
	return unit == TIME_UNIX ? US_PER_S : unit == TIME_UNIX_MS ? 1000 : 1;
}

static bool put_number(double d, enum time_spelling unit, char out[TEMPORAL_BYTES])
{
	const double per = (double)unit_us(unit), whole = floor(d);

	if (!isfinite(d) || fabs(d) >= 2.6e17 / per)
		return false;
	if (unit == TIME_JULIAN) /* SQLite's own reckoning is by milliseconds */
		return d < JULIAN_END && put_microseconds((int64_t)rint((d - JULIAN_1970) * 86400000.0) * 1000, out);
	/* so many microseconds no double holds */
	return put_microseconds((int64_t)whole * unit_us(unit) + (int64_t)rint((d - whole) * per), out);
}

/* Exact where a double is not. */
static bool put_integer(int64_t i, enum time_spelling unit, char out[TEMPORAL_BYTES])
{
	const int64_t most = INT64_C(260000000000000000) / unit_us(unit);

	if (unit == TIME_JULIAN)
		return put_number((double)i, unit, out);
	return i < most && i > -most && put_microseconds(i * unit_us(unit), out);
}

/* ---- reading ---- */

static bool put_text(struct str s, char out[TEMPORAL_BYTES])
{
	bool aware;

	if (temporal_datetime_read(s, TEMPORAL_STORED, out, &aware)) {
		out[LENGTH] = '\0';
		return true;
	}
	if (!temporal_date(s, out))
		return false;
	memcpy(out + AT_T, "T00:00:00.000000", LENGTH - AT_T + 1);
	return true;
}

bool time_sortable(struct value v, enum time_spelling spelling, char out[TEMPORAL_BYTES])
{
	const bool given = is_number(spelling);
	int64_t i;
	double d;

	switch (v.kind) {
	case VALUE_TEXT: /* digits are a number only where numbers are expected */
		if (given && num_parse_int(v.u.s, &i))
			return put_integer(i, spelling, out);
		if (given && num_parse_double(v.u.s, &d))
			return put_number(d, spelling, out);
		return put_text(v.u.s, out);
	case VALUE_INT:
		return put_integer(v.u.i, given ? spelling : unit_of((double)v.u.i), out);
	case VALUE_DOUBLE:
		return put_number(v.u.d, given ? spelling : unit_of(v.u.d), out);
	case VALUE_NULL:
	case VALUE_BOOL:
	case VALUE_BYTES:
	case VALUE_JSON:
		break;
	}
	return false;
}

static bool put_date(struct value v, char out[TEMPORAL_BYTES])
{
	if (v.kind == VALUE_TEXT && temporal_date(v.u.s, out))
		return true;
	if (!time_sortable(v, TIME_MIXED, out) || strcmp(out + AT_T, "T00:00:00.000000") != 0)
		return false;
	out[AT_T] = '\0';
	return true;
}

bool time_normal(const struct column *c, struct value v, char out[TEMPORAL_BYTES])
{
	if (c->logical == LT_DATETIME)
		return time_sortable(v, c->spelling, out);
	if (c->logical == LT_DATE)
		return put_date(v, out);
	return c->logical == LT_TIME && v.kind == VALUE_TEXT && temporal_time(v.u.s, TEMPORAL_STORED, out);
}

/* ---- ranges ---- */

bool time_spelling_sorts(enum time_spelling spelling)
{
	return spelling == TIME_FERROD || spelling == TIME_JS || (spelling >= TIME_SPACE && spelling <= TIME_SPACE6);
}

static struct str day_text(struct arena *a, int64_t days)
{
	char out[TEMPORAL_BYTES];

	if (days * US_PER_DAY >= YEAR_10000_US)
		return STR(":"); /* above every digit */
	if (!put_microseconds(days * US_PER_DAY, out))
		return STR("");
	out[AT_T] = '\0';
	return arena_str(a, str_z(out));
}

double time_unit_end(enum time_spelling unit)
{
	return unit == TIME_UNIX ? 1e11 : unit == TIME_UNIX_MS ? 1e14 : unit == TIME_UNIX_US ? 9e18 : JULIAN_END;
}

struct time_bounds time_bounds(struct arena *a, struct str sortable)
{
	const double us = (double)microseconds(sortable.p), julian = us / (double)US_PER_DAY + JULIAN_1970;
	const double rounded = fabs(us) < 0x1p53 ? 1 : 64; /* of the microseconds themselves */
	const int64_t days =
		days_from_date(number(sortable.p, 4), number(sortable.p + 5, 2), number(sortable.p + 8, 2));

	/* wider by what rounding may cost: a unit, of days two milliseconds */
	return (struct time_bounds){
		.text_low = day_text(a, days - 1),
		.text_high = day_text(a, days + 2),
		.low = {us / 1e6 - 1, us / 1e3 - 1, us - rounded, julian - 2.5e-8},
		.high = {us / 1e6 + 1, us / 1e3 + 1, us + rounded, julian + 2.5e-8},
	};
}

struct time_bounds time_clock_bounds(struct arena *a, struct str clock)
{
	return (struct time_bounds){
		.text_low = str_n(clock.p, 5),
		.text_high = arena_printf(a, "%.5s;", clock.p), /* which follows the colon */
	};
}

static enum time_spelling text_spelling(struct str s)
{
	char canonical[TEMPORAL_BYTES];
	struct str zone, fraction = STR("");

	if (s.len < AT_POINT || !put_text(s, canonical))
		return TIME_MIXED;
	zone = str_n(s.p + AT_POINT, s.len - AT_POINT);
	if (zone.len > 0 && zone.p[0] == '.') {
		size_t n = 1;

		while (n < zone.len && zone.p[n] >= '0' && zone.p[n] <= '9')
			n++;
		fraction = str_n(zone.p + 1, n - 1);
		zone = str_n(zone.p + n, zone.len - n);
	}
	if (s.p[AT_T] == ' ' && zone.len == 0)
		return fraction.len == 0   ? TIME_SPACE
		       : fraction.len == 3 ? TIME_SPACE3
		       : fraction.len == 6 ? TIME_SPACE6
					   : TIME_MIXED;
	if (s.p[AT_T] != 'T')
		return TIME_MIXED;
	if (str_eq(zone, STR("+00:00")))
		return TIME_OFFSET;
	if (zone.len != 0 && !str_eq(zone, STR("Z")))
		return TIME_MIXED;
	if (fraction.len == 6)
		return TIME_FERROD;
	return fraction.len == 3 && zone.len != 0 ? TIME_JS : TIME_ISO;
}

enum time_spelling time_spelling_of(struct value v)
{
	char canonical[TEMPORAL_BYTES];

	if (v.kind == VALUE_TEXT)
		return text_spelling(v.u.s);
	if (!time_sortable(v, TIME_MIXED, canonical))
		return TIME_MIXED;
	return unit_of(v.kind == VALUE_DOUBLE ? v.u.d : (double)v.u.i);
}

/* ---- writing ---- */

static struct value spell_number(const char *p, enum time_spelling spelling)
{
	const int64_t us = microseconds(p);

	if (spelling == TIME_UNIX_US)
		return value_int(us);
	if (spelling == TIME_UNIX_MS)
		return us % 1000 == 0 ? value_int(us / 1000) : value_double((double)us / 1e3);
	if (spelling == TIME_UNIX)
		return us % US_PER_S == 0 ? value_int(us / US_PER_S) : value_double((double)us / 1e6);
	return value_double((double)us / (double)US_PER_DAY + JULIAN_1970);
}

/* Digits of the fraction: as many as the spelling has, and more where they would be lost. */
static size_t fraction_digits(const char *p, enum time_spelling spelling)
{
	size_t least = spelling == TIME_SPACE6 ? 6 : spelling == TIME_SPACE3 || spelling == TIME_JS ? 3 : 0;
	size_t n = 6;

	while (n > 0 && p[AT_POINT + n] == '0')
		n--;
	if (n > least)
		least = spelling == TIME_ISO ? n : n <= 3 && least == 3 ? 3 : 6;
	return least;
}

struct value time_spell(struct arena *a, struct str canonical, enum time_spelling spelling)
{
	const bool aware = canonical.p[canonical.len - 1] == 'Z';
	const char *zone = "";
	size_t digits;

	if (spelling == TIME_FERROD || spelling == TIME_MIXED)
		return value_text(canonical);
	if (spelling >= TIME_UNIX)
		return spell_number(canonical.p, spelling);
	if (spelling == TIME_JS || (spelling == TIME_ISO && aware))
		zone = "Z";
	else if (spelling == TIME_OFFSET)
		zone = "+00:00";
	digits = fraction_digits(canonical.p, spelling);
	return value_text(arena_printf(
		a, "%.10s%c%.8s%.*s%s", canonical.p, spelling >= TIME_SPACE && spelling <= TIME_SPACE6 ? ' ' : 'T',
		canonical.p + AT_T + 1, digits > 0 ? (int)digits + 1 : 0, canonical.p + AT_POINT, zone));
}
