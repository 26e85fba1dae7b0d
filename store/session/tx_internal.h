/* What tx*.c and session*.c share. Nobody else includes this. */
#ifndef FERROD_STORE_SESSION_TX_INTERNAL_H
#define FERROD_STORE_SESSION_TX_INTERNAL_H

#include "store/session/session_internal.h"
#include "store/session/tx_types.h"

/* Who or what ended a transaction. */
enum tx_why {
	TX_WHY_CLIENT,
	TX_WHY_RAW,
	TX_WHY_OUTER,
	TX_WHY_FAILED,
	TX_WHY_LOST,
	TX_WHY_STANDBY, /* committed, but not waited for until a standby had it */
	TX_WHY_TIMEOUT,
	TX_WHY_SESSION,
	TX_WHY_CONNECTION,
	TX_WHY_OWNER,
	TX_WHY_IDLE
};

/* What a root transaction and the savepoints in it share: the leased connection and the turn to use it. */
struct tx_root {
	int refs; /* atomic: one of each struct tx of it */
	struct turn turn;
	struct mutex conn_lock;  /* whoever cancels holds it, so that lease.conn stays while it does */
	struct lease lease;      /* given back by whoever holds the turn once `ended` is set */
	struct connection *conn; /* owned reference */
	struct session *session; /* owned reference, or NULL */
	struct tx *top;          /* the root's own node; valid until it has ended */
	struct tx *innermost;    /* under the table's lock; NULL once ended */
	int64_t expires_ns, expires_us;
	int64_t idle_since; /* atomic; monotonic, CLOCK_NEVER while a request has its turn */
	double timeout_s;
	uint64_t n_commits, n_rollbacks; /* the connection's counts when it began */
	unsigned n_savepoints;           /* ever made: names them */
	struct commit_mark mark;         /* with the turn: of a commit that is under way */
	char *settings;                  /* owned: tx_options.settings */
	char *told;                      /* owned, with the turn: what the database was told last; NULL: it may know
					    something else by now */
	bool read_only;
	bool nascent;    /* atomic: the request that opened it has not been answered, so nobody is told of it */
	bool committing; /* under the table's lock: its end is being decided by the database */
	bool doomed;     /* set before `ended`: the server ended it; its end undoes what the session's map has of it */
	bool closing;    /* with the turn: that statement takes our own COMMIT along */
	bool may_commit; /* with the turn: the client's statement that runs now may be a COMMIT */
	int ended;       /* atomic; set under the table's lock */
	size_t owner_len;
	char owner[];
};

/* A root transaction or a savepoint; while open, the table has one reference. */
struct tx {
	int refs;               /* atomic */
	struct tx_root *root;   /* owned reference */
	struct tx *parent;      /* owned reference; NULL: root */
	struct tx *next, *prev; /* the session's list of open roots */
	struct tx *next_doomed; /* a list of those that are being ended by the server */
	struct imap *imap; /* owned: what it has read and written, over its parent's or the session's; NULL: none */
	char id[TX_ID_BYTES];
	unsigned depth;      /* 0: root */
	unsigned savepoint;  /* number in its name; 0: root */
	enum tx_phase phase; /* under the table's lock */
	int64_t created_us;
	uint64_t seq; /* order of beginning */
};

struct tx_grave {
	struct grave grave;
	char parent_id[TX_ID_BYTES];
	uint64_t session_uid; /* 0: none */
	enum tx_phase phase;
	enum tx_why why;
	int64_t created_us, expires_us, ended_us;
	double timeout_s;
	unsigned savepoint;
	bool read_only;
	struct commit_mark mark; /* of an unknown one: by what the database can be asked */
	size_t owner_len, conn_len;
	char text[]; /* owner, connection's name */
};

struct tx_table {
	struct session_table *sessions; /* borrowed; NULL once destroyed */
	struct mutex *lock;             /* the session table's */
	struct map open;                /* by id -> struct tx */
	struct graveyard dead;
	double default_timeout_s, max_timeout_s, tombstone_s;
	int64_t idle_ns; /* 0: no bound */
	struct tx_shares shares;
	struct map holders; /* of open transactions, by owner -> struct tx_holder (tx_share.c) */
	size_t max_per_session, queue_max;
	uint64_t next_seq;
};

