/* What live tables have beside their columns -> members of models. */
#include "store/migrate/live_artifacts.h"

#include <string.h>

#include "service/base/limits.h"
#include "service/base/num.h"
#include "store/migrate/diff.h"
#include "store/migrate/live_literal.h"
#include "store/schema/schema_names.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

static void set_true(json_t *o, const char *key, bool v)
{
	if (v)
		live_set(o, key, json_true());
}

/* ---- foreign keys ------------------------------------------------------------------------------------ */

/* The n-th column of the target's primary key, which a key that names none points at. */
static bool key_column(const struct live_table *to, size_t n, struct str *ret)
{
	for (size_t i = 0; i < to->n_columns; i++)
		if (to->columns[i].pk_position == n + 1) {
			*ret = to->columns[i].name;
			return true;
		}
	return false;
}

/* The columns that the key points at; false: some that no model could name. */
static bool target_columns(const struct live_builder *b, const struct live_foreign_key *fk, const struct live_table *to,
			   struct str *ret)
{
	for (size_t i = 0; i < fk->n_columns; i++) {
		struct str name = fk->n_to_columns > i ? fk->to_columns[i] : STR("id");

		if (to != NULL && fk->n_to_columns == 0 && !key_column(to, i, &name))
			return false;
		if (to == NULL ? !live_name_fits(name) : !live_has_column(b, to, name, &name))
			return false;
		ret[i] = name;
	}
	return true;
}

static json_t *names_json(const struct str *names, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, live_text(names[i]));
	return list;
}

/* Whether the list has a key over these columns to those already. */
static bool listed(const json_t *list, const json_t *o)
{
	static const char *const members[] = {"column", "to_column", "columns", "to_columns", "to_table", "to_schema"};
	bool same = false;

	for (size_t i = 0; i < json_array_size(list) && !same; i++) {
		same = true;
		for (size_t k = 0; k < ARRAY_LEN(members) && same; k++) {
			const json_t *x = json_object_get(json_array_get(list, i), members[k]);
			const json_t *y = json_object_get(o, members[k]);

			same = x == y || (x != NULL && y != NULL && json_equal(x, y));
		}
	}
	return same;
}

static void set_action(json_t *o, const char *key, struct str action)
{
	if (action.p != NULL && !str_ieq_z(action, "NO ACTION"))
		live_set(o, key, live_text(action));
}

static void set_deferral(json_t *o, bool deferrable, bool deferred)
{
	set_true(o, "deferrable", deferrable);
	set_true(o, "initially_deferred", deferrable && deferred);
}

/* Is one of them a column that was asked to stay out? What is over it stays out with it. */
static bool over_excluded(const struct live_builder *b, const struct live_table *t, const struct str *columns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (live_choice_excludes(b->d, b->o, t, columns[i]))
			return true;
	return false;
}

