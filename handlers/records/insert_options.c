/* Conflict options of inserts: see insert_options.h. */
#include "handlers/records/insert_options.h"

#include "service/base/banned.h"

/* The column names of ?conflict_columns=a,b. */
static bool conflict_columns(const struct request *req, const struct model *m, struct insert_options *o,
			     struct arena *a, struct err *err)
{
	struct str list = request_arg(req, "conflict_columns");
	if (list.p == NULL)
		return true;
	const struct column **columns = arena_array(a, m->n_columns + 1, sizeof(const struct column *));
	struct str name;
	while (str_split(&list, ',', &name)) {
		const struct column *col = model_column(m, name);
		if (col == NULL)
			return err_set(err, ERR_UNKNOWN_COLUMN,
				       "conflict_columns: model \"%.*s\" has no column \"%.*s\"", STR_FMT(m->name),
				       STR_FMT(name));
		if (o->target.n_columns == m->n_columns)
			return err_set(err, ERR_INVALID_PARAMETERS, "conflict_columns names a column twice");
		columns[o->target.n_columns++] = col;
	}
	o->target.columns = columns;
	return true;
}

bool insert_overrides(const struct context *c)
{
	return prefers(c->res, PREFER_IDENTITY_OVERRIDE);
}

struct index_rows {
	struct arena *arena;
	const struct value **rows;
	size_t n, size;
};

static bool index_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct index_rows *x = arg;
	struct value *row = arena_array(x->arena, n, sizeof(*row));
	(void)ret_stop;
	(void)err;
	if (x->n == x->size)
		return true; /* more than the table has columns: none of ours */
	for (size_t i = 0; i < n; i++)
		row[i] = value_dup(x->arena, values[i]);
	x->rows[x->n++] = row;
	return true;
}

/* A unique of the model by its name, where the database calls it otherwise. */
static bool model_unique(const struct model *m, struct str name, struct arena *a, struct record_target *ret)
{
	for (size_t i = 0; i < m->n_uniques; i++) {
		const struct schema_index *x = &m->uniques[i];
		const struct column **columns = arena_array(a, x->n_columns, sizeof(const struct column *));
		if (!str_eq(x->name, name))
			continue;
		for (size_t k = 0; k < x->n_columns; k++)
			columns[k] = model_column(m, x->columns[k]);
		*ret = (struct record_target){.columns = columns, .n_columns = x->n_columns};
		return true;
	}
	return false;
}

/* The entries and the predicate of ?conflict_index=NAME. */
static bool conflict_index(struct context *c, const struct model *m, struct insert_options *o, struct err *err)
{
	struct arena *a = &c->req->arena;
	const struct dialect *d = c->route.conn->dialect;
	struct str name = request_arg(c->req, "conflict_index");
	struct index_rows x = {.arena = a, .size = LIMIT_COLUMNS};
	struct row_sink sink = {.row = index_row, .arg = &x};
	struct stmt stmt;
	if (name.p == NULL)
		return true;
	if (o->target.columns != NULL || o->conflict == RECORD_INSERT)
		return err_set(err, ERR_INVALID_PARAMETERS,
			       "conflict_index goes with on_conflict=ignore or update, and not with conflict_columns");
	x.rows = arena_array(a, x.size, sizeof(const struct value *));
	context_read(c);
	if (!record_lower_index(a, d, m, name, &stmt, err) || !context_run(c, &stmt, &sink, NULL, err) ||
	    !context_commit(c, err))
		return false;
	if (x.n > 0)
		return record_target_index(a, d, m, x.rows, x.n, &o->target, err);
	return model_unique(m, name, a, &o->target) ||
	       err_set(err, ERR_INVALID_PARAMETERS, "conflict_index: the table has no unique index \"%.*s\"",
		       STR_FMT(name));
}

bool insert_options_read(struct context *c, const struct model *m, struct insert_options *o, struct err *err)
{
	*o = (struct insert_options){.conflict = RECORD_INSERT, .override_identity = insert_overrides(c)};
	struct str word = request_arg(c->req, "on_conflict");
	if (str_eq_z(word, "ignore"))
		o->conflict = RECORD_IGNORE;
	else if (str_eq_z(word, "update"))
		o->conflict = RECORD_UPDATE;
	else if (word.p != NULL)
		return err_set(err, ERR_INVALID_PARAMETERS, "on_conflict is ignore or update");
	if (!conflict_columns(c->req, m, o, &c->req->arena, err))
		return false;
	if (o->target.columns != NULL && o->conflict == RECORD_INSERT)
		return err_set(err, ERR_INVALID_PARAMETERS, "conflict_columns goes with on_conflict=ignore or update");
	if (!conflict_index(c, m, o, err))
		return false;
	if (o->target.columns == NULL && o->target.sql.p == NULL && o->conflict != RECORD_INSERT && m->n_pk == 0)
		return err_set(err, ERR_INVALID_PARAMETERS, "model \"%.*s\" has no primary key: name conflict_columns",
			       STR_FMT(m->name));
	return true;
}
