/*
 * Expressions as trees, and how they are put together, each meaning in one form. Pure; what is made is in the arena,
 * what is given becomes part of it, and texts are borrowed from the SQL.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_TREE_FORM_H
#define FERROD_STORE_SCHEMA_SCHEMA_TREE_FORM_H

#include <stdbool.h>

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "service/base/str.h"
#include "store/dialect/dialect.h"

#define TREE_DEPTH_MAX 60 /* of what is compared */

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

struct tree *tree_leaf(struct arena *a, enum tree_kind kind, struct str text);
/* Puts it last below t. */
void tree_add(struct tree *t, struct tree *below);
/* With one or two (NULL: none) below. */
struct tree *tree_node(struct arena *a, enum tree_kind kind, struct str text, struct tree *one, struct tree *two);
struct tree *tree_op(struct arena *a, const char *z, struct tree *one, struct tree *two);
/* It once more, for a second place: what is below is shared, for nothing changes it. */
struct tree *tree_again(struct arena *a, const struct tree *t);
/* AND and OR of any number: how they are put together does not count. */
struct tree *tree_joined(struct arena *a, const char *z, struct tree *x, struct tree *y);
/* x IN (...), x = ANY (ARRAY[...]), and what is not: a value that is alone is compared, and on PostgreSQL what names
 * columns. */
struct tree *tree_among(struct arena *a, enum dialect_id d, struct tree *x, struct tree *set, bool negated);
/* x and y with an operator between, in one of its spellings. */
struct tree *tree_compare(struct arena *a, enum dialect_id d, struct str z, struct tree *x, struct tree *y);
/* trim(s) and trim(c FROM s) are from both ends. */
void tree_trim(struct arena *a, struct tree *call);

#endif
