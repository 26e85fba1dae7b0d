/*
 * The usual JSON text in one pass: a tree of jansson's values, built without its reader, which takes a byte at a time
 * and costs three times as much. Declines what is wrong or rare, so that json.c, its only user, says what; the caller
 * owns the tree.
 */
#ifndef FERROD_BASE_JSON_QUICK_H
#define FERROD_BASE_JSON_QUICK_H

#include <jansson.h>
#include <stddef.h>

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "service/base/str.h"

#define JSON_QUICK_BYTES 65536 /* of longer texts json.c lets others run meanwhile */

/* The document of a text of at most JSON_QUICK_BYTES, with at most `values_max` values as json_parse_body counts them.
 * New reference; nodes of carried numbers (json_number.h) live in the arena. NULL: declined, nothing is said about the
 * text. Never parks. */
json_t *json_quick(struct arena *a, struct str text, size_t values_max) MUST_CHECK;

#endif
