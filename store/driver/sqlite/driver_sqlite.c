/* The SQLite driver's vtable: connections, transactions, ping, reset. The other parts: sqlite_internal.h. */
#include "store/driver/sqlite/driver_sqlite.h"

#include "service/base/clock.h"
#include "service/base/fault.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/wait.h"
#include "store/driver/introspect.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

/* SQLite compiles by recursion, on a fiber's stack: these bound its depth. */
#define MAX_EXPR_DEPTH 200
#define MAX_COMPOUND_SELECT 100
#define MAX_TRIGGER_DEPTH 100

static struct sqlite_options options = {.busy_timeout_s = LIMIT_BUSY_TIMEOUT_S,
					.value_bytes = LIMIT_SQLITE_VALUE_BYTES}; /* before the first open */

void driver_sqlite_configure(const struct sqlite_options *o)
{
#ifdef FERROD_FAULTS
	fault_sqlite_init();
#endif
	options = *o;
	if (o->heap_bytes > 0)
		(void)sqlite3_hard_heap_limit64(o->heap_bytes);
}

static int64_t busy_timeout_ns(void)
{
	const double s = options.busy_timeout_s;

	return s < 86400.0 ? (int64_t)(s * 1e9) : 86400 * CLOCK_NS_PER_S;
}

const char *driver_sqlite_version(void)
{
	return sqlite3_libversion();
}

/* ---- connections ---- */

static void sqlite_close(struct driver_conn *base)
{
	struct sqlite_conn *c;

	if (base == NULL)
		return;
	c = sqlite_conn_of(base);
	sqlite_forget(base);
	sqlite_snapshot_done(c);
	sqlite_function_done(c);
	map_done(&c->by_sql);
	(void)sqlite3_close_v2(c->h);
	mem_free(c);
}

static void set_limits(sqlite3 *h)
{
	(void)sqlite3_limit(h, SQLITE_LIMIT_EXPR_DEPTH, MAX_EXPR_DEPTH);
	(void)sqlite3_limit(h, SQLITE_LIMIT_COMPOUND_SELECT, MAX_COMPOUND_SELECT);
	if (options.value_bytes > 0)
		(void)sqlite3_limit(h, SQLITE_LIMIT_LENGTH, (int)options.value_bytes);
	(void)sqlite3_limit(h, SQLITE_LIMIT_TRIGGER_DEPTH, MAX_TRIGGER_DEPTH);
	(void)sqlite3_limit(h, SQLITE_LIMIT_VARIABLE_NUMBER, LIMIT_SQL_PARAMS_SQLITE);
}

/* The first column of the first row is "wal". */
static bool is_wal(sqlite3 *h)
{
	sqlite3_stmt *st = NULL;
	bool wal = false;

	if (sqlite3_prepare_v2(h, "PRAGMA journal_mode", -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		wal = str_eq_z(str_z((const char *)sqlite3_column_text(st, 0)), "wal");
	(void)sqlite3_finalize(st);
	return wal;
}

static int setup(struct sqlite_conn *c)
{
	const size_t kib = options.cache_kib;
	const struct driver_db *db = c->base.db;
	char pragma[64];
	int rc;

	rc = sqlite3_exec(c->h, "PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL", NULL, NULL, NULL);
	if (rc == SQLITE_OK && kib > 0) {
		sqlite3_snprintf((int)sizeof(pragma), pragma, "PRAGMA cache_size=-%lld", (long long)kib);
		rc = sqlite3_exec(c->h, pragma, NULL, NULL, NULL);
	}
	/* SQLite opens lazily: only a read tells whether it is a database */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c->h, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return rc;
	if (db->is_file && !db->dsn->immutable && db->dsn->mode != SQLITE_MODE_RO &&
	    !sqlite3_db_readonly(c->h, "main") && !is_wal(c->h)) {
		/* others may have it open in another mode, or the file system may not support it: then it stays as it
		 * is */
		(void)sqlite3_exec(c->h, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
	}
	c->wal = db->is_file && is_wal(c->h);
	return SQLITE_OK;
}

struct open_job {
	struct sqlite_conn *c;
	int rc;
};

static void open_job(void *arg)
{
	struct open_job *j = arg;
	struct sqlite_conn *c = j->c;
	struct driver_db *db = c->base.db;

	j->rc = sqlite_db_anchor(db);
	if (j->rc != SQLITE_OK)
		return;
	if (db->no_links && sqlite_db_has_linked_sibling(db)) {
		j->rc = SQLITE_CANTOPEN_SYMLINK;
		return;
	}
	j->rc = sqlite3_open_v2(db->file_name, &c->h, db->open_flags, NULL);
	if (j->rc != SQLITE_OK) {
		j->rc = c->h != NULL ? sqlite3_extended_errcode(c->h) : j->rc;
		return;
	}
	(void)sqlite3_extended_result_codes(c->h, 1);
	sqlite_wait_init(c);
	set_limits(c->h);
	j->rc = sqlite_function_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = sqlite_like_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = setup(c);
}

static bool sqlite_open(struct driver_db *db, int64_t deadline_ns, struct driver_conn **ret, struct err *err)
{
	struct sqlite_conn *c = mem_alloc(sizeof(*c));
	struct open_job j = {.c = c};

	c->base.driver = &driver_sqlite;
	c->base.db = db;
	c->base.opened_ns = clock_mono_ns();
	c->busy_timeout_ns = busy_timeout_ns();
	c->deadline_ns = deadline_ns;
	c->base.since_ns = c->base.opened_ns;
	map_init(&c->by_sql);
	if (db->is_file)
		offload(open_job, &j);
	else
		open_job(&j);
	if (j.rc != SQLITE_OK) {
		sqlite_close(&c->base);
		return sqlite_open_error(j.rc, err);
	}
	sqlite_policy_init(c);
	sqlite_db_identify(db);
	*ret = &c->base;
	return true;
}

/* ---- transactions ---- */

static bool sqlite_begin(struct driver_conn *base, enum tx_isolation iso, bool read_only, int64_t deadline_ns,
			 struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);
	bool ok;

	(void)iso; /* every transaction is serializable */
	if (read_only) {
		sqlite_wait_begin(c, deadline_ns);
		c->internal = true;
		ok = sqlite3_exec(c->h, "PRAGMA query_only=1", NULL, NULL, NULL) == SQLITE_OK;
		c->internal = false;
		if (!ok)
			return sqlite_error(c, sqlite3_errcode(c->h), STR_NONE, err);
	}
	ok = sqlite_run(c, STR("BEGIN"), true, deadline_ns, err);
	c->query_only = read_only;
	sqlite_settle(c);
	return ok;
}

/* A database that cannot be written to shows that at the first write. */
static bool sqlite_begin_write(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);
	const bool frozen = sqlite3_db_readonly(c->h, "main") != 0;

	return sqlite_run(c, frozen ? STR("BEGIN") : STR("BEGIN IMMEDIATE"), true, deadline_ns, err);
}

static bool sqlite_commit(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	return sqlite_run(sqlite_conn_of(base), STR("COMMIT"), true, deadline_ns, err);
}

void sqlite_rollback(struct driver_conn *base)
{
	struct sqlite_conn *c = sqlite_conn_of(base);
	struct err err;

	if (!sqlite3_get_autocommit(c->h)) {
		c->shielded = true;
		if (!sqlite_run(c, STR("ROLLBACK"), true, CLOCK_NEVER, &err) || !sqlite3_get_autocommit(c->h))
			base->broken = true;
		c->shielded = false;
	}
	sqlite_settle(c);
}

static enum tx_state sqlite_tx_state(struct driver_conn *base)
{
	return sqlite3_get_autocommit(sqlite_conn_of(base)->h) ? TX_STATE_NONE : TX_STATE_OPEN;
}

/* ---- the rest ---- */

static bool sqlite_ping(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);
	bool ok;

	/* a lock held by another says that the database lives */
	c->impatient = true;
	ok = sqlite_run(c, STR("SELECT 1 FROM sqlite_schema LIMIT 1"), true, deadline_ns, err);
	c->impatient = false;
	return ok || err->code == ERR_DATABASE_BUSY;
}

