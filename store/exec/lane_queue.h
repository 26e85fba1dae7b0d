/*
 * What lane.c and lane_queue.c share: the queue of a lane and who in it leads. A leader holds one of the lane's places
 * from the time it is chosen until its own statement is on its way. Only the lane's own loop touches any of it.
 */
#ifndef FERROD_STORE_LANE_QUEUE_H
#define FERROD_STORE_LANE_QUEUE_H

#include "service/base/wait.h"
#include "store/driver/driver.h"
#include "store/exec/lane_stats.h"

/* Bytes of an item without the error. */
#define LANE_ITEM_BYTES offsetof(struct batch_item, err)
#define LANE_STUCK_NS (20 * CLOCK_NS_PER_MS) /* no write has been answered for so long: more may lead */

struct trip;

struct lane_waiter {
	struct trip *trip; /* a pipeline of writes that it travels with */
	size_t place;      /* in it */
	struct event done;
	int64_t deadline;
	bool taken;     /* by a leader: its statement is on its way */
	bool finished;  /* its round trip is over */
	bool abandoned; /* its request has left: the leader frees it */
	bool lead;      /* woken to lead, not because it is done */
	bool leading;   /* or about to: it holds one of the lane's places */
	bool boarding;  /* leading, and has not decided yet who travels with it */
	struct lane_waiter *next, *prev;
	struct batch_item item; /* last, for its error is large and only written when there is one */
};

struct lane_queue {
	struct lane_waiter *head, *tail;
	size_t n_waiting;
	size_t n_leaders, n_leaders_max;
	size_t n_boarding; /* of the leaders */
	bool writes;
	bool pipelines;       /* writes: each is its own transaction, several connections write at a time */
	size_t n_connections; /* of the pool; no more leaders than that */
	int64_t commit_ns;    /* pipelines: what a write waits for its answer there, smoothed */
	int64_t progress_ns;  /* pipelines: when one was answered */
	struct lane_stats stats;
};

/* Waiters that are kept for the next ones. */
struct lane_spare {
	struct lane_waiter *head; /* linked by next */
	size_t n;
};

/* Zero but for its error. */
struct lane_waiter *lane_waiter_create(struct lane_spare *spare);
void lane_waiter_destroy(struct lane_spare *spare, struct lane_waiter *w);
/* Frees those that are kept. */
void lane_spare_done(struct lane_spare *spare);

void lane_queue_append(struct lane_queue *q, struct lane_waiter *w);
void lane_queue_remove(struct lane_queue *q, struct lane_waiter *w);
/* What waits in a queue of pipelines, spread over the connections that may still be had. Somebody is boarding. */
size_t lane_queue_share(const struct lane_queue *q);

/* Takes one of the lane's places. */
void lane_take_place(struct lane_queue *q, struct lane_waiter *w);
/* No-op for one that is not boarding. */
void lane_end_boarding(struct lane_queue *q, struct lane_waiter *w);
/* Gives a place back, to somebody who is waiting if there is one. */
void lane_pass_on(struct lane_queue *q);
/* What w has been waiting for is stuck, and there are connections left: true, then w holds one of the lane's places. */
bool lane_may_lead(struct lane_queue *q, struct lane_waiter *w);
/* A write of a pipeline has waited so long for its answer. */
void lane_learn_commit(struct lane_queue *q, int64_t ns);

#endif
