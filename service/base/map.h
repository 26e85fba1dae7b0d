/*
 * A hash table from byte strings to pointers (open addressing, keyed hash). Keys are borrowed: they
 * must outlive their entry. Not thread-safe.
 */
#ifndef FERROD_BASE_MAP_H
#define FERROD_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/macros.h"
#include "service/base/str.h"

struct map_slot {
	struct str key;
	uint64_t hash;
	void *value; /* NULL: empty slot */
};

struct map {
	struct map_slot *slots; /* owned */
	size_t n_slots;         /* a power of two, or 0 */
	size_t n;               /* entries */
};

/* Empty; allocates nothing yet. */
void map_init(struct map *m);

/* Frees the table; neither keys nor values. */
void map_done(struct map *m);

/* The value, or NULL. */
void *map_get(const struct map *m, struct str key);
/* For callers who know num_hash(key) already, or make up a hash of their own: then for all calls with that key. */
void *map_get_hashed(const struct map *m, struct str key, uint64_t hash);

/* Adds or replaces (value non-NULL; the key is borrowed); returns the value that was there, or NULL. */
void *map_put(struct map *m, struct str key, void *value);
void *map_put_hashed(struct map *m, struct str key, uint64_t hash, void *value);

/* Removes; returns the value that was there, or NULL. */
void *map_remove(struct map *m, struct str key);
void *map_remove_hashed(struct map *m, struct str key, uint64_t hash);

/* Iterates: start with *pos = 0; returns the next value or NULL at the end. Do not change the map
 * while iterating. */
void *map_next(const struct map *m, size_t *pos);

#endif
