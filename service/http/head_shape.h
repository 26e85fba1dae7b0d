/*
 * The shape of a head: what its bytes may be and what may be there once only (see the .c). Asked by head.c. Owns
 * nothing.
 */
#ifndef FERROD_SERVICE_HEAD_SHAPE_H
#define FERROD_SERVICE_HEAD_SHAPE_H

#include "service/http/wire.h"

/* Whether all would read the head as we do; ERR_INVALID_REQUEST. */
bool head_shaped(const struct exchange *x, const char *method, const char *version, struct err *err) MUST_CHECK;

#endif
