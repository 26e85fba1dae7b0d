/*
 * Cuts the values of a long JSON text that comes in pieces: a record a line (NDJSON), or the elements of the array in
 * {"records": [ ... ]}. It is strict about what stands between the values and finds their ends by strings and
 * brackets; what a value holds is its parser's to judge (json_parse). Keeps at most one value, and that only when it
 * lies across pieces. Not thread-safe. The caller owns it; json_split_done frees.
 */
#ifndef FERROD_BASE_JSON_SPLIT_H
#define FERROD_BASE_JSON_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "service/base/str.h"
#include "service/base/strbuf.h"

enum json_split_result {
	JSON_SPLIT_MORE,     /* the piece is used up: give the next one */
	JSON_SPLIT_VALUE,    /* *ret is the text of a value */
	JSON_SPLIT_END,      /* the text is complete */
	JSON_SPLIT_BROKEN,   /* the text between two values, or after them, is not what has to stand there */
	JSON_SPLIT_MEMBER,   /* the object has a member after the array */
	JSON_SPLIT_TOO_LARGE /* a value has more bytes than allowed */
};

struct json_split {
	int state;
	bool lines;
	bool quoted, escaped; /* of the value that is being read */
	size_t depth;
	size_t value_max;
	struct strbuf held; /* owned: the start of a value whose end has not come yet */
};

/* A value has at most value_max bytes. */
void json_split_lines(struct json_split *s, size_t value_max);
/* Starts behind the array's opening bracket. */
void json_split_array(struct json_split *s, size_t value_max);
void json_split_done(struct json_split *s);

/* If the text starts with {"records": [ (and any white space), cuts that off it. */
bool json_split_opens(struct str *text);

/* The same for {"NAME": {...}, "records": [, where *ret is the text of the object, which its parser is to judge. */
bool json_split_opens_behind(struct str *text, struct str name, struct str *ret);

/* The next value. *piece moves past what has been read; last: no piece follows this one. *ret (JSON_SPLIT_VALUE alone)
 * is borrowed from the piece or from s until the next call. Blank lines are no values; a line's value is trimmed. After
 * anything but JSON_SPLIT_MORE and JSON_SPLIT_VALUE the text is over. */
enum json_split_result json_split_next(struct json_split *s, struct str *piece, bool last, struct str *ret);

#endif
