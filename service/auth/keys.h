/*
 * API keys: the file of hashed entries, and the check of a credential. Immutable once loaded; swapped whole on reload.
 * Owned by the composition root.
 */
#ifndef FERROD_SERVICE_KEYS_H
#define FERROD_SERVICE_KEYS_H

#include <stdio.h>

#include "service/auth/auth.h"

struct key_set;

struct key_sources {
	struct str file;       /* path of a JSON array of entries (key_entry.h); empty: none */
	struct str list;       /* the text of such an array; empty: none */
	struct str admin_key;  /* a key with every scope, in plain; empty: none */
	const json_t *catalog; /* those that the catalog declares, an array; NULL: none */
};

/* No key at all: *ret = NULL. ERR_INVALID_REQUEST: one line, no secret; an entry at fault points to "/N...". Borrows
 * the sources for the call only. */
bool keys_load(const struct key_sources *from, struct key_set **ret, struct err *err) MUST_CHECK;
void keys_destroy(struct key_set *k);

/* Calls fn with the name of each key of `before` that may do less by `after`, or is gone: a scope less, a connection
 * less. Either may be NULL: no keys. */
void keys_narrowed(const struct key_set *before, const struct key_set *after, void (*fn)(void *arg, struct str name),
		   void *arg);

/* Authorization: Bearer <key> -> principal (a copy in the arena). Compares every entry in constant time. false:
 * ERR_UNAUTHENTICATED. */
bool keys_check(const struct key_set *k, struct str authorization, struct arena *a, const struct principal **ret,
		struct err *err) MUST_CHECK;

/* Does any key go by a client certificate? */
bool keys_have_subjects(const struct key_set *k);
/* The same for whom a client certificate names by one of these subjects, the first that a key has. ERR_UNAUTHENTICATED:
 * no key has any. */
bool keys_of_subjects(const struct key_set *k, const struct str *subjects, size_t n, struct arena *a,
		      const struct principal **ret, struct err *err) MUST_CHECK;

struct key_new {
	struct str name;
	struct str scopes;      /* comma-separated */
	struct str connections; /* the same; STR_NONE: all */
	struct str sets;        /* of models that it may change; the same; STR_NONE: all, or those of its connections */
	struct str role;        /* STR_NONE: none */
	struct str subject;     /* of a client certificate; STR_NONE: none */
};
/* A fresh key and the JSON object that is its entry, both in the arena. ERR_INVALID_REQUEST. */
bool keys_new(struct arena *a, const struct key_new *k, struct str *ret_key, struct str *ret_entry,
	      struct err *err) MUST_CHECK;

#endif
