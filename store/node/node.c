/* The life of a node: its heartbeat, what it keeps of its sessions, its end. */
#include "store/node/node.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/node/node_internal.h"

#include "service/base/banned.h"

#define BEAT_NS CLOCK_NS_PER_S
#define AGAIN_NS (250 * CLOCK_NS_PER_MS) /* after a beat that was not acknowledged */
#define USES_EVERY 5                     /* beats: last uses are kept */
#define FORGET_EVERY 60

bool node_shares(const struct node *n)
{
	return n != NULL && n->state != NULL;
}

struct str node_name(const struct node *n)
{
	return n->me.name;
}

struct str node_instance(const struct node *n)
{
	return n->me.instance;
}

bool node_in_touch(const struct node *n)
{
	return !node_shares(n) || node_fresh(n);
}

static void report(struct node *n, const char *event, struct str detail)
{
	if (n->hooks.report != NULL)
		n->hooks.report(n->hooks.arg, event, detail);
}

/* ---- what has ended ---- */

/* Under the sessions' lock. */
static void on_ended(void *arg, struct str id, enum session_end why)
{
	struct node *n = arg;
	struct node_ended *e = mem_alloc(sizeof(*e));
	session_hash(id, e->hash);
	e->at_ns = clock_mono_ns();
	e->why = why;
	mutex_lock(&n->lock);
	e->next = n->ended;
	n->ended = e;
	mutex_unlock(&n->lock);
}

static struct node_ended *take_ended(struct node *n)
{
	mutex_lock(&n->lock);
	struct node_ended *list = n->ended;
	n->ended = NULL;
	mutex_unlock(&n->lock);
	return list;
}

static void put_back(struct node *n, struct node_ended *list)
{
	struct node_ended *last = list;
	while (last->next != NULL)
		last = last->next;
	mutex_lock(&n->lock);
	last->next = n->ended;
	n->ended = list;
	mutex_unlock(&n->lock);
}

static void free_ended(struct node_ended *list)
{
	while (list != NULL) {
		struct node_ended *next = list->next;
		mem_free(list);
		list = next;
	}
}

bool node_flush_ended(struct node *n, struct err *err)
{
	struct arena a;
	size_t count = 0, i = 0;
	struct node_ended *list = node_shares(n) ? take_ended(n) : NULL;
	if (list == NULL)
		return true;
	arena_init(&a);
	fiber_shield();
	for (const struct node_ended *e = list; e != NULL; e = e->next)
		count++;
	struct state_session_change *changes = arena_array(&a, count, sizeof(*changes));
	const int64_t now = clock_mono_ns();
	for (const struct node_ended *e = list; e != NULL; e = e->next, i++) {
		memcpy(changes[i].id, e->hash, sizeof(changes[i].id));
		changes[i].ago_us = (now - e->at_ns) / 1000;
		changes[i].why = e->why;
	}
	const bool ok = state_sessions_ended(n->state, &n->me, changes, count, err);
	if (ok)
		free_ended(list);
	else
		put_back(n, list);
	fiber_unshield();
	arena_done(&a);
	return ok;
}

/* ---- the heartbeat ---- */

/* Others may have taken some of the sessions while this node was silent. */
static bool look_what_is_left(struct node *n, struct err *err)
{
	struct arena a;
	struct str *mine;
	struct map set;
	size_t count;
	arena_init(&a);
	const bool ok = state_sessions_mine(n->state, &a, &n->me, &mine, &count, err);
	if (ok) {
		map_init(&set);
		for (size_t i = 0; i < count; i++)
			(void)map_put(&set, mine[i], n);
		session_keep_only(n->store->sessions, &set);
		map_done(&set);
	}
	arena_done(&a);
	return ok;
}

