/* Parts of a transaction that several requests share: each in a savepoint, undone alone. */
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/clock.h"

#include "service/base/banned.h"

void sqlite_part_fresh(struct sqlite_conn *c)
{
	c->changes_before = sqlite3_total_changes64(c->h);
	sqlite3_set_last_insert_rowid(c->h, 0);
}

bool sqlite_part_clean(struct sqlite_conn *c, struct err *err)
{
	int unmet = 0, high = 0;

	if (sqlite3_db_status(c->h, SQLITE_DBSTATUS_DEFERRED_FKS, &unmet, &high, 0) == SQLITE_OK && unmet == 0)
		return true;
	(void)err_set(err, ERR_FOREIGN_KEY_VIOLATION, "FOREIGN KEY constraint failed");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

bool sqlite_part_begin(struct driver_conn *base, int64_t deadline_ns, struct err *err)
{
	if (!sqlite_run(sqlite_conn_of(base), STR("SAVEPOINT ferrod_part"), true, deadline_ns, err))
		return false;
	sqlite_part_fresh(sqlite_conn_of(base));
	base->company = true;
	return true;
}

void sqlite_part_undo(struct driver_conn *base)
{
	struct sqlite_conn *c = sqlite_conn_of(base);
	struct err ignored;

	base->company = false;
	c->shielded = true;
	const bool ok = sqlite_run(c, STR("ROLLBACK TO ferrod_part"), true, CLOCK_NEVER, &ignored) &&
			sqlite_run(c, STR("RELEASE ferrod_part"), true, CLOCK_NEVER, &ignored);
	c->shielded = false;
	if (!ok)
		sqlite_rollback(base);
}

bool sqlite_part_end(struct driver_conn *base, struct err *err)
{
	struct sqlite_conn *c = sqlite_conn_of(base);

	base->company = false;
	if (sqlite_part_clean(c, err) && sqlite_run(c, STR("RELEASE ferrod_part"), true, CLOCK_NEVER, err))
		return true;
	sqlite_part_undo(base);
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}
