/*
 * First answers: which request is the same, what of an answer is remembered, and how it is given again. An entry stays
 * until it is a day old or too many of its caller came after it; the bytes of its answer may go before (too large, or
 * the oldest of too many), but never the fact that the request was done, so that nothing is written twice. A failure
 * of the server (500 and above) is no answer, nor is a refusal of rights: the request runs again, unless its work may
 * stand.
 */
#include "handlers/unit/idempotency.h"
#include "handlers/unit/acting.h"
#include "handlers/unit/idempotency_table.h"
#include "handlers/unit/context.h"
#include "handlers/unit/once.h"
#include "handlers/unit/reached.h"

#include "service/auth/auth.h"
#include "service/base/clock.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/http/problem.h"
#include "store/connection/fate.h"
#include "store/store.h"

#include "service/base/banned.h"

#define UNDONE_MAX 3 /* with others; then the work has its transactions for itself */

static size_t answer_max = LIMIT_IDEMPOTENCY_ANSWER_BYTES;

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

/* Says what became of a request whose answer is not there: no retry may do it again. */
static bool tell(const struct kept *k, struct err *err)
{
	static const char first[] = "the first request with this Idempotency-Key";
	static const char *const gone[] = {
		[KEPT_WHY_SIZE] = "was too large to keep",
		[KEPT_WHY_ROOM] = "is not kept any more: newer ones took its place (idempotency_bytes_per_key)",
		[KEPT_WHY_RIGHTS] = "is withheld, for your rights have changed since",
	};
	if (k->status < 400)
		(void)err_set(err, ERR_IDEMPOTENCY_KEY_REUSED, "%s succeeded (%d), but its answer %s", first, k->status,
			      gone[k->why]);
	else if (k->status < 500)
		(void)err_set(err, ERR_IDEMPOTENCY_KEY_REUSED, "%s failed (%d), and its answer is not kept any more",
			      first, k->status);
	else if (k->outcome == ERR_OUTCOME_COMMITTED)
		(void)err_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
			      "%s was committed, but failed (%d) before it could be answered: it is not done again",
			      first, k->status);
	else if (k->lost.local)
		(void)err_set(
			err, ERR_IDEMPOTENCY_KEY_REUSED,
			"%s failed (%d) while it committed; it is committed on the server that ran it, but may not "
			"have been replicated, and be lost if that server is: it is not done again",
			first, k->status);
	else if (k->lost.waits)
		(void)err_set(
			err, ERR_IDEMPOTENCY_KEY_REUSED,
			"%s failed (%d) while it committed, and whether it did is not known; it was to wait for a "
			"synchronous standby and may not have been replicated: it is not done again",
			first, k->status);
	else
		(void)err_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
			      "%s failed (%d) while it committed, and whether it did is not known: look at what it "
			      "would have written, and send it again under another key if it is not there",
			      first, k->status);
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
		k->headers[k->n_headers++] = (struct kept_header){
			.name = h->name.p, .value = mem_strndup(h->value.p, h->value.len), .len = h->value.len};
		k->size += sizeof(struct kept_header) + h->value.len;
	}
}

/* What is known of work that ended well; inside a transaction its end decides. */
static enum err_outcome outcome_of(const struct request *req)
{
	return req->tx_left.p == NULL ? ERR_OUTCOME_COMMITTED : ERR_OUTCOME_NONE;
}

/* A refusal that is judged anew: it may pass, or was of rights, which are given; and of a connection that keeps answers
 * with their writes, any. */
static bool passes(const struct request *req, const struct err *err)
{
	const int status = problem_status(err->code);
	return status >= 500 || status == 401 || status == 403 || status == 429 || problem_retryable(err->code) ||
	       req->anew;
}

/* Fills the entry with what is to be remembered: of a failure that may pass, only that its work may stand. false:
 * nothing came of the request; the next one with its key runs. */
