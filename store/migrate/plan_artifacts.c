/*
 * See plan_artifacts.h. A pass is honest: what differs is a statement or a warning, whichever side has it; but for an
 * index that only the database has, which takes nothing from anybody.
 */
#include "store/migrate/plan_artifacts.h"

#include "store/migrate/plan_columns.h"
#include "store/migrate/plan_rebuild.h"
#include "store/migrate/plan_said.h"

#include "service/base/banned.h"

static bool is_new(const struct planner *pl, const struct table_pair *tp, struct str column)
{
	return live_find_column(pl->d, tp->t, column) == NULL;
}

/* ---- the primary key --------------------------------------------------------------------------------- */

/* Others refer to it, and hold values of its type. */
static void warn_key_type(struct planner *pl, const struct table_pair *tp, const struct column *c,
			  const struct live_column *live)
{
	const struct str want = planner_expected_type(pl, tp->t, live, c);

	planner_warn(pl, "type_drift", tp->m->table, c->name,
		     "is of the primary key, declared '%.*s' in the database, and the model expects '%.*s': a key's "
		     "type is not changed; declare the type that the column has, or convert it with SQL of your own",
		     STR_FMT(live->type), STR_FMT(want));
}

static void plan_primary_key(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->m->n_columns; i++) {
		const struct column *c = &tp->m->columns[i];
		const struct live_column *live = live_find_column(pl->d, tp->t, c->name);

		if (live == NULL || !c->primary_key)
			continue;
		if (live->pk_position == 0)
			planner_warn(pl, "primary_key_drift", tp->m->table, c->name,
				     "is of the primary key in the model, and not in the database: a key is not moved");
		else if (planner_drift(pl, tp->t, live, c) != DRIFT_NONE)
			warn_key_type(pl, tp, c, live);
	}
	for (size_t i = 0; i < tp->t->n_columns; i++) {
		const struct live_column *live = &tp->t->columns[i];
		bool key = live->pk_position == 0;

		for (size_t k = 0; k < tp->m->n_columns && !key; k++)
			key = live_name_eq(pl->d, tp->m->columns[k].name, live->name) && tp->m->columns[k].primary_key;
		/* one that is to be dropped is refused for that */
		if (!key && !plan_drops(pl, tp->m, live))
			planner_warn(pl, "primary_key_drift", tp->m->table, live->name,
				     "is of the primary key in the database, and not in the model: a key is not moved");
	}
}

/* ---- indexes ----------------------------------------------------------------------------------------- */

static bool concurrently(const struct planner *pl)
{
	return pl->o.concurrently && pl->d->id == DIALECT_POSTGRES;
}

/* On both kinds of table: nothing waits for a writer, and no writer for it. */
static void as_concurrent(struct change *c)
{
	c->concurrent = true;
	c->lock = "SHARE UPDATE EXCLUSIVE";
}

static void drop_index(struct planner *pl, const struct table_pair *tp, struct str name)
{
	struct change *made;
	/* PostgreSQL drops no index over partitions in any other way; it takes a moment */
	const bool beside = concurrently(pl) && tp->t->kind != MODEL_PARTITIONED;

	strbuf_puts(&pl->b, beside ? "DROP INDEX CONCURRENTLY IF EXISTS " : "DROP INDEX IF EXISTS ");
	dialect_quote_table(&pl->b, tp->m->schema_name, name);
	made = planner_emit(pl, CHANGE_DROP_INDEX, tp->m->table, STR_NONE);
	if (beside)
		as_concurrent(made);
}

static void refuse_sql(struct planner *pl, const struct table_pair *tp, const struct err *err)
{
	strbuf_reset(&pl->b);
	planner_refuse(pl, tp->m->table, STR_NONE, "cannot be migrated: %s", err->detail);
}

static void create_index(struct planner *pl, const struct table_pair *tp, const struct schema_index *x)
{
	struct change *made;
	struct err err;

	if (!ddl_index(pl->d, tp->m, x, concurrently(pl) ? "CONCURRENTLY " : "", &pl->b, &err)) {
		refuse_sql(pl, tp, &err);
		return;
	}
	made = planner_emit(pl, CHANGE_CREATE_INDEX, tp->m->table, x->n_columns == 1 ? x->columns[0] : STR_NONE);
	if (!concurrently(pl))
		return;
	as_concurrent(made);
	strbuf_puts(&pl->b, "DROP INDEX CONCURRENTLY IF EXISTS ");
	dialect_quote_table(&pl->b, tp->m->schema_name, x->name);
	made->cleanup = arena_str(pl->a, strbuf_str(&pl->b));
	strbuf_reset(&pl->b);
}

