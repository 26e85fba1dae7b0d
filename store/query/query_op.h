/* Operators: their words, what they work on, and how their operands are bound. Only store/query/ includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_OP_H
#define FERROD_STORE_QUERY_QUERY_OP_H

#include "store/query/query_container.h"

enum operands { OPERANDS_ONE, OPERANDS_MANY, OPERANDS_PAIR, OPERANDS_NONE };

/* How many operands an operator takes. */
enum operands query_operands(enum query_op op);
/* Its word; static. */
const char *query_op_word(enum query_op op);
/* Is a null on its left neither true nor false to it? */
bool query_op_strict(enum query_op op);

/* Does the operator work on the type, on this database? ERR_INVALID_QUERY. */
bool query_check_operator(const struct leaf *l) MUST_CHECK;
/* Fills kind, op and values. ERR_INVALID_QUERY, ERR_INVALID_VALUE. */
bool query_bind_leaf(const struct leaf *l, struct query_node *ret) MUST_CHECK;

/* One value for a type: {"$json": X} is the document X where documents are, numbers for what a path leads to keep all
 * their digits. ERR_INVALID_VALUE. */
bool query_bind(struct arena *a, const struct dialect *d, const struct column *type, const json_t *v,
		const char *pointer, struct value *ret, struct err *err) MUST_CHECK;

/* The type of what a path leads to. */
struct column query_path_column(enum query_path_type t);

/* SQLite: what others write for a boolean, in a column that has such words; ret has room for as many. 0: nothing. */
#define QUERY_BOOLEAN_WORDS 5
size_t query_boolean_words(const struct dialect *d, const struct column *c, struct value v, struct value *ret);

#endif
