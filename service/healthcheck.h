/*
 * `ferrod healthcheck`: asks the server of the same settings whether it is up, for containers that have no other HTTP
 * client. Owns nothing beyond the call.
 */
#ifndef FERROD_SERVICE_HEALTHCHECK_H
#define FERROD_SERVICE_HEALTHCHECK_H

#include <stdbool.h>

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/macros.h"
#include "service/base/str.h"

/* GET /healthz (`ready`: /readyz) at the `listen` address (any-address: loopback of its family), over TLS when `tls`
 * (whose certificate is not checked: it is this machine that is asked). False: anything but 200 within a few seconds;
 * the detail is one line. Blocks. */
bool healthcheck(struct str listen, bool tls, bool ready, struct err *err) MUST_CHECK;

/* Asks the server at that URL ("http://HOST:PORT") for its instance (node_options.ask): nothing but its /healthz is
 * asked, and TLS proves nobody's name, for the answer is compared with what the state says. *ret_instance: in the
 * arena. Each step gets the time. Parks. */
bool peer_ask(void *unused, struct str url, int64_t ns, struct arena *a, struct str *ret_instance) MUST_CHECK;
/* Is it such a URL? */
bool peer_url_valid(struct str url);

#endif
