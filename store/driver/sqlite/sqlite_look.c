/*
 * What opening a file would say, without a trace: nothing is made, no log is emptied, no journal rolled back. A file
 * that has nothing in a log is read as if nobody wrote it (https://sqlite.org/uri.html: immutable), another one through
 * the memory that its writers share, which is not written either (readonly_shm).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/base/mem.h"
#include "service/base/strbuf.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

#define TRIES 3 /* for one who writes the file at the moment */
#define PAUSE_MS 20

struct looking {
	const struct driver_db *db;
	bool log, shared, journal; /* what lies beside the file, and is not empty */
	bool log_lies;
	sqlite3 *h;
	int rc;
	int os_error;
};

static bool lies_beside(const struct looking *l, const char *suffix, bool *ret_filled)
{
	struct strbuf b;
	struct stat st;
	strbuf_init(&b, 0);
	strbuf_puts(&b, l->db->path);
	strbuf_puts(&b, suffix);
	char *name = strbuf_take(&b, NULL);
	const bool lies = stat(name, &st) == 0;
	*ret_filled = lies && st.st_size > 0;
	mem_free(name);
	return lies;
}

/* 0: a file may be made, or made anew, beside the path; else why not. */
static int may_make(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash != NULL ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");
	const int why = faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
	mem_free(dir);
	return why;
}

static bool open_it(struct looking *l)
{
	const struct driver_db *db = l->db;
	char *name = sqlite_uri_name(str_z(db->path), l->log && l->shared ? "?mode=ro&readonly_shm=1" : "?immutable=1");
	l->rc = sqlite3_open_v2(name, &l->h,
				SQLITE_OPEN_URI | SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX |
					SQLITE_OPEN_PRIVATECACHE | (db->no_links ? SQLITE_OPEN_NOFOLLOW : 0),
				NULL);
	mem_free(name);
	if (l->rc == SQLITE_OK)
		l->rc = sqlite3_exec(l->h, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
	if (l->rc == SQLITE_OK || l->h == NULL)
		return l->rc == SQLITE_OK;
	if ((l->rc & 0xff) == SQLITE_CANTOPEN || (l->rc & 0xff) == SQLITE_IOERR)
		l->os_error = sqlite3_system_errno(l->h);
	l->rc = sqlite3_extended_errcode(l->h);
	return false;
}

static bool open_tried(struct looking *l)
{
	for (int i = 0; !open_it(l); i++) {
		const bool torn = (l->rc & 0xff) == SQLITE_CORRUPT || (l->rc & 0xff) == SQLITE_NOTADB;
		if (!torn || i + 1 == TRIES)
			return false;
		sqlite3_close_v2(l->h);
		l->h = NULL;
		(void)sqlite3_sleep(PAUSE_MS);
	}
	return true;
}

/* Does its head say that it has a write-ahead log? */
static bool wants_log(sqlite3 *h)
{
	sqlite3_file *f = NULL;
	unsigned char version = 0;
	return sqlite3_file_control(h, "main", SQLITE_FCNTL_FILE_POINTER, &f) == SQLITE_OK && f != NULL &&
	       f->pMethods != NULL && f->pMethods->xRead(f, &version, 1, 19) == SQLITE_OK && version == 2;
}

/* false: not all of them could be read, and l->rc says why. No such table is no row. */
static bool read_rows(struct looking *l, struct driver_look *q)
{
	sqlite3_stmt *st = NULL;
	if (q == NULL)
		return true;
	q->opened = true;
	l->rc = sqlite3_prepare_v2(l->h, q->sql, -1, &st, NULL);
	if (l->rc != SQLITE_OK)
		return str_starts(str_z(sqlite3_errmsg(l->h)), STR("no such table: "));
	while ((l->rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);
		const char *value = (const char *)sqlite3_column_text(st, 1);
		if (name != NULL && value != NULL)
			q->row(q->arg, str_n(name, (size_t)sqlite3_column_bytes(st, 0)),
			       str_n(value, (size_t)sqlite3_column_bytes(st, 1)));
	}
	(void)sqlite3_finalize(st);
	return l->rc == SQLITE_DONE;
}

/* What lies beside it may make it whole. */
static bool may_be_mended(const struct looking *l)
{
	return ((l->rc & 0xff) == SQLITE_CORRUPT || (l->rc & 0xff) == SQLITE_NOTADB) && (l->journal || l->log);
}

/* There is none, as the system says: would it be made? */
static bool missing(const struct driver_db *db, int why, struct err *err)
{
	const bool makes = db->dsn->mode == SQLITE_MODE_RWC && !db->dsn->immutable;
	if (why == ENOENT && makes)
		why = may_make(db->path);
	if (makes && (why == EACCES || why == EPERM))
		return err_set(err, ERR_INVALID_URL,
			       "the database file could not be opened: the server may not make it in its directory");
	return why == 0 || sqlite_open_error(SQLITE_CANTOPEN, why, err);
}

static bool judge(struct looking *l, struct driver_look *q, struct err *err)
{
	const struct driver_db *db = l->db;
	struct stat st;
	const int why = stat(db->path, &st) == 0 ? 0 : errno;
	const bool lies = why == 0;
	if (lies && S_ISDIR(st.st_mode))
		return sqlite_open_error(SQLITE_CANTOPEN, EISDIR, err);
	if (lies && !S_ISREG(st.st_mode)) /* opening it might wait for somebody */
		return true;
	const bool opened = open_tried(l);
	if (l->rc == SQLITE_CANTOPEN_SYMLINK)
		return sqlite_open_error(l->rc, 0, err);
	if (!lies)
		return missing(db, why, err);
	if (!opened)
		return may_be_mended(l) || sqlite_open_error(l->rc, l->os_error, err);
	if (!db->dsn->immutable && !l->log_lies && wants_log(l->h) && may_make(db->path) != 0)
		return sqlite_open_error(SQLITE_READONLY_DIRECTORY, 0, err);
	struct sqlite_conn c = {.h = l->h};
	return read_rows(l, q) || may_be_mended(l) || sqlite_error(&c, l->rc, STR(""), err);
}

bool sqlite_look(const struct driver_db *db, struct driver_look *q, struct err *err)
{
	struct looking l = {.db = db};
	if (!db->is_file)
		return true;
	if (db->no_links && sqlite_db_has_linked_sibling(db))
		return sqlite_open_error(SQLITE_CANTOPEN_SYMLINK, 0, err);
	(void)lies_beside(&l, "-shm", &l.shared);
	(void)lies_beside(&l, "-journal", &l.journal);
	l.log_lies = lies_beside(&l, "-wal", &l.log);
	const bool ok = judge(&l, q, err);
	sqlite3_close_v2(l.h);
	return ok;
}
