/* The planner's order of work: tables, columns (or rebuilds), indexes, checks and keys, drops. */
#include "store/migrate/plan.h"

#include <assert.h>
#include <stdio.h>

#include "service/base/wait.h"
#include "store/migrate/plan_artifacts.h"
#include "store/migrate/plan_build.h"
#include "store/migrate/plan_columns.h"
#include "store/migrate/plan_rebuild.h"
#include "store/migrate/plan_rename.h"

#include "service/base/banned.h"

/* ---- missing tables ---------------------------------------------------------------------------------- */

/* Or it is there by its old name, which a migration with updates changes first. */
static bool table_exists(void *arg, const struct model *m)
{
	const struct planner *pl = arg;

	return live_find_model(pl->d, pl->live, m) != NULL || plan_rename_due(pl->d, pl->live, m);
}

static void warn_of_renames(struct planner *pl)
{
	for (size_t i = 0; i < pl->s->n_models; i++)
		if (plan_rename_due(pl->d, pl->live, &pl->s->models[i]))
			planner_warn(pl, "pending_rename", pl->s->models[i].table, STR_NONE,
				     "is there as \"%.*s\" still and is not created: migrate, which renames it",
				     STR_FMT(pl->s->models[i].renamed_from));
}

/* CREATE TABLE IF NOT EXISTS would pass over what has the name, and there would still be no table. */
static void refuse_taken_names(struct planner *pl)
{
	for (size_t i = 0; i < pl->s->n_models; i++) {
		const struct model *m = &pl->s->models[i];

		if (!ddl_makes(pl->d, m) || table_exists(pl, m))
			continue;
		for (size_t k = 0; k < pl->live->n_others; k++) {
			const struct live_other *other = &pl->live->others[k];

			if (live_name_eq(pl->d, other->name, m->table) && str_eq(other->schema_name, m->schema_name))
				planner_refuse(
					pl, m->table, STR_NONE,
					"cannot be created: a %.*s has that name already; rename either of them, "
					"or remove the model \"%.*s\" from the models",
					STR_FMT(other->kind), STR_FMT(m->name));
		}
	}
}

static bool plan_tables(struct planner *pl, struct err *err)
{
	static const enum change_kind as[] = {
		[DDL_CREATE_SCHEMA] = CHANGE_CREATE_SCHEMA,
		[DDL_CREATE_TYPE] = CHANGE_CREATE_TYPE,
		[DDL_CREATE_TABLE] = CHANGE_CREATE_TABLE,
		[DDL_CREATE_INDEX] = CHANGE_CREATE_INDEX,
		[DDL_ADD_CHECK] = CHANGE_ADD_CHECK,
		[DDL_ADD_FOREIGN_KEY] = CHANGE_ADD_FOREIGN_KEY,
		[DDL_COMMENT] = CHANGE_COMMENT,
	};
	struct ddl_plan created;

	refuse_taken_names(pl);
	warn_of_renames(pl);
	ddl_plan_init(&created, pl->a);
	if (!ddl_create_all(pl->d, pl->s, table_exists, pl, &created, err))
		return false;
	for (size_t i = 0; i < created.n_warnings; i++)
		ddl_plan_warn(&pl->p->notes, arena_strz(pl->a, created.warnings[i].code), created.warnings[i].table,
			      created.warnings[i].column, "%.*s", STR_FMT(created.warnings[i].detail));
	for (size_t i = 0; i < created.n_statements; i++) {
		struct change *c;

		assert(created.about[i].kind != DDL_OTHER);
		strbuf_put(&pl->b, created.statements[i]);
		pl->schema_name = created.about[i].schema_name;
		c = planner_emit(pl, as[created.about[i].kind], created.about[i].table, STR_NONE);
		/* on a table that this very run makes nobody waits for a lock */
		if (pl->d->id == DIALECT_POSTGRES && c->kind != CHANGE_ADD_FOREIGN_KEY)
			c->lock = "NONE";
	}
	return true;
}

/* ---- tables that are there --------------------------------------------------------------------------- */

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

/* What runs after the transaction stands behind it, in its order. */
static void concurrent_last(struct migration_plan *p)
{
	struct change *list = arena_array(p->arena, p->n_changes + 1, sizeof(*list));
	size_t n = 0;

	for (int concurrent = 0; concurrent < 2; concurrent++)
		for (size_t i = 0; i < p->n_changes; i++)
			if (p->changes[i].concurrent == (concurrent == 1))
				list[n++] = p->changes[i];
	p->changes = list;
	p->size_changes = p->n_changes + 1;
}

static bool plan_existing(struct planner *pl, struct err *err)
{
	const struct schema *s = pl->s;
	size_t *order = arena_array(pl->a, s->n_models, sizeof(*order)), n = 0;
	struct table_pair *pairs = arena_array(pl->a, s->n_models, sizeof(*pairs));

	ddl_order(s, order);
	for (size_t i = 0; i < s->n_models; i++) {
		const struct model *m = &s->models[order[i]];
		const struct live_table *t = live_find_model(pl->d, pl->live, m);

		wait_may_step_aside();
		if (t == NULL || !ddl_makes(pl->d, m))
			continue;
		if (!types_known(pl, m, err))
			return false;
		pairs[n++] = (struct table_pair){.m = m, .t = t};
	}
	for (size_t i = 0; i < n; i++) {
		wait_may_step_aside();
		pl->schema_name = pairs[i].m->schema_name;
		if (!plan_types(pl, &pairs[i], err))
			return false;
	}
	for (size_t i = 0; i < n; i++) {
		wait_may_step_aside();
		pl->schema_name = pairs[i].m->schema_name;
		pairs[i].rebuilt = plan_needs_rebuild(pl, &pairs[i]);
		if (pairs[i].rebuilt)
			plan_rebuild(pl, &pairs[i]);
		else
			plan_columns(pl, &pairs[i]);
	}
	for (size_t i = 0; i < n; i++) {
		wait_may_step_aside();
		pl->schema_name = pairs[i].m->schema_name;
		plan_artifacts(pl, &pairs[i]);
	}
	for (size_t i = 0; i < n; i++) {
		wait_may_step_aside();
		pl->schema_name = pairs[i].m->schema_name;
		plan_drop_indexes(pl, &pairs[i]);
		if (!pairs[i].rebuilt)
			plan_drop_columns(pl, &pairs[i]);
	}
	concurrent_last(pl->p);
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
	return ok && planner_verdict(ret, err);
}
