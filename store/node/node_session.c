/* Sessions and transactions of other nodes: asked for, adopted, refused. */
#include "store/node/node.h"

#include <stdio.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/exec/exec.h"
#include "store/node/node_internal.h"

#include "service/base/banned.h"

#define LOOK_NS (10 * CLOCK_NS_PER_MS)
#define USE_SLACK_US 6000000 /* a last use may be so much later than what is kept of it */
#define TRIES 4
#define HANDED_NS (400 * CLOCK_NS_PER_MS) /* a node that drains hands a session that it was asked for over again */

static bool silent_state(struct err *err)
{
	(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
		      "this server has lost touch with the state and cannot know whose the session is");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* The beating fiber is at it; nobody else asks. */
static bool await_fresh(const struct node *n, int64_t deadline, struct err *err)
{
	deadline = clock_min(deadline, clock_deadline(LIMIT_BEAT_WAIT_S));
	while (!node_fresh(n)) {
		if (clock_mono_ns() >= deadline)
			return silent_state(err);
		if (wait_until(clock_mono_ns() + LOOK_NS) == WAIT_CANCELLED) {
			(void)silent_state(err);
			err->cancelled = true;
			return false;
		}
	}
	return true;
}

/* ---- those who have it ---- */

static bool answers(const struct node *n, const struct state_node *other, struct arena *a)
{
	struct str instance;
	return other->url.len > 0 && node_name_valid(other->name) &&
	       n->hooks.ask(n->hooks.arg, other->url, NODE_ASK_NS, a, &instance) && str_eq(instance, other->instance);
}

/* It beats, so it may only be adopted once it does not: who asks is sent there, or told to come back. */
static bool not_here(const struct node *n, const struct state_node *other, struct arena *a, struct node_found *ret,
		     struct err *err)
{
	if (answers(n, other, a)) {
		ret->owner = other->name;
		(void)err_set(err, ERR_WRONG_NODE, "the node \"%.*s\" has it; send the request there",
			      STR_FMT(other->name));
	} else {
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
			      "the node \"%.*s\" has it and does not answer; another one goes on with it in a moment",
			      STR_FMT(other->name));
	}
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* ---- adoption ---- */

/* Does the database lack what backends are looked for with? Then it ends them itself, with their connections. */
static bool cannot_tell(const struct err *err)
{
	return strncmp(err->sqlstate, "42", 2) == 0 || strncmp(err->sqlstate, "0A", 2) == 0;
}

static bool count_rows(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	(void)values;
	(void)n;
	(void)ret_stop;
	(void)err;
	(*(size_t *)arg)++;
	return true;
}

/* Its backends' transactions are rolled back before anything goes on in its place. */
static bool end_backends(struct connection *conn, const struct state_session *was, struct arena *a, struct err *err)
{
	const struct value name =
		value_text(arena_printf(a, "ferrod/%.*s/%.*s", STR_FMT(was->node), STR_FMT(was->instance)));
	const struct stmt s = {.sql = STR("SELECT pid, pg_catalog.pg_terminate_backend(pid) FROM "
					  "pg_catalog.pg_stat_activity WHERE application_name = $1 AND usename = "
					  "CURRENT_USER"),
			       .params = &name,
			       .n_params = 1,
			       .access = STMT_WRITE};
	const int64_t end = clock_deadline(LIMIT_BACKENDS_END_S);
	struct route route = {.conn = conn};
	for (;;) {
		size_t there = 0;
		struct row_sink sink = {.row = count_rows, .arg = &there};
		struct exec_result result;
		struct exec x;
		struct err ignored;
		exec_begin(&x, &route, end, false);
		bool ok = exec_run(&x, &s, &sink, &result, err);
		ok = exec_end(&x, ok, ok ? err : &ignored) && ok;
		if (!ok)
			return cannot_tell(err);
		if (there == 0)
			return true;
		if (clock_mono_ns() >= end)
			return err_set(err, ERR_DATABASE_UNAVAILABLE,
				       "the database has not ended what the node \"%.*s\" has left; try again",
				       STR_FMT(was->node));
		(void)wait_until(clock_mono_ns() + LOOK_NS);
	}
}

static bool connection_of(const struct node *n, const struct state_session *was, int64_t deadline,
			  struct connection **ret, struct err *err)
{
	deadline = clock_min(deadline, clock_deadline(LIMIT_KNOWN_WAIT_S));
	while (!connection_get(&n->store->connections, was->connection, ret, err)) {
		if (clock_mono_ns() >= deadline)
			return err_set(err, ERR_SESSION_EXPIRED,
				       "the session's connection \"%.*s\" is gone; open a new one",
				       STR_FMT(was->connection));
		if (wait_until(clock_mono_ns() + LOOK_NS) == WAIT_CANCELLED) {
			err->cancelled = true;
			return false;
		}
	}
	return true;
}

static bool open_here(struct node *n, struct connection *conn, struct str id, struct str owner,
		      const struct state_session *was, struct err *err)
{
	const struct session_left_over o = {.id = id,
					    .settings = was->settings.len > 0 ? was->settings : STR_NONE,
					    .idle_timeout_us = was->idle_us,
					    .max_lifetime_us = was->life_us,
					    .age_us = clock_max(0, was->now_us - was->created_us)};
	return session_adopt(n->store->sessions, conn, owner, &o, err);
}

enum step { STEP_DONE, STEP_AGAIN, STEP_SOON, STEP_FAILED };

static enum step take_it(struct node *n, struct str id, struct str owner, const struct state_session *was,
			 int64_t deadline, struct arena *a, struct node_found *ret, struct err *err)
{
	const bool mine = str_eq(was->node, n->me.name) && str_eq(was->instance, n->me.instance);
	const bool dead = was->phase == STATE_SESSION_OPEN && !mine;
	struct connection *conn;
	bool won = mine && was->phase == STATE_SESSION_OPEN;
	if (!connection_of(n, was, deadline, &conn, err))
		return STEP_FAILED;
	bool ok = !dead || conn->dsn.dialect != DIALECT_POSTGRES || end_backends(conn, was, a, err);
	ok = ok && (won || state_session_adopt(n->state, was, &n->me, &won, err));
	ok = ok && (!won || open_here(n, conn, id, owner, was, err));
	connection_unref(conn);
	if (!ok)
		return STEP_FAILED;
	if (won && !mine) {
		ret->resumed = was->node;
		n->hooks.report(n->hooks.arg, "session_adopted", was->node);
	}
	ret->here = won;
	return won ? STEP_DONE : STEP_AGAIN;
}

/* ---- the record ---- */

static bool is_over(const struct state_session *x, struct node_found *ret, struct err *err)
{
	const bool old = x->now_us > x->created_us + x->life_us;
	const char *why = "closed by the server";
	if (x->phase == STATE_SESSION_ENDED) {
		ret->closed = x->why == SESSION_CLOSED;
		why = ret->closed                          ? "closed by the client"
		      : x->why == SESSION_IDLE_EXPIRED     ? "closed by the server, for it was not used"
		      : x->why == SESSION_LIFETIME_EXPIRED ? "closed by the server at the end of its lifetime"
		      : x->why == SESSION_DISCONNECTED     ? "closed by the server because its connection was "
							     "disconnected"
							   : why;
	} else if (old) {
		why = "closed by the server at the end of its lifetime";
	} else if (x->now_us > x->used_us + x->idle_us + USE_SLACK_US) {
		why = "closed by the server, for it was not used";
	} else {
		return false;
	}
	(void)err_set(err, ERR_SESSION_EXPIRED, "the session was %s; open a new one", why);
	return true;
}

static enum step resolve_once(struct node *n, struct str id, struct str owner, int64_t deadline, struct arena *a,
			      bool patient, struct node_found *ret, struct err *err)
{
	char hash[SESSION_HASH_BYTES], whose[SESSION_HASH_BYTES];
	struct state_session x;
	bool found;
	session_hash(id, hash);
	session_hash(owner, whose);
	ret->here = session_known(n->store->sessions, id) != SESSION_UNKNOWN;
	if (ret->here)
		return STEP_DONE;
	if (!state_session_get(n->state, a, arena_str(a, str_z(hash)), &found, &x, err))
		return STEP_FAILED;
	if (!found || !str_eq_z(x.owner, whose))
		return STEP_DONE; /* nobody's: session_enter says so */
	if (!node_name_valid(x.node)) {
		(void)err_set(err, ERR_INTERNAL_ERROR, "the state names a node that cannot be");
		return STEP_FAILED;
	}
	const bool mine = str_eq(x.node, n->me.name) && str_eq(x.instance, n->me.instance);
	const bool alive = x.node_known && x.node_age_us <= STATE_DEAD_US;
	if (x.phase == STATE_SESSION_OPEN && alive && !mine) {
		if (x.node_draining && patient)
			return STEP_SOON;
		const struct state_node other = {.name = x.node, .instance = x.instance, .url = x.node_url};
		(void)not_here(n, &other, a, ret, err);
		return STEP_FAILED;
	}
	if (is_over(&x, ret, err))
		return STEP_FAILED;
	return take_it(n, id, owner, &x, deadline, a, ret, err);
}

static bool resolve(struct node *n, struct str id, struct str owner, int64_t deadline, struct arena *a,
		    struct node_found *ret, struct err *err)
{
	const bool draining = __atomic_load_n(&n->draining, __ATOMIC_ACQUIRE) != 0;
	enum step step = STEP_AGAIN;
	if (draining && turn_take(&n->turn, deadline, 0, NULL) != WAIT_READY)
		return err_set(err, ERR_SHUTTING_DOWN, "the server is draining; ask another one");
	const int64_t handed = clock_min(deadline, clock_mono_ns() + HANDED_NS);
	for (int i = 0; i < TRIES && (step == STEP_AGAIN || step == STEP_SOON); i += step == STEP_AGAIN) {
		if (step == STEP_SOON && wait_until(clock_mono_ns() + LOOK_NS) == WAIT_CANCELLED)
			break;
		step = resolve_once(n, id, owner, deadline, a, !draining && clock_mono_ns() < handed, ret, err);
	}
	if (draining)
		turn_give(&n->turn);
	if (step == STEP_AGAIN || step == STEP_SOON) {
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE, "several nodes go on with the session; try again");
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		err->cancelled = step == STEP_SOON;
	}
	return step == STEP_DONE;
}

