/* What session*.c and tx*.c share. Nobody else includes this. */
#ifndef FERROD_STORE_SESSION_SESSION_INTERNAL_H
#define FERROD_STORE_SESSION_SESSION_INTERNAL_H

#include "store/session/graveyard.h"
#include "store/session/session_state.h"

struct tx_table;

struct session_table {
	struct mutex lock; /* the one lock of sessions and transactions */
	struct session_limits limits;
	struct map by_id;  /* open ones; one reference each */
	struct map owners; /* -> struct session_owner: how many each has */
	struct graveyard dead;
	struct tx_table *transactions; /* borrowed; NULL before tx_table_create and after tx_table_destroy */
	uint64_t next_uid;
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

/* Puts up the tombstone of s, which ends now. The lock is held. */
void session_bury(struct session_table *t, const struct session *s, size_t n_rolled_back);

/* What the tombstone of that id says to `owner`: ERR_SESSION_EXPIRED or ERR_SESSION_NOT_FOUND; *ret_closed: the client
 * itself closed it. Returns false. The lock is held. */
bool session_gone(struct session_table *t, struct str id, struct str owner, bool *ret_closed, struct err *err);

#endif
