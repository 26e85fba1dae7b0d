/*
 * Literals and types in expressions (schema_tree_form.h). Pure; what is given is in the arena.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_TREE_TYPE_H
#define FERROD_STORE_SCHEMA_SCHEMA_TREE_TYPE_H

#include "store/schema/schema_lex.h"
#include "store/schema/schema_tree_form.h"

/* The text with each doubled quote made one; quote 0: as it is. */
struct str tree_unquote(struct arena *a, struct str s, char quote);
/* A literal in quotes, of whatever kind. */
struct tree *tree_literal(struct arena *a, enum dialect_id d, struct str s);
bool tree_is_null(const struct tree *t);
/* The type that the lexer stands on, by one of its names; it stands behind it then. Absent: there is none. */
struct str tree_type(struct arena *a, struct lexer *l);
/* A type of one word, by the same name. */
struct str tree_type_word(struct str name);
/* PostgreSQL names types where nobody did, and leaves out those that change nothing: what it would be without; NULL:
 * the cast says something. */
struct tree *tree_without_cast(struct arena *a, struct tree *of, struct str type);

#endif
