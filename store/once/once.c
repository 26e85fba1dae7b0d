/* The table of answers that are kept with their writes. */
#include "store/once/once.h"

#include "service/base/clock.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define FORGET_ROWS 500 /* at a time */
#define COLUMNS 7

static bool is_postgres(const struct exec *x)
{
	return x->route->conn->dsn.dialect == DIALECT_POSTGRES;
}

static const char ddl_postgres[] = "CREATE TABLE IF NOT EXISTS " ONCE_TABLE
				   " (key varchar(64) PRIMARY KEY, body varchar(64) NOT NULL, at_us bigint "
				   "NOT NULL, status bigint NOT NULL, content_type text, headers text, answer bytea)";
static const char ddl_sqlite[] =
	"CREATE TABLE IF NOT EXISTS " ONCE_TABLE " (key TEXT PRIMARY KEY, body TEXT NOT NULL, at_us INTEGER NOT NULL, "
	"status INTEGER NOT NULL, content_type TEXT, headers TEXT, answer BLOB)";
static const char index_ddl[] = "CREATE INDEX IF NOT EXISTS " ONCE_TABLE "_at ON " ONCE_TABLE " (at_us)";

/* One unit of its own. */
static bool alone(struct connection *c, int64_t since_ns, int64_t deadline, const struct stmt *s, struct str simple,
		  struct exec_result *result, struct err *err)
{
	struct route r = {.conn = c, .since_ns = since_ns};
	struct row_sink nobody = {0};
	struct exec x = {0};
	struct err ignored;
	exec_begin(&x, &r, deadline, false);
	const bool ok = s != NULL ? exec_run(&x, s, &nobody, result, err) : exec_simple(&x, simple, err);
	return exec_end(&x, ok, ok ? err : &ignored) && ok;
}

static bool is_there(struct connection *c, int64_t since_ns, int64_t deadline)
{
	const struct stmt s = {
		.sql = STR("SELECT key, body, at_us, status, content_type, headers, answer FROM " ONCE_TABLE
			   " WHERE 1 = 0"),
		.access = STMT_READ};
	struct exec_result result;
	struct err none;
	return alone(c, since_ns, deadline, &s, STR_NONE, &result, &none);
}

bool once_prepare(struct connection *c, int64_t deadline, struct err *err)
{
	const char *table = c->dsn.dialect == DIALECT_POSTGRES ? ddl_postgres : ddl_sqlite;
	const int64_t since =
		clock_mono_ns(); /* others' locks are waited for once, however many statements meet them */
	struct exec_result result;
	if (is_there(c, since, deadline))
		return true;
	if (alone(c, since, deadline, NULL, str_z(table), &result, err) &&
	    alone(c, since, deadline, NULL, str_z(index_ddl), &result, err))
		return true;
	/* of two servers that make it at once, one may be refused */
	if (is_there(c, since, deadline))
		return true;
	if (err->code == ERR_DATABASE_FORBIDDEN || strcmp(err->sqlstate, "42501") == 0)
		return err_set(
			err, ERR_DATABASE_FORBIDDEN,
			"exactly_once needs a table that this user may not create: have it created, with rights to "
			"read and write it: %s; %s",
			table, index_ddl);
	return false;
}

/* ---- rows ---- */

struct reading {
	struct arena *a;
	struct once_row *row;
	int64_t since_us;
	bool found;
};

static struct str text_of(struct arena *a, const struct value *v)
{
	return v->kind == VALUE_TEXT || v->kind == VALUE_BYTES ? arena_str(a, v->u.s) : STR_NONE;
}

static int64_t number_of(const struct value *v)
{
	return v->kind == VALUE_INT ? v->u.i : 0;
}

static bool take_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct reading *r = arg;
	(void)ret_stop;
	(void)err;
	if (n != COLUMNS || number_of(&values[6]) < r->since_us)
		return true;
	*r->row = (struct once_row){.key = r->row->key,
				    .body = text_of(r->a, &values[0]),
				    .status = number_of(&values[1]),
				    .content_type = text_of(r->a, &values[2]),
				    .headers = text_of(r->a, &values[3]),
				    .answer = number_of(&values[5]) == 0 ? STR_NONE : text_of(r->a, &values[4])};
	if (r->row->answer.p == NULL && number_of(&values[5]) != 0)
		r->row->answer = STR("");
	r->found = true;
	return true;
}

