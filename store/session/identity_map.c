/* The rules of identity_map.h: looking, reading, evicting. What writes and how it ends: imap_write.c. */
#include "store/session/identity_map.h"

#include "store/session/imap_core.h"
#include "store/session/record_pack.h"

#include "service/base/banned.h"

/* ---- looking ---- */

/* The entry that counts for a record, in *ret_in; NULL: none does, what the database has is to be asked for. */
static struct imap_entry *look(struct imap *m, struct str name, struct str key, uint32_t hash, struct imap **ret_in)
{
	for (; m != NULL && !m->ended; m = m->parent) {
		struct imap_entry *e = imap_table_find(&m->table, name, key, hash);

		*ret_in = m;
		if (e != NULL)
			return e;
		if (m->alone || m->everything || (m->n_models != 0 && imap_table_find_model(&m->table, name) != NULL))
			break;
	}
	return NULL;
}

/* The record's bytes, copied to the arena, and the entry the one used last. STR_NONE: not mapped. */
static struct str fetch(struct imap *m, struct arena *a, const struct model *model, struct str key, uint32_t hash)
{
	struct imap *in;
	struct imap_entry *e = look(m, model->name, key, hash, &in);

	if (e == NULL || e->kind == IMAP_OWN_GONE)
		return STR_NONE;
	if (e->serial != model->serial) {
		if (e->kind == IMAP_ROW)
			imap_remove(in, e);
		return STR_NONE;
	}
	imap_table_use(&in->table, e);
	return arena_str(a, imap_entry_record(e));
}

static void begin(struct imap_read *r, struct imap *m, const struct model *model, enum imap_reading how)
{
	const size_t slot = imap_slot_of(model->name);

	/* those that were sent before are older than what this one will bring */
	for (struct imap *x = m; how == IMAP_REFRESH && x != NULL; x = x->parent)
		imap_move_on(x, slot);
	*r = (struct imap_read){
		.map = m,
		.model = model,
		.how = how,
		.fills = !m->ended && (m->parent != NULL || !imap_is_open(m, slot)),
		.seen = imap_generation(m, slot),
		.stamp = m->base->stamp,
	};
}

const struct value *imap_get(struct imap *m, struct arena *a, const struct model *model, struct str key,
			     struct imap_read *r)
{
	uint32_t hash;
	struct str packed;

	*r = (struct imap_read){.model = model};
	if (m == NULL || !m->base->enabled)
		return NULL;
	hash = imap_hash(model->name, key);
	mutex_lock(&m->base->lock);
	packed = fetch(m, a, model, key, hash);
	if (packed.p != NULL) {
		m->base->hits++;
	} else {
		m->base->misses++;
		begin(r, m, model, IMAP_LOOK);
	}
	mutex_unlock(&m->base->lock);
	imap_count(packed.p != NULL ? &imap_shard()->hits : &imap_shard()->misses);
	return packed.p != NULL ? record_unpack(a, packed, model->n_columns) : NULL;
}

void imap_read_begin(struct imap_read *r, struct imap *m, const struct model *model, enum imap_reading how)
{
	*r = (struct imap_read){.model = model, .how = how};
	if (m == NULL || !m->base->enabled)
		return;
	mutex_lock(&m->base->lock);
	begin(r, m, model, how);
	mutex_unlock(&m->base->lock);
}

/* May the row stay? */
static bool may_fill(const struct imap_read *r)
{
	return r->fills && !r->map->ended && imap_generation(r->map, imap_slot_of(r->model->name)) == r->seen;
}

static bool looks_through(const struct imap *m, const struct imap *other)
{
	while (m != NULL && m != other)
		m = m->parent;
	return m != NULL;
}

/* The database's word goes out, or the client asks for it: who has such records open must not put them in after that,
 * for they may be older than what others have made of them meanwhile. */
static void meet(const struct imap *m, size_t slot, uint64_t bits)
{
	for (struct imap *x = m->base->overs; x != NULL; x = x->next) {
		if (imap_touches(x, slot) && !looks_through(m, x))
			x->met |= bits;
	}
}

/* A row is answered and not kept: reads that have begun before now may be older, and are not kept either. */
static void leave_out(struct imap_read *r)
{
	const size_t slot = imap_slot_of(r->model->name);
	const bool valid = imap_generation(r->map, slot) == r->seen;

	for (struct imap *x = r->map; x != NULL; x = x->parent)
		imap_move_on(x, slot);
	if (valid)
		r->seen = imap_generation(r->map, slot);
}

