/* Guards of writes that may change many rows: see affected.h. */
#include "handlers/unit/affected.h"

#include "service/base/banned.h"

int64_t affected_bound(struct response *res)
{
	return prefers(res, PREFER_MAX_AFFECTED) ? res->req->prefer.max_affected : -1;
}

bool affected_within(int64_t affected, int64_t bound, struct err *err)
{
	if (bound < 0 || affected <= bound)
		return true;
	(void)err_set(err, ERR_MAX_AFFECTED_EXCEEDED,
		      "%lld rows would be changed, more than max-affected=%lld; nothing was", (long long)affected,
		      (long long)bound);
	err->outcome = ERR_OUTCOME_ROLLED_BACK;
	return false;
}
