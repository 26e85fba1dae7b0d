/* The operations of batch steps: the same work as their endpoints, inside the batch's unit. */
#include "handlers/batch/batch.h"
#include "handlers/records/bulk.h"
#include "handlers/query/query_write.h"
#include "handlers/records/records.h"
#include "handlers/answer/rows.h"
#include "handlers/answer/select.h"
#include "handlers/resources/sql.h"
#include "handlers/answer/values.h"

#include "service/base/banned.h"

struct step_run {
	struct context *c;
	enum batch_op op;
	struct json_reader r; /* of the step; `op`, `as` and `if` are known */
	struct strbuf *out;
	int *status;
	struct err *err;
};

static struct arena *arena_of(const struct step_run *s)
{
	return &s->c->req->arena;
}

/* ---- sql ---- */

struct sql_rows {
	struct strbuf *out;
	const struct cursor_column *columns;
	struct value_format fmt;
	int64_t n;
	bool only_one;
	bool in_unit; /* what was not read to its end is undone */
};

static bool sql_columns(void *arg, const struct cursor_column *columns, size_t n, struct err *err)
{
	struct sql_rows *rows = arg;
	(void)n;
	(void)err;
	rows->columns = columns;
	return true;
}

/* Of two columns with one name the last counts. */
static bool hidden(const struct sql_rows *rows, size_t i, size_t n)
{
	for (size_t k = i + 1; k < n; k++) {
		if (str_eq(rows->columns[i].name, rows->columns[k].name))
			return true;
	}
	return false;
}

static bool sql_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct sql_rows *rows = arg;
	bool any = false;
	(void)err;
	strbuf_puts(rows->out, rows->n++ > 0 ? ",{" : "{");
	for (size_t i = 0; i < n; i++) {
		struct value v = values[i];
		if (hidden(rows, i, n))
			continue;
		if (v.kind == VALUE_JSON)
			v.kind = VALUE_TEXT;
		if (any)
			strbuf_putc(rows->out, ',');
		strbuf_json_string(rows->out, rows->columns[i].name);
		strbuf_putc(rows->out, ':');
		value_write_json(rows->out, v, &rows->fmt);
		any = true;
	}
	strbuf_putc(rows->out, '}');
	*ret_stop = rows->only_one || (rows->in_unit && strbuf_failed(rows->out));
	return true;
}

static bool run_sql(struct step_run *s)
{
	struct stmt stmt = {.access = STMT_UNKNOWN, .param_type = STMT_PARAM_BY_KIND, .raw = true, .cache = true};
	const json_t *args = NULL;
	struct exec_result result;
	json_reader_str(&s->r, "sql", &stmt.sql);
	json_reader_require(&s->r, "sql");
	json_reader_any(&s->r, "args", &args);
	if (!sql_check(&s->r, &stmt, args) || !json_reader_done(&s->r) || !sql_bind(arena_of(s), args, &stmt, s->err))
		return false;
	if (stmt.param_names != NULL && s->c->route.conn->dialect->id != DIALECT_SQLITE)
		return sql_no_names(s->err);
	struct sql_rows rows = {.out = s->out,
				.fmt = context_format(s->c->res),
				.only_one = s->op == BATCH_SQL_FETCH_ONE,
				.in_unit = s->c->exec.atomic};
	rows.fmt.tag_bytes = true;
	struct row_sink sink = {.columns = sql_columns, .row = sql_row, .arg = &rows};
	if (s->op == BATCH_SQL_EXECUTE) {
		if (!context_run(s->c, &stmt, NULL, &result, s->err) ||
		    !affected_within(result.affected, affected_bound(s->c->res), s->err))
			return false;
		strbuf_putc(s->out, '{');
		out_int(s->out, "rows_affected", result.affected);
		if (result.last_insert_id != 0)
			out_int(s->out, "last_insert_id", result.last_insert_id);
		strbuf_putc(s->out, '}');
		return true;
	}
	strbuf_puts(s->out, rows.only_one ? "{\"row\":" : "{\"rows\":[");
	if (!context_run(s->c, &stmt, &sink, NULL, s->err))
		return false;
	if (rows.only_one)
		strbuf_puts(s->out, rows.n > 0 ? "}" : "null}");
	else
		strbuf_printf(s->out, "],\"row_count\":%lld}", (long long)rows.n);
	return true;
}

/* ---- queries ---- */

static bool run_scalar(struct step_run *s, struct query *q)
{
	struct stmt stmt;
	int64_t n;
	bool counting = s->op == BATCH_COUNT;
	if (!(counting ? query_lower_count(arena_of(s), q, &stmt, s->err)
		       : query_lower_exists(arena_of(s), q, &stmt, s->err)) ||
	    !context_scalar(s->c, &stmt, &n, s->err))
		return false;
	strbuf_putc(s->out, '{');
	if (counting)
		out_int(s->out, "count", n);
	else
		out_bool(s->out, "exists", n != 0);
	strbuf_putc(s->out, '}');
	return true;
}

