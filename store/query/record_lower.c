/* INSERT of one or many rows, with what to do about rows that exist; the sequence after explicit ids. */
#include "store/query/query_parse.h"
#include "store/query/query_sql.h"

#include "service/base/banned.h"

struct insert {
	const struct model *model;
	const struct record_row *rows;
	size_t n_rows;
	enum record_conflict conflict;
	const struct column *const *target; /* conflict columns; none when an index is named by its SQL */
	size_t n_target;
	const struct record_insert_how *how;
};

/* ---- conflicts ---- */

static bool same_set(const struct insert *in, const struct str *names, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < in->n_target; k++)
			found += str_eq(names[i], in->target[k]->name);
	return n == in->n_target && found == n;
}

static bool is_pk(const struct insert *in)
{
	size_t found = 0;

	for (size_t i = 0; i < in->model->n_pk; i++)
		found += query_has_column(in->target, in->n_target, in->model->pk[i]);
	return found == in->model->n_pk && found == in->n_target;
}

/* Is there something in the schema that makes these columns unique together? */
static bool is_unique(const struct insert *in)
{
	const struct model *m = in->model;

	if (is_pk(in) || (in->n_target == 1 && in->target[0]->unique))
		return true;
	for (size_t i = 0; i < m->n_uniques; i++)
		if (same_set(in, m->uniques[i].columns, m->uniques[i].n_columns))
			return true;
	for (size_t i = 0; i < m->n_indexes; i++)
		if (schema_index_keeps_unique(&m->indexes[i]) &&
		    same_set(in, m->indexes[i].columns, m->indexes[i].n_columns))
			return true;
	return false;
}

static bool check_conflict(const struct insert *in, struct err *err)
{
	if (in->conflict == RECORD_INSERT || in->conflict == RECORD_IGNORE_ANY ||
	    (in->conflict == RECORD_IGNORE && in->n_target == 0) || in->how->target.known)
		return true;
	if (in->n_target == 0)
		return err_set(err, ERR_INVALID_QUERY, "model \"%.*s\" has no primary key: name the conflict columns",
			       STR_FMT(in->model->name));
	if (is_unique(in))
		return true;
	return err_set(err, ERR_INVALID_QUERY,
		       "the conflict columns are neither the primary key nor unique in model "
		       "\"%.*s\"",
		       STR_FMT(in->model->name));
}

static void put_excluded(struct sql *s, struct str column)
{
	sql_ident(s, column);
	sql_put(s, " = \"excluded\".");
	sql_ident(s, column);
}

/* Of a column that is there: qualified, or it would be the new row's on neither database. */
static void put_own(struct sql *s, const struct model *m, struct str column)
{
	sql_ident(s, m->table);
	sql_put(s, ".");
	sql_ident(s, column);
}

/* A column that may be set to what it is. */
static const struct column *any_column(const struct model *m)
{
	for (size_t i = 0; i < m->n_columns; i++)
		if (!column_only_read(&m->columns[i]))
			return &m->columns[i];
	return &m->columns[0];
}

static void put_change(struct sql *s, const struct insert *in, const struct column *c)
{
	if (!c->fill.lock_version) {
		put_excluded(s, c->name);
		return;
	}
	sql_ident(s, c->name);
	sql_put(s, " = COALESCE(");
	put_own(s, in->model, c->name);
	sql_put(s, ", 0) + 1");
}

/* What was sent is written over a row that is there, and what ferrod fills at a change: never what it filled in only
 * because a new row would have needed it. */
static bool changes(const struct insert *in, size_t i)
{
	const struct column *c = &in->model->columns[i];
	const bool sent = in->rows[0].sent != NULL ? in->rows[0].sent[i] : in->rows[0].given[i];

	if (c->primary_key || query_has_column(in->target, in->n_target, c) || column_only_read(c))
		return false;
	return c->fill.lock_version || (in->rows[0].given[i] && (sent || c->fill.now_on_update));
}

