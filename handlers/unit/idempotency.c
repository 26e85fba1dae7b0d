/*
 * The store of first answers: one per process, bounded in entries, age and bytes. An entry is kept until it is a day
 * old or 10,000 came after it; the bytes of its answer may go before (too large, or the oldest of too many), but never
 * the fact that the request was done, so that nothing is written twice.
 */
#include "handlers/unit/idempotency.h"

#include "service/auth/auth.h"
#include "service/base/clock.h"
#include "service/base/map.h"
#include "service/base/mem.h"
#include "service/base/mutex.h"
#include "service/base/num.h"
#include "service/http/problem.h"

#include "service/base/banned.h"

#define KEPT_MAX 10000
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
	uint8_t scope[32];  /* the table's key: SHA-256 of caller, path, query and key */
	uint8_t body[32];   /* SHA-256 of the request's body */
	bool body_known;    /* else it is still coming in, and the request is running */
	bool running, dead; /* dead: out of the table, freed with the last waiter */
	size_t n_waiting;
	struct waiter *waiters;   /* not woken yet; on their stacks, under the lock */
	bool bare;                /* the answer itself is not kept */
	enum err_outcome outcome; /* of the work, for when the answer cannot be given */
	int status;
	char *content_type; /* owned, or NULL */
	char *bytes;        /* owned */
	size_t len;
	size_t instance, instance_len; /* where a problem names its request: that of the replay stands there instead; 0:
					  nowhere */
	struct header *headers;        /* owned */
	size_t n_headers;
	size_t size; /* bytes of the answer */
	int64_t kept_ns;
	struct kept *prev, *next; /* answered ones, oldest first */
};

static struct {
	struct mutex lock;
	struct map by_scope; /* -> struct kept */
	struct kept *head, *tail;
	struct kept *full; /* the oldest whose answer is there */
	size_t n_kept, bytes;
	size_t answer_max, bytes_max;
} store = {.lock = {PTHREAD_MUTEX_INITIALIZER},
	   .answer_max = LIMIT_IDEMPOTENCY_ANSWER_BYTES,
	   .bytes_max = LIMIT_IDEMPOTENCY_BYTES};

static void free_answer(struct kept *k)
{
	for (size_t i = 0; i < k->n_headers; i++)
		mem_free(k->headers[i].value);
	mem_free(k->headers);
	mem_free(k->bytes);
	mem_free(k->content_type);
	k->headers = NULL;
	k->bytes = NULL;
	k->content_type = NULL;
	k->n_headers = k->len = k->size = 0;
}

static void free_kept(struct kept *k)
{
	free_answer(k);
	mem_free(k);
}

/* The oldest entry from k on that has its answer. */
static struct kept *next_full(struct kept *k)
{
	while (k != NULL && k->bare)
		k = k->next;
	return k;
}

