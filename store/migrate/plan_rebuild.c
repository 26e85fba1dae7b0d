/*
 * SQLite's table rebuild ("Making Other Kinds Of Table Schema Changes", sqlite.org/lang_altertable.html, section 7): a
 * new table beside the old one, rows copied, the old one dropped, the new one renamed, indexes and triggers made again.
 * What the model does not speak of (order, types without drift, defaults, constraints) stays as it is.
 */
#include "store/migrate/plan_rebuild.h"

#include "store/migrate/plan_columns.h"

#include "service/base/banned.h"

#define NEW_PREFIX "_ferro_new_"

static const struct column *model_side(const struct table_pair *tp, struct str live_name)
{
	for (size_t i = 0; i < tp->m->n_columns; i++)
		if (live_name_eq(&dialect_sqlite, tp->m->columns[i].name, live_name))
			return &tp->m->columns[i];
	return NULL;
}

/* The type text goes into a statement as it is: only what a declaration can hold. */
static bool type_is_plain(struct str type)
{
	int depth = 0;

	for (size_t i = 0; i < type.len; i++) {
		char c = type.p[i];

		if (c == '(')
			depth++;
		else if (c == ')' && depth-- == 0)
			return false;
		else if (c == ')')
			continue;
		else if (!(c == ' ' || c == '_' || c == ',' || c == '.' || c == '+' || c == '-' ||
			   (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
			return false;
	}
	return depth == 0;
}

/* Why the table cannot be made anew without losing something, or NULL. In the arena. */
static const char *obstacle(const struct planner *pl, const struct live_table *t)
{
	if (t->peculiar.p != NULL)
		return arena_strz(pl->a, t->peculiar);
	for (size_t i = 0; i < t->n_columns; i++) {
		if (t->columns[i].generated)
			return "a generated column";
		if (!type_is_plain(t->columns[i].type))
			return "a type that is no plain word";
	}
	return NULL;
}

/* Whether a rebuild would do something that changing in place cannot. */
static bool has_work(const struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->t->n_columns; i++) {
		const struct live_column *live = &tp->t->columns[i];
		const struct column *c = model_side(tp, live->name);

		if (c != NULL && !c->primary_key && live->pk_position == 0 &&
		    (diff_type(pl->d, live, c) != DRIFT_NONE || c->nullable != live->nullable))
			return true;
		if (!plan_drops(pl, tp->m, live))
			continue;
		for (size_t k = 0; k < tp->t->n_indexes; k++)
			if (tp->t->indexes[k].origin == LIVE_INDEX_UNIQUE &&
			    diff_covers(pl->d, &tp->t->indexes[k], live->name))
				return true;
		for (size_t k = 0; k < tp->t->n_fks; k++)
			for (size_t n = 0; n < tp->t->fks[k].n_columns; n++)
				if (live_name_eq(pl->d, tp->t->fks[k].columns[n], live->name))
					return true;
	}
	for (size_t i = 0; i < tp->m->n_checks; i++)
		if (!diff_has_check(pl->d, tp->t, &tp->m->checks[i]))
			return true;
	for (size_t i = 0; i < tp->m->n_fks; i++)
		if (!diff_has_foreign_key(pl->d, tp->t, &tp->m->fks[i]))
			return true;
	return false;
}

bool plan_needs_rebuild(const struct planner *pl, const struct table_pair *tp)
{
	const char *why;

	if (pl->d->id != DIALECT_SQLITE || !pl->o.rebuild || !has_work(pl, tp))
		return false;
	why = obstacle(pl, tp->t);
	if (why == NULL)
		return true;
	ddl_plan_warn(&pl->p->notes, "rebuild_not_possible", tp->m->table, STR_NONE,
		      "table \"%.*s\" is not rebuilt, because that would lose %s: use Alembic", STR_FMT(tp->m->table),
		      why);
	return false;
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

static bool stays(const struct planner *pl, const struct table_pair *tp, const struct live_column *c)
{
	return !plan_drops(pl, tp->m, c);
}

static bool all_stay(const struct planner *pl, const struct table_pair *tp, const struct str *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct live_column *c = live_find_column(pl->d, tp->t, names[i]);

		if (c == NULL || !stays(pl, tp, c))
			return false;
	}
	return true;
}

static size_t pk_columns(const struct live_table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_columns; i++)
		n += t->columns[i].pk_position > 0;
	return n;
}

static void put_names(struct strbuf *b, const struct str *names, size_t n)
{
	strbuf_putc(b, '(');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_puts(b, ", ");
		dialect_quote_ident(b, names[i]);
	}
	strbuf_putc(b, ')');
}

