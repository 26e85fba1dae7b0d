/* The rules of identity_map.h: maps over maps, what is written in them, and how that ends. */
#include <assert.h>

#include "service/base/mem.h"
#include "store/session/identity_map.h"
#include "store/session/imap_core.h"

#include "service/base/banned.h"

/* ---- writing ---- */

struct imap *imap_create(bool enabled, size_t max_entries, size_t max_bytes)
{
	struct imap *m = mem_alloc(sizeof(*m));

	mutex_init(&m->lock);
	m->base = m;
	m->enabled = enabled && max_entries > 0;
	m->max_entries = max_entries;
	m->max_bytes = max_bytes;
	return m;
}

struct imap *imap_over(struct imap *m, bool alone, bool keeps_reads)
{
	struct imap *over, *base;

	if (m == NULL || !m->base->enabled)
		return NULL;
	base = m->base;
	over = mem_alloc(sizeof(*over));
	over->base = base;
	over->parent = m;
	over->alone = alone;
	over->keeps_reads = keeps_reads;
	mutex_lock(&base->lock);
	over->opened = base->changes;
	over->next = base->overs;
	if (over->next != NULL)
		over->next->prev = over;
	base->overs = over;
	mutex_unlock(&base->lock);
	return over;
}

void imap_destroy(struct imap *m)
{
	if (m == NULL)
		return;
	if (m->parent != NULL) {
		imap_end(m, IMAP_UNKNOWN);
	} else {
		assert(m->overs == NULL);
		imap_remove_all(m);
		mutex_done(&m->lock);
	}
	mem_free(m);
}

bool imap_enabled(const struct imap *m)
{
	return m->enabled;
}

/* Those that are open over the same map and may write the same records have met. */
static void meet(struct imap *m, size_t slot, uint64_t bits)
{
	for (struct imap *x = m->base->overs; x != NULL; x = x->next) {
		if (x == m || x->parent != m->parent || !imap_touches(x, slot))
			continue;
		x->met |= bits;
		m->met |= x->writes;
	}
}

/* Down to the session's map, each map has an open write in the one below. */
static void touch(struct imap *m, size_t slot, uint64_t bits)
{
	for (; m->parent != NULL && !m->ended; m = m->parent) {
		meet(m, slot, bits);
		m->writes |= bits;
		if ((m->touched & imap_slot_bit(slot)) == 0)
			m->parent->slots[slot].n_open++;
		m->touched |= imap_slot_bit(slot);
		imap_move_on(m->parent, slot);
	}
}

/* Nothing of the model that lies in m or below counts any more. */
static void hide_model(struct imap *m, const struct model *model)
{
	struct imap_entry *e, *next;

	for (e = m->table.oldest; e != NULL; e = next) {
		next = e->newer;
		if (str_eq(imap_entry_name(e), model->name))
			imap_remove(m, e);
	}
	if (!m->everything)
		imap_insert_own(m, IMAP_OWN_MODEL, model, STR(""), imap_hash(model->name, STR("")), NULL);
}

void imap_write_begin(struct imap *over, const struct model *model, enum imap_what what, struct str key)
{
	uint32_t hash;

	if (over == NULL)
		return;
	assert(over->parent != NULL && !over->ended);
	mutex_lock(&over->base->lock);
	switch (what) {
	case IMAP_RECORD:
		hash = imap_hash(model->name, key);
		touch(over, imap_slot_of(model->name), imap_record_bit(hash));
		imap_insert_own(over, IMAP_OWN_GONE, model, key, hash, NULL);
		break;
	case IMAP_NEW:
		touch(over, imap_slot_of(model->name), 0);
		break;
	case IMAP_MODEL:
		touch(over, imap_slot_of(model->name), UINT64_MAX);
		hide_model(over, model);
		break;
	case IMAP_EVERYTHING:
		touch(over, IMAP_ANY, UINT64_MAX);
		over->raw_open = true;
		break;
	}
	mutex_unlock(&over->base->lock);
}

void imap_write_row(struct imap *over, const struct model *model, struct str key, const struct value *row)
{
	const size_t slot = imap_slot_of(model->name);
	const uint32_t hash = imap_hash(model->name, key);

	if (over == NULL)
		return;
	mutex_lock(&over->base->lock);
	assert(over->ended || (over->touched & imap_slot_bit(slot)) != 0);
	if (!over->ended) {
		touch(over, slot, imap_record_bit(hash)); /* of IMAP_NEW the key is known only now */
		imap_insert_own(over, IMAP_OWN_ROW, model, key, hash, row);
	}
	mutex_unlock(&over->base->lock);
}

void imap_write_raw(struct imap *over, bool only_read)
{
	if (over == NULL)
		return;
	mutex_lock(&over->base->lock);
	over->raw_open = false;
	if (!only_read)
		imap_hide_everything(over);
	mutex_unlock(&over->base->lock);
}

