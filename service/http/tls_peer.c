/*
 * The library's handshake proves that a client has its certificate's key; everything else is looked at here, once a
 * connection and list of authorities. Replaced lists live until the end, as in tls.c: a loop may be looking at one.
 */
#include "service/http/tls_peer.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <strings.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/mutex.h"

#include "service/base/banned.h"

#define CHAIN_MAX 16
#define NAMES_MAX 32 /* of one certificate that are looked at */

struct tls_trust {
	gnutls_datum_t pem;
	gnutls_x509_trust_list_t list;
	struct mutex lock; /* of the list */
	struct tls_trust *older;
};

struct tls_peer {
	struct arena arena;
	const struct tls_trust *by; /* who was asked about it */
	int64_t until_us;           /* instant; not valid any more then */
	struct str subjects[NAMES_MAX];
	size_t n;
};

static _Atomic(struct tls_trust *) current;

/* ---- authorities ---- */

void tls_trust_drop(struct tls_trust *t)
{
	if (t == NULL)
		return;
	if (t->list != NULL)
		gnutls_x509_trust_list_deinit(t->list, 1);
	gnutls_free(t->pem.data);
	mutex_done(&t->lock);
	mem_free(t);
}

bool tls_trust_load(struct str ca_file, struct tls_trust **ret, struct err *err)
{
	struct arena a;
	*ret = NULL;
	if (ca_file.len == 0)
		return true;
	struct tls_trust *t = mem_alloc(sizeof(*t));
	mutex_init(&t->lock);
	arena_init(&a);
	bool ok = gnutls_load_file(arena_strz(&a, ca_file), &t->pem) == 0 ||
		  err_set(err, ERR_INVALID_REQUEST, "cannot read \"tls_client_ca_file\"");
	arena_done(&a);
	if (ok && (gnutls_x509_trust_list_init(&t->list, 0) != 0 ||
		   gnutls_x509_trust_list_add_trust_mem(t->list, &t->pem, NULL, GNUTLS_X509_FMT_PEM, 0, 0) <= 0))
		ok = err_set(err, ERR_INVALID_REQUEST, "\"tls_client_ca_file\" holds no PEM certificates");
	if (ok)
		*ret = t;
	else
		tls_trust_drop(t);
	return ok;
}

static bool same(const gnutls_datum_t *a, const gnutls_datum_t *b)
{
	return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* None is a list of its own, so that those before it are still found at the end. */
void tls_trust_use(struct tls_trust *t)
{
	struct tls_trust *before = atomic_load(&current);
	if (t != NULL ? before != NULL && same(&t->pem, &before->pem) : before == NULL || before->list == NULL) {
		tls_trust_drop(t);
		return;
	}
	if (t == NULL) {
		t = mem_alloc(sizeof(*t));
		mutex_init(&t->lock);
	}
	t->older = before;
	atomic_store(&current, t);
}

void tls_trust_done(void)
{
	struct tls_trust *t = atomic_exchange(&current, NULL);
	while (t != NULL) {
		struct tls_trust *older = t->older;
		tls_trust_drop(t);
		t = older;
	}
}

/* ---- names ---- */

static bool is_name(struct str s, const char *kind)
{
	return s.len > strlen(kind) && memcmp(s.p, kind, strlen(kind)) == 0;
}

/* Names of hosts have no case. */
static struct str lower(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.len + 1);
	for (size_t i = 0; i < s.len; i++)
		copy[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
	return str_n(copy, s.len);
}

static struct str named(struct arena *a, const char *kind, struct str name)
{
	return arena_printf(a, "%s%.*s", kind, STR_FMT(name));
}

static int hex_of(struct str s, size_t at)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = at < s.len && s.p[at] != '\0' ? strchr(digits, s.p[at] | 0x20) : NULL;
	return found != NULL ? (int)(found - digits) : -1;
}

/* What the library does not read of RFC 4514, bytes as \\HH, in a form that it does; and OpenSSL's word for EMAIL. */
static struct str spelled(struct arena *a, struct str given)
{
	static const char theirs[] = "emailAddress=", special[] = ",+\"\\<>;= #";
	char *out = arena_alloc(a, given.len + 1);
	bool begins = true;
	size_t n = 0;
	for (size_t i = 0; i < given.len; i++) {
		const int high = given.p[i] == '\\' ? hex_of(given, i + 1) : -1,
			  low = high >= 0 ? hex_of(given, i + 2) : -1;
		const size_t left = given.len - i;
		if (low >= 0) {
			const char byte = (char)(high * 16 + low);
			if (byte != '\0' && strchr(special, byte) != NULL)
				out[n++] = '\\';
			out[n++] = byte;
			i += 2;
			begins = false;
			continue;
		}
		if (begins && left > sizeof(theirs) && strncasecmp(given.p + i, theirs, sizeof(theirs) - 1) == 0) {
			memcpy(out + n, "EMAIL=", 6);
			n += 6;
			i += sizeof(theirs) - 2;
			begins = false;
			continue;
		}
		if (given.p[i] == '\\' && left > 1)
			out[n++] = given.p[i++];
		else if (given.p[i] != ' ')
			begins = given.p[i] == ',';
		out[n++] = given.p[i];
	}
	return str_n(out, n);
}

static bool read_dn(struct arena *a, struct str given, struct str *ret)
{
	gnutls_datum_t text = {NULL, 0};
	gnutls_x509_dn_t dn;
	if (gnutls_x509_dn_init(&dn) != 0)
		return false;
	given = spelled(a, given);
	const bool ok = memchr(given.p, '\0', given.len) == NULL &&
			gnutls_x509_dn_set_str(dn, arena_strz(a, given), NULL) == 0 &&
			gnutls_x509_dn_get_str2(dn, &text, 0) == 0 && text.size > 0;
	if (ok)
		*ret = arena_str(a, str_n((const char *)text.data, text.size));
	gnutls_free(text.data);
	gnutls_x509_dn_deinit(dn);
	return ok;
}

