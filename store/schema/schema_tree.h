/*
 * An SQL expression as a tree, for comparing two: what binds stronger is by each database's own precedence, and what
 * only spells otherwise (IN and = ANY (ARRAY[...]), BETWEEN, LIKE and ~~, != and <>, parentheses that change nothing)
 * is one form. Pure; all of it is in the arena, with texts borrowed from the SQL.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_TREE_H
#define FERROD_STORE_SCHEMA_SCHEMA_TREE_H

#include <stdbool.h>

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "service/base/str.h"
#include "store/dialect/dialect.h"

enum tree_kind {
	TREE_NAME,   /* text: a column's, as the database reads it, schemas before it with dots */
	TREE_WORD,   /* text: a keyword that is a value (null, true, current_date), in small letters */
	TREE_NUMBER, /* text: with its sign */
	TREE_TEXT,   /* text: what is between the quotes, decoded */
	TREE_OTHER,  /* text: a literal as it is written */
	TREE_CAST,   /* text: the type; one below */
	TREE_CALL,   /* text: the function */
	TREE_OP      /* text: an operator or a construct */
};

struct tree {
	enum tree_kind kind;
	struct str text;
	struct tree *first, *last, *next; /* below it; beside it */
	unsigned depth;                   /* levels below it */
	bool was_cast;                    /* a literal that a type was named for */
	bool of_time, of_interval;        /* and it was one of these: PostgreSQL keeps the value, not its spelling */
};

/* NULL: it is not of the forms that are known, or too deep. */
struct tree *tree_read(struct arena *a, enum dialect_id d, struct str sql);

#endif
