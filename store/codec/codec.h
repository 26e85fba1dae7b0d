/*
 * One table of rules: logical type x storage type x dialect -> how a JSON value is checked and bound, and how a
 * database value becomes its canonical form. Pure. (API contract section 3 and its fine print.) The
 * statement runs in store/exec/exec.h.
 */
#ifndef FERROD_STORE_CODEC_CODEC_H
#define FERROD_STORE_CODEC_CODEC_H

#include "service/base/json.h"
#include "service/base/json_flat.h"
#include "store/dialect/dialect.h"
#include "store/schema/schema.h"
#include "store/value.h"

/*
 * Choices that the databases force:
 *  - datetimes. A `timestamptz` column holds instants: a value without offset is taken as UTC, on both databases. A
 * `timestamp` column holds no offset: a value with one is converted to UTC and loses it, on both. A logical datetime
 * without db_type is timestamp with time zone on PostgreSQL (so the same as timestamptz there) and text on SQLite,
 * which keeps both kinds: with an offset as UTC with Z, without one as it came.
 *  - decimals. PostgreSQL: exact, as written but for exponent and leading zeros. SQLite: a REAL; at most 15 significant
 * digits. A text or varchar db_type: exact text on both, which no database can compare by size.
 *  - times of day have no offset. Leap seconds are refused, and 24:00 but in a column of PostgreSQL's own type.
 *  - NaN and infinities: double precision and numeric of PostgreSQL take them; SQLite's numbers take the infinities
 * only, its decimals none of them.
 *  - what RFC 3339 cannot say (infinity, years BC and above 9999) is PostgreSQL's own text, both ways.
 *  - JSON null is SQL NULL; {"$json": X}, alone in its object, is the document X, so that JSON null is {"$json": null},
 * both ways; a document that looks like that is wrapped once more. Numbers in documents keep their digits. They are
 * stored compact with sorted keys. A NUL character is refused where PostgreSQL cannot hold it (text, jsonb).
 *  - char(n) of PostgreSQL is answered without its padding.
 */

/*
 * JSON in -> value to bind. Checks type, range (the column's on that database), length, format; normalises
 * (uuid lower case, temporal canonical form, decimal digits, compact JSON). JSON null -> VALUE_NULL (nullability is
 * the caller's business). `pointer`: where the value stands in the request. In `a`. False: ERR_INVALID_VALUE.
 */
bool codec_bind(struct arena *a, const struct dialect *d, const struct column *c, const json_t *in, const char *pointer,
		struct value *ret, struct err *err) MUST_CHECK;

/* The same for a value that came as text (URL filters, keys in paths): "18", "true", "2026-01-02". */
bool codec_bind_text(struct arena *a, const struct dialect *d, const struct column *c, struct str in,
		     const char *pointer, struct value *ret, struct err *err) MUST_CHECK;

/* Is it {"$number": "Infinity"} or {"$number": "-Infinity"}: such a number of SQLite's in a column of bytes or of
 * documents, where a string is something else? */
bool codec_is_infinite(const json_t *v);

/*
 * codec_bind, and on SQLite, whose columns hold whatever they are given, also what reads answer of a value that is not
 * of its column's type: a string or a number, as it is. For values that are compared with what is stored. _text: for
 * columns only that the database has told of, since in others a wrong value is a mistake. ERR_INVALID_VALUE.
 */
bool codec_bind_stored(struct arena *a, const struct dialect *d, const struct column *c, const json_t *in,
		       const char *pointer, struct value *ret, struct err *err) MUST_CHECK;
bool codec_bind_stored_text(struct arena *a, const struct dialect *d, const struct column *c, struct str in,
			    const char *pointer, struct value *ret, struct err *err) MUST_CHECK;

/* The same for the usual kinds of a column's values, without a tree and without an error: false sends the caller to
 * codec_bind. `in` is not null. Text is borrowed from `in`, or in `a`. */
bool codec_bind_scalar(struct arena *a, const struct dialect *d, const struct column *c, const struct json_scalar *in,
		       struct value *ret) MUST_CHECK;

/*
 * Database value -> canonical value as the wire shows it: BOOL for booleans, INT, DOUBLE, TEXT (canonical
 * temporal, uuid, decimal), BYTES, JSON. Reads other programs' spellings too; what cannot be understood stays as it is
 * in the nearest JSON form, and null only where it is null. Borrows from `in` or from `a`.
 */
struct value codec_decode(struct arena *a, const struct dialect *d, const struct column *c, struct value in);

/* Raw SQL argument: null, bool, number, string, {"$bytes": base64}, {"$json": X} as the text of X, other objects and
 * arrays as JSON text. A number whose digits no double keeps is text with value.number set. */
bool codec_bind_raw(struct arena *a, const json_t *in, const char *pointer, struct value *ret,
		    struct err *err) MUST_CHECK;

/* What the values of a column can be used for. */
enum codec_trait {
	CODEC_EQUAL = 1,      /* == != IN */
	CODEC_ORDERED = 2,    /* < <= > >= BETWEEN, ORDER BY */
	CODEC_LIKE = 4,       /* LIKE and its kin: text, enums, uuids */
	CODEC_ARITHMETIC = 8, /* sum, avg, $add, $sub, $mul */
	CODEC_CONCAT = 16,    /* $concat: free text */
	CODEC_EXTREMES = 32,  /* min, max */
	CODEC_NOW = 64        /* $now */
};

/* Bits of enum codec_trait. */
unsigned codec_traits(const struct column *c);

/* A LIKE pattern: a string that is no value of the column but has to be text the database takes. ERR_INVALID_VALUE. */
bool codec_bind_pattern(struct arena *a, const struct dialect *d, const struct column *c, struct str in,
			const char *pointer, struct value *ret, struct err *err) MUST_CHECK;

/* The form in which equal values of a column (bound or decoded) have equal text: keys of maps. Borrows from v or from
 * `a`. */
struct str codec_key_text(struct arena *a, const struct column *c, struct value v);

#endif