/* Columns that nothing says more of are those of the row that is there. */
static void put_set(struct sql *s, const struct insert *in)
{
	sql_on(s, in->model);
	s->qualifier = in->model->table;
	for (size_t i = 0; i < in->how->n_set; i++) {
		sql_put(s, i > 0 ? ", " : "");
		sql_set(s, &in->how->set[i]);
	}
	s->qualifier = STR_NONE;
}

/* The count of writes that the rows state; NULL: none, or something else decides what becomes of it. */
static const struct column *stated_count(const struct insert *in)
{
	for (size_t i = 0; in->how->n_set == 0 && in->rows[0].sent != NULL && i < in->model->n_columns; i++)
		if (in->model->columns[i].fill.lock_version && in->rows[0].sent[i])
			return &in->model->columns[i];
	return NULL;
}

/* A row whose count is another one is not written over. */
static void put_guard(struct sql *s, const struct insert *in)
{
	const struct column *count = stated_count(in);

	if (count == NULL)
		return;
	sql_put(s, " WHERE ");
	put_own(s, in->model, count->name);
	sql_put(s, sql_on_postgres(s) ? " IS NOT DISTINCT FROM \"excluded\"." : " IS \"excluded\".");
	sql_ident(s, count->name);
}

static void put_update(struct sql *s, const struct insert *in)
{
	const struct column *same = any_column(in->model);
	size_t n = 0;

	sql_put(s, " DO UPDATE SET ");
	if (in->how->n_set > 0) {
		put_set(s, in);
		return;
	}
	for (size_t i = 0; i < in->model->n_columns; i++) {
		if (!changes(in, i))
			continue;
		if (n++ > 0)
			sql_put(s, ", ");
		put_change(s, in, &in->model->columns[i]);
	}
	if (n > 0) {
		put_guard(s, in);
		return;
	}
	/* nothing to change, but the row that is there is to be locked and returned */
	sql_ident(s, same->name);
	sql_put(s, " = ");
	put_own(s, in->model, same->name);
}

static void put_target(struct sql *s, const struct insert *in)
{
	const struct record_target *t = &in->how->target;

	if (in->n_target == 0 && t->sql.p == NULL)
		return;
	sql_put(s, " (");
	if (t->sql.p != NULL)
		sql_puts(s, t->sql);
	else
		sql_columns(s, in->target, in->n_target);
	sql_put(s, ")");
	if (t->predicate.p == NULL)
		return;
	sql_put(s, " WHERE ");
	sql_puts(s, t->predicate);
}

static void put_conflict(struct sql *s, const struct insert *in)
{
	if (in->conflict == RECORD_INSERT)
		return;
	sql_put(s, " ON CONFLICT");
	put_target(s, in);
	if (in->conflict != RECORD_UPDATE)
		sql_put(s, " DO NOTHING");
	else
		put_update(s, in);
}

/* ---- rows ---- */

static size_t count_given(const struct insert *in)
{
	size_t n = 0;

	for (size_t i = 0; i < in->model->n_columns; i++)
		n += in->rows[0].given[i];
	return n;
}

/* Several rows of nothing: DEFAULT VALUES makes one row only. PostgreSQL takes the word DEFAULT; SQLite fills an
 * integer primary key for NULL and has NULL as every column's default (there are none in the schemas we make). */
static void put_empty_rows(struct sql *s, const struct insert *in)
{
	const bool postgres = s->dialect->id == DIALECT_POSTGRES;
	const struct column *c = &in->model->columns[0];

	for (size_t i = 0; i < in->model->n_columns; i++)
		if (in->model->columns[i].autoincrement)
			c = &in->model->columns[i];
	sql_put(s, " (");
	sql_ident(s, c->name);
	sql_put(s, ") VALUES ");
	for (size_t i = 0; i < in->n_rows; i++) {
		sql_put(s, i > 0 ? ", " : "");
		sql_put(s, postgres ? "(DEFAULT)" : "(NULL)");
	}
}

static void put_row(struct sql *s, const struct insert *in, const struct record_row *row)
{
	bool first = true;

	for (size_t i = 0; i < in->model->n_columns; i++) {
		if (!in->rows[0].given[i])
			continue;
		sql_put(s, first ? "(" : ", ");
		first = false;
		sql_written(s, &in->model->columns[i], row->values[i]);
	}
	sql_put(s, ")");
}

