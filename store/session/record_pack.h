/*
 * A record's values as compact bytes: a tag byte, then a varint, a double or counted bytes. For the identity map
 * alone; never stored or sent. The caller owns the bytes.
 */
#ifndef FERROD_STORE_SESSION_RECORD_PACK_H
#define FERROD_STORE_SESSION_RECORD_PACK_H

#include "service/base/arena.h"
#include "store/value.h"

/* Bytes that record_pack will write. */
size_t record_pack_len(const struct value *values, size_t n);

/* Writes exactly record_pack_len bytes to out. */
void record_pack(const struct value *values, size_t n, unsigned char *out);

/* n values; texts point into `packed`, which has to outlive them. The array lives in the arena. */
const struct value *record_unpack(struct arena *a, struct str packed, size_t n);

#endif
