/* What the two halves of the codec share. Only they include it. */
#ifndef FERROD_STORE_CODEC_CODEC_RULES_H
#define FERROD_STORE_CODEC_CODEC_RULES_H

#include "store/codec/codec.h"

#define CODEC_UUID_BYTES 37

/* 36 characters with hyphens or 32 hexadecimal digits, any case -> lower case with hyphens. false: no uuid. */
bool codec_uuid(struct str in, char out[CODEC_UUID_BYTES]) MUST_CHECK;

/* Is the column text, varchar or char in the database, whatever it means? */
bool codec_stored_as_text(const struct column *c);

#endif
