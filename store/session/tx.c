/* Beginning, entering and leaving transactions. */
#include "store/session/tx.h"

#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

struct lease *tx_lease(struct tx *tx)
{
	return &tx->root->lease;
}

struct connection *tx_connection(struct tx *tx)
{
	return tx->root->conn;
}

struct imap *tx_imap(struct tx *tx)
{
	return tx->imap;
}

struct str tx_settings(const struct tx *tx)
{
	return str_z(tx->root->settings);
}

struct str tx_peek_settings(struct tx_table *t, struct str id, struct str owner, struct arena *a)
{
	struct tx_grave *grave;
	struct str settings = STR_NONE;
	struct tx *tx;

	mutex_lock(t->lock);
	tx_find(t, id, NULL, owner, &tx, &grave);
	if (tx != NULL && tx->root->settings != NULL)
		settings = arena_str(a, str_z(tx->root->settings));
	mutex_unlock(t->lock);
	return settings;
}

bool tx_told(const struct tx *tx, struct str what)
{
	return tx->root->told != NULL && str_eq_z(what, tx->root->told);
}

void tx_tell(struct tx *tx, struct str what)
{
	mem_free(tx->root->told);
	tx->root->told = what.p != NULL ? mem_strndup(what.p, what.len) : NULL;
}

int64_t tx_deadline(const struct tx *tx)
{
	return tx->root->expires_ns;
}

static struct tx *node_create(const struct mint *mint, struct tx_root *root, struct tx *parent)
{
	struct tx *tx = mem_alloc(sizeof(*tx));

	mint_tx_id(mint, root->session != NULL ? str_z(root->session->id) : STR_NONE,
		   str_n(root->owner, root->owner_len), tx->id);
	tx->refs = 1;
	tx->root = root;
	(void)__atomic_add_fetch(&root->refs, 1, __ATOMIC_RELAXED);
	tx->parent = parent != NULL ? tx_ref(parent) : NULL;
	tx->depth = parent != NULL ? parent->depth + 1 : 0;
	tx->created_us = clock_real_us();
	return tx;
}

static struct tx_root *root_create(const struct tx_table *t, struct connection *conn, struct session *session,
				   struct str owner, const struct tx_options *o)
{
	struct tx_root *root = mem_alloc(sizeof(*root) + owner.len + 1);

	turn_init(&root->turn);
	mutex_init(&root->conn_lock);
	root->conn = connection_ref(conn);
	root->session = session != NULL ? session_ref(session) : NULL;
	root->read_only = o->read_only;
	root->timeout_s = o->timeout_s > 0 ? o->timeout_s : t->default_timeout_s;
	if (!(root->timeout_s <= t->max_timeout_s))
		root->timeout_s = t->max_timeout_s;
	if (o->settings.p != NULL)
		root->settings = mem_strndup(o->settings.p, o->settings.len);
	root->owner_len = owner.len;
	if (owner.len != 0)
		memcpy(root->owner, owner.p, owner.len);
	return root;
}

/* A place among the session's transactions, so that the session does not close while this one begins. The lock is held.
 */
static bool reserve_in(struct tx_table *t, struct session *s, struct err *err)
{
	bool closed;

	if (s == NULL)
		return true;
	if (s->end != SESSION_OPEN)
		return session_gone(t->sessions, str_z(s->id), s->owner, &closed, err);
	if (__atomic_load_n(&s->n_transactions, __ATOMIC_RELAXED) >= t->max_per_session)
		return err_set(err, ERR_TRANSACTION_LIMIT,
			       "the session has %zu open transactions, which is as many as it may have; end one first",
			       t->max_per_session);
	(void)__atomic_add_fetch(&s->n_transactions, 1, __ATOMIC_RELAXED);
	return true;
}

/* What was reserved is not needed. The lock is held. */
static void unreserve(struct tx_table *t, const struct connection *conn, struct session *s, struct str owner)
{
	tx_share_give(t, conn, owner);
	if (s != NULL)
		(void)__atomic_sub_fetch(&s->n_transactions, 1, __ATOMIC_RELAXED);
}