static void add_unique(struct planner *pl, const struct table_pair *tp, const struct schema_index *x)
{
	ddl_add_unique(tp->m, x, &pl->b);
	planner_emit(pl, CHANGE_CREATE_INDEX, tp->m->table, x->n_columns == 1 ? x->columns[0] : STR_NONE)->lock =
		"ACCESS EXCLUSIVE";
}

static void plan_index(struct planner *pl, const struct table_pair *tp, const struct schema_index *x)
{
	bool same;
	const struct live_index *live = diff_find_index(pl->d, tp->t, x, &same);

	if (live != NULL && same)
		return;
	if (pl->d->id == DIALECT_SQLITE && x->method.p != NULL) {
		planner_warn(pl, "index_not_made", tp->m->table, STR_NONE,
			     "has an index \"%.*s\" in the model of the method \"%.*s\", which SQLite does not have",
			     STR_FMT(x->name), STR_FMT(x->method));
		planner_warned_object(pl, x->name);
		return;
	}
	if (concurrently(pl) && tp->t->kind == MODEL_PARTITIONED) {
		planner_warn(
			pl, "index_not_made", tp->m->table, STR_NONE,
			"lacks the index \"%.*s\" of the model: it is partitioned, and PostgreSQL builds no index "
			"over partitions concurrently; migrate without that, which keeps writers waiting meanwhile",
			STR_FMT(x->name));
		planner_warned_object(pl, x->name);
		return;
	}
	if (live != NULL && live->origin != LIVE_INDEX_CREATED) {
		planner_warn(
			pl, "index_drift", tp->m->table, STR_NONE,
			"has the constraint \"%.*s\" with other columns, or in another order, than the model's unique "
			"of that name, and it is not taken away: give the model's another name, or drop the constraint",
			STR_FMT(live->name));
		planner_warned_object(pl, live->name);
		return;
	}
	/* ADD COLUMN has said UNIQUE already */
	if (pl->d->id == DIALECT_POSTGRES && x->unique && ddl_column_unique(tp->m, x) && is_new(pl, tp, x->columns[0]))
		return;
	if (live != NULL)
		drop_index(pl, tp, live->name);
	if (pl->d->id == DIALECT_POSTGRES && x->constraint && !concurrently(pl))
		add_unique(pl, tp, x);
	else
		create_index(pl, tp, x);
}

/* It is over a column that goes, and goes with it, or over one that stays out. */
static bool index_goes(const struct planner *pl, const struct table_pair *tp, const struct live_index *x)
{
	for (size_t i = 0; i < x->n_columns; i++) {
		const struct live_column *c = live_find_column(pl->d, tp->t, x->columns[i]);

		if (plan_excludes(pl, tp->m, x->columns[i]) || (c != NULL && plan_drops(pl, tp->m, c)))
			return true;
	}
	return false;
}

/* Uniques that refuse what the model allows. */
static void plan_foreign_uniques(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->t->n_indexes; i++) {
		const struct live_index *x = &tp->t->indexes[i];

		if (!x->unique || x->origin == LIVE_INDEX_PRIMARY || diff_index_wanted(pl->d, tp->m, x) ||
		    !plan_keeps_index(pl, tp, x) || index_goes(pl, tp, x))
			continue;
		planner_warn(
			pl, "unique_not_in_model", tp->m->table,
			x->n_columns == 1 && !x->expression ? x->columns[0] : STR_NONE,
			"is unique by \"%.*s\" in the database, and not in the model, which allows what the database "
			"refuses",
			STR_FMT(x->name));
		planner_warned_object(pl, x->name);
	}
}

void plan_drop_indexes(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->t->n_indexes; i++) {
		const struct live_index *x = &tp->t->indexes[i];

		if (x->origin == LIVE_INDEX_CREATED && !tp->rebuilt && !plan_keeps_index(pl, tp, x))
			drop_index(pl, tp, x->name);
	}
}

/* ---- checks ------------------------------------------------------------------------------------------ */

