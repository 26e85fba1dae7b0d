/* What became of transactions that were lost in their commit: asked of the database once it can be reached. */
#include "store/connection/fate.h"
#include "store/session/tx.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

static struct tx_grave *find(struct tx_table *t, struct str id)
{
	return (struct tx_grave *)(void *)graveyard_find(&t->dead, id);
}

enum commit_fate tx_resolve(struct tx_table *t, struct str id, struct connection *conn, int64_t deadline)
{
	struct commit_mark mark = {0};
	enum commit_fate fate;

	mutex_lock(t->lock);
	const struct tx_grave *lost = find(t, id);
	if (lost != NULL && lost->phase == TX_UNKNOWN)
		mark = lost->mark;
	mutex_unlock(t->lock);
	fate = fate_ask(conn->pool, &mark, deadline);
	if (fate != COMMIT_FATE_COMMITTED && fate != COMMIT_FATE_ROLLED_BACK)
		return fate;
	mutex_lock(t->lock);
	struct tx_grave *g = find(t, id);
	if (g != NULL && g->phase == TX_UNKNOWN) {
		g->phase = fate == COMMIT_FATE_COMMITTED ? TX_COMMITTED : TX_ROLLED_BACK;
		g->why = fate == COMMIT_FATE_COMMITTED ? TX_WHY_CLIENT : TX_WHY_LOST;
	}
	mutex_unlock(t->lock);
	return fate;
}
