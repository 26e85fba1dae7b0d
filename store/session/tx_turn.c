/* The turn to use a transaction's connection, and how the server takes it from those who have it. */
#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

#define RETRY_AFTER_S 1 /* of a refusal because others wait already */

void tx_clear_map(const struct tx_root *root)
{
	if (root->session != NULL)
		imap_clear(root->session->imap);
}

/* Gives the connection back, which rolls back. The turn is held. */
static void release(struct tx_root *root)
{
	struct lease lease;

	mutex_lock(&root->conn_lock);
	lease = root->lease;
	root->lease = (struct lease){0};
	mutex_unlock(&root->conn_lock);
	lease_release(&lease);
	if (root->doomed) /* a request that ran on when it was ended may have filled the map again */
		tx_clear_map(root);
}

static bool has_lease(struct tx_root *root)
{
	bool has;

	mutex_lock(&root->conn_lock);
	has = root->lease.conn != NULL;
	mutex_unlock(&root->conn_lock);
	return has;
}

void tx_release_ended(struct tx_root *root)
{
	if (__atomic_load_n(&root->ended, __ATOMIC_ACQUIRE) && has_lease(root))
		release(root);
}

static void used(struct tx_root *root, bool now)
{
	__atomic_store_n(&root->idle_since, now ? CLOCK_NEVER : clock_mono_ns(), __ATOMIC_RELAXED);
}

void tx_give_turn(struct tx_root *root)
{
	used(root, false);
	do {
		tx_release_ended(root);
		turn_give(&root->turn);
		/* whoever ended it meanwhile found the turn taken and has left the connection to its holder */
	} while (__atomic_load_n(&root->ended, __ATOMIC_ACQUIRE) && has_lease(root) && turn_try(&root->turn));
}

enum tx_phase tx_verdict(const struct tx_root *root)
{
	struct driver_conn *c = root->lease.conn;
	const bool committed = c->n_commits != root->n_commits, rolled_back = c->n_rollbacks != root->n_rollbacks;

	if (committed || rolled_back)
		return committed && (rolled_back || c->unreplicated) ? TX_UNKNOWN
		       : committed                                   ? TX_COMMITTED
								     : TX_ROLLED_BACK;
	if (!c->broken) {
		switch (c->driver->tx_state(c)) {
		case TX_STATE_OPEN:
			return TX_OPEN;
		case TX_STATE_ABORTED:
			return TX_ABORTED;
		case TX_STATE_NONE:
			return TX_ROLLED_BACK; /* by the engine itself: a COMMIT that failed, a full disk */
		case TX_STATE_UNKNOWN:
			break;
		}
	}
	/* lost: the server rolls back what had not been asked to commit */
	return root->may_commit ? TX_UNKNOWN : TX_ROLLED_BACK;
}

bool tx_knows_mark(struct tx_root *root)
{
	const struct driver_conn *c = root->lease.conn;

	if (!c->mark.is_set || c->session_dirty)
		return false;
	root->mark = c->mark;
	return true;
}

bool tx_doom(struct tx_table *t, struct tx_root *root, enum tx_phase phase, enum tx_why why)
{
	if (root->ended || root->committing)
		return false;
	root->doomed = true;
	tx_bury(t, root->top, phase, why);
	tx_clear_map(root);
	return true;
}

/* The server ends it: its time is over or its connection is closed. The lock is held. */
bool tx_doom_if_over(struct tx_table *t, struct tx_root *root)
{
	if (clock_mono_ns() >= root->expires_ns)
		return tx_doom(t, root, TX_EXPIRED, TX_WHY_TIMEOUT);
	if (__atomic_load_n(&root->conn->closed, __ATOMIC_ACQUIRE))
		return tx_doom(t, root, TX_EXPIRED, TX_WHY_CONNECTION);
	return false;
}

size_t tx_doom_session(struct tx_table *t, struct session *s, bool expired, struct tx **ret)
{
	struct tx *list = NULL, *next;
	size_t n = 0;

	for (struct tx *top = s->transactions; top != NULL; top = next) {
		next = top->next;
		if (!tx_doom(t, tx_ref(top)->root, expired ? TX_EXPIRED : TX_ROLLED_BACK, TX_WHY_SESSION)) {
			tx_unref(top);
			continue;
		}
		top->next_doomed = list;
		list = top;
		n++;
	}
	*ret = list;
	return n;
}

static void cancel(struct tx_root *root)
{
	mutex_lock(&root->conn_lock);
	if (root->lease.conn != NULL)
		root->lease.conn->driver->cancel(root->lease.conn);
	mutex_unlock(&root->conn_lock);
}

void tx_settle_root(struct tx_root *root, int64_t wait_ns)
{
	bool mine;

	fiber_shield();
	mine = turn_try(&root->turn);
	if (!mine) {
		cancel(root);
		mine = wait_ns > 0 && turn_take(&root->turn, clock_mono_ns() + wait_ns, 0, NULL) == WAIT_READY;
	}
	if (mine)
		tx_give_turn(root);
	fiber_unshield();
}

void tx_settle(struct tx *doomed, int64_t wait_ns)
{
	struct tx *next;

	for (; doomed != NULL; doomed = next) {
		next = doomed->next_doomed;
		tx_settle_root(doomed->root, wait_ns);
		tx_unref(doomed);
	}
}

static bool give_up_waiting(struct tx_table *t, struct tx *tx, bool full, struct err *err)
{
	struct tx_root *root = tx->root;
	bool ended;

	mutex_lock(t->lock);
	(void)tx_doom_if_over(t, root);
	ended = tx->phase > TX_ABORTED;
	if (ended)
		(void)tx_gone(t, (struct tx_grave *)(void *)graveyard_find(&t->dead, str_z(tx->id)), err);
	mutex_unlock(t->lock);
	if (ended) {
		tx_settle_root(root, 0);
		return false;
	}
	if (full)
		(void)err_set(err, ERR_TOO_MANY_REQUESTS,
			      "as many requests as are allowed wait for this transaction already; send them one after "
			      "another");
	else
		(void)err_set(
			err, ERR_TOO_MANY_REQUESTS,
			"other requests of this transaction were still running when the time of this one was over");
	err->retry_after_s = RETRY_AFTER_S;
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

bool tx_take_turn(struct tx_table *t, struct tx *tx, int64_t deadline, size_t n_max, struct err *err)
{
	struct tx_root *root = tx->root;
	struct session *s = root->session;
	enum wait_result r;
	bool full = false;

	if (turn_try(&root->turn)) {
		used(root, true);
		return true;
	}
	if (s != NULL)
		(void)__atomic_add_fetch(&s->n_queued, 1, __ATOMIC_RELAXED);
	r = turn_take(&root->turn, clock_min(deadline, root->expires_ns), n_max, &full);
	if (s != NULL)
		(void)__atomic_sub_fetch(&s->n_queued, 1, __ATOMIC_RELAXED);
	if (r == WAIT_READY) {
		used(root, true);
		return true;
	}
	if (r == WAIT_CANCELLED) {
		(void)err_set(err, ERR_SHUTTING_DOWN, "the request was given up while it waited for its transaction");
		err->cancelled = true;
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		return false;
	}
	return give_up_waiting(t, tx, full, err);
}
