/* Stored values of SQLite's from one column's spelling to another's. */
#include "store/codec/codec_respell.h"

#include <string.h>

#include "service/base/num.h"
#include "store/codec/codec.h"
#include "store/codec/codec_rules.h"
#include "store/codec/decimal.h"
#include "store/codec/time_spelling.h"

#include "service/base/banned.h"

#define LOGICAL_BITS 4
#define STORAGE_BITS 5
#define SPELLING_BITS 4

int codec_spelling_code(const struct column *c)
{
	return (int)((unsigned)c->logical | (unsigned)c->storage << LOGICAL_BITS |
		     (unsigned)c->spelling << (LOGICAL_BITS + STORAGE_BITS) |
		     ((unsigned)c->uuid_hex | (unsigned)c->uuid_bytes << 1)
			     << (LOGICAL_BITS + STORAGE_BITS + SPELLING_BITS));
}

static unsigned take(unsigned *code, unsigned bits, unsigned end)
{
	const unsigned n = *code & ((1U << bits) - 1);

	*code >>= bits;
	return n < end ? n : 0;
}

struct column codec_spelling_of(int code)
{
	unsigned rest = (unsigned)code;
	struct column c = {.name = STR(""), .format = STR_NONE, .db_type = STR_NONE, .enum_type_name = STR_NONE};

	c.logical = (enum logical_type)take(&rest, LOGICAL_BITS, LT_UNKNOWN + 1);
	c.storage = (enum storage_type)take(&rest, STORAGE_BITS, ST_UNRESOLVED + 1);
	c.spelling = (enum time_spelling)take(&rest, SPELLING_BITS, TIME_N_SPELLINGS);
	c.uuid_hex = (rest & 1) != 0;
	c.uuid_bytes = (rest & 2) != 0;
	return c;
}

/* May others have written its values in forms of their own? */
static bool has_forms(const struct column *c)
{
	return c->fill.position > 0 || c->spelling != TIME_FERROD;
}

static bool is_number(const struct column *c)
{
	return c->logical == LT_INTEGER || c->logical == LT_NUMBER || c->logical == LT_DECIMAL;
}

/* Of one kind, though not of one name: a day is the instant at its begin. */
static bool is_kin(const struct column *from, const struct column *to)
{
	return from->logical == to->logical || (from->logical == LT_DATE && to->logical == LT_DATETIME) ||
	       (from->logical == LT_DECIMAL && is_number(to));
}

bool codec_respells(const struct column *from, const struct column *to)
{
	if (!is_kin(from, to) || (from->name.p != NULL && from->name.p == to->name.p))
		return false;
	switch (to->logical) {
	case LT_DATETIME:
		return from->logical == LT_DATE || has_forms(from) || from->spelling != to->spelling ||
		       from->storage != to->storage;
	case LT_DATE:
	case LT_TIME:
		return has_forms(from);
	case LT_UUID:
		return from->uuid_hex != to->uuid_hex || from->uuid_bytes != to->uuid_bytes || from->fill.position > 0;
	case LT_DECIMAL:
		return codec_stored_as_text(from) != codec_stored_as_text(to);
	case LT_INTEGER:
	case LT_NUMBER:
		return from->logical == LT_DECIMAL && codec_stored_as_text(from);
	case LT_BOOLEAN:
	case LT_STRING:
	case LT_BINARY:
	case LT_JSON:
	case LT_UNKNOWN:
		break;
	}
	return false;
}

/* With the zone that the value says, or else the one that numbers and days of the column have. */
static bool read_instant(const struct column *from, struct value v, char out[TEMPORAL_BYTES])
{
	bool aware;

	if (v.kind == VALUE_TEXT && temporal_datetime_read(v.u.s, TEMPORAL_STORED, out, &aware))
		return true;
	if (!time_sortable(v, from->spelling, out))
		return false;
	if (from->storage != ST_TIMESTAMP)
		memcpy(out + strlen(out), "Z", 2);
	return true;
}

static struct value instant(struct arena *a, const struct column *from, const struct column *to, struct value v)
{
	char out[TEMPORAL_BYTES];
	size_t len;

