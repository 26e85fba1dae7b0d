/* The identity map: chained hash table and a list in order of use, one allocation per entry. */
#include "store/session/identity_map.h"

#include <stdalign.h>
#include <string.h>

#include "service/base/mem.h"
#include "service/base/num.h"
#include "store/session/record_pack.h"

#include "service/base/banned.h"

#define BUCKETS_FIRST 16

struct entry {
	struct entry *chain;         /* of its bucket */
	struct entry *newer, *older; /* order of use */
	uint64_t serial;             /* of the model it was packed under */
	uint32_t hash;
	uint32_t name_len, key_len, record_len;
	char data[]; /* name, key, record */
};

struct imap {
	struct mutex lock;
	bool enabled;
	size_t max_entries, max_bytes;
	struct entry **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	size_t n, bytes;
	struct entry *newest, *oldest;
	uint64_t hits, misses, evictions;
};

#define SHARDS 16 /* a power of two */

/* Of all maps since the start: threads count in shards of their own, as long as there are enough of them. */
static struct shard {
	alignas(64) uint64_t hits; /* all atomic */
	uint64_t misses, evictions;
} shards[SHARDS];

static struct shard *shard(void)
{
	static unsigned n_threads; /* atomic */
	static _Thread_local struct shard *mine;

	if (mine == NULL)
		mine = &shards[__atomic_fetch_add(&n_threads, 1, __ATOMIC_RELAXED) & (SHARDS - 1)];
	return mine;
}

static void count(uint64_t *total)
{
	__atomic_fetch_add(total, 1, __ATOMIC_RELAXED);
}

void imap_totals(struct imap_stats *ret)
{
	*ret = (struct imap_stats){0};
	for (size_t i = 0; i < SHARDS; i++) {
		ret->hits += __atomic_load_n(&shards[i].hits, __ATOMIC_RELAXED);
		ret->misses += __atomic_load_n(&shards[i].misses, __ATOMIC_RELAXED);
		ret->evictions += __atomic_load_n(&shards[i].evictions, __ATOMIC_RELAXED);
	}
}

struct imap *imap_create(bool enabled, size_t max_entries, size_t max_bytes)
{
	struct imap *m = mem_alloc(sizeof(*m));

	mutex_init(&m->lock);
	m->enabled = enabled && max_entries > 0;
	m->max_entries = max_entries;
	m->max_bytes = max_bytes;
	return m;
}

void imap_destroy(struct imap *m)
{
	if (m == NULL)
		return;
	imap_clear(m);
	mutex_done(&m->lock);
	mem_free(m);
}

bool imap_enabled(const struct imap *m)
{
	return m->enabled;
}

static size_t entry_bytes(const struct entry *e)
{
	return sizeof(*e) + e->name_len + e->key_len + e->record_len;
}

static struct str entry_name(const struct entry *e)
{
	return str_n(e->data, e->name_len);
}

static uint32_t hash_of(struct str name, struct str key)
{
	const uint64_t h = num_hash(key) + num_hash(name) * UINT64_C(0x9E3779B97F4A7C15);

	return (uint32_t)(h >> 32);
}

static struct entry *find(const struct imap *m, struct str name, struct str key, uint32_t hash)
{
	if (m->n == 0)
		return NULL;
	for (struct entry *e = m->buckets[hash & (m->n_buckets - 1)]; e != NULL; e = e->chain) {
		if (e->hash == hash && str_eq(str_n(e->data + e->name_len, e->key_len), key) &&
		    str_eq(entry_name(e), name))
			return e;
	}
	return NULL;
}

static void list_remove(struct imap *m, struct entry *e)
{
	if (e->newer != NULL)
		e->newer->older = e->older;
	else
		m->newest = e->older;
	if (e->older != NULL)
		e->older->newer = e->newer;
	else
		m->oldest = e->newer;
}

static void list_add_newest(struct imap *m, struct entry *e)
{
	e->newer = NULL;
	e->older = m->newest;
	if (m->newest != NULL)
		m->newest->newer = e;
	else
		m->oldest = e;
	m->newest = e;
}

static void drop(struct imap *m, struct entry *e)
{
	struct entry **link = &m->buckets[e->hash & (m->n_buckets - 1)];

	while (*link != e)
		link = &(*link)->chain;
	*link = e->chain;
	list_remove(m, e);
	m->n--;
	m->bytes -= entry_bytes(e);
	mem_free(e);
}

static void grow(struct imap *m)
{
	const size_t n_new = m->n_buckets != 0 ? m->n_buckets * 2 : BUCKETS_FIRST;
	struct entry **buckets = mem_array(n_new, sizeof(struct entry *));

	for (struct entry *e = m->oldest; e != NULL; e = e->newer) {
		e->chain = buckets[e->hash & (n_new - 1)];
		buckets[e->hash & (n_new - 1)] = e;
	}
	mem_free(m->buckets);
	m->buckets = buckets;
	m->n_buckets = n_new;
}

