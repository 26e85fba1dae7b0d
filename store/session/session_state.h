/*
 * One session: what those who work in it see, and how long it lives. The table of them: session.h. Owned by the table;
 * requests hold references.
 */
#ifndef FERROD_STORE_SESSION_SESSION_STATE_H
#define FERROD_STORE_SESSION_SESSION_STATE_H

#include "service/base/map.h"
#include "service/base/mutex.h"
#include "store/connection/registry.h"
#include "store/session/identity_map.h"
#include "store/session/mint.h"

#define SESSION_ID_BYTES MINT_SESSION_BYTES
#define SESSION_REF_BYTES 17

enum session_end {
	SESSION_OPEN,
	SESSION_CLOSED,
	SESSION_IDLE_EXPIRED,
	SESSION_LIFETIME_EXPIRED,
	SESSION_DISCONNECTED,
	SESSION_RESET,
	SESSION_RIGHTS, /* its key may do less, or is gone */
	SESSION_MOVED   /* another server goes on with it: no tombstone */
};

struct tx;

struct session {
	int refs;                    /* atomic */
	uint64_t uid;                /* unique in the process; never 0 */
	char id[SESSION_ID_BYTES];   /* a bearer secret */
	char ref[SESSION_REF_BYTES]; /* SHA-256 prefix of the id, for lists and logs */
	struct str owner;            /* the principal's name ("" without keys); part of the allocation */
	struct connection *conn;     /* owned reference */
	struct imap *imap;           /* owned */
	char *settings;      /* owned: what its requests tell the database, as JSON; NULL: nothing. Stays as it is while
				anybody is in it */
	uint64_t imap_epoch; /* conn->schema_epoch when the map was last cleared */
	int64_t created_us;  /* instant */
	int64_t idle_timeout_ns, expires_ns; /* monotonic: lifetime end */
	int64_t max_lifetime_ns;
	int64_t last_used_ns;    /* monotonic, atomic */
	int64_t kept_ns;         /* last_used_ns as it is kept in the state; under the table's lock */
	int n_running;           /* atomic: requests in it now; not idle while > 0 */
	enum session_end end;    /* under the table's lock */
	struct tx *transactions; /* open root transactions, under the table's lock */
	size_t n_transactions;   /* atomic: open roots, and those that are about to begin */
	size_t n_queued;         /* atomic: requests that wait for a transaction's turn */
};

struct session_limits {
	size_t max_sessions, max_per_owner, max_transactions;
	double idle_timeout_s; /* default */
	double max_lifetime_s; /* default and upper bound for clients, of the idle timeout too */
	double tombstone_s;
	size_t imap_entries, imap_bytes;
};

struct session *session_ref(struct session *s);
/* Frees it with the last reference, whatever it holds. NULL is fine. */
void session_unref(struct session *s);

#endif
