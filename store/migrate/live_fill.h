/* What fills a live column that nobody gives: the database, or the tool whose tables these are. Pure. */
#ifndef FERROD_STORE_MIGRATE_LIVE_FILL_H
#define FERROD_STORE_MIGRATE_LIVE_FILL_H

#include "service/base/json.h"
#include "store/migrate/live.h"

struct live_fill {
	const struct dialect *d;
	bool rails, prisma; /* a database of theirs, by the tables that they keep for themselves */
};

/* The tables by which it is seen whose database it is, NULL behind them: read with whatever is read. */
extern const char *const live_fill_marks[];

void live_fill_init(struct live_fill *f, const struct dialect *d, const struct live_schema *live);

/* Adds the members of ours ("database_default", "default_sql", "generated", "read_only", "position", "on_create",
 * "on_update", "lock_version") to the column's object, which says the rest already. */
void live_fill_ir(const struct live_fill *f, const struct live_table *t, const struct live_column *c, json_t *column);

/* A literal default as the column's value; null: an expression, which no SchemaIR could say. The caller's. */
json_t *live_fill_default(struct arena *a, const struct live_column *c, enum logical_type t);

#endif
