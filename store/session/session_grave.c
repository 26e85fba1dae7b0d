/* Tombstones of sessions and what they tell the client. */
#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "store/session/session_internal.h"

#include "service/base/banned.h"

void session_bury(struct session_table *t, const struct session *s, size_t n_rolled_back)
{
	struct session_grave *g = mem_alloc(sizeof(*g) + s->owner.len + 1);

	g->grave.ended_ns = clock_mono_ns();
	memcpy(g->grave.id, s->id, sizeof(s->id));
	g->end = s->end;
	g->ended_us = clock_real_us();
	g->limit_s = (double)(s->end == SESSION_IDLE_EXPIRED ? s->idle_timeout_ns : s->max_lifetime_ns) /
		     (double)CLOCK_NS_PER_S;
	g->n_rolled_back = n_rolled_back;
	g->owner_len = s->owner.len;
	if (s->owner.len != 0)
		memcpy(g->owner, s->owner.p, s->owner.len);
	graveyard_add(&t->dead, &g->grave);
}

static void say_why(const struct session_grave *g, char *buf, size_t size)
{
	const char *text = "closed by the server";

	switch (g->end) {
	case SESSION_IDLE_EXPIRED:
		(void)snprintf(buf, size, "closed by the server after %.15g s without use", g->limit_s);
		return;
	case SESSION_LIFETIME_EXPIRED:
		(void)snprintf(buf, size, "closed by the server at the end of its lifetime of %.15g s", g->limit_s);
		return;
	case SESSION_CLOSED:
		text = "closed by the client";
		break;
	case SESSION_DISCONNECTED:
		text = "closed by the server because its connection was disconnected";
		break;
	case SESSION_RESET:
		text = "closed by the server because everything was reset";
		break;
	case SESSION_RIGHTS:
		text = "closed by the server because the rights of its key became fewer";
		break;
	case SESSION_MOVED:
	case SESSION_OPEN:
		break;
	}
	(void)snprintf(buf, size, "%s", text);
}

bool session_gone(struct session_table *t, struct str id, struct str owner, bool *ret_closed, struct err *err)
{
	const struct session_grave *g = (const struct session_grave *)(const void *)graveyard_find(&t->dead, id);
	char at[CLOCK_RFC3339_BYTES], why[160], rolled_back[64] = "";

	*ret_closed = false;
	if (g == NULL || !str_eq(str_n(g->owner, g->owner_len), owner))
		return err_set(err, ERR_SESSION_NOT_FOUND, "there is no session with this id; open a new one");
	*ret_closed = g->end == SESSION_CLOSED;
	clock_rfc3339(g->ended_us, at);
	say_why(g, why, sizeof(why));
	if (g->n_rolled_back != 0)
		(void)snprintf(rolled_back, sizeof(rolled_back), "; %zu transaction%s rolled back", g->n_rolled_back,
			       g->n_rolled_back == 1 ? " was" : "s were");
	return err_set(err, ERR_SESSION_EXPIRED, "the session was %s, at %s%s; open a new one", why, at, rolled_back);
}
