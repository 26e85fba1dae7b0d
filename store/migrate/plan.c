/* The planner's order of work: tables, columns (or rebuilds), indexes, checks and keys, drops. */
#include "store/migrate/plan.h"

#include <assert.h>
#include <stdio.h>

#include "store/migrate/plan_build.h"
#include "store/migrate/plan_columns.h"
#include "store/migrate/plan_rebuild.h"

#include "service/base/banned.h"

/* ---- missing tables ---------------------------------------------------------------------------------- */

static bool table_exists(void *arg, struct str table)
{
	const struct planner *pl = arg;

	return live_find_table(pl->d, pl->live, table) != NULL;
}

/* CREATE TABLE IF NOT EXISTS would pass over what has the name, and there would still be no table. */
static void refuse_taken_names(struct planner *pl)
{
	for (size_t i = 0; i < pl->s->n_models; i++) {
		const struct str table = pl->s->models[i].table;

		for (size_t k = 0; k < pl->live->n_others && !table_exists(pl, table); k++) {
			const struct live_other *other = &pl->live->others[k];

			if (live_name_eq(pl->d, other->name, table))
				planner_refuse(
					pl, table, STR_NONE,
					"cannot be created: a %.*s has that name already; rename either of them, "
					"or remove the model \"%.*s\" from the models",
					STR_FMT(other->kind), STR_FMT(pl->s->models[i].name));
		}
	}
}

static bool plan_tables(struct planner *pl, struct err *err)
{
	static const enum change_kind as[] = {
		[DDL_CREATE_TYPE] = CHANGE_CREATE_TYPE,         [DDL_CREATE_TABLE] = CHANGE_CREATE_TABLE,
		[DDL_CREATE_INDEX] = CHANGE_CREATE_INDEX,       [DDL_ADD_CHECK] = CHANGE_ADD_CHECK,
		[DDL_ADD_FOREIGN_KEY] = CHANGE_ADD_FOREIGN_KEY,
	};
	struct ddl_plan created;

	refuse_taken_names(pl);
	ddl_plan_init(&created, pl->a);
	if (!ddl_create_all(pl->d, pl->s, table_exists, pl, &created, err))
		return false;
	for (size_t i = 0; i < created.n_statements; i++) {
		struct change *c;

		assert(created.about[i].kind != DDL_OTHER);
		strbuf_put(&pl->b, created.statements[i]);
		c = planner_emit(pl, as[created.about[i].kind], created.about[i].table, STR_NONE);
		/* on a table that this very run makes nobody waits for a lock */
		if (pl->d->id == DIALECT_POSTGRES && c->kind != CHANGE_ADD_FOREIGN_KEY)
			c->lock = "NONE";
	}
	return true;
}

/* ---- tables that are there --------------------------------------------------------------------------- */

static bool is_new(const struct planner *pl, const struct table_pair *tp, struct str column)
{
	return live_find_column(pl->d, tp->t, column) == NULL;
}

static void plan_index(struct planner *pl, const struct table_pair *tp, const struct schema_index *x)
{
	if (diff_find_index(pl->d, tp->t, x) != NULL)
		return;
	/* ADD COLUMN has said UNIQUE already */
	if (pl->d->id == DIALECT_POSTGRES && ddl_inline_unique(tp->m, x) && x->unique && is_new(pl, tp, x->columns[0]))
		return;
	ddl_create_index(tp->m, x, &pl->b);
	(void)planner_emit(pl, CHANGE_CREATE_INDEX, tp->m->table, x->n_columns == 1 ? x->columns[0] : STR_NONE);
}

static void plan_checks(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->m->n_checks; i++) {
		const struct schema_check *c = &tp->m->checks[i];

		if (tp->rebuilt || diff_has_check(pl->d, tp->t, c))
			continue;
		if (pl->d->id == DIALECT_SQLITE) {
			planner_warn(pl, "check_not_added", tp->m->table, c->column,
				     "has no CHECK constraint \"%.*s\": SQLite cannot add one to a table in place; "
				     "migrate with "
				     "rebuild, or use Alembic",
				     STR_FMT(c->name));
			continue;
		}
		ddl_add_check(tp->m, c, &pl->b);
		(void)planner_emit(pl, CHANGE_ADD_CHECK, tp->m->table, c->column);
	}
}

/* Foreign keys of columns that this run adds; those of older columns are left alone. */
static void plan_foreign_keys(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->m->n_fks; i++) {
		const struct foreign_key *fk = &tp->m->fks[i];

		if (tp->rebuilt || !is_new(pl, tp, fk->column))
			continue;
		if (pl->d->id == DIALECT_SQLITE) {
			planner_warn(pl, "foreign_key_not_added", tp->m->table, fk->column,
				     "was added without its FOREIGN KEY constraint: SQLite cannot add one to a table "
				     "in place; "
				     "migrate with rebuild, or use Alembic");
			continue;
		}
		strbuf_puts(&pl->b, "ALTER TABLE ");
		dialect_quote_ident(&pl->b, tp->m->table);
		strbuf_puts(&pl->b, " ADD ");
		ddl_foreign_key(fk, &pl->b);
		(void)planner_emit(pl, CHANGE_ADD_FOREIGN_KEY, tp->m->table, fk->column);
	}
}

