/* Entries by scope, and by their callers oldest first. */
#include "handlers/unit/idempotency_table.h"

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/map.h"
#include "service/base/mem.h"
#include "service/base/mutex.h"

#include "service/base/banned.h"

/* One caller's room; it is there while it has entries. */
struct kept_owner {
	struct str name; /* owned */
	struct kept *head, *tail;
	struct kept *full;    /* the oldest whose answer is there */
	size_t n_kept, bytes; /* of answered ones */
	size_t n_running;     /* the others */
	struct kept_bounds most;
	struct kept_owner *to_free; /* next of those that kept_expire takes out */
};

static struct {
	struct mutex lock;
	struct map by_scope; /* -> struct kept */
	struct map owners;   /* name -> struct kept_owner */
	struct kept_bounds most;
} table = {.lock = {PTHREAD_MUTEX_INITIALIZER},
	   .most = {.entries = LIMIT_IDEMPOTENCY_ENTRIES, .bytes = LIMIT_IDEMPOTENCY_BYTES}};

void kept_configure(const struct kept_bounds *b)
{
	table.most = *b;
}

void kept_lock(void)
{
	mutex_lock(&table.lock);
}

void kept_unlock(void)
{
	mutex_unlock(&table.lock);
}

static void free_answer(struct kept *k)
{
	for (size_t i = 0; i < k->n_headers; i++)
		mem_free(k->headers[i].value);
	mem_free(k->headers);
	mem_free(k->bytes);
	mem_free(k->content_type);
	k->headers = NULL;
	k->bytes = NULL;
	k->content_type = NULL;
	k->n_headers = k->len = k->size = 0;
}

static void free_kept(struct kept *k)
{
	free_answer(k);
	mem_free(k);
}

static bool owner_empty(const struct kept_owner *o)
{
	return o->n_kept == 0 && o->n_running == 0;
}

static void free_owner(struct kept_owner *o)
{
	mem_free((char *)o->name.p);
	mem_free(o);
}

static void release_owner(struct kept_owner *o)
{
	if (!owner_empty(o))
		return;
	(void)map_remove(&table.owners, o->name);
	free_owner(o);
}

/* The oldest entry from k on that has its answer. */
static struct kept *next_full(struct kept *k)
{
	while (k != NULL && k->bare)
		k = k->next;
	return k;
}

static void unlink_kept(struct kept *k)
{
	struct kept_owner *o = k->owner;
	if (o->full == k)
		o->full = next_full(k->next);
	if (k->prev != NULL)
		k->prev->next = k->next;
	else
		o->head = k->next;
	if (k->next != NULL)
		k->next->prev = k->prev;
	else
		o->tail = k->prev;
	o->n_kept--;
	o->bytes -= k->size;
}

static struct str scope_str(const struct kept *k)
{
	return str_n((const char *)k->scope, sizeof(k->scope));
}

/* Takes an entry out of the table; the last of its waiters frees it. */
static void bury(struct kept *k)
{
	(void)map_remove(&table.by_scope, scope_str(k));
	k->dead = true;
	k->owner = NULL;
	if (k->n_waiting == 0)
		free_kept(k);
}

static void drop_oldest(struct kept_owner *o)
{
	struct kept *k = o->head;
	unlink_kept(k);
	bury(k);
}

/* The entry stays without its answer. */
static void strip(struct kept *k, enum kept_why why)
{
	free_answer(k);
	k->bare = true;
	k->why = why;
}

static void strip_oldest(struct kept_owner *o, enum kept_why why)
{
	struct kept *k = o->full;
	o->bytes -= k->size;
	strip(k, why);
	o->full = next_full(k->next);
}

static void prune(struct kept_owner *o, int64_t now)
{
	while (o->head != NULL && (o->n_kept > o->most.entries || now - o->head->kept_ns > LIMIT_IDEMPOTENCY_NS))
		drop_oldest(o);
	while (o->full != NULL && o->bytes > o->most.bytes)
		strip_oldest(o, KEPT_WHY_ROOM);
}

struct kept *kept_find(const uint8_t *scope)
{
	struct str key = str_n((const char *)scope, KEPT_DIGEST);
	struct kept *k = map_get(&table.by_scope, key);
	if (k == NULL || k->running || clock_mono_ns() - k->kept_ns <= LIMIT_IDEMPOTENCY_NS)
		return k;
	struct kept_owner *o = k->owner;
	prune(o, clock_mono_ns());
	release_owner(o);
	return NULL;
}

static struct kept_owner *owner_of(struct str name)
{
	struct kept_owner *o = map_get(&table.owners, name);
	if (o != NULL)
		return o;
	o = mem_alloc(sizeof(*o));
	o->name = str_n(mem_strndup(name.p != NULL ? name.p : "", name.len), name.len);
	(void)map_put(&table.owners, o->name, o);
	return o;
}