static bool run_write(struct step_run *s, struct query_write *w)
{
	int64_t affected = 0;
	w->max_affected = affected_bound(s->c->res);
	if (!query_filtered(s->c->req, w->q, "/query/where", s->err) || !write_query(s->c, w, NULL, &affected, s->err))
		return false;
	context_forget(s->c, w->q->model, w->n_set == 0);
	strbuf_putc(s->out, '{');
	out_int(s->out, "rows_affected", affected);
	strbuf_putc(s->out, '}');
	return true;
}

/* A batch runs on one connection: a query that names another is not to run there in silence. */
static bool same_connection(const struct step_run *s, const json_t *query)
{
	struct str using;
	if (!using_member(query, &using, s->err))
		return err_set_at(s->err, ERR_INVALID_QUERY, "/query/using", "expected the name of a connection");
	if (using.p == NULL || str_eq(using, s->c->route.conn->name))
		return true;
	return err_set_at(s->err, ERR_INVALID_QUERY, "/query/using",
			  "a batch runs on one connection: name it beside `steps`");
}

static bool run_query(struct step_run *s)
{
	const json_t *query = NULL;
	const json_t *set = NULL;
	struct query_write w = {0};
	const struct dialect *d = s->c->route.conn->dialect;
	json_reader_object(&s->r, "query", &query);
	json_reader_require(&s->r, "query");
	if (s->op == BATCH_UPDATE) {
		json_reader_object(&s->r, "set", &set);
		json_reader_require(&s->r, "set");
	}
	if (!json_reader_done(&s->r) || !same_connection(s, query) ||
	    !query_from_json(arena_of(s), s->c->schema, d, query, "/query", &w.q, s->err))
		return false;
	if (w.q->lock != QUERY_LOCK_NONE && !s->c->exec.atomic && !select_lock(s->c, w.q, s->err))
		return false;
	if (s->op == BATCH_QUERY)
		return select_held(s->c, w.q, "/query", s->out, s->err);
	if (s->op == BATCH_FIRST)
		return first_held(s->c, w.q, s->out, s->err);
	if (s->op == BATCH_COUNT || s->op == BATCH_EXISTS)
		return run_scalar(s, w.q);
	if (s->op == BATCH_UPDATE &&
	    !query_set_from_json(arena_of(s), w.q->model, d, set, "/set", &w.set, &w.n_set, s->err))
		return false;
	return run_write(s, &w);
}

/* ---- records ---- */

static void read_model(struct step_run *s, struct str *name)
{
	json_reader_str(&s->r, "model", name);
	json_reader_require(&s->r, "model");
}

static void put_record(struct step_run *s, const struct model *m, const struct value *row, bool written)
{
	struct value_format fmt = context_format(s->c->res);
	if (s->c->imap != NULL && m->n_pk > 0 && written)
		imap_put(s->c->imap, m, record_key(arena_of(s), m, row), row);
	out_record(s->out, m, row, &fmt);
}

static bool create_many(struct step_run *s, const struct model *m, const json_t *records)
{
	struct insert_options o = {.conflict = RECORD_INSERT};
	struct bulk_reader *in = arena_alloc(arena_of(s), sizeof(*in));
	struct strbuf text;
	strbuf_init(&text, 0);
	strbuf_puts(&text, "{\"records\":");
	json_write(&text, records, false);
	strbuf_putc(&text, '}');
	struct str body = arena_str(arena_of(s), strbuf_str(&text));
	strbuf_done(&text);
	if (!json_split_opens(&body))
		return err_set(s->err, ERR_INTERNAL_ERROR, "a list of records is not one");
	bulk_reader_init(in, arena_of(s), body, NULL, false);
	return bulk_insert(s->c, m, in, &o, s->out, s->err);
}

static bool run_create(struct step_run *s)
{
	struct str name = STR_NONE;
	const json_t *record = NULL;
	const json_t *records = NULL;
	const struct model *m;
	struct record_row row;
	struct insert_options o = {.conflict = RECORD_INSERT};
	struct value *made = NULL;
	read_model(s, &name);
	json_reader_object(&s->r, "record", &record);
	json_reader_array(&s->r, "records", &records);
	if ((record == NULL) == (records == NULL))
		json_reader_fault(&s->r, NULL, "create takes `record` or `records`");
	if (!json_reader_done(&s->r) || !context_model(s->c, name, &m, s->err))
		return false;
	*s->status = 201;
	if (records != NULL)
		return create_many(s, m, records);
	if (!record_from_json(arena_of(s), s->c->route.conn->dialect, m, record, "/record", false, &row, s->err) ||
	    !record_insert(s->c, m, &row, &o, &made, s->err))
		return false;
	if (made == NULL)
		return err_set(s->err, ERR_INTERNAL_ERROR, "the database gave no row back");
	put_record(s, m, made, true);
	return true;
}

