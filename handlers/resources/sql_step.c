/* Raw SQL as a batch step: the same work as its endpoints, inside the batch's unit. */
#include "handlers/resources/sql_step.h"

#include "handlers/answer/raw_columns.h"
#include "handlers/answer/render.h"
#include "handlers/resources/sql.h"
#include "handlers/unit/acting.h"
#include "handlers/unit/affected.h"
#include "handlers/unit/triggers.h"

#include "service/base/banned.h"

struct sql_rows {
	struct strbuf *out;
	struct arena *arena;
	struct str *names; /* of the columns, as JSON; NULL: rows are arrays */
	struct value_format fmt;
	int64_t n;
	bool arrays;
	bool only_one;
	bool guarded; /* how many rows it changed is looked at, which is known at its end */
	bool in_unit; /* what was not read to its end is undone */
};

static bool sql_columns(void *arg, const struct cursor_column *columns, size_t n, struct err *err)
{
	struct sql_rows *rows = arg;
	if (!rows->arrays && !raw_columns_distinct(columns, n, err))
		return false;
	strbuf_puts(rows->out, "{\"columns\":");
	raw_columns_write(rows->out, columns, n);
	strbuf_puts(rows->out, rows->only_one ? ",\"row\":" : ",\"rows\":[");
	rows->names = arena_array(rows->arena, n + 1, sizeof(*rows->names));
	for (size_t i = 0; i < n && !rows->arrays; i++) {
		struct strbuf b;
		strbuf_init(&b, 0);
		strbuf_json_string(&b, columns[i].name);
		strbuf_putc(&b, ':');
		rows->names[i] = arena_str(rows->arena, strbuf_str(&b));
		strbuf_done(&b);
	}
	return true;
}

static bool sql_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct sql_rows *rows = arg;
	(void)err;
	if (rows->only_one && rows->n > 0)
		return true;
	strbuf_puts(rows->out, rows->n++ > 0 ? "," : "");
	strbuf_putc(rows->out, rows->arrays ? '[' : '{');
	for (size_t i = 0; i < n; i++) {
		struct value v = values[i];
		if (v.kind == VALUE_JSON)
			v.kind = VALUE_TEXT;
		if (i > 0)
			strbuf_putc(rows->out, ',');
		if (!rows->arrays)
			strbuf_put(rows->out, rows->names[i]);
		value_write_json(rows->out, v, &rows->fmt);
	}
	strbuf_putc(rows->out, rows->arrays ? ']' : '}');
	*ret_stop = (rows->only_one && !rows->guarded) || (rows->in_unit && strbuf_failed(rows->out));
	return true;
}

static void put_notices(struct strbuf *out, struct str notices)
{
	if (notices.len > 0)
		strbuf_printf(out, ",\"notices\":[%.*s]", STR_FMT(notices));
	strbuf_putc(out, '}');
}

static bool read_sql(struct step *s, struct stmt *ret)
{
	const json_t *args = NULL;
	*ret = (struct stmt){.access = STMT_UNKNOWN, .param_type = STMT_PARAM_BY_KIND, .raw = true, .cache = true};
	json_reader_str(&s->r, "sql", &ret->sql);
	json_reader_require(&s->r, "sql");
	json_reader_any(&s->r, "args", &args);
	if (!sql_check(&s->r, ret, args) || !json_reader_done(&s->r) || !sql_bind(step_arena(s), args, ret, s->err))
		return false;
	if (!acting_raw(s->c->req, &s->c->route, s->err) || !sql_undoable(s->c, ret, s->err) ||
	    !sql_numbers(s->c, ret, s->err))
		return false;
	return ret->param_names == NULL || s->c->route.conn->dialect->id == DIALECT_SQLITE || sql_no_names(s->err);
}

bool step_sql_plan(struct step *s, struct step_plan *ret)
{
	ret->own = NULL;
	return read_sql(s, &ret->stmt);
}

bool step_sql(struct step *s)
{
	struct stmt stmt;
	struct exec_result result;
	if (s->plan != NULL)
		stmt = s->plan->stmt;
	else if (!read_sql(s, &stmt))
		return false;
	const int64_t bound = affected_bound(s->c->res);
	struct sql_rows rows = {.out = s->out,
				.arena = step_arena(s),
				.fmt = context_format(s->c->res),
				.arrays = prefers(s->c->res, PREFER_ROWS_ARRAYS),
				.only_one = s->op == STEP_SQL_FETCH_ONE,
				.guarded = bound >= 0,
				.in_unit = s->c->exec.atomic};
	rows.fmt.tag_bytes = true;
	struct row_sink sink = {.columns = sql_columns, .row = sql_row, .arg = &rows};
	if (s->op == STEP_SQL_EXECUTE) {
		if (!context_run(s->c, &stmt, NULL, &result, s->err) ||
		    !affected_within(result.affected, bound, s->err))
			return false;
		context_triggers_forget(stmt.sql);
		strbuf_putc(s->out, '{');
		out_int(s->out, "rows_affected", result.affected);
		if (result.last_insert_id != 0)
			out_int(s->out, "last_insert_id", result.last_insert_id);
		put_notices(s->out, result.notices);
		return true;
	}
	if (!context_run(s->c, &stmt, &sink, &result, s->err) || !affected_within(result.affected, bound, s->err))
		return false;
	context_triggers_forget(stmt.sql);
	if (rows.only_one)
		strbuf_puts(s->out, rows.n > 0 ? "" : "null");
	else
		strbuf_printf(s->out, "],\"row_count\":%lld", (long long)rows.n);
	put_notices(s->out, result.notices);
	return true;
}