static bool look(struct exec *x, struct arena *a, struct str key, int64_t since_us, bool *ret_found,
		 struct once_row *ret, struct err *err)
{
	static const char postgres[] = "SELECT body, status, content_type, headers, answer, CAST(CASE WHEN answer IS "
				       "NULL THEN 0 ELSE 1 END AS bigint), at_us FROM " ONCE_TABLE " WHERE key = $1";
	static const char sqlite[] = "SELECT body, status, content_type, headers, answer, answer IS NOT NULL, at_us "
				     "FROM " ONCE_TABLE " WHERE key = ?";
	const struct value param = value_text(key);
	const struct stmt s = {.sql = is_postgres(x) ? str_n(postgres, sizeof(postgres) - 1)
						     : str_n(sqlite, sizeof(sqlite) - 1),
			       .params = &param,
			       .n_params = 1,
			       .access = STMT_READ,
			       .cache = true,
			       .own = true};
	struct reading r = {.a = a, .row = ret, .since_us = since_us};
	struct row_sink sink = {.row = take_row, .arg = &r};
	struct exec_result result;
	ret->key = key;
	if (!exec_run(x, &s, &sink, &result, err))
		return false;
	*ret_found = r.found;
	return true;
}

/* A write without rows. */
static struct stmt write_of(const char *sql, const struct value *params, size_t n)
{
	return (struct stmt){
		.sql = str_z(sql), .params = params, .n_params = n, .access = STMT_WRITE, .cache = true, .own = true};
}

/* *ret: rows that it has written. */
static bool write_row(struct exec *x, const char *sql, const struct value *params, size_t n, int64_t *ret,
		      struct err *err)
{
	const struct stmt s = write_of(sql, params, n);
	struct row_sink nobody = {0};
	struct exec_result result;
	if (!exec_run(x, &s, &nobody, &result, err))
		return false;
	*ret = result.affected;
	return true;
}

/* What is cheapest is no way for an old row, nor on a connection that has not prepared it. */
static bool goes_along(struct exec *x, const struct once_row *mine)
{
	static const char sql[] = "INSERT INTO " ONCE_TABLE " (key, body, at_us, status) VALUES ($1, $2, $3, 0)";
	const struct value params[] = {value_text(mine->key), value_text(mine->body), value_int(clock_real_us())};
	const struct stmt s = write_of(sql, params, ARRAY_LEN(params));
	return exec_before(x, &s);
}

/* *ret_first: there was none, or an old one. */
static bool put_first(struct exec *x, const struct once_row *mine, int64_t since_us, bool *ret_first, struct err *err)
{
	static const char postgres[] =
		"INSERT INTO " ONCE_TABLE
		" (key, body, at_us, status) VALUES ($1, $2, $3, 0) ON CONFLICT (key) DO UPDATE "
		"SET body = excluded.body, at_us = excluded.at_us, status = 0 WHERE " ONCE_TABLE ".at_us < $4";
	static const char sqlite[] =
		"INSERT INTO " ONCE_TABLE
		" (key, body, at_us, status) VALUES (?, ?, ?, 0) ON CONFLICT (key) DO UPDATE SET "
		"body = excluded.body, at_us = excluded.at_us, status = 0 WHERE " ONCE_TABLE ".at_us < ?";
	const struct value params[] = {value_text(mine->key), value_text(mine->body), value_int(clock_real_us()),
				       value_int(since_us)};
	int64_t n;
	if (!write_row(x, is_postgres(x) ? postgres : sqlite, params, ARRAY_LEN(params), &n, err))
		return false;
	*ret_first = n > 0;
	return true;
}

bool once_begin(struct exec *x, struct arena *a, const struct once_row *mine, int64_t since_us, enum once_way *way,
		bool *ret_first, struct once_row *ret_kept, struct err *err)
{
	bool found;
	*ret_first = true;
	if (x->route->tx == NULL && !is_postgres(x) && x->generated) {
		*way = ONCE_ROW_LAST;
		if (!look(x, a, mine->key, since_us, &found, ret_kept, err))
			return false;
		*ret_first = !found;
		return true;
	}
	if (*way == ONCE_ROW_ALONG && goes_along(x, mine))
		return true;
	*way = ONCE_ROW_FIRST;
	if (!put_first(x, mine, since_us, ret_first, err))
		return false;
	if (*ret_first)
		return true;
	if (!look(x, a, mine->key, 0, &found, ret_kept, err))
		return false;
	/* the first one was undone between the two, or this transaction's snapshot is older than it */
	return found || err_set(err, ERR_SERIALIZATION_FAILURE,
				"a request with this Idempotency-Key ended a moment ago; send it again");
}

