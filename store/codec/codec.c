/* Binding: JSON or text in, a checked and normalised value out. The table at the end says which rule a logical type
 * has. */
#include "store/codec/codec.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "service/base/num.h"
#include "store/codec/codec_rules.h"
#include "store/codec/codec_shape.h"
#include "store/codec/decimal.h"
#include "store/codec/temporal.h"
#include "store/codec/time_spelling.h"

#include "service/base/banned.h"

/* One value on its way in. */
struct bind {
	struct arena *arena;
	const struct dialect *dialect;
	const struct column *column;
	const char *pointer;
	struct value *ret;
	struct err *err;
};

static bool takes(const struct bind *b, const char *what)
{
	return err_set_at(b->err, ERR_INVALID_VALUE, b->pointer, "column \"%.*s\" takes %s", STR_FMT(b->column->name),
			  what);
}

static bool give(const struct bind *b, struct value v)
{
	*b->ret = v;
	return true;
}

static bool on_postgres(const struct bind *b)
{
	return b->dialect->id == DIALECT_POSTGRES;
}

/* Text as a text or varchar column holds it. */
static bool give_text(const struct bind *b, struct str s)
{
	const struct column *c = b->column;

	if (on_postgres(b) && s.len != 0 && memchr(s.p, '\0', s.len) != NULL)
		return takes(b, "text without NUL characters");
	if (codec_stored_as_text(c) && c->length > 0 && s.len > (size_t)c->length &&
	    str_utf8_count(s) > (size_t)c->length)
		return err_set_at(b->err, ERR_INVALID_VALUE, b->pointer,
				  "column \"%.*s\" takes at most %lld characters", STR_FMT(c->name),
				  (long long)c->length);
	return give(b, value_text(s));
}

/* ---- integers ---- */

static bool give_int(const struct bind *b, int64_t i)
{
	const enum storage_type st = b->column->storage;
	int64_t max = INT64_MAX;

	if (on_postgres(b) && st == ST_SMALLINT)
		max = INT16_MAX;
	else if (on_postgres(b) && st == ST_INT)
		max = INT32_MAX;
	if (i > max || i < -max - 1)
		return err_set_at(b->err, ERR_INVALID_VALUE, b->pointer,
				  "column \"%.*s\" takes integers from %lld to %lld on this database",
				  STR_FMT(b->column->name), (long long)-max - 1, (long long)max);
	return give(b, value_int(i));
}

static bool integer_text(const struct bind *b, struct str s)
{
	int64_t i;

	if (!num_parse_int(s, &i))
		return takes(b, "an integer of at most 64 bits");
	return give_int(b, i);
}

static bool integer_json(const struct bind *b, const json_t *in)
{
	const struct str token = json_number_token(in);
	struct str canonical;
	int64_t i;
	double d;

	if (json_is_integer(in))
		return give_int(b, json_integer_value(in));
	/* 5.0 and 1e3 are integers, whatever their length */
	if (token.p != NULL && decimal_canonical(b->arena, token, &canonical) &&
	    num_parse_int(decimal_trim(canonical), &i))
		return give_int(b, i);
	d = json_is_real(in) && token.p == NULL ? json_real_value(in) : 0.5;
	if (d == rint(d) && fabs(d) <= 0x1p53)
		return give_int(b, (int64_t)d);
	return takes(b, "an integer of at most 64 bits");
}

/* ---- numbers and decimals ---- */

static bool give_double(const struct bind *b, double d)
{
	if (isnan(d) && !on_postgres(b))
		return takes(b, "numbers, but NaN cannot be stored on SQLite");
	return give(b, value_double(d));
}

static bool number_text(const struct bind *b, struct str s)
{
	double d;

	if (!num_parse_double(s, &d))
		return takes(b, "a number, \"NaN\", \"Infinity\" or \"-Infinity\"");
	return give_double(b, d);
}

static bool number_json(const struct bind *b, const json_t *in)
{
	if (json_is_number(in) && isfinite(json_number_value(in)))
		return give_double(b, json_number_value(in));
	return takes(b, "a number in the range of a double");
}