/* Packs and adds; the key is not mapped. What is too large for the whole map, or for memory, is not kept. */
static void insert(struct imap *m, const struct model *model, struct str key, uint32_t hash, const struct value *row)
{
	const size_t record_len = record_pack_len(row, model->n_columns);
	const size_t total = sizeof(struct entry) + model->name.len + key.len + record_len;
	struct entry *e;

	if (total > m->max_bytes || total > UINT32_MAX || (e = mem_try(NULL, total)) == NULL)
		return;
	while (m->n >= m->max_entries || m->bytes + total > m->max_bytes) {
		drop(m, m->oldest);
		m->evictions++;
		count(&shard()->evictions);
	}
	if (m->n >= m->n_buckets)
		grow(m);
	*e = (struct entry){
		.serial = model->serial,
		.hash = hash,
		.name_len = (uint32_t)model->name.len,
		.key_len = (uint32_t)key.len,
		.record_len = (uint32_t)record_len,
	};
	if (model->name.len != 0)
		memcpy(e->data, model->name.p, model->name.len);
	if (key.len != 0)
		memcpy(e->data + e->name_len, key.p, key.len);
	record_pack(row, model->n_columns, (unsigned char *)e->data + e->name_len + e->key_len);
	e->chain = m->buckets[hash & (m->n_buckets - 1)];
	m->buckets[hash & (m->n_buckets - 1)] = e;
	list_add_newest(m, e);
	m->n++;
	m->bytes += total;
}

/* The mapped record's bytes, copied to the arena, and the entry made the newest; an entry of another serial is dropped.
 * STR_NONE: not mapped. */
static struct str fetch(struct imap *m, struct arena *a, const struct model *model, struct str key, uint32_t hash)
{
	struct entry *e = find(m, model->name, key, hash);

	if (e != NULL && e->serial != model->serial) {
		drop(m, e);
		e = NULL;
	}
	if (e == NULL)
		return STR_NONE;
	list_remove(m, e);
	list_add_newest(m, e);
	return arena_str(a, str_n(e->data + e->name_len + e->key_len, e->record_len));
}

const struct value *imap_get(struct imap *m, struct arena *a, const struct model *model, struct str key)
{
	const uint32_t hash = m->enabled ? hash_of(model->name, key) : 0;
	struct str packed;

	if (!m->enabled)
		return NULL;
	mutex_lock(&m->lock);
	packed = fetch(m, a, model, key, hash);
	if (packed.p != NULL)
		m->hits++;
	else
		m->misses++;
	mutex_unlock(&m->lock);
	count(packed.p != NULL ? &shard()->hits : &shard()->misses);
	return packed.p != NULL ? record_unpack(a, packed, model->n_columns) : NULL;
}

const struct value *imap_reconcile(struct imap *m, struct arena *a, const struct model *model, struct str key,
				   const struct value *row)
{
	const uint32_t hash = m->enabled ? hash_of(model->name, key) : 0;
	struct str packed;

	if (!m->enabled)
		return row;
	mutex_lock(&m->lock);
	packed = fetch(m, a, model, key, hash);
	if (packed.p == NULL)
		insert(m, model, key, hash, row);
	mutex_unlock(&m->lock);
	return packed.p != NULL ? record_unpack(a, packed, model->n_columns) : row;
}

void imap_put(struct imap *m, const struct model *model, struct str key, const struct value *row)
{
	const uint32_t hash = m->enabled ? hash_of(model->name, key) : 0;
	struct entry *old;

	if (!m->enabled)
		return;
	mutex_lock(&m->lock);
	old = find(m, model->name, key, hash);
	if (old != NULL)
		drop(m, old);
	insert(m, model, key, hash, row);
	mutex_unlock(&m->lock);
}

bool imap_evict(struct imap *m, struct str model_name, struct str key)
{
	struct entry *e;

	if (!m->enabled)
		return false;
	mutex_lock(&m->lock);
	e = find(m, model_name, key, hash_of(model_name, key));
	if (e != NULL)
		drop(m, e);
	mutex_unlock(&m->lock);
	return e != NULL;
}

void imap_evict_model(struct imap *m, struct str model_name)
{
	struct entry *e, *next;

	if (!m->enabled)
		return;
	mutex_lock(&m->lock);
	for (e = m->oldest; e != NULL; e = next) {
		next = e->newer;
		if (str_eq(entry_name(e), model_name))
			drop(m, e);
	}
	mutex_unlock(&m->lock);
}

void imap_clear(struct imap *m)
{
	struct entry *e, *next;

	mutex_lock(&m->lock);
	for (e = m->oldest; e != NULL; e = next) {
		next = e->newer;
		mem_free(e);
	}
	mem_free(m->buckets);
	m->buckets = NULL;
	m->newest = m->oldest = NULL;
	m->n_buckets = m->n = m->bytes = 0;
	mutex_unlock(&m->lock);
}

void imap_stats(struct imap *m, struct imap_stats *ret)
{
	mutex_lock(&m->lock);
	*ret = (struct imap_stats){
		.enabled = m->enabled,
		.size = m->n,
		.bytes = m->bytes,
		.hits = m->hits,
		.misses = m->misses,
		.evictions = m->evictions,
	};
	mutex_unlock(&m->lock);
}
