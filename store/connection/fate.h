/* What became of a commit whose connection was lost: asked on another connection of the pool, and told.
 * Owns nothing. */
#ifndef FERROD_STORE_CONNECTION_FATE_H
#define FERROD_STORE_CONNECTION_FATE_H

#include "store/connection/pool.h"

/* COMMIT_FATE_UNKNOWN, too, when nobody can be asked until the deadline (monotonic) or for LIMIT_FATE_NS, or the mark
 * is not set. Parks. */
enum commit_fate fate_ask(struct pool *p, const struct commit_mark *m, int64_t deadline);

/* Puts an answer into the error of the commit that failed, with its outcome; COMMIT_FATE_UNKNOWN: leaves it alone. */
void fate_tell(enum commit_fate fate, struct err *err);

#endif
