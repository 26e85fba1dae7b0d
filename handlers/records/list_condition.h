/* Conditions in URLs: column=op.value, relation!any=(...), or=(...). Lives in the request's arena. */
#ifndef FERROD_HANDLERS_RECORDS_LIST_CONDITION_H
#define FERROD_HANDLERS_RECORDS_LIST_CONDITION_H

#include "service/base/arena.h"
#include "store/query/query.h"

/* One argument being read; everything made of it lives in the arena. */
struct url_filter {
	struct arena *arena;
	const struct query *q;     /* dialect and schema */
	const struct model *model; /* that names belong to here */
	struct str name;           /* of the argument, for messages */
	unsigned depth;
	struct err *err;
};

/* ERR_INVALID_PARAMETERS naming the argument; false. */
bool url_malformed(const struct url_filter *f, const char *why);
/* A refusal by the query's own rules is one of the argument here; false. */
bool url_refused(const struct url_filter *f);
/* A column as URLs name it (query_ref_from_text). ERR_UNKNOWN_COLUMN, ERR_INVALID_PARAMETERS. */
bool url_reference(const struct url_filter *f, struct str text, const struct query_expr **ret) MUST_CHECK;
/* Cuts the next part off at a comma outside of quotes, parentheses and braces; false: there is none left. */
bool url_part(struct str *text, struct str *ret);
/* "name(inner)": the inside of the parentheses that the text ends with; false: it has none. */
bool url_call(struct str text, struct str *ret_name, struct str *ret_inner);

/* The argument f->name=value as a condition. ERR_INVALID_PARAMETERS, ERR_UNKNOWN_COLUMN, ERR_INVALID_VALUE. */
bool url_condition(struct url_filter *f, struct str value, const struct query_node **ret) MUST_CHECK;

#endif
