/*
 * What others wrote, compiled off the loop: introspection's and migrations' looks at a schema, and what has failed
 * inside a step as others had changed it. It takes as long as its author likes, up to the bounds of sqlite_away.c.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/clock.h"

#include "service/base/banned.h"

#define ASKED_PER_LOOK 64

bool sqlite_compile_away(struct sqlite_conn *c, void (*fn)(void *arg), void *arg)
{
	sqlite_away_compiles(c, false, 0);
	return sqlite_wait_offload(c, fn, arg);
}

bool sqlite_compile_goes_on(struct sqlite_conn *c)
{
	return c->stop == SQLITE_STOP_NONE && (++c->compile_asked % ASKED_PER_LOOK != 0 || sqlite_wait_pause(c));
}

struct judge_job {
	struct sqlite_conn *c;
	const char *sql;
};

static void judge_job(void *arg)
{
	const struct judge_job *j = arg;
	const int64_t from = clock_thread_cpu_ns();
	sqlite3_stmt *st = NULL;
	const int rc = sqlite3_prepare_v2(j->c->h, j->sql, -1, &st, NULL);

	j->c->saw_too_long = sqlite_away_too_long(rc, clock_thread_cpu_ns() - from);
	(void)sqlite3_finalize(st);
}

void sqlite_compile_judge(struct sqlite_conn *c, sqlite3_stmt *h, int rc)
{
	struct judge_job j = {.c = c, .sql = sqlite3_sql(h)};

	if ((rc & 0xff) != SQLITE_NOMEM)
		return;
	c->saw_too_long = false;
	sqlite_wait_reset(c, h); /* SQLite takes every allocation for failed until then */
	if (j.sql != NULL && !sqlite_compile_away(c, judge_job, &j))
		c->stop = SQLITE_STOP_NONE; /* it is told for what it was seen as */
}
