/* The table of transactions: nodes, tombstones, what is said of them. What begins and ends them: tx.c, tx_end.c. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "store/session/tx.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

#define TIMEOUT_MAX_S 3153600000.0 /* a hundred years: what "no limit" means here */

struct tx_table *tx_table_create(struct session_table *sessions, double default_timeout_s, double max_timeout_s,
				 double tombstone_s, size_t max_per_session, size_t queue_max)
{
	struct tx_table *t = mem_alloc(sizeof(*t));

	t->sessions = sessions;
	t->lock = &sessions->lock;
	map_init(&t->open);
	map_init(&t->holders);
	graveyard_init(&t->dead);
	t->default_timeout_s = default_timeout_s;
	t->max_timeout_s = max_timeout_s > 0 && max_timeout_s < TIMEOUT_MAX_S ? max_timeout_s : TIMEOUT_MAX_S;
	t->tombstone_s = tombstone_s;
	t->max_per_session = max_per_session;
	t->queue_max = queue_max;
	sessions->transactions = t;
	return t;
}

struct tx *tx_ref(struct tx *tx)
{
	(void)__atomic_add_fetch(&tx->refs, 1, __ATOMIC_RELAXED);
	return tx;
}

static void root_unref(struct tx_root *root)
{
	if (__atomic_sub_fetch(&root->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	assert(root->ended && root->lease.conn == NULL);
	turn_done(&root->turn);
	mutex_done(&root->conn_lock);
	connection_unref(root->conn);
	session_unref(root->session);
	mem_free(root->settings);
	mem_free(root->told);
	mem_free(root);
}

void tx_unref(struct tx *tx)
{
	while (tx != NULL && __atomic_sub_fetch(&tx->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		struct tx *parent = tx->parent;

		imap_destroy(tx->imap); /* before the session's, which the root may hold alone */
		root_unref(tx->root);
		mem_free(tx);
		tx = parent;
	}
}

void tx_move(struct tx *tx, enum tx_phase to)
{
	/* from (row) to: open, aborted, committed, rolled back, expired, unknown */
	static const bool allowed[2][TX_UNKNOWN + 1] = {
		[TX_OPEN] = {true, true, true, true, true, true},
		[TX_ABORTED] = {true, true, false, true, true, true},
	};

	assert(tx->phase <= TX_ABORTED && allowed[tx->phase][to]);
	tx->phase = to;
}

void tx_publish(struct tx_table *t, struct tx *tx)
{
	struct tx_root *root = tx->root;
	struct session *s = root->session;

	tx->seq = t->next_seq++;
	(void)map_put(&t->open, str_z(tx->id), tx);
	root->innermost = tx;
	if (tx->parent != NULL)
		return;
	root->top = tx;
	(void)__atomic_add_fetch(&root->conn->n_transactions, 1, __ATOMIC_RELAXED);
	if (s == NULL)
		return;
	tx->next = s->transactions;
	if (tx->next != NULL)
		tx->next->prev = tx;
	s->transactions = tx;
}

static void unlink_root(struct tx_table *t, struct tx *tx)
{
	struct tx_root *root = tx->root;
	struct session *s = root->session;

	__atomic_store_n(&root->ended, 1, __ATOMIC_RELEASE);
	root->top = NULL;
	(void)__atomic_sub_fetch(&root->conn->n_transactions, 1, __ATOMIC_RELAXED);
	tx_share_give(t, root->conn, str_n(root->owner, root->owner_len));
	if (s == NULL)
		return;
	if (tx->prev != NULL)
		tx->prev->next = tx->next;
	else
		s->transactions = tx->next;
	if (tx->next != NULL)
		tx->next->prev = tx->prev;
	tx->next = tx->prev = NULL;
	(void)__atomic_sub_fetch(&s->n_transactions, 1, __ATOMIC_RELAXED);
}

static void add_grave(struct tx_table *t, const struct tx *tx, enum tx_why why)
{
	const struct tx_root *root = tx->root;
	const struct str conn = root->conn->name;
	struct tx_grave *g = mem_alloc(sizeof(*g) + root->owner_len + conn.len + 1);

	g->grave.ended_ns = clock_mono_ns();
	memcpy(g->grave.id, tx->id, sizeof(tx->id));
	if (tx->parent != NULL)
		memcpy(g->parent_id, tx->parent->id, sizeof(g->parent_id));
	g->session_uid = root->session != NULL ? root->session->uid : 0;
	g->phase = tx->phase;
	g->why = why;
	g->created_us = tx->created_us;
	g->expires_us = root->expires_us;
	g->ended_us = clock_real_us();
	g->timeout_s = root->timeout_s;
	g->savepoint = tx->savepoint;
	g->read_only = root->read_only;
	g->mark = root->mark;
	g->owner_len = root->owner_len;
	g->conn_len = conn.len;
	memcpy(g->text, root->owner, root->owner_len);
	if (conn.len != 0)
		memcpy(g->text + root->owner_len, conn.p, conn.len);
	graveyard_add(&t->dead, &g->grave);
}

/* What became of what it has in its map. */
static enum imap_end map_end(enum tx_phase phase)
{
	return phase == TX_COMMITTED ? IMAP_COMMITTED : phase == TX_UNKNOWN ? IMAP_UNKNOWN : IMAP_ROLLED_BACK;
}

void tx_bury(struct tx_table *t, struct tx *upto, enum tx_phase phase, enum tx_why why)
{
	struct tx_root *root = upto->root;
	struct tx *tx;
	bool last;

	do {
		tx = root->innermost;
		last = tx == upto;
		root->innermost = tx->parent;
		tx_move(tx, phase);
		imap_end(tx->imap, map_end(phase));
		(void)map_remove(&t->open, str_z(tx->id));
		add_grave(t, tx, last || why > TX_WHY_OUTER ? why : TX_WHY_OUTER);
		if (tx->parent == NULL)
			unlink_root(t, tx);
		tx_unref(tx); /* the table's; the caller still has one of the root */
	} while (!last);
}

void tx_set_aborted(struct tx_root *root, bool aborted)
{
	for (struct tx *tx = root->innermost; tx != NULL; tx = tx->parent)
		tx_move(tx, aborted ? TX_ABORTED : TX_OPEN);
}

void tx_find(struct tx_table *t, struct str id, const struct session *session, struct str owner, struct tx **ret,
	     struct tx_grave **ret_grave)
{
	const uint64_t uid = session != NULL ? session->uid : 0;
	struct tx *tx = map_get(&t->open, id);
	struct tx_grave *g;

	*ret = NULL;
	*ret_grave = NULL;
	if (tx != NULL) {
		if (tx->root->session == session && str_eq(str_n(tx->root->owner, tx->root->owner_len), owner))
			*ret = tx;
		return;
	}
	g = (struct tx_grave *)(void *)graveyard_find(&t->dead, id);
	if (g != NULL && g->session_uid == uid && str_eq(str_n(g->text, g->owner_len), owner))
		*ret_grave = g;
}

/* A released savepoint is undone with what it lies in; one that the server ended shares what then became of the whole.
 */
static const struct tx_grave *fate(struct tx_table *t, const struct tx_grave *g)
{
	const struct tx_grave *outer = g;

	while (g->parent_id[0] != '\0' && (g->phase == TX_COMMITTED || g->phase == TX_EXPIRED)) {
		g = (const struct tx_grave *)(const void *)graveyard_find(&t->dead, str_z(g->parent_id));
		if (g == NULL)
			break; /* still open */
		outer = g;
	}
	return outer;
}

enum tx_phase tx_grave_phase(struct tx_table *t, const struct tx_grave *g)
{
	return fate(t, g)->phase;
}

bool tx_fate(struct tx_table *t, struct str id, enum tx_phase *ret)
{
	const struct tx_grave *g = NULL;

	mutex_lock(t->lock);
	const struct tx *tx = map_get(&t->open, id);
	if (tx == NULL)
		g = (const struct tx_grave *)(void *)graveyard_find(&t->dead, id);
	if (tx != NULL)
		*ret = tx->phase;
	else if (g != NULL)
		*ret = tx_grave_phase(t, g);
	mutex_unlock(t->lock);
	return tx != NULL || g != NULL;
}

static const char *phase_word(enum tx_phase phase)
{
	static const char *const words[] = {
		[TX_OPEN] = "open",           [TX_ABORTED] = "aborted",
		[TX_COMMITTED] = "committed", [TX_ROLLED_BACK] = "rolled_back",
		[TX_EXPIRED] = "expired",     [TX_UNKNOWN] = "unknown",
	};

	return words[phase];
}

/* A sentence about an ended one. */
static void say(const struct tx_grave *g, char *buf, size_t size)
{
	const char *what = g->phase == TX_COMMITTED ? "committed" : "rolled back", *how = "";
	char at[CLOCK_RFC3339_BYTES];

	clock_rfc3339(g->ended_us, at);
	if (g->phase == TX_UNKNOWN && g->why == TX_WHY_STANDBY) {
		(void)snprintf(
			buf, size,
			"the transaction committed at %s on the server that runs it, but the wait for its "
			"synchronous standby was cancelled: it may not have been replicated, and be lost if that "
			"server is",
			at);
		return;
	}
	if (g->phase == TX_UNKNOWN) {
		(void)snprintf(
			buf, size,
			"the database was lost at %s while the transaction committed; whether it did is not known", at);
		return;
	}
	if (g->why == TX_WHY_TIMEOUT && g->phase == TX_EXPIRED) {
		(void)snprintf(buf, size,
			       "the transaction was rolled back by the server after its timeout of %.15g s, at %s",
			       g->timeout_s, at);
		return;
	}
	switch (g->why) {
	case TX_WHY_RAW:
		how = " by a statement of the client's";
		break;
	case TX_WHY_OUTER:
		how = " with the transaction around it";
		break;
	case TX_WHY_FAILED:
		how = " because its end failed";
		break;
	case TX_WHY_STANDBY: /* TX_UNKNOWN only */
	case TX_WHY_LOST:
		how = " because its database connection was lost";
		break;
	case TX_WHY_SESSION:
		how = " by the server when its session ended";
		break;
	case TX_WHY_CONNECTION:
		how = " by the server when its connection was closed";
		break;
	case TX_WHY_OWNER:
		how = " by the server when the rights of its key became fewer";
		break;
	case TX_WHY_IDLE:
		how = " by the server because no request used it for transaction_idle_seconds";
		break;
	case TX_WHY_CLIENT:
	case TX_WHY_TIMEOUT:
		break;
	}
	(void)snprintf(buf, size, "the transaction was %s%s, at %s", what, how, at);
}

bool tx_gone(struct tx_table *t, const struct tx_grave *g, struct err *err)
{
	const struct tx_grave *end;
	char text[256];

	if (g == NULL)
		return err_set(err, ERR_TRANSACTION_NOT_FOUND,
			       "there is no transaction with this id here; begin a new one");
	end = fate(t, g);
	say(end, text, sizeof(text));
	if (end->phase == TX_EXPIRED) {
		(void)err_set(err, ERR_TRANSACTION_EXPIRED, "%s; begin a new one", text);
		err->outcome = ERR_OUTCOME_ROLLED_BACK;
	} else {
		(void)err_set(err, ERR_TRANSACTION_ENDED, "%s; begin a new one", text);
		err->outcome = end->phase == TX_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_OUTCOME_NONE;
	}
	(void)snprintf(err->state, sizeof(err->state), "%s", phase_word(end->phase));
	return false;
}

static void set_savepoint(struct arena *a, unsigned n, struct tx_view *v)
{
	v->savepoint = n != 0 ? arena_printf(a, "sp_%u", n) : STR_NONE;
}

void tx_view_open(const struct tx *tx, struct arena *a, struct tx_view *ret)
{
	const struct tx_root *root = tx->root;

	*ret = (struct tx_view){
		.connection_name = arena_str(a, root->conn->name),
		.phase = tx->phase,
		.state = phase_word(tx->phase),
		.created_us = tx->created_us,
		.expires_us = root->expires_us,
		.read_only = root->read_only,
	};
	memcpy(ret->id, tx->id, sizeof(ret->id));
	if (tx->parent != NULL)
		memcpy(ret->parent_id, tx->parent->id, sizeof(ret->parent_id));
	set_savepoint(a, tx->savepoint, ret);
}

void tx_view_ended(struct tx_table *t, const struct tx_grave *g, struct arena *a, struct tx_view *ret)
{
	const struct tx_grave *end = fate(t, g);
	char text[256];

	say(end, text, sizeof(text));
	*ret = (struct tx_view){
		.connection_name = arena_str(a, str_n(g->text + g->owner_len, g->conn_len)),
		.detail = arena_str(a, str_z(text)),
		.phase = end->phase,
		.state = phase_word(end->phase),
		.created_us = g->created_us,
		.expires_us = g->expires_us,
		.ended_us = end->ended_us,
		.read_only = g->read_only,
	};
	memcpy(ret->id, g->grave.id, sizeof(ret->id));
	memcpy(ret->parent_id, g->parent_id, sizeof(ret->parent_id));
	set_savepoint(a, g->savepoint, ret);
}

static int by_seq(const void *a, const void *b)
{
	const struct tx *x = *(const struct tx *const *)a, *y = *(const struct tx *const *)b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

size_t tx_list(struct tx_table *t, const struct session *session, struct arena *a, struct tx_view **ret)
{
	size_t n = 0, pos = 0;
	struct tx **found, *tx;

	mutex_lock(t->lock);
	found = arena_array(a, t->open.n + 1, sizeof(struct tx *));
	while ((tx = map_next(&t->open, &pos)) != NULL) {
		if ((session == NULL || tx->root->session == session) &&
		    !__atomic_load_n(&tx->root->nascent, __ATOMIC_RELAXED))
			found[n++] = tx;
	}
	qsort(found, n, sizeof(struct tx *), by_seq);
	*ret = arena_array(a, n + 1, sizeof(**ret));
	for (size_t i = 0; i < n; i++)
		tx_view_open(found[i], a, &(*ret)[i]);
	mutex_unlock(t->lock);
	return n;
}
