/*
 * The text of SQLite's CREATE TABLE, read into its parts: what only the text tells (CHECKs, names and deferrability of
 * foreign keys, COLLATE, ON CONFLICT, ...), and where each part stands, so that a rebuild can write the table anew with
 * some of them changed and every other kept to the letter (table_edit.h). Pure.
 */
#ifndef FERROD_STORE_MIGRATE_TABLE_TEXT_H
#define FERROD_STORE_MIGRATE_TABLE_TEXT_H

#include "service/base/arena.h"
#include "store/migrate/live.h"

/* Bytes of the statement; an empty one is a place. */
struct text_span {
	size_t from, to;
};

enum table_piece_kind {
	PIECE_PRIMARY_KEY,
	PIECE_NOT_NULL,
	PIECE_NULL,
	PIECE_UNIQUE,
	PIECE_CHECK,
	PIECE_DEFAULT,
	PIECE_COLLATE,
	PIECE_FOREIGN_KEY,
	PIECE_GENERATED,
	PIECE_OTHER
};

/* One constraint, its CONSTRAINT name included. */
struct table_piece {
	enum table_piece_kind kind;
	struct text_span span;
	size_t item;               /* of which it is part */
	struct str name;           /* STR_NONE: anonymous */
	struct str expression;     /* CHECK, GENERATED: without its parentheses; COLLATE: the collation */
	const struct str *columns; /* that it stands at or lists */
	size_t n_columns;
	bool autoincrement, deferrable, deferred, conflict, descending;
};

/* What stands between two commas of the body. */
struct table_item {
	struct text_span span;
	struct str column;     /* STR_NONE: table constraints */
	struct text_span type; /* of a column; empty: none, and the place where one would go */
};

struct table_text {
	struct str sql;
	struct table_item *items;
	size_t n_items;
	struct table_piece *pieces; /* in the order of the text */
	size_t n_pieces;
	bool strict, without_rowid;
};

/* sql: a statement that SQLite has accepted; its text is borrowed, names are copied to the arena. */
void table_text_read(struct arena *a, struct str sql, struct table_text *ret);

enum trigger_event { TRIGGER_INSERT, TRIGGER_UPDATE, TRIGGER_DELETE };
/* What fires the trigger of this CREATE TRIGGER. */
enum trigger_event sqlite_trigger_event(struct str sql);

/* Whether the text of an expression or statement of SQLite has the name as a word, quoted or not. */
bool sqlite_text_names(struct str text, struct str name);

/* Whether a piece stands at this column or lists it. */
bool table_piece_has(const struct table_piece *p, struct str column);

#endif