bool tls_subject_read(struct arena *a, struct str given, struct str *ret, struct err *err)
{
	if (given.len > LIMIT_SUBJECT_BYTES || (given.len > 0 && memchr(given.p, '\0', given.len) != NULL))
		return err_set(err, ERR_INVALID_REQUEST, "a subject has 1 to %d bytes and no NUL", LIMIT_SUBJECT_BYTES);
	if (is_name(given, "DNS:"))
		*ret = named(a, "DNS:", lower(a, str_n(given.p + 4, given.len - 4)));
	else if (is_name(given, "URI:") || is_name(given, "email:"))
		*ret = arena_str(a, given);
	else if (given.len == 0 || !read_dn(a, given, ret))
		return err_set(err, ERR_INVALID_REQUEST,
			       "is no DN as in CN=app,O=Example (RFC 4514), nor DNS:, URI: or email: with a name");
	return true;
}

/* ---- a certificate ---- */

static void put(struct tls_peer *p, struct str subject)
{
	if (p->n < NAMES_MAX)
		p->subjects[p->n++] = subject;
}

/* Of the kinds that there are entries for. */
static void put_names(struct tls_peer *p, gnutls_x509_crt_t crt)
{
	for (unsigned i = 0; i < NAMES_MAX; i++) {
		char buf[LIMIT_SUBJECT_BYTES];
		size_t size = sizeof(buf);
		unsigned type;
		const int code = gnutls_x509_crt_get_subject_alt_name2(crt, i, buf, &size, &type, NULL);
		if (code == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return;
		struct str name = str_n(buf, size);
		if (code < 0 || size == 0 || size >= sizeof(buf) || memchr(buf, '\0', size) != NULL)
			continue;
		if (type == GNUTLS_SAN_DNSNAME)
			put(p, named(&p->arena, "DNS:", lower(&p->arena, name)));
		else if (type == GNUTLS_SAN_URI)
			put(p, named(&p->arena, "URI:", name));
		else if (type == GNUTLS_SAN_RFC822NAME)
			put(p, named(&p->arena, "email:", name));
	}
}

static void put_subjects(struct tls_peer *p, gnutls_x509_crt_t crt)
{
	gnutls_datum_t dn = {NULL, 0};
	if (gnutls_x509_crt_get_dn3(crt, &dn, 0) == 0 && dn.size > 0 && dn.size <= LIMIT_SUBJECT_BYTES)
		put(p, arena_str(&p->arena, str_n((const char *)dn.data, dn.size)));
	gnutls_free(dn.data);
	put_names(p, crt);
}

/* Does an authority vouch for it, as a client, today? */
static bool vouched_for(struct tls_trust *t, gnutls_x509_crt_t *chain, unsigned n)
{
	gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
					 .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
	unsigned status = ~0u;
	mutex_lock(&t->lock);
	const int code = gnutls_x509_trust_list_verify_crt2(
		t->list, chain, n, &purpose, 1, GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM), &status, NULL);
	mutex_unlock(&t->lock);
	return code == 0 && status == 0;
}

static void judge(struct tls_peer *p, struct tls_trust *t, const gnutls_datum_t *sent, unsigned n_sent)
{
	gnutls_x509_crt_t chain[CHAIN_MAX];
	unsigned n = 0;
	bool ok = n_sent > 0 && n_sent <= CHAIN_MAX;
	for (; ok && n < n_sent && gnutls_x509_crt_init(&chain[n]) == 0; n++) {
		ok = gnutls_x509_crt_import(chain[n], &sent[n], GNUTLS_X509_FMT_DER) == 0;
		const int64_t ends = ok ? (int64_t)gnutls_x509_crt_get_expiration_time(chain[n]) : 0;
		if (ends < INT64_MAX / 1000000)
			p->until_us = clock_min(p->until_us, ends * 1000000);
	}
	ok = ok && n == n_sent;
	if (ok)
		put_subjects(p, chain[0]);
	if (ok && !vouched_for(t, chain, n))
		p->n = 0;
	while (n > 0)
		gnutls_x509_crt_deinit(chain[--n]);
}

/* ---- a session ---- */

void tls_peer_ask(void *session)
{
	const struct tls_trust *t = atomic_load(&current);
	if (t == NULL || t->list == NULL)
		return;
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
	/* the library knows no other authorities than those of its start */
	gnutls_certificate_send_x509_rdn_sequence(session, 1);
}

const struct str *tls_peer_subjects(struct tls_peer **known, void *session, size_t *ret_n)
{
	struct tls_trust *t = atomic_load(&current);
	struct tls_peer *p = *known;
	unsigned n = 0;
	*ret_n = 0;
	if (t == NULL || t->list == NULL)
		return NULL;
	if (p == NULL || p->by != t) {
		tls_peer_drop(p);
		p = *known = mem_alloc(sizeof(*p));
		arena_init(&p->arena);
		p->by = t;
		p->until_us = INT64_MAX;
		const gnutls_datum_t *sent = gnutls_certificate_get_peers(session, &n);
		if (sent != NULL)
			judge(p, t, sent, n);
	}
	*ret_n = clock_real_us() < p->until_us ? p->n : 0;
	return p->subjects;
}

void tls_peer_drop(void *known)
{
	struct tls_peer *p = known;
	if (p == NULL)
		return;
	arena_done(&p->arena);
	mem_free(p);
}
