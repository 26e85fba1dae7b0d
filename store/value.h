/*
 * A database value on its way in or out: tagged, never owning. Bytes are borrowed from whatever made
 * the value (a cursor's current row, a request's arena, a packed record).
 */
#ifndef FERROD_STORE_VALUE_H
#define FERROD_STORE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "service/base/str.h"
#include "service/base/strbuf.h"

enum value_kind {
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_DOUBLE,
	VALUE_TEXT,  /* UTF-8: strings, uuids, temporal values, decimals */
	VALUE_BYTES, /* binary */
	VALUE_JSON   /* the text of one JSON document, written to the wire as it is */
};

struct value {
	enum value_kind kind;
	bool number; /* TEXT, a client's own argument: the digits of a number that no double keeps */
	union {
		bool b;
		int64_t i;
		double d;
		struct str s; /* TEXT, BYTES, JSON */
	} u;
};

#define VALUE_NULL_INIT ((struct value){.kind = VALUE_NULL})

static inline struct value value_null(void)
{
	return (struct value){.kind = VALUE_NULL};
}
static inline struct value value_bool(bool b)
{
	return (struct value){.kind = VALUE_BOOL, .u.b = b};
}
static inline struct value value_int(int64_t i)
{
	return (struct value){.kind = VALUE_INT, .u.i = i};
}
static inline struct value value_double(double d)
{
	return (struct value){.kind = VALUE_DOUBLE, .u.d = d};
}
static inline struct value value_text(struct str s)
{
	return (struct value){.kind = VALUE_TEXT, .u.s = s};
}
static inline struct value value_bytes(struct str s)
{
	return (struct value){.kind = VALUE_BYTES, .u.s = s};
}
static inline struct value value_json(struct str s)
{
	return (struct value){.kind = VALUE_JSON, .u.s = s};
}

/*
 * The same in place, for cells of rows: a value that is assigned as a whole is put together on the stack and read back
 * from there in wider pieces than it was written in, for which the processor has to wait.
 */
static inline void value_set_null(struct value *v)
{
	v->kind = VALUE_NULL;
	v->number = false;
	v->u.s = (struct str){NULL, 0};
}
static inline void value_set_bool(struct value *v, bool b)
{
	v->kind = VALUE_BOOL;
	v->number = false;
	v->u.i = 0;
	v->u.b = b;
}
static inline void value_set_int(struct value *v, int64_t i)
{
	v->kind = VALUE_INT;
	v->number = false;
	v->u.i = i;
}
static inline void value_set_double(struct value *v, double d)
{
	v->kind = VALUE_DOUBLE;
	v->number = false;
	v->u.d = d;
}
/* TEXT, BYTES or JSON. */
static inline void value_set_str(struct value *v, enum value_kind kind, const char *p, size_t len)
{
	v->kind = kind;
	v->number = false;
	v->u.s.p = p;
	v->u.s.len = len;
}

/* A copy whose bytes live in the arena. */
struct value value_dup(struct arena *a, struct value v);

/* Same kind and same content. */
bool value_equal(struct value a, struct value b);

/* How values are written as JSON. */
struct value_format {
	bool int64_as_string; /* integers beyond +-(2^53 - 1) as strings (Prefer: int64=string) */
	bool tag_bytes;       /* BYTES as {"$bytes": "..."} (raw SQL) instead of a bare base64 string */
};

/* Base64 without quotes. Parks, when it is large. */
void value_write_base64(struct strbuf *b, struct str s);
/* {"$bytes": base64}. Parks, when it is large. */
void value_write_tagged(struct strbuf *b, struct str s);
/* Values that are larger take the processor for long: what looks at or writes one of them parks now and then. */
#define VALUE_PART_BYTES ((size_t)1 << 20)

/* Is it UTF-8? Parks. */
bool value_is_utf8(struct str s);
/* value_write_text of a large one. */
void value_write_large(struct strbuf *b, struct str s);

/* A text as JSON; one that is not UTF-8, which SQLite may hold, tagged as bytes. Parks, when it is large. */
static inline void value_write_text(struct strbuf *b, struct str s)
{
	if (UNLIKELY(s.len > VALUE_PART_BYTES))
		value_write_large(b, s);
	else if (!strbuf_json_text(b, s))
		value_write_tagged(b, s);
}

/* Appends the JSON form. Doubles that are not finite become "NaN", "Infinity", "-Infinity". Parks, when it is large. */
void value_write_json(struct strbuf *b, struct value v, const struct value_format *fmt);

#endif