/* A REAL column keeps what a double keeps. */
static bool give_real_decimal(const struct bind *b, struct str canonical)
{
	double d;

	if (decimal_significant(canonical) > DECIMAL_DOUBLE_DIGITS)
		return takes(b, "decimals of at most 15 significant digits on SQLite");
	if (!num_parse_double(canonical, &d) || (fabs(d) < DBL_MIN && decimal_significant(canonical) > 0))
		return takes(b, "decimals in the range of a double on SQLite");
	return give(b, value_double(d));
}

/* What numeric holds besides numbers. */
static bool no_number(struct str s, struct str *ret)
{
	static const char *const words[] = {"NaN", "Infinity", "-Infinity"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		*ret = str_z(words[i]);
		if (str_ieq_z(s, words[i]))
			return true;
	}
	return false;
}

static bool decimal_text(const struct bind *b, struct str s)
{
	struct str canonical;

	if (on_postgres(b) && !codec_stored_as_text(b->column) && no_number(s, &canonical))
		return give(b, value_text(canonical));
	if (!decimal_canonical(b->arena, s, &canonical))
		return takes(b, "a decimal number, as a string of digits");
	if (codec_stored_as_text(b->column))
		return give_text(b, canonical);
	if (!on_postgres(b))
		return give_real_decimal(b, canonical);
	return give(b, value_text(canonical));
}

static bool decimal_json(const struct bind *b, const json_t *in)
{
	char buf[NUM_DOUBLE_BYTES];

	if (json_number_token(in).p != NULL)
		return decimal_text(b, json_number_token(in));
	if (json_is_integer(in))
		(void)num_format_int(json_integer_value(in), buf);
	else if (json_is_real(in))
		(void)num_format_double(json_real_value(in), buf);
	else
		return takes(b, "a decimal number, as a string or a number");
	return decimal_text(b, str_z(buf));
}

/* ---- booleans ---- */

static bool boolean_text(const struct bind *b, struct str s)
{
	if (str_ieq_z(s, "true") || str_ieq_z(s, "t") || str_eq(s, STR("1")))
		return give(b, value_bool(true));
	if (str_ieq_z(s, "false") || str_ieq_z(s, "f") || str_eq(s, STR("0")))
		return give(b, value_bool(false));
	return takes(b, "true or false");
}

static bool boolean_json(const struct bind *b, const json_t *in)
{
	if (json_is_boolean(in))
		return give(b, value_bool(json_is_true(in)));
	if (json_is_integer(in) && (json_integer_value(in) == 0 || json_integer_value(in) == 1))
		return give(b, value_bool(json_integer_value(in) == 1));
	return takes(b, "true or false");
}

/* ---- text and what is written as text ---- */

static bool string_text(const struct bind *b, struct str s)
{
	return give_text(b, s);
}

static bool no_json(const struct bind *b, const json_t *in)
{
	(void)in;
	return takes(b, "a string");
}

static bool uuid_text(const struct bind *b, struct str s)
{
	char out[CODEC_UUID_BYTES];

	if (!codec_uuid(s, out))
		return takes(b, "a uuid");
	if (!on_postgres(b) && b->column->uuid_bytes)
		return give(b, codec_uuid_blob(b->arena, out));
	if (!on_postgres(b) && b->column->uuid_hex)
		codec_uuid_hex(out);
	return give_text(b, arena_str(b->arena, str_z(out)));
}

/* Only the database's own types hold what no calendar of RFC 3339 has. */
static bool beyond(const struct bind *b, struct str s, bool time, bool zone, char out[TEMPORAL_BYTES])
{
	return on_postgres(b) && !codec_stored_as_text(b->column) && temporal_beyond(s, time, zone, out);
}

static bool datetime_text(const struct bind *b, struct str s)
{
	const bool instants =
		b->column->storage == ST_TIMESTAMPTZ || (b->column->storage == ST_DATETIME_LOGICAL && on_postgres(b));
	char out[TEMPORAL_BYTES + 1];
	size_t len;
	bool aware;

	if (beyond(b, s, true, instants, out))
		return give(b, value_text(arena_str(b->arena, str_z(out))));
	if (!temporal_datetime(s, on_postgres(b) && !codec_stored_as_text(b->column) ? TEMPORAL_WIRE : TEMPORAL_STORED,
			       out, &aware))
		return takes(b, "a datetime (RFC 3339, years 1 to 9999, at most microseconds)");
	len = strlen(out);
	if (instants && !aware) {
		out[len++] = 'Z';
		out[len] = '\0';
	} else if (b->column->storage == ST_TIMESTAMP && aware) {
		out[len - 1] = '\0';
	}
	if (!on_postgres(b) && b->column->spelling != TIME_FERROD)
		return give(b, time_spell(b->arena, arena_str(b->arena, str_z(out)), b->column->spelling));
	return give_text(b, arena_str(b->arena, str_z(out)));
}

