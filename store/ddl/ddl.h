/* Schema -> DDL statements, per dialect. Pure. Text equals the reference's (its section 6). */
#ifndef FERROD_STORE_DDL_DDL_H
#define FERROD_STORE_DDL_DDL_H

#include "store/dialect/dialect.h"
#include "store/schema/schema.h"

struct ddl_warning {
	struct str code, table, column, detail; /* column STR_NONE: none */
};

/* A growing list; everything in it lives in `arena`. */
struct ddl_plan {
	struct arena *arena;
	struct str *statements;
	size_t n_statements, size_statements;
	struct ddl_warning *warnings;
	size_t n_warnings, size_warnings;
};

void ddl_plan_init(struct ddl_plan *p, struct arena *a);
void ddl_plan_add(struct ddl_plan *p, struct str sql);
void ddl_plan_warn(struct ddl_plan *p, const char *code, struct str table, struct str column, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

/* The column's type word in CREATE TABLE / ADD COLUMN (autoincrement is the caller's business). False:
 * ERR_INVALID_SCHEMA for an unresolved type. */
bool ddl_column_type(const struct dialect *d, const struct column *c, struct strbuf *out, struct err *err) MUST_CHECK;

/* CREATE TABLE of one model; `inline_fk` decides per foreign key (circular ones come later by ALTER on PostgreSQL);
 * SQLite checks are part of it (a difference of ours, on purpose). */
bool ddl_create_table(const struct dialect *d, const struct model *m, const bool *inline_fk, struct strbuf *out,
		      struct err *err) MUST_CHECK;

/* Indexes, standalone uniques and (PostgreSQL) checks of one model, one statement each. */
void ddl_post_create(const struct dialect *d, const struct model *m, struct ddl_plan *p);

/* Dependency order: self references ignored, circles broken. Writes n_models indices into s->models to `order`. */
void ddl_order(const struct schema *s, size_t *order);

/*
 * All statements of create-tables: enum types, tables in dependency order, foreign keys of circles (ALTER, PostgreSQL),
 * indexes, uniques, checks. `exists(arg, table)` tells which tables are there already: they are skipped whole (NULL: none).
 */
bool ddl_create_all(const struct dialect *d, const struct schema *s, bool (*exists)(void *arg, struct str table), void *arg,
		    struct ddl_plan *p, struct err *err) MUST_CHECK;

#endif
