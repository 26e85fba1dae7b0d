/* Reading: a database's value in any spelling -> the canonical one. Never fails: what is not understood stays. */
#include <math.h>
#include <string.h>

#include "service/base/num.h"
#include "store/codec/codec.h"
#include "store/codec/codec_rules.h"
#include "store/codec/codec_shape.h"
#include "store/codec/decimal.h"
#include "store/codec/json_text.h"
#include "store/codec/temporal.h"
#include "store/codec/time_spelling.h"

#include "service/base/banned.h"

struct decode {
	struct arena *arena;
	const struct column *column;
	bool sqlite;
};

static struct value text(const struct decode *d, const char *z)
{
	return value_text(arena_str(d->arena, str_z(z)));
}

static bool whole(double d)
{
	return d == rint(d) && fabs(d) <= 0x1p53;
}

static struct value decode_integer(const struct decode *d, struct value in)
{
	int64_t i;

	(void)d;
	if (in.kind == VALUE_TEXT && num_parse_int(in.u.s, &i)) /* sum(bigint) is numeric on PostgreSQL */
		return value_int(i);
	if (in.kind == VALUE_DOUBLE && whole(in.u.d))
		return value_int((int64_t)in.u.d);
	return in;
}

/* Whole numbers beyond what doubles tell apart keep their digits. */
static struct value decode_number(const struct decode *d, struct value in)
{
	int64_t i;
	double v;

	if (in.kind == VALUE_TEXT && !d->sqlite && num_parse_int(in.u.s, &i))
		in = value_int(i);
	if (in.kind == VALUE_INT && in.u.i >= -(INT64_C(1) << 53) && in.u.i <= INT64_C(1) << 53)
		return value_double((double)in.u.i);
	/* a word in a file stays that word: it is not found as a number */
	if (in.kind == VALUE_TEXT && num_parse_double(in.u.s, &v) && (isfinite(v) || !d->sqlite))
		return value_double(v);
	return in;
}

static struct value decode_decimal(const struct decode *d, struct value in)
{
	char buf[24];

	if (in.kind == VALUE_INT) {
		(void)num_format_int(in.u.i, buf);
		return text(d, buf);
	}
	if (in.kind == VALUE_DOUBLE && isfinite(in.u.d))
		return value_text(decimal_from_double(d->arena, in.u.d));
	if (in.kind == VALUE_TEXT && d->sqlite) {
		struct str canonical;

		if (decimal_canonical(d->arena, in.u.s, &canonical))
			return value_text(canonical);
	}
	return in;
}

static struct value decode_boolean(const struct decode *d, struct value in)
{
	if (in.kind == VALUE_INT && (!d->sqlite || in.u.i == 0 || in.u.i == 1))
		return value_bool(in.u.i != 0);
	if (in.kind == VALUE_DOUBLE && !d->sqlite)
		return value_bool(in.u.d < 0 || in.u.d > 0);
	if (in.kind != VALUE_TEXT)
		return in;
	if (str_ieq_z(in.u.s, "true") || str_ieq_z(in.u.s, "t") || str_eq(in.u.s, STR("1")))
		return value_bool(true);
	if (str_ieq_z(in.u.s, "false") || str_ieq_z(in.u.s, "f") || str_eq(in.u.s, STR("0")))
		return value_bool(false);
	return in;
}

/* Text of a string column; the blanks that PostgreSQL pads char(n) with are not part of the value. */
static struct value decode_string(const struct decode *d, struct value in)
{
	if (in.kind == VALUE_TEXT && d->column->storage == ST_CHAR && !d->sqlite) {
		while (in.u.s.len > 0 && in.u.s.p[in.u.s.len - 1] == ' ')
			in.u.s.len--;
	}
	return in;
}

static struct value decode_uuid(const struct decode *d, struct value in)
{
	char hex[2 * 16 + 1], out[CODEC_UUID_BYTES];

	if (in.kind == VALUE_TEXT && codec_uuid(decode_string(d, in).u.s, out)) {
		if (in.u.s.len == sizeof(out) - 1 && memcmp(in.u.s.p, out, sizeof(out) - 1) == 0)
			return in;
		return text(d, out);
	}
	if (in.kind == VALUE_BYTES && in.u.s.len == 16) {
		num_hex((const uint8_t *)in.u.s.p, 16, hex);
		if (codec_uuid(str_z(hex), out))
			return text(d, out);
	}
	return in;
}

/* With the zone that numbers have. */
static const char *zoned(char out[TEMPORAL_BYTES])
{
	const size_t len = strlen(out);

	out[len] = 'Z';
	out[len + 1] = '\0';
	return out;
}

static struct value decode_datetime(const struct decode *d, struct value in)
{
	char out[TEMPORAL_BYTES], sortable[TEMPORAL_BYTES];
	bool aware;

