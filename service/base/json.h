/*
 * Strict JSON on top of jansson, the only header that includes it. Refused beside what RFC 8259
 * refuses: duplicate keys, nesting over LIMIT_JSON_DEPTH, bytes after the value, ill-formed UTF-8.
 * Every error carries an RFC 6901 pointer where there is one. A request goes on in handlers/unit/context.h.
 */
#ifndef FERROD_BASE_JSON_H
#define FERROD_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/json_number.h"
#include "service/base/macros.h"
#include "service/base/str.h"
#include "service/base/strbuf.h"

/* Parses a whole document (any JSON value; NUL characters in strings allowed). New reference, owned
 * by the arena: freed at arena_done. False: ERR_INVALID_JSON (with line and column in the detail); a
 * number that neither int64 nor a finite double holds is ERR_INVALID_VALUE with its pointer. */
bool json_parse(struct arena *a, struct str text, json_t **ret, struct err *err) MUST_CHECK;

/* The same for what a client sends: at most `values_max` values (ERR_PAYLOAD_TOO_LARGE), and a long text is parsed in
 * steps that let others run. Parks. */
bool json_parse_body(struct arena *a, struct str text, size_t values_max, json_t **ret, struct err *err) MUST_CHECK;

/* Appends compact JSON, numbers with the digits that they came with. Object keys in insertion order, or sorted by code
 * point when `sorted`. */
void json_write(struct strbuf *b, const json_t *v, bool sorted);

/* Canonical form for fingerprints: sorted keys, "," and ":" separators, non-ASCII as \uXXXX (lower
 * case, surrogate pairs): what Python's json.dumps(sort_keys=True, separators=(",", ":")) prints. */
void json_write_canonical(struct strbuf *b, const json_t *v);

/* The string value's bytes, borrowed from v (which is a string). */
static inline struct str json_str(const json_t *v)
{
	return str_n(json_string_value(v), json_string_length(v));
}

/* The type's JSON name: "null", "boolean", "integer", "number", "string", "array", "object". */
const char *json_type_name(const json_t *v);

/* pointer + "/" + escaped key (RFC 6901 §3), in the arena. */
const char *json_pointer_key(struct arena *a, const char *pointer, struct str key);
const char *json_pointer_index(struct arena *a, const char *pointer, size_t index);

/*
 * Reads the members of one object into typed variables and refuses the rest. The first fault sticks
 * (ERR_INVALID_REQUEST with its pointer) and later reads do nothing; json_reader_done says how it went.
 * An absent member, or null where `null is absent` is stated, leaves *ret as it was.
 */
struct json_reader {
	const json_t *obj;
	const char *pointer; /* of obj; borrowed */
	struct arena *arena;
	struct err *err;
	const char *known[32];
	size_t n_known;
	uint32_t any; /* bit i: known[i] was read by json_reader_any, so null counts as present */
	bool failed;
};

/* obj may be NULL (no body: as if it were {}). A non-object is a fault. Borrows everything. */
void json_reader_init(struct json_reader *r, struct arena *a, const json_t *obj, const char *pointer, struct err *err);
/* All of these: null is absent; the value is borrowed from the tree; return true when it was present. */
bool json_reader_str(struct json_reader *r, const char *key, struct str *ret);
bool json_reader_bool(struct json_reader *r, const char *key, bool *ret);
bool json_reader_int(struct json_reader *r, const char *key, int64_t min, int64_t max, int64_t *ret);
/* Seconds or another non-negative number, min..max inclusive. */
bool json_reader_number(struct json_reader *r, const char *key, double min, double max, double *ret);
bool json_reader_object(struct json_reader *r, const char *key, const json_t **ret);
bool json_reader_array(struct json_reader *r, const char *key, const json_t **ret);
/* Any value, JSON null included. */
bool json_reader_any(struct json_reader *r, const char *key, const json_t **ret);
/* Records a fault for the member (or for the object itself when key is NULL). */
void json_reader_fault(struct json_reader *r, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The member must have been there: a fault otherwise ("missing member"). */
void json_reader_require(struct json_reader *r, const char *key);
/* Refuses members that no call has named; false when anything failed. */
bool json_reader_done(struct json_reader *r) MUST_CHECK;

#endif