static void add_fk(struct live_builder *b, const struct live_table *t, const struct live_foreign_key *fk, json_t *list)
{
	const struct live_table *to = live_find_table_at(b->d, b->live, fk->to_schema, fk->to_table);
	const struct str table = to != NULL ? to->name : fk->to_table;
	struct str *from = arena_array(b->a, fk->n_columns, sizeof(*from));
	struct str *targets = arena_array(b->a, fk->n_columns, sizeof(*targets));
	bool known = live_name_fits(table) && target_columns(b, fk, to, targets);
	json_t *o;

	for (size_t i = 0; i < fk->n_columns && known; i++)
		known = live_has_column(b, t, fk->columns[i], &from[i]);
	if (over_excluded(b, t, fk->columns, fk->n_columns))
		return;
	if (!known) {
		live_note(b, t->name, fk->columns[0], fk->name, "a foreign key to what is not there");
		return;
	}
	if (to == NULL && fk->to_schema.p != NULL)
		ddl_plan_warn(b->notes, "not_introspected", t->name, from[0],
			      "%.*s.%.*s refers to \"%.*s\".\"%.*s\", whose schema was not read: the key stands in the "
			      "model, "
			      "and makes no relation",
			      STR_FMT(t->name), STR_FMT(from[0]), STR_FMT(fk->to_schema), STR_FMT(table));
	if (fk->more)
		live_note(b, t->name, from[0], fk->name,
			  "a foreign key that is not valid for all rows, or sets some of its columns only");
	o = json_object();
	live_set(o, "column", live_text(from[0]));
	live_set(o, "to_table", live_text(table));
	if (fk->to_schema.p != NULL)
		live_set(o, "to_schema", live_text(fk->to_schema));
	live_set(o, "to_column", live_text(targets[0]));
	if (fk->n_columns > 1) {
		live_set(o, "columns", names_json(from, fk->n_columns));
		live_set(o, "to_columns", names_json(targets, fk->n_columns));
	}
	live_set(o, "on_delete", live_text(fk->on_delete.p != NULL ? fk->on_delete : STR("NO ACTION")));
	set_action(o, "on_update", fk->on_update);
	if (fk->match_full)
		live_set(o, "match", json_string("FULL"));
	set_deferral(o, fk->deferrable, fk->deferred);
	if (listed(list, o))
		json_decref(o);
	else
		(void)json_array_append_new(list, o);
}

/* ---- indexes ----------------------------------------------------------------------------------------- */

/* The names of columns as a JSON array; NULL: one of them is none that a model could have, or is there twice. */
static json_t *columns_json(const struct live_builder *b, const struct live_table *t, const struct str *columns,
			    size_t n, bool twice)
{
	json_t *list = json_array();
	struct str name;

	for (size_t i = 0; i < n; i++) {
		bool ok = live_has_column(b, t, columns[i], &name);

		for (size_t k = 0; ok && !twice && k < json_array_size(list); k++)
			ok = !str_eq(json_str(json_array_get(list, k)), name);
		if (!ok) {
			json_decref(list);
			return NULL;
		}
		(void)json_array_append_new(list, live_text(name));
	}
	return list;
}

/* The entry's name: the rule's where the database made one up. */
static struct str index_name(const struct live_builder *b, const struct live_table *t, const struct live_index *x)
{
	const enum artifact kind = x->unique ? ARTIFACT_UNIQUE : ARTIFACT_INDEX;

	if (x->origin == LIVE_INDEX_UNIQUE && !x->exclusion && (b->d->id == DIALECT_SQLITE || x->n_columns == 1) &&
	    !x->deferrable && !x->nulls_not_distinct && x->n_include == 0)
		return schema_artifact_name(b->a, kind, t->name, x->columns, x->n_columns);
	return schema_artifact_fit(b->a, kind, x->name);
}

static json_t *key_json(const struct live_builder *b, const struct live_table *t, const struct index_key *k)
{
	json_t *o = json_object();
	struct str name = STR_NONE;

	if (k->column.p != NULL && live_has_column(b, t, k->column, &name))
		live_set(o, "column", live_text(name));
	if (k->column.p == NULL)
		live_set(o, "expression", live_text(k->expression));
	set_true(o, "descending", k->descending);
	if (k->nulls != INDEX_NULLS_NATIVE)
		live_set(o, "nulls", json_string(k->nulls == INDEX_NULLS_FIRST ? "first" : "last"));
	if (k->collation.p != NULL)
		live_set(o, "collation", live_text(k->collation));
	if (k->op_class.p != NULL)
		live_set(o, "operator_class", live_text(k->op_class));
	if (k->operator.p != NULL)
		live_set(o, "operator", live_text(k->operator));
	return o;
}

