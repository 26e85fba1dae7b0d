/* Live tables -> models. What comes out is such that tables made from it read back as the same models. */
#include "store/migrate/live_ir.h"

#include <stdio.h>
#include <string.h>

#include "service/base/limits.h"
#include "service/base/map.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/codec/time_spelling.h"
#include "store/migrate/diff.h"
#include "store/migrate/live_fill.h"
#include "store/migrate/live_literal.h"
#include "store/migrate/live_type.h"
#include "store/schema/schema_names.h"

#include "service/base/banned.h"

struct live_ir {
	struct arena *a;
	const struct dialect *d;
	const struct live_schema *live;
	const struct live_ir_options *o;
	struct ddl_plan *notes;
	struct live_fill fill;
	struct map models; /* their names so far */
	struct map names;  /* of indexes and uniques so far, and of the tables: one name space */
	size_t next;       /* of the tables, and of the views behind them */
};

static void note(struct live_ir *b, struct str table, struct str column, const char *what)
{
	ddl_plan_warn(b->notes, "not_expressible", table, column, "%.*s%s%.*s: %s", STR_FMT(table),
		      column.p != NULL ? "." : "", STR_FMT(column), what);
}

static json_t *text(struct str s)
{
	return s.p != NULL ? json_stringn(s.p, s.len) : json_null();
}

static void set(json_t *o, const char *key, json_t *v)
{
	(void)json_object_set_new(o, key, v);
}

static bool name_fits(struct str name)
{
	return name.len > 0 && name.len <= LIMIT_NAME_BYTES && str_is_utf8(name) &&
	       memchr(name.p, '\0', name.len) == NULL;
}

static bool has_column(const struct live_ir *b, const struct live_table *t, struct str name, struct str *ret)
{
	const struct live_column *c = live_find_column(b->d, t, name);

	if (c == NULL || !name_fits(c->name) || live_choice_excludes(b->d, b->o, t, c->name))
		return false;
	*ret = c->name;
	return true;
}

/* The table's only primary key column, or NULL. */
static const struct live_column *single_pk(const struct live_table *t)
{
	const struct live_column *pk = NULL;

	for (size_t i = 0; i < t->n_columns; i++) {
		if (t->columns[i].pk_position == 0)
			continue;
		if (pk != NULL)
			return NULL;
		pk = &t->columns[i];
	}
	return pk;
}

/* ---- columns ----------------------------------------------------------------------------------------- */

/* Outside the vocabulary everything is text, which is also what drift takes for equal. */
static enum storage_type storage_of(const struct live_ir *b, const struct live_column *c, int64_t *ret_length)
{
	enum storage_type st = ST_TEXT;

	*ret_length = 0;
	if (c->native_enum)
		return ST_VARCHAR;
	if (!live_type_storage(b->d, c->type, &st, ret_length))
		return ST_TEXT;
	if (b->d->id == DIALECT_SQLITE && st == ST_UUID &&
	    (c->spelling.p == NULL || str_eq_z(c->spelling, "string"))) { /* of a view nobody has looked */
		*ret_length = 32;
		return ST_CHAR;
	}
	if (b->d->id == DIALECT_SQLITE)
		return st;
	/* the spellings that the logical types have on PostgreSQL */
	if (st == ST_UUID)
		return ST_UUID_LOGICAL;
	return st == ST_TIMESTAMPTZ ? ST_DATETIME_LOGICAL : st;
}

static enum logical_type logical_of(const struct live_ir *b, const struct live_column *c)
{
	int64_t length;

	return live_type_own(b->d, c) ? live_type_ir(b->a, c, NULL) : logical_from_storage(storage_of(b, c, &length));
}

/* The db_type where the logical type alone would mean another one. */
static struct str db_type_of(const struct live_ir *b, enum storage_type st, int64_t length)
{
	static const char *const words[] = {
		[ST_SMALLINT] = "smallint",   [ST_BIGINT] = "bigint", [ST_TEXT] = "text",   [ST_UUID] = "uuid",
		[ST_TIMESTAMP] = "timestamp", [ST_TIME] = "time",     [ST_JSONB] = "jsonb", [ST_UNRESOLVED] = NULL,
	};

	if (length > 0 && (st == ST_VARCHAR || st == ST_CHAR))
		return arena_printf(b->a, "%s(%lld)", st == ST_VARCHAR ? "varchar" : "char", (long long)length);
	return str_z(words[st]);
}

