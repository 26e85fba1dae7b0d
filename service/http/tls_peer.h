/*
 * Client certificates: whether an authority of ours vouches for one, and who it says its bearer is. The authorities are
 * one list for the process, replaced while it serves; owned by the process.
 */
#ifndef FERROD_SERVICE_TLS_PEER_H
#define FERROD_SERVICE_TLS_PEER_H

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/macros.h"
#include "service/base/str.h"

struct tls_trust;
struct tls_peer;

/* A PEM file of certificates of authorities; an empty name: *ret is NULL, and no certificate is asked for.
 * ERR_INVALID_REQUEST: one line, no content of the file. */
bool tls_trust_load(struct str ca_file, struct tls_trust **ret, struct err *err) MUST_CHECK;
/* Puts it in force, for connections that there are, too (taken). Never at the same time from two threads. */
void tls_trust_use(struct tls_trust *t);
/* Of one that was not put in force. NULL is fine. */
void tls_trust_drop(struct tls_trust *t);
/* After the last connection. */
void tls_trust_done(void);

/* Before the handshake of a session (gnutls_session_t): its client is asked for a certificate, and may have none. */
void tls_peer_ask(void *session);
/* What the certificate of the session's client says of its bearer, as tls_subject_read has subjects, its DN first; n 0:
 * it has none, or none that is valid now and that an authority vouches for. *known is the session's own, NULL at first;
 * certificates are looked at once. Borrowed until the next call, or tls_peer_drop. */
const struct str *tls_peer_subjects(struct tls_peer **known, void *session, size_t *ret_n);
void tls_peer_drop(void *known);

/* A subject as people write it: a DN by RFC 4514, or a name with DNS:, URI: or email: before it. *ret: the one spelling
 * that is compared; in the arena. ERR_INVALID_REQUEST. */
bool tls_subject_read(struct arena *a, struct str given, struct str *ret, struct err *err) MUST_CHECK;

#endif