static void drop_constraint(struct planner *pl, const struct table_pair *tp, struct str name, enum change_kind kind,
			    struct str column)
{
	strbuf_puts(&pl->b, "ALTER TABLE ");
	dialect_quote_table(&pl->b, tp->m->schema_name, tp->m->table);
	strbuf_puts(&pl->b, " DROP CONSTRAINT ");
	dialect_quote_ident(&pl->b, name);
	(void)planner_emit(pl, kind, tp->m->table, column);
}

static void plan_check(struct planner *pl, const struct table_pair *tp, const struct schema_check *c)
{
	struct err err;
	bool same;
	const struct live_check *live = diff_find_check(pl->d, tp->t, c, &same);

	if (live != NULL && same)
		return;
	if (pl->d->id == DIALECT_SQLITE) {
		planner_warn(pl, live != NULL ? "check_drift" : "check_not_added", tp->m->table, c->column,
			     live != NULL
				     ? "has a CHECK constraint with other values than \"%.*s\" of the model: SQLite "
				       "cannot change one in place; migrate with rebuild"
				     : "has no CHECK constraint \"%.*s\": SQLite cannot add one to a table in place; "
				       "migrate with rebuild",
			     STR_FMT(c->name));
		planner_warned_object(pl, c->name);
		return;
	}
	if (live != NULL)
		drop_constraint(pl, tp, live->name, CHANGE_DROP_CHECK, c->column);
	if (ddl_add_check(tp->m, c, &pl->b, &err))
		(void)planner_emit(pl, CHANGE_ADD_CHECK, tp->m->table, c->column);
	else
		refuse_sql(pl, tp, &err);
}

static bool check_wanted(const struct planner *pl, const struct table_pair *tp, const struct live_check *k)
{
	bool same;

	for (size_t i = 0; i < tp->m->n_checks; i++)
		if (diff_find_check(pl->d, tp->t, &tp->m->checks[i], &same) == k ||
		    diff_same_check(pl->d, k, &tp->m->checks[i]))
			return true;
	return false;
}

static void plan_checks(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->m->n_checks && !tp->rebuilt; i++)
		plan_check(pl, tp, &tp->m->checks[i]);
	for (size_t i = 0; i < tp->t->n_checks; i++) {
		const struct live_check *k = &tp->t->checks[i];

		if (check_wanted(pl, tp, k))
			continue;
		planner_warn(pl, "check_not_in_model", tp->m->table, STR_NONE,
			     "has the CHECK constraint%s%.*s%s (%.*s) in the database, which the model does not have",
			     k->name.len > 0 ? " \"" : "", STR_FMT(k->name), k->name.len > 0 ? "\"" : "",
			     STR_FMT(k->expression));
		planner_warned_object(pl, k->name);
	}
}

/* ---- foreign keys ------------------------------------------------------------------------------------ */

static void plan_foreign_key(struct planner *pl, const struct table_pair *tp, const struct foreign_key *fk)
{
	bool same;
	const struct live_foreign_key *live = diff_find_foreign_key(pl->d, pl->live, tp->t, tp->m, fk, &same);

	/* a new column of SQLite has brought its own along where it can */
	if ((live != NULL && same) || plan_inline_key(pl, tp, fk))
		return;
	if (pl->d->id == DIALECT_SQLITE) {
		planner_warn(
			pl, live != NULL ? "foreign_key_drift" : "foreign_key_not_added", tp->m->table, fk->column,
			live != NULL ? "has a FOREIGN KEY constraint that says something else than the model's: SQLite "
				       "cannot change one in place; migrate with rebuild"
			: is_new(pl, tp, fk->column)
				? "was added without its FOREIGN KEY constraint: SQLite cannot add one to a table in "
				  "place; migrate with rebuild"
				: "has no FOREIGN KEY constraint: SQLite cannot add one to a table in place; migrate "
				  "with rebuild");
		return;
	}
	if (live != NULL)
		drop_constraint(pl, tp, live->name, CHANGE_DROP_FOREIGN_KEY, fk->column);
	strbuf_puts(&pl->b, "ALTER TABLE ");
	dialect_quote_table(&pl->b, tp->m->schema_name, tp->m->table);
	strbuf_puts(&pl->b, " ADD ");
	ddl_foreign_key(tp->m, fk, &pl->b);
	(void)planner_emit(pl, CHANGE_ADD_FOREIGN_KEY, tp->m->table, fk->column);
}

