/* What the halves of the codec stand on. Only they include it. */
#ifndef FERROD_STORE_CODEC_CODEC_RULES_H
#define FERROD_STORE_CODEC_CODEC_RULES_H

#include "service/base/arena.h"
#include "service/base/json.h"
#include "store/schema/schema.h"
#include "store/value.h"

#define CODEC_UUID_BYTES 37

/* 36 characters with hyphens or 32 hexadecimal digits, any case -> lower case with hyphens. false: no uuid. */
bool codec_uuid(struct str in, char out[CODEC_UUID_BYTES]) MUST_CHECK;

/* Takes the hyphens out of what codec_uuid has written. */
void codec_uuid_hex(char uuid[CODEC_UUID_BYTES]);
/* Its 16 bytes, of a canonical one; in the arena. */
struct value codec_uuid_blob(struct arena *a, const char uuid[CODEC_UUID_BYTES]);

/* The tag of an infinite number where a string is a document, or bytes. */
#define CODEC_NUMBER "$number"

/* {"$bytes": base64}, {"$text": text} or {"$number": "Infinity"}: a value of SQLite's that is not of its column's type.
 * A document in the arena. */
struct value codec_tagged(struct arena *a, const char *tag, struct value v);

/* The value that such a document stands for: $text is text; $bytes is a blob, or text where it is not UTF-8, for a text
 * that is UTF-8 is answered as a string; $number is one in columns of bytes and of documents. False: it is no such
 * document, or in a json column a document like others. */
bool codec_untagged(struct arena *a, const struct column *c, const json_t *in, struct value *ret);

/* A number for a column of SQLite's that declares no type, and has values of any; false: it declares one, or the number
 * has more digits than SQLite keeps. */
bool codec_untyped(const struct column *c, const json_t *in, struct value *ret);

/* codec_untagged for what came as text: a filter in a URL, a key. */
bool codec_untagged_text(struct arena *a, const struct column *c, struct str in, struct value *ret);

/* Does SQLite keep a document that is this number, and nothing else? A column that is declared JSON has an affinity for
 * numbers: what looks like one is kept as an integer or a double, whatever its digits. */
bool codec_number_survives(const struct column *c, const json_t *v);

/* Is the column text, varchar or char in the database, whatever it means? */
bool codec_stored_as_text(const struct column *c);

#endif
