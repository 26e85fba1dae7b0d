/* SQL text and its parameters under construction. */
#include "store/codec/codec_respell.h"
#include "store/query/query_sql.h"

#include <assert.h>
#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

void sql_init(struct sql *s, struct arena *a, const struct dialect *d)
{
	*s = (struct sql){.arena = a, .dialect = d, .qualifier = STR_NONE, .table = STR_NONE};
	strbuf_init(&s->text, 0);
}

void sql_begin(struct sql *s, struct arena *a, const struct dialect *d, const struct plan_key *key)
{
	sql_init(s, a, d);
	s->plan = plan_find(a, key);
	if (s->plan == NULL)
		return;
	s->n_room = s->plan->stmt.n_params;
	s->params = arena_array(a, s->n_room, sizeof(*s->params));
}

void sql_drop(struct sql *s)
{
	strbuf_done(&s->text);
}

static void finish_planned(struct sql *s, struct stmt *ret)
{
	assert(s->n_params == s->plan->stmt.n_params);
	*ret = s->plan->stmt;
	ret->params = s->params;
}

bool sql_finish(struct sql *s, enum stmt_access access, struct stmt *ret, struct err *err)
{
	bool failed = strbuf_failed(&s->text);

	if (s->plan != NULL) {
		finish_planned(s, ret);
		return true;
	}
	*ret = (struct stmt){
		.sql = failed ? STR_NONE : arena_str(s->arena, strbuf_str(&s->text)),
		.hash = failed ? 0 : num_hash(strbuf_str(&s->text)),
		.params = s->params,
		.n_params = s->n_params,
		.access = access,
		.tables = s->tables,
		.n_tables = s->n_tables,
		.param_type = STMT_PARAM_INFER,
		.cache = true,
	};
	sql_drop(s);
	if (failed)
		return err_oom(err);
	if (s->n_params > s->dialect->params_max)
		return err_set(err, ERR_INVALID_QUERY,
			       "the statement would need %zu values; this database takes at most %zu", s->n_params,
			       s->dialect->params_max);
	return true;
}

void sql_put(struct sql *s, const char *z)
{
	if (s->plan == NULL)
		strbuf_puts(&s->text, z);
}

void sql_puts(struct sql *s, struct str text)
{
	if (s->plan == NULL)
		strbuf_put(&s->text, text);
}

void sql_ident(struct sql *s, struct str name)
{
	if (s->plan == NULL)
		dialect_quote_ident(&s->text, name);
}

/* Noted: what a table does to a session is looked at where the statement runs. */
static void note_table(struct sql *s, struct str place)
{
	struct str *more;

	if (s->plan != NULL) /* it knows them */
		return;
	for (size_t i = 0; i < s->n_tables; i++)
		if (str_eq(s->tables[i], place))
			return;
	more = arena_array(s->arena, s->n_tables + 1, sizeof(*more));
	for (size_t i = 0; i < s->n_tables; i++)
		more[i] = s->tables[i];
	more[s->n_tables++] = place;
	s->tables = more;
}

void sql_table(struct sql *s, const struct model *m)
{
	if (s->plan == NULL)
		dialect_quote_table(&s->text, m->schema_name, m->table);
	note_table(s, m->place);
}

void sql_relation_table(struct sql *s, const struct relation *r)
{
	if (r->kind != REL_MANY_TO_MANY) {
		sql_table(s, r->target);
		return;
	}
	sql_ident(s, r->through);
	note_table(s, r->through);
}

void sql_join_table(struct sql *s, struct str name)
{
	sql_ident(s, name);
	note_table(s, name);
}

void sql_column(struct sql *s, struct str name)
{
	if (s->qualifier.p != NULL) {
		sql_ident(s, s->qualifier);
		sql_put(s, ".");
	}
	sql_ident(s, name);
}

void sql_param(struct sql *s, struct value v)
{
	if (s->n_params == s->n_room) {
		size_t room = s->n_room != 0 ? s->n_room * 2 : 8;
		struct value *params = arena_array(s->arena, room, sizeof(*params));

		if (s->n_params != 0)
			memcpy(params, s->params, s->n_params * sizeof(*params));
		s->params = params;
		s->n_room = room;
	}
	s->params[s->n_params++] = v;
	if (s->plan == NULL)
		dialect_placeholder(s->dialect, &s->text, s->n_params);
}

void sql_written(struct sql *s, const struct column *c, struct value v)
{
	/* bytes that are no UTF-8: what finds either is a text */
	if (!sql_on_postgres(s) && c->logical == LT_BINARY && v.kind == VALUE_TEXT && !str_is_utf8(v.u.s))
		v = value_bytes(v.u.s);
	sql_param(s, v);
}

bool sql_uuid_set(struct sql *s, const struct query_set *set)
{
	struct value twin;

	if (sql_on_postgres(s) || set->column->logical != LT_UUID || set->column->fill.position == 0 ||
	    set->value.kind == VALUE_NULL)
		return false;
	if (!codec_twin(s->arena, s->dialect, set->column, set->value,
			&twin)) /* the text is the column's, not the value's */
		twin = set->value;
	sql_put(s, "CASE ");
	sql_column(s, set->column->name);
	sql_put(s, " WHEN ");
	sql_param(s, twin);
	sql_put(s, " THEN ");
	sql_column(s, set->column->name);
	sql_put(s, " ELSE ");
	sql_param(s, set->value);
	sql_put(s, " END");
	return true;
}

void sql_columns(struct sql *s, const struct column *const *columns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			sql_put(s, ", ");
		sql_column(s, columns[i]->name);
	}
}

bool sql_count_rows(struct sql *s, const struct model *m)
{
	if (sql_on_postgres(s) || m->kind != MODEL_VIEW)
		return false;
	sql_put(s, " RETURNING 1");
	return true;
}

bool sql_on_postgres(const struct sql *s)
{
	return s->dialect->id == DIALECT_POSTGRES;
}

/* PostgreSQL has no min(uuid); its text sorts the same. */
bool sql_needs_text(const struct sql *s, const struct column *c)
{
	return sql_on_postgres(s) && (c->storage == ST_UUID || c->storage == ST_UUID_LOGICAL);
}

bool sql_round_before(struct sql *s, const struct column *c)
{
	if (sql_on_postgres(s) || c->logical != LT_DECIMAL)
		return false;
	sql_put(s, "CAST(CAST(");
	return true;
}

void sql_round_after(struct sql *s, bool rounding)
{
	if (rounding)
		sql_put(s, " AS TEXT) AS REAL)");
}
