/* A chained hash table and a list in order of use. */
#include "store/session/imap_table.h"

#include <string.h>

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define BUCKETS_FIRST 16

uint32_t imap_hash(struct str name, struct str key)
{
	const uint64_t h = num_hash(key) + num_hash(name) * UINT64_C(0x9E3779B97F4A7C15);

	return (uint32_t)(h >> 32);
}

size_t imap_entry_bytes(const struct imap_entry *e)
{
	return sizeof(*e) + e->name_len + e->key_len + e->record_len;
}

struct str imap_entry_name(const struct imap_entry *e)
{
	return str_n(e->data, e->name_len);
}

struct str imap_entry_key(const struct imap_entry *e)
{
	return str_n(e->data + e->name_len, e->key_len);
}

struct str imap_entry_record(const struct imap_entry *e)
{
	return str_n(e->data + e->name_len + e->key_len, e->record_len);
}

struct imap_entry *imap_table_find(const struct imap_table *t, struct str name, struct str key, uint32_t hash)
{
	if (t->n == 0)
		return NULL;
	for (struct imap_entry *e = t->buckets[hash & (t->n_buckets - 1)]; e != NULL; e = e->chain) {
		if (e->hash == hash && str_eq(imap_entry_key(e), key) && str_eq(imap_entry_name(e), name) &&
		    e->kind != IMAP_OWN_MODEL)
			return e;
	}
	return NULL;
}

struct imap_entry *imap_table_find_model(const struct imap_table *t, struct str name)
{
	const uint32_t hash = imap_hash(name, STR(""));

	if (t->n == 0)
		return NULL;
	for (struct imap_entry *e = t->buckets[hash & (t->n_buckets - 1)]; e != NULL; e = e->chain) {
		if (e->hash == hash && e->kind == IMAP_OWN_MODEL && str_eq(imap_entry_name(e), name))
			return e;
	}
	return NULL;
}

static void list_remove(struct imap_table *t, struct imap_entry *e)
{
	if (e->newer != NULL)
		e->newer->older = e->older;
	else
		t->newest = e->older;
	if (e->older != NULL)
		e->older->newer = e->newer;
	else
		t->oldest = e->newer;
}

static void list_add_newest(struct imap_table *t, struct imap_entry *e)
{
	e->newer = NULL;
	e->older = t->newest;
	if (t->newest != NULL)
		t->newest->newer = e;
	else
		t->oldest = e;
	t->newest = e;
}

static void grow(struct imap_table *t)
{
	const size_t n_new = t->n_buckets != 0 ? t->n_buckets * 2 : BUCKETS_FIRST;
	struct imap_entry **buckets = mem_array(n_new, sizeof(struct imap_entry *));

	for (struct imap_entry *e = t->oldest; e != NULL; e = e->newer) {
		e->chain = buckets[e->hash & (n_new - 1)];
		buckets[e->hash & (n_new - 1)] = e;
	}
	mem_free(t->buckets);
	t->buckets = buckets;
	t->n_buckets = n_new;
}

struct imap_entry *imap_entry_create(enum imap_kind kind, struct str name, struct str key, uint32_t hash,
				     size_t record_len)
{
	const size_t total = sizeof(struct imap_entry) + name.len + key.len + record_len;
	struct imap_entry *e = total <= UINT32_MAX ? mem_try(NULL, total) : NULL;

	if (e == NULL)
		return NULL;
	*e = (struct imap_entry){
		.hash = hash,
		.name_len = (uint32_t)name.len,
		.key_len = (uint32_t)key.len,
		.record_len = (uint32_t)record_len,
		.kind = kind,
	};
	if (name.len != 0)
		memcpy(e->data, name.p, name.len);
	if (key.len != 0)
		memcpy(e->data + name.len, key.p, key.len);
	return e;
}

void imap_table_add(struct imap_table *t, struct imap_entry *e)
{
	if (t->n >= t->n_buckets)
		grow(t);
	e->chain = t->buckets[e->hash & (t->n_buckets - 1)];
	t->buckets[e->hash & (t->n_buckets - 1)] = e;
	list_add_newest(t, e);
	t->n++;
	t->bytes += imap_entry_bytes(e);
}

void imap_table_use(struct imap_table *t, struct imap_entry *e)
{
	list_remove(t, e);
	list_add_newest(t, e);
}

void imap_table_take(struct imap_table *t, struct imap_entry *e)
{
	struct imap_entry **link = &t->buckets[e->hash & (t->n_buckets - 1)];

	while (*link != e)
		link = &(*link)->chain;
	*link = e->chain;
	list_remove(t, e);
	t->n--;
	t->bytes -= imap_entry_bytes(e);
}

void imap_table_drop(struct imap_table *t, struct imap_entry *e)
{
	imap_table_take(t, e);
	mem_free(e);
}

void imap_table_clear(struct imap_table *t)
{
	struct imap_entry *next;

	for (struct imap_entry *e = t->oldest; e != NULL; e = next) {
		next = e->newer;
		mem_free(e);
	}
	mem_free(t->buckets);
	*t = (struct imap_table){0};
}
