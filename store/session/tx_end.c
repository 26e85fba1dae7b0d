/* Ending transactions: by the client, by the server, with their session or connection. */
#include <assert.h>
#include <stdio.h>

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "store/connection/fate.h"
#include "store/session/tx.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

static bool savepoint_sql(const struct tx *tx, const char *verb, int64_t deadline, struct err *err)
{
	struct driver_conn *c = tx->root->lease.conn;
	char sql[64];

	(void)snprintf(sql, sizeof(sql), "%s SAVEPOINT sp_%u", verb, tx->savepoint);
	return c->driver->simple(c, str_z(sql), deadline, err);
}

static void bury(struct tx_table *t, struct tx *upto, enum tx_phase phase, enum tx_why why)
{
	mutex_lock(t->lock);
	if (upto->phase <= TX_ABORTED) /* else the server was faster */
		tx_bury(t, upto, phase, why);
	mutex_unlock(t->lock);
}

/* Undoes the whole transaction; never fails. The turn is held. */
static void undo_all(struct tx_table *t, struct tx_root *root, struct tx *top, enum tx_why why)
{
	struct driver_conn *c = root->lease.conn;

	if (!c->broken)
		c->driver->rollback(c);
	bury(t, top, TX_ROLLED_BACK, why);
	tx_clear_map(root);
}

static struct tx *top_of(struct tx *tx)
{
	while (tx->parent != NULL)
		tx = tx->parent;
	return tx;
}

/* ROLLBACK TO and RELEASE. When the savepoint is not there any more (a statement of the client's released it), what it
 * protected can only be undone with everything. */
static void undo_savepoint(struct tx_table *t, struct tx *tx)
{
	const int64_t deadline = clock_mono_ns() + LIMIT_UNDO_NS;
	struct tx_root *root = tx->root;
	struct err e;

	tx_tell(tx, STR_NONE); /* it may have been told inside */
	if (!savepoint_sql(tx, "ROLLBACK TO", deadline, &e) || !savepoint_sql(tx, "RELEASE", deadline, &e)) {
		undo_all(t, root, top_of(tx), root->lease.conn->broken ? TX_WHY_LOST : TX_WHY_FAILED);
		return;
	}
	mutex_lock(t->lock);
	if (tx->phase <= TX_ABORTED) {
		tx_bury(t, tx, TX_ROLLED_BACK, TX_WHY_CLIENT);
		tx_set_aborted(root, false);
	}
	mutex_unlock(t->lock);
	tx_clear_map(root);
}

static bool was_aborted(struct err *err)
{
	(void)err_set(err, ERR_TRANSACTION_ABORTED,
		      "a statement has failed in this transaction, so it was rolled back instead of committed");
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}

static bool commit_savepoint(struct tx_table *t, struct tx *tx, int64_t deadline, struct err *err)
{
	if (tx_verdict(tx->root) == TX_ABORTED) {
		undo_savepoint(t, tx);
		return was_aborted(err);
	}
	if (!savepoint_sql(tx, "RELEASE", deadline, err)) {
		undo_savepoint(t, tx);
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
		return false;
	}
	bury(t, tx, TX_COMMITTED, TX_WHY_CLIENT);
	return true;
}

/* What a COMMIT came to; `ok`: the driver's answer, with err when it failed. The turn is held. */
static enum tx_phase commit_outcome(const struct tx_root *root, bool ok, const struct err *err)
{
	struct driver_conn *c = root->lease.conn;

	if (c->n_rollbacks != root->n_rollbacks)
		return TX_ROLLED_BACK; /* COMMIT of an aborted one succeeds by rolling back */
	if (c->unreplicated)
		return TX_UNKNOWN;
	if (ok || c->n_commits != root->n_commits)
		return TX_COMMITTED;
	if (err->outcome != ERR_OUTCOME_NOT_STARTED && (c->broken || c->driver->tx_state(c) == TX_STATE_UNKNOWN))
		return TX_UNKNOWN;
	return TX_ROLLED_BACK; /* refused: it is undone now if it is still open */
}

