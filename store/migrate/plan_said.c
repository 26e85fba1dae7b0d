/* See plan_said.h. */
#include "store/migrate/plan_said.h"

#include "store/ddl/ddl.h"
#include "store/migrate/live_fill.h"
#include "store/migrate/live_type.h"
#include "store/migrate/plan_columns.h"
#include "store/schema/schema_sql_same.h"

#include "service/base/banned.h"

static bool introspected(const struct column *c)
{
	return c->fill.position > 0;
}

static bool any_introspected(const struct model *m)
{
	for (size_t i = 0; i < m->n_columns; i++)
		if (introspected(&m->columns[i]))
			return true;
	return false;
}

/* ---- comments ---------------------------------------------------------------------------------------- */

static void plan_comment(struct planner *pl, const struct table_pair *tp, const struct column *c, struct str have)
{
	const struct str want = c != NULL ? c->comment : tp->m->comment;

	if (str_eq(want, have) || (want.p == NULL && !(c != NULL ? introspected(c) : any_introspected(tp->m))))
		return;
	ddl_comment(tp->m, c, &pl->b);
	(void)planner_emit(pl, CHANGE_COMMENT, tp->m->table, c != NULL ? c->name : STR_NONE);
}

/* ---- columns ----------------------------------------------------------------------------------------- */

static void plan_collation(struct planner *pl, const struct table_pair *tp, const struct column *c,
			   const struct live_column *live)
{
	const struct str none = STR("the database's own");

	if (str_eq(c->collation, live->collation) || (c->collation.p == NULL && !introspected(c)) ||
	    (pl->d->id == DIALECT_SQLITE && live_name_eq(pl->d, c->collation, live->collation)))
		return;
	planner_warn(
		pl, "collation_drift", tp->m->table, c->name,
		"has the collation %.*s in the database and %.*s in the model: that orders and compares its values "
		"otherwise, and is not changed unasked; do that with SQL of your own",
		STR_FMT(live->collation.p != NULL ? live->collation : none),
		STR_FMT(c->collation.p != NULL ? c->collation : none));
}

/* Does the model know that something fills the column where a record does not? */
static bool says_filled(const struct table_pair *tp, const struct column *c)
{
	return c->fill.database_default || c->fill.default_sql.p != NULL || c->fill.generated != GENERATED_NOT ||
	       c->fill.now_on_create || ddl_column_serial(tp->m, c);
}

/* The value that the application gives, which a column that was added with it may have kept. */
static bool same_application_default(struct planner *pl, const struct column *c, const struct live_column *live)
{
	const struct str literal = plan_default_literal(pl, c);
	json_t *have = live_fill_default(pl->a, live, c->logical);
	const bool same = (literal.p != NULL && schema_sql_same_default(pl->d->id, literal, live->default_text)) ||
			  (c->default_value != NULL && json_equal(have, c->default_value));

	json_decref(have);
	return same;
}

static void plan_default_unsaid(struct planner *pl, const struct table_pair *tp, const struct column *c,
				const struct live_column *live)
{
	if (says_filled(tp, c) || live->generated || live->identity || live->autoincrement ||
	    schema_sql_same_default(pl->d->id, STR_NONE, live->default_text) || same_application_default(pl, c, live))
		return;
	planner_warn(pl, "default_not_in_model", tp->m->table, c->name,
		     "has the DEFAULT %.*s in the database, which the model does not have: it stays as it is; declare "
		     "it as \"default_sql\", or that there is one by \"database_default\": true",
		     STR_FMT(live->default_text));
}

/* A column without which no row can be, and that nobody but a record would fill. */
static void plan_required(struct planner *pl, const struct table_pair *tp, const struct live_column *live)
{
	if (!plan_lacks(pl, tp->m, live) || plan_drops(pl, tp->m, live) || live->nullable || live->pk_position > 0 ||
	    live->generated || live->identity || live->autoincrement || live->default_text.p != NULL)
		return;
	planner_warn(pl, "not_null_not_in_model", tp->m->table, live->name,
		     "is NOT NULL in the database without a DEFAULT, and the model does not have it: the database "
		     "refuses the records that the model makes, unless a trigger fills it");
}

/* The members that say what a type is made of, and what a domain adds to its base. */
static const char *other_part(const json_t *have, const json_t *want)
{
	static const struct {
		const char *key, *words;
	} parts[] = {
		{"type_kind", "kind"},
		{"element", "elements"},
		{"fields", "fields"},
		{"base_type", "base"},
		{"domain", "constraints and default"},
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const json_t *x = json_object_get(have, parts[i].key), *y = json_object_get(want, parts[i].key);

		if ((x != NULL || y != NULL) && !(x != NULL && y != NULL && json_equal(x, y)))
			return parts[i].words;
	}
	return NULL;
}

