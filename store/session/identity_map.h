/*
 * The per-session identity map: (model, primary key) -> the record as the session last saw it, packed. Bounded by
 * entries and bytes, least recently used out first. Its own short lock makes one session safe to use from several
 * requests at once.
 */
#ifndef FERROD_STORE_SESSION_IDENTITY_MAP_H
#define FERROD_STORE_SESSION_IDENTITY_MAP_H

#include "service/base/arena.h"
#include "service/base/mutex.h"
#include "store/schema/schema.h"
#include "store/value.h"

struct imap;

struct imap_stats {
	bool enabled;
	size_t size, bytes;
	uint64_t hits, misses, evictions;
};

/* enabled false: every call is a no-op or a miss. Allocates its table on first use. */
struct imap *imap_create(bool enabled, size_t max_entries, size_t max_bytes);
void imap_destroy(struct imap *m);
bool imap_enabled(const struct imap *m);

/* The record's values (model->n_columns, canonical, copied to the arena), or NULL: a miss. Records packed under another
 * schema serial of the model are dropped. Counts a hit or a miss. */
const struct value *imap_get(struct imap *m, struct arena *a, const struct model *model, struct str key);

/* A row that a read has brought: when the key is mapped, answers the mapped values (in the arena) and changes nothing;
 * else puts the row in and answers `row`. Counts neither hit nor miss. */
const struct value *imap_reconcile(struct imap *m, struct arena *a, const struct model *model, struct str key,
				   const struct value *row);

/* Inserts or overwrites (create, save, refresh). */
void imap_put(struct imap *m, const struct model *model, struct str key, const struct value *row);

/* Removes one; false when it was not there. */
bool imap_evict(struct imap *m, struct str model_name, struct str key);
/* Removes every entry of a model. */
void imap_evict_model(struct imap *m, struct str model_name);
void imap_clear(struct imap *m);
void imap_stats(struct imap *m, struct imap_stats *ret);
/* Hits, misses and evictions of every map since the process started. Any thread. */
void imap_totals(struct imap_stats *ret);

#endif
