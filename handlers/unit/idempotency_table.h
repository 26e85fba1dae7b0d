/*
 * What is remembered of requests with an Idempotency-Key: an entry a key, running or answered, in a room of its caller.
 * Each room has its own bounds (entries, bytes of answers, age), so that nobody pushes out what another did. Every call
 * but kept_lock wants the table's lock held.
 */
#ifndef FERROD_HANDLERS_IDEMPOTENCY_TABLE_H
#define FERROD_HANDLERS_IDEMPOTENCY_TABLE_H

#include <stdint.h>

#include "service/base/err.h"
#include "service/base/str.h"
#include "service/base/wait.h"
#include "handlers/unit/lost_commit.h"
#include "store/session/tx_types.h"

#define KEPT_DIGEST 32 /* bytes of SHA-256 */

struct kept_owner;

/* A request that waits for the first one with its key; on its own stack. */
struct kept_waiter {
	struct event event;
	struct kept_waiter *next;
};

/* A header of a kept answer. */
struct kept_header {
	const char *name; /* static */
	char *value;      /* owned */
	size_t len;
};

/* Why the answer of work that ended well is not there. */
enum kept_why {
	KEPT_WHY_SIZE,   /* it streamed, or is beyond what one answer or all of its caller's may have */
	KEPT_WHY_ROOM,   /* newer ones of its caller took its place */
	KEPT_WHY_RIGHTS, /* its caller has fewer rights than when it came */
};

/* One key's first request: running, or answered. */
struct kept {
	struct kept_owner *owner;
	uint8_t scope[KEPT_DIGEST]; /* the table's key: digest of caller, operation, arguments and key */
	uint8_t body[KEPT_DIGEST];  /* of the request's body */
	bool body_known;            /* else it is still coming in, and the request is running */
	bool running, dead;         /* dead: out of the table, freed with the last waiter */
	size_t n_waiting;
	struct kept_waiter *waiters; /* not woken yet; under the lock */
	bool bare;                   /* the answer itself is not kept */
	enum kept_why why;           /* of a bare one */
	bool withheld;               /* nor will it be, when it comes */
	enum err_outcome outcome;    /* of the work, for when the answer cannot be given */
	struct lost_commit lost;     /* of an unknown one: by what the database can be asked */
	char tx[TX_ID_BYTES];        /* the transaction that its work is part of, whose end decides; "": none */
	int status;
	char *content_type; /* owned, or NULL */
	char *bytes;        /* owned */
	size_t len;
	size_t instance, instance_len; /* where a problem names its request: that of the replay stands there instead; 0:
					  nowhere */
	struct kept_header *headers;   /* owned */
	size_t n_headers;
	size_t size; /* bytes of the answer */
	int64_t kept_ns;
	struct kept *prev, *next; /* of the owner: answered ones, oldest first */
};

/* Of one caller's room. */
struct kept_bounds {
	size_t entries, bytes;
};
/* Bounds of each caller's room that has none of its own. Before the first request. */
void kept_configure(const struct kept_bounds *b);

void kept_lock(void);
void kept_unlock(void);

/* The entry of that scope (KEPT_DIGEST bytes), or NULL; its caller's room is pruned first. Borrowed under the lock. */
struct kept *kept_find(const uint8_t *scope);
/* A new running entry in the room of that caller, which is made with the first. own: the caller's bounds, a member 0:
 * everybody's. Borrowed; ends with kept_answered or kept_forget. */
struct kept *kept_begin(struct str owner, const struct kept_bounds *own, const uint8_t *scope);
/* The entry is filled and stays; its size is booked, older ones of its caller may go. Wakes who waits. */
void kept_answered(struct kept *k);
/* Nothing is to be remembered: takes the entry out; the last of its waiters frees it. Wakes who waits. */
void kept_forget(struct kept *k);
/* What the database says of the lost commit of the entry of that scope, if that is still there and of that mark: one
 * that was rolled back is forgotten. */
void kept_resolve(const uint8_t *scope, const struct commit_mark *m, enum commit_fate fate);
/* Waits until k's first request has ended; parks without the lock. k may be gone afterwards. ERR_TOO_MANY_REQUESTS at
 * the deadline. */
bool kept_wait(struct kept *k, int64_t deadline, struct err *err) MUST_CHECK;

/* Drops all answers of that caller, those of its running requests when they come; the entries stay. Takes the lock
 * itself. */
void kept_withhold(struct str owner);
/* Forgets what is too old, of everybody. Takes the lock itself. */
void kept_expire(int64_t now_ns);
/* Forgets everything; nobody may wait. Takes the lock itself. */
void kept_done(void);

#endif