/* The row takes the place of what is mapped, in every map that the reader looks through. */
static void replace(struct imap_read *r, struct str key, uint32_t hash, const struct value *row)
{
	struct imap *m = r->map;
	const struct imap_scope one = {.name = r->model->name, .key = key, .hash = hash};
	enum imap_kind kind = IMAP_ROW;
	struct imap_entry *e;
	bool fills = may_fill(r);

	meet(m, imap_slot_of(one.name), imap_record_bit(hash));
	if (m->ended)
		return;
	for (struct imap *x = m; x != NULL; x = x->parent) {
		e = imap_table_find(&x->table, one.name, key, hash);
		if (e == NULL)
			continue;
		if (e->kind != IMAP_ROW) {
			/* its own transaction looks at it again: that is its row now */
			kind = e->kind;
			break;
		}
		/* put since this read began: which of the two is the newer one is not known */
		fills = fills && e->stamp <= r->stamp;
		imap_forget_in(x, &one);
	}
	if (kind == IMAP_OWN_GONE)
		return;
	if (kind == IMAP_OWN_ROW)
		imap_insert_own(m, kind, r->model, key, hash, row);
	else if (!fills || !imap_insert(m, kind, r->model, key, hash, row))
		leave_out(r);
}

/* The mapped record's bytes, or STR_NONE, and the row is kept if it may be. */
static struct str reconcile(struct imap_read *r, struct arena *a, struct str key, uint32_t hash,
			    const struct value *row)
{
	struct imap *m = r->map;
	const struct str packed = fetch(m, a, r->model, key, hash);

	if (packed.p != NULL)
		return packed;
	meet(m, imap_slot_of(r->model->name), imap_record_bit(hash));
	if (!may_fill(r))
		leave_out(r);
	else if (imap_table_find(&m->table, r->model->name, key, hash) == NULL)
		(void)imap_insert(m, IMAP_ROW, r->model, key, hash, row);
	return STR_NONE;
}

const struct value *imap_read_row(struct imap_read *r, struct arena *a, struct str key, const struct value *row)
{
	struct str packed = STR_NONE;
	uint32_t hash;

	if (r->map == NULL)
		return row;
	hash = imap_hash(r->model->name, key);
	mutex_lock(&r->map->base->lock);
	if (r->how == IMAP_REFRESH)
		replace(r, key, hash, row);
	else
		packed = reconcile(r, a, key, hash, row);
	mutex_unlock(&r->map->base->lock);
	return packed.p != NULL ? record_unpack(a, packed, r->model->n_columns) : row;
}

/* Takes it out of what the reader looks through; reads that are under way must not bring it back. */
static void evict(struct imap *m, const struct imap_scope *s)
{
	const size_t slot = s->name.p != NULL ? imap_slot_of(s->name) : IMAP_ANY;

	meet(m, slot, s->key.p != NULL ? imap_record_bit(s->hash) : UINT64_MAX);
	for (; m != NULL; m = m->parent) {
		imap_move_on(m, slot);
		if (m->parent == NULL)
			imap_forget(m, NULL, s);
	}
}

void imap_read_none(struct imap_read *r, struct str key)
{
	const struct str name = r->model->name;

	if (r->map == NULL)
		return;
	mutex_lock(&r->map->base->lock);
	evict(r->map, &(struct imap_scope){.name = name, .key = key, .hash = imap_hash(name, key)});
	mutex_unlock(&r->map->base->lock);
}

void imap_evict(struct imap *m, struct str model_name, struct str key)
{
	if (m == NULL || !m->base->enabled)
		return;
	mutex_lock(&m->base->lock);
	evict(m, &(struct imap_scope){.name = model_name, .key = key, .hash = imap_hash(model_name, key)});
	mutex_unlock(&m->base->lock);
}

void imap_clear(struct imap *m)
{
	if (m == NULL)
		return;
	mutex_lock(&m->base->lock);
	evict(m, &(struct imap_scope){0});
	mutex_unlock(&m->base->lock);
}

/* ---- figures ---- */

void imap_totals(struct imap_stats *ret)
{
	size_t n;
	const struct imap_shard *shards = imap_shards(&n);

	*ret = (struct imap_stats){0};
	for (size_t i = 0; i < n; i++) {
		ret->hits += __atomic_load_n(&shards[i].hits, __ATOMIC_RELAXED);
		ret->misses += __atomic_load_n(&shards[i].misses, __ATOMIC_RELAXED);
		ret->evictions += __atomic_load_n(&shards[i].evictions, __ATOMIC_RELAXED);
	}
}

void imap_stats(struct imap *m, struct imap_stats *ret)
{
	mutex_lock(&m->lock);
	*ret = (struct imap_stats){
		.enabled = m->enabled,
		.size = m->n_all,
		.bytes = m->bytes_all,
		.hits = m->hits,
		.misses = m->misses,
		.evictions = m->evictions,
	};
	mutex_unlock(&m->lock);
}
