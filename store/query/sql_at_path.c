/*
 * $set_path and $remove_path: a path that leads nowhere leaves the document as it is. PostgreSQL ends the statement
 * there, or takes a number for a key; SQLite makes what is missing on the way.
 */
#include "store/query/query_sql.h"

#include "service/base/banned.h"

/* The steps as PostgreSQL's array of texts. */
static void put_array(struct sql *s, const struct query_step *steps, size_t n)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_putc(&b, '{');
	for (size_t i = 0; i < n; i++) {
		strbuf_puts(&b, i > 0 ? ",\"" : "\"");
		if (steps[i].key.p == NULL)
			strbuf_int(&b, steps[i].index);
		for (size_t k = 0; k < steps[i].key.len; k++) {
			if (steps[i].key.p[k] == '"' || steps[i].key.p[k] == '\\')
				strbuf_putc(&b, '\\');
			strbuf_putc(&b, steps[i].key.p[k]);
		}
		strbuf_putc(&b, '"');
	}
	strbuf_putc(&b, '}');
	sql_put(s, "CAST(");
	sql_param(s, value_text(arena_str(s->arena, strbuf_str(&b))));
	sql_put(s, " AS text[])");
	strbuf_done(&b);
}

static void put_kind(struct sql *s, const struct query_step *step)
{
	sql_put(s, step->key.p != NULL ? " = 'object'" : " = 'array'");
}

/* An index of an array is there, or the next one. */
static void put_room(struct sql *s, const struct query_expr *e)
{
	struct query_step *near = arena_array(s->arena, e->n_path, sizeof(*near));
	const struct query_step *last = &e->path[e->n_path - 1];

	if (e->kind != EXPR_SET_PATH || last->key.p != NULL)
		return;
	for (size_t i = 0; i < e->n_path; i++)
		near[i] = e->path[i];
	near[e->n_path - 1].index -= last->index > 0;
	sql_put(s, " AND \"v\" #> ");
	put_array(s, near, e->n_path - (last->index == 0)); /* what is before the first is the array */
	sql_put(s, " IS NOT NULL");
}

static void before_postgres(struct sql *s, const struct query_expr *e)
{
	sql_put(s, "(SELECT CASE WHEN jsonb_typeof(\"v\")");
	put_kind(s, &e->path[0]);
	for (size_t i = 1; i < e->n_path; i++) {
		sql_put(s, " AND jsonb_typeof(\"v\" #> ");
		put_array(s, e->path, i);
		sql_put(s, ")");
		put_kind(s, &e->path[i]);
	}
	put_room(s, e);
	sql_put(s, e->kind == EXPR_SET_PATH ? " THEN jsonb_set(\"v\", " : " THEN \"v\" #- ");
	put_array(s, e->path, e->n_path);
	sql_put(s, e->kind == EXPR_SET_PATH ? ", \"n\", true) ELSE \"v\" END FROM (SELECT "
					    : " ELSE \"v\" END FROM (SELECT ");
}

static void before_sqlite(struct sql *s, const struct query_expr *e)
{
	sql_put(s, "(SELECT ");
	if (e->n_path > 1) {
		sql_put(s, "CASE WHEN json_type(\"v\", ");
		sql_path_param(s, e->path, e->n_path - 1);
		sql_put(s, ")");
		put_kind(s, &e->path[e->n_path - 1]);
		sql_put(s, " THEN ");
	}
	sql_put(s, "json_set(\"v\", ");
	sql_path_param(s, e->path, e->n_path);
	sql_put(s, e->n_path > 1 ? ", json(\"n\")) ELSE \"v\" END FROM (SELECT " : ", json(\"n\")) FROM (SELECT ");
}

bool sql_at_path_before(struct sql *s, const struct query_expr *e)
{
	if (!sql_on_postgres(s) && e->kind == EXPR_REMOVE_PATH)
		return false;
	sql_on_postgres(s) ? before_postgres(s, e) : before_sqlite(s, e);
	return true;
}