static bool commit_root(struct tx_table *t, struct tx *tx, int64_t deadline, struct err *err)
{
	struct tx_root *root = tx->root;
	struct driver_conn *c = root->lease.conn;
	enum tx_phase outcome = tx_verdict(root);
	bool ok;

	if (outcome == TX_ABORTED) {
		undo_all(t, root, tx, TX_WHY_CLIENT);
		return was_aborted(err);
	}
	if (outcome != TX_OPEN) {
		undo_all(t, root, tx, TX_WHY_LOST);
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
			      "the database connection was lost before the transaction could commit");
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
		return false;
	}
	if (c->driver->commit_mark != NULL && !root->read_only && !tx_knows_mark(root) &&
	    !c->driver->commit_mark(c, deadline, &root->mark, err)) {
		undo_all(t, root, tx, c->broken ? TX_WHY_LOST : TX_WHY_FAILED);
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
		return false;
	}
	err->outcome = ERR_OUTCOME_NONE;
	ok = c->driver->commit(c, deadline, err);
	outcome = commit_outcome(root, ok, err);
	if (outcome == TX_COMMITTED) {
		bury(t, tx, outcome, TX_WHY_CLIENT);
		return true;
	}
	if (outcome == TX_ROLLED_BACK) {
		undo_all(t, root, tx, TX_WHY_FAILED);
		if (ok)
			return was_aborted(err);
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
		return false;
	}
	if (c->unreplicated) /* committed here, as the database would say; whether it lasts is what nobody knows */
		root->mark.is_set = false;
	bury(t, tx, TX_UNKNOWN, c->unreplicated ? TX_WHY_STANDBY : TX_WHY_LOST);
	tx_clear_map(root);
	if (err->code != ERR_DATABASE_UNAVAILABLE && !c->unreplicated)
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
			      "the database was lost while the transaction committed; whether it did is not known");
	err->outcome = ERR_OUTCOME_UNKNOWN;
	return false;
}

/* Does it with the turn held; not interrupted by a client that goes away. */
static bool finish(struct tx_table *t, struct tx *tx, bool commit, int64_t deadline, struct err *err)
{
	bool ok = true;

	fiber_shield();
	if (commit)
		ok = tx->parent == NULL ? commit_root(t, tx, deadline, err) : commit_savepoint(t, tx, deadline, err);
	else if (tx->parent == NULL)
		undo_all(t, tx->root, tx, TX_WHY_CLIENT);
	else
		undo_savepoint(t, tx);
	fiber_unshield();
	return ok;
}

/* Says of a commit that was lost what the database knows of it. The connection has been given back. */
static void ask_fate(struct tx_table *t, struct str id, const struct tx_root *root, int64_t deadline, struct err *err)
{
	fiber_shield();
	fate_tell(tx_resolve(t, id, root->conn, deadline), err);
	fiber_unshield();
}

/* A repeated end of an ended one. The lock is held. */
static bool end_again(struct tx_table *t, const struct tx_grave *g, bool commit, enum tx_phase *ret, struct err *err)
{
	const enum tx_phase phase = g != NULL ? tx_grave_phase(t, g) : TX_EXPIRED;

	if (phase == (commit ? TX_COMMITTED : TX_ROLLED_BACK)) {
		*ret = phase;
		return true;
	}
	return tx_gone(t, g, err);
}

enum end_step { END_GO, END_DONE, END_REFUSED };

/* With the turn: may it be ended so, or has it ended meanwhile? From END_GO on nobody else ends it. The lock is held.
 */
static enum end_step end_check(struct tx_table *t, struct tx *tx, bool commit, enum tx_phase *ret, struct err *err)
{
	struct tx_root *root = tx->root;

