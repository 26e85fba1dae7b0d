/*
 * The keys under which the state's secrets are sealed: a file of one or two lines, the first seals, both open. Owned
 * by the state, by value.
 */
#ifndef FERROD_STORE_STATE_SEAL_H
#define FERROD_STORE_STATE_SEAL_H

#include <stdio.h>

#include "service/base/arena.h"
#include "service/base/crypto.h"
#include "service/base/err.h"

struct seal {
	uint8_t keys[2][CRYPTO_KEY_BYTES];
	size_t n; /* 0: nothing can be sealed */
};

/* Reads the file. ERR_INVALID_VALUE, without what is in it. Blocks. */
bool seal_load(const char *path, struct seal *ret, struct err *err) MUST_CHECK;
/* Reads the file, or makes it with a new key and mode 0600 where there is none. Blocks. */
bool seal_load_or_make(const char *path, struct seal *ret, struct err *err) MUST_CHECK;
/* A new key as a line: `ferrod key seal`. */
void seal_print_new(FILE *out);

/* Under the first key, in the arena; there must be one. */
struct str seal_put(struct arena *a, const struct seal *s, struct str context, struct str plain);
/* Under either key (*ret_second: it was not the first). false: neither opens it. */
bool seal_get(struct arena *a, const struct seal *s, struct str context, struct str sealed, struct str *ret,
	      bool *ret_second) MUST_CHECK;

#endif
