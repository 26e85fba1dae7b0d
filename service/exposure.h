/* Whether the address that the settings name may be listened on with what they ask of callers. Owns nothing. */
#ifndef FERROD_SERVICE_EXPOSURE_H
#define FERROD_SERVICE_EXPOSURE_H

#include "service/base/err.h"
#include "service/config/config.h"

/* keys: there are API keys. What is allowed and yet worth a warning is logged. ERR_INVALID_REQUEST: one line. */
bool exposure_check(const struct config *c, bool keys, struct err *err) MUST_CHECK;

#endif