/* A place in the caller's share of the pool, and in its session. */
static bool reserve(struct tx_table *t, const struct connection *conn, struct session *s, struct str owner,
		    const struct tx_options *o, struct err *err)
{
	bool ok;

	if (!connection_may_begin(conn, err))
		return false;
	mutex_lock(t->lock);
	ok = tx_share_take(t, conn, owner, &o->shares, err);
	if (ok && !reserve_in(t, s, err)) {
		tx_share_give(t, conn, owner);
		ok = false;
	}
	mutex_unlock(t->lock);
	return ok;
}

/* Of one that its first request opens, BEGIN may travel with that one's first statement. */
static bool begin(const struct tx_root *root, struct driver_conn *c, const struct tx_options *o, int64_t deadline,
		  struct err *err)
{
	return root->nascent && c->driver->begin_later != NULL
		       ? c->driver->begin_later(c, o->isolation, o->read_only, deadline, err)
		       : c->driver->begin(c, o->isolation, o->read_only, deadline, err);
}

static bool start(struct tx_root *root, const struct tx_options *o, int64_t deadline, struct err *err)
{
	struct driver_conn *c;

	if (!pool_lease_since(root->conn->pool, LEASE_READ, o->since_ns, deadline, &root->lease, err))
		return false;
	c = root->lease.conn;
	c->mark.is_set = false;
	c->marks = root->nascent && !o->read_only;
	if (!begin(root, c, o, deadline, err)) {
		lease_release(&root->lease);
		return false;
	}
	root->n_commits = c->n_commits;
	root->n_rollbacks = c->n_rollbacks;
	root->expires_ns = clock_deadline(root->timeout_s);
	root->idle_since = clock_mono_ns();
	root->expires_us = clock_real_us() + (int64_t)(root->timeout_s * 1e6);
	return true;
}

/* Does the database protect what was read in it? Then that must have been read in it. */
static bool reads_for_itself(const struct connection *conn, const struct tx_options *o)
{
	return conn->dialect->id == DIALECT_SQLITE || o->isolation == TX_ISO_REPEATABLE_READ ||
	       o->isolation == TX_ISO_SERIALIZABLE;
}

/* *ret: a reference of the caller's, who has its turn. */
static bool open_root(struct tx_table *t, struct connection *conn, struct session *session, struct str owner,
		      const struct tx_options *o, bool nascent, int64_t deadline, struct tx **ret, struct err *err)
{
	struct tx_root *root;
	bool ok, closed;
	struct tx *tx;

	if (!reserve(t, conn, session, owner, o, err))
		return false;
	root = root_create(t, conn, session, owner, o);
	root->nascent = nascent;
	tx = node_create(&t->sessions->mint, root, NULL);
	ok = start(root, o, deadline, err);
	ok = ok && tx_take_turn(t, tx, deadline, 0, err); /* nobody else knows it */
	mutex_lock(t->lock);
	if (ok && session != NULL && session->end != SESSION_OPEN)
		ok = session_gone(t->sessions, str_z(session->id), session->owner, &closed, err);
	ok = ok && connection_may_begin(conn, err);
	if (ok) {
		tx->imap = session != NULL ? imap_over(session->imap, reads_for_itself(conn, o), false) : NULL;
		tx_publish(t, tx);
		*ret = tx_ref(tx);
	} else {
		root->ended = 1;
		unreserve(t, conn, session, owner);
	}
	mutex_unlock(t->lock);
	if (!ok) {
		lease_release(&root->lease); /* rolls back */
		tx_unref(tx);
	}
	return ok;
}

bool tx_begin(struct tx_table *t, struct connection *conn, struct session *session, struct str owner,
	      const struct tx_options *o, int64_t deadline, struct arena *a, struct tx_view *ret, struct err *err)
{
	struct tx *tx;

	if (!open_root(t, conn, session, owner, o, false, deadline, &tx, err))
		return false;
	mutex_lock(t->lock);
	tx_view_open(tx, a, ret);
	mutex_unlock(t->lock);
	tx_give_turn(tx->root);
	tx_unref(tx);
	return true;
}

bool tx_open(struct tx_table *t, struct connection *conn, struct session *session, struct str owner,
	     const struct tx_options *o, int64_t deadline, struct tx **ret, struct err *err)
{
	if (!open_root(t, conn, session, owner, o, true, deadline, ret, err))
		return false;
	(*ret)->root->may_commit = false;
	return true;
}