/* The name is another's: so are the sessions, or nobody's. */
static bool name_lost(struct node *n, struct err *err)
{
	struct arena a;
	struct state_node rival;
	bool claimed = false;
	const struct map none = {0};
	if (__atomic_exchange_n(&n->beat_ns, 0, __ATOMIC_ACQ_REL) != 0)
		report(n, "node_name_lost", n->me.name);
	session_keep_only(n->store->sessions, &none);
	arena_init(&a);
	const bool ok = state_node_claim(n->state, &a, &n->me, node_process_dead, &claimed, &rival, err);
	arena_done(&a);
	return ok && (claimed || err_set(err, ERR_DATABASE_UNAVAILABLE, "the node's name is another's"));
}

static bool beat(struct node *n, struct err *err)
{
	const int64_t sent = node_clock_ns();
	bool mine;
	int64_t version;
	n->me.draining = __atomic_load_n(&n->draining, __ATOMIC_RELAXED) != 0;
	n->me.sessions = (int64_t)session_count(n->store->sessions);
	n->me.transactions = (int64_t)session_open_transactions(n->store->sessions);
	if (!state_node_beat(n->state, &n->me, &mine, &version, err) || (!mine && !name_lost(n, err)))
		return false;
	/* it counts from its sending, and was acknowledged in time, or others may have begun to adopt */
	if (!node_fresh(n) && !look_what_is_left(n, err))
		return false;
	__atomic_store_n(&n->beat_ns, sent, __ATOMIC_RELEASE);
	return true;
}

static void keep_uses(struct node *n)
{
	struct session_use *uses;
	struct arena a;
	struct err ignored;
	arena_init(&a);
	const size_t count = session_uses(n->store->sessions, &a, &uses);
	struct state_session_change *changes = arena_array(&a, count + 1, sizeof(*changes));
	for (size_t i = 0; i < count; i++) {
		memcpy(changes[i].id, uses[i].hash, sizeof(changes[i].id));
		changes[i].ago_us = uses[i].ago_us;
	}
	/* what is not kept now is after the next use */
	(void)!state_sessions_used(n->state, &n->me, changes, count, &ignored);
	arena_done(&a);
}

static void upkeep(void *arg)
{
	struct node *n = arg;
	struct err ignored;
	for (unsigned turn = 1; wait_until(clock_mono_ns() + BEAT_NS) != WAIT_CANCELLED; turn++) {
		(void)!node_flush_ended(n, &ignored); /* what failed waits for the next turn */
		if (turn % USES_EVERY == 0)
			keep_uses(n);
		if (turn % FORGET_EVERY == 0)
			(void)!state_sessions_forget(n->state, (int64_t)(n->store->options.sessions.tombstone_s * 1e6),
						     &ignored);
	}
}

static void beating(void *arg)
{
	struct node *n = arg;
	struct err err;
	int64_t next = clock_mono_ns();
	while (wait_until(next) != WAIT_CANCELLED) {
		const int64_t began = clock_mono_ns();
		const bool ok = beat(n, &err);
		if (!ok && !n->silent && !err.cancelled)
			report(n, "node_silent", str_z(err.detail));
		else if (ok && n->silent)
			report(n, "node_back", n->me.name);
		n->silent = !ok;
		next = ok ? began + BEAT_NS : clock_mono_ns() + AGAIN_NS;
	}
}

/* ---- life ---- */

static void name_it(struct node *n, const struct node_options *o)
{
	uint8_t bytes[8];
	num_random(bytes, sizeof(bytes));
	num_hex(bytes, sizeof(bytes), n->instance);
	n->me = (struct state_node){.name = o->name.len > 0 ? arena_str(&n->arena, o->name)
							    : node_default_name(&n->arena, n->state),
				    .instance = str_z(n->instance),
				    .url = arena_str(&n->arena, o->url),
				    .version = arena_str(&n->arena, o->version),
				    .started_us = clock_real_us()};
	node_describe_process(&n->arena, &n->me);
}

bool node_name_check(struct str name, struct err *err)
{
	return node_name_valid(name) ||
	       err_set(err, ERR_INVALID_REQUEST, "\"node\" takes 1 to %d of a-z, 0-9 and -", MINT_NAME_MAX);
}

