/*
 * What both drivers' introspection shares: queries over a catalog whose rows are ordered by table, and growing lists.
 * Everything lives in the arena of who introspects.
 */
#ifndef FERROD_STORE_DRIVER_CATALOG_H
#define FERROD_STORE_DRIVER_CATALOG_H

#include "store/driver/driver.h"
#include "store/migrate/live.h"

/* A live schema in the making. */
struct catalog {
	struct driver_conn *conn;
	struct arena *arena;
	int64_t deadline;
	struct live_schema *live;
	void *more;  /* for the row functions of one driver */
	size_t last; /* index of the table found last: rows come table by table */
};

/* Gets one row; its values are valid during the call only. */
typedef void (*catalog_row)(struct catalog *c, const struct value *row);

/* Runs a query of our own and hands over its rows. `kinds` has a letter a column: t text, i integer, b boolean (on
 * SQLite an integer); a capital may be null, too. Rows of another shape are never handed over: ERR_INTERNAL_ERROR, the
 * connection is broken. Parks. */
bool catalog_query(struct catalog *c, struct str sql, const char *kinds, catalog_row row, struct err *err) MUST_CHECK;

/* ERR_INVALID_REQUEST at the place of a schema that is asked for and is not there; false. */
bool catalog_absent_schema(const struct introspect_scope *scope, size_t i, struct err *err);

/* The condition on the tables that are asked for: their names as literals, twice, within the three texts; "true": all
 * are. */
void catalog_put_tables(const struct introspect_scope *scope, const struct dialect *d, const char *const texts[3],
			struct strbuf *b);

/* One more of what is no ordinary table. */
void catalog_other(struct catalog *c, struct value schema_name, struct value name, struct value kind);

/* The table of that name; NULL: not one of ours. */
struct live_table *catalog_table(struct catalog *c, struct value name);
/* The same in a schema; null: the current one. */
struct live_table *catalog_table_at(struct catalog *c, struct value schema_name, struct value name);
struct live_column *catalog_column(const struct catalog *c, struct live_table *t, struct str name);

/* The makings of a live schema, one more of each; what is not set yet is zero. */
struct live_table *catalog_add_table(struct catalog *c, struct value name);
struct live_column *catalog_add_column(struct catalog *c, struct live_table *t, struct value name);
struct live_foreign_key *catalog_add_fk(struct catalog *c, struct live_table *t);
void catalog_add_check(struct catalog *c, struct live_table *t, struct str name, struct str expression);
/* Rows of an index come one a column: the index of that name, which is the table's last or a new one. */
struct live_index *catalog_index(struct catalog *c, struct live_table *t, struct value name, bool *ret_new);
/* One more key of an index; it is the caller's to fill. */
struct index_key *catalog_add_key(struct catalog *c, struct live_index *x);
/* One more of what no model says. */
void catalog_add_thing(struct catalog *c, struct live_table *t, struct value kind, struct value name);
/* One more name at the end of a list. */
void catalog_add_name(struct catalog *c, const struct str **list, size_t *n, struct value name);

/* The list with room for one more: a list of n doubles when n is a power of two. In the arena. */
void *catalog_more(struct arena *a, const void *list, size_t n, size_t item);

/* A copy of a text in the arena; STR_NONE for null. */
struct str catalog_text(const struct catalog *c, struct value v);
/* Booleans and integers, whichever the database has. */
bool catalog_bool(struct value v);
int64_t catalog_int(struct value v);

#endif