struct kept *kept_begin(struct str owner, const struct kept_bounds *own, const uint8_t *scope)
{
	struct kept *k = mem_alloc(sizeof(*k));
	k->owner = owner_of(owner);
	k->owner->most = (struct kept_bounds){.entries = own->entries > 0 ? own->entries : table.most.entries,
					      .bytes = own->bytes > 0 ? own->bytes : table.most.bytes};
	k->owner->n_running++;
	memcpy(k->scope, scope, sizeof(k->scope));
	k->running = true;
	(void)map_put(&table.by_scope, scope_str(k), k);
	return k;
}

static void ended(struct kept *k)
{
	k->running = false;
	k->owner->n_running--;
	for (struct kept_waiter *w = k->waiters; w != NULL; w = w->next)
		event_set(&w->event);
	k->waiters = NULL;
}

void kept_answered(struct kept *k)
{
	struct kept_owner *o = k->owner;
	ended(k);
	if (k->withheld && !k->bare)
		strip(k, KEPT_WHY_RIGHTS);
	if (!k->bare && k->size > o->most.bytes) /* would push out all others, and then itself */
		strip(k, KEPT_WHY_SIZE);
	k->kept_ns = clock_mono_ns();
	k->prev = o->tail;
	if (o->tail != NULL)
		o->tail->next = k;
	else
		o->head = k;
	o->tail = k;
	if (o->full == NULL && !k->bare)
		o->full = k;
	o->n_kept++;
	o->bytes += k->size;
	prune(o, k->kept_ns);
	release_owner(o);
}

void kept_forget(struct kept *k)
{
	struct kept_owner *o = k->owner;
	if (k->running)
		ended(k);
	else
		unlink_kept(k);
	bury(k);
	release_owner(o);
}

void kept_resolve(const uint8_t *scope, const struct commit_mark *m, enum commit_fate fate)
{
	struct kept *k = kept_find(scope);
	if (k == NULL || k->running || !k->lost.mark.is_set || k->lost.mark.xid != m->xid)
		return;
	k->lost.local = fate == COMMIT_FATE_LOCAL;
	k->lost.waits = fate == COMMIT_FATE_WAITING;
	if (fate == COMMIT_FATE_COMMITTED) {
		k->outcome = ERR_OUTCOME_COMMITTED;
		k->lost.mark.is_set = false;
	} else if (fate == COMMIT_FATE_ROLLED_BACK) {
		kept_forget(k);
	}
}

bool kept_wait(struct kept *k, int64_t deadline, struct err *err)
{
	struct kept_waiter w = {.next = k->waiters};
	event_init(&w.event);
	k->waiters = &w;
	k->n_waiting++;
	kept_unlock();
	enum wait_result r = event_wait(&w.event, deadline);
	kept_lock();
	struct kept_waiter **at = &k->waiters;
	while (*at != NULL && *at != &w)
		at = &(*at)->next;
	if (*at != NULL)
		*at = w.next;
	k->n_waiting--;
	if (k->dead && k->n_waiting == 0)
		free_kept(k);
	if (r == WAIT_READY)
		return true;
	(void)err_set(err, ERR_TOO_MANY_REQUESTS, "the first request with this Idempotency-Key still runs");
	err->cancelled = r == WAIT_CANCELLED;
	return false;
}

void kept_withhold(struct str owner)
{
	kept_lock();
	struct kept_owner *o = map_get(&table.owners, owner);
	struct kept *k;
	while (o != NULL && o->full != NULL)
		strip_oldest(o, KEPT_WHY_RIGHTS);
	for (size_t pos = 0; o != NULL && o->n_running > 0 && (k = map_next(&table.by_scope, &pos)) != NULL;)
		k->withheld = k->withheld || (k->running && k->owner == o);
	kept_unlock();
}

void kept_expire(int64_t now_ns)
{
	struct kept_owner *o, *empty = NULL;
	kept_lock();
	for (size_t pos = 0; (o = map_next(&table.owners, &pos)) != NULL;) {
		prune(o, now_ns);
		if (owner_empty(o)) {
			o->to_free = empty;
			empty = o;
		}
	}
	while ((o = empty) != NULL) {
		empty = o->to_free;
		release_owner(o);
	}
	kept_unlock();
}

void kept_done(void)
{
	struct kept_owner *o;
	kept_lock();
	for (size_t pos = 0; (o = map_next(&table.owners, &pos)) != NULL;) {
		while (o->head != NULL)
			drop_oldest(o);
		free_owner(o);
	}
	map_done(&table.owners);
	map_done(&table.by_scope);
	kept_unlock();
}