static bool is_fk(const struct live_ir *b, const struct live_table *t, struct str column)
{
	for (size_t i = 0; i < t->n_fks; i++)
		for (size_t k = 0; k < t->fks[i].n_columns; k++)
			if (live_name_eq(b->d, t->fks[i].columns[k], column))
				return true;
	return false;
}

/* The database gives the key out by itself: AUTOINCREMENT, a sequence, or SQLite's rowid where NULL means "the next
 * one". */
static bool counts_up(struct live_ir *b, const struct live_table *t, const struct live_column *c, enum logical_type lt)
{
	if (single_pk(t) != c || lt != LT_INTEGER)
		return false;
	return c->autoincrement ||
	       (b->d->id == DIALECT_SQLITE && c->nullable && str_ieq_z(c->type, "integer") && !is_fk(b, t, c->name));
}

static void set_enum(json_t *o, const struct live_column *c)
{
	json_t *values = json_array();

	for (size_t i = 0; i < c->n_enum_values; i++)
		(void)json_array_append_new(values, text(c->enum_values[i]));
	set(o, "enum_values", values);
	set(o, "enum_type_name", text(c->type));
	set(o, "postgres_native_enum", json_true());
}

/* An inline UNIQUE over the column alone. */
static bool inline_unique(const struct live_ir *b, const struct live_table *t, struct str column)
{
	for (size_t i = 0; i < t->n_indexes; i++) {
		const struct live_index *x = &t->indexes[i];

		if (x->origin == LIVE_INDEX_UNIQUE && x->unique && !x->expression && x->n_columns == 1 &&
		    live_name_eq(b->d, x->columns[0], column))
			return true;
	}
	return false;
}

static bool indexed_by_rule(struct live_ir *b, const struct live_table *t, const struct live_column *c)
{
	const struct str rule = schema_artifact_name(b->a, ARTIFACT_INDEX, t->name, &c->name, 1);

	for (size_t i = 0; i < t->n_indexes; i++) {
		const struct live_index *x = &t->indexes[i];

		if (!x->unique && !x->partial && !x->expression && !x->special && !x->invalid && x->n_columns == 1 &&
		    str_eq(x->name, rule) && live_name_eq(b->d, x->columns[0], c->name))
			return true;
	}
	return false;
}

/* Filters have a range that an index serves, whatever the form. */
static void note_order(struct live_ir *b, const struct live_table *t, const struct live_column *c)
{
	if (!time_spelling_sorts(time_spelling_of_name(c->spelling)))
		ddl_plan_warn(
			b->notes, "order_without_index", t->name, c->name,
			"%.*s.%.*s: times are written as %.*s there, whose order is not that of time: records are "
			"sorted by them, and no index serves that",
			STR_FMT(t->name), STR_FMT(c->name), STR_FMT(c->spelling));
}

static json_t *column_ir(struct live_ir *b, const struct live_table *t, const struct live_column *c)
{
	json_t *o = json_object();
	int64_t length = 0;
	const bool own = live_type_own(b->d, c);
	const enum storage_type st = own ? ST_UNRESOLVED : storage_of(b, c, &length);
	const enum logical_type lt = own ? live_type_ir(b->a, c, o) : logical_from_storage(st);
	const bool counts = counts_up(b, t, c, lt);
	const struct str db_type = own || c->native_enum ? STR_NONE : db_type_of(b, st, length);

	set(o, "name", text(c->name));
	set(o, "logical_type", json_string(logical_type_name(lt)));
	set(o, "nullable", json_boolean(c->nullable));
	set(o, "primary_key", json_boolean(c->pk_position > 0));
	set(o, "autoincrement", json_boolean(counts));
	set(o, "unique", json_boolean(inline_unique(b, t, c->name)));
	set(o, "index", json_boolean(indexed_by_rule(b, t, c)));
	set(o, "default", live_fill_default(b->a, c, lt));
	set(o, "format", json_null());
	/* SQLite's counting columns are declared INTEGER, whatever their size elsewhere */
	if (db_type.p != NULL && !(counts && b->d->id == DIALECT_SQLITE))
		set(o, "db_type", text(db_type));
	if (c->native_enum)
		set_enum(o, c);
	live_fill_ir(&b->fill, t, c, o);
	if (c->spelling.p != NULL && (lt == LT_DATETIME || lt == LT_UUID))
		set(o, "spelling", text(c->spelling));
	if (c->spelling.p != NULL && lt == LT_DATETIME)
		note_order(b, t, c);
	return o;
}

