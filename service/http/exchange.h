/*
 * What happens to an exchange in which order: the library's callbacks collect the request (head.h, body.h), run its
 * handler in a fiber, and answer, now or after a resume (stream.h). The only file that moves an exchange's state; the
 * others are called from here and do not call back. Exchanges are owned by their loop (wire.h).
 */
#ifndef FERROD_SERVICE_EXCHANGE_H
#define FERROD_SERVICE_EXCHANGE_H

#include "service/http/wire.h"

/* The library's callbacks. */
void *exchange_on_uri(void *cls, const char *uri, struct MHD_Connection *conn);
enum MHD_Result exchange_on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
				    const char *version, const char *upload, size_t *upload_size, void **con_cls);
void exchange_on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
			   enum MHD_RequestTerminationCode code);
size_t exchange_unescape(void *cls, struct MHD_Connection *conn, char *s);

/* After each run of the library: ends those that it cannot go on with (jam.h). */
void exchange_end_jams(struct wire_loop *l);

#endif
