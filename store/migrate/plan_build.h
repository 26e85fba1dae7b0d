/* What the files of the planner share; nobody else includes it. */
#ifndef FERROD_STORE_MIGRATE_PLAN_BUILD_H
#define FERROD_STORE_MIGRATE_PLAN_BUILD_H

#include "store/migrate/diff.h"
#include "store/migrate/plan.h"

struct planner {
	struct arena *a;
	const struct dialect *d;
	const struct schema *s;
	const struct live_schema *live;
	struct migrate_options o;
	struct migration_plan *p;
	struct strbuf b; /* the statement being written */
};

/* One table that exists on both sides. */
struct table_pair {
	const struct model *m;
	const struct live_table *t;
	bool rebuilt; /* a rebuild has done everything but indexes */
};

/* Takes the statement in pl->b and empties it. The flags are set on the result by the caller. */
struct change *planner_emit(struct planner *pl, enum change_kind kind, struct str table, struct str column);
/* The column's type into out; types_known has seen to it that there is one. */
void planner_put_type(const struct planner *pl, const struct column *c, struct strbuf *out);
void planner_refuse(struct planner *pl, struct str table, struct str column, const char *fmt, ...) PRINTF_LIKE(4, 5);
void planner_warn(struct planner *pl, const char *code, struct str table, struct str column, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

/*
 * plan_columns.c: what every file needs to say about a column.
 * The literal that backfills a new column: SQL text of its default, or STR_NONE when it has no literal one.
 */
struct str plan_default_literal(struct planner *pl, const struct column *c);
/* Whether the column can be added (else the refusal is noted): not a key, and something to backfill where that is
 * needed. */
bool plan_can_add(struct planner *pl, const struct table_pair *tp, const struct column *c);
/* Whether the live column is to go: the model has no such column and the run is destructive. */
bool plan_drops(const struct planner *pl, const struct model *m, const struct live_column *c);
/* Added and changed columns of a table that is not rebuilt. */
void plan_columns(struct planner *pl, const struct table_pair *tp);
/* Dropped columns of a table that is not rebuilt. */
void plan_drop_columns(struct planner *pl, const struct table_pair *tp);

/* plan_rebuild.c (SQLite): whether the table needs one, and its statements. */
bool plan_needs_rebuild(const struct planner *pl, const struct table_pair *tp);
void plan_rebuild(struct planner *pl, const struct table_pair *tp);
/* Whether CREATE INDEX of a live index is run again after a rebuild. */
bool plan_keeps_index(const struct planner *pl, const struct table_pair *tp, const struct live_index *x);

#endif
