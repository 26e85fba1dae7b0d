/* What a pool is told: its bounds and times. */
#include "store/connection/pool_internal.h"

#include "service/base/banned.h"

struct pool_config pool_config_default(void)
{
	return (struct pool_config){
		.max_connections = 5,
		.acquire_timeout_s = 5,
		.idle_timeout_s = 600,
		.max_lifetime_s = 1800,
	};
}

static double statement_timeout_default_s;

void pool_set_statement_timeout(double seconds)
{
	statement_timeout_default_s = seconds;
}

double pool_statement_timeout(const struct pool *p)
{
	const double own = pool_cfg(p)->statement_timeout_s;

	return own > 0 ? own : statement_timeout_default_s;
}

const struct pool_config *pool_get_config(const struct pool *p)
{
	return pool_cfg(p);
}
