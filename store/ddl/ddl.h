/* Schema -> DDL statements, per dialect. Pure. Text equals the reference's (its section 6). */
#ifndef FERROD_STORE_DDL_DDL_H
#define FERROD_STORE_DDL_DDL_H

#include "store/dialect/dialect.h"
#include "store/schema/schema.h"

struct ddl_warning {
	struct str code, table, column, detail; /* column STR_NONE: none */
	struct str object;                      /* what the warning is about besides; STR_NONE: nothing */
	int64_t rows;                           /* rows concerned; -1: it is not about rows */
	struct str key;                         /* of one of them; STR_NONE: it has none */
};

/* What a statement of create-tables does, and to which table (STR_NONE: to none). */
enum ddl_kind {
	DDL_CREATE_SCHEMA,
	DDL_CREATE_TYPE,
	DDL_CREATE_TABLE,
	DDL_CREATE_INDEX,
	DDL_ADD_CHECK,
	DDL_ADD_FOREIGN_KEY,
	DDL_COMMENT,
	DDL_OTHER
};
struct ddl_about {
	enum ddl_kind kind;
	struct str table;
	struct str schema_name; /* of the table; STR_NONE: the search path's */
};

/* A growing list; everything in it lives in `arena`. */
struct ddl_plan {
	struct arena *arena;
	struct str *statements;
	struct str schema_name;  /* that statements are added for */
	struct ddl_about *about; /* one a statement */
	size_t n_statements, size_statements;
	struct ddl_warning *warnings;
	size_t n_warnings, size_warnings;
};