static bool judge(struct kept *k, struct response *res, bool *ok, const struct err *err)
{
	bool streaming = response_streaming(res);
	/* what was undone is no answer to who sends it for good */
	if ((res->req->tx_undone || (res->req->prefer.given & PREFER_TX_ROLLBACK) != 0) &&
	    (*ok || (err->outcome != ERR_OUTCOME_UNKNOWN && err->outcome != ERR_OUTCOME_COMMITTED)))
		return false;
	if (res->req->tx_left.p != NULL)
		snprintf(k->tx, sizeof(k->tx), "%.*s", STR_FMT(res->req->tx_left));
	if (!*ok) {
		if (err->cancelled || streaming || passes(res->req, err)) {
			k->status = problem_status(err->code);
			k->outcome = err->outcome;
			k->bare = true;
			return err->outcome == ERR_OUTCOME_UNKNOWN || err->outcome == ERR_OUTCOME_COMMITTED;
		}
		problem_respond(res, err);
		k->outcome = err->outcome;
		*ok = true;
	} else {
		k->outcome = outcome_of(res->req);
	}
	k->status = res->status != 0 ? res->status : 200;
	k->bare = streaming || strbuf_failed(&res->body) || res->body.len > answer_max;
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
	kept_lock();
	k->body_known = d->known;
	memcpy(k->body, d->bytes, sizeof(k->body));
	if (keep)
		kept_answered(k);
	else
		kept_forget(k);
	kept_unlock();
}

/* The answer went while the body was read, which is not there any more. */
static bool forgotten(struct err *err)
{
	(void)err_set(err, ERR_TOO_MANY_REQUESTS,
		      "the answer kept for this Idempotency-Key expired a moment ago; send the request again");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* The database may know by now what became of a commit that was lost. Asked once for each request that wants to know;
 * `lost` is a copy, for the lock is given back meanwhile and the entry may go. Parks. */
static void look_again(struct request *req, struct lost_commit lost, const uint8_t scope[KEPT_DIGEST])
{
	enum commit_fate fate = COMMIT_FATE_UNKNOWN;
	struct connection *conn;
	struct err ignored;
	kept_unlock();
	if (connection_get(&request_app(req)->store->connections, str_z(lost.connection), &conn, &ignored)) {
		fate = fate_ask(conn->pool, &lost.mark, req->deadline);
		connection_unref(conn);
	}
	kept_lock();
	kept_resolve(scope, &lost.mark, fate);
}

enum tx_says { TX_SAYS_STANDS, TX_SAYS_UNDONE, TX_SAYS_NOTHING };

/* What became of the transaction that an answer's work is part of. */
static enum tx_says ask_transaction(const struct request *req, struct kept *k)
{
	enum tx_phase phase;
	if (k->tx[0] == '\0')
		return TX_SAYS_STANDS;
	if (!tx_fate(request_app(req)->store->transactions, str_z(k->tx), &phase))
		return TX_SAYS_NOTHING;
	if (phase == TX_COMMITTED)
		k->tx[0] = '\0';
	return phase == TX_ROLLED_BACK || phase == TX_EXPIRED ? TX_SAYS_UNDONE : TX_SAYS_STANDS;
}

static bool give_kept(const struct kept *k, struct response *res, enum tx_says says, struct err *err)
{
	if (says == TX_SAYS_NOTHING)
		return err_set(
			err, ERR_IDEMPOTENCY_KEY_REUSED,
			"the first request with this Idempotency-Key ran in a transaction that ended so long ago "
			"that nobody knows how: look at what it would have written, and send it again under "
			"another key if it is not there");
	if (k->bare && !tell(k, err))
		return false;
	replay(k, res);
	return true;
}

/* Finds the key's answer, or makes the caller its first request (*ret_first). Parks. */
static bool enter(struct request *req, struct response *res, const uint8_t scope[KEPT_DIGEST], struct body_digest *d,
		  struct kept **ret_first, struct err *err)
{
	bool ok = true, asked = false;
	*ret_first = NULL;
	kept_lock();
	for (;;) {
		struct kept *k = kept_find(scope);
		if (k == NULL && d->known && req->body_streams) { /* read to the end to be compared with it */
			ok = forgotten(err);
			break;
		}
		if (k == NULL) {
			const struct principal_quotas own = principal_quotas(req);
			const struct kept_bounds most = {.entries = (size_t)own.idempotency_entries,
							 .bytes = (size_t)own.idempotency_bytes};
			k = kept_begin(principal_name(req), &most, scope);
			memcpy(k->body, d->bytes, sizeof(k->body));
			k->body_known = d->known;
			*ret_first = k;
			break;
		}
		if (!k->running && !d->known) {
			kept_unlock();
			ok = digest_end(d, req, err);
			kept_lock();
			if (!ok)
				break;
			continue;
		}
		if (k->body_known && d->known && memcmp(k->body, d->bytes, sizeof(k->body)) != 0) {
			ok = err_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
				     "this Idempotency-Key came with another body before");
			break;
		}
		if (!k->running && k->lost.mark.is_set && !asked) {
			asked = true;
			look_again(req, k->lost, scope);
			continue;
		}
		if (!k->running) {
			const enum tx_says says = ask_transaction(req, k);
			if (says == TX_SAYS_UNDONE) {
				kept_forget(k);
				continue;
			}
			ok = give_kept(k, res, says, err);
			break;
		}
		ok = kept_wait(k, req->deadline, err);
		if (!ok)
			break;
	}
	kept_unlock();
	return ok;
}