	if (!root->ended && clock_mono_ns() >= root->expires_ns)
		(void)tx_doom(t, root, TX_EXPIRED, TX_WHY_TIMEOUT);
	if (tx->phase > TX_ABORTED)
		return end_again(t, (struct tx_grave *)(void *)graveyard_find(&t->dead, str_z(tx->id)), commit, ret,
				 err)
			       ? END_DONE
			       : END_REFUSED;
	if (commit && root->innermost != tx) {
		(void)err_set(err, ERR_TRANSACTIONS_OPEN,
			      "a savepoint inside this transaction is open; commit or roll it back first");
		return END_REFUSED;
	}
	root->committing = true;
	return END_GO;
}

/* With the turn held. */
static bool end_held(struct tx_table *t, struct tx *tx, bool commit, int64_t deadline, enum tx_phase *ret,
		     enum end_step *ret_step, struct err *err)
{
	const struct session *s = tx->root->session;
	bool ok;

	mutex_lock(t->lock);
	*ret_step = end_check(t, tx, commit, ret, err);
	mutex_unlock(t->lock);
	if (*ret_step != END_GO)
		return *ret_step == END_DONE;
	ok = finish(t, tx, commit, deadline, err);
	mutex_lock(t->lock);
	tx->root->committing = false;
	/* what ended meanwhile has spared this one */
	if (!tx->root->ended && s != NULL && s->end != SESSION_OPEN)
		(void)tx_doom(t, tx->root, TX_EXPIRED, TX_WHY_SESSION);
	mutex_unlock(t->lock);
	if (ok)
		*ret = commit ? TX_COMMITTED : TX_ROLLED_BACK;
	return ok;
}

bool tx_end(struct tx_table *t, struct str id, const struct session *session, struct str owner, bool commit,
	    int64_t deadline, enum tx_phase *ret, struct err *err)
{
	enum end_step step;
	struct tx_grave *g;
	struct tx *tx;
	bool ok = false;

	mutex_lock(t->lock);
	tx_find(t, id, session, owner, &tx, &g);
	if (tx != NULL)
		(void)tx_ref(tx);
	else
		ok = end_again(t, g, commit, ret, err);
	mutex_unlock(t->lock);
	if (tx == NULL)
		return ok;
	if (!tx_take_turn(t, tx, deadline, t->queue_max, err)) {
		tx_unref(tx);
		return false;
	}
	ok = end_held(t, tx, commit, deadline, ret, &step, err);
	tx_give_turn(tx->root);
	if (!ok && step == END_GO && commit && err->outcome == ERR_OUTCOME_UNKNOWN)
		ask_fate(t, id, tx->root, deadline, err);
	tx_unref(tx);
	return ok;
}

bool tx_finish(struct tx_table *t, struct tx *tx, bool commit, int64_t deadline, struct commit_mark *ret_lost,
	       struct err *err)
{
	struct tx_root *root = tx->root;
	enum end_step step;
	enum tx_phase phase;
	bool ok;

	*ret_lost = (struct commit_mark){0};
	(void)tx_settled(t, tx);
	ok = end_held(t, tx, commit, deadline, &phase, &step, err);
	if (ok || step != END_GO || !commit || err->outcome != ERR_OUTCOME_UNKNOWN)
		return ok;
	tx_release_ended(root);
	ask_fate(t, str_z(tx->id), root, deadline, err);
	if (err->outcome == ERR_OUTCOME_UNKNOWN)
		*ret_lost = root->mark;
	return false;
}

void tx_ask(struct tx_table *t, struct tx *tx, int64_t deadline, struct commit_mark *ret_lost, struct err *err)
{
	*ret_lost = (struct commit_mark){0};
	if (tx_settled(t, tx) != TX_UNKNOWN)
		return;
	tx_release_ended(tx->root);
	ask_fate(t, str_z(tx->id), tx->root, deadline, err);
	if (err->outcome == ERR_OUTCOME_UNKNOWN)
		*ret_lost = tx->root->mark;
}

void tx_end_session(struct tx_table *t, struct session *s, bool expired)
{
	struct tx *doomed;

	mutex_lock(t->lock);
	(void)tx_doom_session(t, s, expired, &doomed);
	mutex_unlock(t->lock);
	tx_settle(doomed, LIMIT_SETTLE_NS);
}

#define SWEEP_BATCH 64

