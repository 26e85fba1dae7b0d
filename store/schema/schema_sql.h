/*
 * SQL that comes with a model: expressions and names of types are lexed before they become part of a statement, so that
 * each stays inside the place it was written for. Pure.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_SQL_H
#define FERROD_STORE_SCHEMA_SCHEMA_SQL_H

#include <stdbool.h>

#include "service/base/macros.h"
#include "service/base/str.h"
#include "store/dialect/dialect.h"

/*
 * Is the text one expression by the database's tokens: strings and names end, parentheses and brackets pair up, no
 * comma, semicolon or comment outside of them? What passes stays within "(" and ")". *ret_why, static and untouched
 * otherwise, says what is wrong.
 */
bool schema_sql_expression(enum dialect_id d, struct str s, const char **ret_why) MUST_CHECK;

/*
 * Is the expression one that anybody may give: a literal (with casts), a CURRENT_ word, now(), gen_random_uuid(), or
 * nextval of the sequence that `table` has for `column`?
 */
bool schema_sql_harmless(struct str s, struct str table, struct str column) MUST_CHECK;

/* Is the PostgreSQL expression a literal and nothing more: with its type before it (date '2026-01-01'), with casts
 * behind it? */
bool schema_sql_literal(struct str s) MUST_CHECK;

/* Is the expression nextval of the sequence that `table` has for `column`, which serial makes? */
bool schema_sql_serial(struct str s, struct str table, struct str column) MUST_CHECK;

/* The list of entries (without its parentheses) and the predicate (STR_NONE: none) of SQLite's CREATE INDEX. Borrowed.
 */
bool schema_sql_index(struct str sql, struct str *ret_entries, struct str *ret_predicate) MUST_CHECK;

/*
 * Is the text the name of a type: words (perhaps quoted, perhaps behind a schema's), arguments in parentheses, array
 * brackets, and none of the words that begin a column's constraints?
 */
bool schema_sql_type_name(struct str s) MUST_CHECK;

/* Is it an operator's signs ("&&", "="), none of which begins a comment? */
bool schema_sql_operator(struct str s) MUST_CHECK;

/* The expression without the parentheses that are around all of it. Borrowed. */
struct str schema_sql_bare(enum dialect_id d, struct str s);

/* One entry of an index, as schema_sql_index has it: *rest goes past it and its comma. False: there is none left. */
bool schema_sql_entry(enum dialect_id d, struct str *rest, struct str *ret) MUST_CHECK;

/* What an entry of SQLite's is over: without its COLLATE, ASC and DESC, and parentheses around it. Borrowed. */
struct str schema_sql_entry_expression(enum dialect_id d, struct str entry);

#endif