static void unlink_kept(struct kept *k)
{
	if (store.full == k)
		store.full = next_full(k->next);
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
	return str_n((const char *)k->scope, sizeof(k->scope));
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

/* The oldest answer goes, the entry stays. */
static void strip_oldest(void)
{
	struct kept *k = store.full;
	store.bytes -= k->size;
	free_answer(k);
	k->bare = true;
	store.full = next_full(k->next);
}

static void prune(int64_t now)
{
	while (store.head != NULL && (store.n_kept > KEPT_MAX || now - store.head->kept_ns > KEPT_NS))
		drop_oldest();
	while (store.full != NULL && store.bytes > store.bytes_max)
		strip_oldest();
}

static void append(struct kept *k)
{
	k->kept_ns = clock_mono_ns();
	k->prev = store.tail;
	if (store.tail != NULL)
		store.tail->next = k;
	else
		store.head = k;
	store.tail = k;
	if (store.full == NULL && !k->bare)
		store.full = k;
	store.n_kept++;
	store.bytes += k->size;
	prune(k->kept_ns);
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

/* Says what became of a request whose answer is not there any more. */
static bool tell(const struct kept *k, struct err *err)
{
	if (k->status < 400)
		(void)err_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
			      "the first request with this Idempotency-Key succeeded (%d), but its answer was too "
			      "large to keep",
			      k->status);
	else
		(void)err_set(
			err, ERR_IDEMPOTENCY_KEY_REUSED,
			"the first request with this Idempotency-Key failed (%d), and its answer is not kept any more",
			k->status);
	err->outcome = k->outcome;
	return false;
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

/* Copies the answer into the entry. */
static void record(struct kept *k, const struct response *res)
{
	k->len = res->body.len;
	if (k->len > 0)
		k->bytes = mem_strndup(res->body.p, k->len);
	if (res->content_type != NULL)
		k->content_type = mem_strdup(res->content_type);
	if (k->status >= 400)
		find_instance(k, res->req->id);
	k->headers = mem_array(res->n_headers + 1, sizeof(*k->headers));
	k->size = k->len;
	for (size_t i = 0; i < res->n_headers; i++) {
		const struct http_pair *h = &res->headers[i];
		if (str_eq_z(h->name, "Ferro-Session-Info")) /* tells about now */
			continue;
		k->headers[k->n_headers++] = (struct header){
			.name = h->name.p, .value = mem_strndup(h->value.p, h->value.len), .len = h->value.len};
		k->size += sizeof(struct header) + h->value.len;
	}
}

/* The problem of a request that failed, although its work may stand. */
static void record_problem(struct kept *k, const struct err *err, struct str id)
{
	struct strbuf text;
	strbuf_init(&text, 0);
	problem_write(&text, err, id);
	k->status = problem_status(err->code);
	k->outcome = err->outcome;
	k->content_type = mem_strdup("application/problem+json");
	k->bytes = strbuf_take(&text, &k->len);
	k->size = k->len;
	find_instance(k, id);
	strbuf_done(&text);
	if (problem_retryable(err->code)) {
		k->headers = mem_array(1, sizeof(*k->headers));
		k->headers[k->n_headers++] = (struct header){.name = "Retry-After", .value = mem_strdup("1"), .len = 1};
	}
}

/* What is known of work that ended well; inside a transaction its end decides. */
static enum err_outcome outcome_of(const struct request *req)
{
	bool kept = req->tx_id.p == NULL && (req->prefer.given & PREFER_TX_ROLLBACK) == 0;
	return kept ? ERR_OUTCOME_COMMITTED : ERR_OUTCOME_NONE;
}

/* Fills the entry with what is to be remembered. false: nothing came of the request; the next one with its key runs. */
static bool judge(struct kept *k, struct response *res, bool *ok, const struct err *err)
{
	bool streaming = response_streaming(res);
	if (!*ok) {
		if (err->outcome == ERR_OUTCOME_UNKNOWN || err->outcome == ERR_OUTCOME_COMMITTED) {
			record_problem(k, err, res->req->id);
			return true;
		}
		int status = problem_status(err->code);
		if (err->cancelled || streaming || status >= 500 || status == 429 || problem_retryable(err->code))
			return false;
		problem_respond(res, err);
		k->outcome = err->outcome;
		*ok = true;
	} else {
		k->outcome = outcome_of(res->req);
	}
	k->status = res->status != 0 ? res->status : 200;
	k->bare = streaming || strbuf_failed(&res->body) || res->body.len > store.answer_max;
	if (!k->bare)
		record(k, res);
	return true;
}

/* The digest of a request's body, which is known once all of it has come. */
struct body_digest {
	struct num_sha256 sum;
	uint8_t bytes[32];
	bool known;
};

static void digest_begin(struct body_digest *d, struct request *req)
{
	d->known = !req->body_streams;
	if (d->known) {
		num_sha256(strbuf_str(&req->body), d->bytes);
		return;
	}
	num_sha256_init(&d->sum);
	req->body_sum = &d->sum;
}

/* Reads what is left of the body. Parks. */
static bool digest_end(struct body_digest *d, struct request *req, struct err *err)
{
	struct str piece;
	if (d->known)
		return true;
	do {
		if (!request_body_next(req, &piece, err))
			return false;
	} while (piece.len > 0);
	num_sha256_end(&d->sum, d->bytes);
	req->body_sum = NULL;
	d->known = true;
	return true;
}

/* The first request has ended: its answer is kept, or the next duplicate runs. One that failed before all of its body
 * was read is the same request as another only if the rest is, too. */
static void end_first(struct kept *k, struct response *res, struct body_digest *d, bool *ok, const struct err *err)
{
	struct err ignored;
	bool keep = digest_end(d, res->req, &ignored) && judge(k, res, ok, err);
	mutex_lock(&store.lock);
	k->running = false;
	k->body_known = d->known;
	memcpy(k->body, d->bytes, sizeof(k->body));
	for (struct waiter *w = k->waiters; w != NULL; w = w->next)
		event_set(&w->event);
	k->waiters = NULL;
	if (keep)
		append(k);
	else
		bury(k);
	mutex_unlock(&store.lock);
}

/* The answer went while the body was read, which is not there any more. */
static bool forgotten(struct err *err)
{
	(void)err_set(err, ERR_TOO_MANY_REQUESTS,
		      "the answer kept for this Idempotency-Key expired a moment ago; send the request again");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* Finds the key's answer, or makes the caller its first request (*ret_first). Parks. */
static bool enter(struct request *req, struct response *res, const uint8_t scope[32], struct body_digest *d,
		  struct kept **ret_first, struct err *err)
{
	struct str key = str_n((const char *)scope, 32);
	bool ok = true;
	*ret_first = NULL;
	mutex_lock(&store.lock);
	prune(clock_mono_ns());
	for (;;) {
		struct kept *k = map_get(&store.by_scope, key);
		if (k == NULL && d->known && req->body_streams) { /* read to the end to be compared with it */
			ok = forgotten(err);
			break;
		}
		if (k == NULL) {
			k = mem_alloc(sizeof(*k));
			memcpy(k->scope, scope, sizeof(k->scope));
			memcpy(k->body, d->bytes, sizeof(k->body));
			k->body_known = d->known;
			k->running = true;
			(void)map_put(&store.by_scope, scope_str(k), k);
			*ret_first = k;
			break;
		}
		if (!k->running && !d->known) {
			mutex_unlock(&store.lock);
			ok = digest_end(d, req, err);
			mutex_lock(&store.lock);
			if (!ok)
				break;
			continue;
		}
		if (k->body_known && d->known && memcmp(k->body, d->bytes, sizeof(k->body)) != 0) {
			ok = err_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
				     "this Idempotency-Key came with another body before");
			break;
		}
		if (!k->running) {
			ok = !k->bare || tell(k, err);
			if (ok)
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
	struct body_digest d = {.known = false};
	uint8_t scope[32];
	if (key.p == NULL)
		return work(req, res, err);
	if (!key_valid(key))
		return err_set(err, ERR_INVALID_REQUEST, "an Idempotency-Key is 1 to 255 visible ASCII characters");
	digest_begin(&d, req);
	struct str owner = principal_name(req);
	struct str text =
		arena_printf(&req->arena, "%.*s\n%.*s %.*s?%.*s\n%.*s", STR_FMT(owner), STR_FMT(req->method_text),
			     STR_FMT(req->path), STR_FMT(req->query), STR_FMT(key));
	num_sha256(text, scope);
	if (!enter(req, res, scope, &d, &first, err))
		return false;
	if (first == NULL)
		return true;
	res->collect = store.answer_max;
	bool ok = work(req, res, err);
	end_first(first, res, &d, &ok, err);
	req->body_sum = NULL;
	return ok;
}

void idempotency_configure(size_t answer_bytes, size_t bytes)
{
	store.answer_max = answer_bytes;
	store.bytes_max = bytes;
}

void idempotency_done(void)
{
	mutex_lock(&store.lock);
	while (store.head != NULL)
		drop_oldest();
	map_done(&store.by_scope);
	mutex_unlock(&store.lock);
}
