/*
 * Cross-origin requests of browser pages (Fetch standard): nothing is allowed but what the setting `cors_origins`
 * lists. Owns nothing: origins and requests are the caller's.
 */
#ifndef FERROD_SERVICE_CORS_H
#define FERROD_SERVICE_CORS_H

#include "service/http/request.h"

/* Is `origin` (the header's value) one of the comma-separated `origins`? any: "*" counts. */
bool cors_listed(struct str origins, struct str origin, bool any);

/* Are all of them what a browser sends as Origin, or "*"? ERR_INVALID_REQUEST: one that is not would match nothing. */
bool cors_check(struct str origins, struct err *err) MUST_CHECK;

/* What every answer carries once origins are configured: Vary, and for a listed origin leave to read the answer and our
 * headers. */
void cors_headers(struct str origins, const struct request *req, struct response *res);

/* A preflight (OPTIONS with Access-Control-Request-Method) of a listed origin: which methods and headers may be sent.
 */
void cors_preflight(struct str origins, const struct request *req, struct response *res, struct str allow);

#endif
