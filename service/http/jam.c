/* See jam.h. */
#include "service/http/jam.h"

#include "service/base/clock.h"

#include "service/base/banned.h"

#define RUNS_FOR_NOTHING 32 /* in haste, without a callback; such a run takes a microsecond or two */
#define RUNS_OF_PROBE 2     /* one goes on with the connection, one finds nothing more to do for it */
#define LOOK_EVERY_NS (100 * CLOCK_NS_PER_MS)

/* ---- who may be the cause: whose chunks come in ---- */

void jam_watch(struct exchange *x)
{
	struct wire_loop *l = x->loop;
	x->chunked_next = l->chunked;
	x->chunked_prev = NULL;
	if (l->chunked != NULL)
		l->chunked->chunked_prev = x;
	l->chunked = x;
	x->reads_chunks = true;
}

void jam_unwatch(struct exchange *x)
{
	if (!x->reads_chunks)
		return;
	x->reads_chunks = false;
	if (x->loop->probed == x)
		x->loop->probed = NULL;
	if (x->chunked_prev != NULL)
		x->chunked_prev->chunked_next = x->chunked_next;
	else
		x->loop->chunked = x->chunked_next;
	if (x->chunked_next != NULL)
		x->chunked_next->chunked_prev = x->chunked_prev;
}

/* ---- looking for it ---- */

static bool in_haste(const struct wire_loop *l)
{
	MHD_UNSIGNED_LONG_LONG ms;
	return MHD_get_timeout(l->daemon, &ms) == MHD_YES && ms == 0;
}

/* Takes those that the library itself does not have suspended out of the list, suspended now. */
static struct exchange *suspend_suspects(struct wire_loop *l)
{
	struct exchange *suspects = NULL, *next;
	for (struct exchange *x = l->chunked; x != NULL; x = next) {
		next = x->chunked_next;
		if (x->suspended)
			continue;
		jam_unwatch(x);
		MHD_suspend_connection(x->conn); /* no callback of it from here on: it stays */
		x->chunked_next = suspects;
		suspects = x;
	}
	return suspects;
}

/* Whether the library is in haste again once it goes on with x, which may be gone after it. */
static bool hastens(struct wire_loop *l, struct exchange *x)
{
	jam_watch(x);
	l->probed = x;
	MHD_resume_connection(x->conn);
	for (int i = 0; i < RUNS_OF_PROBE; i++)
		MHD_run(l->daemon);
	const bool there = l->probed == x && !x->suspended;
	l->probed = NULL;
	return there && in_haste(l);
}

static struct exchange *find_causes(struct wire_loop *l)
{
	struct exchange *causes = NULL;
	struct exchange *suspects = suspend_suspects(l);
	MHD_run(l->daemon); /* the haste of the last run is over with the next one only */
	const bool among_them = !in_haste(l);
	while (suspects != NULL) {
		struct exchange *x = suspects;
		suspects = x->chunked_next;
		if (among_them && hastens(l, x)) {
			jam_unwatch(x);
			MHD_suspend_connection(x->conn);
			x->chunked_next = causes;
			causes = x;
		} else if (!among_them) {
			jam_watch(x);
			MHD_resume_connection(x->conn);
		}
	}
	loop_kick(l->loop);
	return causes;
}

struct exchange *jam_look(struct wire_loop *l)
{
	if (l->progress || l->chunked == NULL || !l->server->jams || !in_haste(l)) {
		l->progress = false;
		l->n_for_nothing = 0;
		return NULL;
	}
	if (++l->n_for_nothing < RUNS_FOR_NOTHING)
		return NULL;
	const int64_t now = clock_mono_ns();
	if (now < l->next_look_ns)
		return NULL;
	l->next_look_ns = now + LOOK_EVERY_NS;
	l->n_for_nothing = 0;
	return find_causes(l);
}
