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

#include "service/base/banned.h"

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

bool told_answer_find(struct request *req, struct response *res, struct str key, struct str body, bool *ret_found,
		      struct err *err)
{
	struct state_answer kept;
	struct err why;
	if (!state_answer_get(state_of(req), &req->arena, key, clock_real_us() - keep_us, ret_found, &kept, &why)) {
		(void)err_set(err, ERR_DATABASE_UNAVAILABLE,
			      "nothing was changed, for the state cannot be asked about the Idempotency-Key: %.400s",
			      why.detail);
		err->outcome = ERR_OUTCOME_NOT_STARTED;
		err->cancelled = why.cancelled;
		return false;
	}
	if (!*ret_found)
		return true;
	if (!str_eq(kept.body, body))
		return err_set(err, ERR_IDEMPOTENCY_KEY_REUSED, "this Idempotency-Key came with another body before");
	if (withheld(req, &kept)) {
		(void)err_set(err, ERR_IDEMPOTENCY_KEY_REUSED,
			      "the first request with this Idempotency-Key succeeded (%d), but its answer is withheld, "
			      "for your rights have changed since",
			      (int)kept.status);
		err->outcome = ERR_OUTCOME_COMMITTED;
		return false;
	}
	struct once o = {.req = req,
			 .kept = {.status = kept.status,
				  .content_type = kept.content_type,
				  .headers = kept.headers,
				  .answer = kept.text}};
	return once_replay(&o, res, err);
}

void told_answer_put(struct response *res, struct str key, struct str body, size_t answer_max)
{
	struct request *req = res->req;
	const struct principal_quotas own = principal_quotas(req);
	const int64_t now = clock_real_us();
	const struct state_answer_bounds most = {
		.since_us = now - keep_us,
		.entries = own.idempotency_entries > 0 ? (int64_t)own.idempotency_entries : entries_max,
		.bytes = own.idempotency_bytes > 0 ? (int64_t)own.idempotency_bytes : bytes_max};
	const struct str name = principal_name(req);
	const struct state_answer x = {.key = key,
				       .owner = name.p != NULL ? name : STR(""),
				       .body = body,
				       .status = res->status != 0 ? res->status : 200,
				       .content_type = res->content_type != NULL ? str_z(res->content_type) : STR(""),
				       .headers = headers_and_rights(req, res),
				       .text = res->body.p != NULL ? strbuf_str(&res->body) : STR("")};
	struct err why;
	struct log_line l;
	if (response_streaming(res) || strbuf_failed(&res->body) || res->body.len > answer_max || x.status >= 300)
		return;
	fiber_shield();
	const bool ok = state_answer_put(state_of(req), &x, now, &most, &why);
	fiber_unshield();
	if (ok)
		return;
	log_begin(&l, LOG_WARN, "answer_not_kept");
	log_str(&l, "request_id", req->id);
	log_strz(&l, "message", why.detail);
	log_end(&l);
}

void told_answer_configure(double hours, size_t entries, size_t bytes)
{
	keep_us = (int64_t)(hours * 3600e6);
	entries_max = (int64_t)entries;
	bytes_max = (int64_t)bytes;
}
