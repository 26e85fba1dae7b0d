/*
 * Preloaded by tests/fault/test_migrate_kill.py: ends the process by SIGKILL at the N-th place of a SQLite migration.
 * Places are counted from the migration's first statement to its last, COMMIT among them: KILL_WHEN=before or after a
 * statement, or `write` for each write to the database's files. KILL_TELL names a file that gets the statement.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <unistd.h>

struct sqlite3;
struct sqlite3_stmt;
const char *sqlite3_sql(struct sqlite3_stmt *st);
int sqlite3_stmt_busy(struct sqlite3_stmt *st);
int sqlite3_step(struct sqlite3_stmt *st);

static bool armed;
static long count;
static const char *now = "";

static void place(const char *when, const char *what)
{
	const char *wanted = getenv("KILL_WHEN"), *at = getenv("KILL_AT"), *tell = getenv("KILL_TELL");
	int fd;

	if (wanted == NULL || at == NULL || strcmp(wanted, when) != 0 || ++count != strtol(at, NULL, 10))
		return;
	fd = tell != NULL ? open(tell, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	if (fd >= 0 && write(fd, what, strlen(what)) < 0)
		abort();
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static bool begins(const char *sql, const char *with)
{
	return sql != NULL && strncasecmp(sql, with, strlen(with)) == 0;
}

int sqlite3_step(struct sqlite3_stmt *st)
{
	static int (*real)(struct sqlite3_stmt *);
	const char *sql = sqlite3_sql(st);
	bool first, last;
	int rc;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "sqlite3_step");
	if (begins(sql, "BEGIN IMMEDIATE"))
		armed = true;
	/* what only looks changes nothing; SQLite's own reading of the schema has no text */
	if (!armed || sql == NULL || begins(sql, "SELECT"))
		return real(st);
	first = !sqlite3_stmt_busy(st);
	last = begins(sql, "COMMIT");
	now = sql;
	if (first)
		place("before", sql);
	rc = real(st);
	/* a change of the schema meanwhile has it compiled anew, and its text moved */
	now = sqlite3_sql(st);
	if (first)
		place("after", now);
	if (last)
		armed = false;
	return rc;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
	if (armed)
		place("write", now);
	return real(fd, p, n, at);
}
