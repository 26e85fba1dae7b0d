/* The table of sessions: opening, entering, ending. */
#include "store/session/session.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/session/session_internal.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

#define LIFE_MAX_S 3153600000.0 /* a hundred years: what "no limit" means here */
#define RETRY_AFTER_S 5         /* of a refusal for lack of room */

struct session_owner {
	size_t n, len;
	char name[];
};

static int64_t ns_of(double seconds)
{
	return (int64_t)((seconds > 0 && seconds < LIFE_MAX_S ? seconds : LIFE_MAX_S) * (double)CLOCK_NS_PER_S);
}

struct session_table *session_table_create(const struct session_limits *limits)
{
	struct session_table *t = mem_alloc(sizeof(*t));

	mutex_init(&t->lock);
	t->limits = *limits;
	t->next_uid = 1;
	map_init(&t->by_id);
	map_init(&t->owners);
	graveyard_init(&t->dead);
	return t;
}

void session_table_destroy(struct session_table *t)
{
	if (t == NULL)
		return;
	session_end_all(t, NULL, SESSION_RESET);
	assert(t->by_id.n == 0 && t->owners.n == 0);
	if (t->transactions != NULL)
		t->transactions->sessions = NULL;
	graveyard_done(&t->dead);
	map_done(&t->by_id);
	map_done(&t->owners);
	mutex_done(&t->lock);
	mem_free(t);
}

/* Without the lock when a request leaves. */
static void touch(struct session *s, int64_t now)
{
	__atomic_store_n(&s->last_used_ns, now, __ATOMIC_RELAXED);
}

static int64_t last_used(const struct session *s)
{
	return __atomic_load_n(&s->last_used_ns, __ATOMIC_RELAXED);
}

/* Whoever sees that none is in it sees when the last one left, too. */
static bool is_idle(const struct session *s)
{
	return __atomic_load_n(&s->n_running, __ATOMIC_ACQUIRE) == 0;
}

static bool owner_has_room(struct session_table *t, struct str owner, size_t most)
{
	const struct session_owner *o = map_get(&t->owners, owner);

	return o == NULL || most == 0 || o->n < most;
}

static void owner_add(struct session_table *t, struct str owner)
{
	struct session_owner *o = map_get(&t->owners, owner);

	if (o == NULL) {
		o = mem_alloc(sizeof(*o) + owner.len + 1);
		o->len = owner.len;
		if (owner.len != 0)
			memcpy(o->name, owner.p, owner.len);
		(void)map_put(&t->owners, str_n(o->name, o->len), o);
	}
	o->n++;
}

static void owner_remove(struct session_table *t, struct str owner)
{
	struct session_owner *o = map_get(&t->owners, owner);

	assert(o != NULL && o->n > 0);
	if (--o->n == 0) {
		(void)map_remove(&t->owners, owner);
		mem_free(o);
	}
}

/* What lists and logs call it. */
static void set_ref(struct session *s)
{
	unsigned char digest[32];

	num_sha256(str_z(s->id), digest);
	num_hex(digest, (SESSION_REF_BYTES - 1) / 2, s->ref);
}

struct session *session_make(const struct session_table *t, struct connection *conn, struct str owner, struct str id,
			     struct str settings)
{
	const struct session_limits *lim = &t->limits;
	struct session *s = mem_alloc(sizeof(*s) + owner.len + 1);
	char *name = (char *)(s + 1);

	if (id.p == NULL)
		mint_session_id(&t->mint, s->id);
	else
		(void)snprintf(s->id, sizeof(s->id), "%.*s", STR_FMT(id));
	set_ref(s);
	if (owner.len != 0)
		memcpy(name, owner.p, owner.len);
	s->owner = str_n(name, owner.len);
	s->refs = 2; /* the table's and the caller's */
	s->n_running = 1;
	s->conn = connection_ref(conn);
	s->imap_epoch = __atomic_load_n(&conn->schema_epoch, __ATOMIC_ACQUIRE);
	s->imap = imap_create(conn->identity_map, lim->imap_entries, lim->imap_bytes);
	if (settings.p != NULL)
		s->settings = mem_strndup(settings.p, settings.len);
	return s;
}

void session_publish(struct session_table *t, struct session *s)
{
	s->uid = t->next_uid++;
	(void)map_put(&t->by_id, str_z(s->id), s);
	owner_add(t, s->owner);
	(void)__atomic_add_fetch(&s->conn->n_sessions, 1, __ATOMIC_RELAXED);
}