static bool date_text(const struct bind *b, struct str s)
{
	char out[TEMPORAL_BYTES];

	if (beyond(b, s, false, false, out))
		return give(b, value_text(arena_str(b->arena, str_z(out))));
	if (!temporal_date(s, out))
		return takes(b, "a date (YYYY-MM-DD)");
	return give_text(b, arena_str(b->arena, str_z(out)));
}

/* 24:00, 24:00:00, with zeros behind a point: the end of the day, which PostgreSQL tells from its begin. */
static bool is_midnight_after(struct str s)
{
	static const char *const words[] = {"24:00", "24:00:00"};

	if (s.len > 9 && s.p[8] == '.') {
		while (s.len > 9 && s.p[s.len - 1] == '0')
			s.len--;
		s.len -= s.len == 9;
	}
	return str_eq_z(s, words[0]) || str_eq_z(s, words[1]);
}

static bool time_text(const struct bind *b, struct str s)
{
	char out[TEMPORAL_BYTES];

	if (on_postgres(b) && !codec_stored_as_text(b->column) && is_midnight_after(s))
		return give(b, value_text(STR("24:00:00")));
	if (!temporal_time(s, TEMPORAL_STORED, out))
		return takes(b, "a time of day (HH:MM:SS, at most microseconds, no offset)");
	return give_text(b, arena_str(b->arena, str_z(out)));
}

static bool decode_base64(struct arena *a, struct str s, struct value *ret)
{
	uint8_t *bytes = arena_alloc(a, s.len / 4 * 3 + 1);
	size_t len;

	if (!num_base64_decode(s, bytes, &len))
		return false;
	*ret = value_bytes(str_n((const char *)bytes, len));
	return true;
}

static bool binary_text(const struct bind *b, struct str s)
{
	if (!decode_base64(b->arena, s, b->ret))
		return takes(b, "bytes as base64 (standard alphabet, with padding)");
	return true;
}

/* ---- JSON ---- */

static struct str document(struct arena *a, const json_t *in, bool sorted)
{
	struct strbuf b;
	struct str s;

	strbuf_init(&b, 0);
	json_write(&b, in, sorted);
	s = strbuf_failed(&b) ? STR_NONE : arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return s;
}

/* {"$json": X} is the document X, null too. */
static bool json_json(const struct bind *b, const json_t *in)
{
	const json_t *inside = json_object_size(in) == 1 ? json_object_get(in, "$json") : NULL;
	struct str s = document(b->arena, inside != NULL ? inside : in, true);

	if (s.p == NULL)
		return err_oom(b->err);
	if (!on_postgres(b) && !codec_number_survives(b->column, inside != NULL ? inside : in))
		return takes(b, "a number of 15 significant digits where it is the whole document: SQLite makes a "
				"double of it");
	if (on_postgres(b) && b->column->storage == ST_JSONB && memmem(s.p, s.len, "\\u0000", 6) != NULL)
		return takes(b, "JSON without NUL characters");
	return give(b, value_json(s));
}

static bool json_text(const struct bind *b, struct str s)
{
	struct err ignored;
	json_t *doc;

	if (!json_parse(b->arena, s, &doc, &ignored))
		return takes(b, "a JSON document");
	if (json_is_null(doc))
		return give(b, value_null());
	return json_json(b, doc);
}

/* ---- columns of unknown type ---- */

static bool bind_element(struct arena *a, const struct column *element, const json_t *in, const char *pointer,
			 struct value *ret, struct err *err)
{
	return codec_bind(a, &dialect_postgres, element, in, pointer, ret, err);
}

static bool unknown_json(const struct bind *b, const json_t *in)
{
	const struct codec_array array = {b->arena, b->column, b->pointer, bind_element};

	if (on_postgres(b) && b->column->shape != SHAPE_PLAIN)
		return codec_shape_bind(&array, in, b->ret, b->err);
	return codec_bind_raw(b->arena, in, b->pointer, b->ret, b->err);
}

