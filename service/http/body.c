/*
 * Request bodies. A small one is held whole before its handler starts. A bulk body that outgrows LIMIT_BODY_WINDOW is
 * read by its handler while it arrives: when the handler is behind, the connection is suspended with the window full,
 * so that the kernel's buffer and then the client wait; when the client is behind, the handler's fiber waits, but not
 * for ever, since it may hold a transaction open: it has body_wait_seconds of patience, of which waiting uses up and
 * bytes give back, one second for LIMIT_BODY_RATE of them.
 *
 * A body with a content coding is held as it came and unpacked on the fiber's side, a window at a time, so that what
 * little unfolds to much takes neither memory nor the loop's time; a bulk one always streams.
 */
#include "service/http/body.h"

#include "service/base/clock.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "service/http/give_way.h"
#include "service/http/jam.h"
#include "service/metrics.h"

#include "service/base/banned.h"

#define BODY_BLOCK (1024 * 1024) /* a stated size is made room for in one block, within reason */

static struct exchange *exchange_of(struct request *req)
{
	return CONTAINER_OF(req, struct exchange, req);
}

/* ---- the callback's side ---- */

static void wake(struct exchange *x)
{
	if (x->upload.more == NULL)
		return;
	wire_unpark(x);
	event_set(x->upload.more);
	x->upload.more = NULL;
}

static void reserve(struct exchange *x)
{
	size_t most = x->req.route->body == BODY_BULK ? LIMIT_BODY_WINDOW : BODY_BLOCK;
	if (x->req.body.size == 0 && x->content_length > 0)
		(void)strbuf_reserve(&x->req.body, (size_t)x->content_length < most ? (size_t)x->content_length : most);
}

static void begin_stream(struct exchange *x)
{
	x->req.body_streams = true;
	x->upload.patience_ns = (int64_t)(x->loop->server->options.body_wait_s * 1e9);
}

bool body_put(struct exchange *x, const char *bytes, size_t n)
{
	struct request *req = &x->req;
	x->body_seen += n;
	if (x->state == EXCHANGE_DONE) { /* answered at its end */
		metrics_add(METRIC_REQUEST_BYTES, n);
		return false;
	}
	if (x->refused)
		return false;
	if (x->body_seen > x->body_limit) {
		x->refused = true;
		err_set(&x->err, ERR_PAYLOAD_TOO_LARGE, "the body is larger than %zu bytes", x->body_limit);
		strbuf_done(&req->body);
		wake(x);
		return false;
	}
	reserve(x);
	strbuf_put(&req->body, str_n(bytes, n));
	if (x->state == EXCHANGE_RUNNING) {
		wake(x);
		/* the library may still hand over what it has read already */
		if (req->body.len >= LIMIT_BODY_WINDOW && !x->suspended)
			wire_suspend(x);
		return false;
	}
	if (req->route->body != BODY_BULK || req->body.len < LIMIT_BODY_WINDOW)
		return false;
	begin_stream(x);
	return true;
}

void body_end(struct exchange *x)
{
	jam_unwatch(x);
	x->upload.ended = true;
	if (x->state == EXCHANGE_READING && x->upload.coding != CODING_NONE && x->req.route->body == BODY_BULK)
		begin_stream(x);
	wake(x);
}

/* ---- the fiber's side ---- */

static bool client_gone(struct exchange *x, struct err *err)
{
	if (x->gone) /* the library, which is told of a hang-up and of bytes at once, may have seen the bytes alone */
		wire_cut(x);
	err_set(err, ERR_INTERNAL_ERROR, "the client went away");
	err->cancelled = true;
	return false;
}

static bool too_slow(const struct exchange *x, struct err *err)
{
	if (clock_mono_ns() >= x->req.deadline)
		return err_set(err, ERR_STATEMENT_TIMEOUT, "the time allowed was over before all of the body had come");
	return err_set(err, ERR_STATEMENT_TIMEOUT,
		       "the body came too slowly: %g seconds were spent waiting for it (body_wait_seconds)",
		       x->loop->server->options.body_wait_s);
}

/* Until there are bytes, or no more to come. */
static bool wait_for_bytes(struct exchange *x, struct err *err)
{
	struct request_stream *s = &x->upload;
	while (x->req.body.len == 0 && !s->ended && !x->refused) {
		struct event more;
		if (x->gone)
			return client_gone(x, err);
		int64_t from = clock_mono_ns();
		event_init(&more);
		s->more = &more;
		wire_park(x);
		enum wait_result w = event_wait(&more, clock_min(x->req.deadline, from + s->patience_ns));
		if (s->more != NULL)
			wire_unpark(x);
		s->more = NULL;
		s->patience_ns -= clock_mono_ns() - from;
		if (w == WAIT_CANCELLED)
			return client_gone(x, err);
		if (w == WAIT_TIMEOUT && x->req.body.len == 0 && !s->ended)
			return too_slow(x, err);
	}
	if (x->refused) {
		*err = x->err;
		return false;
	}
	if (strbuf_failed(&x->req.body))
		return err_set(err, ERR_PAYLOAD_TOO_LARGE, "the body does not fit into memory");
	return true;
}

