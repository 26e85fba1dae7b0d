/* One row into its table and back, and what follows an explicit id. Rows live in the request's arena. */
#ifndef FERROD_HANDLERS_RECORD_INSERT_H
#define FERROD_HANDLERS_RECORD_INSERT_H

#include "handlers/records/insert_options.h"

struct record_made {
	bool triggers;     /* given: whether the table has some (triggers.h) */
	struct value *row; /* as it stands, decoded, in the arena; NULL: nothing was written, or taken */
	bool is_new;       /* false: a row that was there was written over */
	bool unknown;      /* `row` is NULL, for a trigger that stands for the write has not said under which key */
	bool taken;        /* it was written, and then a trigger took it away */
};

/* Inserts one row and reads it back; moves the sequence after an explicit id. In an open unit, which is atomic where
 * the table has triggers, and on SQLite for RECORD_UPDATE. Parks. */
bool record_insert(struct context *c, const struct model *m, const struct record_row *row,
		   const struct insert_options *o, struct record_made *made, struct err *err) MUST_CHECK;
/* The statement of a plain one (RECORD_INSERT) into a table without triggers, by a row without an explicit id: it runs
 * no other. */
bool record_insert_stmt(struct context *c, const struct model *m, const struct record_row *row,
			const struct insert_options *o, struct stmt *ret, struct err *err) MUST_CHECK;
/* The row that was in the way of one that was not inserted; *ret NULL: none is (any more). In an open unit. Parks. */
bool record_blocking(struct context *c, const struct model *m, const struct record_row *row,
		     const struct insert_options *o, struct value **ret, struct err *err) MUST_CHECK;
/* After an upsert that has not written all of its rows: ERR_PRECONDITION_FAILED if one of them states a count of writes
 * (lock_version) that is not that of the row in its way. In an open unit. Parks. */
bool record_counts_stand(struct context *c, const struct model *m, const struct record_row *rows, size_t n,
			 const struct insert_options *o, struct err *err) MUST_CHECK;
/* The same of one value, beside the row that is there. */
bool record_count_stands(struct context *c, const struct column *col, struct value stated, const struct value *there,
			 struct err *err) MUST_CHECK;
/* How many of the rows, which have different keys, are there already: of an upsert into SQLite. In an open unit. */
bool record_count_there(struct context *c, const struct model *m, const struct record_row *rows, size_t n,
			const struct insert_options *o, int64_t *ret, struct err *err) MUST_CHECK;
/* After rows with explicit ids: moves the sequence of an autoincrement key past them (PostgreSQL). In an open unit. */
bool record_sequence(struct context *c, const struct model *m, struct err *err) MUST_CHECK;
/* Does the row give a value for a key that counts up by itself? */
bool record_explicit_id(const struct model *m, const struct record_row *row);

#endif
