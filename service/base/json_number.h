/*
 * Numbers with their digits. jansson makes doubles of them, which keep 17 digits and no more; a document in a database
 * keeps all of them. So a number that is no plain 64-bit integer is a node of our own: to jansson an ordinary real that
 * lives for ever, to us one with its text behind it. The text that jansson parses has 0 in its place.
 */
#ifndef FERROD_BASE_JSON_NUMBER_H
#define FERROD_BASE_JSON_NUMBER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "service/base/str.h"

/* The text of a number whose digits neither int64 nor a double is sure to keep (a real, a long integer, -0), which is a
 * real to all others; STR_NONE for any other value. Valid as long as the arena of its document. json_deep_copy makes a
 * plain double of it, json_dup does not. */
struct str json_number_token(const json_t *v);
/* Are two numbers the same to their last digit, however they are written (1, 1.0, 10e-1)? */
bool json_number_equal(const json_t *a, const json_t *b);
/* A deep copy with the digits of its numbers, which live in `a`; new reference. */
json_t *json_dup(struct arena *a, const json_t *v) MUST_CHECK;

/* ---- of json.c and json_quick.c alone ---- */

/* Passes the number that begins at text.p[at] (a digit or a minus sign); returns the place behind it. *ret_carried: it
 * is one whose digits are carried. */
size_t json_number_skip(struct str text, size_t at, bool *ret_carried);

/* The node of a number whose digits are carried, in `a`, or NULL when the text is none. */
json_t *json_number_node(struct arena *a, struct str token) MUST_CHECK;

/* A number whose digits are carried, and its place among all numbers of the text. */
struct json_carried {
	size_t place;
	json_t *node; /* lives as long as the arena */
};
struct json_carried_list {
	struct json_carried *list;
	size_t n;
};

/* A copy of the text, as long as it is, with 0 for each of the `n` carried numbers; their nodes, in `a`. steps: others
 * may run meanwhile. The caller frees *ret. */
void json_number_extract(struct arena *a, struct str text, size_t n, bool steps, char **ret,
			 struct json_carried_list *ret_list);

/* Puts the nodes into the tree that was parsed from the copy. Returns the root, which *v is no longer if it is one. */
json_t *json_number_place(json_t *v, const struct json_carried_list *list, bool steps) MUST_CHECK;

/* Whether jansson's reals are laid out as these nodes are. */
bool json_number_fits_jansson(void) MUST_CHECK;

#endif
