/* Which of a database's tables, views and columns become models, and under which names. Pure. */
#ifndef FERROD_STORE_MIGRATE_LIVE_CHOICE_H
#define FERROD_STORE_MIGRATE_LIVE_CHOICE_H

#include "service/base/map.h"
#include "store/migrate/live.h"

struct live_name {
	struct str table, model;
};

struct live_ir_options {
	const struct str *tables; /* only these, of whatever kind; NULL: all */
	size_t n_tables;
	unsigned kinds;            /* bits 1 << enum model_kind; 0: tables and views */
	const struct str *exclude; /* "table", "table.column", both with "schema." before it or not */
	size_t n_exclude;
	const struct live_name *names; /* models of these tables are called so */
	size_t n_names;
	const struct schema *known; /* models of tables keep their names; NULL: they are named after their tables */
};

/* ERR_INVALID_REQUEST with a pointer for a table that is asked for, or given a name, and is not there. */
bool live_choice_check(const struct dialect *d, const struct live_schema *live, const struct live_ir_options *o,
		       struct err *err) MUST_CHECK;

bool live_choice_has(const struct dialect *d, const struct live_ir_options *o, const struct live_table *t);

/* Whether the column stays out of the table's model. */
bool live_choice_excludes(const struct dialect *d, const struct live_ir_options *o, const struct live_table *t,
			  struct str column);

/* The model's name; `taken` has those given so far, and gets it. In the arena, or borrowed. */
struct str live_choice_name(struct arena *a, const struct dialect *d, const struct live_schema *live,
			    const struct live_ir_options *o, const struct live_table *t, struct map *taken);

#endif
