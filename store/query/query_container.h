/* Operands of the operators on documents, arrays and ranges. Only store/query/ includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_CONTAINER_H
#define FERROD_STORE_QUERY_QUERY_CONTAINER_H

#include "store/query/query.h"

/* What the containers of a column are; operators on them differ. */
enum container { CONTAINER_NONE, CONTAINER_JSON, CONTAINER_ARRAY, CONTAINER_RANGE };
enum container query_container(const struct column *type);
/* The database's type of an array column's elements, of a range's bounds; false: its name cannot be said. */
bool query_element_type(const struct column *type, struct str *ret) MUST_CHECK;

/* A condition being built: its operands are JSON values or texts. */
struct leaf {
	struct arena *arena;
	const struct dialect *dialect;
	const struct column *type; /* of what stands left: decides how operands are bound */
	struct str name;           /* of it, for messages */
	enum query_op op;
	const char *word;        /* its; query_bind_leaf fills it in */
	const json_t *single;    /* one JSON operand */
	const json_t *list;      /* or an array of them */
	const struct str *texts; /* or texts */
	size_t n;
	const char *pointer; /* of the operator's object, or of the URL argument */
	const char *value_pointer;
	struct err *err;
};

/* Room for l->n values and one more; their number is as the lowering wants it: one text or document, but one document a
 * value for `overlap` on JSON. ERR_INVALID_QUERY, ERR_INVALID_VALUE. */
bool query_bind_container(const struct leaf *l, struct value *ret, size_t *ret_n) MUST_CHECK;

/* Is it a range's text, and not one value of its kind? */
bool query_is_range_text(struct str s);

#endif
