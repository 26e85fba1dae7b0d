/*
 * Reading an SQL expression as a tree, for comparing two: what binds stronger is by each database's own precedence, and
 * what only spells otherwise (IN and = ANY (ARRAY[...]), BETWEEN, LIKE and ~~, != and <>, parentheses that change
 * nothing) is one form. Pure.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_TREE_H
#define FERROD_STORE_SCHEMA_SCHEMA_TREE_H

#include "store/schema/schema_tree_form.h"

/* NULL: it is not of the forms that are known, or too deep. */
struct tree *tree_read(struct arena *a, enum dialect_id d, struct str sql);

#endif
