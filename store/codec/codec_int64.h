/* Decoded values as JSON, large integers inside of arrays, ranges and composites as the client asked for. Pure. */
#ifndef FERROD_STORE_CODEC_CODEC_INT64_H
#define FERROD_STORE_CODEC_CODEC_INT64_H

#include "store/schema/schema.h"
#include "store/value.h"

/* value_write_json of a decoded value of the column, which may be NULL when it is not known; `fmt` goes for the
 * integers inside of it too. */
void codec_write_decoded(struct strbuf *b, const struct column *c, struct value v, const struct value_format *fmt);

#endif