/* The database's text of a value, or in a URL the JSON that reads answer. */
static bool unknown_text(const struct bind *b, struct str s)
{
	struct err ignored;
	json_t *doc;

	if (on_postgres(b) && b->column->shape != SHAPE_PLAIN && s.len > 0 && (s.p[0] == '{' || s.p[0] == '[') &&
	    json_parse(b->arena, s, &doc, &ignored) && unknown_json(b, doc))
		return true;
	return give_text(b, s);
}

/* ---- the table ---- */

struct bind_rule {
	bool (*json)(const struct bind *b, const json_t *in);
	bool (*text)(const struct bind *b, struct str s);
	bool own_strings; /* a JSON string is a document of its own, not the text of a value */
	bool digits_only; /* a JSON string is refused */
};

static const struct bind_rule rules[] = {
	[LT_INTEGER] = {integer_json, integer_text, false, false},
	[LT_NUMBER] = {number_json, number_text, false, false},
	[LT_DECIMAL] = {decimal_json, decimal_text, false, false},
	[LT_BOOLEAN] = {boolean_json, boolean_text, false, true},
	[LT_STRING] = {no_json, string_text, false, false},
	[LT_DATETIME] = {no_json, datetime_text, false, false},
	[LT_DATE] = {no_json, date_text, false, false},
	[LT_TIME] = {no_json, time_text, false, false},
	[LT_UUID] = {no_json, uuid_text, false, false},
	[LT_BINARY] = {no_json, binary_text, false, false},
	[LT_JSON] = {json_json, json_text, true, false},
	[LT_UNKNOWN] = {unknown_json, unknown_text, false, false},
};

static bool same_as_json(struct value v, const json_t *in)
{
	switch (v.kind) {
	case VALUE_TEXT:
		return json_is_string(in) && str_eq(v.u.s, json_str(in));
	case VALUE_INT:
		return json_is_integer(in) && v.u.i == json_integer_value(in);
	case VALUE_DOUBLE:
		return json_is_number(in) && !(v.u.d < json_number_value(in)) && !(v.u.d > json_number_value(in));
	case VALUE_BOOL:
		return json_is_boolean(in) && v.u.b == json_is_true(in);
	case VALUE_NULL:
	case VALUE_BYTES:
	case VALUE_JSON:
		break;
	}
	return true;
}

/* An enum's value is one of those listed. */
static bool check_enum(const struct bind *b)
{
	const json_t *listed = b->column->enum_values;

	if (listed == NULL || json_array_size(listed) == 0)
		return true;
	for (size_t i = 0; i < json_array_size(listed); i++)
		if (same_as_json(*b->ret, json_array_get(listed, i)))
			return true;
	return takes(b, "one of the values of its enum");
}

bool codec_bind(struct arena *a, const struct dialect *d, const struct column *c, const json_t *in, const char *pointer,
		struct value *ret, struct err *err)
{
	const struct bind_rule *rule = &rules[c->logical];
	struct value v = value_null();
	const struct bind b = {a, d, c, pointer, &v, err};
	bool ok = true;

	if (d->id == DIALECT_SQLITE && json_is_object(in) && codec_untagged(a, c, in, ret))
		return true;
	if (d->id == DIALECT_SQLITE && json_is_number(in) && codec_untyped(c, in, ret))
		return true;
	if (json_is_string(in) && rule->digits_only)
		return takes(&b, "true or false");
	if (json_is_string(in) && !rule->own_strings)
		ok = rule->text(&b, json_str(in)) && check_enum(&b);
	else if (!json_is_null(in))
		ok = rule->json(&b, in) && check_enum(&b);
	if (ok)
		*ret = v;
	return ok;
}

bool codec_bind_text(struct arena *a, const struct dialect *d, const struct column *c, struct str in,
		     const char *pointer, struct value *ret, struct err *err)
{
	struct value v = value_null();
	const struct bind b = {a, d, c, pointer, &v, err};

	if (d->id == DIALECT_SQLITE && codec_untagged_text(a, c, in, ret))
		return true;
	if (!rules[c->logical].text(&b, in) || !check_enum(&b))
		return false;
	*ret = v;
	return true;
}

