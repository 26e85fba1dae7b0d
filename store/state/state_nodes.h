/*
 * What servers that share a state keep in it of themselves and of their sessions. Times are microseconds of the state's
 * clock, so that nobody's own has to be right; a session is named by the hash of its id. Answers are in the caller's
 * arena.
 */
#ifndef FERROD_STORE_STATE_STATE_NODES_H
#define FERROD_STORE_STATE_STATE_NODES_H

#include "store/state/state.h"

/*
 *   nodes     name, instance (of one start), url, ..., seen_us, beats: the heartbeat
 *   sessions  id (hash), node and instance that serve it, phase, owner (hash), connection, limits, used_us
 *
 * All of it parks. Errors are those of the state's database, unless it says otherwise.
 */

#define STATE_HASH_BYTES 65     /* SHA-256 in hexadecimal, and NUL */
#define STATE_DEAD_US 3000000   /* a node whose beat is older is dead */
#define STATE_SILENT_US 2000000 /* one whose beat is older may be taken for another's of its name */

/* Spans are borrowed, or in the caller's arena when they come from here. */
struct state_node {
	struct str name, instance, url, version;
	struct str boot; /* of the machine, and of the view that it has of processes */
	int64_t pid;
	int64_t started_us, seen_us, age_us, beats; /* age_us: of the last beat */
	int64_t draining, sessions, transactions;
};

/* Makes the name this instance's, if it is free: nobody has it, or a silent one, or one that `dead` says is gone.
 * *ret_claimed; else *ret_rival is who has it (in the arena). */
bool state_node_claim(struct state *s, struct arena *a, const struct state_node *me,
		      bool (*dead)(const struct state_node *rival), bool *ret_claimed, struct state_node *ret_rival,
		      struct err *err) MUST_CHECK;
/* One beat. *ret_mine: the name is still this instance's. *ret_version: of the state's catalog. */
bool state_node_beat(struct state *s, const struct state_node *me, bool *ret_mine, int64_t *ret_version,
		     struct err *err) MUST_CHECK;
/* The instance is gone, in good order. */
bool state_node_leave(struct state *s, const struct state_node *me, struct err *err) MUST_CHECK;
/* All of them by name, in the arena. */
bool state_node_list(struct state *s, struct arena *a, struct state_node **ret, size_t *ret_n,
		     struct err *err) MUST_CHECK;
/* One of them; *ret_found. */
bool state_node_find(struct state *s, struct arena *a, struct str name, bool *ret_found, struct state_node *ret,
		     struct err *err) MUST_CHECK;

enum state_session_phase { STATE_SESSION_OPEN, STATE_SESSION_HANDED, STATE_SESSION_ENDED };

struct state_session {
	struct str id; /* hash */
	struct str node, instance;
	enum state_session_phase phase;
	struct str owner; /* hash */
	struct str connection;
	struct str settings; /* what its requests tell the database; "": nothing */
	int64_t created_us, used_us, idle_us, life_us, ended_us;
	int64_t why;       /* enum session_end, once ended */
	struct str origin; /* whom the last adopter had it from; "": nobody */
	struct str undone; /* hashes of transactions that a hand-over rolled back, with commas between them */
	int64_t now_us;    /* when it was read */
	bool node_known;   /* the node has a row, of this instance */
	int64_t node_age_us;
	struct str node_url;
	bool node_draining;
};

/* A new one; created_us and used_us are set by the state's clock. claim: see state_claims.h; NULL: none. */
bool state_session_put(struct state *s, const struct state_session *x, const struct state_claim *claim,
		       struct err *err) MUST_CHECK;
/* In the arena; *ret_found. */
bool state_session_get(struct state *s, struct arena *a, struct str id, bool *ret_found, struct state_session *ret,
		       struct err *err) MUST_CHECK;
/* Makes `was` this node's, if it is still as it was read and, when it is open, its node is dead by now. *ret_won. */
bool state_session_adopt(struct state *s, const struct state_session *was, const struct state_node *me, bool *ret_won,
			 struct err *err) MUST_CHECK;

/* What its requests tell the database from now on; of one that is this instance's. */
bool state_session_settings(struct state *s, const struct state_node *me, struct str id, struct str settings,
			    struct err *err) MUST_CHECK;

/* One session in a list of changes. */
struct state_session_change {
	char id[STATE_HASH_BYTES];
	int64_t ago_us; /* of its last use, or its end */
	int64_t why;    /* of an end */
	struct str undone;
};
/* Their last use; of those that are this instance's. */
bool state_sessions_used(struct state *s, const struct state_node *me, const struct state_session_change *list,
			 size_t n, struct err *err) MUST_CHECK;
bool state_sessions_ended(struct state *s, const struct state_node *me, const struct state_session_change *list,
			  size_t n, struct err *err) MUST_CHECK;
bool state_sessions_hand(struct state *s, const struct state_node *me, const struct state_session_change *list,
			 size_t n, struct err *err) MUST_CHECK;
/* Hashes of the open ones of this instance, in the arena. */
bool state_sessions_mine(struct state *s, struct arena *a, const struct state_node *me, struct str **ret, size_t *ret_n,
			 struct err *err) MUST_CHECK;
/* Forgets what ended, or ran out, so long ago, and nodes that have been gone for a day. */
bool state_sessions_forget(struct state *s, int64_t keep_us, struct err *err) MUST_CHECK;

#endif
