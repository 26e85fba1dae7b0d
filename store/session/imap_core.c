/* Entries, bounds, generations and figures of identity maps: see imap_core.h. */
#include "store/session/imap_core.h"

#include "service/base/mem.h"
#include "store/session/record_pack.h"

#include "service/base/banned.h"

/* ---- figures ---- */

#define SHARDS 16 /* a power of two */

/* Of all maps since the start: threads count in shards of their own, as long as there are enough of them. */
static struct imap_shard shards[SHARDS];

struct imap_shard *imap_shard(void)
{
	static unsigned n_threads; /* atomic */
	static _Thread_local struct imap_shard *mine;

	if (mine == NULL)
		mine = &shards[__atomic_fetch_add(&n_threads, 1, __ATOMIC_RELAXED) & (SHARDS - 1)];
	return mine;
}

void imap_count(uint64_t *total)
{
	__atomic_fetch_add(total, 1, __ATOMIC_RELAXED);
}

const struct imap_shard *imap_shards(size_t *ret_n)
{
	*ret_n = SHARDS;
	return shards;
}

/* ---- entries; the lock is held ---- */

void imap_remove(struct imap *m, struct imap_entry *e)
{
	m->base->n_all--;
	m->base->bytes_all -= imap_entry_bytes(e);
	m->n_models -= e->kind == IMAP_OWN_MODEL;
	imap_table_drop(&m->table, e);
}

void imap_remove_all(struct imap *m)
{
	m->base->n_all -= m->table.n;
	m->base->bytes_all -= m->table.bytes;
	m->n_models = 0;
	imap_table_clear(&m->table);
}

static void add_entry(struct imap *m, struct imap_entry *e)
{
	e->stamp = ++m->base->stamp;
	m->base->n_all++;
	m->base->bytes_all += imap_entry_bytes(e);
	m->n_models += e->kind == IMAP_OWN_MODEL;
	imap_table_add(&m->table, e);
}

/* Which entry goes for another of m: one that is nobody's own, of this map before the session's. */
static bool drop_oldest(struct imap *m)
{
	struct imap *from = m->table.oldest != NULL && m->table.oldest->kind == IMAP_ROW ? m : m->base;

	if (from->table.oldest == NULL || from->table.oldest->kind != IMAP_ROW)
		return false;
	imap_remove(from, from->table.oldest);
	m->base->evictions++;
	imap_count(&imap_shard()->evictions);
	return true;
}

/* A new entry, with the row when there is one. false: there is no room. */
bool imap_insert(struct imap *m, enum imap_kind kind, const struct model *model, struct str key, uint32_t hash,
		 const struct value *row)
{
	const size_t record_len = row != NULL ? record_pack_len(row, model->n_columns) : 0;
	const size_t total = sizeof(struct imap_entry) + model->name.len + key.len + record_len;
	struct imap *base = m->base;
	struct imap_entry *e;

	if (total > base->max_bytes)
		return false;
	while (base->n_all >= base->max_entries || base->bytes_all + total > base->max_bytes) {
		if (!drop_oldest(m))
			return false;
	}
	e = imap_entry_create(kind, model->name, key, hash, record_len);
	if (e == NULL)
		return false;
	e->serial = model->serial;
	if (row != NULL)
		record_pack(row, model->n_columns, (unsigned char *)e->data + e->name_len + e->key_len);
	add_entry(m, e);
	return true;
}

/* There is no room for what must not be lost: everything counts as written. */
void imap_hide_everything(struct imap *m)
{
	imap_remove_all(m);
	m->everything = true;
}

void imap_insert_own(struct imap *m, enum imap_kind kind, const struct model *model, struct str key, uint32_t hash,
		     const struct value *row)
{
	struct imap_entry *e = kind == IMAP_OWN_MODEL ? NULL : imap_table_find(&m->table, model->name, key, hash);

	if (e != NULL)
		imap_remove(m, e);
	if (imap_insert(m, kind, model, key, hash, row))
		return;
	/* a row that is too large may be the only one without room */
	if (kind != IMAP_OWN_ROW || !imap_insert(m, IMAP_OWN_GONE, model, key, hash, NULL))
		imap_hide_everything(m);
}

static bool in_scope(const struct imap_scope *s, const struct imap_entry *e)
{
	if (s->slots != 0)
		return (s->slots & (imap_slot_bit(IMAP_ANY) | imap_slot_bit(imap_slot_of(imap_entry_name(e))))) != 0;
	return s->name.p == NULL || str_eq(imap_entry_name(e), s->name);
}

/* Takes what is nobody's own out of one map. */
void imap_forget_in(struct imap *m, const struct imap_scope *s)
{
	struct imap_entry *e, *next;

	if (s->key.p != NULL) {
		e = imap_table_find(&m->table, s->name, s->key, s->hash);
		if (e != NULL && e->kind == IMAP_ROW)
			imap_remove(m, e);
		return;
	}
	for (e = m->table.oldest; e != NULL; e = next) {
		next = e->newer;
		if (e->kind == IMAP_ROW && in_scope(s, e))
			imap_remove(m, e);
	}
}

/* Out of the session's map and all over it, but `except`. */
void imap_forget(struct imap *base, const struct imap *except, const struct imap_scope *s)
{
	imap_forget_in(base, s);
	for (struct imap *x = base->overs; x != NULL; x = x->next) {
		if (x != except)
			imap_forget_in(x, s);
	}
}

/* ---- generations; the lock is held ---- */

void imap_move_on(struct imap *m, size_t slot)
{
	m->slots[slot].generation++;
	m->base->changes++;
}

uint64_t imap_generation(const struct imap *m, size_t slot)
{
	uint64_t sum = 0;

	for (; m != NULL; m = m->parent)
		sum += m->slots[slot].generation + m->slots[IMAP_ANY].generation;
	return sum;
}

bool imap_is_open(const struct imap *m, size_t slot)
{
	return m->slots[slot].n_open != 0 || m->slots[IMAP_ANY].n_open != 0;
}
