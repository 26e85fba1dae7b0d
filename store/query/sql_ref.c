/* References as SQL: columns, paths into documents, related records, how many of them. */
#include "store/query/query_sql.h"

#include "service/base/banned.h"

struct str sql_next_alias(const struct sql *s)
{
	return s->plan != NULL ? STR("") : arena_printf(s->arena, "ferro_r%u", s->n_aliases + 1);
}

struct str sql_enter(struct sql *s, struct str *ret_outer)
{
	const struct str outer = s->qualifier;

	*ret_outer = outer.p != NULL ? outer : s->table;
	s->qualifier = sql_next_alias(s);
	s->n_aliases++;
	return outer;
}

static void put_dotted(struct sql *s, struct str table, struct str column)
{
	sql_ident(s, table);
	sql_put(s, ".");
	sql_ident(s, column);
}

void sql_path_param(struct sql *s, const struct query_step *steps, size_t n)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_putc(&b, '$');
	for (size_t i = 0; i < n; i++) {
		if (steps[i].key.p != NULL)
			strbuf_printf(&b, ".\"%.*s\"", STR_FMT(steps[i].key));
		else if (steps[i].index < 0)
			strbuf_printf(&b, "[#%lld]", (long long)steps[i].index);
		else
			strbuf_printf(&b, "[%lld]", (long long)steps[i].index);
	}
	sql_param(s, value_text(arena_str(s->arena, strbuf_str(&b))));
	strbuf_done(&b);
}

void sql_jsonb(struct sql *s, const struct column *c)
{
	sql_put(s, "CAST(");
	sql_column(s, c->name);
	sql_put(s, " AS jsonb)");
}

void sql_chain(struct sql *s, const struct query_expr *e, bool last_text)
{
	const bool text = e->column->storage != ST_JSON && e->column->storage != ST_JSONB;

	sql_put(s, !last_text ? "CAST(" : "(");
	if (text)
		sql_jsonb(s, e->column);
	else
		sql_column(s, e->column->name);
	for (size_t i = 0; i < e->n_path; i++) {
		const struct query_step *step = &e->path[i];

		sql_put(s, last_text && i + 1 == e->n_path ? " ->> CAST(" : " -> CAST(");
		sql_param(s, step->key.p != NULL ? value_text(step->key) : value_int(step->index));
		sql_put(s, step->key.p != NULL ? " AS text)" : " AS integer)");
	}
	sql_put(s, !last_text ? " AS jsonb)" : ")");
}

static void put_path_postgres(struct sql *s, const struct query_expr *e)
{
	switch (e->path_type) {
	case PATH_TEXT:
	case PATH_JSON:
		sql_chain(s, e, e->path_type == PATH_TEXT);
		return;
	case PATH_NUMBER:
	case PATH_BOOLEAN:
		sql_put(s, "CASE jsonb_typeof(");
		sql_chain(s, e, false);
		sql_put(s, e->path_type == PATH_NUMBER ? ") WHEN 'number' THEN CAST(" : ") WHEN 'boolean' THEN CAST(");
		sql_chain(s, e, false);
		sql_put(s, e->path_type == PATH_NUMBER ? " AS numeric) END" : " AS boolean) END");
		return;
	}
}

void sql_json_call(struct sql *s, const char *name, const struct query_expr *e)
{
	sql_put(s, name);
	sql_put(s, "(");
	sql_column(s, e->column->name);
	sql_put(s, ", ");
	sql_path_param(s, e->path, e->n_path);
	sql_put(s, ")");
}

void sql_json_at(struct sql *s, const struct query_expr *e)
{
	sql_column(s, e->column->name);
	sql_put(s, " -> ");
	sql_path_param(s, e->path, e->n_path);
}

