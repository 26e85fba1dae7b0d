/* The store of first answers: one per process, bounded in entries, age and bytes; the oldest go first. */
#include "handlers/idempotency.h"

#include "service/auth.h"
#include "service/base/clock.h"
#include "service/base/map.h"
#include "service/base/mem.h"
#include "service/base/mutex.h"
#include "service/base/num.h"
#include "service/problem.h"

#include "service/base/banned.h"

#define KEPT_MAX 10000
#define KEPT_BYTES (64L * 1024 * 1024)
#define KEPT_ANSWER_BYTES (1024L * 1024) /* of one answer; a larger one is not kept */
#define KEPT_NS (INT64_C(24) * 3600 * CLOCK_NS_PER_S)

struct waiter {
	struct event event;
	struct waiter *next;
};

struct header {
	const char *name; /* static */
	char *value;      /* owned */
	size_t len;
};

/* One key's first request: running, or answered. */
struct kept {
	char *scope;            /* owned: the table's key */
	size_t scope_len;
	uint8_t body[32];       /* SHA-256 of the request's body */
	bool running, dead;     /* dead: out of the table, freed with the last waiter */
	size_t n_waiting;
	struct waiter *waiters; /* not woken yet; on their stacks, under the lock */
	int status;
	char *content_type;     /* owned, or NULL */
	char *bytes;            /* owned */
	size_t len;
	size_t instance, instance_len; /* where a problem names its request: that of the replay stands there instead; 0: nowhere */
	struct header *headers; /* owned */
	size_t n_headers;
	size_t size;            /* what it counts for */
	int64_t kept_ns;
	struct kept *prev, *next; /* answered ones, oldest first */
};

static struct {
	struct mutex lock;
	struct map by_scope; /* -> struct kept */
	struct kept *head, *tail;
	size_t n_kept, bytes;
} store = {.lock = {PTHREAD_MUTEX_INITIALIZER}};

static void free_kept(struct kept *k)
{
	for (size_t i = 0; i < k->n_headers; i++)
		mem_free(k->headers[i].value);
	mem_free(k->headers);
	mem_free(k->bytes);
	mem_free(k->content_type);
	mem_free(k->scope);
	mem_free(k);
}

static void unlink_kept(struct kept *k)
{
	if (k->prev != NULL)
		k->prev->next = k->next;
	else
		store.head = k->next;
	if (k->next != NULL)
		k->next->prev = k->prev;
	else
		store.tail = k->prev;
	store.n_kept--;
	store.bytes -= k->size;
}

static struct str scope_str(const struct kept *k)
{
	return str_n(k->scope, k->scope_len);
}

/* Takes an entry out of the table; the last of its waiters frees it. */
static void bury(struct kept *k)
{
	(void)map_remove(&store.by_scope, scope_str(k));
	k->dead = true;
	if (k->n_waiting == 0)
		free_kept(k);
}

static void drop_oldest(void)
{
	struct kept *k = store.head;
	unlink_kept(k);
	bury(k);
}

static void prune(int64_t now)
{
	while (store.head != NULL &&
	       (store.n_kept > KEPT_MAX || store.bytes > (size_t)KEPT_BYTES || now - store.head->kept_ns > KEPT_NS))
		drop_oldest();
}

/* Waits until k's first request has ended; the lock is held at entry and exit. k may be gone afterwards. */
static bool wait_for(struct kept *k, int64_t deadline, struct err *err)
{
	struct waiter w = {.next = k->waiters};
	event_init(&w.event);
	k->waiters = &w;
	k->n_waiting++;
	mutex_unlock(&store.lock);
	enum wait_result r = event_wait(&w.event, deadline);
	mutex_lock(&store.lock);
	struct waiter **at = &k->waiters;
	while (*at != NULL && *at != &w)
		at = &(*at)->next;
	if (*at != NULL)
		*at = w.next;
	k->n_waiting--;
	if (k->dead && k->n_waiting == 0)
		free_kept(k);
	if (r == WAIT_READY)
		return true;
	(void)err_set(err, ERR_TOO_MANY_REQUESTS, "the first request with this Idempotency-Key still runs");
	err->cancelled = r == WAIT_CANCELLED;
	return false;
}

static bool key_valid(struct str key)
{
	if (key.len == 0 || key.len > 255)
		return false;
	for (size_t i = 0; i < key.len; i++) {
		if (key.p[i] < 0x21 || key.p[i] > 0x7e)
			return false;
	}
	return true;
}

/* Gives the kept answer again. Under the lock. */
static void replay(const struct kept *k, struct response *res)
{
	struct arena *a = &res->req->arena;
	res->status = k->status;
	res->content_type = k->content_type != NULL ? arena_strz(a, str_z(k->content_type)) : NULL;
	strbuf_reset(&res->body);
	if (k->instance == 0) {
		strbuf_put(&res->body, str_n(k->bytes, k->len));
	} else {
		size_t rest = k->instance + k->instance_len;
		strbuf_put(&res->body, str_n(k->bytes, k->instance));
		strbuf_json_string(&res->body, res->req->id);
		strbuf_put(&res->body, str_n(k->bytes + rest, k->len - rest));
	}
	for (size_t i = 0; i < k->n_headers; i++)
		response_header(res, k->headers[i].name, arena_str(a, str_n(k->headers[i].value, k->headers[i].len)));
	response_header(res, "Idempotency-Replayed", STR("true"));
}