/* excluded gets the names of those that stay out. */
static json_t *columns_ir(struct live_ir *b, const struct live_table *t, json_t *excluded)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n_columns; i++) {
		if (live_choice_excludes(b->d, b->o, t, t->columns[i].name))
			(void)json_array_append_new(excluded, text(t->columns[i].name));
		else if (name_fits(t->columns[i].name))
			(void)json_array_append_new(list, column_ir(b, t, &t->columns[i]));
		else
			note(b, t->name, STR_NONE, "has a column whose name is empty or longer than 63 bytes");
	}
	return list;
}

/* ---- keys -------------------------------------------------------------------------------------------- */

/* The column that the key points at; false: none that a model could name. */
static bool target_column(struct live_ir *b, const struct live_foreign_key *fk, struct str *ret)
{
	const struct live_table *to = live_find_table_at(b->d, b->live, fk->to_schema, fk->to_table);
	const struct live_column *pk;

	if (to == NULL) {
		*ret = fk->n_to_columns > 0 ? fk->to_columns[0] : STR("id");
		return name_fits(*ret);
	}
	if (fk->n_to_columns > 0)
		return has_column(b, to, fk->to_columns[0], ret);
	pk = single_pk(to);
	return pk != NULL && has_column(b, to, pk->name, ret);
}

static bool listed(const json_t *list, struct str column, const struct live_foreign_key *fk, struct str table,
		   struct str to)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		if (str_eq(json_str(json_object_get(o, "column")), column) &&
		    str_eq(json_str(json_object_get(o, "to_table")), table) &&
		    str_eq(json_str(json_object_get(o, "to_schema")), fk->to_schema) &&
		    str_eq(json_str(json_object_get(o, "to_column")), to))
			return true;
	}
	return false;
}

static void add_fk(struct live_ir *b, const struct live_table *t, const struct live_foreign_key *fk, json_t *list)
{
	const struct live_table *to = live_find_table_at(b->d, b->live, fk->to_schema, fk->to_table);
	const struct str table = to != NULL ? to->name : fk->to_table;
	struct str column, target;
	json_t *o;

	if (fk->n_columns != 1) {
		note(b, t->name, fk->columns[0], "a foreign key over several columns");
		return;
	}
	if (!has_column(b, t, fk->columns[0], &column) || !name_fits(table) || !target_column(b, fk, &target)) {
		note(b, t->name, fk->columns[0], "a foreign key to what is not there");
		return;
	}
	if (fk->on_update.p != NULL && !str_ieq_z(fk->on_update, "NO ACTION"))
		note(b, t->name, column, "ON UPDATE of its foreign key");
	if (listed(list, column, fk, table, target))
		return;
	o = json_object();
	set(o, "column", text(column));
	set(o, "to_table", text(table));
	if (fk->to_schema.p != NULL)
		set(o, "to_schema", text(fk->to_schema));
	set(o, "to_column", text(target));
	set(o, "on_delete", text(fk->on_delete.p != NULL ? fk->on_delete : STR("NO ACTION")));
	(void)json_array_append_new(list, o);
}

static json_t *fks_ir(struct live_ir *b, const struct live_table *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n_fks; i++)
		add_fk(b, t, &t->fks[i], list);
	return list;
}

/* ---- indexes ----------------------------------------------------------------------------------------- */

/* The names of the index's columns as a JSON array; NULL: one of them is none that a model could have, or is there
 * twice. */
static json_t *index_columns(struct live_ir *b, const struct live_table *t, const struct live_index *x)
{
	json_t *list = json_array();
	struct str name;

	for (size_t i = 0; i < x->n_columns; i++) {
		bool ok = has_column(b, t, x->columns[i], &name);

		for (size_t k = 0; ok && k < json_array_size(list); k++)
			ok = !str_eq(json_str(json_array_get(list, k)), name);
		if (!ok) {
			json_decref(list);
			return NULL;
		}
		(void)json_array_append_new(list, text(name));
	}
	return list;
}

/* The entry's name: the rule's where the database made one up. */
static struct str index_name(struct live_ir *b, const struct live_table *t, const struct live_index *x)
{
	const enum artifact kind = x->unique ? ARTIFACT_UNIQUE : ARTIFACT_INDEX;

	if (x->origin == LIVE_INDEX_UNIQUE && (b->d->id == DIALECT_SQLITE || x->n_columns == 1))
		return schema_artifact_name(b->a, kind, t->name, x->columns, x->n_columns);
	return schema_artifact_fit(b->a, kind, x->name);
}

