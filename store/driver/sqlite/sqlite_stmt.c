/*
 * Statements. One object is the prepared statement, its cursor and the buffers of a row; cached ones keep all three, so
 * that running a known statement allocates nothing.
 */
#include "store/driver/sqlite/sqlite_stmt.h"

#include "store/driver/sqlite/sqlite_file.h"

#include <limits.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* What a loop's compiler may ask of the authorizer, which it does of each column and SELECT; well below a millisecond.
 */
#define COMPILE_QUESTIONS 500
/* Bytes of a text that a loop compiles. */
#define COMPILE_BYTES (64 << 10)
/* What took longer to compile, on a thread, is run there too. */
#define COMPILE_NS (2 * CLOCK_NS_PER_MS)

/* ---- life ---- */

static void stmt_destroy(struct sqlite_stmt *st)
{
	if (st == NULL)
		return;
	(void)sqlite3_finalize(st->h);
	mem_free(st->columns);
	mem_free(st->values);
	mem_free(st->sql);
	mem_free(st);
}

static void lru_unlink(struct sqlite_conn *c, struct sqlite_stmt *st)
{
	if (st->prev != NULL)
		st->prev->next = st->next;
	else
		c->lru_head = st->next;
	if (st->next != NULL)
		st->next->prev = st->prev;
	else
		c->lru_tail = st->prev;
	st->prev = st->next = NULL;
}

static void lru_push(struct sqlite_conn *c, struct sqlite_stmt *st)
{
	st->next = c->lru_head;
	if (c->lru_head != NULL)
		c->lru_head->prev = st;
	else
		c->lru_tail = st;
	c->lru_head = st;
}

/* Takes st out of the cache; a running one goes when it is finished. */
static void cache_drop(struct sqlite_conn *c, struct sqlite_stmt *st)
{
	(void)map_remove(&c->by_sql, str_n(st->sql, st->sql_len));
	lru_unlink(c, st);
	c->n_cached--;
	st->cached = false;
	if (!st->in_use)
		stmt_destroy(st);
}

static void cache_add(struct sqlite_conn *c, struct sqlite_stmt *st, struct str sql)
{
	struct sqlite_stmt *old = c->lru_tail;

	if (c->n_cached >= LIMIT_STATEMENT_CACHE) {
		while (old != NULL && old->in_use)
			old = old->prev;
		if (old == NULL)
			return;
		cache_drop(c, old);
	}
	st->sql = mem_strndup(sql.p, sql.len);
	st->sql_len = sql.len;
	st->cached = true;
	(void)map_put(&c->by_sql, str_n(st->sql, st->sql_len), st);
	lru_push(c, st);
	c->n_cached++;
}

void sqlite_forget(struct driver_conn *base)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	while (c->lru_head != NULL)
		cache_drop(c, c->lru_head);
}

/* PRAGMA busy_timeout has put SQLite's own handler in place, which sleeps on the loop and knows no deadline. Ours comes
 * back with the time that was set; and where none was, SQLite is to answer ours, which it compiles into the statement.
 * The connection is nobody else's after a time was set. */
static int compile_busy_timeout(struct sqlite_conn *c, struct str text, sqlite3_stmt **ret, const char **ret_tail)
{
	int rc = SQLITE_OK;

	if (c->saw_busy_ms >= 0) {
		c->busy_timeout_ns = c->saw_busy_ms * CLOCK_NS_PER_MS;
	} else if (c->saw_taint) { /* a negative time */
		c->busy_timeout_ns = 0;
	} else {
		const int64_t ms = c->busy_timeout_ns / CLOCK_NS_PER_MS;

		(void)sqlite3_finalize(*ret);
		*ret = NULL;
		(void)sqlite3_busy_timeout(c->h, ms < INT_MAX ? (int)ms : INT_MAX);
		sqlite_policy_begin(c);
		rc = sqlite3_prepare_v3(c->h, text.p, (int)text.len, 0, ret, ret_tail);
	}
	sqlite_wait_busy(c);
	return rc;
}