static struct session *create(const struct session_table *t, struct connection *conn, struct str owner,
			      const struct session_options *o)
{
	const struct session_limits *lim = &t->limits;
	struct session *s = session_make(t, conn, owner, STR_NONE, o != NULL ? o->settings : STR_NONE);
	int64_t life = ns_of(lim->max_lifetime_s), idle = ns_of(lim->idle_timeout_s);

	if (o != NULL && o->max_lifetime_s > 0)
		life = clock_min(life, ns_of(o->max_lifetime_s));
	if (o != NULL && o->idle_timeout_s > 0)
		idle = ns_of(o->idle_timeout_s);
	s->created_us = clock_real_us();
	s->last_used_ns = clock_mono_ns();
	s->max_lifetime_ns = life;
	s->idle_timeout_ns = clock_min(idle, life);
	s->expires_ns = s->last_used_ns + life;
	return s;
}

bool session_may_open(struct session_table *t, const struct connection *conn, struct str owner,
		      const struct session_options *o, struct err *err)
{
	const size_t most = o != NULL && o->max_per_owner > 0 ? o->max_per_owner : t->limits.max_per_owner;

	if (!connection_may_begin(conn, err))
		return false;
	if (t->limits.max_sessions != 0 && t->by_id.n >= t->limits.max_sessions)
		(void)err_set(
			err, ERR_TOO_MANY_SESSIONS,
			"%zu sessions are open, which is as many as the server allows; close one or try again later",
			t->by_id.n);
	else if (!owner_has_room(t, owner, most))
		(void)err_set(err, ERR_TOO_MANY_SESSIONS,
			      "you have %zu open sessions, which is as many as one caller may have; close one first",
			      most);
	else
		return true;
	err->retry_after_s = RETRY_AFTER_S;
	return false;
}

void session_keep_off(struct session_table *t, struct connection *conn, bool off)
{
	mutex_lock(&t->lock);
	__atomic_store_n(&conn->leaving, off, __ATOMIC_RELEASE);
	mutex_unlock(&t->lock);
}

bool session_open(struct session_table *t, struct connection *conn, struct str owner, const struct session_options *o,
		  struct session **ret, struct err *err)
{
	struct session *s = create(t, conn, owner, o);
	bool ok;

	mutex_lock(&t->lock);
	ok = session_may_open(t, conn, owner, o, err);
	if (ok)
		session_publish(t, s);
	mutex_unlock(&t->lock);
	if (!ok) {
		session_unref(s);
		session_unref(s);
		return false;
	}
	*ret = s;
	return true;
}

/* Should the server end it now? The lock is held. */
static bool is_over(const struct session *s, int64_t now, enum session_end *ret_why)
{
	if (__atomic_load_n(&s->conn->closed, __ATOMIC_ACQUIRE))
		*ret_why = SESSION_DISCONNECTED;
	else if (now >= s->expires_ns)
		*ret_why = SESSION_LIFETIME_EXPIRED;
	else if (is_idle(s) && now - last_used(s) >= s->idle_timeout_ns)
		*ret_why = SESSION_IDLE_EXPIRED;
	else
		return false;
	return true;
}

void session_take_out(struct session_table *t, struct session *s, enum session_end why, struct tx **list)
{
	struct tx *doomed = NULL, *last;
	size_t n = 0;

	s->end = why;
	(void)map_remove(&t->by_id, str_z(s->id));
	owner_remove(t, s->owner);
	(void)__atomic_sub_fetch(&s->conn->n_sessions, 1, __ATOMIC_RELAXED);
	if (t->transactions != NULL)
		n = tx_doom_session(t->transactions, s, why != SESSION_CLOSED, &doomed);
	if (why != SESSION_MOVED)
		session_bury(t, s, n);
	if (why != SESSION_MOVED && t->ended != NULL)
		t->ended(t->ended_arg, str_z(s->id), why);
	if (doomed == NULL)
		return;
	for (last = doomed; last->next_doomed != NULL; last = last->next_doomed)
		;
	last->next_doomed = *list;
	*list = doomed;
}

/* The open session of that id and owner; one that is over is ended here, into *list, and *ret_ended holds the table's
 * reference. NULL: *err is set. The lock is held. */
static struct session *find(struct session_table *t, struct str id, struct str owner, int64_t now, struct tx **list,
			    struct session **ret_ended, bool *ret_closed, struct err *err)
{
	struct session *s = map_get(&t->by_id, id);
	enum session_end why;

	*ret_ended = NULL;
	if (s != NULL && str_eq(s->owner, owner)) {
		if (!is_over(s, now, &why)) {
			*ret_closed = false;
			return s;
		}
		session_take_out(t, s, why, list);
		*ret_ended = s;
	}
	(void)session_gone(t, id, owner, ret_closed, err);
	return NULL;
}

