/* A table of ways to write, by logical type and kind of value; whatever is rare goes by codec_decode. */
#include "store/codec/codec_write.h"

#include <math.h>
#include <string.h>

#include "service/base/num.h"
#include "store/codec/codec_int64.h"
#include "store/codec/codec_rules.h"
#include "store/codec/temporal.h"

#include "service/base/banned.h"

enum how {
	HOW_PLAIN,  /* as value_write_json does */
	HOW_DECODE, /* decoded, then as value_write_json does */
	HOW_NULL,
	HOW_BOOL,
	HOW_BOOL_OF_INT,
	HOW_INT,
	HOW_DOUBLE,
	HOW_NUMBER_OF_INT,
	HOW_TEXT,
	HOW_DATETIME,
	HOW_UUID
};

/* Room for whatever is no text: a number, an instant, a uuid, with quotes and a NUL. */
#define ROOM 64

static const uint8_t plain[CODEC_VALUE_KINDS] = {
	[VALUE_NULL] = HOW_NULL, [VALUE_BOOL] = HOW_BOOL,   [VALUE_INT] = HOW_INT,    [VALUE_DOUBLE] = HOW_DOUBLE,
	[VALUE_TEXT] = HOW_TEXT, [VALUE_BYTES] = HOW_PLAIN, [VALUE_JSON] = HOW_PLAIN,
};

void codec_writer_decoded(struct codec_writer *w, const struct column *column, const struct value_format *fmt)
{
	w->fmt = fmt;
	w->dialect = NULL;
	w->column = column;
	memcpy(w->how, plain, sizeof(plain));
	if (fmt->int64_as_string)
		w->how[VALUE_INT] = HOW_PLAIN;
}

/* What the decoder of the column's type looks at; other kinds of values stay as they are (codec_decode.c). */
static void choose(struct codec_writer *w)
{
	const bool postgres = w->dialect->id == DIALECT_POSTGRES;
	const bool padded = postgres && w->column->storage == ST_CHAR;
	uint8_t *how = w->how;

	if (!postgres && w->column->logical != LT_BINARY)
		how[VALUE_BYTES] = HOW_DECODE;
	if (!postgres && (w->column->logical == LT_BINARY || w->column->logical == LT_JSON))
		how[VALUE_DOUBLE] = HOW_DECODE;
	switch (w->column->logical) {
	case LT_INTEGER:
		how[VALUE_TEXT] = how[VALUE_DOUBLE] = HOW_DECODE;
		return;
	case LT_NUMBER:
		how[VALUE_INT] = HOW_NUMBER_OF_INT;
		how[VALUE_TEXT] = HOW_DECODE;
		return;
	case LT_DECIMAL:
		how[VALUE_INT] = how[VALUE_DOUBLE] = HOW_DECODE;
		if (!postgres)
			how[VALUE_TEXT] = HOW_DECODE;
		return;
	case LT_BOOLEAN:
		how[VALUE_INT] = HOW_BOOL_OF_INT;
		how[VALUE_DOUBLE] = how[VALUE_TEXT] = HOW_DECODE;
		return;
	case LT_DATE:
		if (!postgres)
			how[VALUE_TEXT] = how[VALUE_INT] = how[VALUE_DOUBLE] = HOW_DECODE;
		if (padded)
			how[VALUE_TEXT] = HOW_DECODE;
		return;
	case LT_STRING:
		if (padded)
			how[VALUE_TEXT] = HOW_DECODE;
		return;
	case LT_DATETIME:
		how[VALUE_TEXT] = padded ? HOW_DECODE : HOW_DATETIME;
		if (!postgres && w->column->spelling != TIME_FERROD)
			how[VALUE_INT] = how[VALUE_DOUBLE] = HOW_DECODE;
		return;
	case LT_TIME:
		how[VALUE_TEXT] = HOW_DECODE;
		return;
	case LT_UUID:
		how[VALUE_TEXT] = padded ? HOW_DECODE : HOW_UUID;
		how[VALUE_BYTES] = HOW_DECODE;
		return;
	case LT_BINARY:
		how[VALUE_TEXT] = HOW_DECODE;
		return;
	case LT_JSON:
		how[VALUE_TEXT] = how[VALUE_BYTES] = how[VALUE_JSON] = HOW_DECODE;
		return;
	case LT_UNKNOWN:
		if (!postgres || w->column->shape != SHAPE_PLAIN)
			how[VALUE_TEXT] = HOW_DECODE;
		return;
	}
}

void codec_writer(struct codec_writer *w, const struct dialect *d, const struct column *column,
		  const struct value_format *fmt)
{
	codec_writer_decoded(w, column, fmt);
	w->dialect = d;
	if (column != NULL)
		choose(w);
	else
		w->how[VALUE_JSON] = HOW_TEXT;
}

static inline char *put(char *p, const char *literal, size_t len)
{
	memcpy(p, literal, len);
	return p + len;
}

