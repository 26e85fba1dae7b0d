/* Word of changes: told by PostgreSQL where it can, else looked for. */
#include "store/state/state.h"

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "store/state/state_sql.h"

#include "service/base/banned.h"

#define CHANNEL "ferrod_state"
#define POLL_NS (400 * CLOCK_NS_PER_MS)  /* where nothing is told: a pooler stands between, or there is no LISTEN */
#define MISSED_NS (5 * CLOCK_NS_PER_S)   /* what was told to nobody, or got lost, is found */
#define AGAIN_NS (250 * CLOCK_NS_PER_MS) /* after the first attempt that failed; twice as long after each other */
#define LISTEN_NS (2 * CLOCK_NS_PER_S)

struct state_watch {
	struct state *s;
	struct lease lease; /* of the connection that hears; none: it is polled */
	int64_t again_ns;   /* when it is tried to hear again */
	int64_t pause_ns;   /* and how long that is after it failed, or was lost */
	int64_t heard_ns;   /* since when it is heard */
};

struct state_watch *state_watch_create(struct state *s)
{
	struct state_watch *w = mem_alloc(sizeof(*w));

	w->s = s;
	return w;
}

void state_watch_destroy(struct state_watch *w)
{
	lease_release(&w->lease);
	mem_free(w);
}

/* Behind a pooler the connection that hears would be another's in a moment. */
static bool can_hear(const struct pool *p)
{
	return pool_driver(p)->listen != NULL && pool_pooler(p) != POOLER_TRANSACTION;
}

/* Longer each time, up to what the setting says. */
static void pause_longer(struct state_watch *w)
{
	w->pause_ns = clock_min(w->pause_ns == 0 ? AGAIN_NS : 2 * w->pause_ns, w->s->listen_ns);
	w->again_ns = clock_mono_ns() + w->pause_ns;
}

static bool try_to_hear(struct state_watch *w, struct pool *p)
{
	const int64_t until = clock_mono_ns() + LISTEN_NS;
	struct err ignored;

	if (!pool_lease(p, LEASE_READ, until, &w->lease, &ignored))
		return false;
	if (pool_driver(p)->listen(w->lease.conn, STR(CHANNEL), until, &ignored))
		return true;
	lease_release(&w->lease);
	return false;
}

/* *ret_began: it hears from now on, and may have missed something before. */
static bool hear(struct state_watch *w, bool *ret_began)
{
	struct pool *p = w->s->conn->pool;

	*ret_began = false;
	if (w->lease.conn != NULL && !w->lease.conn->broken)
		return true;
	lease_release(&w->lease);
	if (clock_mono_ns() < w->again_ns || !can_hear(p))
		return false;
	*ret_began = try_to_hear(w, p);
	if (*ret_began)
		w->heard_ns = clock_mono_ns();
	else
		pause_longer(w);
	return *ret_began;
}

/* At once again, unless that does not last. */
static void lost(struct state_watch *w)
{
	if (clock_mono_ns() - w->heard_ns < w->s->listen_ns) {
		pause_longer(w);
		return;
	}
	w->pause_ns = w->again_ns = 0;
}

enum wait_result state_await(struct state_watch *w, bool soon)
{
	bool began;

	if (soon && w->lease.conn != NULL) { /* what the look has met may have befallen this one, too, without a word */
		w->lease.conn->broken = true;
		lost(w);
	}
	if (!hear(w, &began))
		return wait_until(clock_mono_ns() + POLL_NS);
	if (began)
		return WAIT_READY;
	lease_rest(&w->lease, true);
	const enum wait_result r =
		w->lease.conn->driver->notified(w->lease.conn, clock_mono_ns() + (soon ? POLL_NS : MISSED_NS));
	lease_rest(&w->lease, false);
	if (w->lease.conn->broken)
		lost(w);
	return r;
}

void state_tell(struct state *s)
{
	struct arena a;
	struct unit u;
	struct err ignored;

	if (!state_is_postgres(s) || !can_hear(s->conn->pool))
		return;
	/* after the commit, for a server that cannot would undo it; whoever does not hear of it finds it */
	arena_init(&a);
	state_unit_begin(&u, s, &a, false);
	const bool ok = state_run(&u, "SELECT pg_notify('" CHANNEL "', '')", NULL, 0, NULL, NULL, &ignored);
	(void)!state_unit_end(&u, ok, &ignored);
	arena_done(&a);
}
