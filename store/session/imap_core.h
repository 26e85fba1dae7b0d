/*
 * What identity maps are made of: entries within bounds, generations, figures. For identity_map.c and imap_write.c
 * alone, which have the rules. Everything here wants the lock held, but for the figures. Owned by the map.
 */
#ifndef FERROD_STORE_SESSION_IMAP_CORE_H
#define FERROD_STORE_SESSION_IMAP_CORE_H

#include <stdalign.h>

#include "service/base/macros.h"
#include "service/base/mutex.h"
#include "service/base/num.h"
#include "store/schema/schema.h"
#include "store/session/imap_table.h"
#include "store/value.h"

#define IMAP_SLOTS 32       /* a power of two; models share them by hash */
#define IMAP_ANY IMAP_SLOTS /* the slot of what may be any model's */

struct imap_slot {
	uint64_t generation; /* of begins, ends and evictions */
	uint32_t n_open;     /* maps over this one that have begun a write */
};

struct imap {
	struct imap *base;        /* the session's map; itself for that */
	struct imap *parent;      /* the map below; NULL: this is the session's */
	struct imap *next, *prev; /* of the base's list of maps over it, whatever their depth */
	struct imap_table table;
	struct imap_slot slots[IMAP_SLOTS + 1];
	/* a map over another */
	bool alone, ended;
	bool everything;  /* nothing that lies below counts any more */
	bool raw_open;    /* a statement of the client's own is under way, or has failed */
	size_t n_models;  /* entries of the kind IMAP_OWN_MODEL */
	uint64_t touched; /* a bit per slot: it has begun a write there */
	uint64_t writes;  /* a bit per record written, by hash; all: any record */
	uint64_t met;     /* such bits of others that were open at the same time */
	bool keeps_reads; /* rows that it has only read stay when it is committed */
	uint64_t opened;  /* the base's `changes` when it was made */
	/* the session's map */
	struct mutex lock;
	struct imap *overs;
	bool enabled;
	size_t max_entries, max_bytes;
	size_t n_all, bytes_all; /* of it and all over it */
	uint64_t changes;        /* of any generation in it */
	uint64_t stamp;          /* moves with every row that is put */
	uint64_t hits, misses, evictions;
};

/* Which entries something is about. */
struct imap_scope {
	struct str name, key; /* absent: any */
	uint32_t hash;
	uint64_t slots; /* in use when not 0: a bit per slot, in place of a name */
};

static inline uint64_t imap_slot_bit(size_t slot)
{
	return UINT64_C(1) << slot;
}

static inline size_t imap_slot_of(struct str name)
{
	return (size_t)(num_hash(name) >> 40) & (IMAP_SLOTS - 1);
}

/* The bit that stands for a record in `writes` and `met`. */
static inline uint64_t imap_record_bit(uint32_t hash)
{
	return UINT64_C(1) << (hash >> 26);
}

/* Has m begun a write that may be one of the slot? */
static inline bool imap_touches(const struct imap *m, size_t slot)
{
	return slot == IMAP_ANY ? m->touched != 0 : (m->touched & (imap_slot_bit(slot) | imap_slot_bit(IMAP_ANY))) != 0;
}

void imap_remove(struct imap *m, struct imap_entry *e);
void imap_remove_all(struct imap *m);
/* A new entry, with the row when there is one; the key is not in m. false: there is no room. */
bool imap_insert(struct imap *m, enum imap_kind kind, const struct model *model, struct str key, uint32_t hash,
		 const struct value *row);
/* The same of what must not be lost; an entry of the key gives way. What has no room is unknown, or everything is. */
void imap_insert_own(struct imap *m, enum imap_kind kind, const struct model *model, struct str key, uint32_t hash,
		     const struct value *row);
/* Everything that lies in m or below counts as written. */
void imap_hide_everything(struct imap *m);
/* Takes what is nobody's own out of one map. */
void imap_forget_in(struct imap *m, const struct imap_scope *s);
/* The same out of the session's map and all over it, but `except`. */
void imap_forget(struct imap *base, const struct imap *except, const struct imap_scope *s);

/* Something began, ended or went there: reads under way do not fill it. */
void imap_move_on(struct imap *m, size_t slot);
/* The sum of the slot's and of every model's, from m down to the session's map. */
uint64_t imap_generation(const struct imap *m, size_t slot);
/* Is a write to the slot open over m? */
bool imap_is_open(const struct imap *m, size_t slot);

/* Of all maps since the start: threads count in shards of their own, as long as there are enough of them. */
struct imap_shard {
	alignas(64) uint64_t hits; /* all atomic */
	uint64_t misses, evictions;
};
/* The calling thread's. */
struct imap_shard *imap_shard(void);
const struct imap_shard *imap_shards(size_t *ret_n);
void imap_count(uint64_t *total);

#endif
