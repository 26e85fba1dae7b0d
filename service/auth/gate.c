/* See gate.h. */
#include "service/auth/gate.h"

#include <pthread.h>
#include <string.h>

#include "service/base/map.h"
#include "service/base/mem.h"
#include "service/base/mutex.h"

#include "service/base/banned.h"

#define RETRY_AFTER_S 1 /* of a refusal because as many run as may */

struct gate {
	struct gate_options o;
	pthread_rwlock_t lock; /* of keys */
	struct key_set *keys;
	struct rate *rate;
	struct mutex counting; /* of running */
	struct map running;    /* name -> struct running; of those whose number is bounded */
};

/* Requests of one key that run. */
struct running {
	struct gate *gate;
	size_t n, len;
	char name[];
};

struct gate *gate_create(const struct gate_options *o, struct key_set *keys)
{
	struct gate *g = mem_alloc(sizeof(*g));
	g->o = *o;
	g->keys = keys;
	pthread_rwlock_init(&g->lock, NULL);
	mutex_init(&g->counting);
	map_init(&g->running);
	g->rate = rate_create();
	return g;
}

void gate_destroy(struct gate *g)
{
	if (g == NULL)
		return;
	keys_destroy(g->keys);
	rate_destroy(g->rate);
	map_done(&g->running);
	mutex_done(&g->counting);
	pthread_rwlock_destroy(&g->lock);
	mem_free(g);
}

/* ---- at once ---- */

static struct running *running_of(struct gate *g, struct str name)
{
	struct running *r = map_get(&g->running, name);
	if (r != NULL)
		return r;
	r = mem_alloc(sizeof(*r) + name.len + 1);
	r->gate = g;
	r->len = name.len;
	memcpy(r->name, name.p, name.len);
	(void)map_put(&g->running, str_n(r->name, r->len), r);
	return r;
}

/* One request that is counted; in its arena. */
struct counted {
	struct running *of; /* NULL: it counts no more */
};

static void answered(void *arg)
{
	struct counted *c = arg;
	struct running *r = c->of;
	if (r == NULL)
		return;
	struct gate *g = r->gate;
	c->of = NULL;
	mutex_lock(&g->counting);
	if (--r->n == 0) {
		(void)map_remove(&g->running, str_n(r->name, r->len));
		mem_free(r);
	}
	mutex_unlock(&g->counting);
}

static bool has_room(struct gate *g, struct request *req, struct err *err)
{
	const int64_t own = principal_quotas(req).requests, most = own > 0 ? own : g->o.requests_per_key;
	if (most == 0 || req->principal == NULL)
		return true;
	mutex_lock(&g->counting);
	struct running *r = running_of(g, req->principal->name);
	const bool ok = (int64_t)r->n < most;
	r->n += ok;
	mutex_unlock(&g->counting);
	if (ok) {
		struct counted *c = arena_alloc(&req->arena, sizeof(*c));
		c->of = r;
		req->answered = answered;
		req->answered_arg = c;
		arena_on_done(&req->arena, answered, c);
		return true;
	}
	(void)err_set(err, ERR_TOO_MANY_REQUESTS, "%lld requests of this key run already, which is as many as may",
		      (long long)most);
	err->retry_after_s = RETRY_AFTER_S;
	return false;
}

/* ---- the whole ---- */

/* Each of the two numbers is the key's own, or else the setting's. */
static bool is_in_time(struct gate *g, struct request *req, struct err *err)
{
	const struct principal_quotas own = principal_quotas(req);
	struct rate_flow flow = g->o.rate;
	if (own.rate_per_second > 0)
		flow.per_second = own.rate_per_second;
	if (own.rate_burst > 0)
		flow.burst = own.rate_burst;
	return flow.per_second == 0 || rate_take(g->rate, principal_name(req), flow, req->start_ns, err);
}

/* Wrong keys count by address, so that nobody guesses as fast as it likes. */
static bool refused(struct gate *g, struct request *req, struct err *err)
{
	if (g->o.rate.per_second > 0 && err->code == ERR_UNAUTHENTICATED &&
	    request_header(req, "Authorization").p != NULL)
		(void)!rate_take_address(g->rate, request_address(req), g->o.rate, req->start_ns, err);
	return false;
}

/* A key that is sent counts, whatever certificate is presented beside it. */
static bool identify(const struct key_set *keys, struct request *req, const struct principal **ret, struct err *err)
{
	const struct str sent = request_header(req, "Authorization");
	size_t n = 0;
	if (sent.p != NULL || !keys_have_subjects(keys))
		return keys_check(keys, sent, &req->arena, ret, err);
	const struct str *subjects = request_subjects(req, &n);
	req->by_certificate = n > 0;
	return keys_of_subjects(keys, subjects, n, &req->arena, ret, err);
}

bool gate_enter(struct gate *g, struct request *req, struct err *err)
{
	/* not all of SCOPE_ANY: a batch checks the scopes of its steps itself, and needs a key for that */
	const bool open = g->o.public_metrics && req->route->scope == SCOPE_ANY && req->route->body == BODY_NONE;
	const struct principal *found = NULL;
	pthread_rwlock_rdlock(&g->lock);
	const bool ok = open || g->keys == NULL || identify(g->keys, req, &found, err);
	pthread_rwlock_unlock(&g->lock);
	req->principal = found;
	if (!ok)
		return refused(g, req, err);
	return (open || is_in_time(g, req, err)) && has_room(g, req, err);
}

bool gate_guards(const struct gate *g)
{
	return g->keys != NULL || g->o.rate.per_second > 0;
}

bool gate_has_keys(const struct gate *g)
{
	return g->keys != NULL;
}

struct key_set *gate_swap(struct gate *g, struct key_set *keys)
{
	pthread_rwlock_wrlock(&g->lock);
	struct key_set *before = g->keys;
	g->keys = keys;
	pthread_rwlock_unlock(&g->lock);
	return before;
}
