/*
 * `ferrod healthcheck`: asks the server of the same settings whether it is up, for containers that have no other HTTP
 * client. Owns nothing beyond the call.
 */
#ifndef FERROD_SERVICE_HEALTHCHECK_H
#define FERROD_SERVICE_HEALTHCHECK_H

#include <stdbool.h>

#include "service/base/err.h"
#include "service/base/macros.h"
#include "service/base/str.h"

/* GET /healthz at the `listen` address (any-address: loopback of its family), over TLS when `tls` (whose certificate is
 * not checked: it is this machine that is asked). False: anything but 200 within a few seconds; the detail is one line.
 * Blocks. */
bool healthcheck(struct str listen, bool tls, struct err *err) MUST_CHECK;

#endif