bool tx_will_commit(struct tx *tx, struct commit_mark **ret_mark)
{
	struct tx_root *root = tx->root;

	if (tx->parent != NULL || __atomic_load_n(&root->ended, __ATOMIC_ACQUIRE))
		return false;
	root->may_commit = root->closing = true;
	*ret_mark = root->read_only || tx_knows_mark(root) ? NULL : &root->mark;
	return true;
}

const char *tx_id(const struct tx *tx)
{
	return tx->id;
}

bool tx_savepoint(struct tx_table *t, struct tx *parent, int64_t deadline, struct arena *a, struct tx_view *ret,
		  struct err *err)
{
	struct tx_root *root = parent->root;
	struct driver_conn *c = root->lease.conn;
	char sql[32];
	struct tx *tx;
	bool ok;

	if (parent->depth >= LIMIT_SAVEPOINT_DEPTH)
		return err_set(err, ERR_TRANSACTION_LIMIT, "savepoints may be nested %d deep, which these are already",
			       LIMIT_SAVEPOINT_DEPTH);
	if (!tx_check(parent, STR_NONE, err))
		return false;
	(void)snprintf(sql, sizeof(sql), "SAVEPOINT sp_%u", root->n_savepoints + 1);
	if (!c->driver->simple(c, str_z(sql), clock_min(deadline, root->expires_ns), err))
		return false;
	tx = node_create(&t->sessions->mint, root, parent);
	tx->savepoint = ++root->n_savepoints;
	mutex_lock(t->lock);
	ok = !root->ended;
	if (ok) {
		tx->imap = imap_over(parent->imap, false, false);
		tx_publish(t, tx);
		tx_view_open(tx, a, ret);
	}
	mutex_unlock(t->lock);
	if (!ok) { /* the server ended it while the statement ran */
		tx_unref(tx);
		return tx_check(parent, STR_NONE, err);
	}
	return true;
}

/* Why one with the turn may not go on; false: *err. The lock is held. */
static bool may_work(struct tx_table *t, struct tx *tx, bool even_aborted, struct err *err)
{
	(void)tx_doom_if_over(t, tx->root);
	if (tx->phase > TX_ABORTED)
		return tx_gone(t, (struct tx_grave *)(void *)graveyard_find(&t->dead, str_z(tx->id)), err);
	if (tx->root->innermost != tx)
		return err_set(err, ERR_TRANSACTIONS_OPEN,
			       "a savepoint inside this transaction is open; name the innermost one, or end it first");
	if (tx->phase == TX_ABORTED && !even_aborted) {
		(void)err_set(
			err, ERR_TRANSACTION_ABORTED,
			"a statement has failed and the database refuses further work; roll the transaction back");
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		return false;
	}
	return true;
}

bool tx_enter(struct tx_table *t, struct str id, const struct session *session, struct str owner, bool even_aborted,
	      int64_t deadline, struct tx **ret, struct err *err)
{
	struct tx_grave *g;
	struct tx *tx;
	bool ok;

	mutex_lock(t->lock);
	tx_find(t, id, session, owner, &tx, &g);
	if (tx != NULL)
		(void)tx_ref(tx);
	else
		(void)tx_gone(t, g, err);
	mutex_unlock(t->lock);
	if (tx == NULL)
		return false;
	if (!tx_take_turn(t, tx, deadline, t->queue_max, err)) {
		tx_unref(tx);
		return false;
	}
	mutex_lock(t->lock);
	ok = may_work(t, tx, even_aborted, err);
	mutex_unlock(t->lock);
	if (!ok) {
		tx_give_turn(tx->root);
		tx_unref(tx);
		return false;
	}
	tx->root->may_commit = false;
	*ret = tx;
	return true;
}

bool tx_check(struct tx *tx, struct str raw_sql, struct err *err)
{
	struct tx_root *root = tx->root;
	enum tx_phase phase;

	if (__atomic_load_n(&root->ended, __ATOMIC_ACQUIRE)) {
		(void)err_set(err, ERR_TRANSACTION_EXPIRED, "the server has ended this transaction; begin a new one");
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
		(void)snprintf(err->state, sizeof(err->state), "expired");
		return false;
	}
	phase = tx_verdict(root);
	if (phase > TX_ABORTED) {
		(void)err_set(err, ERR_TRANSACTION_ENDED,
			      "an earlier statement has ended this transaction; begin a new one");
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		(void)snprintf(err->state, sizeof(err->state), "%s",
			       phase == TX_COMMITTED     ? "committed"
			       : phase == TX_ROLLED_BACK ? "rolled_back"
							 : "unknown");
		return false;
	}
	root->may_commit = raw_sql.p != NULL && stmt_is_transaction(raw_sql);
	return true;
}

