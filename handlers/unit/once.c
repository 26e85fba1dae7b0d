/* Answers in the database of their writes: put there, found again, forgotten. */
#include "handlers/unit/once.h"

#include "service/base/clock.h"
#include "service/base/fiber.h"
#include "service/base/json.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define UPKEEP_NS (60 * CLOCK_NS_PER_S)
#define STEP_NS (200 * CLOCK_NS_PER_MS) /* between two small steps */
#define STEP_SECONDS 10.0

static int64_t keep_us = INT64_C(86400000000);

void once_configure(double hours)
{
	keep_us = (int64_t)(hours * 3600e6);
}

static bool opened(void *arg, struct exec *x, struct err *err)
{
	struct once *o = arg;
	bool first;
	x->opened = NULL; /* once a transaction; set again with the next unit */
	o->since_us = clock_real_us() - keep_us;
	if (o->tried && o->way == ONCE_ROW_ALONG)
		o->way = ONCE_ROW_FIRST;
	o->tried = true;
	const bool ok = once_begin(x, &o->req->arena, &o->mine, o->since_us, &o->way, &first, &o->kept, err);
	x->opened = opened;
	if (!ok)
		return false;
	o->found = !first;
	if (o->found && x->route->tx == NULL && o->at == NULL)
		o->at = connection_ref(x->route->conn);
	return first || err_set(err, ERR_IDEMPOTENCY_KEY_REUSED, "the first request's answer is there");
}

void once_start(struct once *o, struct request *req, struct str key, struct str body, size_t answer_max, bool again)
{
	*o = (struct once){.hook = {.opened = opened},
			   .req = req,
			   .mine = {.key = key, .body = body},
			   .answer_max = answer_max,
			   .way = again ? ONCE_ROW_ALONG : ONCE_ROW_FIRST};
	req->once = &o->hook;
}

struct str once_headers(struct arena *a, const struct response *res)
{
	struct strbuf b;
	strbuf_init(&b, 0);
	strbuf_putc(&b, '[');
	for (size_t i = 0; i < res->n_headers; i++) {
		if (str_ieq_z(res->headers[i].name, "Ferro-Session-Info") ||
		    str_ieq_z(res->headers[i].name, "Ferro-Session-Resumed"))
			continue; /* tell about now */
		strbuf_puts(&b, b.len > 1 ? ",[" : "[");
		strbuf_json_string(&b, res->headers[i].name);
		strbuf_putc(&b, ',');
		strbuf_json_string(&b, res->headers[i].value);
		strbuf_putc(&b, ']');
	}
	strbuf_putc(&b, ']');
	struct str text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return text;
}

static bool put_answer(struct once *o, struct context *held, struct response *res, struct str body, struct err *err)
{
	const bool large = response_streaming(res) || strbuf_failed(&res->body) || res->body.len > o->answer_max;
	o->mine.body = body;
	o->mine.status = res->status != 0 ? res->status : 200;
	o->mine.content_type = !large && res->content_type != NULL ? str_z(res->content_type) : STR("");
	o->mine.headers = large ? STR("[]") : once_headers(&o->req->arena, res);
	o->mine.answer = large ? STR_NONE : res->body.p != NULL ? strbuf_str(&res->body) : STR("");
	held->exec.last = !held->undo;
	return once_end(&held->exec, o->way, &o->mine, o->since_us, err);
}

/* What stands in the answer's head about what was written, which was not. */
static void drop_heads(struct response *res)
{
	size_t n = 0;
	for (size_t i = 0; i < res->n_headers; i++)
		if (!str_ieq_z(res->headers[i].name, "Location") && !str_ieq_z(res->headers[i].name, "ETag"))
			res->headers[n++] = res->headers[i];
	res->n_headers = n;
}

/* The answer goes into the unit, and the unit is committed, whoever has gone away meanwhile. */
static bool commit(struct once *o, struct response *res, struct str body, struct err *err)
{
	struct context *held = o->hook.held;
	o->hook.held = NULL;
	fiber_shield();
	const bool put = put_answer(o, held, res, body, err);
	const bool ok = context_close(held, put, err);
	if (!ok)
		drop_heads(res);
	fiber_unshield();
	return ok;
}

bool once_finish(struct once *o, struct response *res, struct str body, bool ok, struct err *err)
{
	struct context *held = o->hook.held;
	struct err why;
	if (held == NULL)
		return ok;
	if (ok)
		return commit(o, res, body, err);
	why = *err;
	o->hook.held = NULL;
	return context_close(held, false, &why);
}

static void replay_headers(const struct once *o, struct response *res)
{
	struct arena *a = &o->req->arena;
	struct err none;
	const json_t *pair;
	json_t *list;
	size_t i;
	if (!json_parse(a, o->kept.headers, &list, &none))
		return;
	json_array_foreach(list, i, pair)
	{
		const json_t *name = json_array_get(pair, 0), *value = json_array_get(pair, 1);
		if (json_is_string(name) && json_is_string(value) && res->n_headers + 2 < ARRAY_LEN(res->headers))
			response_header(res, arena_strz(a, json_str(name)), arena_str(a, json_str(value)));
	}
}

void once_drop(struct once *o)
{
	if (o->at != NULL)
		connection_unref(o->at);
	o->at = NULL;
}

bool once_replay(struct once *o, struct response *res, struct err *err)
{
	const bool large = o->kept.answer.p == NULL;
	struct arena *a = &o->req->arena;
	size_t n = 0;
	if (o->at != NULL && !once_confirm(o->at, o->mine.key, o->req->deadline, err))
		return false;
	/* what the work has set is about a work that was not done */
	for (size_t i = 0; i < res->n_headers; i++)
		if (str_ieq_z(res->headers[i].name, "Ferro-Session-Info"))
			res->headers[n++] = res->headers[i];
	res->n_headers = n;
	strbuf_reset(&res->body);
	res->status = (int)o->kept.status;
	res->content_type = o->kept.content_type.len > 0 ? arena_strz(a, o->kept.content_type) : NULL;
	if (!large) {
		strbuf_put(&res->body, o->kept.answer);
		replay_headers(o, res);
	} else {
		response_header(res, "Ferro-Answer", STR("too-large"));
	}
	response_header(res, "Idempotency-Replayed", STR("true"));
	return true;
}

/* ---- forgetting ---- */

static void forget_of(struct connection *conn)
{
	struct err ignored;
	bool more = true;
	/* what fails is tried again in a minute */
	while (more && once_forget(conn, clock_real_us() - keep_us, clock_deadline(STEP_SECONDS), &more, &ignored) &&
	       more)
		if (wait_until(clock_mono_ns() + STEP_NS) == WAIT_CANCELLED)
			return;
}

void once_upkeep(void *arg)
{
	const struct app *app = arg;
	while (wait_until(clock_mono_ns() + UPKEEP_NS) != WAIT_CANCELLED) {
		struct connection **all;
		struct arena a;
		struct err held;
		arena_init(&a);
		const size_t n = connection_list(&app->store->connections, &a, &all, NULL);
		for (size_t i = 0; i < n; i++) {
			if (all[i]->exactly_once && connection_available(all[i], &held))
				forget_of(all[i]);
			connection_unref(all[i]);
		}
		arena_done(&a);
	}
}
