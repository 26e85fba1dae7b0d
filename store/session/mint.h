/*
 * Ids of sessions and transactions: bearer secrets of random bytes. Where several servers share a state, an id begins
 * with the name of the server that made it and '~', so that a proxy can route by it without memory; and a transaction's
 * has a MAC under a key of the state, over itself, its session and its owner, so that another server knows that there
 * was such a transaction without having been told of it.
 */
#ifndef FERROD_STORE_SESSION_MINT_H
#define FERROD_STORE_SESSION_MINT_H

#include <stdbool.h>

#include "service/base/crypto.h"
#include "service/base/macros.h"
#include "service/base/str.h"

#define MINT_NAME_MAX 32
#define MINT_SESSION_BYTES (MINT_NAME_MAX + 1 + 33) /* name, '~', 24 bytes as base64url, NUL */
#define MINT_TX_BYTES (MINT_NAME_MAX + 1 + 49)      /* the same with 36 bytes */

/* Zero-initialised: ids without name and MAC. Set before the first id is made, and not changed then. */
struct mint {
	char name[MINT_NAME_MAX + 1]; /* "": none */
	uint8_t key[CRYPTO_KEY_BYTES];
	uint8_t run[4]; /* of this start of the server */
};

/* name: at most MINT_NAME_MAX bytes. instance: names this start. */
void mint_init(struct mint *m, struct str name, struct str instance, const uint8_t key[CRYPTO_KEY_BYTES]);

void mint_session_id(const struct mint *m, char ret[MINT_SESSION_BYTES]);
/* Of a transaction in that session (STR_NONE: in none) of that owner. */
void mint_tx_id(const struct mint *m, struct str session_id, struct str owner, char ret[MINT_TX_BYTES]);

/* Did a server of this state make that id for that session and owner? *ret_node: which, borrowed from the id;
 * *ret_this_run: it was this very start of this one. Any text will do. */
bool mint_knows_tx(const struct mint *m, struct str id, struct str session_id, struct str owner, struct str *ret_node,
		   bool *ret_this_run) MUST_CHECK;
/* The name before '~'; STR_NONE: there is none. Borrowed. */
struct str mint_node_of(struct str id);

#endif