static void add_index(struct live_ir *b, const struct live_table *t, const struct live_index *x, json_t *indexes,
		      json_t *uniques)
{
	static char mark;
	const bool constraint = x->origin == LIVE_INDEX_UNIQUE;
	struct str name;
	json_t *columns, *o;

	if (x->partial || x->expression || x->special || x->invalid || (constraint && !x->unique)) {
		note(b, t->name, STR_NONE,
		     arena_printf(b->a,
				  "the index \"%.*s\" is over some rows only, over an expression, or not a plain one "
				  "otherwise",
				  STR_FMT(x->name))
			     .p);
		return;
	}
	/* a second one over a column that is unique already adds nothing */
	if (x->unique && !constraint && x->n_columns == 1 && inline_unique(b, t, x->columns[0]))
		return;
	columns = index_columns(b, t, x);
	name = index_name(b, t, x);
	if (columns == NULL || !name_fits(name) ||
	    map_put(&b->names, model_place(b->a, t->schema_name, name), &mark) != NULL) {
		note(b, t->name, STR_NONE,
		     arena_printf(b->a, "index \"%.*s\": its name or one of its columns cannot be named",
				  STR_FMT(x->name))
			     .p);
		json_decref(columns);
		return;
	}
	o = json_object();
	set(o, "name", text(name));
	set(o, "columns", columns);
	if (!x->unique)
		set(o, "unique", json_false());
	(void)json_array_append_new(x->unique ? uniques : indexes, o);
}

/* Constraints first, so that their names, made by the rule, are not taken by an index that does the same. */
static void indexes_ir(struct live_ir *b, const struct live_table *t, json_t *model)
{
	json_t *indexes = json_array(), *uniques = json_array();

	for (int constraints = 1; constraints >= 0; constraints--)
		for (size_t i = 0; i < t->n_indexes; i++) {
			const struct live_index *x = &t->indexes[i];

			if (x->origin != LIVE_INDEX_PRIMARY && (x->origin == LIVE_INDEX_UNIQUE) == (constraints == 1))
				add_index(b, t, x, indexes, uniques);
		}
	set(model, "indexes", indexes);
	set(model, "uniques", uniques);
}

/* ---- checks ------------------------------------------------------------------------------------------ */

/* The literal as SchemaIR writes it: bare for a number, though PostgreSQL quotes negative ones. */
static struct str check_value(struct live_ir *b, const struct live_column *c, const struct literal *l)
{
	const enum logical_type lt = logical_of(b, c);
	double ignored;
	struct str bare;

	if (l->kind != LITERAL_TEXT || (lt != LT_INTEGER && lt != LT_NUMBER && lt != LT_DECIMAL))
		return l->text;
	bare = literal_text(b->a, l);
	return num_parse_double(bare, &ignored) && __builtin_isfinite(ignored) ? bare : l->text;
}

static bool taken(const json_t *list, struct str name)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (str_eq(json_str(json_object_get(json_array_get(list, i), "name")), name))
			return true;
	return false;
}

static void add_check(struct live_ir *b, const struct live_table *t, const struct live_check *k, json_t *list)
{
	struct literal_check c;
	const struct live_column *col = NULL;
	struct str name = k->name;
	json_t *o, *values;

	if (literal_check_read(b->a, k->expression, &c))
		col = live_find_column(b->d, t, c.column);
	if (col == NULL || !name_fits(col->name)) {
		note(b, t->name, STR_NONE,
		     arena_printf(b->a, "check \"%.*s\" is no list of values of one column", STR_FMT(k->name)).p);
		return;
	}
	name = name.p != NULL ? schema_artifact_fit(b->a, ARTIFACT_CHECK, name)
			      : schema_artifact_name(b->a, ARTIFACT_CHECK, t->name, &col->name, 1);
	if (!name_fits(name) || taken(list, name)) {
		note(b, t->name, col->name, "has several checks of one name");
		return;
	}
	values = json_array();
	for (size_t i = 0; i < c.n_values; i++)
		(void)json_array_append_new(values, text(check_value(b, col, &c.values[i])));
	o = json_object();
	set(o, "name", text(name));
	set(o, "column", text(col->name));
	set(o, "values", values);
	(void)json_array_append_new(list, o);
}

/* ---- tables ------------------------------------------------------------------------------------------ */

