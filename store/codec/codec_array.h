/* PostgreSQL's text of an array and the JSON array that it is on the wire. Pure. Only store/codec/ includes it. */
#ifndef FERROD_STORE_CODEC_CODEC_ARRAY_H
#define FERROD_STORE_CODEC_CODEC_ARRAY_H

#include "service/base/arena.h"
#include "service/base/json.h"
#include "store/schema/schema.h"
#include "store/value.h"

/* How one element is bound (as by codec_bind) and read (as by codec_decode), on PostgreSQL. */
typedef bool (*codec_element_bind)(struct arena *a, const struct column *element, const json_t *in, const char *pointer,
				   struct value *ret, struct err *err);
typedef void (*codec_element_decode)(struct arena *a, const struct column *element, struct value *v);

/* A JSON array on its way in, for a column that has an element. */
struct codec_array {
	struct arena *arena;
	const struct column *column;
	const char *pointer; /* of the array in the request */
	codec_element_bind bind;
};

/* The array -> the text of an array of the column's element type, in the arena; arrays in it are further dimensions,
 * which have to be of one size each. ERR_INVALID_VALUE at what is wrong. */
bool codec_array_bind(const struct codec_array *array, const json_t *in, struct value *ret, struct err *err) MUST_CHECK;

/* The text of an array -> a JSON array in the arena, its elements in their own form. What is no such text, or has a
 * lower bound other than 1, stays as it is. `c` has an element. */
struct value codec_array_decode(struct arena *a, const struct column *c, struct value in, codec_element_decode decode);

#endif
