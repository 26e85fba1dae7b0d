/* See plan_rename.h. */
#include "store/migrate/plan_rename.h"

#include <string.h>

#include "service/base/limits.h"
#include "store/migrate/plan_build.h"
#include "store/schema/schema_names.h"

#include "service/base/banned.h"

/* A model whose table is there, by its new or its old name. */
struct moved {
	const struct model *m;
	const struct live_table *t;
};

bool plan_rename_due(const struct dialect *d, const struct live_schema *live, const struct model *m)
{
	return m->renamed_from.p != NULL && live_find_model(d, live, m) == NULL &&
	       live_find_table_at(d, live, m->schema_name, m->renamed_from) != NULL;
}

static bool find_moved(const struct planner *pl, const struct model *m, struct moved *ret)
{
	ret->m = m;
	ret->t = live_find_model(pl->d, pl->live, m);
	if (ret->t == NULL && m->renamed_from.p != NULL)
		ret->t = live_find_table_at(pl->d, pl->live, m->schema_name, m->renamed_from);
	return ret->t != NULL && model_is_table(m);
}

/* The name that the column has in the database. */
static struct str live_name(const struct planner *pl, const struct moved *v, struct str name)
{
	const struct column *c = model_column(v->m, name);

	if (c == NULL || c->renamed_from.p == NULL || live_find_column(pl->d, v->t, name) != NULL ||
	    live_find_column(pl->d, v->t, c->renamed_from) == NULL)
		return name;
	return c->renamed_from;
}

static bool table_moves(const struct planner *pl, const struct moved *v)
{
	return !live_name_eq(pl->d, v->t->name, v->m->table);
}

/* ---- tables and columns ---- */

static void put_table(struct planner *pl, const char *what, const struct model *m)
{
	pl->schema_name = m->schema_name;
	strbuf_puts(&pl->b, what);
	dialect_quote_table(&pl->b, m->schema_name, m->table);
}

static bool name_is_taken(struct planner *pl, struct str schema_name, struct str name)
{
	for (size_t i = 0; i < pl->live->n_others; i++)
		if (live_name_eq(pl->d, pl->live->others[i].name, name) &&
		    str_eq(pl->live->others[i].schema_name, schema_name))
			return true;
	return live_find_table_at(pl->d, pl->live, schema_name, name) != NULL;
}

static void rename_table(struct planner *pl, const struct moved *v)
{
	if (!table_moves(pl, v))
		return;
	if (name_is_taken(pl, v->m->schema_name, v->m->table)) {
		planner_refuse(pl, v->t->name, STR_NONE, "cannot be renamed to \"%.*s\": something has that name",
			       STR_FMT(v->m->table));
		return;
	}
	pl->schema_name = v->m->schema_name;
	strbuf_puts(&pl->b, "ALTER TABLE ");
	dialect_quote_table(&pl->b, v->m->schema_name, v->t->name);
	strbuf_puts(&pl->b, " RENAME TO ");
	dialect_quote_ident(&pl->b, v->m->table);
	planner_emit(pl, CHANGE_RENAME_TABLE, v->m->table, STR_NONE);
}

/* PostgreSQL's views and constraints know columns by themselves; what is a text to it goes on naming the old one. */
static bool named_in_texts(struct planner *pl, const struct moved *v, struct str old, struct str name)
{
	for (size_t i = 0; i < pl->live->n_uses; i++) {
		const struct live_use *u = &pl->live->uses[i];

		if (!str_eq_z(u->kind, LIVE_USE_TEXT) || !str_eq(u->schema_name, v->t->schema_name) ||
		    !str_eq(u->table, v->t->name) || !str_eq(u->column, old))
			continue;
		planner_refuse(
			pl, v->t->name, old,
			"cannot be renamed to \"%.*s\": the %.*s \"%.*s\" speaks of it by its old name, and would "
			"fail at the next row; change it first",
			STR_FMT(name), STR_FMT(u->kind), STR_FMT(u->name));
		return true;
	}
	return false;
}

