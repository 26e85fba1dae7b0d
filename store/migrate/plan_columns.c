/* Columns of a table that is changed in place: added, altered (PostgreSQL) or warned about (SQLite), dropped. */
#include "store/migrate/plan_columns.h"
#include "store/migrate/plan_fill.h"

#include <string.h>

#include "service/base/num.h"
#include "store/codec/codec.h"
#include "store/migrate/live_literal.h"
#include "store/migrate/plan_loss.h"
#include "store/migrate/plan_needed.h"

#include "service/base/banned.h"

static void put_literal(struct planner *pl, struct strbuf *b, struct value v)
{
	char number[NUM_DOUBLE_BYTES], *hex;

	switch (v.kind) {
	case VALUE_BOOL:
		if (pl->d->id == DIALECT_SQLITE)
			strbuf_putc(b, v.u.b ? '1' : '0');
		else
			strbuf_puts(b, v.u.b ? "true" : "false");
		break;
	case VALUE_INT:
		strbuf_int(b, v.u.i);
		break;
	case VALUE_DOUBLE:
		if (__builtin_isfinite(v.u.d)) {
			(void)num_format_double(v.u.d, number);
			strbuf_puts(b, number);
		} else {
			strbuf_puts(b, __builtin_isnan(v.u.d) ? "'NaN'" : v.u.d > 0 ? "'Infinity'" : "'-Infinity'");
		}
		break;
	case VALUE_BYTES:
		hex = arena_alloc(pl->a, 2 * v.u.s.len + 1);
		num_hex((const uint8_t *)v.u.s.p, v.u.s.len, hex);
		strbuf_printf(b, pl->d->id == DIALECT_SQLITE ? "X'%s'" : " E'\\\\x%s'", hex);
		break;
	case VALUE_TEXT:
	case VALUE_JSON:
		dialect_put_literal(pl->d, b, v.u.s);
		break;
	case VALUE_NULL:
		break;
	}
}

struct str plan_default_literal(struct planner *pl, const struct column *c)
{
	struct value v = value_null();
	struct err ignored;
	struct strbuf b;
	struct str out;

