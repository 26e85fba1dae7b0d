/* What the halves of the codec stand on. Only they include it. */
#ifndef FERROD_STORE_CODEC_CODEC_RULES_H
#define FERROD_STORE_CODEC_CODEC_RULES_H

#include "store/schema/schema.h"

#define CODEC_UUID_BYTES 37

/* 36 characters with hyphens or 32 hexadecimal digits, any case -> lower case with hyphens. false: no uuid. */
bool codec_uuid(struct str in, char out[CODEC_UUID_BYTES]) MUST_CHECK;

/* 0 to 15; -1: no hexadecimal digit. */
int codec_hex_digit(char c);

/* Is the column text, varchar or char in the database, whatever it means? */
bool codec_stored_as_text(const struct column *c);

#endif
