/* Expressions: values that the database computes. Only store/query/ includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_EXPR_H
#define FERROD_STORE_QUERY_QUERY_EXPR_H

#include "store/query/query_parse.h"

/* Does the value say that the database computes it, and not that it stands for itself? Also of what is none, but for a
 * member: reading it tells. hint: see below. */
bool query_is_expr(const json_t *v, const struct column *hint);

/* hint: the type of what the value goes to or is compared with; NULL: unknown. What is no expression is a value of that
 * type. ERR_INVALID_QUERY, ERR_INVALID_VALUE, ERR_UNKNOWN_COLUMN. */
bool query_parse_expr(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		      const struct query_expr **ret) MUST_CHECK;

/* An object with an `expr` has nothing that goes with a column. ERR_INVALID_QUERY. */
bool query_expr_alone(struct query_parse *p, const json_t *obj, const char *pointer) MUST_CHECK;

/* What a column (scope->own) is set to. ERR_NOT_NULL_VIOLATION too. */
bool query_set_member(const struct expr_scope *s, const json_t *v, const char *pointer,
		      struct query_set *ret) MUST_CHECK;

/* {"count": relation, "where": [...]} as an expression. */
bool query_count_expr(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
		      const struct query_expr **ret) MUST_CHECK;

#endif