/* The given columns, without a closing parenthesis. */
static void put_names(struct sql *s, const struct insert *in)
{
	bool first = true;

	for (size_t i = 0; i < in->model->n_columns; i++) {
		if (!in->rows[0].given[i])
			continue;
		sql_put(s, first ? " (" : ", ");
		first = false;
		sql_ident(s, in->model->columns[i].name);
	}
}

static void put_rows(struct sql *s, const struct insert *in)
{
	put_names(s, in);
	sql_put(s, ")");
	if (in->how->override_identity && s->dialect->id == DIALECT_POSTGRES)
		sql_put(s, " OVERRIDING SYSTEM VALUE");
	sql_put(s, " VALUES ");
	for (size_t i = 0; i < in->n_rows; i++) {
		if (i > 0)
			sql_put(s, ", ");
		put_row(s, in, &in->rows[i]);
	}
}

static void put_returning(struct sql *s, const struct model *m, struct result_shape *ret)
{
	if (s->plan != NULL) {
		*ret = s->plan->shape;
		return;
	}
	*ret = (struct result_shape){.n = m->n_columns, .decode = m->columns, .full = true};
	ret->columns = arena_array(s->arena, m->n_columns, sizeof(*ret->columns));
	ret->names = arena_array(s->arena, m->n_columns, sizeof(*ret->names));
	sql_put(s, " RETURNING ");
	for (size_t i = 0; i < m->n_columns; i++) {
		ret->columns[i] = &m->columns[i];
		ret->names[i] = m->columns[i].name;
		if (i > 0)
			sql_put(s, ", ");
		sql_ident(s, m->columns[i].name);
	}
}

/* Of one row; statements of many are long and seldom the same. */
static void insert_key(struct plan_key *k, const struct dialect *d, const struct insert *in)
{
	const struct record_insert_how *how = in->how;
	const unsigned bits = how->returning | (unsigned)how->tells << 1 | (unsigned)how->override_identity << 2;

	plan_key_begin(k, PLAN_INSERT, d, in->model);
	plan_key_number(k, (uint64_t)in->conflict << 3 | bits);
	plan_key_number(k, in->n_target);
	plan_key_number(k, in->conflict == RECORD_UPDATE && stated_count(in) != NULL);
	for (size_t i = 0; i < in->n_target; i++)
		plan_key_column(k, in->target[i]);
	for (size_t i = 0; i < in->model->n_columns; i += 8) {
		uint64_t given = 0;

		for (size_t bit = 0; bit < 8 && i + bit < in->model->n_columns; bit++)
			given |= (uint64_t)in->rows[0].given[i + bit] << bit |
				 (uint64_t)(in->conflict == RECORD_UPDATE && changes(in, i + bit)) << (8 + bit);
		plan_key_number(k, given);
	}
	k->too_long = k->too_long || in->n_rows != 1 || how->n_set > 0 || how->target.sql.p != NULL ||
		      how->target.predicate.p != NULL;
}

bool record_lower_insert(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *rows,
			 size_t n_rows, const struct record_insert_how *how, struct stmt *ret,
			 struct result_shape *ret_shape, struct err *err)
{
	struct insert in = {m, rows, n_rows, how->conflict, how->target.columns, how->target.n_columns, how};
	const bool tells = how->tells && d->id == DIALECT_POSTGRES;
	struct plan_key key;
	bool counts = false;
	size_t n_given;
	struct sql s;

