/* See give_way.h. Short requests are counted by the period that they began in: those of the present one and the one
 * before count, so that one which waits (for a lock, for pg_sleep) does not hold long ones back for as long. */
#include "service/http/give_way.h"

#include "service/base/clock.h"
#include "service/base/wait.h"
#include "service/metrics.h"

#include "service/base/banned.h"

#define PERIOD_NS (50 * CLOCK_NS_PER_MS)
#define ABOUT_NS CLOCK_NS_PER_MS      /* clients that ask again and again are about between two requests, too */
#define COUNTED_NS CLOCK_NS_PER_MS    /* what is shorter is no rest */
#define LOOK_NS (2 * CLOCK_NS_PER_MS) /* who rests looks that often whether they are */

struct rest {
	struct event turn; /* it is the first */
	struct rest *next;
};

/* The loop's thread alone writes them: others need whole values, not a locked instruction. */
#define GET(at) atomic_load_explicit((at), memory_order_relaxed)
#define SET(at, value) atomic_store_explicit((at), (value), memory_order_relaxed)

void give_way_begin(struct exchange *x, int64_t now)
{
	struct give_way *w = &x->loop->ways;
	const int64_t period = now / PERIOD_NS;
	const size_t i = (size_t)(period & 1);
	const int n = GET(&w->begun[i].period) == period ? GET(&w->begun[i].n) : 0;
	SET(&w->begun[i].n, n + 1);
	SET(&w->begun[i].period, period);
	x->short_period = period;
}

static void forget(struct exchange *x)
{
	struct give_way *w = &x->loop->ways;
	const size_t i = (size_t)(x->short_period & 1);
	if (x->short_period != 0 && GET(&w->begun[i].period) == x->short_period)
		SET(&w->begun[i].n, GET(&w->begun[i].n) - 1);
	x->short_period = 0;
}

void give_way_end(struct exchange *x, int64_t now)
{
	if (x->short_period != 0)
		SET(&x->loop->ways.ended_ns, now);
	forget(x);
}

static bool short_ones_about(const struct server *s, int64_t now)
{
	const int64_t period = now / PERIOD_NS;
	for (unsigned i = 0; i < s->n_loops; i++) {
		const struct give_way *w = &s->loops[i].ways;
		if (now - GET(&w->ended_ns) < ABOUT_NS)
			return true;
		for (size_t k = 0; k < ARRAY_LEN(w->begun); k++)
			if (GET(&w->begun[k].n) > 0 && GET(&w->begun[k].period) >= period - 1)
				return true;
	}
	return false;
}

static void enter(struct give_way *w, struct rest *r)
{
	r->next = NULL;
	if (w->head == NULL)
		w->head = r;
	else
		w->tail->next = r;
	w->tail = r;
}

static void leave(struct give_way *w, const struct rest *r)
{
	const bool first = w->head == r;
	struct rest **at = &w->head, *before = NULL;
	for (; *at != r; at = &(*at)->next)
		before = *at;
	*at = r->next;
	if (w->tail == r)
		w->tail = before;
	if (first && w->head != NULL)
		event_set(&w->head->turn);
}

/* Until its turn has come, and the time for it. False: the request is cancelled. */
static bool rest(const struct exchange *x, struct rest *r, int64_t until)
{
	const struct give_way *w = &x->loop->ways;
	if (w->head != r && event_wait(&r->turn, until) == WAIT_CANCELLED)
		return false;
	for (;;) {
		const int64_t now = clock_mono_ns();
		if (now >= until || now >= w->next_ns || !short_ones_about(x->loop->server, now))
			return true;
		if (wait_until(clock_min(clock_min(until, w->next_ns), now + LOOK_NS)) == WAIT_CANCELLED)
			return false;
	}
}

/* The next may go on when the share of the one that goes on now has passed: as much as it had used the last time. */
static void take_turn(struct exchange *x, int64_t used_ns, int64_t now)
{
	const int64_t percent = x->loop->server->options.long_percent;
	x->loop->ways.next_ns = now + clock_min(used_ns * (100 - percent) / percent, LIMIT_REST_NS);
}

void give_way(struct exchange *x)
{
	struct give_way *w = &x->loop->ways;
	const unsigned percent = x->loop->server->options.long_percent;
	if (percent == 0 || percent >= 100 || x->req.holds)
		return;
	const int64_t cpu = fiber_cpu_ns();
	if (x->short_period != 0 && cpu < LIMIT_SHORT_NS)
		return;
	const int64_t used = cpu - x->cpu_ns, from = clock_mono_ns();
	forget(x);
	struct rest r;
	event_init(&r.turn);
	enter(w, &r);
	(void)rest(x, &r, from + LIMIT_REST_NS);
	leave(w, &r);
	const int64_t now = clock_mono_ns();
	take_turn(x, used, now);
	metrics_add(METRIC_LONG_RESTS, now - from >= COUNTED_NS);
	metrics_add(METRIC_LONG_REST_MS, (uint64_t)((now - from + COUNTED_NS / 2) / CLOCK_NS_PER_MS));
	x->cpu_ns = cpu;
	fiber_held(now - from);
	if (x->req.deadline < CLOCK_NEVER - (now - from))
		x->req.deadline += now - from;
}
