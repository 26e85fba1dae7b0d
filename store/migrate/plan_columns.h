/*
 * The planner's part for columns: those of a table that is changed in place, and what its other parts need to say
 * about one. Owns nothing: the plan is plan.c's.
 */
#ifndef FERROD_STORE_MIGRATE_PLAN_COLUMNS_H
#define FERROD_STORE_MIGRATE_PLAN_COLUMNS_H

#include "store/migrate/plan_build.h"

/* The literal that backfills a new column: SQL text of its default, or STR_NONE when it has no literal
 * one. */
struct str plan_default_literal(struct planner *pl, const struct column *c);
/* Behind the type of a column that is new: what fills it, whether it may be null, and the default that backfills it;
 * false: there is no such default. */
bool plan_put_filled(struct planner *pl, const struct table_pair *tp, const struct column *c);
/* Whether the column can be added (else the refusal is noted): not a key, and something to backfill where that is
 * needed. */
bool plan_can_add(struct planner *pl, const struct table_pair *tp, const struct column *c);
/* SQLite: whether the foreign key stands at a column that ADD COLUMN makes: one that may be null. */
bool plan_inline_key(const struct planner *pl, const struct table_pair *tp, const struct foreign_key *fk);
/* Whether the column was asked to stay out of the model: what is over it is nothing that the model lacks. */
bool plan_excludes(const struct planner *pl, const struct model *m, struct str column);
/* Whether the model has no such column, and nobody has said why. */
bool plan_lacks(const struct planner *pl, const struct model *m, const struct live_column *c);
/* Whether the live column is to go: the model has no such column and the run is destructive. */
bool plan_drops(const struct planner *pl, const struct model *m, const struct live_column *c);
/* Added and changed columns of a table that is not rebuilt. */
void plan_columns(struct planner *pl, const struct table_pair *tp);
/* Dropped columns of a table that is not rebuilt. */
void plan_drop_columns(struct planner *pl, const struct table_pair *tp);

#endif
