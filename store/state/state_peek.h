/* Would a state open? Owns nothing. */
#ifndef FERROD_STORE_STATE_STATE_PEEK_H
#define FERROD_STORE_STATE_STATE_PEEK_H

#include "store/state/state.h"

/* What state_open would say of an SQLite state; nothing is made or changed, and a server may have it. One on a server
 * is not asked. Blocks. */
bool state_peek(const struct state_options *o, struct err *err) MUST_CHECK;

#endif
