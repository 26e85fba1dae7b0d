/*
 * Rows of a query held in memory, and what its `include` hangs below them: one statement a relation, never one a row.
 * Lives in the request's arena.
 */
#ifndef FERROD_HANDLERS_LOADED_H
#define FERROD_HANDLERS_LOADED_H

#include "handlers/answer/render.h"

struct loaded_relation;

struct loaded {
	struct context *c;
	const struct query *q;
	struct result_shape shape;
	size_t n_visible;
	struct imap_read read;     /* of the statement that runs */
	const struct value **rows; /* decoded, as they are shown */
	const struct value **raw;  /* the same as the database has them */
	size_t n_rows, size;
	struct loaded_relation *relations; /* one per q->includes */
};

/* Reads every row of q in an open unit, and then its includes. n_visible: columns to show. Everything stands in the
 * request's arena. Parks. */
bool loaded_read(struct context *c, const struct query *q, size_t n_visible, struct loaded *ret,
		 struct err *err) MUST_CHECK;
/* Only the includes, for rows that are there already. */
bool loaded_includes(struct loaded *l, struct err *err) MUST_CHECK;

/* The members of row i that come from includes: `,"author":{...},"tags":[...]`. */
void loaded_write_relations(struct strbuf *b, const struct loaded *l, size_t i, const struct value_format *fmt);
/* Row i as an object with its relations. */
void loaded_write(struct strbuf *b, const struct loaded *l, size_t i, const struct value_format *fmt);

#endif
