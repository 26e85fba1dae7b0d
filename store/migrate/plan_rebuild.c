/*
 * SQLite's table rebuild ("Making Other Kinds Of Table Schema Changes", sqlite.org/lang_altertable.html, section 7): a
 * new table beside the old one, rows copied, the old one dropped, the new one renamed, indexes and triggers made again.
 * The new table is the text of the old one with the differences worked in (table_edit.h): what the model does not speak
 * of (order, defaults, COLLATE, ON CONFLICT, deferrability, STRICT, ...) stays to the letter.
 */
#include "store/migrate/plan_rebuild.h"

#include "store/migrate/plan_columns.h"
#include "store/migrate/plan_fill.h"
#include "store/migrate/plan_loss.h"
#include "store/migrate/plan_needed.h"
#include "store/migrate/table_edit.h"

#include "service/base/banned.h"

#define NEW_PREFIX "_ferro_new_"

static const struct column *model_side(const struct table_pair *tp, struct str live_name)
{
	for (size_t i = 0; i < tp->m->n_columns; i++)
		if (live_name_eq(&dialect_sqlite, tp->m->columns[i].name, live_name))
			return &tp->m->columns[i];
	return NULL;
}

/* ---- whether there is something to do ---------------------------------------------------------------- */

/* The model's side of a column whose definition a rebuild may change: keys stay, and what is computed. */
static const struct column *changeable(const struct table_pair *tp, const struct live_column *live)
{
	const struct column *c = model_side(tp, live->name);

	return c != NULL && !c->primary_key && live->pk_position == 0 && !live->generated ? c : NULL;
}

/* Settles for each column whether it gets the model's type. */
static void judge_types(struct planner *pl, struct table_pair *tp)
{
	tp->converts = arena_array(pl->a, tp->t->n_columns, sizeof(bool));
	for (size_t i = 0; i < tp->t->n_columns; i++) {
		const struct column *c = changeable(tp, &tp->t->columns[i]);
		enum loss loss;

		if (c == NULL || planner_drift(pl, tp->t, &tp->t->columns[i], c) == DRIFT_NONE)
			continue;
		loss = plan_loss(pl, tp, c, &tp->t->columns[i]);
		tp->converts[i] = loss != LOSS_REFUSED;
		tp->loses = tp->loses || loss == LOSS_ALLOWED;
	}
}

/* A column that goes and that ALTER TABLE cannot drop, for a constraint of the table covers it. */
static bool constrained(const struct planner *pl, const struct table_pair *tp, struct str column)
{
	for (size_t k = 0; k < tp->t->n_indexes; k++)
		if (tp->t->indexes[k].origin == LIVE_INDEX_UNIQUE && diff_covers(pl->d, &tp->t->indexes[k], column))
			return true;
	for (size_t k = 0; k < tp->t->n_fks; k++)
		for (size_t n = 0; n < tp->t->fks[k].n_columns; n++)
			if (live_name_eq(pl->d, tp->t->fks[k].columns[n], column))
				return true;
	return false;
}

/* Whether a rebuild would do something that changing in place cannot. */
static bool has_work(const struct planner *pl, const struct table_pair *tp)
{
	bool same;

	for (size_t i = 0; i < tp->t->n_columns; i++) {
		const struct live_column *live = &tp->t->columns[i];
		const struct column *c = changeable(tp, live);

		if (tp->converts[i] || (c != NULL && c->nullable != live->nullable) ||
		    (c != NULL && plan_default_differs(pl, tp, c, live)) ||
		    (plan_drops(pl, tp->m, live) && constrained(pl, tp, live->name)))
			return true;
	}
	for (size_t i = 0; i < tp->m->n_checks; i++)
		if (diff_find_check(pl->d, tp->t, &tp->m->checks[i], &same) == NULL || !same)
			return true;
	for (size_t i = 0; i < tp->m->n_fks; i++)
		if (diff_find_foreign_key(pl->d, pl->live, tp->t, tp->m, &tp->m->fks[i], &same) == NULL || !same)
			return true;
	return false;
}

bool plan_needs_rebuild(struct planner *pl, struct table_pair *tp)
{
	if (pl->d->id != DIALECT_SQLITE || !pl->o.rebuild)
		return false;
	judge_types(pl, tp);
	return has_work(pl, tp);
}