/* A column that is there: name, type and clauses. */
static void put_live_column(struct planner *pl, const struct table_pair *tp, const struct live_column *live)
{
	const struct column *c = model_side(tp, live->name);
	bool key = live->pk_position > 0;
	bool nullable = c != NULL && !key && !c->primary_key ? c->nullable : live->nullable;

	dialect_quote_ident(&pl->b, live->name);
	if (c != NULL && !key && !c->primary_key && diff_type(pl->d, live, c) != DRIFT_NONE) {
		strbuf_putc(&pl->b, ' ');
		planner_put_type(pl, c, &pl->b);
	} else if (live->type.len > 0) {
		strbuf_putc(&pl->b, ' ');
		strbuf_put(&pl->b, live->type);
	}
	if (!nullable)
		strbuf_puts(&pl->b, " NOT NULL");
	if (live->default_text.p != NULL)
		strbuf_printf(&pl->b, " DEFAULT (%.*s)", STR_FMT(live->default_text));
	if (key && pk_columns(tp->t) == 1)
		strbuf_puts(&pl->b, live->autoincrement ? " PRIMARY KEY AUTOINCREMENT" : " PRIMARY KEY");
}

/* A column that is new; ADD COLUMN would leave the same definition. */
static void put_new_column(struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	struct str literal = c->nullable || tp->t->rows == 0 ? STR_NONE : plan_default_literal(pl, c);

	dialect_quote_ident(&pl->b, c->name);
	strbuf_putc(&pl->b, ' ');
	planner_put_type(pl, c, &pl->b);
	if (!c->nullable)
		strbuf_puts(&pl->b, " NOT NULL");
	if (literal.p != NULL) {
		strbuf_puts(&pl->b, " DEFAULT ");
		strbuf_put(&pl->b, literal);
	}
}

static void put_keys(struct planner *pl, const struct table_pair *tp)
{
	const struct live_table *t = tp->t;
	size_t n_pk = pk_columns(t);

	if (n_pk > 1) {
		struct str *names = arena_array(pl->a, n_pk, sizeof(*names));

		for (size_t i = 0; i < t->n_columns; i++)
			if (t->columns[i].pk_position > 0 && t->columns[i].pk_position <= n_pk)
				names[t->columns[i].pk_position - 1] = t->columns[i].name;
		strbuf_puts(&pl->b, ", PRIMARY KEY ");
		put_names(&pl->b, names, n_pk);
	}
	for (size_t i = 0; i < t->n_indexes; i++) {
		const struct live_index *x = &t->indexes[i];

		if (x->origin != LIVE_INDEX_UNIQUE || !all_stay(pl, tp, x->columns, x->n_columns))
			continue;
		strbuf_puts(&pl->b, ", UNIQUE ");
		put_names(&pl->b, x->columns, x->n_columns);
	}
}

static void put_foreign_keys(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->t->n_fks; i++) {
		const struct live_foreign_key *fk = &tp->t->fks[i];

		if (!all_stay(pl, tp, fk->columns, fk->n_columns))
			continue;
		strbuf_puts(&pl->b, ", ");
		if (fk->name.p != NULL) {
			strbuf_puts(&pl->b, "CONSTRAINT ");
			dialect_quote_ident(&pl->b, fk->name);
			strbuf_putc(&pl->b, ' ');
		}
		strbuf_puts(&pl->b, "FOREIGN KEY ");
		put_names(&pl->b, fk->columns, fk->n_columns);
		strbuf_puts(&pl->b, " REFERENCES ");
		dialect_quote_ident(&pl->b, fk->to_table);
		if (fk->n_to_columns > 0) {
			strbuf_putc(&pl->b, ' ');
			put_names(&pl->b, fk->to_columns, fk->n_to_columns);
		}
		if (fk->on_delete.p != NULL && !str_ieq_z(fk->on_delete, "NO ACTION"))
			strbuf_printf(&pl->b, " ON DELETE %.*s", STR_FMT(fk->on_delete));
		if (fk->on_update.p != NULL && !str_ieq_z(fk->on_update, "NO ACTION"))
			strbuf_printf(&pl->b, " ON UPDATE %.*s", STR_FMT(fk->on_update));
	}
	for (size_t i = 0; i < tp->m->n_fks; i++) {
		if (diff_has_foreign_key(pl->d, tp->t, &tp->m->fks[i]))
			continue;
		strbuf_puts(&pl->b, ", ");
		ddl_foreign_key(&tp->m->fks[i], &pl->b);
	}
}

