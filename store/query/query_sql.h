/* SQL text under construction with its parameters, and the clauses that several statements share. Only store/query/
 * includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_SQL_H
#define FERROD_STORE_QUERY_QUERY_SQL_H

#include "store/query/query_plan.h"

struct sql {
	struct arena *arena;
	const struct dialect *dialect;
	struct strbuf text;   /* owned: sql_finish or sql_drop frees it */
	struct value *params; /* in the arena */
	size_t n_params, n_room;
	const struct plan *plan; /* found: nothing is added to the text, which is the plan's */
	struct str qualifier;    /* table that column names are qualified with; STR_NONE: bare names */
};

void sql_init(struct sql *s, struct arena *a, const struct dialect *d);
/* The same for what may have been lowered before. */
void sql_begin(struct sql *s, struct arena *a, const struct dialect *d, const struct plan_key *key);
/* Frees the text of a statement that will not be. */
void sql_drop(struct sql *s);
/* Text and parameters as a statement, valid as long as the arena. More parameters than the database takes:
 * ERR_INVALID_QUERY. */
bool sql_finish(struct sql *s, enum stmt_access access, struct stmt *ret, struct err *err) MUST_CHECK;

void sql_put(struct sql *s, const char *z);
void sql_ident(struct sql *s, struct str name);
/* The table of a model, with its schema where it has one. */
void sql_table(struct sql *s, const struct model *m);
/* "table"."name" or "name", as the qualifier says. */
void sql_column(struct sql *s, struct str name);
void sql_param(struct sql *s, struct value v);
/* Column names joined by ", ". */
void sql_columns(struct sql *s, const struct column *const *columns, size_t n);

/* Around an expression that computes decimals: SQLite does it in doubles, whose text has the fifteen digits that a
 * decimal column keeps there, so that 0.1 + 0.2 is 0.3. Give what the first returned to the second. */
bool sql_round_before(struct sql *s, const struct column *c);
void sql_round_after(struct sql *s, bool rounding);

/* The expression of an aggregate. */
void sql_aggregate(struct sql *s, const struct query_aggregate *g);
/* ' FROM "t"', with the join of m2m (which sets the qualifier before: see sql_qualify). */
void sql_from(struct sql *s, const struct query *q);
/* Column names are ambiguous once there is a join. */
void sql_qualify(struct sql *s, const struct query *q);
/* " WHERE ..." or nothing. */
void sql_where(struct sql *s, const struct query *q);
/* " AND ..." or nothing: after a condition of the caller's own. */
void sql_and_where(struct sql *s, const struct query *q);
void sql_group(struct sql *s, const struct query *q);
void sql_order(struct sql *s, const struct query *q);
/* page: a small page over an index. PostgreSQL plans such a statement anew each time when it does not know the limit,
 * which takes as long as the page itself; page sizes are few, so there the number stands in the text. */
void sql_limit(struct sql *s, const struct query *q, bool page);

#endif
