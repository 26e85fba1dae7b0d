/* One row into its table and back: see record_insert.h. */
#include "handlers/records/record_insert.h"

#include "handlers/answer/values.h"
#include "handlers/unit/mapped.h"
#include "handlers/unit/reads.h"
#include "handlers/unit/triggers.h"

#include "service/base/banned.h"

bool record_explicit_id(const struct model *m, const struct record_row *row)
{
	for (size_t i = 0; i < m->n_pk; i++) {
		const struct column *c = m->pk[i];
		if ((c->autoincrement || c->fill.generated != GENERATED_NOT) && row->given[c->index] &&
		    row->values[c->index].kind != VALUE_NULL)
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

/* The first row, decoded, and what follows its columns. */
struct made_row {
	struct row_keep keep;
	struct record_made *made;
	bool tells;
};

static bool take_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct made_row *r = arg;
	struct row_sink keep = row_keep_sink(&r->keep);
	if (r->tells && n > 0) {
		n--;
		r->made->is_new = values[n].kind == VALUE_BOOL && values[n].u.b;
	}
	return keep.row(keep.arg, values, n, ret_stop, err);
}

bool record_count_there(struct context *c, const struct model *m, const struct record_row *rows, size_t n,
			const struct insert_options *o, int64_t *ret, struct err *err)
{
	struct stmt stmt;
	return record_lower_count(&c->req->arena, c->route.conn->dialect, m, rows, n, &o->target, &stmt, err) &&
	       context_scalar(c, &stmt, ret, err);
}

bool record_blocking(struct context *c, const struct model *m, const struct record_row *row,
		     const struct insert_options *o, struct value **ret, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	struct row_keep keep = {.arena = &c->req->arena, .dialect = c->route.conn->dialect, .shape = &shape};
	struct row_sink sink = row_keep_sink(&keep);
	*ret = NULL;
	if (!record_lower_blocking(keep.arena, keep.dialect, m, row, &o->target, &stmt, &shape, err))
		return false;
	struct imap_read read;
	imap_read_begin(&read, mapped_map(c, m), m, IMAP_REFRESH);
	if (stmt.sql.len > 0 && !context_run(c, &stmt, &sink, NULL, err))
		return false;
	*ret = keep.row;
	if (keep.row != NULL)
		(void)mapped_row(&read, keep.arena, keep.row);
	return true;
}

bool record_count_stands(struct context *c, const struct column *col, struct value stated, const struct value *there,
			 struct err *err)
{
	struct value now;
	if (!value_rebind(&c->req->arena, c->route.conn->dialect, col, there[col->index], &now, err))
		return false;
	return value_equal(now, stated) || err_set(err, ERR_PRECONDITION_FAILED,
						   "the record has been written since the lock version that was sent");
}

bool record_counts_stand(struct context *c, const struct model *m, const struct record_row *rows, size_t n,
			 const struct insert_options *o, struct err *err)
{
	const struct column *count = NULL;
	for (size_t i = 0; i < m->n_columns && n > 0 && o->n_set == 0; i++)
		if (m->columns[i].fill.lock_version && rows[0].sent != NULL && rows[0].sent[i])
			count = &m->columns[i];
	for (size_t i = 0; count != NULL && i < n; i++) {
		struct value *there;
		if (!record_blocking(c, m, &rows[i], o, &there, err) ||
		    (there != NULL && !record_count_stands(c, count, rows[i].values[count->index], there, err)))
			return false;
	}
	return true;
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
	if (keyed && o->target.n_columns == 0 && o->target.sql.p == NULL)
		mapped_write(c, m, query_identity_key(a, m, key));
	else /* whichever record has the conflicting columns, its key may change */
		mapped_write_all(c, m, MAPPED_KEYS);
}

/* SQLite: of a view, only what was given is. */
static bool key_is_known(const struct model *m, const struct value *row)
{
	for (size_t i = 0; i < m->n_pk; i++)
		if (row[m->pk[i]->index].kind == VALUE_NULL)
			return false;
	return true;
}

static struct record_insert_how how_of(const struct insert_options *o, bool tells)
{
	return (struct record_insert_how){.conflict = o->conflict,
					  .target = o->target,
					  .set = o->set,
					  .n_set = o->n_set,
					  .override_identity = o->override_identity,
					  .returning = true,
					  .tells = tells};
}

bool record_insert_stmt(struct context *c, const struct model *m, const struct record_row *row,
			const struct insert_options *o, struct stmt *ret, struct err *err)
{
	const struct record_insert_how how = how_of(o, false);
	struct result_shape shape;
	return record_lower_insert(&c->req->arena, c->route.conn->dialect, m, row, 1, &how, ret, &shape, err);
}

bool record_insert(struct context *c, const struct model *m, const struct record_row *row,
		   const struct insert_options *o, struct record_made *made, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	const struct dialect *d = c->route.conn->dialect;
	const bool upsert = o->conflict == RECORD_UPDATE;
	bool tells = false;
	if (upsert && d->id == DIALECT_POSTGRES && !context_plain_table(c, m, &tells, err))
		return false;
	const struct record_insert_how how = how_of(o, tells);
	struct made_row r = {
		.keep = {.arena = &c->req->arena, .dialect = d, .shape = &shape}, .made = made, .tells = how.tells};
	struct row_sink sink = {.row = take_row, .arg = &r};
	int64_t there = 0;
	if (upsert && !tells && !record_count_there(c, m, row, 1, o, &there, err))
		return false;
	made->is_new = there == 0;
	if (!record_lower_insert(&c->req->arena, d, m, row, 1, &how, &stmt, &shape, err))
		return false;
	announce(c, m, row, o);
	context_unleash(c, made->triggers);
	if (!context_run(c, &stmt, &sink, NULL, err))
		return false;
	made->row = r.keep.row;
	if (made->row == NULL && upsert && !record_counts_stand(c, m, row, 1, o, err))
		return false;
	if (made->row != NULL && record_explicit_id(m, row) && !record_sequence(c, m, err))
		return false;
	/* without triggers it is no view, and null what the key is (SQLite: INT PRIMARY KEY) */
	made->unknown = made->triggers && made->row != NULL && !key_is_known(m, made->row);
	if (made->unknown)
		made->row = NULL;
	const bool written = made->row != NULL;
	if (!context_settle(c, m, made->triggers, NULL, &made->row, err))
		return false;
	made->taken = written && made->row == NULL;
	if (made->row != NULL)
		mapped_wrote(c, m, made->row);
	return true;
}
