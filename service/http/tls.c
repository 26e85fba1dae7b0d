/*
 * Certificates are handed out per handshake, so that a reload needs no new listener. A handshake that has begun may
 * still use the credentials it was given: replaced ones live until the end (a few kilobytes each, and only when the
 * files have changed).
 */
#include "service/http/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdatomic.h>

#include "service/base/arena.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

#define CHAIN_MAX 16

struct credentials {
	gnutls_datum_t cert_pem, key_pem;
	gnutls_pcert_st chain[CHAIN_MAX];
	unsigned n_chain;
	gnutls_privkey_t key;
	struct credentials *older;
};

static _Atomic(struct credentials *) current;

static void credentials_destroy(struct credentials *c)
{
	for (unsigned i = 0; i < c->n_chain; i++)
		gnutls_pcert_deinit(&c->chain[i]);
	if (c->key != NULL)
		gnutls_privkey_deinit(c->key);
	if (c->key_pem.data != NULL)
		gnutls_memset(c->key_pem.data, 0, c->key_pem.size);
	gnutls_free(c->cert_pem.data);
	gnutls_free(c->key_pem.data);
	mem_free(c);
}

static bool same(const gnutls_datum_t *a, const gnutls_datum_t *b)
{
	return a->size == b->size && gnutls_memcmp(a->data, b->data, a->size) == 0;
}

/* Does the key belong to the certificate? */
static bool fits(const struct credentials *c)
{
	unsigned char of_cert[64], of_key[64];
	size_t n_cert = sizeof(of_cert), n_key = sizeof(of_key);
	gnutls_pubkey_t pub;
	if (gnutls_pubkey_init(&pub) != 0)
		return false;
	bool ok = gnutls_pubkey_import_privkey(pub, c->key, 0, 0) == 0 &&
		  gnutls_pubkey_get_key_id(pub, GNUTLS_KEYID_USE_SHA256, of_key, &n_key) == 0 &&
		  gnutls_pubkey_get_key_id(c->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_cert, &n_cert) == 0 &&
		  n_cert == n_key && memcmp(of_cert, of_key, n_key) == 0;
	gnutls_pubkey_deinit(pub);
	return ok;
}

static bool parse(struct credentials *c, struct err *err)
{
	unsigned n = CHAIN_MAX;
	int code = gnutls_pcert_list_import_x509_raw(c->chain, &n, &c->cert_pem, GNUTLS_X509_FMT_PEM,
						     GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
	if (code < 0)
		return err_set(err, ERR_INVALID_REQUEST,
			       "\"tls_cert_file\" is no PEM certificate chain, leaf first: %s", gnutls_strerror(code));
	c->n_chain = n;
	code = gnutls_privkey_init(&c->key);
	if (code == 0)
		code = gnutls_privkey_import_x509_raw(c->key, &c->key_pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (code < 0)
		return err_set(err, ERR_INVALID_REQUEST, "\"tls_key_file\" is no PEM private key: %s",
			       gnutls_strerror(code));
	if (n == 0 || !fits(c))
		return err_set(err, ERR_INVALID_REQUEST, "\"tls_key_file\" is not the key of \"tls_cert_file\"");
	return true;
}

bool tls_load(struct str cert_file, struct str key_file, struct err *err)
{
	struct arena a;
	struct credentials *c = mem_alloc(sizeof(*c));
	struct credentials *before = atomic_load(&current);
	arena_init(&a);
	bool ok = gnutls_load_file(arena_strz(&a, cert_file), &c->cert_pem) == 0;
	if (!ok)
		err_set(err, ERR_INVALID_REQUEST, "cannot read \"tls_cert_file\"");
	else if (gnutls_load_file(arena_strz(&a, key_file), &c->key_pem) != 0)
		ok = err_set(err, ERR_INVALID_REQUEST, "cannot read \"tls_key_file\"");
	arena_done(&a);
	if (ok && before != NULL && same(&c->cert_pem, &before->cert_pem) && same(&c->key_pem, &before->key_pem)) {
		credentials_destroy(c);
		return true;
	}
	if (!ok || !parse(c, err)) {
		credentials_destroy(c);
		return false;
	}
	c->older = before;
	atomic_store(&current, c);
	return true;
}

void tls_done(void)
{
	struct credentials *c = atomic_exchange(&current, NULL);
	while (c != NULL) {
		struct credentials *older = c->older;
		credentials_destroy(c);
		c = older;
	}
}

const char *tls_priorities(struct str min_version)
{
	if (str_eq_z(min_version, "1.3"))
		return "SECURE128:-VERS-ALL:+VERS-TLS1.3";
	return "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-AES-128-CBC:-AES-256-CBC:-AES-128-CCM:-AES-256-CCM:"
	       "%SERVER_PRECEDENCE";
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
		    const gnutls_pk_algorithm_t *algorithms, int n_algorithms, gnutls_pcert_st **chain,
		    unsigned *n_chain, gnutls_privkey_t *key)
{
	(void)session;
	(void)authorities;
	(void)n_authorities;
	(void)algorithms;
	(void)n_algorithms;
	struct credentials *c = atomic_load(&current);
	if (c == NULL)
		return -1;
	*chain = c->chain;
	*n_chain = c->n_chain;
	*key = c->key;
	return 0;
}

uintptr_t tls_retriever(void)
{
	gnutls_certificate_retrieve_function2 *const fn = retrieve;
	return (uintptr_t)fn;
}

bool tls_say_last(void *session, struct str text)
{
	if (gnutls_record_send(session, text.p, text.len) != (ssize_t)text.len)
		return false;
	(void)gnutls_bye(session, GNUTLS_SHUT_WR); /* that it was all; if it cannot leave, the socket's end says so */
	return true;
}