/* What is no document has nothing at its paths; SQLite would end the whole statement. */
static void put_path_sqlite(struct sql *s, const struct query_expr *e)
{
	sql_put(s, "CASE WHEN json_valid(");
	sql_column(s, e->column->name);
	sql_put(s, ") THEN ");
	switch (e->path_type) {
	case PATH_JSON:
		sql_json_at(s, e);
		break;
	case PATH_TEXT: /* ->> shows booleans as numbers */
		sql_put(s, "CASE ");
		sql_json_call(s, "json_type", e);
		sql_put(s, " WHEN 'text' THEN ");
		sql_json_call(s, "json_extract", e);
		sql_put(s, " WHEN 'null' THEN NULL ELSE ");
		sql_json_at(s, e);
		sql_put(s, " END");
		break;
	case PATH_NUMBER:
		sql_put(s, "CASE WHEN ");
		sql_json_call(s, "json_type", e);
		sql_put(s, " IN ('integer', 'real') THEN ");
		sql_json_call(s, "json_extract", e);
		sql_put(s, " END");
		break;
	case PATH_BOOLEAN:
		sql_put(s, "CASE ");
		sql_json_call(s, "json_type", e);
		sql_put(s, " WHEN 'true' THEN 1 WHEN 'false' THEN 0 END");
		break;
	}
	sql_put(s, " END");
}

/* Without its relations. */
static void put_own(struct sql *s, const struct query_expr *e)
{
	if (e->n_path == 0)
		sql_column(s, e->column->name);
	else if (sql_on_postgres(s))
		put_path_postgres(s, e);
	else
		put_path_sqlite(s, e);
}

/* A scalar subquery a relation; null where nothing is related. Recurses as deep as there are relations. */
static void put_reference(struct sql *s, const struct query_expr *e, size_t at)
{
	const struct relation *r;
	struct str saved, outer;

	if (at == e->n_hops) {
		put_own(s, e);
		return;
	}
	r = e->hops[at];
	saved = sql_enter(s, &outer);
	sql_put(s, "(SELECT ");
	put_reference(s, e, at + 1);
	sql_put(s, " FROM ");
	sql_table(s, r->target);
	sql_put(s, " AS ");
	sql_ident(s, s->qualifier);
	sql_put(s, " WHERE ");
	for (size_t i = 0; i < relation_n_pairs(r); i++) {
		sql_put(s, i > 0 ? " AND " : "");
		sql_column(s, relation_there(r, i));
		sql_put(s, " = ");
		put_dotted(s, outer, relation_here(r, i));
	}
	sql_put(s, r->local ? ")" : " LIMIT 1)");
	s->qualifier = saved;
}

void sql_reference(struct sql *s, const struct query_expr *e)
{
	put_reference(s, e, 0);
}

/* ---- how many ---- */

void sql_join_target(struct sql *s, const struct relation *r, struct str through)
{
	struct str here;

	(void)sql_enter(s, &here);
	sql_put(s, " INNER JOIN ");
	sql_table(s, r->target);
	sql_put(s, " AS ");
	sql_ident(s, s->qualifier);
	sql_put(s, " ON ");
	sql_column(s, r->target_key);
	sql_put(s, " = ");
	put_dotted(s, through, r->target_column);
}

/* The related record's side (or its join row's) is that of the row. */
static void put_links(struct sql *s, const struct relation *r, struct str there, struct str here)
{
	const bool through = r->kind == REL_MANY_TO_MANY;

	for (size_t i = 0; i < (through ? 1 : relation_n_pairs(r)); i++) {
		sql_put(s, i > 0 ? " AND " : "");
		put_dotted(s, there, through ? r->source_column : relation_there(r, i));
		sql_put(s, " = ");
		put_dotted(s, here, through ? r->source_key : relation_here(r, i));
	}
}

void sql_counted(struct sql *s, const struct query_expr *e)
{
	const struct relation *r = e->hops[0];
	struct str saved, outer, source;

	sql_put(s, "(SELECT COUNT(*) FROM ");
	saved = sql_enter(s, &outer);
	source = s->qualifier;
	sql_relation_table(s, r);
	sql_put(s, " AS ");
	sql_ident(s, source);
	for (size_t i = 0; i < e->n_hops; i++) {
		const bool through = e->hops[i]->kind == REL_MANY_TO_MANY;
		struct str here;

		r = e->hops[i];
		if (i > 0) {
			(void)sql_enter(s, &here);
			sql_put(s, " INNER JOIN ");
			sql_relation_table(s, r);
			sql_put(s, " AS ");
			sql_ident(s, s->qualifier);
			sql_put(s, " ON ");
			put_links(s, r, s->qualifier, here);
		}
		if (through)
			sql_join_target(s, r, s->qualifier);
	}
	r = e->hops[0];
	sql_put(s, " WHERE ");
	put_links(s, r, source, outer);
	s->conditions(s, e->when, e->n_when, " AND ");
	sql_put(s, ")");
	s->qualifier = saved;
}
