/*
 * The transaction that a request itself opens (Ferro-Transaction: new) or ends (Ferro-Transaction-End). Asked by
 * context.c alone, which knows when the work begins and when it is done, and owns the route that has the transaction.
 */
#ifndef FERROD_HANDLERS_TX_REQUEST_H
#define FERROD_HANDLERS_TX_REQUEST_H

#include "handlers/app.h"
#include "service/http/request.h"
#include "store/store.h"

/* What "new;isolation=...;read-only;timeout=..." asks for, with the caller's shares. ERR_TRANSACTION_NOT_FOUND when it
 * is not understood: it is no id either. */
bool tx_request_read(const struct request *req, struct tx_options *ret, struct err *err) MUST_CHECK;

/* Opens it on the route, which has none: route->tx is entered. Parks. Errors of tx_open. */
bool tx_request_open(struct request *req, struct route *route, const struct tx_options *o, int64_t deadline,
		     struct err *err) MUST_CHECK;

/* The isolation of that name ("read_committed" ...); false: there is none. */
bool tx_request_isolation(struct str word, enum tx_isolation *ret);
/* The longest time that a request may ask for, in seconds. */
double tx_request_timeout_max(const struct app *app);

#endif
