/* Sessions between servers. */
#include "store/session/session_share.h"

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "store/session/session_internal.h"
#include "store/session/tx_internal.h"

#include "service/base/banned.h"

void session_hash(struct str id, char ret[SESSION_HASH_BYTES])
{
	uint8_t digest[32];

	num_sha256(id, digest);
	num_hex(digest, sizeof(digest), ret);
}

void session_table_share(struct session_table *t, const struct mint *m,
			 void (*ended)(void *arg, struct str id, enum session_end why), void *arg)
{
	mutex_lock(&t->lock);
	if (m != NULL)
		t->mint = *m;
	t->ended = ended;
	t->ended_arg = arg;
	mutex_unlock(&t->lock);
}

const struct mint *session_table_mint(const struct session_table *t)
{
	return &t->mint;
}

enum session_known session_known(struct session_table *t, struct str id)
{
	mutex_lock(&t->lock);
	const bool here = map_get(&t->by_id, id) != NULL;
	const bool gone = !here && graveyard_find(&t->dead, id) != NULL;
	mutex_unlock(&t->lock);
	return here ? SESSION_HERE : gone ? SESSION_GONE : SESSION_UNKNOWN;
}

void session_kept(struct session_table *t, struct session *s)
{
	mutex_lock(&t->lock);
	s->kept_ns = __atomic_load_n(&s->last_used_ns, __ATOMIC_RELAXED);
	mutex_unlock(&t->lock);
}

bool session_adopt(struct session_table *t, struct connection *conn, struct str owner,
		   const struct session_left_over *o, struct err *err)
{
	const int64_t now = clock_mono_ns();
	struct session *s = session_make(t, conn, owner, o->id, o->settings);
	bool ok = true, there;

	s->max_lifetime_ns = o->max_lifetime_us * 1000;
	s->idle_timeout_ns = o->idle_timeout_us * 1000;
	s->created_us = clock_real_us() - o->age_us;
	s->expires_ns = now + s->max_lifetime_ns - o->age_us * 1000;
	s->last_used_ns = s->kept_ns = now;
	s->n_running = 0;
	mutex_lock(&t->lock);
	there = map_get(&t->by_id, o->id) != NULL;
	if (!there) {
		ok = session_may_open(t, conn, owner, NULL, err);
		if (ok)
			session_publish(t, s);
	}
	mutex_unlock(&t->lock);
	session_unref(s);
	if (there || !ok)
		session_unref(s);
	return ok;
}

static void use_of(const struct session *s, int64_t now, struct session_use *ret)
{
	session_hash(str_z(s->id), ret->hash);
	ret->ago_us = (now - __atomic_load_n(&s->last_used_ns, __ATOMIC_RELAXED)) / 1000;
	ret->undone = STR_NONE;
}

size_t session_uses(struct session_table *t, struct arena *a, struct session_use **ret)
{
	const int64_t now = clock_mono_ns();
	struct session *s;
	size_t n = 0, pos = 0;

	mutex_lock(&t->lock);
	struct session **found = arena_array(a, t->by_id.n + 1, sizeof(struct session *));
	while ((s = map_next(&t->by_id, &pos)) != NULL) {
		const int64_t used = __atomic_load_n(&s->last_used_ns, __ATOMIC_RELAXED);

		if (s->kept_ns == 0 || s->kept_ns == used)
			continue;
		s->kept_ns = used;
		found[n++] = session_ref(s);
	}
	mutex_unlock(&t->lock);
	*ret = arena_array(a, n + 1, sizeof(**ret));
	for (size_t i = 0; i < n; i++) { /* hashing is no work for under a lock */
		use_of(found[i], now, &(*ret)[i]);
		session_unref(found[i]);
	}
	return n;
}

/* The hashes of the transactions in a list. */
static struct str hashes_of(struct arena *a, const struct tx *list, const struct session *s)
{
	struct strbuf b;
	char hash[SESSION_HASH_BYTES];

	strbuf_init(&b, 0);
	for (const struct tx *tx = list; tx != NULL; tx = tx->next_doomed)
		if (tx->root->session == s) {
			session_hash(str_z(tx->id), hash);
			strbuf_printf(&b, "%s%s", b.len > 0 ? "," : "", hash);
		}
	struct str out = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

static bool may_part(const struct session *s, bool all)
{
	return s->kept_ns != 0 && (all || (__atomic_load_n(&s->n_running, __ATOMIC_ACQUIRE) == 0 &&
					   __atomic_load_n(&s->n_transactions, __ATOMIC_RELAXED) == 0));
}

size_t session_part(struct session_table *t, struct arena *a, bool all, struct session_use **ret)
{
	const int64_t now = clock_mono_ns();
	struct tx *doomed = NULL;
	struct session *s;
	size_t n = 0, pos = 0;

	mutex_lock(&t->lock);
	struct session **found = arena_array(a, t->by_id.n + 1, sizeof(struct session *));
	while ((s = map_next(&t->by_id, &pos)) != NULL)
		if (may_part(s, all))
			found[n++] = s;
	for (size_t i = 0; i < n; i++)
		session_take_out(t, found[i], SESSION_MOVED, &doomed);
	mutex_unlock(&t->lock);
	*ret = arena_array(a, n + 1, sizeof(**ret));
	for (size_t i = 0; i < n; i++) {
		use_of(found[i], now, &(*ret)[i]);
		(*ret)[i].undone = hashes_of(a, doomed, found[i]);
	}
	tx_settle(doomed, LIMIT_SETTLE_NS);
	for (size_t i = 0; i < n; i++)
		session_unref(found[i]);
	return n;
}

size_t session_open_transactions(struct session_table *t)
{
	mutex_lock(&t->lock);
	const size_t n = t->transactions != NULL ? t->transactions->open.n : 0;
	mutex_unlock(&t->lock);
	return n;
}

void session_keep_only(struct session_table *t, const struct map *hashes)
{
	char hash[SESSION_HASH_BYTES];
	struct tx *doomed = NULL;
	struct session *s;
	struct arena a;
	size_t n = 0, pos = 0;

	arena_init(&a);
	mutex_lock(&t->lock);
	struct session **found = arena_array(&a, t->by_id.n + 1, sizeof(struct session *));
	while ((s = map_next(&t->by_id, &pos)) != NULL) {
		session_hash(str_z(s->id), hash);
		if (s->kept_ns != 0 && map_get(hashes, str_z(hash)) == NULL)
			found[n++] = s;
	}
	for (size_t i = 0; i < n; i++)
		session_take_out(t, found[i], SESSION_MOVED, &doomed);
	mutex_unlock(&t->lock);
	tx_settle(doomed, LIMIT_SETTLE_NS);
	for (size_t i = 0; i < n; i++)
		session_unref(found[i]);
	arena_done(&a);
}