static int compare_args(const void *a, const void *b)
{
	const struct http_pair *const *x = a, *const *y = b;
	int by_name = str_cmp((*x)->name, (*y)->name);
	return by_name != 0 ? by_name : (*x > *y) - (*x < *y); /* those of one name stay in their order */
}

/* Each part with its length: no part can pretend to be two. */
static void add_part(struct num_sha256 *sum, struct str part)
{
	char len[24];
	num_sha256_add(sum, str_n(len, num_format_int((int64_t)part.len, len)));
	num_sha256_add(sum, STR(":"));
	num_sha256_add(sum, part);
}

/* What makes two requests the same, however they are spelt: caller, operation, decoded parameters, key, settings. */
static void same_request(struct request *req, struct str key, uint8_t ret[KEPT_DIGEST])
{
	struct num_sha256 sum;
	const struct http_pair **args = arena_array(&req->arena, req->n_args + 1, sizeof(*args));
	num_sha256_init(&sum);
	add_part(&sum, principal_name(req));
	add_part(&sum, key);
	add_part(&sum, str_z(req->route->operation_id));
	for (size_t i = 0; i < req->n_params; i++)
		add_part(&sum, req->params[i]);
	for (size_t i = 0; i < req->n_args; i++)
		args[i] = &req->args[i];
	qsort(args, req->n_args, sizeof(struct http_pair *), compare_args);
	for (size_t i = 0; i < req->n_args; i++) {
		add_part(&sum, args[i]->name);
		add_part(&sum, args[i]->value);
	}
	if (req->given.p != NULL)
		add_part(&sum, req->given);
	num_sha256_end(&sum, ret);
}

/* What it tells the database is part of what makes requests the same; of a session that is another node's it is known
 * when that is reached. One that cannot be reached is refused by the work, if there is no answer. */
static void know_given(struct request *req, struct response *res)
{
	struct reached r = {0};
	struct err ignored;
	(void)!session_reached(req, res, &r, &ignored);
	req->given = acting_given(req);
	req->given_before = true;
}

static struct str hex_of(struct arena *a, const uint8_t digest[32])
{
	char hex[65];
	num_hex(digest, 32, hex);
	return arena_str(a, str_z(hex));
}

/* The answer that an earlier request left in the database. */
static bool found_once(struct once *o, struct str body, struct response *res, struct err *err)
{
	if (o->kept.body.len > 0 && !str_eq(o->kept.body, body))
		return err_set(err, ERR_IDEMPOTENCY_KEY_REUSED, "this Idempotency-Key came with another body before");
	if (o->kept.status == 0) { /* the client's own COMMIT came before its answer */
		(void)err_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
			      "the first request with this Idempotency-Key was committed, but its answer was not kept");
		err->outcome = ERR_OUTCOME_COMMITTED;
		return false;
	}
	return once_replay(o, res, err);
}

/* Its connection keeps answers with their writes: the work is committed with its answer now, or was before, or is
 * undone. */
static bool end_once(struct once *o, struct response *res, struct body_digest *d, bool ok, struct err *err)
{
	struct err unread;
	const bool read = digest_end(d, res->req, &unread);
	const struct str body = read ? hex_of(&res->req->arena, d->bytes) : STR("");
	if (ok || o->found) {
		if (!read)
			*err = unread;
		ok = read;
	}
	ok = ok && o->found ? found_once(o, body, res, err) : once_finish(o, res, body, ok, err);
	once_drop(o);
	return ok;
}

