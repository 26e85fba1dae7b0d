/*
 * Connections on which the library waits for bytes that its buffer cannot hold: a chunk's line beyond it. It neither
 * reads nor refuses then (before 1.0), but asks to be run at once again and again, until the idle time is over,
 * whether the client is still there or not. A loop that is run in haste for nothing suspends all whose chunks come in;
 * if that ends the haste, it goes on with them one by one, and whoever brings the haste back is the cause. Owned by
 * the loop.
 */
#ifndef FERROD_SERVICE_JAM_H
#define FERROD_SERVICE_JAM_H

#include "service/http/wire.h"

/* The body in chunks begins to come, and has come. The second: at any time. */
void jam_watch(struct exchange *x);
void jam_unwatch(struct exchange *x);
/* After each run of the library: those that keep it in haste for nothing, linked by chunked_next, suspended in the
 * library alone and not watched any more; NULL: none, or it is not known yet. */
struct exchange *jam_look(struct wire_loop *l);

#endif