bool node_session(struct node *n, struct str id, struct str owner, int64_t deadline, struct arena *a,
		  struct node_found *ret, struct err *err)
{
	*ret = (struct node_found){0};
	if (n == NULL || n->state == NULL)
		return true;
	if (!node_fresh(n) && !await_fresh(n, deadline, err))
		return false;
	ret->here = session_known(n->store->sessions, id) != SESSION_UNKNOWN;
	if (ret->here || mint_node_of(id).p == NULL)
		return true;
	return resolve(n, id, owner, deadline, a, ret, err);
}

bool node_keep(struct node *n, struct session *s, const struct state_claim *claim, struct err *err)
{
	char hash[SESSION_HASH_BYTES], owner[SESSION_HASH_BYTES];
	if (n == NULL || n->state == NULL)
		return true;
	session_hash(str_z(s->id), hash);
	session_hash(s->owner, owner);
	const struct state_session x = {.id = str_z(hash),
					.node = n->me.name,
					.instance = n->me.instance,
					.owner = str_z(owner),
					.connection = s->conn->name,
					.settings = s->settings != NULL ? str_z(s->settings) : STR(""),
					.idle_us = s->idle_timeout_ns / 1000,
					.life_us = s->max_lifetime_ns / 1000};
	if (!await_fresh(n, CLOCK_NEVER, err) || !state_session_put(n->state, &x, claim, err))
		return false;
	session_kept(n->store->sessions, s);
	return true;
}