	if (!read_instant(from, v, out))
		return v;
	len = strlen(out);
	if (to->storage == ST_TIMESTAMP && out[len - 1] == 'Z')
		out[len - 1] = '\0';
	else if (to->storage == ST_TIMESTAMPTZ && out[len - 1] != 'Z')
		memcpy(out + len, "Z", 2);
	return time_spell(a, arena_str(a, str_z(out)), to->spelling);
}

static struct value day_or_clock(struct arena *a, const struct column *from, struct value v)
{
	char out[TEMPORAL_BYTES];

	return time_normal(from, v, out) ? value_text(arena_str(a, str_z(out))) : v;
}

static struct value uuid(struct arena *a, const struct column *from, const struct column *to, struct value v)
{
	const struct value canonical = codec_decode(a, &dialect_sqlite, from, v);
	char out[CODEC_UUID_BYTES];

	if (canonical.kind != VALUE_TEXT || !codec_uuid(canonical.u.s, out))
		return v;
	if (to->uuid_bytes)
		return codec_uuid_blob(a, out);
	if (to->uuid_hex)
		codec_uuid_hex(out);
	return value_text(arena_str(a, str_z(out)));
}

static struct value decimal(struct arena *a, const struct column *from, const struct column *to, struct value v)
{
	double d;

	if (codec_stored_as_text(to))
		return codec_decode(a, &dialect_sqlite, from, v);
	return v.kind == VALUE_TEXT && num_parse_double(v.u.s, &d) ? value_double(d) : v;
}

struct value codec_respell(struct arena *a, const struct column *from, const struct column *to, struct value v)
{
	if (v.kind == VALUE_NULL || !is_kin(from, to))
		return v;
	switch (to->logical) {
	case LT_DATETIME:
		return instant(a, from, to, v);
	case LT_DATE:
	case LT_TIME:
		return day_or_clock(a, from, v);
	case LT_UUID:
		return uuid(a, from, to, v);
	case LT_DECIMAL:
	case LT_INTEGER:
	case LT_NUMBER:
		return decimal(a, from, to, v);
	case LT_BOOLEAN:
	case LT_STRING:
	case LT_BINARY:
	case LT_JSON:
	case LT_UNKNOWN:
		break;
	}
	return v;
}

bool codec_twin(struct arena *a, const struct dialect *d, const struct column *c, struct value v, struct value *ret)
{
	char out[CODEC_UUID_BYTES];
	struct value plain;

	if (d->id != DIALECT_SQLITE || c->logical != LT_UUID || c->fill.position == 0 ||
	    (v.kind != VALUE_TEXT && v.kind != VALUE_BYTES))
		return false;
	plain = codec_decode(a, d, c, v);
	if (plain.kind != VALUE_TEXT || !codec_uuid(plain.u.s, out))
		return false;
	*ret = v.kind == VALUE_TEXT ? codec_uuid_blob(a, out) : plain;
	return true;
}

/* A whole number of 64 bits, or a double. */
static bool read_number(struct arena *a, struct str text, struct value *ret)
{
	struct str canonical;
	int64_t i;
	double d;

	if (!decimal_canonical(a, text, &canonical))
		return false;
	if (num_parse_int(decimal_trim(canonical), &i)) {
		*ret = value_int(i);
		return true;
	}
	if (!num_parse_double(canonical, &d))
		return false;
	*ret = value_double(d);
	return true;
}

bool codec_read_text(struct arena *a, const struct column *to, struct str text, struct value *ret)
{
	struct err ignored;

	if (to->logical == LT_DECIMAL && !codec_stored_as_text(to))
		return read_number(a, text, ret);
	return codec_bind_text(a, &dialect_sqlite, to, text, "", ret, &ignored);
}

struct str codec_document_of(struct arena *a, const struct column *from, struct value v)
{
	static const struct value_format fmt = {0};
	struct strbuf b;
	struct str s;

	v = codec_decode(a, &dialect_sqlite, from, v);
	if (from->logical == LT_DECIMAL && v.kind == VALUE_TEXT && decimal_canonical(a, v.u.s, &s))
		return s;
	strbuf_init(&b, 0);
	value_write_json(&b, v, &fmt);
	s = strbuf_failed(&b) ? STR("null") : arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return s;
}
