/*
 * One table of rules: logical type x storage type x dialect -> how a JSON value is checked and bound, and how a
 * database value becomes its canonical form. Pure. (API contract section 3 and its fine print.)
 */
#ifndef FERROD_STORE_CODEC_CODEC_H
#define FERROD_STORE_CODEC_CODEC_H

#include "service/base/json.h"
#include "store/dialect/dialect.h"
#include "store/schema/schema.h"
#include "store/value.h"

/*
 * JSON in -> value to bind. Checks type, range (the column's on that database), length, format; normalises
 * (uuid lower case, temporal canonical form, decimal digits, compact JSON). JSON null -> VALUE_NULL (nullability is
 * the caller's business). `pointer`: where the value stands in the request. In `a`. False: ERR_INVALID_VALUE.
 */
bool codec_bind(struct arena *a, const struct dialect *d, const struct column *c, const json_t *in, const char *pointer,
		struct value *ret, struct err *err) MUST_CHECK;

/* The same for a value that came as text (URL filters, keys in paths): "18", "true", "2026-01-02". */
bool codec_bind_text(struct arena *a, const struct dialect *d, const struct column *c, struct str in, const char *pointer,
		     struct value *ret, struct err *err) MUST_CHECK;

/*
 * Database value -> canonical value as the wire shows it: BOOL for booleans, INT, DOUBLE, TEXT (canonical
 * temporal, uuid, decimal), BYTES, JSON. Reads other programs' spellings too; what cannot be understood stays as it is in
 * the nearest JSON form, and null only where it is null. Borrows from `in` or from `a`.
 */
struct value codec_decode(struct arena *a, const struct dialect *d, const struct column *c, struct value in);

/* Raw SQL argument: null, bool, number, string, {"$bytes": base64}, other objects and arrays as JSON text. */
bool codec_bind_raw(struct arena *a, const json_t *in, const char *pointer, struct value *ret, struct err *err) MUST_CHECK;

#endif