	if (in.kind == VALUE_TEXT && temporal_datetime_read(decode_string(d, in).u.s, TEMPORAL_WIRE, out, &aware))
		return text(d, out);
	if (d->sqlite && d->column->spelling != TIME_FERROD && time_sortable(in, d->column->spelling, sortable) &&
	    temporal_datetime_read(str_z(sortable), TEMPORAL_WIRE, out, &aware))
		return text(d, d->column->storage == ST_TIMESTAMP ? out : zoned(out));
	return in;
}

static struct value decode_date(const struct decode *d, struct value in)
{
	char out[TEMPORAL_BYTES];

	/* others write midnight for a day */
	if (d->sqlite && in.kind == VALUE_TEXT && in.u.s.len == sizeof("2026-01-02") - 1)
		return in;
	if (d->sqlite && time_normal(d->column, in, out))
		return text(d, out);
	return decode_string(d, in);
}

static struct value decode_time(const struct decode *d, struct value in)
{
	char out[TEMPORAL_BYTES];

	if (in.kind == VALUE_TEXT && temporal_time(decode_string(d, in).u.s, TEMPORAL_WIRE, out))
		return text(d, out);
	return in;
}

/* "\x0aff": PostgreSQL's text form of bytea. */
static bool unhex(struct arena *a, struct str s, struct value *ret)
{
	size_t n = s.len / 2 - 1;
	char *out;

	if (s.len < 2 || s.len % 2 != 0 || s.p[0] != '\\' || s.p[1] != 'x')
		return false;
	out = arena_alloc(a, n + 1);
	for (size_t i = 0; i < n; i++) {
		int high = num_hex_digit(s.p[2 + 2 * i]), low = num_hex_digit(s.p[3 + 2 * i]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (char)(unsigned char)(high << 4 | low);
	}
	*ret = value_bytes(str_n(out, n));
	return true;
}

static struct value decode_binary(const struct decode *d, struct value in)
{
	struct value bytes;

	if (in.kind != VALUE_TEXT)
		return in;
	if (d->sqlite)
		return str_is_utf8(in.u.s) ? codec_tagged(d->arena, "$text", in) : in;
	return unhex(d->arena, in.u.s, &bytes) ? bytes : value_bytes(in.u.s);
}

/* Would the document be read as something else: null, or what says of itself how it is written? */
static bool is_ambiguous(struct arena *a, bool sqlite, struct str s)
{
	static const char *const forms[] = {"$json", "$text", "$bytes"};
	struct err ignored;
	struct str name;
	json_t *v;

	s = str_trim(s);
	if (s.len > 0 && s.p[0] == 'n')
		return true;
	if (s.len < 2 || s.p[0] != '{')
		return false;
	name = str_trim(str_n(s.p + 1, s.len - 1));
	/* whose name may be spelled with escapes */
	if ((!str_starts(name, STR("\"$")) && !str_starts(name, STR("\"\\"))) || !json_parse(a, s, &v, &ignored))
		return false;
	for (size_t i = 0; json_object_size(v) == 1 && i < ARRAY_LEN(forms); i++)
		if (json_object_get(v, forms[i]) != NULL)
			return true;
	return sqlite && codec_is_infinite(v);
}

/* {"$json": X}, where X alone would not be taken for the document that it is. */
static struct value document(const struct decode *d, struct str s)
{
	struct strbuf b;
	struct value v;

	if (!is_ambiguous(d->arena, d->sqlite, s))
		return value_json(s);
	strbuf_init(&b, 0);
	strbuf_puts(&b, "{\"$json\":");
	strbuf_put(&b, s);
	strbuf_putc(&b, '}');
	v = value_json(arena_str(d->arena, strbuf_str(&b)));
	strbuf_done(&b);
	return v;
}

static struct value decode_json(const struct decode *d, struct value in)
{
	if (in.kind == VALUE_JSON)
		return document(d, in.u.s);
	if ((in.kind == VALUE_TEXT || in.kind == VALUE_BYTES) && json_text_valid(in.u.s))
		return document(d, in.u.s);
	if (in.kind == VALUE_TEXT && d->sqlite && str_is_utf8(in.u.s))
		return codec_tagged(d->arena, "$text", in);
	return in;
}

static void decode_element(struct arena *a, const struct column *element, struct value *v)
{
	*v = codec_decode(a, &dialect_postgres, element, *v);
}

static struct value decode_unknown(const struct decode *d, struct value in)
{
	return d->column->shape != SHAPE_PLAIN && !d->sqlite
		       ? codec_shape_decode(d->arena, d->column, in, decode_element)
		       : in;
}

struct decode_rule {
	struct value (*decode)(const struct decode *d, struct value in);
	unsigned traits;
};

#define COMPARED (CODEC_EQUAL | CODEC_ORDERED)

static const struct decode_rule rules[] = {
	[LT_INTEGER] = {decode_integer, COMPARED | CODEC_EXTREMES | CODEC_ARITHMETIC},
	[LT_NUMBER] = {decode_number, COMPARED | CODEC_EXTREMES | CODEC_ARITHMETIC},
	[LT_DECIMAL] = {decode_decimal, COMPARED | CODEC_EXTREMES | CODEC_ARITHMETIC},
	[LT_BOOLEAN] = {decode_boolean, COMPARED},
	[LT_STRING] = {decode_string, COMPARED | CODEC_EXTREMES | CODEC_LIKE | CODEC_CONCAT},
	[LT_DATETIME] = {decode_datetime, COMPARED | CODEC_EXTREMES | CODEC_NOW},
	[LT_DATE] = {decode_date, COMPARED | CODEC_EXTREMES | CODEC_NOW},
	[LT_TIME] = {decode_time, COMPARED | CODEC_EXTREMES | CODEC_NOW},
	[LT_UUID] = {decode_uuid, COMPARED | CODEC_EXTREMES | CODEC_LIKE},
	[LT_BINARY] = {decode_binary, COMPARED},
	[LT_JSON] = {decode_json, CODEC_EQUAL},
	[LT_UNKNOWN] = {decode_unknown, COMPARED | CODEC_EXTREMES | CODEC_LIKE},
};

unsigned codec_traits(const struct column *c)
{
	unsigned traits = rules[c->logical].traits;

	if (c->own_type && !column_ordered(c))
		traits &= ~(unsigned)(CODEC_ORDERED | CODEC_EXTREMES);
	if (c->enum_values != NULL)
		traits &= ~(unsigned)(CODEC_CONCAT | CODEC_ARITHMETIC);
	if (!codec_stored_as_text(c))
		return c->storage == ST_TIME_LOGICAL ? traits | CODEC_LIKE : traits;
	if (c->logical == LT_DECIMAL)
		return CODEC_EQUAL | CODEC_LIKE;
	return c->logical == LT_JSON ? traits : traits | CODEC_LIKE;
}

/* In SQLite a column has what others put into it. The word of an infinite number means that number, where no string
 * means something else: there it is tagged, as the text of that spelling is elsewhere. */
static bool is_misread(const struct column *c, struct value in)
{
	const bool strings = c->logical == LT_BINARY || c->logical == LT_JSON;

	if (in.kind == VALUE_DOUBLE)
		return strings && isinf(in.u.d);
	return in.kind == VALUE_TEXT && !strings && c->logical != LT_STRING &&
	       (str_eq(in.u.s, STR("Infinity")) || str_eq(in.u.s, STR("-Infinity")));
}

struct value codec_decode(struct arena *a, const struct dialect *d, const struct column *c, struct value in)
{
	const struct decode ctx = {a, c, d->id == DIALECT_SQLITE};

	if (in.kind == VALUE_NULL)
		return in;
	if (ctx.sqlite && is_misread(c, in))
		return codec_tagged(a, in.kind == VALUE_TEXT ? "$text" : CODEC_NUMBER, in);
	in = rules[c->logical].decode(&ctx, in);
	if (ctx.sqlite && in.kind == VALUE_BYTES && c->logical != LT_BINARY)
		return codec_tagged(a, "$bytes", in);
	/* the result borrows from `in` or the arena, never from ctx */
	/* cppcheck-suppress returnDanglingLifetime */
	return in;
}

struct str codec_key_text(struct arena *a, const struct column *c, struct value v)
{
	const struct decode ctx = {a, c, false};
	char buf[NUM_DOUBLE_BYTES];
	struct str s;

	if (v.kind != VALUE_NULL)
		v = rules[c->logical].decode(&ctx, v);
	switch (v.kind) {
	case VALUE_NULL:
		return STR("");
	case VALUE_BOOL:
		return v.u.b ? STR("true") : STR("false");
	case VALUE_INT:
		(void)num_format_int(v.u.i, buf);
		return arena_str(a, str_z(buf));
	case VALUE_DOUBLE:
		if (!isfinite(v.u.d))
			return isnan(v.u.d) ? STR("NaN") : v.u.d > 0 ? STR("Infinity") : STR("-Infinity");
		(void)num_format_double(v.u.d, buf);
		return arena_str(a, str_z(buf));
	case VALUE_TEXT:
		if (c->logical == LT_DECIMAL && !codec_stored_as_text(c) && decimal_canonical(a, v.u.s, &s))
			return decimal_trim(s);
		return v.u.s;
	case VALUE_BYTES:
	case VALUE_JSON:
		break;
	}
	return v.u.s;
}
