/* Answers that the state keeps: when, and as what. */
#include "handlers/unit/told_answer.h"

#include "handlers/app.h"
#include "handlers/unit/once.h"
#include "service/auth/auth.h"
#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/json.h"
#include "service/base/limits.h"
#include "service/base/log.h"
#include "store/state/state_answers.h"
#include "store/state/state_nodes.h"

#include "service/base/banned.h"

#define LOOK_NS (10 * CLOCK_NS_PER_MS)
#define LOOK_DOUBLED 4                       /* times, at most */
#define CLAIM_SLACK_NS (10 * CLOCK_NS_PER_S) /* of what is kept after the request's own time */

static int64_t keep_us = LIMIT_IDEMPOTENCY_HOURS * INT64_C(3600000000);
static int64_t entries_max = LIMIT_IDEMPOTENCY_ENTRIES, bytes_max = LIMIT_IDEMPOTENCY_BYTES;

static struct state *state_of(const struct request *req)
{
	return told_state(request_app(req)->told);
}

bool told_answer_kept(const struct request *req, enum told_kind kind)
{
	const struct state *s = kind != TOLD_NOT ? state_of(req) : NULL;
	return s != NULL && state_seals(s) && (kind == TOLD_TELLING || state_shared(s));
}

/* Headers, and behind them, as a member that is no header, what the caller might do. */
static struct str headers_and_rights(struct request *req, const struct response *res)
{
	const struct str headers = once_headers(&req->arena, res);
	struct strbuf b;
	strbuf_init(&b, 0);
	strbuf_put(&b, str_n(headers.p, headers.len - 1));
	strbuf_puts(&b, headers.len > 2 ? "," : "");
	strbuf_put(&b, principal_rights(req, &req->arena));
	strbuf_putc(&b, ']');
	const struct str text = arena_str(&req->arena, strbuf_str(&b));
	strbuf_done(&b);
	return text;
}

/* Its caller may do less than when it was given: narrowed by a reload, a restart, or on another server of the state. */
static bool withheld(struct request *req, const struct state_answer *kept)
{
	struct err none;
	json_t *list;
	if (!json_parse(&req->arena, kept->headers, &list, &none))
		return true;
	const json_t *last = json_array_get(list, json_array_size(list) - 1);
	return !principal_still_has(req, json_is_object(last) ? last : NULL);
}

/* The state cannot be asked: whatever its answer is, nothing is done. Always false. */
static bool unasked(const struct err *why, struct err *err)
{
	(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
		      "nothing was changed, for the state cannot be asked about the Idempotency-Key: %.400s",
		      why->detail);
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	err->cancelled = why->cancelled;
	return false;
}

static bool other_body(struct err *err)
{
	return err_set(err, ERR_IDEMPOTENCY_KEY_REUSED, "this Idempotency-Key came with another body before");
}

static bool give(struct request *req, struct response *res, const struct state_answer *kept, struct str body,
		 struct err *err)
{
	if (!str_eq(kept->body, body))
		return other_body(err);
	if (withheld(req, kept)) {
		(void)err_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
			      "the first request with this Idempotency-Key succeeded (%d), but its answer is withheld, "
			      "for your rights have changed since",
			      (int)kept->status);
		err->outcome = ERR_OUTCOME_COMMITTED;
		return false;
	}
	struct once o = {.req = req,
			 .kept = {.status = kept->status,
				  .content_type = kept->content_type,
				  .headers = kept->headers,
				  .answer = kept->text}};
	return once_replay(&o, res, err);
}

static bool find(struct request *req, struct response *res, const struct told_claim *c, bool *ret_found,
		 struct err *err)
{
	struct state_answer kept;
	struct err why;
	if (!state_answer_get(state_of(req), &req->arena, c->claim.key, clock_real_us() - keep_us, ret_found, &kept,
			      &why))
		return unasked(&why, err);
	return !*ret_found || give(req, res, &kept, c->claim.body, err);
}

/* ---- claims ---- */

/* Another server has the key, and works, or is about to be found dead. */
static bool wait_for_other(const struct request *req, int tries, struct err *err)
{
	const int64_t rest = req->deadline - clock_mono_ns();
	const int64_t pause = clock_min(LOOK_NS << (tries < LOOK_DOUBLED ? tries : LOOK_DOUBLED), rest);
	const bool cancelled = pause > 0 && wait_until(clock_mono_ns() + pause) == WAIT_CANCELLED;
	if (pause > 0 && !cancelled)
		return true;
	(void)err_set(err, ERR_TOO_MANY_REQUESTS, "the first request with this Idempotency-Key still runs");
	err->cancelled = cancelled;
	return false;
}