bool plan_keeps_index(const struct planner *pl, const struct table_pair *tp, const struct live_index *x)
{
	if (pl->o.destructive && diff_index_owned(x) && !diff_index_wanted(pl->d, tp->m, x))
		return false;
	/* SQLite does not drop a column that an index covers; PostgreSQL drops the index with it */
	for (size_t i = 0; pl->d->id == DIALECT_SQLITE && i < tp->t->n_columns; i++)
		if (plan_drops(pl, tp->m, &tp->t->columns[i]) && diff_covers(pl->d, x, tp->t->columns[i].name))
			return false;
	return true;
}

/* ---- CREATE TABLE ------------------------------------------------------------------------------------ */

/* What is in the buffer, which is empty then. */
static struct str written(struct planner *pl)
{
	const struct str s = arena_str(pl->a, strbuf_str(&pl->b));

	strbuf_reset(&pl->b);
	return s;
}

static void edit_null(struct table_edit *e, const struct table_item *item, bool nullable)
{
	for (size_t i = 0; i < e->text->n_pieces; i++) {
		const struct table_piece *p = &e->text->pieces[i];

		if (&e->text->items[p->item] == item && p->kind == (nullable ? PIECE_NOT_NULL : PIECE_NULL))
			table_edit_drop_piece(e, i);
	}
	if (!nullable)
		table_edit_replace(e, (struct text_span){item->type.to, item->type.to}, STR(" NOT NULL"));
}

static void edit_default(struct planner *pl, struct table_edit *e, const struct table_item *item,
			 const struct column *c)
{
	for (size_t i = 0; i < e->text->n_pieces; i++)
		if (&e->text->items[e->text->pieces[i].item] == item && e->text->pieces[i].kind == PIECE_DEFAULT)
			table_edit_drop_piece(e, i);
	strbuf_puts(&pl->b, " DEFAULT (");
	strbuf_put(&pl->b, c->fill.default_sql);
	strbuf_putc(&pl->b, ')');
	table_edit_replace(e, (struct text_span){item->type.to, item->type.to}, written(pl));
}

static void edit_column(struct planner *pl, const struct table_pair *tp, struct table_edit *e, size_t i)
{
	const struct live_column *live = &tp->t->columns[i];
	const struct table_item *item = table_edit_column(e, live->name);
	const struct column *c = changeable(tp, live);

	if (plan_drops(pl, tp->m, live)) {
		table_edit_drop_column(e, live->name);
		return;
	}
	if (c == NULL || item == NULL)
		return;
	if (tp->converts[i]) {
		if (item->type.from == item->type.to)
			strbuf_putc(&pl->b, ' ');
		planner_put_converted(pl, tp->t, live, c, &pl->b);
		table_edit_replace(e, item->type, written(pl));
	}
	if (c->nullable != live->nullable)
		edit_null(e, item, c->nullable);
	if (plan_default_differs(pl, tp, c, live))
		edit_default(pl, e, item, c);
}

static bool all_stay(const struct planner *pl, const struct table_pair *tp, const struct table_piece *p)
{
	for (size_t i = 0; i < tp->t->n_columns; i++)
		if (plan_drops(pl, tp->m, &tp->t->columns[i]) && table_piece_has(p, tp->t->columns[i].name))
			return false;
	return true;
}

/* Constraints of the table over a column that goes; those at it go with it. */
static void drop_uncovered(const struct planner *pl, const struct table_pair *tp, struct table_edit *e)
{
	for (size_t i = 0; i < e->text->n_pieces; i++) {
		const struct table_piece *p = &e->text->pieces[i];

		if (e->text->items[p->item].column.p == NULL && !all_stay(pl, tp, p))
			table_edit_drop_piece(e, i);
	}
}

/* The n-th piece of a kind, SIZE_MAX when there are fewer. */
static size_t nth_piece(const struct table_text *text, enum table_piece_kind kind, size_t n)
{
	for (size_t i = 0; i < text->n_pieces; i++)
		if (text->pieces[i].kind == kind && n-- == 0)
			return i;
	return SIZE_MAX;
}

static void drop_nth(struct table_edit *e, enum table_piece_kind kind, size_t n)
{
	const size_t i = nth_piece(e->text, kind, n);

	if (i != SIZE_MAX && !e->piece_gone[i])
		table_edit_drop_piece(e, i);
}

