/*
 * The head of a request: headers, arguments, preferences, negotiation, and every refusal that needs no body, in the
 * contract's order. Owned by the exchange. Next: service/http/body.h.
 */
#ifndef FERROD_SERVICE_HEAD_H
#define FERROD_SERVICE_HEAD_H

#include "service/http/wire.h"

/* Parses and checks the head; false: *err is the refusal. method, version: as the library gave them. Never parks. */
bool head_check(struct exchange *x, const char *method, const char *version, struct err *err) MUST_CHECK;

#endif
