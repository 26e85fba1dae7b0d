/* See plan_fill.h. */
#include "store/migrate/plan_fill.h"

#include <string.h>

#include "store/ddl/ddl.h"
#include "store/migrate/live_literal.h"
#include "store/schema/schema_sql.h"
#include "store/schema/schema_sql_same.h"

#include "service/base/banned.h"

/* ---- differences -------------------------------------------------------------------------------------- */

/* Is it the model's business what the column's default is? */
static bool says_default(const struct table_pair *tp, const struct column *c)
{
	return c->fill.generated == GENERATED_NOT && c->fill.default_sql.p != NULL && !ddl_column_serial(tp->m, c);
}

bool plan_default_differs(const struct planner *pl, const struct table_pair *tp, const struct column *c,
			  const struct live_column *live)
{
	return pl->d->id == DIALECT_SQLITE && says_default(tp, c) && !live->generated && !live->autoincrement &&
	       !schema_sql_same_default(pl->d->id, c->fill.default_sql, live->default_text);
}

static void alter(struct planner *pl, const struct table_pair *tp, const struct column *c, const char *what)
{
	strbuf_puts(&pl->b, "ALTER TABLE ");
	dialect_quote_table(&pl->b, tp->m->schema_name, tp->m->table);
	strbuf_puts(&pl->b, " ALTER COLUMN ");
	dialect_quote_ident(&pl->b, c->name);
	strbuf_puts(&pl->b, what);
}

/* Is the column's type one whose name can be written as it is, and that runs nothing of its owner's on a value? */
static bool is_plain_type(const struct live_column *live)
{
	return !live->native_enum &&
	       (live->made_of == NULL || live->made_of->kind == 'a' || live->made_of->kind == 'b');
}

static void put_value(struct planner *pl, const struct live_column *live, struct str literal)
{
	strbuf_puts(&pl->b, "CAST(CAST((");
	strbuf_put(&pl->b, literal);
	strbuf_puts(&pl->b, ") AS ");
	strbuf_put(&pl->b, live->type);
	strbuf_puts(&pl->b, ") AS pg_catalog.text)");
}

/* 'now' of a time was the moment at which the default was set, and nothing else since. */
static bool was_a_moment(const struct column *c, struct str live)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	struct literal l;
	struct str s;

	if ((c->logical != LT_DATETIME && c->logical != LT_DATE && c->logical != LT_TIME) ||
	    !literal_read(c->fill.default_sql, &l) || l.kind != LITERAL_TEXT || !schema_sql_literal(live))
		return false;
	s = str_trim(str_n(l.text.p + 1, l.text.len - 2));
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_ieq_z(s, words[i]))
			return true;
	return false;
}

/* PostgreSQL keeps a literal as the value that it is of the column's type: '2026-01-01' of a timestamp is '2026-01-01
 * 00:00:00' from then on. Only it knows whether two are one; until it was asked, they are not. */
static bool same_value(struct planner *pl, const struct table_pair *tp, const struct column *c,
		       const struct live_column *live)
{
	struct plan_probe p = {
		.of_default = true, .schema_name = tp->t->schema_name, .table = tp->t->name, .column = live->name};
	const char *why;

	if (live->default_same >= 0)
		return live->default_same > 0;
	if (live->default_text.p != NULL && was_a_moment(c, live->default_text))
		return true;
	if (live->default_text.p == NULL || !is_plain_type(live) || !schema_sql_literal(c->fill.default_sql) ||
	    !schema_sql_literal(live->default_text) ||
	    !schema_sql_expression(DIALECT_POSTGRES, c->fill.default_sql, &why) ||
	    !schema_sql_expression(DIALECT_POSTGRES, live->default_text, &why))
		return false;
	strbuf_puts(&pl->b, "SELECT CAST(CASE WHEN ");
	put_value(pl, live, c->fill.default_sql);
	strbuf_puts(&pl->b, " IS NOT DISTINCT FROM ");
	put_value(pl, live, live->default_text);
	strbuf_puts(&pl->b, " THEN 1 ELSE 0 END AS pg_catalog.int8)");
	p.query = arena_str(pl->a, strbuf_str(&pl->b));
	strbuf_reset(&pl->b);
	planner_probe(pl, &p);
	return false;
}

