/*
 * A snapshot is a read transaction: the reads in it lock the file once, not once each (two fcntl and a stat are half
 * the price of a point query). Only where the write-ahead log keeps readers out of the writer's way.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

/* Compiled once; no fiber parks and no thread is asked for what does no I/O. The time of the statement before is no
 * bound for it. */
static bool run(struct sqlite_conn *c, sqlite3_stmt **st, const char *sql)
{
	int rc = SQLITE_OK;

	if (*st == NULL) {
		c->internal = true;
		rc = sqlite3_prepare_v3(c->h, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
		c->internal = false;
	}
	if (rc != SQLITE_OK)
		return false;
	c->n_progress = 0;
	c->shielded = true;
	rc = sqlite3_step(*st);
	(void)sqlite3_reset(*st);
	c->shielded = false;
	return rc == SQLITE_DONE;
}

bool sqlite_snapshot_open(struct driver_conn *base)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	return c->wal && run(c, &c->st_begin, "BEGIN");
}

bool sqlite_snapshot_pin(struct sqlite_conn *c)
{
	return run(c, &c->st_begin, "BEGIN");
}

void sqlite_snapshot_close(struct driver_conn *base)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	if (!sqlite3_get_autocommit(c->h) && !run(c, &c->st_commit, "COMMIT"))
		base->broken = true;
}

void sqlite_snapshot_done(struct sqlite_conn *c)
{
	(void)sqlite3_finalize(c->st_begin);
	(void)sqlite3_finalize(c->st_commit);
}