/* A type is made once for all tables: it is told what is otherwise, not changed. */
static void plan_makeup(struct planner *pl, const struct table_pair *tp, const struct column *c,
			const struct live_column *live)
{
	json_t *have;
	const char *what;

	if (c->type_json == NULL || !introspected(c) || live->made_of == NULL || !str_eq(c->db_type, live->type))
		return;
	have = json_object();
	(void)live_type_ir(pl->a, live, have);
	what = other_part(have, c->type_json);
	if (what != NULL)
		planner_warn(
			pl, "type_drift", tp->m->table, c->name,
			"is of the type \"%.*s\", whose %s are others in the database than in the model: a type is "
			"not changed, for other tables may have it; do that with SQL of your own",
			STR_FMT(live->type), what);
	json_decref(have);
}

/* ---- uniques ----------------------------------------------------------------------------------------- */

/* An index becomes a constraint in place. */
static void make_constraint(struct planner *pl, const struct table_pair *tp, const struct schema_index *x,
			    const struct live_index *live)
{
	struct change *made;

	strbuf_puts(&pl->b, "ALTER TABLE ");
	dialect_quote_table(&pl->b, tp->m->schema_name, tp->m->table);
	strbuf_puts(&pl->b, " ADD CONSTRAINT ");
	dialect_quote_ident(&pl->b, x->name);
	strbuf_puts(&pl->b, " UNIQUE USING INDEX ");
	dialect_quote_ident(&pl->b, live->name);
	strbuf_puts(&pl->b, x->deferrable ? " DEFERRABLE" : "");
	strbuf_puts(&pl->b, x->deferred ? " INITIALLY DEFERRED" : "");
	made = planner_emit(pl, CHANGE_CREATE_INDEX, tp->m->table, x->n_columns == 1 ? x->columns[0] : STR_NONE);
	made->lock = "ACCESS EXCLUSIVE";
}

static void plan_form(struct planner *pl, const struct table_pair *tp, const struct schema_index *x)
{
	bool same;
	const struct live_index *live = diff_find_index(pl->d, tp->t, x, &same);
	const bool constraint = live != NULL && live->origin != LIVE_INDEX_CREATED;
	const bool want = x->constraint || (any_introspected(tp->m) && ddl_inline_unique(tp->m, x));

	if (live == NULL || !same || live->origin == LIVE_INDEX_PRIMARY)
		return;
	if (want && !constraint && !live->partial && !live->expression && !live->special) {
		make_constraint(pl, tp, x, live);
		return;
	}
	if (want == constraint && (!constraint || (x->deferrable == live->deferrable && x->deferred == live->deferred)))
		return;
	if (!want && !any_introspected(tp->m))
		return;
	planner_warn(
		pl, "index_drift", tp->m->table, x->n_columns == 1 ? x->columns[0] : STR_NONE,
		want == constraint
			? "is kept unique by the constraint \"%.*s\", which is put off to the end of a transaction "
			  "otherwise than the model says: a constraint is made anew for that, which is not done unasked"
		: constraint ? "is kept unique by the constraint \"%.*s\", which is an index in the model: both refuse "
			       "the same, and the constraint is not taken away"
			     : "is kept unique by the index \"%.*s\", which cannot become the constraint of the model",
		STR_FMT(live->name));
	planner_warned_object(pl, live->name);
}

/* ---- tables ------------------------------------------------------------------------------------------ */

static void plan_kind(struct planner *pl, const struct table_pair *tp)
{
	static const char *const words[] = {"STRICT", "WITHOUT ROWID"};
	const bool have[] = {tp->t->strict, tp->t->without_rowid}, want[] = {tp->m->strict, tp->m->without_rowid};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (have[i] == want[i] || (!want[i] && !any_introspected(tp->m)))
			continue;
		planner_warn(pl, "table_drift", tp->m->table, STR_NONE,
			     have[i] ? "is %s in the database, and not in the model"
				     : "is %s in the model, and not in the database",
			     words[i]);
	}
}

void plan_said(struct planner *pl, const struct table_pair *tp)
{
	const bool postgres = pl->d->id == DIALECT_POSTGRES;

	if (postgres)
		plan_comment(pl, tp, NULL, tp->t->comment);
	else
		plan_kind(pl, tp);
	for (size_t i = 0; i < tp->m->n_columns; i++) {
		const struct column *c = &tp->m->columns[i];
		const struct live_column *live = live_find_column(pl->d, tp->t, c->name);

		if (postgres && (live != NULL || c->comment.p != NULL))
			plan_comment(pl, tp, c, live != NULL ? live->comment : STR_NONE);
		if (live == NULL)
			continue;
		plan_collation(pl, tp, c, live);
		plan_default_unsaid(pl, tp, c, live);
		plan_makeup(pl, tp, c, live);
	}
	for (size_t i = 0; i < tp->t->n_columns; i++)
		plan_required(pl, tp, &tp->t->columns[i]);
	for (size_t i = 0; i < tp->m->n_uniques && postgres; i++)
		plan_form(pl, tp, &tp->m->uniques[i]);
}
