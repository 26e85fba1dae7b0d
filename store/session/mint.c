/* Ids with a name before them and a MAC in them. */
#include "store/session/mint.h"

#include <stdio.h>

#include "service/base/num.h"
#include "service/base/strbuf.h"

#include "service/base/banned.h"

#define RANDOM_BYTES 16
#define MAC_BYTES 16
#define TX_BYTES (4 + RANDOM_BYTES + MAC_BYTES) /* run, random, MAC */

void mint_init(struct mint *m, struct str name, struct str instance, const uint8_t key[CRYPTO_KEY_BYTES])
{
	uint8_t digest[32];
	(void)snprintf(m->name, sizeof(m->name), "%.*s", STR_FMT(name));
	memcpy(m->key, key, CRYPTO_KEY_BYTES);
	num_sha256(instance, digest);
	memcpy(m->run, digest, sizeof(m->run));
}

static size_t put_name(const struct mint *m, char *ret)
{
	const size_t n = strlen(m->name);
	if (n == 0)
		return 0;
	memcpy(ret, m->name, n);
	ret[n] = '~';
	return n + 1;
}

void mint_session_id(const struct mint *m, char ret[MINT_SESSION_BYTES])
{
	uint8_t id[24];
	num_random(id, sizeof(id));
	num_base64url(id, sizeof(id), ret + put_name(m, ret));
}

/* Each part with its length, so that none can pass for another. */
static void mac_of(const struct mint *m, const uint8_t *head, struct str node, struct str session_id, struct str owner,
		   uint8_t ret[32])
{
	char hex[2 * (TX_BYTES - MAC_BYTES) + 1];
	struct strbuf b;
	num_hex(head, TX_BYTES - MAC_BYTES, hex);
	strbuf_init(&b, 0);
	strbuf_printf(&b, "%s %zu:%.*s %zu:%.*s %zu:%.*s", hex, node.len, STR_FMT(node), session_id.len,
		      STR_FMT(session_id), owner.len, STR_FMT(owner));
	crypto_mac(m->key, strbuf_str(&b), ret);
	strbuf_done(&b);
}

void mint_tx_id(const struct mint *m, struct str session_id, struct str owner, char ret[MINT_TX_BYTES])
{
	uint8_t id[TX_BYTES], mac[32];
	if (m->name[0] == '\0') {
		mint_session_id(m, ret);
		return;
	}
	memcpy(id, m->run, sizeof(m->run));
	num_random(id + sizeof(m->run), RANDOM_BYTES);
	mac_of(m, id, str_z(m->name), session_id, owner, mac);
	memcpy(id + TX_BYTES - MAC_BYTES, mac, MAC_BYTES);
	num_base64url(id, sizeof(id), ret + put_name(m, ret));
}

struct str mint_node_of(struct str id)
{
	const char *end = id.len > 0 ? memchr(id.p, '~', id.len) : NULL;
	return end != NULL ? str_n(id.p, (size_t)(end - id.p)) : STR_NONE;
}

/* base64url of TX_BYTES, which is a multiple of three. */
static bool decode(struct str text, uint8_t ret[TX_BYTES])
{
	char plain[TX_BYTES / 3 * 4];
	size_t n;
	if (text.len != sizeof(plain))
		return false;
	for (size_t i = 0; i < text.len; i++)
		plain[i] = text.p[i] == '-' ? '+' : text.p[i] == '_' ? '/' : text.p[i];
	return num_base64_decode(str_n(plain, sizeof(plain)), ret, &n) && n == TX_BYTES;
}

bool mint_knows_tx(const struct mint *m, struct str id, struct str session_id, struct str owner, struct str *ret_node,
		   bool *ret_this_run)
{
	const struct str node = mint_node_of(id);
	uint8_t bytes[TX_BYTES], mac[32];
	if (m->name[0] == '\0' || node.p == NULL || node.len > MINT_NAME_MAX ||
	    !decode(str_n(node.p + node.len + 1, id.len - node.len - 1), bytes))
		return false;
	mac_of(m, bytes, node, session_id, owner, mac);
	if (!num_equal_ct(str_n((const char *)bytes + TX_BYTES - MAC_BYTES, MAC_BYTES),
			  str_n((const char *)mac, MAC_BYTES)))
		return false;
	*ret_node = node;
	*ret_this_run = str_eq_z(node, m->name) && memcmp(bytes, m->run, sizeof(m->run)) == 0;
	return true;
}
