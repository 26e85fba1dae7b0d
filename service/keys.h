/* API keys: the file of hashed entries, and the check of a credential. Immutable once loaded; swapped whole on reload.
 */
#ifndef FERROD_SERVICE_KEYS_H
#define FERROD_SERVICE_KEYS_H

#include <stdio.h>

#include "service/auth.h"

struct key_set;

/* Reads the JSON array of {"name","hash","scopes","connections"?} from `path` (STR_NONE or empty: no file) and adds
 * `admin_key` (plain; empty: none) as a key with every scope. No key at all: *ret = NULL. ERR_INVALID_REQUEST: one
 * line, no secret. */
bool keys_load(struct str path, struct str admin_key, struct key_set **ret, struct err *err) MUST_CHECK;
void keys_destroy(struct key_set *k);

/* Authorization: Bearer <key> -> principal (a copy in the arena). Compares every entry in constant time. false:
 * ERR_UNAUTHENTICATED. */
bool keys_check(const struct key_set *k, struct str authorization, struct arena *a, const struct principal **ret,
		struct err *err) MUST_CHECK;

/* Prints {"key","entry"} of a fresh key to out: `ferrod key new`. scopes: comma-separated; connections: the same or
 * STR_NONE. */
bool keys_new(FILE *out, struct str name, struct str scopes, struct str connections, struct err *err) MUST_CHECK;

#endif