void ddl_plan_init(struct ddl_plan *p, struct arena *a);
void ddl_plan_add(struct ddl_plan *p, enum ddl_kind kind, struct str table, struct str sql);
void ddl_plan_warn(struct ddl_plan *p, const char *code, struct str table, struct str column, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

/* The column's type word in CREATE TABLE / ADD COLUMN (autoincrement is the caller's business). False:
 * ERR_INVALID_SCHEMA for an unresolved type. */
bool ddl_column_type(const struct dialect *d, const struct column *c, struct strbuf *out, struct err *err) MUST_CHECK;

/* The type of a column of a STRICT table of SQLite's, which knows five. */
const char *ddl_strict_type(const struct column *c);
/* Or the column's own, where it is one of them. */
void ddl_put_strict_type(const struct column *c, struct strbuf *out);

/* " COLLATE ..."; nothing where the column has the database's own. */
void ddl_collation(const struct column *c, struct strbuf *out);

/* The digits and the places behind the point of "numeric(8,3)" or "decimal(8)"; false: the type has none. */
bool ddl_numeric_places(struct str type, int64_t *ret_digits, int64_t *ret_places) MUST_CHECK;
/* The places of the seconds of "timestamp(3)", "time(0) without time zone", ...; 6, PostgreSQL's own, where the type
 * has none or more. */
int64_t ddl_time_places(struct str type);
/* Whether a number of PostgreSQL's so named has half the digits of a double precision. */
bool ddl_single_precision(struct str type);

/* " DEFAULT (...)", " GENERATED ALWAYS AS ..." of a column that the database fills; nothing for others. False:
 * ERR_INVALID_SCHEMA when the column's expression is none by the dialect's tokens. */
bool ddl_column_fill(const struct dialect *d, const struct model *m, const struct column *c, struct strbuf *out,
		     struct err *err) MUST_CHECK;
/* Whether PostgreSQL makes the column's sequence along with it: serial and its kin. */
bool ddl_column_serial(const struct model *m, const struct column *c);

/* The type as PostgreSQL's ALTER COLUMN ... TYPE wants it (timestamptz, boolean, numeric, ...); an enum type is quoted.
 * Nothing is written for an unresolved type: refuse it with ddl_column_type first. */
void ddl_alter_type(const struct column *c, struct strbuf *out);

/* Name and type, default, NOT NULL, UNIQUE, PRIMARY KEY in the dialect's order. The column of a composite key has no
 * PRIMARY KEY. */
bool ddl_column_definition(const struct dialect *d, const struct model *m, const struct column *c, struct strbuf *out,
			   struct err *err) MUST_CHECK;

/* FOREIGN KEY ("c") REFERENCES "t" ("id") ON DELETE X, and what else the key says; its name before it, if the model's
 * version names keys. */
void ddl_foreign_key(const struct model *m, const struct foreign_key *fk, struct strbuf *out);
/* The same of one column, in its definition. */
void ddl_column_key(const struct model *m, const struct foreign_key *fk, struct strbuf *out);
/* "c" IN ('a', 'b'), or the expression. False: ERR_INVALID_SCHEMA, it is none by the dialect's tokens. */
bool ddl_check_body(const struct dialect *d, const struct schema_check *c, struct strbuf *out,
		    struct err *err) MUST_CHECK;
/* CREATE [UNIQUE ]INDEX <concurrently>IF NOT EXISTS "n" ON "t" ("a", "b") ...; `concurrently` is "" or "CONCURRENTLY ",
 * which is PostgreSQL's, outside transactions. False as above. */
bool ddl_index(const struct dialect *d, const struct model *m, const struct schema_index *x, const char *concurrently,
	       struct strbuf *out, struct err *err) MUST_CHECK;
/* ALTER TABLE "t" ADD CONSTRAINT "n" CHECK (...), EXCLUDE USING ... (...), UNIQUE (...): PostgreSQL. False as above. */
bool ddl_add_check(const struct model *m, const struct schema_check *c, struct strbuf *out, struct err *err) MUST_CHECK;
bool ddl_add_exclusion(const struct model *m, const struct schema_index *x, struct strbuf *out,
		       struct err *err) MUST_CHECK;
void ddl_add_unique(const struct model *m, const struct schema_index *x, struct strbuf *out);
/* COMMENT ON TABLE or (c not NULL) COLUMN ... IS the model's; none: NULL. PostgreSQL. */
void ddl_comment(const struct model *m, const struct column *c, struct strbuf *out);
/* What stands behind the columns and keys in CREATE TABLE: ", CONSTRAINT ..." and so on; and behind its ")". */
bool ddl_table_constraints(const struct dialect *d, const struct model *m, struct strbuf *out,
			   struct err *err) MUST_CHECK;
void ddl_table_options(const struct dialect *d, const struct model *m, struct strbuf *out);
/* DO block that makes the column's enum type unless it is there: PostgreSQL. */
void ddl_create_enum(const struct column *c, struct strbuf *out);
/* Statements for the type of that name and for those that it is made of, unless `seen` (a set of names) has them;
 * `type` is what the model says of it (schema_type_read), `labels` are an enum's. False: ERR_INVALID_SCHEMA, a domain's
 * expression is none. PostgreSQL. */
bool ddl_create_types(struct ddl_plan *p, struct map *seen, struct str name, const json_t *type, const json_t *labels,
		      struct err *err) MUST_CHECK;
/* Statements for the schemas of the column's type, of the types that it is made of and of its sequence, where their
 * names say one that `seen` does not have; they do nothing where the schema is there already, whoever may make one. */
void ddl_create_schemas(struct ddl_plan *p, struct map *seen, const struct column *c);
/* The statement for the sequence that the column counts with, where it stands by itself and `seen` does not have it. */
void ddl_create_sequence(struct ddl_plan *p, struct map *seen, const struct column *c);
/* All that a column needs before it is added: schemas, sequence, types. PostgreSQL. As ddl_create_types. */
bool ddl_create_needs(struct ddl_plan *p, const struct column *c, struct err *err) MUST_CHECK;
/* ON DELETE word in capitals; CASCADE when absent; static. The same of ON UPDATE; NO ACTION when absent. */
const char *ddl_on_delete(const struct foreign_key *fk);
const char *ddl_on_update(const struct foreign_key *fk);
/* A unique that CREATE TABLE holds: one column, flagged unique, or a constraint. */
bool ddl_inline_unique(const struct model *m, const struct schema_index *x);
/* By a word at its column, so that the database names it. */
bool ddl_column_unique(const struct model *m, const struct schema_index *x);

/* CREATE TABLE of one model; `inline_fk` decides per foreign key (NULL: all; circular ones come later by ALTER on
 * PostgreSQL); SQLite checks are part of it (a difference of ours, on purpose). ERR_INVALID_SCHEMA as ddl_column_type,
 * and on SQLite for two columns that differ in case only. */
bool ddl_create_table(const struct dialect *d, const struct model *m, const bool *inline_fk, struct strbuf *out,
		      struct err *err) MUST_CHECK;

/* Indexes, standalone uniques and (PostgreSQL) checks, exclusions and comments of one model, one statement each. False:
 * ERR_INVALID_SCHEMA, an expression of them is none by the dialect's tokens. */
bool ddl_post_create(const struct dialect *d, const struct model *m, struct ddl_plan *p, struct err *err) MUST_CHECK;

/* Dependency order: self references ignored, circles broken. Writes n_models indices into s->models to `order`. */
void ddl_order(const struct schema *s, size_t *order);

/* Whether create-tables makes the model's table: it is one, and the dialect has its schema. */
bool ddl_makes(const struct dialect *d, const struct model *m);

/*
 * All statements of create-tables: schemas, enum types, tables in dependency order, indexes, uniques, checks, and at
 * last the foreign keys that could not be inline (PostgreSQL: circles, and keys that only a unique index makes unique).
 * `exists(arg, model)` tells whose tables are there already: they are skipped whole (NULL: none).
 */
bool ddl_create_all(const struct dialect *d, const struct schema *s, bool (*exists)(void *arg, const struct model *m),
		    void *arg, struct ddl_plan *p, struct err *err) MUST_CHECK;

#endif
