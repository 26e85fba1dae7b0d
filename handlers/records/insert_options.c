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
		if (o->n_columns == m->n_columns)
			return err_set(err, ERR_INVALID_PARAMETERS, "conflict_columns names a column twice");
		columns[o->n_columns++] = col;
	}
	o->columns = columns;
	return true;
}

bool insert_options_read(const struct context *c, const struct model *m, struct insert_options *o, struct err *err)
{
	*o = (struct insert_options){.conflict = RECORD_INSERT};
	struct str word = request_arg(c->req, "on_conflict");
	if (str_eq_z(word, "ignore"))
		o->conflict = RECORD_IGNORE;
	else if (str_eq_z(word, "update"))
		o->conflict = RECORD_UPDATE;
	else if (word.p != NULL)
		return err_set(err, ERR_INVALID_PARAMETERS, "on_conflict is ignore or update");
	if (!conflict_columns(c->req, m, o, &c->req->arena, err))
		return false;
	if (o->columns != NULL && o->conflict == RECORD_INSERT)
		return err_set(err, ERR_INVALID_PARAMETERS, "conflict_columns goes with on_conflict=ignore or update");
	if (o->columns == NULL && o->conflict != RECORD_INSERT && m->n_pk == 0)
		return err_set(err, ERR_INVALID_PARAMETERS, "model \"%.*s\" has no primary key: name conflict_columns",
			       STR_FMT(m->name));
	return true;
}
