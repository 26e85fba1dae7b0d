/* Files: see sqlite_file.h. The list is short and looked at when connections come and go; its lock is held for a
 * moment, and not while a log is emptied. */
#include "store/driver/sqlite/sqlite_file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/strbuf.h"

#include "service/base/banned.h"

static struct mutex files_lock = {PTHREAD_MUTEX_INITIALIZER};
static struct sqlite_file *files;

/* ---- names ---- */

static char *wal_name(const char *path)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_puts(&b, path);
	strbuf_puts(&b, "-wal");
	return strbuf_take(&b, NULL);
}

/* The name without links: the file may be missing, its directory not. */
static char *real_name(const char *path)
{
	char resolved[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct strbuf b;
	char *dir;

	if (realpath(path, resolved) != NULL)
		return mem_strdup(resolved);
	dir = slash != NULL ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");
	strbuf_init(&b, 0);
	strbuf_puts(&b, realpath(dir, resolved) != NULL ? resolved : dir);
	mem_free(dir);
	strbuf_putc(&b, '/');
	strbuf_puts(&b, slash != NULL ? slash + 1 : path);
	return strbuf_take(&b, NULL);
}

static bool is_it(const struct sqlite_file *f, const struct stat *st)
{
	return f->dev == st->st_dev && f->ino == st->st_ino;
}

/* ---- life ---- */

/* New references; the lock is held. */
static struct sqlite_file *file_get(const struct stat *st, const char *path)
{
	struct sqlite_file *f = files;

	while (f != NULL && !(is_it(f, st) && str_eq_z(str_z(f->path), path)))
		f = f->next;
	if (f == NULL) {
		f = mem_alloc(sizeof(*f));
		f->dev = st->st_dev;
		f->ino = st->st_ino;
		f->path = mem_strdup(path);
		turn_init(&f->turn);
		f->next = files;
		files = f;
	}
	__atomic_store_n(&f->moved, 0, __ATOMIC_RELAXED); /* it may have come back */
	f->refs++;
	return f;
}

/* Closes a connection that was kept back. */
static void empty_log(sqlite3 *keeper)
{
	(void)sqlite3_busy_timeout(keeper, LIMIT_KEEPER_MS);
	(void)sqlite3_wal_checkpoint_v2(keeper, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	(void)sqlite3_close_v2(keeper);
}

static void file_unref(struct sqlite_file *f)
{
	struct sqlite_file **at = &files;

	mutex_lock(&files_lock);
	if (--f->refs > 0) {
		mutex_unlock(&files_lock);
		return;
	}
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	mutex_unlock(&files_lock);
	if (f->keeper != NULL)
		empty_log(f->keeper);
	turn_done(&f->turn);
	mem_free(f->path);
	mem_free(f);
}

/* ---- a file that does not lie there any more ---- */

bool sqlite_file_seen_moved(const struct sqlite_conn *c)
{
	return c->file != NULL && __atomic_load_n(&c->file->moved, __ATOMIC_RELAXED) != 0;
}

bool sqlite_file_moved(const struct sqlite_conn *c)
{
	struct stat st;

	if (c->file == NULL)
		return false;
	if (sqlite_file_seen_moved(c))
		return true;
	if (stat(c->base.db->path, &st) == 0 ? is_it(c->file, &st) : errno != ENOENT && errno != ENOTDIR)
		return false;
	__atomic_store_n(&c->file->moved, 1, __ATOMIC_RELAXED);
	return true;
}

/* Does the log of f lie there still, with something in it? */
static bool log_lies_there(const struct sqlite_file *f)
{
	char *name = wal_name(f->path);
	struct stat st;
	const bool lies = f->has_wal && stat(name, &st) == 0 && st.st_size > 0 && f->wal_dev == st.st_dev &&
			  f->wal_ino == st.st_ino;

	mem_free(name);
	return lies;
}

/* Looks for one that lay under the path before the file of `st` (NULL: there is none) and is not done with. *ret: one
 * whose log is to be emptied, with a reference. */
static enum sqlite_file_fault find_other(const char *path, const struct stat *st, struct sqlite_file **ret)
{
	for (struct sqlite_file *f = files; f != NULL; f = f->next) {
		if ((st != NULL && is_it(f, st)) || !str_eq_z(str_z(f->path), path))
			continue;
		__atomic_store_n(&f->moved, 1, __ATOMIC_RELAXED);
		if (f->n_conns > 0)
			return SQLITE_FILE_IN_USE;
		if (f->keeper != NULL) {
			f->refs++;
			*ret = f;
			return SQLITE_FILE_FINE;
		}
		if (log_lies_there(f))
			return SQLITE_FILE_FOREIGN_LOG;
	}
	return SQLITE_FILE_FINE;
}

static enum sqlite_file_fault end_others(const char *path, const struct stat *st)
{
	for (;;) {
		struct sqlite_file *f = NULL;
		enum sqlite_file_fault fault;
		sqlite3 *keeper = NULL;

		mutex_lock(&files_lock);
		fault = find_other(path, st, &f);
		if (f != NULL) { /* until it is done the others find it in use */
			keeper = f->keeper;
			f->keeper = NULL;
			f->n_conns++;
		}
		mutex_unlock(&files_lock);
		if (f == NULL)
			return fault;
		empty_log(keeper);
		mutex_lock(&files_lock);
		f->n_conns--;
		mutex_unlock(&files_lock);
		file_unref(f);
	}
}

/* ---- connections ---- */

/* The db's files stay referenced to its end: who queues for a turn borrows it. The lock is held. */
static void adopt(struct driver_db *db, struct sqlite_file *f)
{
	struct sqlite_past *past = db->past;

	__atomic_store_n(&db->file, f, __ATOMIC_RELEASE);
	while (past != NULL && past->file != f)
		past = past->next;
	if (past != NULL)
		return;
	past = mem_alloc(sizeof(*past));
	past->file = f;
	past->next = db->past;
	db->past = past;
	f->refs++;
}

static void join(struct sqlite_conn *c, const struct stat *st, const char *path)
{
	sqlite3 *keeper;

	mutex_lock(&files_lock);
	c->file = file_get(st, path);
	c->file->n_conns++;
	keeper = c->file->keeper;
	c->file->keeper = NULL;
	adopt(c->base.db, c->file);
	mutex_unlock(&files_lock);
	if (keeper != NULL)
		(void)sqlite3_close_v2(keeper);
}

enum sqlite_file_fault sqlite_file_enter(struct sqlite_conn *c)
{
	struct driver_db *db = c->base.db;
	enum sqlite_file_fault fault;
	struct stat st;
	char *path;
	bool there;

	if (!db->is_file)
		return SQLITE_FILE_FINE;
	there = stat(db->path, &st) == 0;
	if (!there && __atomic_load_n(&db->file, __ATOMIC_ACQUIRE) != NULL)
		return SQLITE_FILE_GONE;
	path = real_name(db->path);
	fault = end_others(path, there ? &st : NULL);
	if (fault == SQLITE_FILE_FINE && there)
		join(c, &st, path);
	mem_free(path);
	return fault;
}

bool sqlite_file_opened(struct sqlite_conn *c)
{
	struct driver_db *db = c->base.db;
	struct stat st;
	char *name;

	if (!db->is_file)
		return true;
	if (stat(db->path, &st) != 0)
		return false;
	if (c->file == NULL) { /* it was just made */
		name = real_name(db->path);
		join(c, &st, name);
		mem_free(name);
	}
	if (!is_it(c->file, &st))
		return false;
	name = wal_name(c->file->path);
	mutex_lock(&files_lock);
	c->file->has_wal = stat(name, &st) == 0;
	c->file->wal_dev = st.st_dev;
	c->file->wal_ino = st.st_ino;
	mutex_unlock(&files_lock);
	mem_free(name);
	return true;
}

/* A handle that will know nothing of c any more. */
static void detach(struct sqlite_conn *c)
{
	(void)sqlite3_set_authorizer(c->h, NULL, NULL);
	(void)sqlite3_busy_handler(c->h, NULL, NULL);
	sqlite3_progress_handler(c->h, 0, NULL, NULL);
	(void)sqlite3_commit_hook(c->h, NULL, NULL);
	(void)sqlite3_rollback_hook(c->h, NULL, NULL);
	if (!sqlite3_get_autocommit(c->h))
		(void)sqlite3_exec(c->h, "ROLLBACK", NULL, NULL, NULL);
}

/* True if the handle was taken over. */
static bool keep_back(struct sqlite_conn *c)
{
	struct sqlite_file *f = c->file;
	bool kept;

	/* one that may not write empties no log, and would keep the others from it */
	if (!c->wal || sqlite3_db_readonly(c->h, "main") != 0 || !sqlite_file_moved(c))
		return false;
	detach(c);
	mutex_lock(&files_lock);
	kept = f->keeper == NULL;
	if (kept)
		f->keeper = c->h;
	mutex_unlock(&files_lock);
	return kept;
}

void sqlite_file_leave(struct sqlite_conn *c)
{
	struct sqlite_file *f = c->file;

	if (f == NULL || !keep_back(c))
		(void)sqlite3_close_v2(c->h);
	c->h = NULL;
	c->file = NULL;
	if (f == NULL)
		return;
	mutex_lock(&files_lock);
	f->n_conns--;
	mutex_unlock(&files_lock);
	file_unref(f);
}

bool sqlite_file_tidy(struct sqlite_conn *c)
{
	struct stat st;
	int rc = SQLITE_OK;
	char *wal;

	if (!c->wal || c->file == NULL || sqlite3_db_readonly(c->h, "main") != 0)
		return true;
	wal = wal_name(c->file->path);
	if (stat(wal, &st) == 0 && st.st_size > 0)
		rc = sqlite3_wal_checkpoint_v2(c->h, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	mem_free(wal);
	return (rc & 0xff) != SQLITE_BUSY;
}

void sqlite_file_forget(struct driver_db *db)
{
	while (db->past != NULL) {
		struct sqlite_past *past = db->past;

		db->past = past->next;
		file_unref(past->file);
		mem_free(past);
	}
	db->file = NULL;
}