/* The bytes that have come become the fiber's piece; its old buffer is filled next. */
static void take_piece(struct exchange *x)
{
	struct request_stream *s = &x->upload;
	struct strbuf read = s->piece;
	int64_t most = (int64_t)(x->loop->server->options.body_wait_s * 1e9);
	s->piece = x->req.body;
	x->req.body = read;
	strbuf_reset(&x->req.body);
	s->patience_ns += (int64_t)s->piece.len * (CLOCK_NS_PER_S / LIMIT_BODY_RATE);
	s->patience_ns = clock_min(s->patience_ns, most);
	if (!s->ended)
		wire_resume(x);
}

/* The next bytes of it, at most a window; *in: what is left of those that came. */
static bool unpack(struct exchange *x, struct str *in, struct strbuf *out, struct err *err)
{
	struct request_stream *s = &x->upload;
	const size_t left = x->body_limit - s->n_plain + 1, from = out->len;
	if (s->unpacker == NULL)
		s->unpacker = unpacker_new(s->coding);
	if (s->unpacker == NULL)
		return err_set(err, ERR_PAYLOAD_TOO_LARGE, "the body does not fit into memory");
	if (!unpacker_run(s->unpacker, in, left < LIMIT_BODY_WINDOW ? left : LIMIT_BODY_WINDOW, out, err))
		return false;
	s->n_plain += out->len - from;
	wait_may_step_aside();
	if (s->n_plain > x->body_limit)
		return err_set(err, ERR_PAYLOAD_TOO_LARGE, "the body unfolds to more than %zu bytes", x->body_limit);
	return true;
}

/* The next piece of a packed body that streams; empty: that was all. */
static bool next_unpacked(struct exchange *x, struct str *ret, struct err *err)
{
	struct request_stream *s = &x->upload;
	strbuf_reset(&s->plain);
	for (;;) {
		if (!unpack(x, &s->packed, &s->plain, err))
			return false;
		if (s->plain.len > 0)
			break;
		if (!wait_for_bytes(x, err))
			return false;
		take_piece(x);
		s->packed = strbuf_str(&s->piece);
		if (s->packed.len == 0 && !unpacker_end(s->unpacker, err))
			return false;
		if (s->packed.len == 0)
			break;
	}
	*ret = strbuf_str(&s->plain);
	return true;
}

bool body_unpack(struct exchange *x, struct err *err)
{
	struct strbuf all;
	struct str in = strbuf_str(&x->req.body);
	size_t from;
	bool ok;
	if (x->req.body_streams)
		return true; /* as it is read */
	strbuf_init(&all, 0);
	do {
		from = all.len;
		ok = unpack(x, &in, &all, err);
	} while (ok && all.len > from);
	if (!ok || !unpacker_end(x->upload.unpacker, err)) {
		strbuf_done(&all);
		return false;
	}
	strbuf_done(&x->req.body);
	x->req.body = all;
	return true;
}

bool request_body_next(struct request *req, struct str *ret, struct err *err)
{
	if (!req->body_streams) {
		*ret = req->body_read ? STR("") : strbuf_str(&req->body);
		req->body_read = true;
	} else {
		struct exchange *x = exchange_of(req);
		give_way(x);
		if (x->upload.coding != CODING_NONE) {
			if (!next_unpacked(x, ret, err))
				return false;
		} else {
			if (!wait_for_bytes(x, err))
				return false;
			take_piece(x);
			*ret = strbuf_str(&x->upload.piece);
		}
	}
	if (req->body_sum != NULL)
		num_sha256_add(req->body_sum, *ret);
	return true;
}

bool request_body_gather(struct request *req, struct str read, struct err *err)
{
	struct strbuf all;
	struct str piece = read;
	bool ok = true;
	strbuf_init(&all, req->body_max);
	do {
		strbuf_put(&all, piece);
		if (strbuf_failed(&all))
			ok = err_set(err, ERR_PAYLOAD_TOO_LARGE, "a document is larger than %zu bytes", req->body_max);
		ok = ok && request_body_next(req, &piece, err);
	} while (ok && piece.len > 0);
	if (!ok) {
		strbuf_done(&all);
		return false;
	}
	strbuf_done(&req->body);
	req->body = all;
	req->body.cap = 0;
	req->body_streams = false;
	req->body_read = true; /* all of it has been handed out in pieces */
	return true;
}