void imap_hide_all(struct imap *m)
{
	imap_clear(m);
	mutex_lock(&m->base->lock);
	for (struct imap *over = m->base->overs; over != NULL; over = over->next)
		imap_hide_everything(over);
	mutex_unlock(&m->base->lock);
}

/* ---- ends; the lock is held ---- */

/* What was written is committed: out of the session's map with what it may have changed, in with the rows that nobody
 * else wrote meanwhile. Rows that were only read stay if that is as if they had been read below. */
static void commit_to_session(struct imap *m)
{
	struct imap *base = m->base;
	const bool reads_stay = m->keeps_reads && m->opened == base->changes;
	struct imap_entry *e, *next;

	if (m->everything)
		imap_forget(base, m, &(struct imap_scope){0});
	for (e = m->table.oldest; e != NULL && m->n_models != 0; e = e->newer) {
		if (e->kind == IMAP_OWN_MODEL)
			imap_forget(base, m, &(struct imap_scope){.name = imap_entry_name(e)});
	}
	for (e = m->table.oldest; e != NULL; e = next) {
		const struct imap_scope one = {.name = imap_entry_name(e), .key = imap_entry_key(e), .hash = e->hash};
		const bool read = e->kind == IMAP_ROW;

		next = e->newer;
		if (e->kind == IMAP_OWN_MODEL)
			continue;
		if (!read)
			imap_forget(base, m, &one);
		if (read ? !reads_stay || imap_is_open(base, imap_slot_of(one.name)) ||
				    imap_table_find(&base->table, one.name, one.key, one.hash) != NULL
			 : e->kind != IMAP_OWN_ROW || (m->met & imap_record_bit(e->hash)) != 0)
			continue;
		imap_table_take(&m->table, e);
		e->kind = IMAP_ROW;
		e->stamp = ++base->stamp;
		imap_table_add(&base->table, e);
	}
}

/* The same into the map of a transaction or savepoint, where it goes on to be its own. */
static void commit_to_over(struct imap *m, struct imap *to)
{
	struct imap_entry *e, *next, *old;

	/* the client's own words may have gone back behind where any of its transaction's savepoints began */
	for (struct imap *x = to; m->everything && x->parent != NULL; x = x->parent)
		imap_hide_everything(x);
	for (e = m->table.oldest; e != NULL; e = next) {
		next = e->newer;
		if (e->kind == IMAP_OWN_MODEL) {
			const struct model model = {.name = imap_entry_name(e), .serial = e->serial};

			hide_model(to, &model);
		}
	}
	for (e = m->table.oldest; e != NULL; e = next) {
		next = e->newer;
		old = e->kind != IMAP_OWN_MODEL
			      ? imap_table_find(&to->table, imap_entry_name(e), imap_entry_key(e), e->hash)
			      : NULL;
		if (e->kind == IMAP_OWN_MODEL || (e->kind == IMAP_ROW && old != NULL))
			continue;
		if (old != NULL)
			imap_remove(to, old);
		imap_table_take(&m->table, e);
		imap_table_add(&to->table, e);
	}
}

/* Nobody knows what became of it: its models are out. */
static void lose(struct imap *m)
{
	if (m->touched == 0)
		return;
	if (m->parent->parent == NULL)
		imap_forget(m->base, m, &(struct imap_scope){.slots = m->touched});
	for (struct imap *x = m->parent; x->parent != NULL; x = x->parent)
		imap_hide_everything(x);
}

/* What was open in the map below is over. */
static void untouch(struct imap *m)
{
	for (size_t i = 0; i <= IMAP_SLOTS; i++) {
		if ((m->touched & imap_slot_bit(i)) == 0)
			continue;
		m->parent->slots[i].n_open--;
		imap_move_on(m->parent, i);
	}
}

static void unlink_over(struct imap *m)
{
	if (m->next != NULL)
		m->next->prev = m->prev;
	if (m->prev != NULL)
		m->prev->next = m->next;
	else
		m->base->overs = m->next;
}

void imap_end(struct imap *over, enum imap_end how)
{
	struct imap *base;

	if (over == NULL)
		return;
	base = over->base;
	mutex_lock(&base->lock);
	if (!over->ended) {
		/* a text that failed may have done part of its work */
		const bool lost = how == IMAP_UNKNOWN || over->raw_open;

		if (over->parent->ended)
			; /* nobody looks there any more */
		else if (lost)
			lose(over);
		else if (how == IMAP_COMMITTED && over->parent != base)
			commit_to_over(over, over->parent);
		else if (how == IMAP_COMMITTED)
			commit_to_session(over);
		imap_remove_all(over);
		untouch(over);
		unlink_over(over);
		over->ended = true;
	}
	mutex_unlock(&base->lock);
}
