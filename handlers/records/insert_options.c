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

/* The entries and the predicate of the unique index of that name; *ret_found false: there is none. */
static bool find_index(struct context *c, const struct model *m, struct str name, struct insert_options *o,
		       bool *ret_found, struct err *err)
{
	struct arena *a = &c->req->arena;
	const struct dialect *d = c->route.conn->dialect;
	struct index_rows x = {.arena = a, .size = LIMIT_COLUMNS};
	struct row_sink sink = {.row = index_row, .arg = &x};
	struct stmt stmt;
	const bool own = !c->in_unit; /* a batch has a unit already */
	*ret_found = true;
	x.rows = arena_array(a, x.size, sizeof(const struct value *));
	if (own)
		context_read(c);
	if (!record_lower_index(a, d, m, name, &stmt, err) || !context_run(c, &stmt, &sink, NULL, err) ||
	    (own && !context_commit(c, err)))
		return false;
	if (x.n > 0)
		return record_target_index(a, d, m, x.rows, x.n, &o->target, err);
	*ret_found = model_unique(m, name, a, &o->target);
	return true;
}

/* ?conflict_index=NAME. */
static bool conflict_index(struct context *c, const struct model *m, struct insert_options *o, struct err *err)
{
	const struct str name = request_arg(c->req, "conflict_index");
	bool found;
	if (name.p == NULL)
		return true;
	if (o->target.columns != NULL || o->conflict == RECORD_INSERT)
		return err_set(err, ERR_INVALID_PARAMETERS,
			       "conflict_index goes with on_conflict=ignore or update, and not with conflict_columns");
	if (!find_index(c, m, name, o, &found, err))
		return false;
	return found || err_set(err, ERR_INVALID_PARAMETERS, "conflict_index: the table has no unique index \"%.*s\"",
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

/* ---- in a body ---- */

struct conflict_body {
	struct str index, action;
	const json_t *columns, *set;
};

static bool body_columns(struct context *c, const struct model *m, const json_t *list, const char *pointer,
			 struct insert_options *o, struct err *err)
{
	struct arena *a = &c->req->arena;
	const char *at = json_pointer_key(a, pointer, STR("columns"));
	const struct column **columns = arena_array(a, m->n_columns + 1, sizeof(const struct column *));
	if (json_array_size(list) == 0 || json_array_size(list) > m->n_columns)
		return err_set_at(err, ERR_INVALID_QUERY, at, "name the columns that are unique together");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *name = json_array_get(list, i);
		columns[i] = json_is_string(name) ? model_column(m, json_str(name)) : NULL;
		if (columns[i] == NULL)
			return err_set_at(err, ERR_UNKNOWN_COLUMN, json_pointer_index(a, at, i),
					  "model \"%.*s\" has no such column", STR_FMT(m->name));
	}
	o->target.columns = columns;
	o->target.n_columns = json_array_size(list);
	return true;
}

static bool read_body(struct context *c, const json_t *v, const char *pointer, struct conflict_body *ret,
		      struct err *err)
{
	struct json_reader r;
	json_reader_init(&r, &c->req->arena, v, pointer, err);
	json_reader_array(&r, "columns", &ret->columns);
	json_reader_str(&r, "index", &ret->index);
	json_reader_str(&r, "action", &ret->action);
	json_reader_any(&r, "set", &ret->set);
	if (ret->columns != NULL && ret->index.p != NULL)
		json_reader_fault(&r, "index", "stands in place of `columns`, not beside them");
	if (ret->action.p != NULL && !str_eq_z(ret->action, "update") && !str_eq_z(ret->action, "ignore"))
		json_reader_fault(&r, "action", "is update (the default) or ignore");
	if (ret->set != NULL && ret->action.p != NULL && str_eq_z(ret->action, "ignore"))
		json_reader_fault(&r, "set", "goes with the action update");
	return json_reader_done(&r);
}

bool insert_options_body(struct context *c, const struct model *m, const json_t *on_conflict, const char *pointer,
			 struct insert_options *o, struct err *err)
{
	struct arena *a = &c->req->arena;
	struct conflict_body body = {.index = STR_NONE, .action = STR_NONE};
	bool found = true;
	*o = (struct insert_options){.override_identity = insert_overrides(c)};
	if (request_arg(c->req, "on_conflict").p != NULL || request_arg(c->req, "conflict_columns").p != NULL ||
	    request_arg(c->req, "conflict_index").p != NULL)
		return err_set_at(err, ERR_INVALID_REQUEST, pointer, "the URL says it already");
	if (!read_body(c, on_conflict, pointer, &body, err))
		return false;
	o->conflict = body.action.p != NULL && str_eq_z(body.action, "ignore") ? RECORD_IGNORE : RECORD_UPDATE;
	if (body.columns != NULL && !body_columns(c, m, body.columns, pointer, o, err))
		return false;
	if (body.index.p != NULL && !find_index(c, m, body.index, o, &found, err))
		return false;
	if (!found)
		return err_set_at(err, ERR_INVALID_QUERY, json_pointer_key(a, pointer, STR("index")),
				  "the table has no unique index \"%.*s\"", STR_FMT(body.index));
	if (o->target.columns == NULL && o->target.sql.p == NULL && m->n_pk == 0)
		return err_set_at(err, ERR_INVALID_QUERY, pointer,
				  "model \"%.*s\" has no primary key: name the columns", STR_FMT(m->name));
	return body.set == NULL || query_set_given(a, m, c->route.conn->dialect, body.set,
						   json_pointer_key(a, pointer, STR("set")), &o->set, &o->n_set, err);
}