	if (c->default_value == NULL || !(json_is_boolean(c->default_value) || json_is_number(c->default_value) ||
					  json_is_string(c->default_value)))
		return STR_NONE;
	/* in the form in which the column's other values are stored; what is no value of the column is no default */
	if (!codec_bind(pl->a, pl->d, c, c->default_value, "", &v, &ignored) || v.kind == VALUE_NULL)
		return STR_NONE;
	if ((v.kind == VALUE_TEXT || v.kind == VALUE_JSON) && v.u.s.len > 0 && memchr(v.u.s.p, '\0', v.u.s.len) != NULL)
		return STR_NONE;
	strbuf_init(&b, 0);
	put_literal(pl, &b, v);
	out = arena_str(pl->a, strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

/* SQLite: what of a column that fills itself ALTER TABLE takes; a rebuild takes everything. */
static bool addable_in_place(const struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	struct literal l;

	if (pl->d->id != DIALECT_SQLITE || pl->o.rebuild || c->fill.default_sql.p == NULL)
		return true;
	if (c->fill.generated == GENERATED_ALWAYS)
		return c->fill.computed_on_read;
	return tp->t->rows == 0 || literal_read(c->fill.default_sql, &l);
}

bool plan_can_add(struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	if (c->primary_key) {
		planner_refuse(pl, tp->m->table, c->name,
			       "is a primary key column, which cannot be added to an existing table");
		return false;
	}
	if (!addable_in_place(pl, tp, c)) {
		planner_refuse(pl, tp->m->table, c->name,
			       "has a default that is no literal, or is computed and stored: SQLite cannot add such a "
			       "column to a table with rows; migrate with rebuild");
		return false;
	}
	if (c->nullable || tp->t->rows == 0 || plan_fill_clause(pl, tp, c).len > 0 ||
	    plan_default_literal(pl, c).p != NULL)
		return true;
	planner_refuse(pl, tp->m->table, c->name,
		       "is NOT NULL and has no literal default, so rows that are there cannot get a value: make it "
		       "nullable or give "
		       "it a default");
	return false;
}

static void alter_table(struct planner *pl, const struct table_pair *tp, const char *what, struct str column)
{
	strbuf_puts(&pl->b, "ALTER TABLE ");
	dialect_quote_table(&pl->b, tp->m->schema_name, tp->m->table);
	strbuf_putc(&pl->b, ' ');
	strbuf_puts(&pl->b, what);
	strbuf_putc(&pl->b, ' ');
	dialect_quote_ident(&pl->b, column);
}

bool plan_inline_key(const struct planner *pl, const struct table_pair *tp, const struct foreign_key *fk)
{
	const struct column *c = model_column(tp->m, fk->column);

	return pl->d->id == DIALECT_SQLITE && !tp->rebuilt && fk->n_columns <= 1 && c != NULL && c->nullable &&
	       live_find_column(pl->d, tp->t, c->name) == NULL;
}

static void put_inline_key(struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	for (size_t i = 0; i < tp->m->n_fks; i++) {
		const struct foreign_key *fk = &tp->m->fks[i];

		if (!str_eq(fk->column, c->name) || !plan_inline_key(pl, tp, fk))
			continue;
		strbuf_putc(&pl->b, ' ');
		ddl_column_key(tp->m, fk, &pl->b);
	}
}

bool plan_put_filled(struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	const struct str fill = plan_fill_clause(pl, tp, c);
	const struct str literal =
		fill.len > 0 || c->nullable || tp->t->rows == 0 ? STR_NONE : plan_default_literal(pl, c);

	strbuf_put(&pl->b, fill);
	if (!c->nullable)
		strbuf_puts(&pl->b, " NOT NULL");
	if (literal.p != NULL) {
		strbuf_puts(&pl->b, " DEFAULT ");
		strbuf_put(&pl->b, literal);
	}
	return literal.p != NULL;
}

static const struct schema_index *single_unique(const struct model *m, const struct column *c)
{
	for (size_t i = 0; i < m->n_uniques; i++)
		if (m->uniques[i].n_columns == 1 && str_eq(m->uniques[i].columns[0], c->name))
			return &m->uniques[i];
	return NULL;
}

static void add_column(struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	const struct schema_index *unique = c->unique ? single_unique(tp->m, c) : NULL;
	const bool inline_unique = unique != NULL && pl->d->id == DIALECT_POSTGRES && ddl_column_unique(tp->m, unique);
	struct change *made;

	alter_table(pl, tp, "ADD COLUMN", c->name);
	strbuf_putc(&pl->b, ' ');
	planner_put_type_in(pl, tp->t, c, &pl->b);
	ddl_collation(c, &pl->b);
	const bool backfills = plan_put_filled(pl, tp, c);
	if (inline_unique)
		strbuf_puts(&pl->b, " UNIQUE");
	put_inline_key(pl, tp, c);
	made = planner_emit(pl, CHANGE_ADD_COLUMN, tp->m->table, c->name);
	made->rows_affected = backfills ? tp->t->rows : 0;
	if (backfills && pl->d->id == DIALECT_POSTGRES) {
		alter_table(pl, tp, "ALTER COLUMN", c->name);
		strbuf_puts(&pl->b, " DROP DEFAULT");
		(void)planner_emit(pl, CHANGE_DROP_DEFAULT, tp->m->table, c->name);
	}
	if (unique != NULL && pl->d->id == DIALECT_SQLITE && ddl_inline_unique(tp->m, unique))
		planner_warn(pl, "unique_by_index", tp->m->table, c->name,
			     "was added without an inline UNIQUE, which SQLite cannot add: the unique index \"%.*s\" "
			     "does the same",
			     STR_FMT(unique->name));
}

static struct str declared(struct planner *pl, const struct live_column *live)
{
	struct strbuf b;
	struct str out;

	strbuf_init(&b, 0);
	diff_type_word(live->type, &b);
	out = arena_str(pl->a, strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

static void alter_type(struct planner *pl, const struct table_pair *tp, const struct column *c,
		       const struct live_column *live)
{
	const struct alter_effect effect = diff_alter_effect(live, c);
	const enum loss loss = effect.loses_data ? plan_loss(pl, tp, c, live) : LOSS_NONE;
	struct change *made;

	if (loss == LOSS_REFUSED)
		return;

	alter_table(pl, tp, "ALTER COLUMN", c->name);
	strbuf_puts(&pl->b, " TYPE ");
	ddl_alter_type(c, &pl->b);
	strbuf_puts(&pl->b, " USING ");
	dialect_quote_ident(&pl->b, c->name);
	strbuf_puts(&pl->b, "::");
	ddl_alter_type(c, &pl->b);
	made = planner_emit(pl, CHANGE_ALTER_TYPE, tp->m->table, c->name);
	made->rewrites = effect.rewrites;
	made->loses_data = loss != LOSS_NONE;
	made->reversible = loss == LOSS_NONE;
	made->rows_affected = effect.rewrites ? tp->t->rows : 0;
}

static bool says_size(struct str type)
{
	return memchr(type.p, '(', type.len) != NULL;
}

/* SQLite: a rebuild has looked at the data, and said already why the column keeps its type. */
static bool judged(const struct planner *pl, const struct live_column *live)
{
	return pl->d->id == DIALECT_SQLITE && pl->o.rebuild && live->lossy_rows > 0 && !pl->o.destructive;
}

static void plan_type(struct planner *pl, const struct table_pair *tp, const struct column *c,
		      const struct live_column *live)
{
	enum type_drift drift = planner_drift(pl, tp->t, live, c);
	struct str have, want;

	if (drift == DRIFT_NONE || judged(pl, live))
		return;
	if (drift == DRIFT_TYPE && pl->d->id == DIALECT_POSTGRES) {
		alter_type(pl, tp, c, live);
		return;
	}
	have = declared(pl, live);
	want = planner_expected_type(pl, tp->t, live, c);
	if (drift == DRIFT_TIMEZONE)
		planner_warn(
			pl, "timezone_drift", tp->m->table, c->name,
			"is declared '%.*s' and the model expects '%.*s': a conversion would change instants, so "
			"it is never "
			"made unasked; declare the db_type that the column has, or convert it with SQL of your own",
			STR_FMT(have), STR_FMT(want));
	else if (drift == DRIFT_ENUM)
		planner_warn(pl, "enum_drift", tp->m->table, c->name,
			     "is declared '%.*s' and the model has the enum \"%.*s\": one is not changed into the "
			     "other; declare the type that the column has, or convert it with SQL of your own",
			     STR_FMT(have), STR_FMT(c->enum_type_name));
	else if (drift == DRIFT_UNKNOWN)
		planner_warn(pl, "type_drift", tp->m->table, c->name,
			     "is declared '%.*s' and the model expects '%.*s', into which it is not changed by itself: "
			     "declare the type that the column has, or convert it with SQL of your own",
			     STR_FMT(have), STR_FMT(want));
	else
		planner_warn(pl, "type_drift", tp->m->table, c->name,
			     "is declared '%.*s' and the model expects '%.*s': SQLite cannot change a type in place; "
			     "migrate with rebuild",
			     STR_FMT(says_size(want) ? live->type : have), STR_FMT(want));
}

static void plan_nullability(struct planner *pl, const struct table_pair *tp, const struct column *c,
			     const struct live_column *live)
{
	if (c->nullable == live->nullable)
		return;
	if (pl->d->id == DIALECT_SQLITE) {
		planner_warn(pl, "nullability_drift", tp->m->table, c->name,
			     "%s: SQLite cannot change that in place; migrate "
			     "with rebuild",
			     c->nullable ? "is NOT NULL in the database and nullable in the model"
					 : "is nullable in the database and NOT NULL in the model");
		return;
	}
	alter_table(pl, tp, "ALTER COLUMN", c->name);
	strbuf_puts(&pl->b, c->nullable ? " DROP NOT NULL" : " SET NOT NULL");
	(void)planner_emit(pl, c->nullable ? CHANGE_DROP_NOT_NULL : CHANGE_SET_NOT_NULL, tp->m->table, c->name);
}

void plan_columns(struct planner *pl, const struct table_pair *tp)
{
	const struct model *m = tp->m;

	for (size_t i = 0; i < m->n_columns; i++)
		if (live_find_column(pl->d, tp->t, m->columns[i].name) == NULL && plan_can_add(pl, tp, &m->columns[i]))
			add_column(pl, tp, &m->columns[i]);
	for (size_t i = 0; i < m->n_retired; i++)
		if (live_find_column(pl->d, tp->t, m->retired[i].name) == NULL)
			add_column(pl, tp, &m->retired[i]);
	for (size_t i = 0; i < m->n_columns; i++) {
		const struct column *c = &m->columns[i];
		const struct live_column *live = live_find_column(pl->d, tp->t, c->name);

		if (live == NULL)
			continue;
		plan_fill(pl, tp, c, live);
		if (c->primary_key || live->pk_position > 0)
			continue;
		plan_type(pl, tp, c, live);
		plan_nullability(pl, tp, c, live);
	}
}

/* ---- drops ------------------------------------------------------------------------------------------- */

static bool wanted(const struct planner *pl, const struct model *m, struct str column)
{
	for (size_t i = 0; i < m->n_columns; i++)
		if (live_name_eq(pl->d, m->columns[i].name, column))
			return true;
	return false;
}

bool plan_excludes(const struct planner *pl, const struct model *m, struct str column)
{
	for (size_t i = 0; i < m->n_excluded; i++)
		if (live_name_eq(pl->d, m->excluded[i], column))
			return true;
	for (size_t i = 0; i < m->n_retired; i++)
		if (live_name_eq(pl->d, m->retired[i].name, column))
			return true;
	return false;
}

bool plan_lacks(const struct planner *pl, const struct model *m, const struct live_column *c)
{
	return !wanted(pl, m, c->name) && !plan_excludes(pl, m, c->name);
}

bool plan_drops(const struct planner *pl, const struct model *m, const struct live_column *c)
{
	return pl->o.destructive && plan_lacks(pl, m, c);
}

/* What keeps SQLite from dropping the column, or NULL. */
static const struct live_index *unique_over(const struct planner *pl, const struct live_table *t, struct str column)
{
	for (size_t i = 0; i < t->n_indexes; i++)
		if (t->indexes[i].origin == LIVE_INDEX_UNIQUE && diff_covers(pl->d, &t->indexes[i], column))
			return &t->indexes[i];
	return NULL;
}

static bool refers(const struct planner *pl, const struct live_table *t, struct str column)
{
	for (size_t i = 0; i < t->n_fks; i++)
		for (size_t k = 0; k < t->fks[i].n_columns; k++)
			if (live_name_eq(pl->d, t->fks[i].columns[k], column))
				return true;
	return false;
}

static bool can_drop(struct planner *pl, const struct table_pair *tp, const struct live_column *c)
{
	const struct live_index *x;

	if (c->pk_position > 0) {
		planner_refuse(pl, tp->m->table, c->name,
			       "is a primary key column that the model does not have: a key's column is not dropped");
		return false;
	}
	if (pl->d->id == DIALECT_POSTGRES)
		return true;
	x = unique_over(pl, tp->t, c->name);
	if (x != NULL) {
		planner_refuse(pl, tp->m->table, c->name,
			       "cannot be dropped: the UNIQUE constraint \"%.*s\" covers it; migrate with rebuild",
			       STR_FMT(x->name));
		return false;
	}
	if (refers(pl, tp->t, c->name)) {
		planner_refuse(pl, tp->m->table, c->name,
			       "cannot be dropped: it has a FOREIGN KEY constraint; migrate with rebuild");
		return false;
	}
	return true;
}

void plan_drop_columns(struct planner *pl, const struct table_pair *tp)
{
	for (size_t i = 0; i < tp->t->n_columns; i++) {
		const struct live_column *c = &tp->t->columns[i];
		struct change *made;

		if (!plan_drops(pl, tp->m, c) || !can_drop(pl, tp, c))
			continue;
		plan_refuse_needed(pl, tp, c);
		alter_table(pl, tp, "DROP COLUMN", c->name);
		made = planner_emit(pl, CHANGE_DROP_COLUMN, tp->m->table, c->name);
		made->rewrites = pl->d->id == DIALECT_SQLITE;
		made->rows_affected = tp->t->rows;
		made->loses_data = tp->t->rows != 0 && !c->generated;
		made->reversible = !made->loses_data;
	}
}