/* Whether the keys are more than the list of columns; *ret_known: everything about them is known. */
static bool has_keys(const struct live_index *x, bool *ret_known)
{
	bool more = false;

	*ret_known = !x->expression || x->keys != NULL;
	for (size_t i = 0; i < x->n_keys; i++) {
		const struct index_key *k = &x->keys[i];

		*ret_known =
			*ret_known && (k->column.p != NULL || (k->expression.p != NULL && str_is_utf8(k->expression)));
		more = more || k->column.p == NULL || k->descending || k->nulls != INDEX_NULLS_NATIVE ||
		       k->collation.p != NULL || k->op_class.p != NULL || k->operator.p != NULL;
	}
	return more;
}

/* A new reference; NULL: a model cannot say it. */
static json_t *index_json(const struct live_builder *b, const struct live_table *t, const struct live_index *x,
			  struct str name)
{
	bool known;
	const bool keys = has_keys(x, &known);
	json_t *columns = known ? columns_json(b, t, x->columns, x->n_columns, keys) : NULL;
	json_t *include = columns != NULL ? columns_json(b, t, x->include, x->n_include, false) : NULL, *o;

	if (include == NULL || (x->predicate.p != NULL && !str_is_utf8(x->predicate)) ||
	    (x->partial && x->predicate.p == NULL)) {
		json_decref(columns);
		json_decref(include);
		return NULL;
	}
	o = json_object();
	live_set(o, "name", live_text(name));
	live_set(o, "columns", columns);
	if (keys) {
		json_t *list = json_array();

		for (size_t i = 0; i < x->n_keys; i++)
			(void)json_array_append_new(list, key_json(b, t, &x->keys[i]));
		live_set(o, "keys", list);
	}
	if (x->n_include > 0)
		live_set(o, "include", include);
	else
		json_decref(include);
	if (x->predicate.p != NULL)
		live_set(o, "where", live_text(x->predicate));
	if (x->method.p != NULL)
		live_set(o, "method", live_text(x->method));
	set_deferral(o, x->deferrable, x->deferred);
	return o;
}

struct indexes {
	json_t *indexes, *uniques, *exclusions;
};

static void add_index(struct live_builder *b, const struct live_table *t, const struct live_index *x,
		      struct indexes *to)
{
	static char mark;
	const bool constraint = x->origin == LIVE_INDEX_UNIQUE;
	struct str name;
	json_t *o;

	/* a second one over a column that is unique already adds nothing */
	if (x->unique && !constraint && !x->partial && !x->expression && x->n_columns == 1 &&
	    live_inline_unique(b, t, x->columns[0]))
		return;
	if (over_excluded(b, t, x->columns, x->n_columns) || over_excluded(b, t, x->include, x->n_include))
		return;
	name = index_name(b, t, x);
	o = !x->invalid && live_name_fits(name) ? index_json(b, t, x, name) : NULL;
	if (o == NULL || map_put(&b->names, model_place(b->a, t->schema_name, name), &mark) != NULL) {
		live_note(b, t->name, STR_NONE, x->name,
			  arena_printf(b->a,
				       "the index \"%.*s\" is broken, or has a name or columns that cannot be named",
				       STR_FMT(x->name))
				  .p);
		json_decref(o);
		return;
	}
	if (x->more)
		live_note(b, t->name, STR_NONE, x->name, "an index with storage parameters");
	if (x->exclusion) {
		(void)json_array_append_new(to->exclusions, o);
		return;
	}
	set_true(o, "nulls_not_distinct", x->nulls_not_distinct);
	set_true(o, "constraint", constraint && (x->n_columns != 1 || !live_inline_unique(b, t, x->columns[0])));
	if (x->unique && !x->partial && !x->expression) {
		(void)json_array_append_new(to->uniques, o);
		return;
	}
	live_set(o, "unique", json_boolean(x->unique));
	(void)json_array_append_new(to->indexes, o);
}

