/* See fate.h. */
#include "store/connection/fate.h"

#include "service/base/clock.h"
#include "service/base/limits.h"

#include "service/base/banned.h"

enum commit_fate fate_ask(struct pool *p, const struct commit_mark *m, int64_t deadline)
{
	enum commit_fate fate;
	struct lease lease = {0};
	struct err ignored;

	if (!m->is_set)
		return COMMIT_FATE_UNKNOWN;
	deadline = clock_min(deadline, clock_mono_ns() + LIMIT_FATE_NS);
	if (!pool_lease(p, LEASE_READ, deadline, &lease, &ignored))
		return m->waits ? COMMIT_FATE_WAITING : COMMIT_FATE_UNKNOWN;
	fate = lease.conn->driver->commit_fate(lease.conn, m, deadline);
	lease_release(&lease);
	return fate == COMMIT_FATE_UNKNOWN && m->waits ? COMMIT_FATE_WAITING : fate;
}

void fate_tell(enum commit_fate fate, struct err *err)
{
	switch (fate) {
	case COMMIT_FATE_UNKNOWN:
		return;
	case COMMIT_FATE_LOCAL:
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
			      "the database connection was lost while the transaction committed; the server that ran "
			      "it says that it is committed there, but it was to wait for a synchronous standby: it "
			      "may not have been replicated, and be lost if that server is");
		err->outcome = ERR_OUTCOME_UNKNOWN;
		return;
	case COMMIT_FATE_WAITING:
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
			      "the database was lost while the transaction committed; whether it did is not known, and "
			      "it was to wait for a synchronous standby: it may not have been replicated");
		err->outcome = ERR_OUTCOME_UNKNOWN;
		return;
	case COMMIT_FATE_COMMITTED:
	case COMMIT_FATE_ROLLED_BACK:
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
			      "the database connection was lost while the transaction committed; the database says "
			      "that it was %s",
			      fate == COMMIT_FATE_COMMITTED ? "committed" : "rolled back");
		err->outcome = fate == COMMIT_FATE_COMMITTED ? ERR_OUTCOME_COMMITTED : ERR_OUTCOME_ROLLED_BACK;
		return;
	}
}