static json_t *model_ir(struct live_ir *b, const struct live_table *t)
{
	json_t *o = json_object(), *checks = json_array(), *excluded = json_array();

	set(o, "model_name", text(live_choice_name(b->a, b->d, b->o, t, &b->models)));
	set(o, "table_name", text(t->name));
	if (t->schema_name.p != NULL)
		set(o, "schema", text(t->schema_name));
	if (t->kind != MODEL_TABLE) {
		set(o, "kind", json_string(model_kind_name(t->kind)));
		set(o, "writable", json_boolean(!t->read_only));
	}
	set(o, "columns", columns_ir(b, t, excluded));
	if (json_array_size(excluded) > 0)
		set(o, "excluded", excluded);
	else
		json_decref(excluded);
	set(o, "foreign_keys", fks_ir(b, t));
	indexes_ir(b, t, o);
	for (size_t i = 0; i < t->n_checks; i++)
		add_check(b, t, &t->checks[i], checks);
	set(o, "checks", checks);
	return o;
}

/* NULL: the table stays out. */
static json_t *table_ir(struct live_ir *b, const struct live_table *t)
{
	if (!live_choice_has(b->d, b->o, t)) {
		/* what nobody has asked for by kind is named, so that it is known to be there */
		if (b->o->kinds == 0 && b->o->tables == NULL && !model_kind_is_table(t->kind) &&
		    !live_choice_excludes(b->d, b->o, t, STR_NONE))
			ddl_plan_warn(b->notes, "not_introspected", t->name, STR_NONE,
				      "%.*s is a %s: it becomes a model when \"kinds\" or \"tables\" names it",
				      STR_FMT(t->name), model_kind_name(t->kind));
		return NULL;
	}
	if (t->unreadable.p != NULL)
		ddl_plan_warn(b->notes, "not_readable", t->name, STR_NONE,
			      "%.*s cannot be read here and is left out: %.*s", STR_FMT(t->name),
			      STR_FMT(t->unreadable));
	else if (name_fits(t->name) && t->n_columns > 0 && t->n_columns <= LIMIT_COLUMNS)
		return model_ir(b, t);
	else
		note(b, t->name, STR_NONE, "has no columns, or a name that is too long");
	return NULL;
}

void live_ir_tables(struct arena *a, const struct live_ir_options *o, const struct str **ret, size_t *ret_n)
{
	struct str *names;
	size_t n = 0;

	*ret_n = 0;
	if (o->tables == NULL)
		return;
	names = arena_array(a, o->n_tables + o->n_names + 8, sizeof(*names));
	for (size_t i = 0; i < o->n_tables; i++)
		names[n++] = o->tables[i];
	for (size_t i = 0; i < o->n_names; i++)
		names[n++] = o->names[i].table;
	for (size_t i = 0; live_fill_marks[i] != NULL && i < 8; i++)
		names[n++] = str_z(live_fill_marks[i]);
	*ret = names;
	*ret_n = n;
}

static void close_ir(void *arg)
{
	struct live_ir *b = arg;

	map_done(&b->models);
	map_done(&b->names);
}

bool live_ir_open(struct arena *a, const struct dialect *d, const struct live_schema *live,
		  const struct live_ir_options *o, struct ddl_plan *notes, struct live_ir **ret, struct err *err)
{
	static char mark;
	struct live_ir *b;

	if (!live_choice_check(d, live, o, err))
		return false;
	b = arena_alloc(a, sizeof(*b));
	*b = (struct live_ir){.a = a, .d = d, .live = live, .o = o, .notes = notes};
	live_fill_init(&b->fill, d, live);
	map_init(&b->names);
	map_init(&b->models);
	arena_on_done(a, close_ir, b);
	for (size_t i = 0; i < live->n_tables; i++)
		map_put(&b->names, model_place(a, live->tables[i].schema_name, live->tables[i].name), &mark);
	*ret = b;
	return true;
}

json_t *live_ir_next(struct live_ir *b)
{
	const struct live_schema *l = b->live;
	json_t *model = NULL;

	while (model == NULL && b->next < l->n_tables + l->n_views) {
		const size_t i = b->next++;

		wait_may_step_aside();
		model = table_ir(b, i < l->n_tables ? &l->tables[i] : &l->views[i - l->n_tables]);
	}
	return model;
}

static void decref_cleanup(void *arg)
{
	json_decref(arg);
}

bool live_ir(struct arena *a, const struct dialect *d, const struct live_schema *live, const struct live_ir_options *o,
	     struct ddl_plan *notes, json_t **ret, struct err *err)
{
	json_t *payload, *models, *m;
	struct live_ir *b;

	if (!live_ir_open(a, d, live, o, notes, &b, err))
		return false;
	payload = json_object();
	models = json_array();
	while ((m = live_ir_next(b)) != NULL)
		(void)json_array_append_new(models, m);
	set(payload, "models", models);
	arena_on_done(a, decref_cleanup, payload);
	*ret = payload;
	return true;
}
