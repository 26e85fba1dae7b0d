/* A quick reader for the JSON that clients send most. Only json.c includes it. */
#ifndef FERROD_BASE_JSON_PLAIN_H
#define FERROD_BASE_JSON_PLAIN_H

#include "service/base/json.h"

/*
 * The tree that strict parsing would make, or NULL when the text is not valid, not plain (escapes in strings, integers
 * of more than 18 digits), nested deeper than LIMIT_JSON_DEPTH, or memory is short: then jansson decides and says what
 * is wrong. A new reference.
 */
json_t *json_read_plain(struct str text) MUST_CHECK;

#endif
