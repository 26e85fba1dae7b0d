/*
 * The answer, on its way from the handler (response_flush) to the library: in one buffer, or in chunks whose producer
 * waits until the client has taken each. The last step of an exchange. The stream is owned by its exchange.
 */
#ifndef FERROD_SERVICE_STREAM_H
#define FERROD_SERVICE_STREAM_H

#include "service/http/wire.h"

/* Hands the answer, or its beginning, to the library; what a callback of the library has to return. */
enum MHD_Result stream_queue(struct exchange *x);
/* The fiber's last bytes: waits until they have been taken. Parks. */
void stream_end(struct exchange *x, bool ok);

#endif