/* `pk`: a value, or an array of them for a composite key, in the order of the canonical columns; text may be as in a
 * path. */
static bool read_key(struct step_run *s, const struct model *m, const json_t *pk, struct value **ret)
{
	struct arena *a = arena_of(s);
	const struct dialect *d = s->c->route.conn->dialect;
	size_t n = json_is_array(pk) ? json_array_size(pk) : 1;
	if (m->n_pk == 0)
		return err_set_at(s->err, ERR_INVALID_QUERY, "/model", "model \"%.*s\" has no primary key",
				  STR_FMT(m->name));
	if (json_is_string(pk) && m->n_pk > 1)
		return query_key_from_text(a, d, m, json_str(pk), ret, s->err);
	if (n != m->n_pk)
		return err_set_at(s->err, ERR_INVALID_VALUE, "/pk", "the key has %zu parts", m->n_pk);
	struct value *key = arena_array(a, n, sizeof(*key));
	for (size_t i = 0; i < n; i++) {
		bool many = json_is_array(pk);
		const char *pointer = many ? json_pointer_index(a, "/pk", i) : "/pk";
		if (!codec_bind(a, d, m->pk[i], many ? json_array_get(pk, i) : pk, pointer, &key[i], s->err))
			return false;
		if (key[i].kind == VALUE_NULL)
			return err_set_at(s->err, ERR_INVALID_VALUE, pointer, "a key is never null");
	}
	*ret = key;
	return true;
}

static bool run_get(struct step_run *s, struct record_request *r)
{
	struct value *row;
	if (s->c->imap != NULL && !s->c->req->no_cache) {
		const struct value *mapped = imap_get(s->c->imap, arena_of(s), r->m, r->map_key);
		if (mapped != NULL) {
			put_record(s, r->m, mapped, false);
			return true;
		}
	}
	if (!context_record(s->c, r->m, r->key, QUERY_LOCK_NONE, &row, s->err))
		return false;
	if (row == NULL)
		return record_missing(r->m, s->err);
	put_record(s, r->m, row, true);
	return true;
}

static bool run_keyed(struct step_run *s)
{
	struct str name = STR_NONE;
	const json_t *pk = NULL;
	const json_t *record = NULL;
	struct record_request r = {.c = s->c};
	struct value *now;
	read_model(s, &name);
	json_reader_any(&s->r, "pk", &pk);
	json_reader_require(&s->r, "pk");
	if (s->op == BATCH_SAVE) {
		json_reader_object(&s->r, "record", &record);
		json_reader_require(&s->r, "record");
	}
	if (!json_reader_done(&s->r) || !context_model(s->c, name, &r.m, s->err) || !read_key(s, r.m, pk, &r.key))
		return false;
	r.map_key = query_identity_key(arena_of(s), r.m, r.key);
	if (s->op == BATCH_GET)
		return run_get(s, &r);
	if (!record_save(&r, (json_t *)(uintptr_t)record, &now, s->status, s->err)) {
		err_prefix_pointer(s->err, "/record");
		return false;
	}
	put_record(s, r.m, now, true);
	return true;
}

bool batch_run(struct context *c, enum batch_op op, json_t *step, struct strbuf *out, int *ret_status, struct err *err)
{
	struct step_run s = {.c = c, .op = op, .out = out, .status = ret_status, .err = err};
	struct str text;
	const json_t *condition = NULL;
	*ret_status = 200;
	json_reader_init(&s.r, &c->req->arena, step, "", err);
	json_reader_str(&s.r, "op", &text);
	json_reader_str(&s.r, "as", &text);
	json_reader_object(&s.r, "if", &condition);
	switch (op) {
	case BATCH_SQL_EXECUTE:
	case BATCH_SQL_FETCH_ALL:
	case BATCH_SQL_FETCH_ONE:
		return run_sql(&s);
	case BATCH_QUERY:
	case BATCH_FIRST:
	case BATCH_COUNT:
	case BATCH_EXISTS:
	case BATCH_UPDATE:
	case BATCH_DELETE:
		return run_query(&s);
	case BATCH_CREATE:
		return run_create(&s);
	case BATCH_SAVE:
	case BATCH_GET:
		return run_keyed(&s);
	}
	return err_set(err, ERR_INTERNAL_ERROR, "unknown operation");
}
