/* PostgreSQL's text of ranges, multiranges, composites, hstore and vectors, and what they are on the wire. Pure. Only
 * store/codec/ includes it. */
#ifndef FERROD_STORE_CODEC_CODEC_SHAPE_H
#define FERROD_STORE_CODEC_CODEC_SHAPE_H

#include "store/codec/codec_array.h"

/* A JSON array or object -> the text of a value of the column's type, in the arena. The column has a shape.
 * ERR_INVALID_VALUE at what is wrong. */
bool codec_shape_bind(const struct codec_array *in, const json_t *v, struct value *ret, struct err *err) MUST_CHECK;

/* The text of such a value -> JSON in the arena; what is no such text stays as it is. */
struct value codec_shape_decode(struct arena *a, const struct column *c, struct value in, codec_element_decode decode);

#endif
