/* What became of a commit whose connection was lost: asked on another connection of the pool, and told.
 * Owns nothing. */
#ifndef FERROD_STORE_CONNECTION_FATE_H
#define FERROD_STORE_CONNECTION_FATE_H

#include "service/base/clock.h"
#include "store/connection/pool.h"

/* Asking takes no longer, however much is left of the request's time. */
#define FATE_NS (5 * CLOCK_NS_PER_S)

/* COMMIT_FATE_UNKNOWN, too, when nobody can be asked until the deadline (monotonic), or the mark is not set. Parks. */
enum commit_fate fate_ask(struct pool *p, const struct commit_mark *m, int64_t deadline);

/* Puts an answer into the error of the commit that failed, with its outcome; COMMIT_FATE_UNKNOWN: leaves it alone. */
void fate_tell(enum commit_fate fate, struct err *err);

#endif
