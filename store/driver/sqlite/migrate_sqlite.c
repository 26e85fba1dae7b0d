/*
 * The transaction of a migration on SQLite: BEGIN IMMEDIATE is the lock against other processes, the writer's turn
 * (held by the lease) that against this one. A table rebuild needs two settings that only change outside a transaction.
 */
#include "store/driver/introspect.h"

#include <stdio.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/wait.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

/* Settings of the driver's own: past the authorizer, which would have the connection thrown away for them. */
static bool set(struct sqlite_conn *c, const char *pragmas)
{
	bool ok;

	c->internal = true;
	ok = sqlite3_exec(c->h, pragmas, NULL, NULL, NULL) == SQLITE_OK;
	c->internal = false;
	return ok;
}

static bool begin_immediate(struct driver_conn *c, const struct migrate_begin *how, struct err *err)
{
	for (;;) {
		if (c->driver->simple(c, STR("BEGIN IMMEDIATE"), clock_min(how->lock_ns, how->deadline_ns), err))
			return true;
		/* SQLite's own patience ends sooner than ours */
		if (err->code != ERR_DATABASE_BUSY && (err->code != ERR_STATEMENT_TIMEOUT || err->cancelled))
			return false;
		if (clock_mono_ns() >= clock_min(how->lock_ns, how->deadline_ns))
			return err_set(err, ERR_DATABASE_BUSY,
				       "another process was writing to the database all the time; nothing was changed: "
				       "try again");
	}
}

bool sqlite_migrate_begin(struct driver_conn *base, const struct migrate_begin *how, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	if (how->plan_only)
		return base->driver->begin(base, TX_ISO_DEFAULT, true, how->deadline_ns, err);
	c->migrating = true;
	c->rebuilding = how->rebuild;
	if (how->rebuild && !set(c, "PRAGMA foreign_keys=OFF; PRAGMA legacy_alter_table=ON"))
		return sqlite_error(c, sqlite3_errcode(c->h), STR_NONE, err);
	return begin_immediate(base, how, err);
}

bool sqlite_migrate_renaming(struct driver_conn *base, bool renaming, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	if (!c->rebuilding || set(c, renaming ? "PRAGMA legacy_alter_table=OFF" : "PRAGMA legacy_alter_table=ON"))
		return true;
	return sqlite_error(c, sqlite3_errcode(c->h), STR_NONE, err);
}

/* Statements for one thread of the pool: thousands of short ones would spend more on the way there and back. */
struct all_job {
	struct driver_conn *c;
	const struct str *sqls;
	size_t n, n_done;
	int64_t deadline_ns;
	bool ok;
	struct err *err;
};

static void all_job(void *arg)
{
	struct all_job *j = arg;
	struct sqlite_conn *c = sqlite_conn_of(j->c);

	for (j->ok = true; j->ok && j->n_done < j->n; j->n_done += j->ok) {
		if (j->n_done > 0 && !sqlite_wait_pause(c))
			j->ok = sqlite_error(c, SQLITE_INTERRUPT, STR_NONE, j->err);
		else
			j->ok = sqlite_simple(j->c, j->sqls[j->n_done], j->deadline_ns, j->err);
	}
}

bool sqlite_simple_all(struct driver_conn *base, const struct str *sqls, size_t n, int64_t deadline_ns,
		       size_t *ret_done, struct err *err)
{
	struct all_job j = {.c = base, .sqls = sqls, .n = n, .deadline_ns = deadline_ns, .err = err};
	struct sqlite_conn *c = sqlite_conn_of(base);

	if (base->db->is_file && c->migrating && fiber_current() != NULL) {
		c->offloaded = fiber_shielded() ? NULL : fiber_current();
		offload(all_job, &j);
		c->offloaded = NULL;
	} else {
		all_job(&j);
	}
	*ret_done = j.n_done;
	return j.ok;
}

void sqlite_migrate_end(struct driver_conn *base)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	c->migrating = false;
	if (!base->broken && !set(c, "PRAGMA foreign_keys=ON; PRAGMA legacy_alter_table=OFF"))
		base->broken = true;
}

/* One check that reads the whole database: on the thread pool, for much of it is one step of SQLite's machine. */
struct check_job {
	struct sqlite_conn *c;
	const char *sql;
	sqlite3_stmt *st;
	int rc;
};

