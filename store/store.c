/* The facade: makes and ends the registries together, in the order in which they use each other. */
#include "store/store.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/exec/exec.h"

#include "service/base/banned.h"

/* Pools are looked after that often. */
#define POOL_TICK_NS CLOCK_NS_PER_S

struct store *store_create(const struct store_options *o)
{
	struct store *s = mem_alloc(sizeof(*s));

	uint8_t life[8];

	s->options = *o;
	num_random(life, sizeof(life));
	num_hex(life, sizeof(life), s->life);
	pool_set_statement_timeout(o->statement_timeout_s);
	connection_registry_init(&s->connections, &exec_sharing);
	schema_registry_init(&s->models);
	s->sessions = session_table_create(&o->sessions);
	s->transactions = tx_table_create(s->sessions, o->tx_timeout_s, o->tx_timeout_max_s, o->sessions.tombstone_s,
					  o->sessions.max_transactions, o->tx_queue_max);
	turn_init(&s->publishing);
	tx_table_idle(s->transactions, o->tx_idle_s);
	tx_table_shares(s->transactions, &o->tx_shares);
	return s;
}

void store_begin_publishing(struct store *s)
{
	fiber_shield();
	while (turn_take(&s->publishing, CLOCK_NEVER, 0, NULL) != WAIT_READY)
		;
}

void store_end_publishing(struct store *s)
{
	turn_give(&s->publishing);
	fiber_unshield();
}

int64_t store_changes(struct store *s)
{
	struct schema *models = schema_registry_get(&s->models);
	uint64_t n = models->generation;

	schema_unref(models);
	mutex_lock(&s->connections.lock);
	n += s->connections.changes;
	mutex_unlock(&s->connections.lock);
	return (int64_t)n;
}

/* What was taken out of the registry: its transactions and sessions end, then its pool. */
static void end_connection(struct store *s, struct connection *c, enum session_end why)
{
	connection_close(c);
	session_end_all(s->sessions, c, why);
	tx_end_connection(s->transactions, c);
	connection_unref(c);
}

void store_end_connection(struct store *s, struct connection *c)
{
	fiber_shield();
	end_connection(s, c, SESSION_DISCONNECTED);
	fiber_unshield();
}

bool store_reset_connection(struct store *s, struct str name, struct err *err)
{
	struct connection *c;

	if (!connection_get(&s->connections, name, &c, err))
		return false;
	fiber_shield();
	session_end_all(s->sessions, c, SESSION_RESET);
	tx_end_connection(s->transactions, c);
	pool_refresh(c->pool);
	fiber_unshield();
	connection_unref(c);
	return true;
}

void store_reset(struct store *s, const struct connection_set *fresh)
{
	struct connection **all;
	struct arena a;
	size_t n;

	arena_init(&a);
	fiber_shield();
	n = connection_replace_all(&s->connections, &a, fresh, &all);
	for (size_t i = 0; i < n; i++)
		end_connection(s, all[i], SESSION_RESET);
	/* those on connections that had been taken out before */
	session_end_all(s->sessions, NULL, SESSION_RESET);
	fiber_unshield();
	arena_done(&a);
}

void store_destroy(struct store *s)
{
	if (s == NULL)
		return;
	store_reset(s, &(struct connection_set){0});
	tx_table_destroy(s->transactions);
	session_table_destroy(s->sessions);
	schema_registry_done(&s->models);
	connection_registry_done(&s->connections);
	turn_done(&s->publishing);
	mem_free(s);
}

int64_t store_tick(struct store *s)
{
	int64_t due = clock_min(session_tick(s->sessions), tx_tick(s->transactions));
	struct connection **all;
	struct arena a;
	size_t n;

	arena_init(&a);
	n = connection_list(&s->connections, &a, &all, NULL);
	for (size_t i = 0; i < n; i++) {
		pool_tick(all[i]->pool);
		connection_unref(all[i]);
	}
	arena_done(&a);
	return clock_min(due, clock_mono_ns() + POOL_TICK_NS);
}

bool store_begin_disconnect(struct store *s, struct connection *c, bool force, struct err *err)
{
	if (!connection_may_remove(c, err))
		return false;
	session_keep_off(s->sessions, c, true);
	const int64_t sessions = __atomic_load_n(&c->n_sessions, __ATOMIC_ACQUIRE);
	const int64_t transactions = __atomic_load_n(&c->n_transactions, __ATOMIC_ACQUIRE);
	if (force || (sessions == 0 && transactions == 0))
		return true;
	session_keep_off(s->sessions, c, false);
	return err_set(err, ERR_CONNECTION_IN_USE,
		       "the connection has %lld open sessions and %lld open transactions: end them, or use force=true",
		       (long long)sessions, (long long)transactions);
}

void store_finish_disconnect(struct store *s, struct connection *c)
{
	struct connection *out;
	struct err none;
	if (connection_remove(&s->connections, c->name, &out, &none))
		store_end_connection(s, out);
}

void store_cancel_disconnect(struct store *s, struct connection *c)
{
	session_keep_off(s->sessions, c, false);
}
