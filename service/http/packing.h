/*
 * The content coding of an answer: whether it has one, which, and what its head says of it. Next: stream.h, which
 * sends it. A packer is owned by its exchange.
 */
#ifndef FERROD_SERVICE_PACKING_H
#define FERROD_SERVICE_PACKING_H

#include "service/http/wire.h"

/* The answer is complete in x->res: packs it where its size, the setting, and the client allow. In a fiber it may step
 * aside. */
void packing_whole(struct exchange *x);
/* The answer is about to stream: with a coding x->stream.packer packs it from here on. ERR_INTERNAL_ERROR: no memory.
 */
bool packing_begin(struct exchange *x, struct err *err) MUST_CHECK;
/* HEAD: counts what would be sent of x->res.body for its Content-Length, and drops it. ERR_INTERNAL_ERROR: no memory.
 */
bool packing_drop(struct exchange *x, enum pack_flush flush, struct err *err) MUST_CHECK;

#endif
