/*
 * Plans: lowered statements, found again by the shape of what they were lowered from. Each thread has a cache of its
 * own, least recently used out first, freed when it ends; requests hold references. Only store/query/ includes it.
 */
#ifndef FERROD_STORE_QUERY_QUERY_PLAN_H
#define FERROD_STORE_QUERY_QUERY_PLAN_H

#include "store/query/query.h"

/*
 * A shape is everything that the text depends on (model snapshot, dialect, clauses, columns, operators, how many
 * values, which of them are null) and nothing else, written down as a short string of bytes. On a hit the same
 * lowering code runs with its text switched off and collects the parameters, so that their order cannot differ from
 * the text's.
 *
 * Models are named by their serial, which no other snapshot has: a plan is found only by a request that holds the
 * snapshot its shape points into.
 */

#define PLAN_KEY_BYTES 1024

enum plan_op { PLAN_SELECT, PLAN_COUNT, PLAN_EXISTS, PLAN_UPDATE, PLAN_DELETE, PLAN_INSERT };

struct plan_key {
	size_t len;
	bool too_long; /* such a statement has no plan */
	unsigned char bytes[PLAN_KEY_BYTES];
};

struct plan {
	int refs; /* atomic: the cache's and those of requests */
	struct arena arena;
	struct str key;
	struct stmt stmt; /* without parameters, but with their number */
	struct result_shape shape;
	struct plan *newer, *older;
};

/* A key's first part; what follows must say where it ends. */
void plan_key_begin(struct plan_key *k, enum plan_op op, const struct dialect *d, const struct model *m);
void plan_key_number(struct plan_key *k, uint64_t n);
/* A column of the key's model, or NULL. */
void plan_key_column(struct plan_key *k, const struct column *c);
/* An expression, or NULL. */
void plan_key_expr(struct plan_key *k, const struct query_expr *e);
/* All clauses of a query. limit_max: a limit up to that is part of the shape as one that
 * is small. */
void plan_key_query(struct plan_key *k, enum plan_op op, const struct query *q, int64_t limit_max);

/*
 * Does the number stand in the text? PostgreSQL takes a limit that it does not know for a tenth of the rows and plans
 * such a statement anew each time, which takes as long as the page itself. Sizes of pages are few (1 to 10, fives to
 * 100, fifties to 1,000, and one row more, which tells that there is another page), and so are the first pages: only
 * these, so that nobody can make as many statements as there are numbers.
 */
bool plan_limit_stands(const struct query *q);
bool plan_offset_stands(const struct query *q);

/* Is this == or != of a text at a path of the row's own document with a text that no number and no boolean is written
 * as? */
bool plan_is_text_at_path(const struct query_node *node);

/* Are the values of a condition on a column of times all times? Shows in the text of SQLite. */
bool query_time_values(const struct column *c, const struct query_node *node);

/* Borrowed until `a` is done, even when it leaves the cache meanwhile; NULL: there is none. Counts. */
const struct plan *plan_find(struct arena *a, const struct plan_key *k);
/* Copies what was lowered without a plan; shape NULL: no rows. */
void plan_keep(const struct plan_key *k, const struct stmt *s, const struct result_shape *shape);

#endif