void tx_stopped(struct tx_table *t, struct tx *tx, struct err *err)
{
	mutex_lock(t->lock);
	(void)tx_doom_if_over(t, tx->root);
	if (tx->phase > TX_ABORTED)
		(void)tx_gone(t, (struct tx_grave *)(void *)graveyard_find(&t->dead, str_z(tx->id)), err);
	mutex_unlock(t->lock);
}

/* The engine has ended it under us. The turn is held. */
static void follow(struct tx_table *t, struct tx_root *root, enum tx_phase phase)
{
	const bool lost = root->lease.conn->broken;
	const bool unreplicated = phase == TX_UNKNOWN && root->lease.conn->unreplicated;

	if (unreplicated)
		root->mark.is_set = false; /* the database would say that it is committed */
	mutex_lock(t->lock);
	if (!root->ended) {
		tx_set_aborted(root, false); /* it cannot have been when it could commit */
		tx_bury(t, root->top, phase,
			unreplicated    ? TX_WHY_STANDBY
			: lost          ? TX_WHY_LOST
			: root->closing ? TX_WHY_CLIENT
					: TX_WHY_RAW);
	}
	mutex_unlock(t->lock);
	if (phase != TX_COMMITTED)
		tx_clear_map(root);
}

/* The server has ended it while a request ran a COMMIT of its own, which won: say so. */
static void amend(struct tx_table *t, struct tx *tx, enum tx_phase phase)
{
	struct tx_grave *g;

	while (tx->parent != NULL)
		tx = tx->parent;
	mutex_lock(t->lock);
	g = (struct tx_grave *)(void *)graveyard_find(&t->dead, str_z(tx->id));
	if (g != NULL) {
		g->phase = phase;
		g->why = TX_WHY_RAW;
	}
	mutex_unlock(t->lock);
}

enum tx_phase tx_settled(struct tx_table *t, struct tx *tx)
{
	struct tx_root *root = tx->root;
	const enum tx_phase phase = root->lease.conn != NULL ? tx_verdict(root) : tx->phase;

	if (phase > TX_ABORTED && !__atomic_load_n(&root->ended, __ATOMIC_ACQUIRE))
		follow(t, root, phase);
	return phase;
}

void tx_leave(struct tx_table *t, struct tx *tx)
{
	struct tx_root *root;
	enum tx_phase phase;

	if (tx == NULL)
		return;
	root = tx->root;
	__atomic_store_n(&root->nascent, false, __ATOMIC_RELAXED);
	if (root->lease.conn != NULL) {
		phase = tx_verdict(root);
		if (__atomic_load_n(&root->ended, __ATOMIC_ACQUIRE)) {
			if (root->doomed && (phase == TX_COMMITTED || phase == TX_UNKNOWN))
				amend(t, tx, phase);
		} else if (phase > TX_ABORTED) {
			follow(t, root, phase);
		} else {
			mutex_lock(t->lock);
			if (!root->ended)
				tx_set_aborted(root, phase == TX_ABORTED);
			mutex_unlock(t->lock);
		}
	}
	tx_give_turn(root);
	tx_unref(tx);
}

bool tx_lookup(struct tx_table *t, struct str id, const struct session *session, struct str owner, struct arena *a,
	       struct tx_view *ret, struct err *err)
{
	struct tx *tx, *doomed = NULL;
	struct tx_grave *g;
	bool ok = true;

	mutex_lock(t->lock);
	tx_find(t, id, session, owner, &tx, &g);
	if (tx != NULL && clock_mono_ns() >= tx->root->expires_ns) {
		struct tx *top = tx_ref(tx->root->top);

		if (tx_doom(t, tx->root, TX_EXPIRED, TX_WHY_TIMEOUT)) {
			doomed = top;
			tx_find(t, id, session, owner, &tx, &g);
		} else {
			tx_unref(top);
		}
	}
	if (tx != NULL)
		tx_view_open(tx, a, ret);
	else if (g != NULL)
		tx_view_ended(t, g, a, ret);
	else
		ok = tx_gone(t, NULL, err);
	mutex_unlock(t->lock);
	tx_settle(doomed, 0);
	return ok;
}