bool session_enter(struct session_table *t, struct str id, struct str owner, struct session **ret, struct err *err)
{
	const int64_t now = clock_mono_ns();
	struct tx *doomed = NULL;
	struct session *s, *ended;
	uint64_t epoch;
	bool closed;

	mutex_lock(&t->lock);
	s = find(t, id, owner, now, &doomed, &ended, &closed, err);
	if (s != NULL) {
		(void)session_ref(s);
		(void)__atomic_add_fetch(&s->n_running, 1, __ATOMIC_RELAXED);
		touch(s, now);
		epoch = __atomic_load_n(&s->conn->schema_epoch, __ATOMIC_ACQUIRE);
		if (s->imap_epoch != epoch) {
			s->imap_epoch = epoch;
			imap_clear(s->imap);
		}
	}
	mutex_unlock(&t->lock);
	tx_settle(doomed, LIMIT_SETTLE_NS);
	session_unref(ended);
	if (s == NULL)
		return false;
	*ret = s;
	return true;
}

void session_leave(struct session_table *t, struct session *s)
{
	if (s == NULL)
		return;
	(void)t;
	touch(s, clock_mono_ns());
	(void)__atomic_sub_fetch(&s->n_running, 1, __ATOMIC_RELEASE);
	session_unref(s);
}

bool session_set_settings(struct session_table *t, struct session *s, struct str settings)
{
	char *const now = settings.p != NULL ? mem_strndup(settings.p, settings.len) : NULL;
	char *before = now;

	mutex_lock(&t->lock);
	const bool alone = __atomic_load_n(&s->n_running, __ATOMIC_ACQUIRE) == 1;
	if (alone) {
		before = s->settings;
		s->settings = now;
		imap_hide_all(s->imap);
	}
	mutex_unlock(&t->lock);
	mem_free(before);
	return alone;
}

bool session_close(struct session_table *t, struct str id, struct str owner, bool rollback, struct err *err)
{
	struct tx *doomed = NULL;
	struct session *s, *ended;
	bool closed, ok = false;
	size_t n;

	mutex_lock(&t->lock);
	s = find(t, id, owner, clock_mono_ns(), &doomed, &ended, &closed, err);
	n = s != NULL ? __atomic_load_n(&s->n_transactions, __ATOMIC_RELAXED) : 0;
	if (s == NULL) {
		ok = closed;
	} else if (n != 0 && !rollback) {
		(void)err_set(
			err, ERR_TRANSACTIONS_OPEN,
			"the session has %zu open transaction%s; commit or roll back first, or close with rollback", n,
			n == 1 ? "" : "s");
	} else {
		session_take_out(t, s, SESSION_CLOSED, &doomed);
		ended = s;
		ok = true;
	}
	mutex_unlock(&t->lock);
	tx_settle(doomed, LIMIT_SETTLE_NS);
	session_unref(ended);
	return ok;
}

#define SWEEP_BATCH 64

/* When is_over may next be true of a session of which it is not. The lock is held. */
static int64_t next_due(const struct session *s)
{
	return is_idle(s) ? clock_min(s->expires_ns, last_used(s) + s->idle_timeout_ns) : s->expires_ns;
}

/* Whose sessions end. */
struct sweep {
	enum session_end why;          /* SESSION_OPEN: of those that are over, each for its own reason */
	const struct connection *conn; /* NULL: of any connection */
	struct str owner;              /* STR_NONE: anybody's */
};

static bool swept(const struct sweep *w, const struct session *s, int64_t now, enum session_end *ret_why)
{
	if (w->why == SESSION_OPEN)
		return is_over(s, now, ret_why);
	*ret_why = w->why;
	return (w->conn == NULL || s->conn == w->conn) && (w->owner.p == NULL || str_eq(s->owner, w->owner));
}

/* Ends up to SWEEP_BATCH sessions. Returns how many; *due (may be NULL): when the next one may be over. Parks. */
static size_t sweep(struct session_table *t, const struct sweep *w, int64_t *due)
{
	struct session *found[SWEEP_BATCH], *s;
	enum session_end ends[SWEEP_BATCH];
	const int64_t now = clock_mono_ns();
	struct tx *doomed = NULL;
	size_t n = 0, pos = 0;

	mutex_lock(&t->lock);
	while (n < SWEEP_BATCH && (s = map_next(&t->by_id, &pos)) != NULL) {
		if (swept(w, s, now, &ends[n]))
			found[n++] = s;
		else if (due != NULL)
			*due = clock_min(*due, next_due(s));
	}
	for (size_t i = 0; i < n; i++)
		session_take_out(t, found[i], ends[i], &doomed);
	if (w->why == SESSION_OPEN)
		graveyard_forget(&t->dead, now - ns_of(t->limits.tombstone_s));
	mutex_unlock(&t->lock);
	tx_settle(doomed, LIMIT_SETTLE_NS);
	for (size_t i = 0; i < n; i++)
		session_unref(found[i]);
	return n;
}