/* Finds the request's id in a problem document. */
static void find_instance(struct kept *k, struct str id)
{
	struct strbuf member;
	strbuf_init(&member, 0);
	strbuf_puts(&member, "\"instance\":");
	size_t name_len = member.len;
	strbuf_json_string(&member, id);
	const char *at = k->len > 0 ? memmem(k->bytes, k->len, member.p, member.len) : NULL;
	if (at != NULL) {
		k->instance = (size_t)(at - k->bytes) + name_len;
		k->instance_len = member.len - name_len;
	}
	strbuf_done(&member);
}

/* Copies the answer into the entry. false: it is not one to keep. */
static bool record(struct kept *k, const struct response *res)
{
	if (response_streaming(res) || strbuf_failed(&res->body) || res->body.len > (size_t)KEPT_ANSWER_BYTES)
		return false;
	k->status = res->status != 0 ? res->status : 200;
	k->len = res->body.len;
	if (k->len > 0)
		k->bytes = mem_strndup(res->body.p, k->len);
	if (res->content_type != NULL)
		k->content_type = mem_strdup(res->content_type);
	if (k->status >= 400)
		find_instance(k, res->req->id);
	k->headers = mem_array(res->n_headers + 1, sizeof(*k->headers));
	k->size = sizeof(*k) + k->scope_len + k->len;
	for (size_t i = 0; i < res->n_headers; i++) {
		const struct http_pair *h = &res->headers[i];
		if (str_eq_z(h->name, "Ferro-Session-Info")) /* tells about now */
			continue;
		k->headers[k->n_headers++] =
			(struct header){.name = h->name.p, .value = mem_strndup(h->value.p, h->value.len), .len = h->value.len};
		k->size += sizeof(struct header) + h->value.len;
	}
	return true;
}

/* The first request has ended: its answer is kept, or the next duplicate runs. */
static void end_first(struct kept *k, const struct response *res, bool keep)
{
	mutex_lock(&store.lock);
	k->running = false;
	for (struct waiter *w = k->waiters; w != NULL; w = w->next)
		event_set(&w->event);
	k->waiters = NULL;
	if (keep && record(k, res)) {
		k->kept_ns = clock_mono_ns();
		k->prev = store.tail;
		if (store.tail != NULL)
			store.tail->next = k;
		else
			store.head = k;
		store.tail = k;
		store.n_kept++;
		store.bytes += k->size;
		prune(k->kept_ns);
	} else {
		bury(k);
	}
	mutex_unlock(&store.lock);
}

/* Finds the key's answer, or makes the caller its first request (*ret_first). Parks. */
static bool enter(struct request *req, struct response *res, struct str scope, const uint8_t body[32], struct kept **ret_first,
		  struct err *err)
{
	bool ok = true;
	*ret_first = NULL;
	mutex_lock(&store.lock);
	prune(clock_mono_ns());
	for (;;) {
		struct kept *k = map_get(&store.by_scope, scope);
		if (k == NULL) {
			k = mem_alloc(sizeof(*k));
			k->scope = mem_strndup(scope.p, scope.len);
			k->scope_len = scope.len;
			memcpy(k->body, body, sizeof(k->body));
			k->running = true;
			(void)map_put(&store.by_scope, scope_str(k), k);
			*ret_first = k;
			break;
		}
		if (memcmp(k->body, body, sizeof(k->body)) != 0) {
			ok = err_set(err, ERR_IDEMPOTENCY_KEY_REUSED, "this Idempotency-Key came with another body before");
			break;
		}
		if (!k->running) {
			replay(k, res);
			break;
		}
		ok = wait_for(k, req->deadline, err);
		if (!ok)
			break;
	}
	mutex_unlock(&store.lock);
	return ok;
}

bool idempotent(struct request *req, struct response *res, handler_fn work, struct err *err)
{
	struct str key = request_header(req, "Idempotency-Key");
	struct kept *first;
	uint8_t body[32];
	if (key.p == NULL)
		return work(req, res, err);
	if (!key_valid(key))
		return err_set(err, ERR_INVALID_REQUEST, "an Idempotency-Key is 1 to 255 visible ASCII characters");
	num_sha256(strbuf_str(&req->body), body);
	struct str owner = principal_name(req);
	struct str scope = arena_printf(&req->arena, "%.*s\n%.*s %.*s?%.*s\n%.*s", STR_FMT(owner), STR_FMT(req->method_text),
					STR_FMT(req->path), STR_FMT(req->query), STR_FMT(key));
	if (!enter(req, res, scope, body, &first, err))
		return false;
	if (first == NULL)
		return true;
	bool ok = work(req, res, err);
	bool keep = ok;
	if (!ok && !err->cancelled && !response_streaming(res)) {
		int status = problem_status(err->code);
		keep = status < 500 && status != 429 && !problem_retryable(err->code);
		if (keep) {
			problem_respond(res, err);
			ok = true;
		}
	}
	end_first(first, res, keep);
	return ok;
}

void idempotency_done(void)
{
	mutex_lock(&store.lock);
	while (store.head != NULL)
		drop_oldest();
	map_done(&store.by_scope);
	mutex_unlock(&store.lock);
}