static void check_job(void *arg)
{
	struct check_job *j = arg;

	j->rc = sqlite3_prepare_v2(j->c->h, j->sql, -1, &j->st, NULL);
	if (j->rc == SQLITE_OK)
		j->rc = sqlite3_step(j->st);
}

static void run_check(struct check_job *j)
{
	j->c->internal = true;
	if (!sqlite_compile_away(j->c, check_job, j))
		j->rc = SQLITE_INTERRUPT;
	j->c->internal = false;
}

static struct str column_text(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);

	return p != NULL ? str_n(p, (size_t)sqlite3_column_bytes(st, i)) : STR("");
}

static bool check_keys(struct sqlite_conn *c, struct err *err)
{
	struct check_job j = {.c = c, .sql = "PRAGMA foreign_key_check"};
	bool ok;

	run_check(&j);
	ok = j.rc == SQLITE_DONE;
	if (j.rc == SQLITE_ROW) {
		const struct str table = column_text(j.st, 0), parent = column_text(j.st, 2);

		(void)err_set(
			err, ERR_MIGRATION_REFUSED,
			"table \"%.*s\" has rows that refer to rows of \"%.*s\" that are not there: mend or delete "
			"them first; nothing was changed",
			STR_FMT(table), STR_FMT(parent));
		(void)snprintf(err->table, sizeof(err->table), "%.*s", STR_FMT(table));
		(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "23503");
	} else if (!ok) {
		(void)sqlite_error(c, j.rc, STR_NONE, err);
	}
	(void)sqlite3_finalize(j.st);
	return ok;
}

/* A table that needs a function or a collation that is not here cannot be checked, and no migration touches it. */
bool sqlite_lacks(const char *said)
{
	static const char *const lacks[] = {"no such collation sequence", "no such function", "unknown function",
					    "no such module"};

	for (size_t i = 0; i < ARRAY_LEN(lacks); i++)
		if (str_starts(str_z(said), str_z(lacks[i])))
			return true;
	return false;
}

static bool check_integrity(struct sqlite_conn *c, const char *sql, struct err *err);

/* One by one, those that can be. */
static bool check_each(struct sqlite_conn *c, struct err *err)
{
	struct strbuf names, sql;
	sqlite3_stmt *st = NULL;
	bool ok = true;
	int rc;

	strbuf_init(&names, 0);
	c->internal = true;
	rc = sqlite3_prepare_v2(c->h, "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0", -1, &st,
				NULL);
	for (rc = rc == SQLITE_OK ? sqlite3_step(st) : rc; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
		strbuf_put(&names, column_text(st, 0));
		strbuf_putc(&names, '\0');
	}
	if (rc != SQLITE_DONE)
		ok = sqlite_error(c, rc, STR_NONE, err);
	(void)sqlite3_finalize(st);
	c->internal = false;
	for (size_t at = 0; at < names.len && ok; at += strlen(names.p + at) + 1) {
		strbuf_init(&sql, 0);
		strbuf_puts(&sql, "PRAGMA integrity_check(");
		dialect_quote_literal(&sql, str_z(names.p + at));
		strbuf_putc(&sql, ')');
		strbuf_putc(&sql, '\0');
		ok = check_integrity(c, sql.p, err);
		strbuf_done(&sql);
	}
	strbuf_done(&names);
	return ok;
}

/* sql NULL: the whole database. */
static bool check_integrity(struct sqlite_conn *c, const char *sql, struct err *err)
{
	struct check_job j = {.c = c, .sql = sql != NULL ? sql : "PRAGMA integrity_check(1)"};
	bool ok = false;

	run_check(&j);
	if ((j.rc & 0xff) == SQLITE_ERROR && sqlite_lacks(sqlite3_errmsg(c->h))) {
		(void)sqlite3_finalize(j.st);
		return sql != NULL || check_each(c, err);
	}
	if (j.rc == SQLITE_ROW) {
		ok = str_eq_z(column_text(j.st, 0), "ok");
		/* the finding may quote values, so it is not told */
		if (!ok)
			(void)err_set(err, ERR_MIGRATION_REFUSED,
				      "PRAGMA integrity_check finds the database damaged: repair it first; nothing was "
				      "changed");
	} else {
		(void)sqlite_error(c, j.rc, STR_NONE, err);
	}
	(void)sqlite3_finalize(j.st);
	return ok;
}

bool sqlite_migrate_check(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	sqlite_wait_begin(c, deadline_ns);
	return check_keys(c, err) && check_integrity(c, NULL, err);
}