/* Added keys and checks; one that says something else than the model's goes first. */
static void edit_constraints(struct planner *pl, const struct table_pair *tp, struct table_edit *e)
{
	struct err err;
	bool same;

	for (size_t i = 0; i < tp->m->n_fks; i++) {
		const struct live_foreign_key *fk =
			diff_find_foreign_key(pl->d, pl->live, tp->t, tp->m, &tp->m->fks[i], &same);

		if (same)
			continue;
		if (fk != NULL)
			drop_nth(e, PIECE_FOREIGN_KEY, (size_t)(fk - tp->t->fks));
		ddl_foreign_key(tp->m, &tp->m->fks[i], &pl->b);
		table_edit_add_constraint(e, written(pl));
	}
	for (size_t i = 0; i < tp->m->n_checks; i++) {
		const struct schema_check *c = &tp->m->checks[i];
		const struct live_check *k = diff_find_check(pl->d, tp->t, c, &same);

		if (same)
			continue;
		if (k != NULL)
			drop_nth(e, PIECE_CHECK, (size_t)(k - tp->t->checks));
		strbuf_puts(&pl->b, "CONSTRAINT ");
		dialect_quote_ident(&pl->b, c->name);
		strbuf_puts(&pl->b, " CHECK (");
		if (!ddl_check_body(pl->d, c, &pl->b, &err))
			planner_refuse(pl, tp->m->table, STR_NONE, "cannot be rebuilt: %s", err.detail);
		strbuf_putc(&pl->b, ')');
		table_edit_add_constraint(e, written(pl));
	}
}

/* A column that is new; ADD COLUMN would leave the same definition. */
static void put_new_column(struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	dialect_quote_ident(&pl->b, c->name);
	strbuf_putc(&pl->b, ' ');
	planner_put_type_in(pl, tp->t, c, &pl->b);
	ddl_collation(c, &pl->b);
	(void)plan_put_filled(pl, tp, c);
}

/* False: a column that must be added cannot be (the refusal is noted). */
static bool put_create(struct planner *pl, const struct table_pair *tp, const struct table_text *text,
		       struct str new_name)
{
	struct table_edit e;
	bool ok = true;

	table_edit_init(&e, pl->a, text);
	for (size_t i = 0; i < tp->t->n_columns; i++)
		edit_column(pl, tp, &e, i);
	for (size_t i = 0; i < tp->m->n_columns + tp->m->n_retired; i++) {
		const struct column *c = model_made_column(tp->m, i);
		struct str definition;

		if (live_find_column(pl->d, tp->t, c->name) != NULL)
			continue;
		ok = plan_can_add(pl, tp, c) && ok;
		put_new_column(pl, tp, c);
		definition = written(pl);
		table_edit_add_column(&e, definition);
	}
	drop_uncovered(pl, tp, &e);
	edit_constraints(pl, tp, &e);
	table_edit_write(&e, new_name, &pl->b);
	return ok;
}

/* ---- the other steps --------------------------------------------------------------------------------- */

/* The column as the copy selects it: bytes become text and text bytes, everything else goes by the new affinity. */
static void put_source(struct planner *pl, const struct table_pair *tp, size_t i)
{
	const struct live_column *live = &tp->t->columns[i];
	const struct column *c = tp->converts[i] ? changeable(tp, live) : NULL;
	const char *cast = NULL;

	if (c != NULL) {
		enum storage_type was = ST_UNRESOLVED;
		int64_t length = 0;
		bool known = live_type_storage(pl->d, live->type, &was, &length);

		if (c->logical == LT_BINARY)
			cast = "BLOB";
		else if (logical_from_storage(c->storage) == LT_STRING && known && was == ST_BYTEA)
			cast = "TEXT";
	}
	if (cast == NULL) {
		dialect_quote_ident(&pl->b, live->name);
		return;
	}
	strbuf_puts(&pl->b, "CAST(");
	dialect_quote_ident(&pl->b, live->name);
	strbuf_printf(&pl->b, " AS %s)", cast);
}

/* The name under which a table's hidden rowid can be copied, which others (full-text indexes) may refer to; NULL: it
 * has none of its own, or every name of it is a column's. */
static const char *hidden_rowid(const struct table_pair *tp, const struct table_text *text)
{
	static const char *const names[] = {"rowid", "_rowid_", "oid"};
	size_t n_pk = 0;

	if (text->without_rowid)
		return NULL;
	for (size_t i = 0; i < tp->t->n_columns; i++)
		n_pk += tp->t->columns[i].pk_position > 0;
	for (size_t i = 0; i < tp->t->n_columns; i++)
		if (n_pk == 1 && tp->t->columns[i].pk_position > 0 && str_ieq_z(tp->t->columns[i].type, "integer"))
			return NULL;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (live_find_column(&dialect_sqlite, tp->t, str_z(names[i])) == NULL &&
		    model_side(tp, str_z(names[i])) == NULL)
			return names[i];
	return NULL;
}

