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

bool pool_config_same(const struct pool_config *a, const struct pool_config *b)
{
	return a->max_connections == b->max_connections && a->min_connections == b->min_connections &&
	       a->acquire_timeout_s == b->acquire_timeout_s && a->idle_timeout_s == b->idle_timeout_s &&
	       a->max_lifetime_s == b->max_lifetime_s && a->statement_timeout_s == b->statement_timeout_s &&
	       a->pooler == b->pooler;
}

static const char *const pooler_words[] = {
	[POOLER_AUTO] = "auto", [POOLER_NONE] = "none", [POOLER_TRANSACTION] = "transaction"};

struct str pooler_word(enum pooler p)
{
	return str_z(pooler_words[p]);
}

bool pooler_of(struct str word, enum pooler *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(pooler_words); i++) {
		if (str_eq_z(word, pooler_words[i])) {
			*ret = (enum pooler)i;
			return true;
		}
	}
	return false;
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