/* NULL: no instant, the value is to go out as it is. */
static char *put_datetime(char *p, struct str s)
{
	char text[TEMPORAL_BYTES];
	bool aware;
	size_t len;

	if (!temporal_datetime_read(s, TEMPORAL_WIRE, text, &aware))
		return NULL;
	len = strlen(text);
	*p++ = '"';
	p = put(p, text, len);
	*p++ = '"';
	return p;
}

static char *put_uuid(char *p, struct str s)
{
	if (!codec_uuid(s, p + 1))
		return NULL;
	p[0] = p[CODEC_UUID_BYTES] = '"';
	return p + CODEC_UUID_BYTES + 1;
}

static char *put_number_of_int(char *p, int64_t i)
{
	if (i < -(INT64_C(1) << 53) || i > INT64_C(1) << 53)
		return NULL;
	return p + num_format_double((double)i, p);
}

/* A text that is short and plain, as most are. */
static inline char *put_text(char *p, struct str s)
{
	if (s.len > ROOM - 2 || !strbuf_copy_plain(p + 1, s))
		return NULL;
	p[0] = p[s.len + 1] = '"';
	return p + s.len + 2;
}

/* Writes a value that fits into ROOM at p. NULL: this is none. */
static inline char *put_small(char *p, const struct value *v, enum how how)
{
	switch (how) {
	case HOW_NULL:
		return put(p, "null", 4);
	case HOW_INT:
		return p + num_format_int(v->u.i, p);
	case HOW_DOUBLE:
		return isfinite(v->u.d) ? p + num_format_double(v->u.d, p) : NULL;
	case HOW_BOOL:
		return v->u.b ? put(p, "true", 4) : put(p, "false", 5);
	case HOW_BOOL_OF_INT:
		if (v->u.i == 0 || v->u.i == 1)
			return v->u.i != 0 ? put(p, "true", 4) : put(p, "false", 5);
		return NULL; /* SQLite may hold any number */
	case HOW_NUMBER_OF_INT:
		return put_number_of_int(p, v->u.i);
	case HOW_DATETIME:
		return put_datetime(p, v->u.s);
	case HOW_UUID:
		return put_uuid(p, v->u.s);
	case HOW_TEXT:
		return put_text(p, v->u.s);
	case HOW_PLAIN:
	case HOW_DECODE:
		break;
	}
	return NULL;
}

/* Prefixes are short and have slack: whole blocks are quicker than a call. */
static inline void put_prefix(char *p, struct str prefix)
{
	for (size_t i = 0; i < prefix.len; i += CODEC_PREFIX_SLACK)
		memcpy(p + i, prefix.p + i, CODEC_PREFIX_SLACK);
}

/* What does not fit into ROOM; the prefix is written. */
static void put_large(struct strbuf *b, struct arena *scratch, const struct codec_writer *w, const struct value *v)
{
	switch ((enum how)w->how[v->kind]) {
	case HOW_UUID:        /* the text is none */
	case HOW_DATETIME:    /* in a form of somebody else's, or none */
	case HOW_BOOL_OF_INT: /* neither 0 nor 1 */
	case HOW_DECODE:
		codec_write_decoded(b, w->column, codec_decode(scratch, w->dialect, w->column, *v), w->fmt);
		return;
	case HOW_DOUBLE:        /* not finite */
	case HOW_NUMBER_OF_INT: /* too large for a double to hold */
	case HOW_PLAIN:
	case HOW_TEXT: /* these are no concern of this function */
	case HOW_NULL:
	case HOW_BOOL:
	case HOW_INT:
		codec_write_decoded(b, w->column, *v, w->fmt);
		return;
	}
}

size_t codec_row_room(const struct codec_writer *writers, size_t n)
{
	size_t room = CODEC_PREFIX_SLACK + ROOM + sizeof(struct codec_ends);

	for (size_t i = 0; i < n; i++)
		room += writers[i].prefix.len + ROOM;
	return room;
}

void codec_write_row(struct strbuf *b, struct arena *scratch, const struct codec_writer *writers, size_t n, size_t room,
		     const struct value *row, const struct codec_ends *ends)
{
	char *p = strbuf_reserve(b, room), *end;

	if (p == NULL)
		return;
	memcpy(p, ends->before, sizeof(ends->before));
	p += ends->n_before;
	for (size_t i = 0; i < n && p != NULL; i++) {
		const struct codec_writer *w = &writers[i];
		const struct value *v = &row[w->index];
		const enum how how = (enum how)w->how[v->kind];

		put_prefix(p, w->prefix);
		p += w->prefix.len;
		end = put_small(p, v, how);
		if (end != NULL) {
			p = end;
			continue;
		}
		strbuf_advance(b, (size_t)(p - b->p) - b->len);
		if (how == HOW_TEXT)
			value_write_text(b, v->u.s);
		else
			put_large(b, scratch, w, v);
		p = strbuf_reserve(b, room);
	}
	if (p == NULL)
		return;
	memcpy(p, ends->after, sizeof(ends->after));
	p += ends->n_after;
	strbuf_advance(b, (size_t)(p - b->p) - b->len);
}
