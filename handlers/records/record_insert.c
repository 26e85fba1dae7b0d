/* One row into its table and back: see record_insert.h. */
#include "handlers/records/record_insert.h"

#include "handlers/unit/reads.h"

#include "service/base/banned.h"

bool record_explicit_id(const struct model *m, const struct record_row *row)
{
	for (size_t i = 0; i < m->n_pk; i++) {
		const struct column *c = m->pk[i];
		if (c->autoincrement && row->given[c->index] && row->values[c->index].kind != VALUE_NULL)
			return true;
	}
	return false;
}

bool record_sequence(struct context *c, const struct model *m, struct err *err)
{
	struct stmt stmt;
	if (!record_lower_sequence(&c->req->arena, c->route.conn->dialect, m, &stmt, err))
		return false;
	if (stmt.sql.len == 0 || context_run(c, &stmt, NULL, NULL, err))
		return true;
	if (c->route.tx == NULL && !c->exec.atomic)
		err->outcome = ERR_OUTCOME_COMMITTED; /* the rows were, before */
	return false;
}

bool record_insert(struct context *c, const struct model *m, const struct record_row *row,
		   const struct insert_options *o, struct value **ret_row, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	const struct dialect *d = c->route.conn->dialect;
	struct row_keep keep = {.arena = &c->req->arena, .dialect = d, .shape = &shape};
	struct row_sink sink = row_keep_sink(&keep);
	if (!record_lower_insert(keep.arena, d, m, row, 1, o->conflict, o->columns, o->n_columns, true, &stmt, &shape,
				 err) ||
	    !context_run(c, &stmt, &sink, NULL, err))
		return false;
	*ret_row = keep.row;
	return !record_explicit_id(m, row) || keep.row == NULL || record_sequence(c, m, err);
}