void session_end_all(struct session_table *t, struct connection *conn, enum session_end why)
{
	const struct sweep w = {.why = why, .conn = conn, .owner = STR_NONE};

	while (sweep(t, &w, NULL) == SWEEP_BATCH)
		;
}

void session_end_owner(struct session_table *t, struct str owner, enum session_end why)
{
	const struct sweep w = {.why = why, .owner = owner};

	while (sweep(t, &w, NULL) == SWEEP_BATCH)
		;
}

int64_t session_tick(struct session_table *t)
{
	/* sessions opened after this look may be due earlier than any seen by it */
	const struct sweep w = {.why = SESSION_OPEN, .owner = STR_NONE};
	int64_t due = clock_mono_ns() + CLOCK_NS_PER_S;

	while (sweep(t, &w, &due) == SWEEP_BATCH)
		;
	return due;
}

void session_maps_stale(struct connection *conn)
{
	(void)__atomic_add_fetch(&conn->schema_epoch, 1, __ATOMIC_ACQ_REL);
}

size_t session_count(struct session_table *t)
{
	size_t n;

	mutex_lock(&t->lock);
	n = t->by_id.n;
	mutex_unlock(&t->lock);
	return n;
}

static double seconds_left(int64_t ns)
{
	return ns > 0 ? (double)ns / (double)CLOCK_NS_PER_S : 0;
}

void session_view(const struct session *s, struct session_view *ret)
{
	const int64_t now = clock_mono_ns();
	const int64_t used = last_used(s);
	const int64_t used_us = clock_real_us() - (now - used) / 1000;

	*ret = (struct session_view){
		.ref = str_z(s->ref),
		.connection_name = s->conn->name,
		.owner = s->owner,
		.settings = str_z(s->settings),
		.created_us = s->created_us,
		.last_used_us = used_us > s->created_us ? used_us : s->created_us,
		.idle_timeout_s = (double)s->idle_timeout_ns / (double)CLOCK_NS_PER_S,
		.idle_expires_in_s = seconds_left(used + s->idle_timeout_ns - now),
		.expires_in_s = seconds_left(s->expires_ns - now),
		.expires_us = s->created_us + s->max_lifetime_ns / 1000,
		.n_transactions = __atomic_load_n(&s->n_transactions, __ATOMIC_RELAXED),
		.n_queued = __atomic_load_n(&s->n_queued, __ATOMIC_RELAXED),
	};
	imap_stats(s->imap, &ret->imap);
}

bool session_peek(struct session_table *t, struct str id, struct str owner, struct session_view *ret)
{
	enum session_end why;
	struct session *s;
	bool ok;

	mutex_lock(&t->lock);
	s = map_get(&t->by_id, id);
	ok = s != NULL && str_eq(s->owner, owner) && !is_over(s, clock_mono_ns(), &why);
	if (ok) {
		session_view(s, ret);
		ret->ref = ret->connection_name = ret->owner = ret->settings = STR_NONE;
	}
	mutex_unlock(&t->lock);
	return ok;
}

struct str session_peek_settings(struct session_table *t, struct str id, struct str owner, struct arena *a)
{
	struct str settings = STR_NONE;

	mutex_lock(&t->lock);
	const struct session *s = map_get(&t->by_id, id);
	if (s != NULL && str_eq(s->owner, owner) && s->settings != NULL)
		settings = arena_str(a, str_z(s->settings));
	mutex_unlock(&t->lock);
	return settings;
}

size_t session_list(struct session_table *t, struct arena *a, struct session_view **ret)
{
	struct session_view *views;
	struct session *s;
	size_t n = 0, pos = 0;

	mutex_lock(&t->lock);
	views = arena_array(a, t->by_id.n + 1, sizeof(*views));
	while ((s = map_next(&t->by_id, &pos)) != NULL) {
		session_view(s, &views[n]);
		views[n].ref = arena_str(a, views[n].ref);
		views[n].connection_name = arena_str(a, views[n].connection_name);
		views[n].owner = arena_str(a, views[n].owner);
		views[n].settings = STR_NONE;
		n++;
	}
	mutex_unlock(&t->lock);
	*ret = views;
	return n;
}