static bool foreign_key_wanted(const struct planner *pl, const struct table_pair *tp, const struct live_foreign_key *fk)
{
	bool same;

	for (size_t i = 0; i < tp->m->n_fks; i++)
		if (diff_foreign_key_is(pl->d, fk, &tp->m->fks[i]) ||
		    diff_find_foreign_key(pl->d, pl->live, tp->t, tp->m, &tp->m->fks[i], &same) == fk)
			return true;
	/* one over a column that goes, goes with it; one over a column that stays out is not missed */
	for (size_t i = 0; i < fk->n_columns; i++) {
		const struct live_column *c = live_find_column(pl->d, tp->t, fk->columns[i]);

		if (plan_excludes(pl, tp->m, fk->columns[i]) || (c != NULL && plan_drops(pl, tp->m, c)))
			return true;
	}
	return false;
}

static void plan_foreign_keys(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->m->n_fks && !tp->rebuilt; i++)
		plan_foreign_key(pl, tp, &tp->m->fks[i]);
	for (size_t i = 0; i < tp->t->n_fks; i++) {
		const struct live_foreign_key *fk = &tp->t->fks[i];

		if (foreign_key_wanted(pl, tp, fk))
			continue;
		planner_warn(pl, "foreign_key_not_in_model", tp->m->table,
			     fk->n_columns == 1 ? fk->columns[0] : STR_NONE,
			     "has a foreign key%s to \"%.*s\" in the database, which the model does not have",
			     fk->n_columns > 1 ? " over several columns" : "", STR_FMT(fk->to_table));
		planner_warned_object(pl, fk->name);
	}
}

/* ---- exclusions: PostgreSQL's -------------------------------------------------------------------------- */

static void plan_exclusion(struct planner *pl, const struct table_pair *tp, const struct schema_index *x)
{
	struct err err;
	bool same;
	const struct live_index *live = diff_find_index(pl->d, tp->t, x, &same);

	if (live != NULL && same)
		return;
	if (live != NULL)
		drop_constraint(pl, tp, live->name, CHANGE_DROP_CHECK, STR_NONE);
	if (ddl_add_exclusion(tp->m, x, &pl->b, &err))
		(void)planner_emit(pl, CHANGE_ADD_CHECK, tp->m->table, STR_NONE);
	else
		refuse_sql(pl, tp, &err);
}

static void plan_exclusions(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->m->n_exclusions; i++)
		plan_exclusion(pl, tp, &tp->m->exclusions[i]);
	for (size_t i = 0; i < tp->t->n_indexes; i++) {
		const struct live_index *x = &tp->t->indexes[i];
		bool wanted = !x->exclusion;

		for (size_t k = 0; k < tp->m->n_exclusions && !wanted; k++)
			wanted = str_eq(x->name, tp->m->exclusions[k].name);
		if (wanted)
			continue;
		planner_warn(
			pl, "exclusion_not_in_model", tp->m->table, STR_NONE,
			"has the exclusion constraint \"%.*s\" in the database, and not in the model, which allows "
			"what the database refuses",
			STR_FMT(x->name));
		planner_warned_object(pl, x->name);
	}
}

void plan_artifacts(struct planner *pl, const struct table_pair *tp)
{
	plan_primary_key(pl, tp);
	for (size_t i = 0; i < tp->m->n_indexes; i++)
		plan_index(pl, tp, &tp->m->indexes[i]);
	for (size_t i = 0; i < tp->m->n_uniques; i++)
		plan_index(pl, tp, &tp->m->uniques[i]);
	plan_foreign_uniques(pl, tp);
	plan_checks(pl, tp);
	plan_foreign_keys(pl, tp);
	if (pl->d->id == DIALECT_POSTGRES)
		plan_exclusions(pl, tp);
	plan_said(pl, tp);
}

/* ---- enum types -------------------------------------------------------------------------------------- */

static struct str label(const struct column *c, size_t i)
{
	return json_str(json_array_get(c->enum_labels, i));
}

static size_t live_place(const struct live_column *live, struct str value)
{
	for (size_t i = 0; i < live->n_enum_values; i++)
		if (str_eq(live->enum_values[i], value))
			return i;
	return SIZE_MAX;
}

/* What the model says is retired may stay in the type. */
static size_t skip_retired(const struct column *c, const struct live_column *live, size_t next)
{
	for (size_t i = 0; i < json_array_size(c->retired_labels) && next < live->n_enum_values;) {
		const bool same = str_eq(json_str(json_array_get(c->retired_labels, i)), live->enum_values[next]);

		next += same;
		i = same ? 0 : i + 1;
	}
	return next;
}