/* One more root of `owner` on conn, whether it is open or about to begin. ERR_TRANSACTION_LIMIT,
 * ERR_TOO_MANY_REQUESTS: as many as it may have. The lock is held. */
bool tx_share_take(struct tx_table *t, const struct connection *conn, struct str owner, const struct tx_shares *own,
		   struct err *err) MUST_CHECK;
/* It has ended, or did not begin. The lock is held. */
void tx_share_give(struct tx_table *t, const struct connection *conn, struct str owner);

struct tx *tx_ref(struct tx *tx);
void tx_unref(struct tx *tx);

/* Changes a node's phase along the table of allowed transitions. The lock is held. */
void tx_move(struct tx *tx, enum tx_phase to);

/* Publishes a node with all members set: the table's reference is taken from the caller. The lock is held. */
void tx_publish(struct tx_table *t, struct tx *tx);

/* Ends every open node from the innermost up to `upto`, inner ones because the outer one ends; puts up tombstones. The
 * caller has a reference to a node of this root. The lock is held. */
void tx_bury(struct tx_table *t, struct tx *upto, enum tx_phase phase, enum tx_why why);

/* Open or ended, of that session (NULL: of none) and owner; both NULL: not found. The lock is held. */
void tx_find(struct tx_table *t, struct str id, const struct session *session, struct str owner, struct tx **ret,
	     struct tx_grave **ret_grave);
/* The tombstone's phase, but that of the outermost ended one around it where a savepoint was released into it. */
enum tx_phase tx_grave_phase(struct tx_table *t, const struct tx_grave *g);
/* The error that work in an ended one gets (ERR_TRANSACTION_ENDED, ERR_TRANSACTION_EXPIRED); g NULL:
 * ERR_TRANSACTION_NOT_FOUND. Returns false. The lock is held. */
bool tx_gone(struct tx_table *t, const struct tx_grave *g, struct err *err);

/* Fills a view of an open one. */
void tx_view_open(const struct tx *tx, struct arena *a, struct tx_view *ret);
/* The same of one that has ended. The lock is held. */
void tx_view_ended(struct tx_table *t, const struct tx_grave *g, struct arena *a, struct tx_view *ret);

/* The server ends it if its time is over or its connection is closed. The lock is held. */
bool tx_doom_if_over(struct tx_table *t, struct tx_root *root);

/* Waits for the turn until the deadline or the transaction's timeout. n_max: of waiting ones, 0: any number. Parks. */
bool tx_take_turn(struct tx_table *t, struct tx *tx, int64_t deadline, size_t n_max, struct err *err) MUST_CHECK;
/* Gives the turn back; gives the connection back too once the transaction has ended. Parks then. */
void tx_give_turn(struct tx_root *root);
/* The same, and the table follows when a statement of the client's has ended it. The turn is held. */
enum tx_phase tx_settled(struct tx_table *t, struct tx *tx);
/* What the engine says of the transaction: TX_OPEN, TX_ABORTED or how it ended. The turn is held. */
enum tx_phase tx_verdict(const struct tx_root *root);
/* Of one that has ended: gives its connection back, which others may wait for. The turn is held. */
void tx_release_ended(struct tx_root *root);
/* Has its mark come with its first statement, and has nothing run since that may change what it says? Then root->mark
 * is set. The turn is held. */
bool tx_knows_mark(struct tx_root *root);
/* All open nodes are open or aborted. The lock is held. */
void tx_set_aborted(struct tx_root *root, bool aborted);

/* It was undone: empties the map of its session, if it has one. */
void tx_clear_map(const struct tx_root *root);

/* Ends a transaction by the server's will: it reads as ended at once. False: it has ended or is being committed. The
 * connection is given back by tx_settle, or by whoever holds the turn. The lock is held. */
bool tx_doom(struct tx_table *t, struct tx_root *root, enum tx_phase phase, enum tx_why why);
/* Dooms all of a session's; *ret: a list with a reference each. Returns how many. The lock is held. */
size_t tx_doom_session(struct tx_table *t, struct session *s, bool expired, struct tx **ret);
/* Cancels what runs in the doomed and gives their connections back, waiting at most wait_ns for each one's turn; drops
 * the list's references. Without the lock. Parks. */
void tx_settle(struct tx *doomed, int64_t wait_ns);

/* The same for one, without a list or a reference to drop. */
void tx_settle_root(struct tx_root *root, int64_t wait_ns);

#endif
