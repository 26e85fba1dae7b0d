/*
 * Cursors are signed, so that only what this server made continues a page (existing.md section 2): HMAC-SHA-256 under a
 * key of the state, or of the process where nothing is kept. Owned by the process; set once at start, then read by any
 * thread.
 */
#ifndef FERROD_HANDLERS_CURSOR_SEAL_H
#define FERROD_HANDLERS_CURSOR_SEAL_H

#include <stdint.h>

#include "service/base/arena.h"
#include "service/base/crypto.h"
#include "service/base/macros.h"

/* The key of cursors; without this call it is a random one. Before anything is served. */
void cursor_seal_key(const uint8_t key[CRYPTO_KEY_BYTES]);

/* Signature and text as base64url, in the arena. whose: what belongs to it and is not shown; STR_NONE: it is anybody's.
 */
struct str cursor_seal(struct arena *a, struct str text, struct str whose);
/* The text of a cursor that was sealed for the same, in the arena; false: it is none of ours. */
bool cursor_unseal(struct arena *a, struct str cursor, struct str whose, struct str *ret_text) MUST_CHECK;

#endif
