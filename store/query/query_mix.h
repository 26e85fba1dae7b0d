/* The one rule for the type of values that stand in one place: branches of $coalesce and $case, and what is compared.
 * Only store/query/ includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_MIX_H
#define FERROD_STORE_QUERY_QUERY_MIX_H

#include "store/query/query_parse.h"

/* A type of no column's. */
struct column query_type(enum logical_type logical, enum storage_type storage);

/* May values of both types stand in one place? What goes into a document is made one. */
bool query_meet(const struct column *place, const struct column *type);

/* The type that holds the values of both, which meet, whole. */
struct column query_mixed(const struct dialect *d, const struct column *a, const struct column *b);

/* A value. hint: the type of what it goes to; NULL: it is what it looks like. ERR_INVALID_VALUE. */
bool query_literal(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		   struct query_expr *ret) MUST_CHECK;

/* Values of which one is the result. Of `args` those that are parsed stand there, the others are parsed here. */
struct query_choices {
	const struct query_expr **args;
	const json_t *const *list;
	const char *const *pointers; /* where each stands */
	const char *const *places;   /* what is pointed at where one does not go with those before */
	size_t n;
};

/* *ret_type is what all of them are read as. hint: see query_parse_expr. ERR_INVALID_QUERY and what parsing says. */
bool query_mix(const struct expr_scope *s, const struct query_choices *c, const struct column *hint,
	       struct column *ret_type) MUST_CHECK;

/* What is compared is of one kind: a text beside a value of another is read as what the other is, and is null where it
 * is none of these; what has nothing to do with the other is refused: ERR_INVALID_QUERY. */
bool query_compared(const struct expr_scope *s, const char *pointer, const struct query_expr **subject,
		    const struct query_expr **operand) MUST_CHECK;

#endif
