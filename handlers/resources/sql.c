/* The client's own SQL: one statement a call, arguments bound by the database. */
#include "handlers/unit/context.h"
#include "handlers/handlers.h"
#include "handlers/unit/acting.h"
#include "handlers/unit/affected.h"
#include "handlers/unit/triggers.h"
#include "handlers/answer/rows.h"
#include "handlers/resources/sql.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

struct sql_request {
	struct context c;
	struct stmt stmt;
};

static bool bind_array(struct arena *a, const json_t *args, struct stmt *s, struct err *err)
{
	size_t n = json_array_size(args);
	struct value *values = arena_array(a, n + 1, sizeof(*values));
	for (size_t i = 0; i < n; i++) {
		wait_may_step_aside();
		if (!codec_bind_raw(a, json_array_get(args, i), json_pointer_index(a, "/args", i), &values[i], err))
			return false;
	}
	s->params = values;
	s->n_params = n;
	return true;
}

static bool bind_object(struct arena *a, const json_t *args, struct stmt *s, struct err *err)
{
	size_t n = json_object_size(args);
	struct value *values = arena_array(a, n + 1, sizeof(*values));
	struct str *names = arena_array(a, n + 1, sizeof(*names));
	size_t i = 0;
	const char *key;
	size_t len;
	json_t *v;
	json_object_keylen_foreach((json_t *)(uintptr_t)args, key, len, v)
	{
		wait_may_step_aside();
		names[i] = str_n(key, len);
		if (!codec_bind_raw(a, v, json_pointer_key(a, "/args", names[i]), &values[i], err))
			return false;
		i++;
	}
	s->params = values;
	s->n_params = n;
	s->param_names = names;
	return true;
}

bool sql_bind(struct arena *a, const json_t *args, struct stmt *s, struct err *err)
{
	if (args == NULL || json_is_null(args))
		return true;
	return json_is_array(args) ? bind_array(a, args, s, err) : bind_object(a, args, s, err);
}

bool sql_numbers(const struct context *c, const struct stmt *s, struct err *err)
{
	struct arena *a = &c->req->arena;
	for (size_t i = 0; c->route.conn->dialect->id == DIALECT_SQLITE && i < s->n_params; i++) {
		if (!s->params[i].number)
			continue;
		return err_set_at(
			err, ERR_INVALID_VALUE,
			s->param_names != NULL ? json_pointer_key(a, "/args", s->param_names[i])
					       : json_pointer_index(a, "/args", i),
			"SQLite keeps 15 significant digits of a number, and integers of 64 bits; send it as a string");
	}
	return true;
}

bool sql_undoable(const struct context *c, const struct stmt *s, struct err *err)
{
	return (c->req->prefer.given & PREFER_TX_ROLLBACK) == 0 || !stmt_is_transaction(s->sql) ||
	       err_set_at(err, ERR_INVALID_REQUEST, "/sql",
			  "with Prefer: tx=rollback no statement may begin, end or divide a transaction");
}

bool sql_no_names(struct err *err)
{
	return err_set_at(err, ERR_INVALID_REQUEST, "/args",
			  "named parameters are for SQLite; give an array for $1, $2, ...");
}

bool sql_check(struct json_reader *r, const struct stmt *s, const json_t *args)
{
	if (args != NULL && !json_is_array(args) && !json_is_object(args) && !json_is_null(args))
		json_reader_fault(r, "args", "expected an array, or an object for named parameters");
	if (s->sql.p != NULL && str_trim(s->sql).len == 0)
		json_reader_fault(r, "sql", "expected a statement");
	if (s->sql.len > LIMIT_SQL_BYTES)
		json_reader_fault(r, "sql", "the statement is longer than %d bytes", LIMIT_SQL_BYTES);
	if (s->sql.p != NULL && memchr(s->sql.p, '\0', s->sql.len) != NULL)
		json_reader_fault(r, "sql", "the statement holds a NUL character");
	return !r->failed;
}

