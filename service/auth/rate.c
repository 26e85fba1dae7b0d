/* One lock for all buckets: a take is a dozen instructions, and there is none when no limit is set. */
#include "service/auth/rate.h"

#include <math.h>

#include "service/base/arena.h"
#include "service/base/clock.h"
#include "service/base/map.h"
#include "service/base/mem.h"
#include "service/base/mutex.h"

#include "service/base/banned.h"

struct bucket {
	double tokens;
	int64_t filled_ns;
};

#define ADDRESS_BUCKETS 4096

struct rate {
	struct mutex lock;
	struct bucket addresses[ADDRESS_BUCKETS];
	struct arena arena; /* names and buckets */
	struct map buckets;
};

struct rate *rate_create(void)
{
	struct rate *r = mem_alloc(sizeof(*r));
	mutex_init(&r->lock);
	arena_init(&r->arena);
	map_init(&r->buckets);
	return r;
}

void rate_destroy(struct rate *r)
{
	if (r == NULL)
		return;
	map_done(&r->buckets);
	arena_done(&r->arena);
	mutex_done(&r->lock);
	mem_free(r);
}

static double full(struct rate_flow flow)
{
	return (double)(flow.burst > 0 ? flow.burst : flow.per_second);
}

static struct bucket *bucket_of(struct rate *r, struct str name, struct rate_flow flow, int64_t now_ns)
{
	struct bucket *b = map_get(&r->buckets, name);
	if (b != NULL)
		return b;
	b = arena_alloc(&r->arena, sizeof(*b));
	*b = (struct bucket){.tokens = full(flow), .filled_ns = now_ns};
	(void)map_put(&r->buckets, arena_str(&r->arena, name), b);
	return b;
}

/* The lock is held. *ret_wait_s: until there is a token. */
static bool take(struct bucket *b, struct rate_flow flow, int64_t now_ns, double *ret_wait_s)
{
	const double per_ns = (double)flow.per_second / 1e9;
	if (now_ns > b->filled_ns) { /* loops read the clock apart: never backwards */
		b->tokens = fmin(full(flow), b->tokens + (double)(now_ns - b->filled_ns) * per_ns);
		b->filled_ns = now_ns;
	}
	const bool ok = b->tokens >= 1;
	*ret_wait_s = ok ? 0 : (1 - b->tokens) / per_ns / 1e9;
	b->tokens -= ok ? 1 : 0;
	return ok;
}

bool rate_take(struct rate *r, struct str name, struct rate_flow flow, int64_t now_ns, struct err *err)
{
	double wait_s;
	mutex_lock(&r->lock);
	const bool ok = take(bucket_of(r, name, flow, now_ns), flow, now_ns, &wait_s);
	mutex_unlock(&r->lock);
	if (ok)
		return true;
	err_set(err, ERR_TOO_MANY_REQUESTS, "more requests than the %lld a second that a key may send",
		(long long)flow.per_second);
	err->retry_after_s = wait_s > 1 ? (int)ceil(wait_s) : 1;
	return false;
}

bool rate_take_address(struct rate *r, uint64_t address, struct rate_flow flow, int64_t now_ns, struct err *err)
{
	struct bucket *b = &r->addresses[(address * UINT64_C(0x9E3779B97F4A7C15)) >> 52];
	double wait_s;
	mutex_lock(&r->lock);
	if (b->filled_ns == 0)
		*b = (struct bucket){.tokens = full(flow), .filled_ns = now_ns};
	const bool ok = take(b, flow, now_ns, &wait_s);
	mutex_unlock(&r->lock);
	if (ok)
		return true;
	err_set(err, ERR_TOO_MANY_REQUESTS, "more wrong keys from this address than the %lld requests a second",
		(long long)flow.per_second);
	err->retry_after_s = wait_s > 1 ? (int)ceil(wait_s) : 1;
	return false;
}