static void plan_artifacts(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->m->n_indexes; i++)
		plan_index(pl, tp, &tp->m->indexes[i]);
	for (size_t i = 0; i < tp->m->n_uniques; i++)
		plan_index(pl, tp, &tp->m->uniques[i]);
	plan_checks(pl, tp);
	plan_foreign_keys(pl, tp);
}

static void plan_drop_indexes(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->t->n_indexes; i++) {
		const struct live_index *x = &tp->t->indexes[i];

		if (x->origin != LIVE_INDEX_CREATED || tp->rebuilt || plan_keeps_index(pl, tp, x))
			continue;
		strbuf_puts(&pl->b, "DROP INDEX IF EXISTS ");
		dialect_quote_ident(&pl->b, x->name);
		(void)planner_emit(pl, CHANGE_DROP_INDEX, tp->m->table, STR_NONE);
	}
}

/* The enum types of columns that are to be added; a type that is there already is left as it is. */
static void plan_enum_types(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; pl->d->id == DIALECT_POSTGRES && i < tp->m->n_columns; i++) {
		const struct column *c = &tp->m->columns[i];

		if (!c->postgres_native_enum || !is_new(pl, tp, c->name))
			continue;
		ddl_create_enum(c, &pl->b);
		(void)planner_emit(pl, CHANGE_CREATE_TYPE, STR_NONE, STR_NONE);
	}
}

static bool types_known(const struct planner *pl, const struct model *m, struct err *err)
{
	struct strbuf ignored;
	bool ok = true;

	strbuf_init(&ignored, 0);
	for (size_t i = 0; ok && i < m->n_columns; i++)
		ok = ddl_column_type(pl->d, &m->columns[i], &ignored, err);
	strbuf_done(&ignored);
	return ok;
}

static bool plan_existing(struct planner *pl, struct err *err)
{
	const struct schema *s = pl->s;
	size_t *order = arena_array(pl->a, s->n_models, sizeof(*order)), n = 0;
	struct table_pair *pairs = arena_array(pl->a, s->n_models, sizeof(*pairs));

	ddl_order(s, order);
	for (size_t i = 0; i < s->n_models; i++) {
		const struct model *m = &s->models[order[i]];
		const struct live_table *t = live_find_table(pl->d, pl->live, m->table);

		if (t == NULL)
			continue;
		if (!types_known(pl, m, err))
			return false;
		pairs[n++] = (struct table_pair){m, t, false};
	}
	for (size_t i = 0; i < n; i++)
		plan_enum_types(pl, &pairs[i]);
	for (size_t i = 0; i < n; i++) {
		pairs[i].rebuilt = plan_needs_rebuild(pl, &pairs[i]);
		if (pairs[i].rebuilt)
			plan_rebuild(pl, &pairs[i]);
		else
			plan_columns(pl, &pairs[i]);
	}
	for (size_t i = 0; i < n; i++)
		plan_artifacts(pl, &pairs[i]);
	for (size_t i = 0; i < n; i++) {
		plan_drop_indexes(pl, &pairs[i]);
		if (!pairs[i].rebuilt)
			plan_drop_columns(pl, &pairs[i]);
	}
	return true;
}

bool plan_migration(struct arena *a, const struct dialect *d, const struct schema *s, const struct live_schema *live,
		    const struct migrate_options *o, struct migration_plan *ret, struct err *err)
{
	struct planner pl = {.a = a, .d = d, .s = s, .live = live, .o = *o, .p = ret};
	bool ok;

	*ret = (struct migration_plan){.arena = a};
	ddl_plan_init(&ret->notes, a);
	strbuf_init(&pl.b, 0);
	pl.o.updates = o->updates || o->destructive;
	ok = plan_tables(&pl, err) && (!pl.o.updates || plan_existing(&pl, err));
	strbuf_done(&pl.b);
	if (!ok || ret->n_refusals == 0)
		return ok;
	(void)err_set(err, ERR_MIGRATION_REFUSED, "%s", ret->refusals[0].detail);
	if (ret->n_refusals > 1)
		(void)err_set(err, ERR_MIGRATION_REFUSED, "%s (and %zu more refusals)", ret->refusals[0].detail,
			      ret->n_refusals - 1);
	err->faults = ret->refusals;
	err->n_faults = ret->n_refusals;
	(void)snprintf(err->table, sizeof(err->table), "%.*s", STR_FMT(ret->refused_table));
	(void)snprintf(err->column, sizeof(err->column), "%.*s", STR_FMT(ret->refused_column));
	return false;
}
