/* A plan in the making: what the files of the planner stand on; nobody else includes it. */
#ifndef FERROD_STORE_MIGRATE_PLAN_BUILD_H
#define FERROD_STORE_MIGRATE_PLAN_BUILD_H

#include "store/migrate/change.h"
#include "store/migrate/diff.h"

struct planner {
	struct arena *a;
	const struct dialect *d;
	const struct schema *s;
	const struct live_schema *live;
	struct migrate_options o;
	struct migration_plan *p;
	struct str schema_name; /* of the table that is planned for; STR_NONE: the search path's */
	struct strbuf b;        /* the statement being written */
};

/* One table that exists on both sides. */
struct table_pair {
	const struct model *m;
	const struct live_table *t;
	bool rebuilt;   /* a rebuild has done everything but indexes */
	bool *converts; /* SQLite: per live column, whether a rebuild gives it the model's type */
	bool loses;     /* SQLite: and costs data by that */
};

/* Takes the statement in pl->b and empties it. The flags are set on the result by the caller. */
struct change *planner_emit(struct planner *pl, enum change_kind kind, struct str table, struct str column);
/* The column's type into out; types_known has seen to it that there is one. */
void planner_put_type(const struct planner *pl, const struct column *c, struct strbuf *out);
/* The same of a column of t, which may be STRICT. */
void planner_put_type_in(const struct planner *pl, const struct live_table *t, const struct column *c,
			 struct strbuf *out);
/* The same of one that is there with another: SQLite's numbers keep having digits, where they had some. */
void planner_put_converted(const struct planner *pl, const struct live_table *t, const struct live_column *live,
			   const struct column *c, struct strbuf *out);
/* Where the live column's type and the model's differ: diff_type, but that a STRICT table has no other words. */
enum type_drift planner_drift(const struct planner *pl, const struct live_table *t, const struct live_column *live,
			      const struct column *c);
/* The type that the model expects, as warnings spell it: text in the arena. */
struct str planner_expected_type(const struct planner *pl, const struct live_table *t, const struct live_column *live,
				 const struct column *c);
void planner_refuse(struct planner *pl, struct str table, struct str column, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* What the refusals amount to: false with err set when there is one. */
bool planner_verdict(const struct migration_plan *p, struct err *err) MUST_CHECK;
/* A look at the data that the plan depends on. Borrowed texts live in the plan's arena. */
void planner_probe(struct planner *pl, const struct plan_probe *probe);
/* The last warning is about this object; STR_NONE: it has no name. */
void planner_warned_object(struct planner *pl, struct str name);
/* The last warning is about so many rows, one of them with this key. */
void planner_warned_rows(struct planner *pl, int64_t rows, struct str key);
void planner_warn(struct planner *pl, const char *code, struct str table, struct str column, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

#endif