/* Reads the body, binds the arguments, opens the context. On false nothing is to close. */
static bool sql_open(struct sql_request *q, struct request *req, struct response *res, struct err *err)
{
	struct context_spec spec = {.args = context_no_args};
	struct json_reader r;
	json_t *doc;
	const json_t *args = NULL;
	memset(&q->stmt, 0, sizeof(q->stmt));
	if (!request_json(req, false, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_str(&r, "sql", &q->stmt.sql);
	json_reader_require(&r, "sql");
	json_reader_any(&r, "args", &args);
	json_reader_str(&r, "using", &spec.using);
	if (!sql_check(&r, &q->stmt, args) || !json_reader_done(&r) || !sql_bind(&req->arena, args, &q->stmt, err) ||
	    !context_open(&q->c, req, res, &spec, err))
		return false;
	q->stmt.access = STMT_UNKNOWN;
	q->stmt.param_type = STMT_PARAM_BY_KIND;
	q->stmt.raw = true;
	q->stmt.cache = true;
	if (acting_raw(req, &q->c.route, err) && sql_undoable(&q->c, &q->stmt, err) &&
	    sql_numbers(&q->c, &q->stmt, err)) {
		if (q->stmt.param_names == NULL || q->c.route.conn->dialect->id == DIALECT_SQLITE)
			return true;
		(void)sql_no_names(err);
	}
	return context_close(&q->c, false, err);
}

static bool run(struct sql_request *q, struct row_sink *sink, struct exec_result *result, struct err *err)
{
	bool ok = context_run(&q->c, &q->stmt, sink, result, err);
	context_triggers_forget(q->stmt.sql);
	return ok;
}

bool handle_sql_execute(struct request *req, struct response *res, struct err *err)
{
	struct sql_request q;
	struct exec_result result;
	if (!sql_open(&q, req, res, err))
		return false;
	int64_t bound = affected_bound(res);
	context_write_raw(&q.c, bound >= 0 || context_tells(&q.c, q.stmt.sql));
	if (bound < 0)
		context_last(&q.c);
	bool ok = run(&q, NULL, &result, err) && affected_within(result.affected, bound, err);
	const struct str notices = ok ? arena_str(&req->arena, result.notices) : STR_NONE;
	if (!context_close(&q.c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_int(b, "rows_affected", result.affected);
	if (result.last_insert_id != 0)
		out_int(b, "last_insert_id", result.last_insert_id);
	if (notices.len > 0)
		strbuf_printf(b, ",\"notices\":[%.*s]", STR_FMT(notices));
	strbuf_putc(b, '}');
	return true;
}

/* PostgreSQL tells the columns' names with the first row, when the statement has run: where it may have written, what
 * is refused for them must be undone. */
static bool must_be_undoable(const struct sql_request *q, const struct rows_writer *w)
{
	static const char *const words[] = {"insert", "update", "delete", "merge", "with"};
	const struct str word = stmt_first_word(q->stmt.sql);
	if (w->arrays || w->media == MEDIA_CSV || q->c.route.conn->dialect->id != DIALECT_POSTGRES)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_ieq_z(word, words[i]))
			return !exec_only_reads(&q->c.route, &q->stmt);
	}
	return word.len == 0;
}

static bool fetch(struct sql_request *q, struct rows_writer *w, struct row_sink sink, int64_t bound, struct err *err)
{
	struct exec_result result;
	const bool guarded = bound >= 0 && !exec_only_reads(&q->c.route, &q->stmt);
	context_write_raw(&q->c, guarded || must_be_undoable(q, w) || context_tells(&q->c, q->stmt.sql));
	bool ok = run(q, &sink, &result, err) && affected_within(result.affected, bound, err);
	if (ok)
		w->notices = arena_str(&q->c.req->arena, result.notices);
	ok = ok && context_finish(&q->c, err);
	if (ok) {
		rows_end(w);
		rows_close(w, NULL);
	}
	rows_done(w);
	return context_close(&q->c, ok, err);
}

bool handle_sql_fetch_all(struct request *req, struct response *res, struct err *err)
{
	struct sql_request q;
	struct rows_writer w;
	if (!sql_open(&q, req, res, err))
		return false;
	rows_raw(&w, &q.c, false);
	return fetch(&q, &w, rows_sink(&w), affected_bound(res), err);
}

static bool first_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct rows_writer *w = arg;
	struct row_sink inner = rows_sink(w);
	return w->n_rows > 0 || inner.row(w, values, n, ret_stop, err);
}

/* Writes the first row and ends the statement there. */
static bool only_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	*ret_stop = true;
	return first_row(arg, values, n, ret_stop, err);
}

bool handle_sql_fetch_one(struct request *req, struct response *res, struct err *err)
{
	struct sql_request q;
	struct rows_writer w;
	if (!sql_open(&q, req, res, err))
		return false;
	rows_raw(&w, &q.c, true);
	struct row_sink sink = rows_sink(&w);
	const int64_t bound = affected_bound(res);
	sink.row = bound < 0 ? only_row : first_row; /* how many it changed is known at its end */
	return fetch(&q, &w, sink, bound, err);
}
