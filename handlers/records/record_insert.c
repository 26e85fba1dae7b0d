/* One row into its table and back: see record_insert.h. */
#include "handlers/records/record_insert.h"

#include "handlers/unit/mapped.h"
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

/* Tells the map what is about to be written. */
static void announce(struct context *c, const struct model *m, const struct record_row *row,
		     const struct insert_options *o)
{
	struct arena *a = &c->req->arena;
	bool keyed = m->n_pk > 0;
	if (o->conflict != RECORD_UPDATE) {
		mapped_insert(c, m);
		return;
	}
	struct value *key = arena_array(a, m->n_pk + 1, sizeof(*key));
	for (size_t i = 0; i < m->n_pk; i++) {
		key[i] = row->values[m->pk[i]->index];
		keyed = keyed && row->given[m->pk[i]->index] && key[i].kind != VALUE_NULL;
	}
	if (keyed && o->columns == NULL)
		mapped_write(c, m, query_identity_key(a, m, key));
	else /* whichever record has the conflicting columns, its key may change */
		mapped_write_all(c, m, MAPPED_KEYS);
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
				 err))
		return false;
	announce(c, m, row, o);
	if (!context_run(c, &stmt, &sink, NULL, err))
		return false;
	*ret_row = keep.row;
	if (keep.row != NULL)
		mapped_wrote(c, m, keep.row);
	return !record_explicit_id(m, row) || keep.row == NULL || record_sequence(c, m, err);
}