bool node_settings(struct node *n, struct session *s, struct str settings, struct err *err)
{
	char hash[SESSION_HASH_BYTES];
	if (n == NULL || n->state == NULL)
		return true;
	session_hash(str_z(s->id), hash);
	return await_fresh(n, CLOCK_NEVER, err) && state_session_settings(n->state, &n->me, str_z(hash), settings, err);
}

/* ---- transactions ---- */

static void tx_expired(struct str node, enum err_outcome outcome, struct err *err)
{
	(void)err_set(err, ERR_TRANSACTION_EXPIRED,
		      outcome == ERR_OUTCOME_ROLLED_BACK
			      ? "the transaction was rolled back when the node \"%.*s\" went down; begin a new one"
			      : "the transaction ended with the node \"%.*s\"; begin a new one",
		      STR_FMT(node));
	err->outcome = outcome;
	(void)snprintf(err->state, sizeof(err->state), "expired");
}

/* What the session's record says of it: was it rolled back when the session was handed over? */
static enum err_outcome outcome_in(struct node *n, struct str tx_id, struct str session_id, struct arena *a)
{
	char hash[SESSION_HASH_BYTES];
	struct state_session x;
	struct err ignored;
	bool found;
	session_hash(session_id, hash);
	if (!state_session_get(n->state, a, arena_str(a, str_z(hash)), &found, &x, &ignored) || !found)
		return ERR_OUTCOME_UNKNOWN;
	session_hash(tx_id, hash);
	return x.undone.len > 0 && memmem(x.undone.p, x.undone.len, hash, SESSION_HASH_BYTES - 1) != NULL
		       ? ERR_OUTCOME_ROLLED_BACK
		       : ERR_OUTCOME_UNKNOWN;
}

void node_lost_tx(struct node *n, struct str tx_id, struct str session_id, struct str owner, struct arena *a,
		  struct node_found *ret, struct err *err)
{
	struct state_node other;
	struct str node;
	bool this_run, found;
	*ret = (struct node_found){0};
	if (n->state == NULL || err->code != ERR_TRANSACTION_NOT_FOUND ||
	    !mint_knows_tx(session_table_mint(n->store->sessions), tx_id, session_id, owner, &node, &this_run) ||
	    this_run)
		return;
	if (session_id.p != NULL) { /* the session is here by now */
		tx_expired(node, outcome_in(n, tx_id, session_id, a), err);
		return;
	}
	if (str_eq(node, n->me.name)) {
		tx_expired(node, ERR_OUTCOME_UNKNOWN, err);
		return;
	}
	if (!state_node_find(n->state, a, arena_str(a, node), &found, &other, err))
		return;
	if (found && other.age_us <= STATE_DEAD_US)
		(void)not_here(n, &other, a, ret, err);
	else
		tx_expired(node, ERR_OUTCOME_UNKNOWN, err);
}
