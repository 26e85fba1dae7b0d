/*
 * The table under an identity map: entries by model name and key, in the order of their use, one allocation each. Knows
 * no rules and no bounds: identity_map.c does. No lock of its own.
 */
#ifndef FERROD_STORE_SESSION_IMAP_TABLE_H
#define FERROD_STORE_SESSION_IMAP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/str.h"

enum imap_kind {
	IMAP_ROW,       /* what a read has brought, or a write that is committed */
	IMAP_OWN_ROW,   /* written by the unit whose map this is, not committed yet */
	IMAP_OWN_GONE,  /* the same, but nobody knows the row: what is mapped below does not count */
	IMAP_OWN_MODEL, /* the same of every record of a model; has no key */
};

struct imap_entry {
	struct imap_entry *chain;         /* of its bucket */
	struct imap_entry *newer, *older; /* order of use */
	uint64_t serial;                  /* of the model it was packed under */
	uint64_t stamp;                   /* when it was put: see identity_map.c */
	uint32_t hash;
	uint32_t name_len, key_len, record_len;
	enum imap_kind kind;
	char data[]; /* name, key, record */
};

/* Zero-initialised: empty. */
struct imap_table {
	struct imap_entry **buckets;
	size_t n_buckets; /* a power of two, or 0 */
	size_t n, bytes;
	struct imap_entry *newest, *oldest;
};

uint32_t imap_hash(struct str name, struct str key);
size_t imap_entry_bytes(const struct imap_entry *e);
struct str imap_entry_name(const struct imap_entry *e);
struct str imap_entry_key(const struct imap_entry *e);
struct str imap_entry_record(const struct imap_entry *e);

/* The entry of a record, of any kind but IMAP_OWN_MODEL; NULL: there is none. */
struct imap_entry *imap_table_find(const struct imap_table *t, struct str name, struct str key, uint32_t hash);
/* The entry IMAP_OWN_MODEL of a model. */
struct imap_entry *imap_table_find_model(const struct imap_table *t, struct str name);

/* A new entry in no table; name and key are copied, room for the record is left. NULL: it is too large, or there is no
 * memory. Freed by imap_table_drop, or mem_free. */
struct imap_entry *imap_entry_create(enum imap_kind kind, struct str name, struct str key, uint32_t hash,
				     size_t record_len);
/* Adds e as the one used last (takes it); its record is not in the table. */
void imap_table_add(struct imap_table *t, struct imap_entry *e);
/* Makes e the one used last. */
void imap_table_use(struct imap_table *t, struct imap_entry *e);
/* Takes e out; the caller owns it. */
void imap_table_take(struct imap_table *t, struct imap_entry *e);
/* Takes e out and frees it. */
void imap_table_drop(struct imap_table *t, struct imap_entry *e);
/* Frees every entry and the table's own memory. */
void imap_table_clear(struct imap_table *t);

#endif
