/*
 * Rows straight into JSON: how a column's values are written is decided once a statement, by the column and by what
 * kind of value the database may hand over for it. The text is that of value_write_json(codec_decode(value)), without
 * the value between. Pure.
 */
#ifndef FERROD_STORE_CODEC_CODEC_WRITE_H
#define FERROD_STORE_CODEC_CODEC_WRITE_H

#include "store/codec/codec.h"

#define CODEC_VALUE_KINDS (VALUE_JSON + 1)

/* A column of rows to be written; everything in it is borrowed. */
struct codec_writer {
	size_t index;      /* of its value in the row */
	struct str prefix; /* JSON text before the value; CODEC_PREFIX_SLACK bytes behind it can be read */
	const struct column *column;
	const struct dialect *dialect;
	const struct value_format *fmt;
	uint8_t how[CODEC_VALUE_KINDS]; /* by the kind of value */
};

#define CODEC_PREFIX_SLACK 16

/* What stands around a row. */
struct codec_ends {
	char before[2], after[2];
	uint8_t n_before, n_after; /* bytes of them that do */
};

/* Index and prefix are set before. For values that are decoded already. column: NULL when it is not known. */
void codec_writer_decoded(struct codec_writer *w, const struct column *column, const struct value_format *fmt);
/* For values as the database has them. column NULL: rows of a client's own SQL, whose documents are text. */
void codec_writer(struct codec_writer *w, const struct dialect *d, const struct column *column,
		  const struct value_format *fmt);

/* Appends prefix and value of n columns between its ends. What needs memory on its way takes it from `scratch`. `room`:
 * of codec_row_room. */
void codec_write_row(struct strbuf *b, struct arena *scratch, const struct codec_writer *writers, size_t n, size_t room,
		     const struct value *row, const struct codec_ends *ends);

/* The bytes that a row of these columns takes at most, but for long values; the same for each row. */
size_t codec_row_room(const struct codec_writer *writers, size_t n);

#endif
