/* Signed cursors: see cursor_seal.h. A cursor is base64url (RFC 4648 section 5) of signature and text. */
#include "handlers/answer/cursor_seal.h"

#include <pthread.h>

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define SIGNATURE_BYTES 16 /* of the 32: a truncated HMAC (RFC 2104 section 5) */

static uint8_t the_key[CRYPTO_KEY_BYTES];
static bool has_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t mine; /* each thread's handle under the key */

static void destroy(void *m)
{
	crypto_mac_destroy(m);
}

static void make_key(void)
{
	if (!has_key)
		num_random(the_key, sizeof(the_key));
	if (pthread_key_create(&mine, destroy) != 0)
		mem_fail();
}

static struct crypto_mac *mac(void)
{
	struct crypto_mac *m;
	pthread_once(&once, make_key);
	m = pthread_getspecific(mine);
	if (m != NULL)
		return m;
	m = crypto_mac_create(the_key);
	if (pthread_setspecific(mine, m) != 0)
		mem_fail();
	return m;
}

void cursor_seal_key(const uint8_t key[CRYPTO_KEY_BYTES])
{
	memcpy(the_key, key, sizeof(the_key));
	has_key = true;
}

/* Whose it is stands behind a NUL, which no text has. */
static void sign(struct arena *a, struct str text, struct str whose, uint8_t ret[SIGNATURE_BYTES])
{
	uint8_t whole[32];
	if (whose.p != NULL) {
		char *both = arena_alloc(a, text.len + 1 + whose.len + 1);
		memcpy(both, text.p, text.len);
		both[text.len] = '\0';
		memcpy(both + text.len + 1, whose.p, whose.len);
		text = str_n(both, text.len + 1 + whose.len);
	}
	crypto_mac_of(mac(), text, whole);
	memcpy(ret, whole, SIGNATURE_BYTES);
}

struct str cursor_seal(struct arena *a, struct str text, struct str whose)
{
	const size_t len = SIGNATURE_BYTES + text.len;
	uint8_t *bytes = arena_alloc(a, len);
	char *out = arena_alloc(a, len / 3 * 4 + 8);
	sign(a, text, whose, bytes);
	memcpy(bytes + SIGNATURE_BYTES, text.p, text.len);
	num_base64url(bytes, len, out);
	return str_z(out);
}

/* base64url without padding -> bytes in the arena. */
static bool decode(struct arena *a, struct str in, struct str *ret)
{
	char *text = arena_alloc(a, in.len + 4);
	uint8_t *out = arena_alloc(a, in.len + 4);
	size_t n = in.len;
	for (size_t i = 0; i < n; i++)
		text[i] = in.p[i] == '-' ? '+' : (in.p[i] == '_' ? '/' : in.p[i]);
	while (n % 4 != 0)
		text[n++] = '=';
	size_t len;
	if (!num_base64_decode(str_n(text, n), out, &len))
		return false;
	*ret = str_n((const char *)out, len);
	return true;
}

bool cursor_unseal(struct arena *a, struct str cursor, struct str whose, struct str *ret_text)
{
	struct str bytes;
	uint8_t signature[SIGNATURE_BYTES];
	uint8_t differs = 0;
	if (cursor.len == 0 || !decode(a, cursor, &bytes) || bytes.len < SIGNATURE_BYTES)
		return false;
	const struct str text = str_n(bytes.p + SIGNATURE_BYTES, bytes.len - SIGNATURE_BYTES);
	sign(a, text, whose, signature);
	for (size_t i = 0; i < SIGNATURE_BYTES; i++)
		differs |= (uint8_t)(signature[i] ^ (uint8_t)bytes.p[i]);
	*ret_text = text;
	return differs == 0;
}
