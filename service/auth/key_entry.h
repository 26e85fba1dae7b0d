/* One entry of the keys: who it is, what it may do, and the secrets that prove it. In the arena of its key set. */
#ifndef FERROD_SERVICE_KEY_ENTRY_H
#define FERROD_SERVICE_KEY_ENTRY_H

#include "service/auth/auth.h"
#include "service/base/json.h"
#include "service/base/limits.h"

/* A secret as it is kept: SHA-256 over salt and text. */
struct key_secret {
	uint8_t salt[64];
	size_t salt_len;
	uint8_t digest[32];
};

struct key {
	struct principal principal;
	struct key_secret secrets[LIMIT_KEY_SECRETS];
	size_t n_secrets;
	struct str subject; /* of a client certificate, as tls_subject_read has it; STR_NONE: none */
	int64_t expires_us; /* instant; INT64_MAX: never */
};

/* {"name", "hash" or "hashes" or "subject" (or both), "scopes", "connections"?, "sets"?, "settings"?,
 * "settings_allowed"?, "role"?, "expires_at"?, "quotas"?}; what *ret keeps lives in the arena. ERR_INVALID_REQUEST with
 * its pointer. */
bool key_entry_read(struct arena *a, const json_t *entry, const char *pointer, struct key *ret,
		    struct err *err) MUST_CHECK;
/* Adds the scope of that name to the bits. False: there is none. */
bool key_scope_bit(struct str word, unsigned *bits) MUST_CHECK;
/* The digest that a secret of that text has. */
void key_digest(const struct key_secret *s, struct str text, uint8_t ret[32]);

#endif