static void rename_columns(struct planner *pl, const struct moved *v)
{
	for (size_t i = 0; i < v->m->n_columns; i++) {
		const struct column *c = &v->m->columns[i];
		const struct str old = live_name(pl, v, c->name);

		if (str_eq(old, c->name) || named_in_texts(pl, v, old, c->name))
			continue;
		put_table(pl, "ALTER TABLE ", v->m);
		strbuf_puts(&pl->b, " RENAME COLUMN ");
		dialect_quote_ident(&pl->b, old);
		strbuf_puts(&pl->b, " TO ");
		dialect_quote_ident(&pl->b, c->name);
		planner_emit(pl, CHANGE_RENAME_COLUMN, v->m->table, c->name);
	}
}

/* ---- what is named after them ---- */

static void rename_constraint(struct planner *pl, const struct model *m, struct str old, struct str name)
{
	put_table(pl, "ALTER TABLE ", m);
	strbuf_puts(&pl->b, " RENAME CONSTRAINT ");
	dialect_quote_ident(&pl->b, old);
	strbuf_puts(&pl->b, " TO ");
	dialect_quote_ident(&pl->b, name);
	planner_emit(pl, CHANGE_RENAME_CONSTRAINT, m->table, STR_NONE);
}

static bool same_columns(const struct planner *pl, const struct moved *v, const struct str *live, size_t n_live,
			 const struct str *want, size_t n, bool *moves)
{
	if (n != n_live)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct str old = live_name(pl, v, want[i]);

		if (!live_name_eq(pl->d, live[i], old))
			return false;
		*moves = *moves || !str_eq(old, want[i]);
	}
	return true;
}

/* SQLite renames no index: it is dropped, and made anew with what else the table lacks. */
static void rename_index(struct planner *pl, const struct moved *v, const struct schema_index *x)
{
	for (size_t i = 0; i < v->t->n_indexes; i++)
		if (live_name_eq(pl->d, v->t->indexes[i].name, x->name))
			return;
	for (size_t i = 0; i < v->t->n_indexes; i++) {
		const struct live_index *y = &v->t->indexes[i];
		bool moves = table_moves(pl, v);

		if (y->unique != x->unique || y->origin == LIVE_INDEX_PRIMARY || !diff_index_owned(y) ||
		    !same_columns(pl, v, y->columns, y->n_columns, x->columns, x->n_columns, &moves) || !moves)
			continue;
		if (y->origin == LIVE_INDEX_UNIQUE) {
			rename_constraint(pl, v->m, y->name, x->name);
			return;
		}
		pl->schema_name = v->m->schema_name;
		strbuf_puts(&pl->b, pl->d->id == DIALECT_POSTGRES ? "ALTER INDEX " : "DROP INDEX ");
		dialect_quote_table(&pl->b, v->m->schema_name, y->name);
		if (pl->d->id == DIALECT_POSTGRES) {
			strbuf_puts(&pl->b, " RENAME TO ");
			dialect_quote_ident(&pl->b, x->name);
		}
		planner_emit(pl, pl->d->id == DIALECT_POSTGRES ? CHANGE_RENAME_INDEX : CHANGE_DROP_INDEX, v->m->table,
			     STR_NONE);
		return;
	}
}

/* The table as the database names it now. */
static struct str live_target(const struct planner *pl, const struct foreign_key *fk)
{
	const struct model *m = schema_model_at(pl->s, fk->to_schema, fk->to_table);

	return m != NULL && plan_rename_due(pl->d, pl->live, m) ? m->renamed_from : fk->to_table;
}

static void rename_key(struct planner *pl, const struct moved *v, const struct foreign_key *fk)
{
	const struct str target = live_target(pl, fk);
	const struct str *columns = fk->n_columns > 1 ? fk->columns : &fk->column;

	for (size_t i = 0; i < v->t->n_fks; i++)
		if (live_name_eq(pl->d, v->t->fks[i].name, fk->name))
			return;
	for (size_t i = 0; i < v->t->n_fks; i++) {
		const struct live_foreign_key *y = &v->t->fks[i];
		bool moves = table_moves(pl, v) || !str_eq(target, fk->to_table);

		if (!str_starts(y->name, STR("fk_")) || !live_name_eq(pl->d, y->to_table, target) ||
		    !same_columns(pl, v, y->columns, y->n_columns, columns, fk->n_columns > 1 ? fk->n_columns : 1,
				  &moves) ||
		    !moves)
			continue;
		rename_constraint(pl, v->m, y->name, fk->name);
		return;
	}
}

