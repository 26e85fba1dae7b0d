/*
 * Rows on their way from a statement into the answer: decoded, reconciled with the identity map, written straight into
 * the body as JSON, NDJSON or CSV, flushed between rows. Memory stays flat whatever the number of rows. What fails
 * becomes a problem: service/http/problem.h. A writer is owned by who answers, for one answer.
 */
#ifndef FERROD_HANDLERS_ROWS_H
#define FERROD_HANDLERS_ROWS_H

#include "handlers/answer/render.h"
#include "handlers/unit/reads.h"
#include "store/codec/codec_write.h"

struct rows_writer {
	struct context *c;
	struct strbuf *out;
	enum media media;
	struct value_format fmt;
	size_t n;                     /* columns of a row */
	struct strbuf text;           /* the prefixes' bytes */
	struct codec_writer *columns; /* those that are shown */
	size_t n_shown, room;         /* of a row: codec_row_room */
	struct codec_ends ends;       /* of the next row */
	/* model rows; model NULL: raw rows */
	const struct model *model;
	const struct result_shape *shape;
	struct imap_read read; /* of the map; read.map NULL: rows do not touch one */
	bool raw;
	bool arrays;          /* raw rows without names: Prefer: rows=arrays */
	bool single;          /* raw: the first row stands for itself, not in a list */
	bool opened;          /* the answer's members before its rows are written */
	struct str notices;   /* said behind the rows; len 0: none */
	bool direct;          /* written as they come, without decoding first */
	struct value *row;    /* decoded */
	struct arena scratch; /* of a few rows */
	int64_t n_rows;
	int64_t n_max; /* rows written at most; one more sets `more`. 0: all */
	bool more;
	/* decoded copies for cursors, as the database has them: the first row, and the one at n_max; in the request's
	 * arena */
	struct value *first, *last;
};

/* Raw rows (SQL endpoints), single: the first of them only, as the member `row`. Starts the answer, whose `columns`
 * come with the statement's; ERR_DUPLICATE_COLUMNS then, before it steps, when objects cannot hold them. */
void rows_raw(struct rows_writer *w, struct context *c, bool single);
/* No rows at all, of nothing. */
void rows_none(struct rows_writer *w, struct context *c);
/* Rows of a lowered query, which is run right after this; columns from n_visible on are read but not shown. */
void rows_model(struct rows_writer *w, struct context *c, const struct query *q, const struct result_shape *shape,
		size_t n_visible);
/* The sink to run the statement with. */
struct row_sink rows_sink(struct rows_writer *w);
/* Ends the array; JSON: `"row_count":N` is written and the object left open for more members: finish with rows_close.
 */
void rows_end(struct rows_writer *w);
/* What an answer says beside its rows. Absent: not said. */
struct rows_tail {
	struct str next_cursor, prev_cursor;
	bool has_total;
	int64_t total;
};
/* Closes the answer: the object, or the last line of NDJSON. tail may be NULL. */
void rows_close(struct rows_writer *w, const struct rows_tail *tail);
/* Frees what the writer holds, whatever happened. */
void rows_done(struct rows_writer *w);
/* Writes one decoded row that did not come through the sink (CSV, JSON, NDJSON); `extra` is JSON text put before the
 * closing brace. */
void rows_write(struct rows_writer *w, const struct value *row, struct str extra);

#endif