static void put_checks(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->t->n_checks; i++) {
		const struct live_check *c = &tp->t->checks[i];

		strbuf_puts(&pl->b, ", ");
		if (c->name.p != NULL) {
			strbuf_puts(&pl->b, "CONSTRAINT ");
			dialect_quote_ident(&pl->b, c->name);
			strbuf_putc(&pl->b, ' ');
		}
		strbuf_puts(&pl->b, "CHECK (");
		strbuf_put(&pl->b, c->expression);
		strbuf_putc(&pl->b, ')');
	}
	for (size_t i = 0; i < tp->m->n_checks; i++) {
		const struct schema_check *c = &tp->m->checks[i];

		if (diff_has_check(pl->d, tp->t, c))
			continue;
		strbuf_puts(&pl->b, ", CONSTRAINT ");
		dialect_quote_ident(&pl->b, c->name);
		strbuf_puts(&pl->b, " CHECK (");
		ddl_check_body(c, &pl->b);
		strbuf_putc(&pl->b, ')');
	}
}

/* False: a column that must be added cannot be (the refusal is noted). */
static bool put_create(struct planner *pl, const struct table_pair *tp, struct str new_name)
{
	bool first = true, ok = true;

	strbuf_puts(&pl->b, "CREATE TABLE ");
	dialect_quote_ident(&pl->b, new_name);
	strbuf_puts(&pl->b, " ( ");
	for (size_t i = 0; i < tp->t->n_columns; i++) {
		if (!stays(pl, tp, &tp->t->columns[i]))
			continue;
		if (!first)
			strbuf_puts(&pl->b, ", ");
		first = false;
		put_live_column(pl, tp, &tp->t->columns[i]);
	}
	for (size_t i = 0; i < tp->m->n_columns; i++) {
		const struct column *c = &tp->m->columns[i];

		if (live_find_column(pl->d, tp->t, c->name) != NULL)
			continue;
		ok = plan_can_add(pl, tp, c) && ok;
		if (!first)
			strbuf_puts(&pl->b, ", ");
		first = false;
		put_new_column(pl, tp, c);
	}
	put_keys(pl, tp);
	put_foreign_keys(pl, tp);
	put_checks(pl, tp);
	strbuf_puts(&pl->b, " )");
	return ok;
}

/* ---- the other steps --------------------------------------------------------------------------------- */

/* The column as the copy selects it: bytes become text and text bytes, everything else goes by the new affinity. */
static void put_source(struct planner *pl, const struct table_pair *tp, const struct live_column *live)
{
	const struct column *c = model_side(tp, live->name);
	const char *cast = NULL;

	if (c != NULL && !c->primary_key && live->pk_position == 0 && diff_type(pl->d, live, c) != DRIFT_NONE) {
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

static void copy_rows(struct planner *pl, const struct table_pair *tp, struct str new_name)
{
	bool first = true, loses = false;
	struct change *made;

	strbuf_puts(&pl->b, "INSERT INTO ");
	dialect_quote_ident(&pl->b, new_name);
	strbuf_puts(&pl->b, " (");
	for (size_t i = 0; i < tp->t->n_columns; i++) {
		if (!stays(pl, tp, &tp->t->columns[i])) {
			loses = true;
			continue;
		}
		strbuf_puts(&pl->b, first ? "" : ", ");
		first = false;
		dialect_quote_ident(&pl->b, tp->t->columns[i].name);
	}
	strbuf_puts(&pl->b, ") SELECT ");
	first = true;
	for (size_t i = 0; i < tp->t->n_columns; i++) {
		if (!stays(pl, tp, &tp->t->columns[i]))
			continue;
		strbuf_puts(&pl->b, first ? "" : ", ");
		first = false;
		put_source(pl, tp, &tp->t->columns[i]);
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

	for (size_t i = 0; i < tp->t->n_columns; i++)
		if (tp->t->columns[i].pk_position > 0 && plan_drops(pl, tp->m, &tp->t->columns[i]))
			planner_refuse(pl, tp->m->table, tp->t->columns[i].name,
				       "is a primary key column that the model does not have; it cannot be dropped: "
				       "use Alembic");
	if (!put_create(pl, tp, new_name)) {
		strbuf_reset(&pl->b);
		return;
	}
	pl->p->rebuilds = true;
	(void)planner_emit(pl, CHANGE_REBUILD_TABLE, tp->m->table, STR_NONE);
	copy_rows(pl, tp, new_name);
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