static bool take(struct request *req, struct told_claim *c, struct err *err)
{
	const int64_t most_ns = clock_max(0, req->deadline - clock_mono_ns()) + CLAIM_SLACK_NS;
	bool differs;
	struct err why;
	fiber_shield(); /* one that was made is known to be */
	const bool asked =
		state_claim_take(state_of(req), &c->claim, most_ns / 1000, STATE_DEAD_US, &c->held, &differs, &why);
	fiber_unshield();
	if (!asked)
		return unasked(&why, err);
	return !differs || other_body(err);
}

static void give_up(const struct request *req, struct told_claim *c)
{
	struct err ignored; /* it ends with its time, or this node */
	if (!c->held)
		return;
	fiber_shield();
	(void)!state_claim_give(state_of(req), &c->claim, &ignored);
	fiber_unshield();
	c->held = false;
}

/* Until the key is ours or its answer is there: who gave it up may have left one. */
static bool claim(struct request *req, struct response *res, struct told_claim *c, bool *ret_found, struct err *err)
{
	for (int tries = 0;; tries++) {
		if (!take(req, c, err))
			return false;
		const bool ok = find(req, res, c, ret_found, err);
		if (!ok || *ret_found)
			give_up(req, c);
		if (!ok || *ret_found || c->held)
			return ok;
		if (!wait_for_other(req, tries, err))
			return false;
	}
}

bool told_answer_begin(struct request *req, struct response *res, struct str key, struct str body, struct told_claim *c,
		       bool *ret_found, struct err *err)
{
	const struct node *node = request_app(req)->node;
	*c = (struct told_claim){.claim = {.key = key, .body = body}};
	if (!find(req, res, c, ret_found, err))
		return false;
	if (*ret_found || !state_shared(state_of(req)))
		return true;
	c->claim.node = node_name(node);
	c->claim.instance = node_instance(node);
	if (!claim(req, res, c, ret_found, err))
		return false;
	req->claim = c->held ? &c->claim : NULL;
	return true;
}

static bool put(struct response *res, const struct told_claim *c)
{
	struct request *req = res->req;
	const struct principal_quotas own = principal_quotas(req);
	const int64_t now = clock_real_us();
	const struct state_answer_bounds most = {
		.since_us = now - keep_us,
		.entries = own.idempotency_entries > 0 ? (int64_t)own.idempotency_entries : entries_max,
		.bytes = own.idempotency_bytes > 0 ? (int64_t)own.idempotency_bytes : bytes_max};
	const struct str name = principal_name(req);
	const struct state_answer x = {.key = c->claim.key,
				       .owner = name.p != NULL ? name : STR(""),
				       .body = c->claim.body,
				       .status = res->status != 0 ? res->status : 200,
				       .content_type = res->content_type != NULL ? str_z(res->content_type) : STR(""),
				       .headers = headers_and_rights(req, res),
				       .text = res->body.p != NULL ? strbuf_str(&res->body) : STR("")};
	struct err why;
	struct log_line l;
	fiber_shield();
	const bool ok = state_answer_put(state_of(req), &x, now, &most, c->held ? &c->claim : NULL, &why);
	fiber_unshield();
	if (ok)
		return true;
	log_begin(&l, LOG_WARN, "answer_not_kept");
	log_str(&l, "request_id", req->id);
	log_strz(&l, "message", why.detail);
	log_end(&l);
	return false;
}

void told_answer_end(struct response *res, struct told_claim *c, bool ok, size_t answer_max)
{
	const bool whole = ok && !response_streaming(res) && !strbuf_failed(&res->body) &&
			   res->body.len <= answer_max && res->status < 300;
	if (whole && put(res, c))
		c->held = false;
	give_up(res->req, c);
	res->req->claim = NULL;
}

struct teller told_by(const struct request *req)
{
	return (struct teller){.name = principal_name(req), .claim = req->claim};
}

void told_answer_configure(double hours, size_t entries, size_t bytes)
{
	keep_us = (int64_t)(hours * 3600e6);
	entries_max = (int64_t)entries;
	bytes_max = (int64_t)bytes;
}
