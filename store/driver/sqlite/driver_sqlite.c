/* The SQLite driver's vtable: connections, transactions, ping, reset. The other parts: sqlite_internal.h. */
#include "store/driver/sqlite/driver_sqlite.h"

#include "service/base/clock.h"
#include "service/base/fault.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/wait.h"
#include "store/driver/introspect.h"
#include "store/driver/sqlite/sqlite_file.h"
#include "store/driver/sqlite/sqlite_backup.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

/* SQLite compiles by recursion, on a fiber's stack: these bound its depth. */
#define MAX_EXPR_DEPTH 200
#define MAX_COMPOUND_SELECT 100
#define MAX_TRIGGER_DEPTH 100

#define FILE_POLL_NS (10 * CLOCK_NS_PER_MS)

static struct sqlite_options options = {.busy_timeout_s = LIMIT_BUSY_TIMEOUT_S,
					.value_bytes = LIMIT_SQLITE_VALUE_BYTES,
					.unit_s = LIMIT_SHARED_UNIT_S}; /* before the first open */

void driver_sqlite_configure(const struct sqlite_options *o)
{
#ifdef FERROD_FAULTS
	fault_sqlite_init();
#endif
	options = *o;
	sqlite_tokenizers_configure(o->match_terms);
	if (o->heap_bytes > 0)
		(void)sqlite3_hard_heap_limit64(o->heap_bytes);
}

static int64_t busy_timeout_ns(void)
{
	const double s = options.busy_timeout_s;

	return s < 86400.0 ? (int64_t)(s * 1e9) : 86400 * CLOCK_NS_PER_S;
}

static bool locked_until(struct driver_db *db, int64_t since_ns, int64_t *ret_ns)
{
	return sqlite_db_locked_until(db, since_ns, busy_timeout_ns(), ret_ns);
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
	sqlite_virtual_done(c);
	map_done(&c->by_sql);
	sqlite_file_leave(c);
	mem_free(c);
}

static void set_limits(struct sqlite_conn *c)
{
	sqlite3 *h = c->h;

	(void)sqlite3_limit(h, SQLITE_LIMIT_EXPR_DEPTH, MAX_EXPR_DEPTH);
	(void)sqlite3_limit(h, SQLITE_LIMIT_COMPOUND_SELECT, MAX_COMPOUND_SELECT);
	if (options.value_bytes > 0)
		(void)sqlite3_limit(h, SQLITE_LIMIT_LENGTH, (int)options.value_bytes);
	c->value_bytes = sqlite3_limit(h, SQLITE_LIMIT_LENGTH, -1);
	sqlite_away_compiles(c, false, 0);
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
		 * is. What others have waited for in vain is not waited for anew by each that is opened */
		c->base.since_ns = 0;
		(void)sqlite3_exec(c->h, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
		c->base.since_ns = c->base.opened_ns;
	}
	c->wal = db->is_file && is_wal(c->h);
	return SQLITE_OK;
}

struct open_job {
	struct sqlite_conn *c;
	int rc;
	int os_error; /* errno of an open that failed; 0: none */
	enum sqlite_file_fault fault;
};

static void open_job(void *arg)
{
	struct open_job *j = arg;
	struct sqlite_conn *c = j->c;
	struct driver_db *db = c->base.db;

	j->rc = sqlite_db_anchor(db);
	if (j->rc != SQLITE_OK)
		return;
	j->fault = sqlite_file_enter(c);
	if (j->fault != SQLITE_FILE_FINE)
		return;
	if (db->no_links && sqlite_db_has_linked_sibling(db)) {
		j->rc = SQLITE_CANTOPEN_SYMLINK;
		return;
	}
	j->rc = sqlite3_open_v2(db->file_name, &c->h, db->open_flags, NULL);
	if (j->rc != SQLITE_OK) {
		j->os_error = c->h != NULL && (j->rc & 0xff) == SQLITE_CANTOPEN ? sqlite3_system_errno(c->h) : 0;
		j->rc = c->h != NULL ? sqlite3_extended_errcode(c->h) : j->rc;
		return;
	}
	(void)sqlite3_extended_result_codes(c->h, 1);
	sqlite_wait_init(c);
	set_limits(c);
	j->rc = sqlite_function_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = sqlite_like_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = sqlite_time_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = sqlite_respell_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = sqlite_json_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = sqlite_case_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = sqlite_tokenizers_register(c);
	if (j->rc == SQLITE_OK)
		j->rc = setup(c);
	/* a file that is there may lack a descriptor for its log, or for what readers of the log share */
	if ((j->rc & 0xff) == SQLITE_CANTOPEN || (j->rc & 0xff) == SQLITE_IOERR)
		j->os_error = sqlite3_system_errno(c->h);
	if (j->rc == SQLITE_OK && !sqlite_file_opened(c))
		j->fault = SQLITE_FILE_GONE;
}