/* The next request with its key looks into the database. */
static void forget(struct kept *first)
{
	kept_lock();
	kept_forget(first);
	kept_unlock();
}

/* The work, with its answer in its own unit where its connection keeps those; again when it was undone with others that
 * it shared a transaction with. *ret_with_write: it is kept there, or was. */
static bool run_first(struct request *req, struct response *res, handler_fn work, const uint8_t scope[KEPT_DIGEST],
		      struct body_digest *d, bool *ret_with_write, struct err *err)
{
	const size_t n_headers = res->n_headers;
	const bool whole = !req->body_streams;
	for (int tries = 0;; tries++) {
		struct once o;
		once_start(&o, req, hex_of(&req->arena, scope), d->known ? hex_of(&req->arena, d->bytes) : STR(""),
			   answer_max, tries == 0 && whole);
		bool ok = work(req, res, err);
		*ret_with_write = o.hook.used;
		if (o.hook.used)
			ok = end_once(&o, res, d, ok, err);
		req->once = NULL;
		const bool undone = req->undone || (!ok && err->again != ERR_AGAIN_NO);
		if (!undone || (!ok && err->cancelled) || response_streaming(res))
			return ok;
		req->undone = false;
		req->body_read &= !whole;
		req->alone = (!ok && err->again == ERR_AGAIN_ALONE) || tries >= UNDONE_MAX;
		res->status = 0;
		res->content_type = NULL;
		res->n_headers = n_headers;
		strbuf_reset(&res->body);
	}
}

/* The work, unless the state has the key's answer, or gets it from another server; one that went well is kept there.
 * *ret_known: it is in the state. */
static bool run_told(struct request *req, struct response *res, handler_fn work, const uint8_t scope[KEPT_DIGEST],
		     struct body_digest *d, bool *ret_known, struct err *err)
{
	const struct str key = hex_of(&req->arena, scope), body = hex_of(&req->arena, d->bytes);
	struct told_claim claim;
	bool with_write;
	if (!told_answer_begin(req, res, key, body, &claim, ret_known, err))
		return false;
	if (*ret_known)
		return true;
	const bool ok = run_first(req, res, work, scope, d, &with_write, err);
	*ret_known = with_write;
	told_answer_end(res, &claim, ok && !with_write, answer_max);
	return ok;
}

bool idempotent(struct request *req, struct response *res, handler_fn work, enum told_kind kind, struct err *err)
{
	struct str key = request_header(req, "Idempotency-Key");
	struct kept *first;
	struct body_digest d = {.known = false};
	uint8_t scope[KEPT_DIGEST];
	if (key.p == NULL)
		return work(req, res, err);
	if (!key_valid(key))
		return err_set(err, ERR_INVALID_REQUEST, "an Idempotency-Key is 1 to 255 visible ASCII characters");
	if (!req->body_streams) /* the one before, which it may wait for, waits for the same locks */
		req->since_ns = clock_mono_ns();
	know_given(req, res);
	digest_begin(&d, req);
	same_request(req, key, scope);
	if (!enter(req, res, scope, &d, &first, err))
		return false;
	if (first == NULL)
		return true;
	res->collect = answer_max;
	first->lost = (struct lost_commit){.connection = ""};
	req->lost = &first->lost;
	bool elsewhere = false; /* its answer, and every next one's */
	bool ok = d.known && told_answer_kept(req, kind) ? run_told(req, res, work, scope, &d, &elsewhere, err)
							 : run_first(req, res, work, scope, &d, &elsewhere, err);
	req->lost = NULL;
	if (elsewhere)
		forget(first);
	else
		end_first(first, res, &d, &ok, err);
	req->body_sum = NULL;
	return ok;
}

void idempotency_configure(const struct idempotency_limits *l)
{
	answer_max = l->answer_bytes;
	once_configure((double)l->hours);
	told_answer_configure((double)l->hours, l->entries, l->bytes);
	kept_configure(&(struct kept_bounds){.entries = l->entries, .bytes = l->bytes});
}

void idempotency_withhold(struct str caller)
{
	kept_withhold(caller);
}

void idempotency_tick(void)
{
	kept_expire(clock_mono_ns());
}

void idempotency_done(void)
{
	kept_done();
}
