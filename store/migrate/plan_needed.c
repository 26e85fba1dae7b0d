/* See plan_needed.h. */
#include "store/migrate/plan_needed.h"

#include "store/migrate/table_text.h"

#include "service/base/banned.h"

static void refuse_needed(struct planner *pl, const struct table_pair *tp, struct str column, const char *kind,
			  struct str name)
{
	planner_refuse(pl, tp->m->table, column, "cannot be dropped: %s%s%.*s%s needs it", kind,
		       name.len > 0 ? " \"" : "", STR_FMT(name), name.len > 0 ? "\"" : "");
}

/* Whether the check says something of this column alone, which goes with it. */
static bool of_column_alone(const struct table_text *text, const struct table_piece *p, struct str column)
{
	const struct str owner = text->items[p->item].column;

	return owner.p != NULL && live_name_eq(&dialect_sqlite, owner, column);
}

static void refuse_pieces(struct planner *pl, const struct table_pair *tp, const struct table_text *text,
			  struct str column)
{
	for (size_t i = 0; i < text->n_pieces; i++) {
		const struct table_piece *p = &text->pieces[i];

		if ((p->kind != PIECE_CHECK && p->kind != PIECE_GENERATED) || of_column_alone(text, p, column) ||
		    !sqlite_text_names(p->expression, column))
			continue;
		if (p->kind == PIECE_CHECK)
			refuse_needed(pl, tp, column, "the CHECK constraint", p->name);
		else
			refuse_needed(pl, tp, column, "the generated column", text->items[p->item].column);
	}
}

void plan_refuse_needed(struct planner *pl, const struct table_pair *tp, const struct live_column *c)
{
	struct table_text text;

	for (size_t i = 0; i < pl->live->n_uses; i++) {
		const struct live_use *u = &pl->live->uses[i];

		if (str_eq(u->schema_name, tp->t->schema_name) && live_name_eq(pl->d, u->table, tp->t->name) &&
		    live_name_eq(pl->d, u->column, c->name))
			refuse_needed(pl, tp, c->name, arena_printf(pl->a, "the %.*s", STR_FMT(u->kind)).p, u->name);
	}
	if (pl->d->id != DIALECT_SQLITE)
		return;
	for (size_t i = 0; i < tp->t->n_indexes; i++) {
		const struct live_index *x = &tp->t->indexes[i];

		if ((x->partial || x->expression) && sqlite_text_names(x->sql, c->name))
			refuse_needed(pl, tp, c->name, "the index", x->name);
	}
	table_text_read(pl->a, tp->t->sql, &text);
	refuse_pieces(pl, tp, &text, c->name);
}
