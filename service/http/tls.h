/* The listener's certificate and key: one of each for the process, replaced while it serves. Owned by the process. */
#ifndef FERROD_SERVICE_TLS_H
#define FERROD_SERVICE_TLS_H

#include <stdint.h>

#include "service/base/err.h"
#include "service/base/macros.h"
#include "service/base/str.h"

/* Reads PEM files: the certificate with its chain (leaf first), and its private key. Again: replaces both for
 * handshakes to come; running connections keep theirs. ERR_INVALID_REQUEST, nothing changed: one line, no content of
 * the files. Never at the same time from two threads. */
bool tls_load(struct str cert_file, struct str key_file, struct err *err) MUST_CHECK;
/* After the last connection. */
void tls_done(void);

/* GnuTLS priorities: forward secrecy and authenticated ciphers only, from min_version ("1.2" or "1.3") on. Static. */
const char *tls_priorities(struct str min_version);
/* Sends the text, the last that its client gets to read, on a session (gnutls_session_t) on which nothing is on its
 * way; whether it has left. Never waits. */
bool tls_say_last(void *session, struct str text) MUST_CHECK;
/* The gnutls_certificate_retrieve_function2 that answers with what tls_load read last, as a number. */
uintptr_t tls_retriever(void);

#endif
