/*
 * Exactly once: the table _ferrod_once in the database of the writes themselves, so that an answer is kept if and only
 * if its write is. A row is made before the work, which makes a second request with the key wait for the first, and
 * gets the answer after it. A transaction of the unit's own on SQLite lets nobody write beside it: there the key is
 * looked for before the work, and the row is made whole after it. Rows that come from here are in the caller's arena.
 */
#ifndef FERROD_STORE_ONCE_ONCE_H
#define FERROD_STORE_ONCE_ONCE_H

#include "store/exec/exec.h"

/* key (hash of caller, operation, arguments and Idempotency-Key), body (hash; '' until it is known), at_us, status (0:
 * no answer yet), content_type, headers (JSON), answer (NULL: it was too large) */
#define ONCE_TABLE "_ferrod_once"

/* Makes the table where it is not there. ERR_DATABASE_FORBIDDEN, with the DDL for somebody who may. Parks. */
bool once_prepare(struct connection *c, int64_t deadline, struct err *err) MUST_CHECK;

struct once_row {
	struct str key;  /* hexadecimal */
	struct str body; /* hexadecimal; "": not known yet */
	int64_t status;
	struct str content_type; /* "": none */
	struct str headers;
	struct str answer; /* STR_NONE: it was too large */
};

/* How the row of a first request comes: both are told to once_end, too. */
enum once_way {
	ONCE_ROW_FIRST,
	ONCE_ROW_ALONG, /* the same, but it goes with the work's first statement: a key that is there shows then only,
			   as err.again, and the unit that runs again asks for ONCE_ROW_FIRST */
	ONCE_ROW_LAST
};

/* First of all in a unit's transaction: the key is ours (*ret_first), or *ret_kept (in the arena) is what the first
 * request left. Rows of before since_us (the server's clock) count as gone. Waits for a first request that is under
 * way. *way: ONCE_ROW_ALONG where that will do, then the way that was taken. ERR_SERIALIZATION_FAILURE: look again in
 * another transaction. Parks. */
bool once_begin(struct exec *x, struct arena *a, const struct once_row *mine, int64_t since_us, enum once_way *way,
		bool *ret_first, struct once_row *ret_kept, struct err *err) MUST_CHECK;
/* Last of all: what is answered. COMMIT goes with it where the unit says so (exec.last) and that can be. Parks. */
bool once_end(struct exec *x, enum once_way way, const struct once_row *mine, int64_t since_us,
	      struct err *err) MUST_CHECK;
/* Of a row that was found, once the unit that found it has ended: its first transaction is as safe as one that is
 * answered now. Where commits wait for a standby, that one's wait may have been cut off: this one waits behind it.
 * Errors of a commit. Parks. */
bool once_confirm(struct connection *c, struct str key, int64_t deadline, struct err *err) MUST_CHECK;
/* Deletes some rows of before then. *ret_more: there may be others. Parks. */
bool once_forget(struct connection *c, int64_t before_us, int64_t deadline, bool *ret_more, struct err *err) MUST_CHECK;

#endif
