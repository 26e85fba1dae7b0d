/*
 * What an insert does with a row whose key is taken: ?on_conflict=, ?conflict_columns= and ?conflict_index=. Lives in
 * the request's arena.
 */
#ifndef FERROD_HANDLERS_INSERT_OPTIONS_H
#define FERROD_HANDLERS_INSERT_OPTIONS_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

struct insert_options {
	enum record_conflict conflict;
	struct record_target target; /* what is in the way by what; nothing: the primary key */
	struct query_set *set;       /* what an upsert changes, in place of what was sent; n_set 0: that */
	size_t n_set;
	bool override_identity; /* Prefer: identity=override */
};

/* Does the caller insist on the identities that it gives? */
bool insert_overrides(const struct context *c);

/* on_conflict, conflict_columns and conflict_index of the request; asks the database for the index. Outside a unit.
 * ERR_INVALID_PARAMETERS, ERR_UNKNOWN_COLUMN. May park. */
bool insert_options_read(struct context *c, const struct model *m, struct insert_options *o,
			 struct err *err) MUST_CHECK;

/* The same of a body's `on_conflict`: {"columns" | "index", "action", "set"}; `pointer`: where it stands. Beside
 * ?on_conflict: ERR_INVALID_REQUEST. ERR_INVALID_QUERY, ERR_UNKNOWN_COLUMN, ERR_INVALID_VALUE. May park. */
bool insert_options_body(struct context *c, const struct model *m, const json_t *on_conflict, const char *pointer,
			 struct insert_options *o, struct err *err) MUST_CHECK;

#endif
