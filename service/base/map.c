/* The hash table: linear probing, at most three quarters full, deletion by moving later entries back. */
#include "service/base/map.h"

#include <assert.h>

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define SLOTS_FIRST 16

void map_init(struct map *m)
{
	*m = (struct map){0};
}

void map_done(struct map *m)
{
	mem_free(m->slots);
	map_init(m);
}

/* The slot that holds key, or the empty one where it would go. The table has slots, one empty at least. */
static struct map_slot *find(const struct map *m, struct str key, uint64_t hash)
{
	const size_t mask = m->n_slots - 1;
	size_t i = (size_t)hash & mask;

	while (m->slots[i].value != NULL && (m->slots[i].hash != hash || !str_eq(m->slots[i].key, key)))
		i = (i + 1) & mask;
	return &m->slots[i];
}

void *map_get_hashed(const struct map *m, struct str key, uint64_t hash)
{
	return m->n != 0 ? find(m, key, hash)->value : NULL;
}

void *map_get(const struct map *m, struct str key)
{
	return m->n != 0 ? map_get_hashed(m, key, num_hash(key)) : NULL;
}

static void grow(struct map *m)
{
	struct map_slot *old = m->slots;
	const size_t n_old = m->n_slots;

	m->n_slots = n_old != 0 ? n_old * 2 : SLOTS_FIRST;
	m->slots = mem_array(m->n_slots, sizeof(*m->slots));
	for (size_t i = 0; i < n_old; i++) {
		if (old[i].value != NULL)
			*find(m, old[i].key, old[i].hash) = old[i];
	}
	mem_free(old);
}

void *map_put(struct map *m, struct str key, void *value)
{
	return map_put_hashed(m, key, num_hash(key), value);
}

void *map_put_hashed(struct map *m, struct str key, uint64_t hash, void *value)
{
	struct map_slot *slot;
	void *old;

	assert(value != NULL);
	if (m->n + 1 > m->n_slots / 4 * 3)
		grow(m);
	slot = find(m, key, hash);
	old = slot->value;
	if (old == NULL)
		m->n++;
	/* the new key also replaces the old one, whose owner may go with the old value */
	*slot = (struct map_slot){key, hash, value};
	return old;
}

void *map_remove(struct map *m, struct str key)
{
	return m->n != 0 ? map_remove_hashed(m, key, num_hash(key)) : NULL;
}

void *map_remove_hashed(struct map *m, struct str key, uint64_t hash)
{
	const size_t mask = m->n_slots - 1;
	struct map_slot *slot;
	size_t hole, i;
	void *old;

	if (m->n == 0)
		return NULL;
	slot = find(m, key, hash);
	old = slot->value;
	if (old == NULL)
		return NULL;
	hole = (size_t)(slot - m->slots);
	for (i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
		size_t home = (size_t)m->slots[i].hash & mask;

		/* it may move to the hole unless its home lies behind the hole, at or before i */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){STR_NONE, 0, NULL};
	m->n--;
	return old;
}

void *map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->n_slots) {
		void *value = m->slots[(*pos)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}