bool node_create(struct store *store, struct state *state, const struct node_options *o, struct node **ret,
		 struct err *err)
{
	struct node *n = mem_alloc(sizeof(*n));
	uint8_t key[CRYPTO_KEY_BYTES];
	struct mint m = {0};
	*n = (struct node){.store = store, .hooks = *o};
	if (state != NULL && state_shared(state))
		n->state = state;
	arena_init(&n->arena);
	turn_init(&n->turn);
	mutex_init(&n->lock);
	name_it(n, o);
	if (!node_name_check(n->me.name, err))
		goto fail;
	if (n->state != NULL && !(node_claim_name(n, err) && state_shared_key(state, STR("transactions"), key, err)))
		goto fail;
	if (n->state != NULL) {
		mint_init(&m, n->me.name, n->me.instance, key);
		session_table_share(store->sessions, &m, on_ended, n);
		driver_postgres_name(arena_printf(&n->arena, "ferrod/%.*s/%s", STR_FMT(n->me.name), n->instance).p);
	}
	*ret = n;
	return true;
fail:
	node_destroy(n);
	return false;
}

void node_destroy(struct node *n)
{
	if (n == NULL)
		return;
	free_ended(n->ended);
	turn_done(&n->turn);
	mutex_done(&n->lock);
	arena_done(&n->arena);
	mem_free(n);
}

void node_start(struct node *n, unsigned port, bool tls)
{
	char address[64];
	struct err ignored;
	if (n->state == NULL)
		return;
	if (n->me.url.len == 0 && state_local_address(n->state, address, &ignored))
		n->me.url = arena_printf(&n->arena, "%s://%s:%u", tls ? "https" : "http", address, port);
	n->hooks.spawn(n->hooks.arg, beating, n);
	n->hooks.spawn(n->hooks.arg, upkeep, n);
}

bool node_list(struct node *n, struct arena *a, struct state_node **ret, size_t *ret_n, struct err *err)
{
	if (n->state != NULL)
		return state_node_list(n->state, a, ret, ret_n, err);
	*ret = arena_array(a, 1, sizeof(**ret));
	**ret = n->me;
	(*ret)->seen_us = clock_real_us();
	(*ret)->draining = __atomic_load_n(&n->draining, __ATOMIC_RELAXED) != 0;
	(*ret)->sessions = (int64_t)session_count(n->store->sessions);
	(*ret)->transactions = (int64_t)session_open_transactions(n->store->sessions);
	*ret_n = 1;
	return true;
}

/* ---- its end ---- */

void node_drain(struct node *n)
{
	__atomic_store_n(&n->draining, 1, __ATOMIC_RELEASE);
}

bool node_hand_over(struct node *n, bool all, struct err *err)
{
	struct session_use *uses;
	struct arena a;
	bool ok = true;
	if (n->state == NULL)
		return true;
	if (turn_take(&n->turn, CLOCK_NEVER, 0, NULL) != WAIT_READY)
		return err_set(err, ERR_DATABASE_BUSY, "given up");
	arena_init(&a);
	const size_t count = session_part(n->store->sessions, &a, all, &uses);
	struct state_session_change *changes = arena_array(&a, count + 1, sizeof(*changes));
	for (size_t i = 0; i < count; i++) {
		memcpy(changes[i].id, uses[i].hash, sizeof(changes[i].id));
		changes[i].ago_us = uses[i].ago_us;
		changes[i].undone = uses[i].undone;
	}
	ok = state_sessions_hand(n->state, &n->me, changes, count, err) && node_flush_ended(n, err);
	arena_done(&a);
	turn_give(&n->turn);
	return ok;
}

void node_leave(struct node *n)
{
	struct err err;
	if (!node_shares(n))
		return;
	/* from now on nothing that ends has ended by anybody's will */
	const bool handed = node_hand_over(n, true, &err);
	session_table_share(n->store->sessions, NULL, NULL, NULL);
	if (!handed || !state_node_leave(n->state, &n->me, &err))
		report(n, "node_silent", str_z(err.detail));
}
