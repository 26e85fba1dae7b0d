/*
 * Triggers take a hand in writes: RETURNING shows a row as it was before AFTER triggers, and a BEFORE trigger may
 * swallow or redirect a write. Whoever writes asks here first, and reads the row again where it must. What is known of
 * tables is owned by the process.
 */
#ifndef FERROD_HANDLERS_TRIGGERS_H
#define FERROD_HANDLERS_TRIGGERS_H

#include "handlers/unit/context.h"

/* Whether writes of the model's table run triggers or rules of the database's, or reach rows that other tables show,
 * too (PostgreSQL's inheritance). Known for a short while, else asked for in the open unit, or in one of its own. May
 * park. */
bool context_triggers(struct context *c, const struct model *m, bool *ret, struct err *err) MUST_CHECK;

/* The same if it is known. What it says holds for this request as long as statements are on their way that were made by
 * it (context_ahead, context_last). Never parks. */
bool context_triggers_known(struct context *c, const struct model *m, bool *ret) MUST_CHECK;
/* It holds no more. */
void context_triggers_unpin(struct context *c);

/* Whether it is a table by itself, whose rows say who wrote them last: no view, no partitioned one. As above. */
bool context_plain_table(struct context *c, const struct model *m, bool *ret, struct err *err) MUST_CHECK;

/* How many unique indexes and exclusion constraints the table has, but for its primary key. As above. */
bool context_uniques(struct context *c, const struct model *m, int64_t *ret, struct err *err) MUST_CHECK;

/* A client's statement has run, which may have made or dropped some. */
void context_triggers_forget(struct str sql);

/* Right before the statement of a write that may set triggers off, which may write anything: tells the identity map. */
void context_unleash(struct context *c, bool triggers);
/* Right after it, where context_settle is not called. */
void context_unleashed(struct context *c, bool triggers);

/* The row as it stands, read again by its key in the open unit where the table has triggers; *row NULL: it does not
 * stand (any more). Nothing is read for a row that is NULL or of a model without a key. was: the key that the row had
 * before, for the columns of it that RETURNING shows as null (SQLite: those of a view that were not set); NULL: it is a
 * new one. Parks. */
bool context_settle(struct context *c, const struct model *m, bool triggers, const struct value *was,
		    struct value **row, struct err *err) MUST_CHECK;

/* Says that the write changed nothing, though nothing failed: a trigger has taken it. */
void context_swallowed(struct context *c);

#endif
