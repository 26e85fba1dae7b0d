/*
 * The body of a request, on its way from the library's callback into the handler (request_body_next), of which the
 * exchange owns what has come. Next: the handler (handlers/routes.h), which reads it by service/base/json.h.
 */
#ifndef FERROD_SERVICE_BODY_H
#define FERROD_SERVICE_BODY_H

#include "service/http/wire.h"

/* Takes bytes of the body. true: so many are held that the handler of a bulk body is to start. */
bool body_put(struct exchange *x, const char *bytes, size_t n) MUST_CHECK;
/* Of a body that came packed and is held whole: ERR_PAYLOAD_TOO_LARGE past its bound, ERR_INVALID_REQUEST when it is
 * broken. Steps aside when it takes long. */
bool body_unpack(struct exchange *x, struct err *err) MUST_CHECK;
/* All of it has come. */
void body_end(struct exchange *x);

#endif
