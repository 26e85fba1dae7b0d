/* What session*.c and tx*.c share. Nobody else includes this. */
#ifndef FERROD_STORE_SESSION_SESSION_INTERNAL_H
#define FERROD_STORE_SESSION_SESSION_INTERNAL_H

#include "store/session/graveyard.h"
#include "store/session/session_state.h"

struct session_options;
struct tx;
struct tx_table;

struct session_table {
	struct mutex lock; /* the one lock of sessions and transactions */
	struct session_limits limits;
	struct map by_id;  /* open ones; one reference each */
	struct map owners; /* -> struct session_owner: how many each has */
	struct graveyard dead;
	struct tx_table *transactions; /* borrowed; NULL before tx_table_create and after tx_table_destroy */
	uint64_t next_uid;
	struct mint mint;
	/* Told of each end but SESSION_MOVED, under the lock; NULL: nobody is. */
	void (*ended)(void *arg, struct str id, enum session_end why);
	void *ended_arg;
};

struct session_grave {
	struct grave grave;
	enum session_end end;
	int64_t ended_us;
	double limit_s; /* the idle timeout or lifetime that was over */
	size_t n_rolled_back;
	size_t owner_len;
	char owner[];
};

/* A session that nobody knows yet, entered, with references of the table and of the caller; without limits. id
 * STR_NONE: a new one. */
struct session *session_make(const struct session_table *t, struct connection *conn, struct str owner, struct str id,
			     struct str settings);
/* May it be opened? The lock is held, as it is for the next two. */
bool session_may_open(struct session_table *t, const struct connection *conn, struct str owner,
		      const struct session_options *o, struct err *err) MUST_CHECK;
void session_publish(struct session_table *t, struct session *s);
/* Ends it: nobody can enter any more, its transactions are doomed and added to *list. The table's reference goes to the
 * caller. */
void session_take_out(struct session_table *t, struct session *s, enum session_end why, struct tx **list);

/* Puts up the tombstone of s, which ends now. The lock is held. */
void session_bury(struct session_table *t, const struct session *s, size_t n_rolled_back);

/* What the tombstone of that id says to `owner`: ERR_SESSION_EXPIRED or ERR_SESSION_NOT_FOUND; *ret_closed: the client
 * itself closed it. Returns false. The lock is held. */
bool session_gone(struct session_table *t, struct str id, struct str owner, bool *ret_closed, struct err *err);

#endif
