/* How transactions begin and end. */
#include "store/driver/sqlite/sqlite_file.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/clock.h"

#include "service/base/banned.h"

bool sqlite_begin(struct driver_conn *base, enum tx_isolation iso, bool read_only, int64_t deadline_ns, struct err *err)
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
bool sqlite_begin_write(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);
	const bool frozen = sqlite3_db_readonly(c->h, "main") != 0;

	return sqlite_run(c, frozen ? STR("BEGIN") : STR("BEGIN IMMEDIATE"), true, deadline_ns, err);
}

bool sqlite_commit(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	/* nobody would find what it writes: the statement below is refused */
	(void)sqlite_file_moved(sqlite_conn_of(base));
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

enum tx_state sqlite_tx_state(struct driver_conn *base)
{
	return sqlite3_get_autocommit(sqlite_conn_of(base)->h) ? TX_STATE_NONE : TX_STATE_OPEN;
}
