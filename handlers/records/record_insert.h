/* One row into its table and back, and what follows an explicit id. */
#ifndef FERROD_HANDLERS_RECORD_INSERT_H
#define FERROD_HANDLERS_RECORD_INSERT_H

#include "handlers/records/insert_options.h"

/* Inserts one row and reads it back decoded (*ret_row NULL: nothing was inserted); moves the sequence after an explicit
 * id. In an open unit. Parks. */
bool record_insert(struct context *c, const struct model *m, const struct record_row *row,
		   const struct insert_options *o, struct value **ret_row, struct err *err) MUST_CHECK;
/* After rows with explicit ids: moves the sequence of an autoincrement key past them (PostgreSQL). In an open unit. */
bool record_sequence(struct context *c, const struct model *m, struct err *err) MUST_CHECK;
/* Does the row give a value for an autoincrement key? */
bool record_explicit_id(const struct model *m, const struct record_row *row);

#endif
