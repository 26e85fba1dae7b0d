/* Functions on the instants of others. */
#include <string.h>

#include "store/codec/time_spelling.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

/* False: no text, no number, or out of memory, which shows elsewhere. */
static bool read_value(sqlite3_value *v, struct value *ret)
{
	const char *p;

	switch (sqlite3_value_type(v)) {
	case SQLITE_INTEGER:
		*ret = value_int(sqlite3_value_int64(v));
		return true;
	case SQLITE_FLOAT:
		*ret = value_double(sqlite3_value_double(v));
		return true;
	case SQLITE_TEXT:
		p = (const char *)sqlite3_value_text(v);
		*ret = value_text(str_n(p, p != NULL ? (size_t)sqlite3_value_bytes(v) : 0));
		return p != NULL;
	default:
		return false;
	}
}

static void ferro_time(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const int unit = n == 2 ? sqlite3_value_int(args[1]) : TIME_MIXED;
	char out[TEMPORAL_BYTES];
	struct value v;

	if (read_value(args[0], &v) && unit >= 0 && unit < TIME_N_SPELLINGS &&
	    time_sortable(v, (enum time_spelling)unit, out))
		sqlite3_result_text(ctx, out, -1, SQLITE_TRANSIENT);
	else
		sqlite3_result_value(ctx, args[0]);
}

static void answer_normal(sqlite3_context *ctx, sqlite3_value *arg, enum logical_type logical)
{
	const struct column c = {.logical = logical};
	char out[TEMPORAL_BYTES];
	struct value v;

	if (read_value(arg, &v) && time_normal(&c, v, out))
		sqlite3_result_text(ctx, out, -1, SQLITE_TRANSIENT);
	else
		sqlite3_result_value(ctx, arg);
}

static void ferro_date(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	(void)n;
	answer_normal(ctx, args[0], LT_DATE);
}

static void ferro_clock(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	(void)n;
	answer_normal(ctx, args[0], LT_TIME);
}

/* With the zone: of a text its own, of a number or a date the column's (the third argument: it has zones). */
static void ferro_time_text(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const int unit = sqlite3_value_int(args[1]);
	char out[TEMPORAL_BYTES];
	struct value v;
	bool aware;

	(void)n;
	if (!read_value(args[0], &v)) {
		sqlite3_result_value(ctx, args[0]);
		return;
	}
	if (v.kind != VALUE_TEXT || !temporal_datetime_read(v.u.s, TEMPORAL_STORED, out, &aware)) {
		if (unit < 0 || unit >= TIME_N_SPELLINGS || !time_sortable(v, (enum time_spelling)unit, out)) {
			sqlite3_result_value(ctx, args[0]);
			return;
		}
		if (sqlite3_value_int(args[2]) != 0)
			memcpy(out + strlen(out), "Z", 2);
	}
	sqlite3_result_text(ctx, out, -1, SQLITE_TRANSIENT);
}

/* The last of six digits: where it is no zero, who writes fractions only where there is one writes six as well. */
static bool needs_six(struct value v)
{
	const size_t last = sizeof("2026-01-02T03:04:05.123456") - 2;

	return v.kind == VALUE_TEXT && v.u.s.len > last && v.u.s.p[last] != '0';
}

/* The word of a spelling, or "either" of ferrod and iso. */
static void ferro_time_spelling(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct value v;

	(void)n;
	if (read_value(args[0], &v) && time_spelling_of(v) == TIME_FERROD && needs_six(v))
		sqlite3_result_text(ctx, "either", -1, SQLITE_STATIC);
	else if (read_value(args[0], &v))
		sqlite3_result_text(ctx, time_spelling_name(time_spelling_of(v)), -1, SQLITE_STATIC);
	else if (sqlite3_value_type(args[0]) != SQLITE_NULL)
		sqlite3_result_text(ctx, time_spelling_name(TIME_MIXED), -1, SQLITE_STATIC);
}

int sqlite_time_register(struct sqlite_conn *c)
{
	static const struct sqlite_function functions[] = {
		{"ferro_time", 1, ferro_time, SQLITE_DETERMINISTIC},
		{"ferro_time", 2, ferro_time, SQLITE_DETERMINISTIC},
		{"ferro_time_text", 3, ferro_time_text, SQLITE_DETERMINISTIC},
		{"ferro_date", 1, ferro_date, SQLITE_DETERMINISTIC},
		{"ferro_clock", 1, ferro_clock, SQLITE_DETERMINISTIC},
		{"ferro_time_spelling", 1, ferro_time_spelling, SQLITE_DETERMINISTIC},
	};

	return sqlite_functions_add(c, functions, ARRAY_LEN(functions));
}