/* Whose transactions end. */
struct sweep {
	enum tx_why why;               /* TX_WHY_TIMEOUT: those whose time is over, idle or not */
	const struct connection *conn; /* TX_WHY_CONNECTION: its; NULL: all */
	struct str owner;              /* TX_WHY_OWNER: its */
};

/* When its time is over, and why then. */
static int64_t over_at(const struct tx_table *t, const struct tx_root *root, enum tx_why *ret_why)
{
	const int64_t since = __atomic_load_n(&root->idle_since, __ATOMIC_RELAXED);
	*ret_why = TX_WHY_TIMEOUT;
	if (t->idle_ns == 0 || since == CLOCK_NEVER || since + t->idle_ns >= root->expires_ns)
		return root->expires_ns;
	*ret_why = TX_WHY_IDLE;
	return since + t->idle_ns;
}

static bool swept(const struct tx_table *t, const struct sweep *s, struct tx_root *root, int64_t now, int64_t *due)
{
	enum tx_why why;
	if (s->why == TX_WHY_CONNECTION)
		return s->conn == NULL || root->conn == s->conn;
	if (s->why == TX_WHY_OWNER)
		return str_eq(str_n(root->owner, root->owner_len), s->owner);
	const int64_t at = over_at(t, root, &why);
	if (now < at)
		*due = clock_min(*due, at);
	return now >= at;
}

/* Ends up to SWEEP_BATCH roots. Returns how many. Parks. */
static size_t sweep(struct tx_table *t, const struct sweep *s, int64_t *due)
{
	struct tx *found[SWEEP_BATCH], *doomed = NULL, *tx;
	const int64_t now = clock_mono_ns();
	const bool timed = s->why == TX_WHY_TIMEOUT;
	size_t n = 0, pos = 0;

	mutex_lock(t->lock);
	while (n < SWEEP_BATCH && (tx = map_next(&t->open, &pos)) != NULL)
		if (tx->parent == NULL && !tx->root->committing && swept(t, s, tx->root, now, due))
			found[n++] = tx_ref(tx);
	for (size_t i = 0; i < n; i++) {
		enum tx_why why = s->why;
		if (timed)
			(void)over_at(t, found[i]->root, &why);
		(void)tx_doom(t, found[i]->root, TX_EXPIRED, why);
		found[i]->next_doomed = doomed;
		doomed = found[i];
	}
	if (timed)
		graveyard_forget(&t->dead, now - (int64_t)(t->tombstone_s * (double)CLOCK_NS_PER_S));
	mutex_unlock(t->lock);
	tx_settle(doomed, timed ? 0 : LIMIT_SETTLE_NS);
	return n;
}

void tx_end_connection(struct tx_table *t, struct connection *c)
{
	const struct sweep s = {.why = TX_WHY_CONNECTION, .conn = c};
	while (sweep(t, &s, NULL) == SWEEP_BATCH)
		;
}

void tx_end_owner(struct tx_table *t, struct str owner)
{
	const struct sweep s = {.why = TX_WHY_OWNER, .owner = owner};
	while (sweep(t, &s, NULL) == SWEEP_BATCH)
		;
}

void tx_table_idle(struct tx_table *t, double seconds)
{
	t->idle_ns = (int64_t)(seconds * (double)CLOCK_NS_PER_S);
}

int64_t tx_tick(struct tx_table *t)
{
	/* those that begin after this look may be due earlier than any seen by it */
	int64_t due = clock_mono_ns() + CLOCK_NS_PER_S;
	const struct sweep s = {.why = TX_WHY_TIMEOUT};

	while (sweep(t, &s, &due) == SWEEP_BATCH)
		;
	return due;
}

void tx_table_destroy(struct tx_table *t)
{
	if (t == NULL)
		return;
	if (t->sessions != NULL) {
		tx_end_connection(t, NULL);
		t->sessions->transactions = NULL;
	}
	assert(t->open.n == 0 && t->holders.n == 0);
	graveyard_done(&t->dead);
	map_done(&t->open);
	map_done(&t->holders);
	mem_free(t);
}
