/*
 * One server among those that share a state: its name and heartbeat, and the sessions that outlive it; without a shared
 * state it is alone, and its requests pay nothing. The composition root owns it; what it lists lives in the caller's
 * arena.
 */
#ifndef FERROD_STORE_NODE_NODE_H
#define FERROD_STORE_NODE_NODE_H

#include "store/node/node_types.h"

/*
 * A node serves sessions only while its last acknowledged beat, measured from its sending, is younger than
 * STATE_SILENT_US; others adopt its sessions when that beat is older than STATE_DEAD_US by the state's clock. One that
 * was paused or cut off beats again first, and then drops what others have adopted meanwhile. So no session is served
 * twice.
 */

/* At start, on a plain thread: claims the name, for which it may have to wait. state NULL or one that is not shared:
 * alone. Borrows store and state, copies the rest. ERR_INVALID_REQUEST: the name is no name, or is another's. */
bool node_create(struct store *store, struct state *state, const struct node_options *o, struct node **ret,
		 struct err *err) MUST_CHECK;
/* A name that an operator gives. ERR_INVALID_REQUEST: it is none. */
bool node_name_check(struct str name, struct err *err) MUST_CHECK;
/* NULL is fine. */
void node_destroy(struct node *n);
/* Once the port is known and the loops run. */
void node_start(struct node *n, unsigned port, bool tls);

/* Does it share a state? */
bool node_shares(const struct node *n);
struct str node_name(const struct node *n);
/* Names this start of it. */
struct str node_instance(const struct node *n);
/* Has the state been reached lately? Alone: yes. */
bool node_in_touch(const struct node *n);

/* All nodes of the state, or this one alone, in the arena. Parks. */
bool node_list(struct node *n, struct arena *a, struct state_node **ret, size_t *ret_n, struct err *err) MUST_CHECK;

/* Before a session is entered: it is here, or adopted now, or nobody's (session_enter says so then). ERR_WRONG_NODE,
 * ERR_DATABASE_UNAVAILABLE (its node is silent, or the state is), ERR_SESSION_EXPIRED, ERR_TOO_MANY_SESSIONS. Parks;
 * not for a session that is here. */
bool node_session(struct node *n, struct str id, struct str owner, int64_t deadline, struct arena *a,
		  struct node_found *ret, struct err *err) MUST_CHECK;
/* A session that was opened (claim: for an Idempotency-Key, see state_claims.h; or NULL): it is kept from now on.
 * Parks. */
bool node_keep(struct node *n, struct session *s, const struct state_claim *claim, struct err *err) MUST_CHECK;
/* The same of what its requests tell the database from now on, before they do. */
bool node_settings(struct node *n, struct session *s, struct str settings, struct err *err) MUST_CHECK;
/* What has ended here has ended everywhere, once this returns true. Parks. */
bool node_flush_ended(struct node *n, struct err *err) MUST_CHECK;
/* *err is ERR_TRANSACTION_NOT_FOUND: becomes what is to be said of another node's, or an earlier run's, transaction, if
 * it is one. Parks. */
void node_lost_tx(struct node *n, struct str tx_id, struct str session_id, struct str owner, struct arena *a,
		  struct node_found *ret, struct err *err);

/* ---- its end; on a plain thread ---- */

/* Tells the others that it goes. */
void node_drain(struct node *n);
/* Hands over the sessions in which nothing is open; `all`: every one, its transactions rolled back. */
bool node_hand_over(struct node *n, bool all, struct err *err) MUST_CHECK;
/* Nothing is served any more, and the store is about to be emptied: the rest is handed over, the name is free. */
void node_leave(struct node *n);

#endif