/* What the row that is there gets. */
static bool fill(struct exec *x, const struct once_row *mine, int64_t *ret_affected, struct err *err)
{
	static const char postgres[] =
		"UPDATE " ONCE_TABLE " SET body = $1, status = $2, content_type = $3, headers = $4, "
		"answer = $5 WHERE key = $6";
	static const char sqlite[] =
		"UPDATE " ONCE_TABLE " SET body = ?, status = ?, content_type = ?, headers = ?, answer "
		"= ? WHERE key = ?";
	const struct value params[] = {value_text(mine->body),
				       value_int(mine->status),
				       value_text(mine->content_type),
				       value_text(mine->headers),
				       mine->answer.p != NULL ? value_bytes(mine->answer) : value_null(),
				       value_text(mine->key)};
	/* a client's own statements could have taken the row away, which shows before COMMIT only */
	x->last = x->last && x->route->tx == NULL && !x->foreign;
	return write_row(x, is_postgres(x) ? postgres : sqlite, params, ARRAY_LEN(params), ret_affected, err);
}

/* The whole row (SQLite). */
static bool put_last(struct exec *x, const struct once_row *mine, int64_t since_us, int64_t *ret_affected,
		     struct err *err)
{
	static const char sql[] =
		"INSERT INTO " ONCE_TABLE
		" (key, body, at_us, status, content_type, headers, answer) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT "
		"(key) DO UPDATE SET body = excluded.body, at_us = excluded.at_us, status = excluded.status, "
		"content_type = excluded.content_type, headers = excluded.headers, answer = excluded.answer "
		"WHERE " ONCE_TABLE ".at_us < ?";
	const struct value params[] = {value_text(mine->key),
				       value_text(mine->body),
				       value_int(clock_real_us()),
				       value_int(mine->status),
				       value_text(mine->content_type),
				       value_text(mine->headers),
				       mine->answer.p != NULL ? value_bytes(mine->answer) : value_null(),
				       value_int(since_us)};
	return write_row(x, sql, params, ARRAY_LEN(params), ret_affected, err);
}

bool once_end(struct exec *x, enum once_way way, const struct once_row *mine, int64_t since_us, struct err *err)
{
	int64_t affected = 0;
	if (!(way == ONCE_ROW_LAST ? put_last(x, mine, since_us, &affected, err) : fill(x, mine, &affected, err)))
		return false;
	if (affected == 1)
		return true;
	(void)err_set(err, ERR_SERIALIZATION_FAILURE,
		      "the request's row in " ONCE_TABLE " was taken away while it ran");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

bool once_confirm(struct connection *c, struct str key, int64_t deadline, struct err *err)
{
	/* only what writes waits */
	static const char sql[] = "UPDATE " ONCE_TABLE " SET at_us = at_us WHERE key = $1 AND "
				  "pg_catalog.current_setting('synchronous_standby_names', true) <> '' AND "
				  "pg_catalog.current_setting('synchronous_commit', true) NOT IN ('off', 'local')";
	const struct value param = value_text(key);
	const struct stmt s = {.sql = str_z(sql), .params = &param, .n_params = 1, .access = STMT_WRITE, .cache = true};
	struct exec_result result;
	return c->dsn.dialect != DIALECT_POSTGRES || alone(c, 0, deadline, &s, STR_NONE, &result, err);
}

bool once_forget(struct connection *c, int64_t before_us, int64_t deadline, bool *ret_more, struct err *err)
{
	const bool postgres = c->dsn.dialect == DIALECT_POSTGRES;
	static const char pg_sql[] = "DELETE FROM " ONCE_TABLE " WHERE key IN (SELECT key FROM " ONCE_TABLE
				     " WHERE at_us < $1 ORDER BY at_us LIMIT 500)";
	static const char lite_sql[] = "DELETE FROM " ONCE_TABLE " WHERE key IN (SELECT key FROM " ONCE_TABLE
				       " WHERE at_us < ? ORDER BY at_us LIMIT 500)";
	const struct value before = value_int(before_us);
	const struct stmt s = {
		.sql = str_z(postgres ? pg_sql : lite_sql), .params = &before, .n_params = 1, .access = STMT_WRITE};
	struct exec_result result;
	if (!alone(c, 0, deadline, &s, STR_NONE, &result, err))
		return false;
	*ret_more = result.affected >= FORGET_ROWS;
	return true;
}
