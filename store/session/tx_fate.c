/* What became of transactions that were lost in their commit: asked of the database once it can be reached. */
#include "store/session/tx.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

static struct tx_grave *find(struct tx_table *t, struct str id)
{
	return (struct tx_grave *)(void *)graveyard_find(&t->dead, id);
}

static enum commit_fate ask(struct connection *conn, const struct commit_mark *m, int64_t deadline)
{
	enum commit_fate fate;
	struct lease lease = {0};
	struct err ignored;

	if (!pool_lease(conn->pool, LEASE_READ, deadline, &lease, &ignored))
		return COMMIT_FATE_UNKNOWN;
	fate = lease.conn->driver->commit_fate(lease.conn, m, deadline);
	lease_release(&lease);
	return fate;
}

enum tx_phase tx_resolve(struct tx_table *t, struct str id, struct connection *conn, int64_t deadline)
{
	struct commit_mark mark = {0};
	enum tx_phase phase = TX_UNKNOWN;

	mutex_lock(t->lock);
	const struct tx_grave *lost = find(t, id);
	if (lost != NULL && lost->phase == TX_UNKNOWN)
		mark = lost->mark;
	mutex_unlock(t->lock);
	if (!mark.is_set)
		return TX_UNKNOWN;
	switch (ask(conn, &mark, deadline)) {
	case COMMIT_FATE_COMMITTED:
		phase = TX_COMMITTED;
		break;
	case COMMIT_FATE_ROLLED_BACK:
		phase = TX_ROLLED_BACK;
		break;
	case COMMIT_FATE_UNKNOWN:
		return TX_UNKNOWN;
	}
	mutex_lock(t->lock);
	struct tx_grave *g = find(t, id);
	if (g != NULL && g->phase == TX_UNKNOWN) {
		g->phase = phase;
		g->why = phase == TX_COMMITTED ? TX_WHY_CLIENT : TX_WHY_LOST;
	}
	mutex_unlock(t->lock);
	return phase;
}