static bool sqlite_reset_conn(struct driver_conn *base, int64_t deadline_ns)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	(void)deadline_ns;
	sqlite_rollback(base);
	if (c->tainted || base->broken)
		return false;
	sqlite3_set_last_insert_rowid(c->h, 0);
	return true;
}

static void sqlite_cancel(struct driver_conn *base)
{
	sqlite3_interrupt(sqlite_conn_of(base)->h);
}

static const char *sqlite_server_version(struct driver_conn *base)
{
	(void)base;
	return sqlite3_libversion();
}

static bool sqlite_list_tables(struct driver_conn *base, struct arena *a, int64_t deadline_ns, struct str **ret,
			       size_t *ret_n, struct err *err)
{
	const struct stmt s = {
		.sql = STR("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE "
			   "'\\' "
			   "ORDER BY name"),
		.access = STMT_READ,
		.cache = true,
	};
	struct str *names = NULL;
	size_t n = 0, size = 0;
	struct cursor *cur;
	bool row;

	if (!sqlite_prepare(base, &s, deadline_ns, &cur, err))
		return false;
	for (;;) {
		if (!sqlite_step(cur, &row, err)) {
			sqlite_finish(cur);
			return false;
		}
		if (!row)
			break;
		if (n == size) {
			struct str *more = arena_array(a, size = size != 0 ? size * 2 : 16, sizeof(*more));

			if (n > 0)
				memcpy(more, names, n * sizeof(*more));
			names = more;
		}
		names[n++] = cur->row[0].kind == VALUE_TEXT ? arena_str(a, cur->row[0].u.s) : STR("");
	}
	sqlite_finish(cur);
	*ret = names;
	*ret_n = n;
	return true;
}

const struct driver driver_sqlite = {
	.name = "sqlite",
	.dialect = &dialect_sqlite,
	.db_open = sqlite_db_open,
	.db_close = sqlite_db_close,
	.open = sqlite_open,
	.close = sqlite_close,
	.prepare = sqlite_prepare,
	.step = sqlite_step,
	.finish = sqlite_finish,
	.snapshot_open = sqlite_snapshot_open,
	.snapshot_close = sqlite_snapshot_close,
	.write_epoch = sqlite_write_epoch,
	.run_writes = sqlite_run_writes,
	.groups_writes = sqlite_groups_writes,
	.batch_cursor = sqlite_batch_cursor,
	.batch_step = sqlite_batch_step,
	.batch_drop = sqlite_batch_drop,
	.simple = sqlite_simple,
	.begin = sqlite_begin,
	.begin_write = sqlite_begin_write,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.tx_state = sqlite_tx_state,
	.ping = sqlite_ping,
	.reset = sqlite_reset_conn,
	.cancel = sqlite_cancel,
	.forget = sqlite_forget,
	.server_version = sqlite_server_version,
	.list_tables = sqlite_list_tables,
	.introspect = sqlite_introspect,
	.migrate_begin = sqlite_migrate_begin,
	.migrate_check = sqlite_migrate_check,
	.migrate_end = sqlite_migrate_end,
	.locked_out = sqlite_db_locked_out,
	.writer_turn = sqlite_db_turn,
};
