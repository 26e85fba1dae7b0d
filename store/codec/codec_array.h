/* PostgreSQL's text of an array and the JSON array that it is on the wire. Pure. Only store/codec/ includes it. */
#ifndef FERROD_STORE_CODEC_CODEC_ARRAY_H
#define FERROD_STORE_CODEC_CODEC_ARRAY_H

#include "store/codec/codec.h"

/* A JSON array -> the text of an array of the column's element type, in the arena; arrays in it are further dimensions,
 * which have to be of one size each. `c` has an element. ERR_INVALID_VALUE at what is wrong. */
bool codec_array_bind(struct arena *a, const struct column *c, const json_t *in, const char *pointer, struct value *ret,
		      struct err *err) MUST_CHECK;

/* The text of an array -> a JSON array in the arena, its elements in their own form. What is no such text, or has a
 * lower bound other than 1, stays as it is. `c` has an element. */
struct value codec_array_decode(struct arena *a, const struct column *c, struct value in);

#endif
