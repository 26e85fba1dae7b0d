/* Guards of writes that may change many rows. Owns nothing. */
#ifndef FERROD_HANDLERS_AFFECTED_H
#define FERROD_HANDLERS_AFFECTED_H

#include "handlers/unit/context.h"

/* The bound of Prefer: max-affected, which is thereby honoured; negative: none. The unit it guards must be atomic. */
int64_t affected_bound(struct response *res);
/* ERR_MAX_AFFECTED_EXCEEDED. */
bool affected_within(int64_t affected, int64_t bound, struct err *err) MUST_CHECK;

#endif
