/* What only the text of CREATE TABLE tells: CHECKs, names of foreign keys, AUTOINCREMENT, and what a rebuild would
 * lose. */
#ifndef FERROD_STORE_DRIVER_SQLITE_TABLE_TEXT_H
#define FERROD_STORE_DRIVER_SQLITE_TABLE_TEXT_H

#include "service/base/arena.h"
#include "store/migrate/live.h"

struct table_text_generated {
	struct str column, expression;
};

struct table_text {
	struct live_check *checks;
	size_t n_checks;
	struct str *fk_names; /* one a foreign key, in the order of the text; STR_NONE: anonymous */
	size_t n_fk_names;
	struct table_text_generated *generated;
	size_t n_generated;
	struct str autoincrement; /* the column; STR_NONE: none */
	const char *peculiar;     /* as live_table.peculiar; NULL: nothing; static */
};

/* sql: a statement that SQLite has accepted. Everything is copied to the arena. Pure. */
void table_text_read(struct arena *a, struct str sql, struct table_text *ret);

#endif