/* Always false. */
static bool file_error(enum sqlite_file_fault fault, struct err *err)
{
	if (fault == SQLITE_FILE_IN_USE)
		return err_set(err, ERR_DATABASE_UNAVAILABLE,
			       "the database file was replaced, and the one before it is still in use");
	if (fault == SQLITE_FILE_FOREIGN_LOG)
		return err_set(
			err, ERR_DATABASE_UNAVAILABLE,
			"the database file was replaced, and the write-ahead log of the one before it (-wal) could "
			"not be emptied: another process uses it");
	return err_set(err, ERR_DATABASE_UNAVAILABLE, "the database file was moved away or deleted");
}

/* Until the connections to the file before have ended: they do after the statements that they run. */
static void open_file(struct open_job *j, int64_t deadline_ns)
{
	for (;;) {
		const int64_t now = clock_mono_ns();

		if (j->c->base.db->is_file)
			offload(open_job, j);
		else
			open_job(j);
		if (j->fault != SQLITE_FILE_IN_USE || now >= deadline_ns ||
		    wait_until(clock_min(now + FILE_POLL_NS, deadline_ns)) == WAIT_CANCELLED)
			return;
		j->fault = SQLITE_FILE_FINE;
	}
}

static bool sqlite_open(struct driver_db *db, int64_t deadline_ns, struct driver_conn **ret, struct err *err)
{
	struct sqlite_conn *c = mem_alloc(sizeof(*c));
	struct open_job j = {.c = c};

	c->base.driver = &driver_sqlite;
	c->base.db = db;
	c->base.opened_ns = clock_mono_ns();
	c->busy_timeout_ns = busy_timeout_ns();
	c->unit_ns = (int64_t)(options.unit_s * (double)CLOCK_NS_PER_S);
	c->deadline_ns = deadline_ns;
	c->base.since_ns = c->base.opened_ns;
	c->virtual_schema = -1;
	map_init(&c->by_sql);
	c->base.has_turn = true; /* it may be opened for the one who has it */
	open_file(&j, deadline_ns);
	c->base.has_turn = false;
	if (j.rc != SQLITE_OK || j.fault != SQLITE_FILE_FINE) {
		sqlite_close(&c->base);
		return j.rc != SQLITE_OK ? sqlite_open_error(j.rc, j.os_error, err) : file_error(j.fault, err);
	}
	sqlite_policy_init(c);
	*ret = &c->base;
	return true;
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

static bool sqlite_stale(struct driver_conn *base)
{
	return sqlite_file_moved(sqlite_conn_of(base));
}

struct tidy_job {
	struct sqlite_conn *c;
	bool done;
};

static void tidy_job(void *arg)
{
	struct tidy_job *j = arg;

	j->done = sqlite_file_tidy(j->c);
}

static bool sqlite_tidy(struct driver_conn *base)
{
	struct tidy_job j = {.c = sqlite_conn_of(base), .done = true};

	if (!base->db->is_file)
		return true;
	j.c->impatient = j.c->shielded = true;
	offload(tidy_job, &j);
	j.c->impatient = j.c->shielded = false;
	return j.done;
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
	.look = sqlite_look,
	.open = sqlite_open,
	.close = sqlite_close,
	.raw_kind = sqlite_raw_kind,
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
	.simple_all = sqlite_simple_all,
	.begin = sqlite_begin,
	.begin_write = sqlite_begin_write,
	.part_begin = sqlite_part_begin,
	.part_end = sqlite_part_end,
	.part_undo = sqlite_part_undo,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.tx_state = sqlite_tx_state,
	.ping = sqlite_ping,
	.reset = sqlite_reset_conn,
	.cancel = sqlite_cancel,
	.forget = sqlite_forget,
	.server_version = sqlite_server_version,
	.list_tables = sqlite_list_tables,
	.backup = sqlite_backup,
	.introspect = sqlite_introspect,
	.migrate_begin = sqlite_migrate_begin,
	.migrate_uses = sqlite_migrate_uses,
	.migrate_check = sqlite_migrate_check,
	.migrate_renaming = sqlite_migrate_renaming,
	.migrate_end = sqlite_migrate_end,
	.stale = sqlite_stale,
	.tidy = sqlite_tidy,
	.locked_out = sqlite_db_locked_out,
	.locked_until = locked_until,
	.writer_turn = sqlite_db_turn,
};
