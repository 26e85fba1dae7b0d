/* Sessions of a server that shares its state with others: kept there by their owner, adopted from there, handed over.
 */
#ifndef FERROD_STORE_SESSION_SESSION_SHARE_H
#define FERROD_STORE_SESSION_SESSION_SHARE_H

#include "store/session/session.h"

#define SESSION_HASH_BYTES 65 /* SHA-256 in hexadecimal, and NUL */

/* What the state calls a session, a transaction or an owner. */
void session_hash(struct str id, char ret[SESSION_HASH_BYTES]);

/* From now on ids carry a name, and `ended` is told of each end, under the table's lock (NULL: of none). Before the
 * first session; again with NULL when nobody is to be told any more. */
void session_table_share(struct session_table *t, const struct mint *m,
			 void (*ended)(void *arg, struct str id, enum session_end why), void *arg);
const struct mint *session_table_mint(const struct session_table *t);

enum session_known { SESSION_UNKNOWN, SESSION_HERE, SESSION_GONE };
/* Is it open here, does its tombstone stand here, or neither? Another owner's counts as known. */
enum session_known session_known(struct session_table *t, struct str id);

/* It is kept: from now on its uses are (session_uses), and others may adopt it. */
void session_kept(struct session_table *t, struct session *s);

/* What another server, or an earlier run of this one, has left. */
struct session_left_over {
	struct str id, settings;
	int64_t idle_timeout_us, max_lifetime_us, age_us, unused_us;
};
/* Opens it here, with an empty map, unless it is here. ERR_TOO_MANY_SESSIONS, ERR_CONNECTION_NOT_FOUND. */
bool session_adopt(struct session_table *t, struct connection *conn, struct str owner,
		   const struct session_left_over *o, struct err *err) MUST_CHECK;

struct session_use {
	char hash[SESSION_HASH_BYTES];
	int64_t ago_us;    /* of the last use */
	struct str undone; /* hashes of the transactions that were rolled back, with commas between them */
};
/* The kept ones that were used since they were asked for last, in the arena. */
size_t session_uses(struct session_table *t, struct arena *a, struct session_use **ret);

/* Takes kept ones out, for another server to go on with: those in which nothing runs and no transaction is open, or all
 * of them, their transactions rolled back. In the arena. Parks. */
size_t session_part(struct session_table *t, struct arena *a, bool all, struct session_use **ret);
/* How many transactions are open, in sessions or without one. */
size_t session_open_transactions(struct session_table *t);
/* Takes out the kept ones whose hash is not in the set (any value): other servers have them by now. Parks. */
void session_keep_only(struct session_table *t, const struct map *hashes);

#endif
