/*
 * Sealing of secrets at rest: AES-256-GCM (NIST SP 800-38D) by GnuTLS, a fresh random nonce each time. A sealed text
 * is base64url of version byte, nonce, ciphertext and tag. Owns nothing: keys are the caller's, results live in the
 * caller's arena.
 */
#ifndef FERROD_BASE_CRYPTO_H
#define FERROD_BASE_CRYPTO_H

#include <stdbool.h>
#include <stdint.h>

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "service/base/str.h"

#define CRYPTO_KEY_BYTES 32

/* Seals plain under the key, bound to `context` (what it is, so that it cannot stand for anything else). In the arena;
 * never fails (the process ends when GnuTLS does not work). */
struct str crypto_seal(struct arena *a, const uint8_t key[CRYPTO_KEY_BYTES], struct str context, struct str plain);

/* The plain text in the arena; false when it was sealed under another key or for another context, or is damaged. */
bool crypto_open(struct arena *a, const uint8_t key[CRYPTO_KEY_BYTES], struct str context, struct str sealed,
		 struct str *ret) MUST_CHECK;

/* HMAC-SHA-256 (RFC 2104) of text under the key. */
void crypto_mac(const uint8_t key[CRYPTO_KEY_BYTES], struct str text, uint8_t ret[32]);

/* The same again and again under one key, without setting it up each time. One thread at a time; never NULL. */
struct crypto_mac;
struct crypto_mac *crypto_mac_create(const uint8_t key[CRYPTO_KEY_BYTES]);
void crypto_mac_destroy(struct crypto_mac *m);
void crypto_mac_of(struct crypto_mac *m, struct str text, uint8_t ret[32]);

#endif