static void plan_default(struct planner *pl, const struct table_pair *tp, const struct column *c,
			 const struct live_column *live)
{
	const char *why;

	if (pl->d->id == DIALECT_SQLITE) {
		if (plan_default_differs(pl, tp, c, live))
			planner_warn(pl, "default_drift", tp->m->table, c->name,
				     "has the default %.*s in the database and %.*s in the model: SQLite cannot change "
				     "that in place; migrate with rebuild",
				     STR_FMT(live->default_text.p != NULL ? live->default_text : STR("NULL")),
				     STR_FMT(c->fill.default_sql));
		return;
	}
	if (live->generated || live->identity ||
	    schema_sql_same_default(pl->d->id, c->fill.default_sql, live->default_text) || same_value(pl, tp, c, live))
		return;
	if (!schema_sql_expression(pl->d->id, c->fill.default_sql, &why)) {
		planner_warn(pl, "default_drift", tp->m->table, c->name,
			     "has another default in the database, and the model's is no expression here: %s", why);
		return;
	}
	alter(pl, tp, c, " SET DEFAULT ");
	strbuf_put(&pl->b, c->fill.default_sql);
	(void)planner_emit(pl, CHANGE_SET_DEFAULT, tp->m->table, c->name);
}

static const char *identity_words(enum column_generated g)
{
	return g == GENERATED_IDENTITY_ALWAYS ? "ALWAYS" : "BY DEFAULT";
}

static void plan_identity(struct planner *pl, const struct table_pair *tp, const struct column *c,
			  const struct live_column *live)
{
	const bool always = c->fill.generated == GENERATED_IDENTITY_ALWAYS;

	if (live->identity && live->identity_always == always)
		return;
	if (live->identity) {
		alter(pl, tp, c, " SET GENERATED ");
		strbuf_puts(&pl->b, identity_words(c->fill.generated));
	} else {
		planner_warn(pl, "identity_drift", tp->m->table, c->name,
			     "is an identity (%s) in the model and none in the database: it is not made one unasked, "
			     "for it would count from 1 whatever rows there are; do that with SQL of your own",
			     identity_words(c->fill.generated));
		return;
	}
	(void)planner_emit(pl, CHANGE_SET_IDENTITY, tp->m->table, c->name);
}

static void plan_generated(struct planner *pl, const struct table_pair *tp, const struct column *c,
			   const struct live_column *live)
{
	const bool want = c->fill.generated == GENERATED_ALWAYS;

	if (want != live->generated)
		planner_warn(
			pl, "generated_drift", tp->m->table, c->name,
			want ? "is computed in the model and an ordinary column in the database: it cannot be made "
			       "one in place; drop it and let it be added, or change the model"
			     : "is computed by the database, which refuses the values that the model allows: "
			       "declare it as \"generated\": \"always\"");
	else if (want && c->fill.default_sql.p != NULL && live->generation.p != NULL &&
		 !schema_sql_same_default(pl->d->id, c->fill.default_sql, live->generation))
		planner_warn(pl, "generated_drift", tp->m->table, c->name,
			     "is computed as %.*s in the database and as %.*s in the model: that cannot be changed in "
			     "place; drop it and let it be added, or change the model",
			     STR_FMT(live->generation), STR_FMT(c->fill.default_sql));
	else if (want && c->fill.default_sql.p != NULL && c->fill.computed_on_read != live->generated_virtual)
		planner_warn(pl, "generated_drift", tp->m->table, c->name,
			     "is %s in the database and %s in the model: that cannot be changed in place",
			     live->generated_virtual ? "computed when it is read" : "stored",
			     c->fill.computed_on_read ? "computed when it is read" : "stored");
}

void plan_fill(struct planner *pl, const struct table_pair *tp, const struct column *c, const struct live_column *live)
{
	const enum column_generated g = c->fill.generated;

	if (g == GENERATED_ALWAYS || (live->generated && !c->fill.read_only))
		plan_generated(pl, tp, c, live);
	else if (pl->d->id == DIALECT_POSTGRES && g != GENERATED_NOT)
		plan_identity(pl, tp, c, live);
	else if (says_default(tp, c))
		plan_default(pl, tp, c, live);
}

struct str plan_fill_clause(struct planner *pl, const struct table_pair *tp, const struct column *c)
{
	struct strbuf b;
	struct str clause;
	struct err ignored;

	strbuf_init(&b, 0);
	if (!ddl_column_fill(pl->d, tp->m, c, &b, &ignored))
		strbuf_reset(&b);
	clause = arena_str(pl->a, strbuf_str(&b));
	strbuf_done(&b);
	return clause;
}
