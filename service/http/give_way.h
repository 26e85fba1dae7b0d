/*
 * Long requests give way to short ones. One that sends a stream or reads a bulk body, and has had LIMIT_SHORT_NS of a
 * processor, is long: while short ones are being served, by whichever loop, the long ones of a loop together get
 * long_percent of its time, in turn. Meanwhile what feeds them (a statement's server, the client's upload) and whoever
 * takes their answers waits in its turn, and leaves the processors to others. Nobody short about: they rest no more.
 * Loop thread only; the state is owned by the loop (wire.h).
 */
#ifndef FERROD_SERVICE_GIVE_WAY_H
#define FERROD_SERVICE_GIVE_WAY_H

#include "service/http/wire.h"

/* The handler's begin and end; monotonic times. */
void give_way_begin(struct exchange *x, int64_t now);
void give_way_end(struct exchange *x, int64_t now);

/* Between two pieces of what takes long, in the handler's fiber: rests for as long as it has to, LIMIT_REST_NS at most,
 * and puts the request's deadline, and those of its statements (fiber_held), off by that. Returns at once when the
 * request is cancelled; who called finds that out by himself. Parks. */
void give_way(struct exchange *x);

#endif