static bool copied(const struct planner *pl, const struct table_pair *tp, const struct live_column *c)
{
	return !c->generated && !plan_drops(pl, tp->m, c);
}

static void copy_rows(struct planner *pl, const struct table_pair *tp, const struct table_text *text,
		      struct str new_name)
{
	const char *rowid = hidden_rowid(tp, text);
	bool loses = tp->loses;
	struct change *made;

	strbuf_puts(&pl->b, "INSERT INTO ");
	dialect_quote_ident(&pl->b, new_name);
	strbuf_puts(&pl->b, " (");
	for (int source = 0; source < 2; source++) {
		bool first = rowid == NULL;

		strbuf_puts(&pl->b, source == 1 ? ") SELECT " : "");
		strbuf_puts(&pl->b, rowid != NULL ? rowid : "");
		for (size_t i = 0; i < tp->t->n_columns; i++) {
			const struct live_column *c = &tp->t->columns[i];

			loses = loses || (plan_drops(pl, tp->m, c) && !c->generated && tp->t->rows != 0);
			if (!copied(pl, tp, c))
				continue;
			strbuf_puts(&pl->b, first ? "" : ", ");
			first = false;
			if (source == 1)
				put_source(pl, tp, i);
			else
				dialect_quote_ident(&pl->b, c->name);
		}
	}
	strbuf_puts(&pl->b, " FROM ");
	dialect_quote_ident(&pl->b, tp->t->name);
	made = planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
	made->rewrites = true;
	made->loses_data = loses;
	made->reversible = !loses;
	made->rows_affected = tp->t->rows;
}

/* Ids that were given out once must not come again, though their rows are gone: the counter moves along. */
static void copy_sequence(struct planner *pl, const struct table_pair *tp, struct str new_name)
{
	bool counts = false;

	for (size_t i = 0; i < tp->t->n_columns; i++)
		counts = counts || tp->t->columns[i].autoincrement;
	if (!counts)
		return;
	strbuf_puts(&pl->b, "DELETE FROM sqlite_sequence WHERE name = ");
	dialect_quote_literal(&pl->b, new_name);
	(void)planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
	strbuf_puts(&pl->b, "INSERT INTO sqlite_sequence (name, seq) SELECT ");
	dialect_quote_literal(&pl->b, new_name);
	strbuf_puts(&pl->b, ", seq FROM sqlite_sequence WHERE name = ");
	dialect_quote_literal(&pl->b, tp->t->name);
	(void)planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
}

void plan_rebuild(struct planner *pl, const struct table_pair *tp)
{
	struct str new_name = arena_printf(pl->a, NEW_PREFIX "%.*s", STR_FMT(tp->t->name));
	struct table_text text;

	table_text_read(pl->a, tp->t->sql, &text);
	for (size_t i = 0; i < tp->t->n_columns; i++) {
		const struct live_column *c = &tp->t->columns[i];

		if (!plan_drops(pl, tp->m, c))
			continue;
		if (c->pk_position > 0)
			planner_refuse(pl, tp->m->table, c->name,
				       "is a primary key column that the model does not have: a key's column is not "
				       "dropped");
		plan_refuse_needed(pl, tp, c);
	}
	if (!put_create(pl, tp, &text, new_name)) {
		strbuf_reset(&pl->b);
		return;
	}
	pl->p->rebuilds = true;
	(void)planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
	copy_rows(pl, tp, &text, new_name);
	copy_sequence(pl, tp, new_name);
	strbuf_puts(&pl->b, "DROP TABLE ");
	dialect_quote_ident(&pl->b, tp->t->name);
	(void)planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
	strbuf_puts(&pl->b, "ALTER TABLE ");
	dialect_quote_ident(&pl->b, new_name);
	strbuf_puts(&pl->b, " RENAME TO ");
	dialect_quote_ident(&pl->b, tp->t->name);
	(void)planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
	for (size_t i = 0; i < tp->t->n_indexes; i++) {
		if (tp->t->indexes[i].origin != LIVE_INDEX_CREATED || !plan_keeps_index(pl, tp, &tp->t->indexes[i]))
			continue;
		strbuf_put(&pl->b, tp->t->indexes[i].sql);
		(void)planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
	}
	for (size_t i = 0; i < tp->t->n_triggers; i++) {
		strbuf_put(&pl->b, tp->t->triggers[i]);
		(void)planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
	}
}