bool codec_bind_scalar(struct arena *a, const struct dialect *d, const struct column *c, const struct json_scalar *in,
		       struct value *ret)
{
	const struct bind_rule *rule = &rules[c->logical];
	struct value v = value_null();
	struct err ignored;
	const struct bind b = {a, d, c, "", &v, &ignored};
	bool ok = false;

	switch (in->kind) {
	case JSON_SCALAR_STRING:
		ok = !rule->digits_only && !rule->own_strings && rule->text(&b, in->u.s);
		break;
	case JSON_SCALAR_INT:
		ok = c->logical == LT_INTEGER ? give_int(&b, in->u.i)
					      : c->logical == LT_NUMBER && give_double(&b, (double)in->u.i);
		break;
	case JSON_SCALAR_REAL:
		ok = c->logical == LT_NUMBER && give_double(&b, in->u.d);
		break;
	case JSON_SCALAR_BOOL:
		ok = c->logical == LT_BOOLEAN && give(&b, value_bool(in->u.b));
		break;
	case JSON_SCALAR_NULL:
		break;
	}
	ok = ok && check_enum(&b);
	if (ok)
		*ret = v;
	return ok;
}

bool codec_bind_pattern(struct arena *a, const struct dialect *d, const struct column *c, struct str in,
			const char *pointer, struct value *ret, struct err *err)
{
	const struct bind b = {a, d, c, pointer, ret, err};

	if (d->id == DIALECT_POSTGRES && in.len != 0 && memchr(in.p, '\0', in.len) != NULL)
		return takes(&b, "patterns without NUL characters");
	*ret = value_text(in);
	return true;
}

static bool is_integer(struct str token)
{
	for (size_t i = 0; i < token.len; i++)
		if (token.p[i] == '.' || token.p[i] == 'e' || token.p[i] == 'E')
			return false;
	return true;
}

/* A double where it keeps the number's digits, else their text. */
static bool raw_number(struct arena *a, const json_t *in, const char *pointer, struct value *ret, struct err *err)
{
	const struct str token = json_number_token(in);
	struct str canonical;

	*ret = value_double(json_real_value(in));
	if (token.p == NULL)
		return true;
	if (is_integer(token) && !str_eq(token, STR("-0")))
		return err_set_at(err, ERR_INVALID_VALUE, pointer,
				  "this integer has more than 64 bits; send it as a string");
	if (!decimal_canonical(a, token, &canonical))
		return err_set_at(err, ERR_INVALID_VALUE, pointer,
				  "the number has more digits than any database takes");
	if (isfinite(ret->u.d) && (decimal_significant(canonical) <= DECIMAL_DOUBLE_DIGITS ||
				   str_eq(decimal_trim(canonical), decimal_trim(decimal_from_double(a, ret->u.d)))))
		return true;
	*ret = value_text(canonical);
	ret->number = true;
	return true;
}

static bool raw_document(struct arena *a, const json_t *in, struct value *ret, struct err *err)
{
	const struct str s = document(a, in, false);

	if (s.p == NULL)
		return err_oom(err);
	*ret = value_text(s);
	return true;
}

bool codec_bind_raw(struct arena *a, const json_t *in, const char *pointer, struct value *ret, struct err *err)
{
	const json_t *bytes = json_object_size(in) == 1 ? json_object_get(in, "$bytes") : NULL;
	const json_t *document_of = json_object_size(in) == 1 ? json_object_get(in, "$json") : NULL;

	if (json_is_null(in))
		*ret = value_null();
	else if (json_is_boolean(in))
		*ret = value_bool(json_is_true(in));
	else if (json_is_integer(in))
		*ret = value_int(json_integer_value(in));
	else if (json_is_real(in))
		return raw_number(a, in, pointer, ret, err);
	else if (json_is_string(in))
		*ret = value_text(json_str(in));
	else if (document_of != NULL)
		return raw_document(a, document_of, ret, err);
	else if (bytes != NULL) {
		if (!json_is_string(bytes) || !decode_base64(a, json_str(bytes), ret))
			return err_set_at(err, ERR_INVALID_VALUE, pointer,
					  "\"$bytes\" takes base64 (standard alphabet, with padding)");
	} else {
		return raw_document(a, in, ret, err);
	}
	return true;
}
