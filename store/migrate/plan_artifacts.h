/*
 * The planner's part for what belongs to a table beside its columns: keys, indexes, uniques, checks, enum types. Owns
 * nothing: the plan is plan.c's.
 */
#ifndef FERROD_STORE_MIGRATE_PLAN_ARTIFACTS_H
#define FERROD_STORE_MIGRATE_PLAN_ARTIFACTS_H

#include "store/migrate/plan_build.h"

/* PostgreSQL: the types of columns that are to be added, their schemas and sequences, and the labels that the enums of
 * older columns lack. False: ERR_INVALID_SCHEMA, as ddl_create_needs. */
bool plan_types(struct planner *pl, const struct table_pair *tp, struct err *err) MUST_CHECK;

/* Indexes, uniques, checks and foreign keys that are missing or say something else; and a warning for each difference
 * that stays. */
void plan_artifacts(struct planner *pl, const struct table_pair *tp);

/* Indexes that go: those of ours that the model does not have, and on SQLite those over a column that goes. */
void plan_drop_indexes(struct planner *pl, const struct table_pair *tp);

#endif