/* A check's name as it was: of the old table, and of the old column. */
static struct str old_check(struct planner *pl, const struct moved *v, const struct schema_check *k)
{
	const struct str head = arena_printf(pl->a, "ck_%.*s_", STR_FMT(v->m->table));
	struct str rest;

	if (!str_starts(k->name, head))
		return STR_NONE;
	rest = str_n(k->name.p + head.len, k->name.len - head.len);
	return arena_printf(pl->a, "ck_%.*s_%.*s", STR_FMT(v->t->name), STR_FMT(live_name(pl, v, rest)));
}

static void rename_check(struct planner *pl, const struct moved *v, const struct schema_check *k)
{
	const struct str old = old_check(pl, v, k);
	bool there = false;

	for (size_t i = 0; i < v->t->n_checks; i++) {
		if (str_eq(v->t->checks[i].name, k->name))
			return;
		there = there || (old.p != NULL && str_eq(v->t->checks[i].name, old));
	}
	if (there)
		rename_constraint(pl, v->m, old, k->name);
}

/* nextval('author_id_seq'::regclass): the sequence that a serial column counts with is named after both. */
static void rename_sequence(struct planner *pl, const struct moved *v, const struct column *c)
{
	const struct str column = live_name(pl, v, c->name);
	const struct live_column *live = live_find_column(pl->d, v->t, column);
	const struct str old = arena_printf(pl->a, "%.*s_%.*s_seq", STR_FMT(v->t->name), STR_FMT(column));
	const struct str name = arena_printf(pl->a, "%.*s_%.*s_seq", STR_FMT(v->m->table), STR_FMT(c->name));

	if (live == NULL || !live->autoincrement || live->identity || str_eq(old, name) || old.len > LIMIT_NAME_BYTES ||
	    name.len > LIMIT_NAME_BYTES || live->default_text.p == NULL ||
	    !str_eq(live->default_text, arena_printf(pl->a, "nextval('%.*s'::regclass)", STR_FMT(old))))
		return;
	if (name_is_taken(pl, v->m->schema_name, name)) {
		planner_refuse(pl, v->m->table, c->name, "cannot be renamed: its sequence's name \"%.*s\" is taken",
			       STR_FMT(name));
		return;
	}
	pl->schema_name = v->m->schema_name;
	strbuf_puts(&pl->b, "ALTER SEQUENCE ");
	dialect_quote_table(&pl->b, v->m->schema_name, old);
	strbuf_puts(&pl->b, " RENAME TO ");
	dialect_quote_ident(&pl->b, name);
	planner_emit(pl, CHANGE_RENAME_SEQUENCE, v->m->table, c->name);
}

static void rename_named(struct planner *pl, const struct moved *v)
{
	for (size_t i = 0; i < v->m->n_indexes; i++)
		rename_index(pl, v, &v->m->indexes[i]);
	for (size_t i = 0; i < v->m->n_uniques; i++)
		rename_index(pl, v, &v->m->uniques[i]);
	if (pl->d->id != DIALECT_POSTGRES) /* whose constraints are named in the table's text only */
		return;
	for (size_t i = 0; i < v->m->n_fks; i++)
		rename_key(pl, v, &v->m->fks[i]);
	for (size_t i = 0; i < v->m->n_checks; i++)
		rename_check(pl, v, &v->m->checks[i]);
	for (size_t i = 0; i < v->m->n_columns; i++)
		rename_sequence(pl, v, &v->m->columns[i]);
}

/* ---- labels ---- */

static bool has_label(const struct live_column *live, struct str label)
{
	for (size_t i = 0; i < live->n_enum_values; i++)
		if (str_eq(live->enum_values[i], label))
			return true;
	return false;
}

/* Several columns may have one type. */
static bool emitted(const struct planner *pl)
{
	for (size_t i = 0; i < pl->p->n_changes; i++)
		if (str_eq(pl->p->changes[i].statement, strbuf_str(&pl->b)))
			return true;
	return false;
}