/* SQLite looks whether the schema has changed before it says that a name is unknown, but takes a locked database for
 * one that has not: then the lock is to be waited for. Returns the second attempt's result code. */
static int compile(struct sqlite_conn *c, struct str text, unsigned flags, sqlite3_stmt **ret, const char **ret_tail)
{
	int rc = sqlite3_prepare_v3(c->h, text.p, (int)text.len, flags, ret, ret_tail);

	if (rc == SQLITE_OK && c->saw_busy)
		return compile_busy_timeout(c, text, ret, ret_tail);
	if (rc != SQLITE_ERROR || strstr(sqlite3_errmsg(c->h), "no such") == NULL)
		return rc;
	c->internal = true;
	rc = sqlite3_exec(c->h, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
	c->internal = false;
	if (rc != SQLITE_OK)
		return rc;
	sqlite_policy_begin(c);
	return sqlite3_prepare_v3(c->h, text.p, (int)text.len, flags, ret, ret_tail);
}

struct compile_job {
	struct sqlite_conn *c;
	struct str text;
	unsigned flags;
	sqlite3_stmt **ret;
	const char **ret_tail;
	int rc;
	int64_t cpu_ns;
};

static void compile_job(void *arg)
{
	struct compile_job *j = arg;
	const int64_t from = clock_thread_cpu_ns();

	j->rc = compile(j->c, j->text, j->flags, j->ret, j->ret_tail);
	j->cpu_ns = clock_thread_cpu_ns() - from;
	j->c->saw_too_long = sqlite_away_too_long(j->rc, j->cpu_ns);
}

/* A loop compiles what is compiled at once; what takes longer a thread does, which looks at the clock. */
static int compile_somewhere(struct sqlite_conn *c, struct str text, unsigned flags, sqlite3_stmt **ret,
			     const char **ret_tail, bool *ret_long)
{
	struct compile_job j = {.c = c, .text = text, .flags = flags, .ret = ret, .ret_tail = ret_tail};
	const bool on_loop = fiber_current() != NULL;

	bool away = on_loop && (text.len > COMPILE_BYTES || (c->raw && sqlite_text_may_double(text)) ||
				(!c->internal && sqlite_virtual_nested(c)));

	*ret_long = false;
	if (!away) {
		c->compile_left = on_loop ? COMPILE_QUESTIONS : 0;
		sqlite_away_compiles(c, on_loop, text.len);
		compile_job(&j);
		c->compile_left = 0;
		*ret_long = away = on_loop && (c->saw_long || (j.rc & 0xff) == SQLITE_NOMEM);
	}
	sqlite_away_compiles(c, false, text.len);
	if (away) {
		(void)sqlite3_finalize(*ret);
		*ret = NULL;
		sqlite_policy_begin(c);
		if (!sqlite_wait_offload(c, compile_job, &j))
			j.rc = SQLITE_INTERRUPT;
		/* what is so large takes its time to run, and to be put away, too */
		*ret_long = *ret_long || j.cpu_ns > COMPILE_NS;
	}
	return j.rc != SQLITE_OK && c->stop != SQLITE_STOP_NONE ? SQLITE_INTERRUPT : j.rc;
}

bool sqlite_stmt_create(struct sqlite_conn *c, struct str sql, bool persistent, struct sqlite_stmt **ret,
			struct str *ret_tail, struct err *err)
{
	const struct str text = sqlite_skip_blank(sql);
	struct sqlite_stmt *st;
	const char *tail = NULL;
	sqlite3_stmt *h = NULL;
	bool is_long;
	int rc;

	if (text.len == 0)
		return err_set(err, ERR_SQL_ERROR, "sql holds no statement");
	if (text.len > INT_MAX / 2)
		return err_set(err, ERR_SQL_ERROR, "statement is too long");
	if (memchr(text.p, 0, text.len) != NULL)
		return err_set(err, ERR_SQL_ERROR, "sql holds a NUL character");
	if (sqlite_text_selects(text) > SQLITE_TEXT_SELECTS_MAX)
		return err_set(err, ERR_SQL_ERROR, "statement has more than %d SELECTs", SQLITE_TEXT_SELECTS_MAX);
	sqlite_policy_begin(c);
	rc = compile_somewhere(c, text, persistent ? SQLITE_PREPARE_PERSISTENT : 0, &h, &tail, &is_long);
	if (rc != SQLITE_OK)
		return sqlite_error(c, rc, str_n(sql.p, sql.len), err);
	if (h == NULL)
		return err_set(err, ERR_SQL_ERROR, "sql holds no statement");
	if (c->saw_paths && sqlite3_stmt_isexplain(h) == 1) {
		(void)sqlite3_finalize(h);
		return sqlite_error(c, SQLITE_AUTH, STR_NONE, err);
	}
	st = mem_alloc(sizeof(*st));
	st->h = h;
	st->c = c;
	st->cur.conn = &c->base;
	st->cur.read_only = sqlite3_stmt_readonly(h) != 0;
	st->heavy = c->saw_heavy || is_long || (c->saw_delete && !c->saw_column) ||
		    (c->raw && memmem(text.p, text.len, "||", 2) != NULL);
	/* who makes all of a migration's statements makes the long ones too */
	const bool by_thread = c->migrating && fiber_current() == NULL;
	if (!st->heavy && !c->internal && !by_thread && (c->raw || !st->cur.read_only))
		st->heavy = sqlite_virtual_used(c, str_n(text.p, (size_t)(tail - text.p)));
	if (st->heavy && st->cur.read_only && sqlite_tokenizers_too_near(text)) {
		stmt_destroy(st);
		return sqlite_error(c, SQLITE_TOOBIG, STR_NONE, err);
	}
	st->hides_path = c->saw_paths;
	st->inserts = c->saw_insert;
	st->own_savepoint = c->saw_own_savepoint;
	st->divides = c->saw_divide;
	st->begins = c->saw_begin;
	st->searches = c->saw_match && !c->saw_insert && !c->saw_update;
	st->taints = c->saw_taint;
	if (c->raw && persistent && st->cur.read_only && !c->saw_beyond && !st->heavy && sqlite3_column_count(h) > 0 &&
	    sqlite3_stmt_isexplain(h) == 0)
		sqlite_proof_keep(c, sql, (size_t)sqlite3_bind_parameter_count(h));
	st->alone = c->saw_alone || c->saw_taint;
	st->cur.joins = c->raw && !st->cur.read_only && !st->alone && !st->heavy;
	if (ret_tail != NULL)
		*ret_tail = str_n(tail, (size_t)(text.p + text.len - tail));
	*ret = st;
	return true;
}

void sqlite_stmt_start(struct sqlite_stmt *st)
{
	struct sqlite_conn *c = st->c;

	if (st->taints) {
		c->tainted = true;
		c->base.session_dirty = true;
	}
	sqlite_wait_look(c, st->heavy);
	st->in_use = true;
	st->ended = st->stepped = st->row_waits = st->pinned = false;
	st->n_given = st->n_passed = 0;
	c->away = c->saw_changed = false;
	st->was_in_tx = !sqlite3_get_autocommit(c->h);
	if (!st->was_in_tx) { /* what is counted from here on is this caller's */
		c->changes_before = sqlite3_total_changes64(c->h);
		sqlite3_set_last_insert_rowid(c->h, 0);
		c->savepoint_tx = st->divides;
	}
	st->changes_before = sqlite3_total_changes64(c->h);
	st->cur.affected = 0;
	st->cur.last_insert_id = 0;
	sqlite_stmt_columns(st);
}

/* ---- parameters ---- */

static int bind_one(sqlite3_stmt *h, int i, const struct value *v)
{
	switch (v->kind) {
	case VALUE_NULL:
		return sqlite3_bind_null(h, i);
	case VALUE_BOOL:
		return sqlite3_bind_int(h, i, v->u.b);
	case VALUE_INT:
		return sqlite3_bind_int64(h, i, v->u.i);
	case VALUE_DOUBLE:
		return sqlite3_bind_double(h, i, v->u.d);
	case VALUE_BYTES:
		/* a NULL pointer would bind NULL; the empty value is one too */
		return sqlite3_bind_blob64(h, i, v->u.s.p != NULL ? v->u.s.p : "", v->u.s.len, SQLITE_STATIC);
	case VALUE_TEXT:
	case VALUE_JSON:
		break;
	}
	return sqlite3_bind_text64(h, i, v->u.s.p != NULL ? v->u.s.p : "", v->u.s.len, SQLITE_STATIC, SQLITE_UTF8);
}

static bool wrong_count(size_t want, size_t got, struct err *err)
{
	return err_set(err, ERR_INVALID_PARAMETERS, "the statement takes %zu parameter%s, %zu given", want,
		       want == 1 ? "" : "s", got);
}

/* Number of the given parameter for `name` (with its sigil), or n_params. */
static size_t by_name(const struct stmt *s, const char *name)
{
	size_t i = 0;

	while (i < s->n_params && !str_eq_z(s->param_names[i], name + 1))
		i++;
	return i;
}

static bool bind_all(struct sqlite_stmt *st, const struct stmt *s, struct err *err)
{
	const size_t n = (size_t)sqlite3_bind_parameter_count(st->h);

	if (n != s->n_params)
		return wrong_count(n, s->n_params, err);
	for (size_t i = 0; i < n; i++) {
		const char *name = s->param_names != NULL ? sqlite3_bind_parameter_name(st->h, (int)i + 1) : NULL;
		size_t from = i;
		int rc;

		if (s->param_names != NULL) {
			if (name == NULL)
				return err_set(
					err, ERR_INVALID_PARAMETERS,
					"the statement has a parameter without a name: give the arguments as a list");
			/* counts being equal and the statement's names distinct, none given is left over when all are
			 * found and none is given twice */
			from = by_name(s, name);
			if (from == n)
				return err_set(err, ERR_INVALID_PARAMETERS, "parameter '%.100s' is missing", name + 1);
		}
		if (s->params[from].kind == VALUE_TEXT &&
		    ((st->searches && sqlite_tokenizers_too_many(s->params[from].u.s)) ||
		     (st->heavy && st->cur.read_only && sqlite_tokenizers_too_near(s->params[from].u.s))))
			return sqlite_error(st->c, SQLITE_TOOBIG, STR_NONE, err);
		rc = bind_one(st->h, (int)i + 1, &s->params[from]);
		if (rc != SQLITE_OK)
			return sqlite_error(st->c, rc, STR_NONE, err);
	}
	return true;
}

/* ---- cursor ---- */

static void read_result(struct sqlite_stmt *st)
{
	sqlite3 *h = st->c->h;

	/* statements that change no rows leave the figures of an earlier one standing */
	if (sqlite3_total_changes64(h) == st->changes_before)
		return;
	st->cur.affected = sqlite3_changes64(h);
	if (st->inserts)
		st->cur.last_insert_id = sqlite3_last_insert_rowid(h);
}

/* What a read of its own has begun to see stays as it is from its second row on: see sqlite_away.c. */
static bool pin(struct sqlite_stmt *st)
{
	if (st->was_in_tx || st->n_given != 1 || st->pinned)
		return true;
	st->pinned = sqlite_snapshot_pin(st->c);
	return st->pinned;
}

static int step_here(struct sqlite_stmt *st)
{
	const bool reads = st->cur.read_only && st->cur.n_columns > 0;

	if (reads && fiber_current() != NULL && !pin(st))
		return sqlite3_errcode(st->c->h);
	const int rc = reads ? sqlite_wait_read(st->c, st->h, st->was_in_tx) : sqlite_wait_step(st->c, st->h);

	if (!st->stepped && (rc == SQLITE_ROW || rc == SQLITE_DONE))
		sqlite_stmt_columns(st);
	if (rc == SQLITE_ROW)
		sqlite_stmt_row(st);
	return rc;
}

/* The loop has given it up, before it wrote anything. */
static int begin_anew(struct sqlite_stmt *st)
{
	struct sqlite_conn *c = st->c;

	(void)sqlite3_reset(st->h);
	c->away = false;
	if (c->stop == SQLITE_STOP_AWAY)
		c->stop = SQLITE_STOP_NONE;
	st->heavy = true;
	st->changed = c->saw_changed;
	st->n_passed = st->n_given;
	sqlite_wait_look(c, true);
	const int64_t from = clock_mono_ns();
	const int rc = sqlite_ahead_step(st);
	if (!st->changed || rc == SQLITE_ROW || rc == SQLITE_DONE)
		return rc;
	c->saw_too_long = sqlite_away_too_long(rc, clock_mono_ns() - from);
	return c->stop != SQLITE_STOP_NONE ? SQLITE_INTERRUPT : rc;
}

static bool advance(struct sqlite_stmt *st, bool *ret_row, struct err *err)
{
	struct sqlite_conn *c = st->c;

	c->reads = st->cur.read_only;
	c->begins = st->begins && c->wal;
	c->divides = st->divides && st->was_in_tx && !c->savepoint_tx;
	int rc = st->heavy && fiber_current() != NULL ? sqlite_ahead_step(st) : step_here(st);

	if (c->away)
		rc = begin_anew(st);
	st->stepped = true;
	if (rc == SQLITE_ROW) {
		st->n_given++;
		*ret_row = true;
		return true;
	}
	st->ended = true;
	if (rc == SQLITE_DONE) {
		read_result(st);
		*ret_row = false;
		return true;
	}
	if (!st->changed) /* else it was seen when it was begun anew */
		sqlite_compile_judge(c, st->h, rc);
	(void)sqlite_error(c, rc, STR_NONE, err);
	/* a statement on its own is undone, but for what FAIL leaves of it; an interrupted write or a full disk ends
	 * even a whole transaction */
	if (sqlite3_get_autocommit(c->h) || st->pinned)
		err->outcome = (rc & 0xff) == SQLITE_CONSTRAINT && c->step_committed ? ERR_OUTCOME_COMMITTED
										     : ERR_OUTCOME_ROLLED_BACK;
	return false;
}

bool sqlite_step(struct cursor *cur, bool *ret_row, struct err *err)
{
	struct sqlite_stmt *st = CONTAINER_OF(cur, struct sqlite_stmt, cur);

	if (st->row_waits || st->ended) {
		*ret_row = st->row_waits;
		st->row_waits = false;
		return true;
	}
	driver_take_loan(&st->c->base, &st->c->deadline_ns);
	return advance(st, ret_row, err);
}

void sqlite_finish(struct cursor *cur)
{
	struct sqlite_stmt *st;
	struct sqlite_conn *c;

	if (cur == NULL)
		return;
	st = CONTAINER_OF(cur, struct sqlite_stmt, cur);
	c = st->c;
	sqlite_ahead_drop(st->ahead);
	st->ahead = NULL;
	sqlite_wait_reset(c, st->h);
	(void)sqlite3_clear_bindings(st->h);
	if (st->pinned)
		sqlite_snapshot_close(&c->base);
	st->in_use = false;
	if (st->cached && st->changed)
		cache_drop(c, st);
	else if (!st->cached)
		stmt_destroy(st);
	if (c->saw_busy) /* it may have been compiled anew on its way */
		sqlite_wait_busy(c);
	sqlite_settle(c);
}

static bool from_cache(struct sqlite_conn *c, const struct stmt *s, struct sqlite_stmt **ret)
{
	struct sqlite_stmt *st = s->cache ? map_get_hashed(&c->by_sql, s->sql, stmt_hash(s)) : NULL;

	if (st == NULL || st->in_use) {
		c->base.cache_misses++;
		return false;
	}
	c->base.cache_hits++;
	if (c->lru_head != st) {
		lru_unlink(c, st);
		lru_push(c, st);
	}
	*ret = st;
	return true;
}

/* It has not run. */
static bool go_alone(struct sqlite_stmt *st, struct err *err)
{
	if (!st->cached)
		stmt_destroy(st);
	(void)err_set(err, ERR_SERIALIZATION_FAILURE, "the statement can share no transaction");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	err->again = ERR_AGAIN_ALONE;
	return false;
}

bool sqlite_prepare(struct driver_conn *base, const struct stmt *s, int64_t deadline_ns, struct cursor **ret,
		    struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);
	struct sqlite_stmt *st = NULL;
	struct str tail = STR_NONE;

	if (sqlite_file_seen_moved(c) && !c->shielded) {
		c->base.broken = true;
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "the database file was moved away, replaced or deleted");
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		return false;
	}
	c->raw = s->raw;
	sqlite_wait_begin(c, deadline_ns);
	if (!from_cache(c, s, &st)) {
		if (!sqlite_stmt_create(c, s->sql, s->cache, &st, &tail, err))
			return false;
		if (sqlite_skip_blank(tail).len > 0) {
			stmt_destroy(st);
			return err_set(err, ERR_SQL_ERROR, "sql holds more than one statement");
		}
		/* kept unless a copy runs right now; what taints must be seen by the authorizer each time, and a busy
		 * timeout is compiled in */
		if (s->cache && !st->taints && !c->saw_busy && map_get(&c->by_sql, s->sql) == NULL)
			cache_add(c, st, s->sql);
	}
	if (base->company && s->raw && st->alone)
		return go_alone(st, err);
	if (s->raw && st->own_savepoint)
		return err_set(err, ERR_SQL_ERROR, "%s", STMT_OWN_SAVEPOINT);
	sqlite_stmt_start(st);
	if (!bind_all(st, s, err)) {
		sqlite_finish(&st->cur);
		return false;
	}
	/* a statement that only reads starts here, so that its columns are final when the caller sees them */
	if (st->cur.read_only && st->cur.n_columns > 0 && !advance(st, &st->row_waits, err)) {
		sqlite_finish(&st->cur);
		return false;
	}
	*ret = &st->cur;
	return true;
}

bool sqlite_run(struct sqlite_conn *c, struct str sql, bool cache, int64_t deadline_ns, struct err *err)
{
	const struct stmt s = {.sql = sql, .access = STMT_UNKNOWN, .cache = cache};
	struct cursor *cur;
	bool row = true, ok = true;

	if (!sqlite_prepare(&c->base, &s, deadline_ns, &cur, err))
		return false;
	while (ok && row)
		ok = sqlite_step(cur, &row, err);
	sqlite_finish(cur);
	return ok;
}

bool sqlite_simple(struct driver_conn *base, struct str sql, int64_t deadline_ns, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);
	struct sqlite_stmt *st;
	bool row, ok = true;

	c->raw = false;
	sqlite_wait_begin(c, deadline_ns);
	for (sql = sqlite_skip_blank(sql); ok && sql.len > 0; sql = sqlite_skip_blank(sql)) {
		if (!sqlite_stmt_create(c, sql, false, &st, &sql, err))
			return false;
		sqlite_stmt_start(st);
		for (row = true; ok && row;)
			ok = sqlite_step(&st->cur, &row, err);
		sqlite_finish(&st->cur);
	}
	return ok;
}
