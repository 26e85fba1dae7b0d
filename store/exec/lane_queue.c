/* Who waits in a lane and who leads. */
#include "store/exec/lane_queue.h"

#include "service/base/clock.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

#ifdef __SANITIZE_ADDRESS__
#define SPARE_WAITERS 0 /* so that a use after the end shows */
#else
#define SPARE_WAITERS 64
#endif
/* Of a waiter, without the error. */
#define WAITER_BYTES (offsetof(struct lane_waiter, item) + LANE_ITEM_BYTES)
#define COMMIT_NS (CLOCK_NS_PER_MS / 10)     /* that a write waits for: worth one more connection */
#define COMMIT_NS_MAX (20 * CLOCK_NS_PER_MS) /* an odd one counts no more than that */

/* ---- waiters ---- */

struct lane_waiter *lane_waiter_create(struct lane_spare *spare)
{
	struct lane_waiter *w = spare->head;

	if (w == NULL)
		return mem_alloc(sizeof(*w));
	spare->head = w->next;
	spare->n--;
	memset(w, 0, WAITER_BYTES);
	return w;
}

void lane_waiter_destroy(struct lane_spare *spare, struct lane_waiter *w)
{
	if (spare->n + 1 > SPARE_WAITERS) {
		mem_free(w);
		return;
	}
	w->next = spare->head;
	spare->head = w;
	spare->n++;
}

void lane_spare_done(struct lane_spare *spare)
{
	while (spare->head != NULL) {
		struct lane_waiter *next = spare->head->next;

		mem_free(spare->head);
		spare->head = next;
	}
	spare->n = 0;
}

/* ---- the queue ---- */

void lane_queue_append(struct lane_queue *q, struct lane_waiter *w)
{
	w->next = NULL;
	w->prev = q->tail;
	*(q->tail != NULL ? &q->tail->next : &q->head) = w;
	q->tail = w;
	q->n_waiting++;
}

void lane_queue_remove(struct lane_queue *q, struct lane_waiter *w)
{
	*(w->prev != NULL ? &w->prev->next : &q->head) = w->next;
	*(w->next != NULL ? &w->next->prev : &q->tail) = w->prev;
	q->n_waiting--;
}

size_t lane_queue_share(const struct lane_queue *q)
{
	const size_t n_free = q->n_leaders < q->n_leaders_max ? q->n_leaders_max - q->n_leaders : 0;
	const size_t n = q->n_boarding + n_free;

	return (q->n_waiting + n - 1) / n;
}

/* ---- places ---- */

void lane_take_place(struct lane_queue *q, struct lane_waiter *w)
{
	w->leading = w->boarding = true;
	q->n_leaders++;
	q->n_boarding++;
}

void lane_end_boarding(struct lane_queue *q, struct lane_waiter *w)
{
	q->n_boarding -= w->boarding;
	w->boarding = false;
}

void lane_pass_on(struct lane_queue *q)
{
	struct lane_waiter *w = q->head;

	q->n_leaders--;
	/* one that leads already would take the place and never give it back */
	while (w != NULL && w->leading)
		w = w->next;
	if (w == NULL || q->n_leaders >= q->n_leaders_max)
		return;
	lane_take_place(q, w);
	w->lead = true;
	event_set(&w->done);
}

bool lane_may_lead(struct lane_queue *q, struct lane_waiter *w)
{
	const int64_t now = clock_mono_ns();

	if (!q->pipelines || w->taken || q->n_leaders >= q->n_connections || now >= w->deadline ||
	    now - q->progress_ns < LANE_STUCK_NS)
		return false;
	lane_take_place(q, w);
	return true;
}

/* Few connections with long pipelines cost the least while a write takes no longer than it computes; the longer it
 * waits for its commit (to reach a disk, a standby) the more of them side by side. That wait is about the median of a
 * pipeline: a busy machine makes few of them wait for long, a slow commit all. */
void lane_learn_commit(struct lane_queue *q, int64_t ns)
{
	q->commit_ns += (clock_min(ns, COMMIT_NS_MAX) - q->commit_ns) / 8;
	q->n_leaders_max = (size_t)(q->commit_ns / COMMIT_NS);
	if (q->n_leaders_max < LANE_LEADERS)
		q->n_leaders_max = LANE_LEADERS;
	if (q->n_leaders_max > q->n_connections)
		q->n_leaders_max = q->n_connections;
}