static void rename_type_label(struct planner *pl, const struct live_column *live, struct str old, struct str label)
{
	if (!has_label(live, old) || has_label(live, label))
		return;
	strbuf_puts(&pl->b, "ALTER TYPE ");
	dialect_quote_ident(&pl->b, live->type);
	strbuf_puts(&pl->b, " RENAME VALUE ");
	dialect_put_literal(pl->d, &pl->b, old);
	strbuf_puts(&pl->b, " TO ");
	dialect_put_literal(pl->d, &pl->b, label);
	if (emitted(pl))
		strbuf_reset(&pl->b);
	else
		planner_emit(pl, CHANGE_RENAME_LABEL, STR_NONE, STR_NONE);
}

/* Where labels are texts, rows have them. */
static void rename_text_label(struct planner *pl, const struct moved *v, const struct column *c, struct str old,
			      struct str label)
{
	struct strbuf count;
	struct change *ch;

	strbuf_init(&count, 0);
	strbuf_puts(&count, "SELECT count(*) FROM "); /* before anything has its new name */
	dialect_quote_table(&count, v->m->schema_name, v->t->name);
	strbuf_puts(&count, " WHERE ");
	dialect_quote_ident(&count, live_name(pl, v, c->name));
	strbuf_puts(&count, " = ");
	dialect_put_literal(pl->d, &count, old);
	put_table(pl, "UPDATE ", v->m);
	strbuf_puts(&pl->b, " SET ");
	dialect_quote_ident(&pl->b, c->name);
	strbuf_puts(&pl->b, " = ");
	dialect_put_literal(pl->d, &pl->b, label);
	strbuf_puts(&pl->b, " WHERE ");
	dialect_quote_ident(&pl->b, c->name);
	strbuf_puts(&pl->b, " = ");
	dialect_put_literal(pl->d, &pl->b, old);
	ch = planner_emit(pl, CHANGE_RENAME_LABEL, v->m->table, c->name);
	ch->count = arena_str(pl->a, strbuf_str(&count));
	ch->rewrites = true;
	strbuf_done(&count);
}

static void rename_labels(struct planner *pl, const struct moved *v, const struct column *c)
{
	const struct live_column *live = live_find_column(pl->d, v->t, live_name(pl, v, c->name));
	const char *key;
	json_t *old;

	if (live == NULL)
		return;
	json_object_foreach(json_object_get(c->renamed_labels, "labels"), key, old)
	{
		if (live->native_enum)
			rename_type_label(pl, live, json_str(old), str_z(key));
		else
			rename_text_label(pl, v, c, json_str(old), str_z(key));
	}
}

bool plan_renames(struct arena *a, const struct dialect *d, const struct schema *s, const struct live_schema *live,
		  struct migration_plan *ret, struct err *err)
{
	struct planner pl = {.a = a, .d = d, .s = s, .live = live, .p = ret};
	struct moved v;

	*ret = (struct migration_plan){.arena = a};
	ddl_plan_init(&ret->notes, a);
	strbuf_init(&pl.b, 0);
	for (size_t i = 0; i < s->n_models; i++)
		if (find_moved(&pl, &s->models[i], &v))
			rename_table(&pl, &v);
	for (size_t i = 0; i < s->n_models; i++)
		if (find_moved(&pl, &s->models[i], &v))
			rename_columns(&pl, &v);
	for (size_t i = 0; i < s->n_models; i++) {
		if (!find_moved(&pl, &s->models[i], &v))
			continue;
		rename_named(&pl, &v);
		for (size_t k = 0; k < v.m->n_columns; k++)
			if (v.m->columns[k].renamed_labels != NULL)
				rename_labels(&pl, &v, &v.m->columns[k]);
	}
	strbuf_done(&pl.b);
	return planner_verdict(ret, err);
}

void plan_after_renames(struct migration_plan *p, const struct migration_plan *renames)
{
	const size_t n = renames->n_changes + p->n_changes;
	struct change *list;

	if (renames->n_changes == 0)
		return;
	list = arena_array(p->arena, n, sizeof(*list));
	memcpy(list, renames->changes, renames->n_changes * sizeof(*list));
	if (p->n_changes > 0)
		memcpy(list + renames->n_changes, p->changes, p->n_changes * sizeof(*list));
	p->changes = list;
	p->n_changes = p->size_changes = n;
}
