/* SQLite's online backup (https://sqlite.org/backup.html) from a connection that holds a snapshot. */
#include "store/driver/sqlite/sqlite_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/wait.h"
#include "store/driver/sqlite/sqlite_file.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

#define STEP_PAGES 1000

struct copying {
	const char *from, *to;
	sqlite3 *source, *target;
	sqlite3_backup *backup;
	int rc;
	struct sqlite_conn *held;
	bool moved;
};

/* What lies under the name now has nothing to do with what is, or was to be, read. */
static bool moved(struct copying *k)
{
	k->moved = k->moved || (k->held != NULL && sqlite_file_moved(k->held));
	return k->moved;
}

/* What is read from now on is of this moment: the source's pages do not change below the backup. */
static int hold_snapshot(sqlite3 *db)
{
	int rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	return rc;
}

/* Each of these runs on a thread that may block. */
static void open_both(void *arg)
{
	struct copying *k = arg;
	k->rc = sqlite3_open_v2(k->from, &k->source, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	/* before the first read, which takes the write-ahead log that lies beside for the file's own */
	if (k->rc == SQLITE_OK && moved(k))
		k->rc = SQLITE_CANTOPEN;
	if (k->rc == SQLITE_OK)
		(void)sqlite3_busy_timeout(k->source, LIMIT_BUSY_TIMEOUT_S * 1000);
	if (k->rc == SQLITE_OK)
		k->rc = hold_snapshot(k->source);
	if (k->rc == SQLITE_OK)
		k->rc = sqlite3_open_v2(k->to, &k->target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (k->rc != SQLITE_OK)
		return;
	k->backup = sqlite3_backup_init(k->target, "main", k->source, "main");
	if (k->backup == NULL)
		k->rc = sqlite3_errcode(k->target);
}

static void step(void *arg)
{
	struct copying *k = arg;
	k->rc = sqlite3_backup_step(k->backup, STEP_PAGES);
}

static void close_both(void *arg)
{
	struct copying *k = arg;
	if (k->backup != NULL && sqlite3_backup_finish(k->backup) != SQLITE_OK && k->rc == SQLITE_DONE)
		k->rc = sqlite3_errcode(k->target);
	sqlite3_close_v2(k->target);
	sqlite3_close_v2(k->source);
}

static bool make_file(const char *path, struct err *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_INVALID_REQUEST, "the copy cannot be made: %s", strerror(errno));
	close(fd);
	return true;
}

static bool copy(struct copying *k, int64_t deadline, struct err *err)
{
	offload(open_both, k);
	while (k->rc == SQLITE_OK || k->rc == SQLITE_BUSY || k->rc == SQLITE_LOCKED) {
		if (k->backup == NULL || clock_mono_ns() >= deadline || fiber_cancelled() || moved(k))
			break;
		if (k->rc != SQLITE_OK)
			(void)wait_until(clock_mono_ns() + 10 * CLOCK_NS_PER_MS);
		offload(step, k);
	}
	const bool late = k->rc == SQLITE_OK || k->rc == SQLITE_BUSY || k->rc == SQLITE_LOCKED;
	offload(close_both, k);
	if (k->rc == SQLITE_DONE)
		return true;
	if (k->moved)
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
			      "the database file was moved away or replaced; what lies there now is another one");
	else if (late)
		(void)err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over before the copy was complete");
	else
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "the database could not be copied: %s",
			      sqlite3_errstr(k->rc));
	err->cancelled = fiber_cancelled();
	return false;
}

bool sqlite_backup(const char *from, struct driver_conn *held, const char *to, int64_t deadline_ns, int64_t *ret_bytes,
		   struct err *err)
{
	struct copying k = {.from = from, .to = to, .held = held != NULL ? sqlite_conn_of(held) : NULL};
	struct stat st;
	if (!make_file(to, err))
		return false;
	bool ok = copy(&k, deadline_ns, err);
	if (ok && stat(to, &st) != 0)
		ok = err_set(err, ERR_INTERNAL_ERROR, "the copy is gone");
	if (ok)
		*ret_bytes = st.st_size;
	else
		(void)unlink(to);
	return ok;
}