/* Constraints first, so that their names, made by the rule, are not taken by an index that does the same. */
static void indexes_ir(struct live_builder *b, const struct live_table *t, json_t *model)
{
	struct indexes to = {json_array(), json_array(), json_array()};

	for (int constraints = 1; constraints >= 0; constraints--)
		for (size_t i = 0; i < t->n_indexes; i++) {
			const struct live_index *x = &t->indexes[i];

			if (x->origin != LIVE_INDEX_PRIMARY && (x->origin == LIVE_INDEX_UNIQUE) == (constraints == 1))
				add_index(b, t, x, &to);
			else if (x->origin == LIVE_INDEX_PRIMARY && constraints == 1 && x->more)
				live_note(b, t->name, STR_NONE, x->name,
					  "a primary key with storage parameters or columns besides");
		}
	live_set(model, "indexes", to.indexes);
	live_set(model, "uniques", to.uniques);
	if (json_array_size(to.exclusions) > 0)
		live_set(model, "exclusions", to.exclusions);
	else
		json_decref(to.exclusions);
}

/* ---- checks ------------------------------------------------------------------------------------------ */

/* The literal as SchemaIR writes it: bare for a number, though PostgreSQL quotes negative ones. */
static struct str check_value(const struct live_builder *b, const struct live_column *c, const struct literal *l)
{
	const enum logical_type lt = live_logical_of(b, c);
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

/* Its own name, else one by the rule; that, too, may be there already. */
static struct str check_name(const struct live_builder *b, const struct live_table *t, const struct live_check *k,
			     struct str column, const json_t *list)
{
	struct str name = k->name.len > 0 ? schema_artifact_fit(b->a, ARTIFACT_CHECK, k->name)
					  : schema_artifact_name(b->a, ARTIFACT_CHECK, t->name, &column, 1);

	for (int i = 2; taken(list, name); i++) {
		const struct str next = arena_printf(b->a, "%.*s_%d", STR_FMT(column), i);

		name = schema_artifact_name(b->a, ARTIFACT_CHECK, t->name, &next, 1);
	}
	return name;
}

static void add_check(struct live_builder *b, const struct live_table *t, const struct live_check *k, json_t *list)
{
	struct literal_check c;
	const struct live_column *col = NULL;
	struct str name;
	json_t *o, *values;

	if (literal_check_read(b->a, k->expression, &c))
		col = live_find_column(b->d, t, c.column);
	name = check_name(b, t, k, col != NULL ? col->name : STR("row"), list);
	if (!live_name_fits(name) || !str_is_utf8(k->expression) || (col != NULL && !live_name_fits(col->name))) {
		live_note(b, t->name, STR_NONE, k->name, "a check whose name or text is none that a model can have");
		return;
	}
	if (k->more)
		live_note(b, t->name, STR_NONE, name, "a check that is not valid for all rows, or not inherited");
	o = json_object();
	live_set(o, "name", live_text(name));
	if (col == NULL) {
		live_set(o, "expression", live_text(schema_sql_bare(b->d->id, k->expression)));
		(void)json_array_append_new(list, o);
		return;
	}
	values = json_array();
	for (size_t i = 0; i < c.n_values; i++)
		(void)json_array_append_new(values, live_text(check_value(b, col, &c.values[i])));
	live_set(o, "column", live_text(col->name));
	live_set(o, "values", values);
	(void)json_array_append_new(list, o);
}

void live_artifacts_ir(struct live_builder *b, const struct live_table *t, json_t *model)
{
	json_t *fks = json_array(), *checks = json_array();

	for (size_t i = 0; i < t->n_fks; i++)
		add_fk(b, t, &t->fks[i], fks);
	live_set(model, "foreign_keys", fks);
	indexes_ir(b, t, model);
	for (size_t i = 0; i < t->n_checks; i++)
		add_check(b, t, &t->checks[i], checks);
	live_set(model, "checks", checks);
	for (size_t i = 0; i < t->n_things; i++)
		live_note(b, t->name, STR_NONE, t->things[i].name,
			  arena_printf(b->a, "a %.*s, which no model says", STR_FMT(t->things[i].kind)).p);
}
