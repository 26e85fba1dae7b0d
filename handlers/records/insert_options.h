/* What an insert does with a row whose key is taken: ?on_conflict= and ?conflict_columns=. */
#ifndef FERROD_HANDLERS_INSERT_OPTIONS_H
#define FERROD_HANDLERS_INSERT_OPTIONS_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

struct insert_options {
	enum record_conflict conflict;
	const struct column *const *columns; /* conflict columns; NULL: the primary key */
	size_t n_columns;
};

/* on_conflict and conflict_columns of the request. ERR_INVALID_PARAMETERS, ERR_UNKNOWN_COLUMN. */
bool insert_options_read(const struct context *c, const struct model *m, struct insert_options *o,
			 struct err *err) MUST_CHECK;

#endif
