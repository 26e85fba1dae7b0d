/* What the files of the pipelines share: postgres_batch.c, postgres_batch_result.c. A pipeline is its caller's and
 * borrows the items; what was sent for one owns its reference to a shape. */
#ifndef FERROD_STORE_DRIVER_POSTGRES_BATCH_H
#define FERROD_STORE_DRIVER_POSTGRES_BATCH_H

#include "store/driver/postgres/postgres_driver.h"

/* What was sent for an item. */
struct pg_sent {
	bool raw;               /* a client's own */
	bool prepares;          /* a Parse of its own travels before it, and has not been answered */
	uint64_t id;            /* 0: nothing was sent */
	size_t n_columns;       /* the statement's, which may be gone when the answer comes */
	struct pg_shape *shape; /* a reference, when it was sent past libpq */
	bool unknown;           /* what its rows look like is not known yet, and could be of use */
};

struct pg_pipeline {
	struct pg_conn *c;
	struct batch_item *const *items;
	struct pg_sent *sent;
	size_t n;
	bool writes;
	bool wired;                    /* it is past libpq */
	const struct pg_shape *awaits; /* then, of the statement whose answer comes next; NULL: the sync point's does */
	int64_t deadline;              /* of what is being read */
	bool prologue, guards;         /* it has one; and that sets the guard */
	bool stale;                    /* plans are older than their tables */
	bool ends;                     /* the server has said that it ends the connection: what follows was not run */
	const struct batch_item *late; /* its time was over and the server was asked to cancel */
};

/* Takes the reply to an item, and what is borrowed of it. Of a batch of reads the first failure is the item's own; what
 * was aborted by it runs again. */
void pg_batch_judge(struct pg_pipeline *p, struct batch_item *item, const struct pg_sent *st, struct pg_reply *reply);
/* The same of a failure. */
void pg_batch_judge_failure(struct pg_pipeline *p, struct batch_item *item, bool raw, struct pg_reply *reply);

/* driver->batch_cursor, batch_step, batch_drop */
struct cursor *pg_batch_cursor(struct batch_item *item);
bool pg_batch_step(struct cursor *cur);
void pg_batch_drop(struct batch_item *item);

#endif