/* Whether the labels that are there stand in the model, in their order. */
static bool labels_stay(const struct column *c, const struct live_column *live)
{
	size_t next = 0;

	for (size_t i = 0; i < json_array_size(c->enum_labels); i++) {
		next = skip_retired(c, live, next);
		next += next < live->n_enum_values && str_eq(label(c, i), live->enum_values[next]);
	}
	return skip_retired(c, live, next) == live->n_enum_values;
}

/* Several columns may have one type; its label is added once. */
static bool emitted(const struct planner *pl, struct str statement)
{
	for (size_t i = 0; i < pl->p->n_changes; i++)
		if (str_eq(pl->p->changes[i].statement, statement))
			return true;
	return false;
}

/* A label that the type lacks, beside one that it has by then. */
static void add_label(struct planner *pl, const struct column *c, size_t i, const char *where, size_t neighbour)
{
	strbuf_puts(&pl->b, "ALTER TYPE ");
	dialect_quote_ident(&pl->b, c->enum_type_name);
	strbuf_puts(&pl->b, " ADD VALUE IF NOT EXISTS ");
	dialect_put_literal(pl->d, &pl->b, label(c, i));
	strbuf_puts(&pl->b, where);
	dialect_put_literal(pl->d, &pl->b, label(c, neighbour));
	if (emitted(pl, strbuf_str(&pl->b)))
		strbuf_reset(&pl->b);
	else
		(void)planner_emit(pl, CHANGE_ADD_ENUM_VALUE, STR_NONE, STR_NONE);
}

static void add_labels(struct planner *pl, const struct column *c, const struct live_column *live)
{
	const size_t n = json_array_size(c->enum_labels);
	size_t first = 0;

	while (first < n && live_place(live, label(c, first)) == SIZE_MAX)
		first++;
	for (size_t i = first; i-- > 0;)
		add_label(pl, c, i, " BEFORE ", i + 1);
	for (size_t i = first + 1; i < n; i++)
		if (live_place(live, label(c, i)) == SIZE_MAX)
			add_label(pl, c, i, " AFTER ", i - 1);
}

static void plan_labels(struct planner *pl, const struct table_pair *tp, const struct column *c,
			const struct live_column *live)
{
	if (!str_eq(live->type, c->enum_type_name)) {
		planner_warn(
			pl, "enum_drift", tp->m->table, c->name,
			"is of the enum \"%.*s\" in the database and of \"%.*s\" in the model: one is not changed into "
			"the other, and a type is not renamed; if it is the same, rename it with ALTER TYPE ... RENAME "
			"TO, or keep its name in the model",
			STR_FMT(live->type), STR_FMT(c->enum_type_name));
		return;
	}
	if (!labels_stay(c, live)) {
		planner_warn(
			pl, "enum_drift", tp->m->table, c->name,
			"is of the enum \"%.*s\", whose labels in the database are not those of the model in their "
			"order: labels are added, never removed or moved",
			STR_FMT(c->enum_type_name));
		return;
	}
	if (live->n_enum_values > 0)
		add_labels(pl, c, live);
}

/* What a column that is to be added is made with, where the database may lack it. */
static bool plan_needs(struct planner *pl, const struct column *c, struct err *err)
{
	struct ddl_plan needs;

	ddl_plan_init(&needs, pl->a);
	if (!ddl_create_needs(&needs, c, err))
		return false;
	for (size_t i = 0; i < needs.n_statements; i++) {
		if (emitted(pl, needs.statements[i]))
			continue;
		strbuf_put(&pl->b, needs.statements[i]);
		(void)planner_emit(pl,
				   needs.about[i].kind == DDL_CREATE_SCHEMA ? CHANGE_CREATE_SCHEMA : CHANGE_CREATE_TYPE,
				   STR_NONE, STR_NONE);
	}
	return true;
}

bool plan_types(struct planner *pl, const struct table_pair *tp, struct err *err)
{
	for (size_t i = 0; pl->d->id == DIALECT_POSTGRES && i < tp->m->n_columns + tp->m->n_retired; i++) {
		const struct column *c = model_made_column(tp->m, i);
		const struct live_column *live = live_find_column(pl->d, tp->t, c->name);

		if (live == NULL && !plan_needs(pl, c, err))
			return false;
		if (live != NULL && c->postgres_native_enum && live->native_enum)
			plan_labels(pl, tp, c, live);
	}
	return true;
}