	if (m->read_only)
		return query_read_only(err, m);
	if (n_rows == 0)
		return err_set(err, ERR_INVALID_QUERY, "there is no row to insert");
	if (in.n_target == 0 && how->target.sql.p == NULL && how->conflict != RECORD_IGNORE_ANY) {
		in.target = m->pk;
		in.n_target = m->n_pk;
	}
	if (!check_conflict(&in, err))
		return false;
	n_given = count_given(&in);
	if (n_given > d->params_max / n_rows)
		return err_set(err, ERR_INVALID_QUERY,
			       "%zu rows of %zu columns are more values than one statement takes", n_rows, n_given);
	insert_key(&key, d, &in);
	sql_begin(&s, a, d, &key);
	sql_put(&s, "INSERT INTO ");
	sql_table(&s, m);
	if (n_given > 0)
		put_rows(&s, &in);
	else if (n_rows == 1)
		sql_put(&s, " DEFAULT VALUES");
	else
		put_empty_rows(&s, &in);
	/* SQLite cannot say ON CONFLICT after DEFAULT VALUES; a row of nothing but defaults has a fresh key or none */
	if (n_given > 0)
		put_conflict(&s, &in);
	if (how->returning)
		put_returning(&s, m, ret_shape);
	else
		counts = sql_count_rows(&s, m);
	if (tells)
		sql_put(&s, how->returning
				    ? ", xmax = 0"
				    : " RETURNING xmax = 0"); /* an updated row is one that its updater has locked */
	if (!sql_finish(&s, STMT_WRITE, ret, err))
		return false;
	if (s.plan == NULL) {
		ret->quick = n_rows == 1;
		ret->counts_rows = counts;
		ret->n_columns = (how->returning ? ret_shape->n : 0) + tells + counts;
		plan_keep(&key, ret, how->returning ? ret_shape : NULL);
	}
	return true;
}

/* COPY writes even what GENERATED ALWAYS forbids: explicit keys keep to INSERT. */
static bool fits_copy(const struct model *m, const struct record_row *row)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_columns; i++) {
		if (row->given[i] &&
		    (m->columns[i].autoincrement || m->columns[i].fill.generated == GENERATED_IDENTITY_ALWAYS))
			return false;
		n += row->given[i];
	}
	return n > 0;
}

bool record_lower_load(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *row,
		       struct str *ret, struct err *err)
{
	const struct insert in = {.model = m, .rows = row, .n_rows = 1};
	struct stmt stmt;
	struct sql s;

	*ret = STR_NONE;
	if (m->read_only)
		return query_read_only(err, m);
	if (!fits_copy(m, row))
		return true;
	sql_init(&s, a, d);
	sql_put(&s, "COPY ");
	sql_table(&s, m);
	put_names(&s, &in);
	sql_put(&s, ") FROM STDIN");
	if (!sql_finish(&s, STMT_WRITE, &stmt, err))
		return false;
	*ret = stmt.sql;
	return true;
}

bool record_lower_sequence(struct arena *a, const struct dialect *d, const struct model *m, struct stmt *ret,
			   struct err *err)
{
	const struct column *key = NULL;
	struct strbuf table;
	struct sql s;

	*ret = (struct stmt){.sql = STR_NONE};
	for (size_t i = 0; i < m->n_columns; i++)
		if (m->columns[i].autoincrement)
			key = &m->columns[i];
	if (d->id != DIALECT_POSTGRES || key == NULL)
		return true;
	strbuf_init(&table, 0);
	dialect_quote_table(&table, m->schema_name, m->table);
	sql_init(&s, a, d);
	/* never backwards: numbers once given out, of rows since deleted too, stay used */
	sql_put(&s, "SELECT pg_catalog.setval(q.s, m.id) FROM (SELECT CAST(pg_catalog.pg_get_serial_sequence(");
	dialect_put_literal(d, &s.text, strbuf_str(&table));
	sql_put(&s, ", ");
	dialect_put_literal(d, &s.text, key->name);
	sql_put(&s, ") AS regclass) AS s) AS q, (SELECT MAX(");
	sql_ident(&s, key->name);
	sql_put(&s, ") AS id FROM ");
	sql_table(&s, m);
	sql_put(&s, ") AS m WHERE q.s IS NOT NULL AND m.id > COALESCE(pg_catalog.pg_sequence_last_value(q.s), 0)");
	strbuf_done(&table);
	if (!sql_finish(&s, STMT_WRITE, ret, err))
		return false;
	/* an index knows the largest; and what stays in the session is what the column's own default leaves there */
	ret->quick = m->n_pk > 0 && m->pk[0] == key;
	return true;
}
