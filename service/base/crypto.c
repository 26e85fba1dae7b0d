/* AEAD over GnuTLS; the encodings around it. */
#include "service/base/crypto.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16
#define VERSION 1

static gnutls_aead_cipher_hd_t cipher_of(const uint8_t *key)
{
	gnutls_aead_cipher_hd_t h;
	const gnutls_datum_t k = {.data = (unsigned char *)(uintptr_t)key, .size = CRYPTO_KEY_BYTES};
	if (gnutls_aead_cipher_init(&h, GNUTLS_CIPHER_AES_256_GCM, &k) != 0)
		mem_fail();
	return h;
}

struct str crypto_seal(struct arena *a, const uint8_t key[CRYPTO_KEY_BYTES], struct str context, struct str plain)
{
	const size_t len = 1 + NONCE_BYTES + plain.len + TAG_BYTES;
	uint8_t *raw = arena_alloc(a, len);
	char *text = arena_alloc(a, 4 * ((len + 2) / 3) + 1);
	size_t room = plain.len + TAG_BYTES;
	gnutls_aead_cipher_hd_t h = cipher_of(key);
	raw[0] = VERSION;
	num_random(raw + 1, NONCE_BYTES);
	if (gnutls_aead_cipher_encrypt(h, raw + 1, NONCE_BYTES, context.p, context.len, TAG_BYTES,
				       plain.p != NULL ? plain.p : "", plain.len, raw + 1 + NONCE_BYTES, &room) != 0)
		mem_fail();
	gnutls_aead_cipher_deinit(h);
	num_base64url(raw, len, text);
	return str_z(text);
}

/* base64url without padding; false when it is none. */
static bool from_base64url(struct arena *a, struct str s, uint8_t **ret, size_t *ret_len)
{
	char *padded = arena_alloc(a, s.len + 4);
	size_t n = s.len;
	for (size_t i = 0; i < n; i++)
		padded[i] = s.p[i] == '-' ? '+' : s.p[i] == '_' ? '/' : s.p[i];
	while (n % 4 != 0)
		padded[n++] = '=';
	*ret = arena_alloc(a, 3 * (n / 4) + 1);
	return num_base64_decode(str_n(padded, n), *ret, ret_len);
}

bool crypto_open(struct arena *a, const uint8_t key[CRYPTO_KEY_BYTES], struct str context, struct str sealed,
		 struct str *ret)
{
	uint8_t *raw;
	size_t len;
	if (!from_base64url(a, sealed, &raw, &len) || len < 1 + NONCE_BYTES + TAG_BYTES || raw[0] != VERSION)
		return false;
	size_t room = len - 1 - NONCE_BYTES;
	char *plain = arena_alloc(a, room + 1);
	gnutls_aead_cipher_hd_t h = cipher_of(key);
	const bool ok = gnutls_aead_cipher_decrypt(h, raw + 1, NONCE_BYTES, context.p, context.len, TAG_BYTES,
						   raw + 1 + NONCE_BYTES, room, plain, &room) == 0;
	gnutls_aead_cipher_deinit(h);
	if (ok)
		*ret = str_n(plain, len - 1 - NONCE_BYTES - TAG_BYTES);
	return ok;
}

void crypto_mac(const uint8_t key[CRYPTO_KEY_BYTES], struct str text, uint8_t ret[32])
{
	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, CRYPTO_KEY_BYTES, text.p, text.len, ret) != 0)
		mem_fail();
}

struct crypto_mac {
	gnutls_hmac_hd_t h;
};

struct crypto_mac *crypto_mac_create(const uint8_t key[CRYPTO_KEY_BYTES])
{
	struct crypto_mac *m = mem_alloc(sizeof(*m));
	if (gnutls_hmac_init(&m->h, GNUTLS_MAC_SHA256, key, CRYPTO_KEY_BYTES) != 0)
		mem_fail();
	return m;
}

void crypto_mac_destroy(struct crypto_mac *m)
{
	uint8_t ignored[32];
	if (m == NULL)
		return;
	gnutls_hmac_deinit(m->h, ignored);
	mem_free(m);
}

void crypto_mac_of(struct crypto_mac *m, struct str text, uint8_t ret[32])
{
	if (gnutls_hmac(m->h, text.p, text.len) != 0)
		mem_fail();
	gnutls_hmac_output(m->h, ret); /* and begins anew */
}
