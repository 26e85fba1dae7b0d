/*
 * Keyset pages: a cursor is the position of a row in the query's order, so pages stay right while rows come and go. A
 * page is the query with the primary key as tie-breaker, a condition "after that row" and one row more than asked,
 * which says whether there are others. Lives in the request's arena.
 */
#ifndef FERROD_HANDLERS_PAGE_H
#define FERROD_HANDLERS_PAGE_H

#include "store/query/query.h"

struct page {
	struct arena *arena;
	struct str whose;         /* as of cursor_seal.h */
	const struct query *base; /* as the client gave it, with the tie-breaker */
	struct query *run;        /* what is to be lowered */
	bool active;              /* this query has pages */
	bool continued;           /* a cursor was given */
	bool backward;            /* it points back: rows come in reverse order */
	int64_t limit;            /* rows of a page; 0: all */
	size_t n_visible;         /* columns of run's select to show; the rest are for the cursor only */
	const size_t *stored; /* of each column of the order: the place in run->extra of its stored form, or SIZE_MAX */
	char binding[17];     /* digest of filter and order; "" until it is needed */
};

/* Reads q->cursor and builds the query to run (q itself when it has no pages). `pointer`: where the query stands.
 * `whose`: as of cursor_seal.h. ERR_INVALID_QUERY at pointer/cursor for a cursor that is none, or that belongs to
 * another query, or to somebody else. */
bool page_prepare(struct arena *a, struct query *q, struct str whose, const char *pointer, struct page *ret,
		  struct err *err) MUST_CHECK;

/* The cursor that continues after (or, backward, before) a decoded row of the statement; STR_NONE when it cannot be
 * made. */
struct str page_cursor(struct page *p, const struct result_shape *shape, const struct value *row, bool backward);

#endif
