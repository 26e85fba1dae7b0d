/* See exchange.h. */
#include "service/http/exchange.h"

#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/auth/auth.h"
#include "service/base/clock.h"
#include "service/base/fault.h"
#include "service/base/limits.h"
#include "service/base/log.h"
#include "service/base/mem.h"
#include "service/metrics.h"
#include "service/http/body.h"
#include "service/http/give_way.h"
#include "service/http/head.h"
#include "service/http/jam.h"
#include "service/http/linger.h"
#include "service/http/packing.h"
#include "service/http/problem.h"
#include "service/http/stream.h"
#include "service/http/tls.h"

#include "service/base/banned.h"

/* RFC 9112 section 3.2.2: a server accepts the absolute form, too. What it says beside the path, Host says again. */
static struct str origin_form(struct str target, struct str *ret_authority)
{
	struct str rest;
	if (target.len >= 7 && strncasecmp(target.p, "http://", 7) == 0)
		rest = str_n(target.p + 7, target.len - 7);
	else if (target.len >= 8 && strncasecmp(target.p, "https://", 8) == 0)
		rest = str_n(target.p + 8, target.len - 8);
	else
		return target;
	const char *from = rest.p;
	while (rest.len > 0 && rest.p[0] != '/' && rest.p[0] != '?')
		rest = str_n(rest.p + 1, rest.len - 1);
	*ret_authority = str_n(from, (size_t)(rest.p - from));
	return rest.len > 0 && rest.p[0] == '/' ? rest : STR("/");
}

/* Arguments are parsed by us. The library would do so, too, and keep each in a connection's scarce memory; its buffer,
 * which is const to us by courtesy alone, is cut short behind the question mark. */
static void hide_query(const char *uri)
{
	char *mark = strchr(uri, '?');
	if (mark != NULL && mark[1] != '\0')
		mark[1] = '\0';
}

void *exchange_on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
	(void)conn;
	struct exchange *x = wire_new(cls);
	struct request *req = &x->req;
	x->loop->progress = true;
	req->app = x->loop->server->options.app;
	req->route = &router_unrouted;
	req->start_ns = clock_mono_ns();
	x->target_at = (uintptr_t)uri;
	x->target_end = (uintptr_t)uri + strlen(uri);
	req->path = arena_str(&req->arena, origin_form(str_z(uri), &x->authority));
	x->authority = arena_str(&req->arena, x->authority);
	char *mark = memchr(req->path.p, '?', req->path.len);
	if (mark != NULL) {
		size_t at = (size_t)(mark - req->path.p);
		req->query = str_n(mark + 1, req->path.len - at - 1);
		req->path.len = at;
		hide_query(uri);
	}
	x->res.req = req;
	return x;
}

void exchange_on_completed(void *cls, struct MHD_Connection *conn, void **con_cls, enum MHD_RequestTerminationCode code)
{
	(void)cls;
	struct exchange *x = *con_cls;
	if (x == NULL)
		return;
	linger_answered(conn, x->seen && code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	*con_cls = NULL;
	x->loop->progress = true;
	wire_unpark(x);
	jam_unwatch(x);
	x->conn = NULL;
	x->gone = true;
	if (x->state == EXCHANGE_RUNNING)
		fiber_cancel(x->fiber); /* frees it at its end */
	else
		wire_free(x);
}

size_t exchange_unescape(void *cls, struct MHD_Connection *conn, char *s)
{
	(void)cls;
	(void)conn;
	return strlen(s); /* paths and arguments are decoded by the router, strictly */
}

/* ---- running ---- */

/* W3C Trace Context: version-traceid-parentid-flags, lower-case hexadecimal, neither id all zero. */
static bool trace_valid(struct str s)
{
	static const char shape[] = "vv-tttttttttttttttttttttttttttttttt-pppppppppppppppp-ff";
	bool some_trace = false, some_parent = false;
	if (s.len < sizeof(shape) - 1 ||
	    (s.len > sizeof(shape) - 1 && (s.p[sizeof(shape) - 1] != '-' || str_starts(s, STR("00")))) ||
	    str_starts(s, STR("ff")))
		return false;
	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		bool hex = (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f');
		if (shape[i] == '-' ? s.p[i] != '-' : !hex)
			return false;
		some_trace |= shape[i] == 't' && s.p[i] != '0';
		some_parent |= shape[i] == 'p' && s.p[i] != '0';
	}
	return some_trace && some_parent;
}

static void trace_log(struct log_line *l, struct str header)
{
	if (header.p == NULL || !trace_valid(header))
		return;
	log_str(l, "trace_id", str_n(header.p + 3, 32));
	log_str(l, "parent_id", str_n(header.p + 36, 16));
}

static void access_log(struct exchange *x)
{
	const struct request *req = &x->req;
	if (!x->loop->server->options.access_log || !log_enabled(LOG_INFO))
		return;
	struct log_line l;
	log_begin(&l, LOG_INFO, "request");
	log_str(&l, "request_id", req->id);
	log_str(&l, "method", req->method_text);
	trace_log(&l, request_header(req, "traceparent"));
	if (req->principal != NULL)
		log_str(&l, "principal", principal_name(req));
	if (req->session_ref.len > 0)
		log_str(&l, "session", req->session_ref);
	log_strz(&l, "route", req->route->path);
	log_int(&l, "status", x->res.status);
	log_int(&l, "bytes", (int64_t)(x->stream.bytes + x->res.body.len));
	log_ms(&l, "total_ms", x->done_ns - req->start_ns);
	log_ms(&l, "db_ms", req->db_ns);
	log_ms(&l, "lease_ms", req->lease_ns);
	log_end(&l);
}

static void log_failure(const struct exchange *x, const struct err *err)
{
	if (problem_status(err->code) < 500 || err->cancelled || x->gone)
		return;
	struct log_line l;
	log_begin(&l, LOG_ERROR, "request_failed");
	log_str(&l, "request_id", x->req.id);
	log_strz(&l, "code", err_code_name(err->code));
	log_strz(&l, "detail", err->detail);
	log_strz(&l, "sqlstate", err->sqlstate);
	log_end(&l);
}

static void count(const struct exchange *x)
{
	const struct request *req = &x->req;
	const int64_t now = x->done_ns;
	int64_t started = req->handler_ns != 0 ? req->handler_ns : now;
	struct metrics_phases p = {.queue = started - req->start_ns, .lease = req->lease_ns};
	p.database = req->db_ns > req->lease_ns ? req->db_ns - req->lease_ns : 0;
	p.encode = now - started - p.lease - p.database;
	metrics_request(req->route, x->res.status, &p);
	metrics_add(METRIC_REQUEST_BYTES, x->body_seen);
	metrics_add(METRIC_RESPONSE_BYTES, x->stream.bytes + x->res.body.len);
	if (x->gone)
		metrics_add(METRIC_CLIENT_GONE, 1);
	if (x->stream.started)
		metrics_add(METRIC_STREAMS, 1);
}

/* The answer is complete in x->res (or its stream has ended). */
static void finish(struct exchange *x)
{
	const struct server_options *o = &x->loop->server->options;
	if (x->res.status == 0)
		x->res.status = 200;
	if (!x->stream.started && o->before_reply != NULL)
		o->before_reply(o->app, &x->req, &x->res);
#ifdef FERROD_FAULTS
	response_header(&x->res, "X-Fault-Fired", fault_fired() ? STR("1") : STR("0"));
	fault_arm(0);
#endif
	x->state = EXCHANGE_DONE;
	x->done_ns = clock_mono_ns();
	if (x->req.answered != NULL)
		x->req.answered(x->req.answered_arg);
	count(x);
	access_log(x);
}

static void fail(struct exchange *x, const struct err *err)
{
	log_failure(x, err);
	if (!x->stream.started) {
		x->stream.dropped = 0;
		problem_respond(&x->res, err);
		return;
	}
	if (x->req.accept == MEDIA_NDJSON) {
		strbuf_puts(&x->res.body, "{\"$error\":");
		problem_write(&x->res.body, err, x->req.id);
		strbuf_puts(&x->res.body, "}\n");
	}
}

/* The loop's thread alone writes it: others need whole values, not a locked instruction. */
static void count_running(struct wire_loop *l, int n)
{
	atomic_store_explicit(&l->n_running, atomic_load_explicit(&l->n_running, memory_order_relaxed) + n,
			      memory_order_release);
}

static void run_handler(void *arg)
{
	struct exchange *x = arg;
	struct err err;
	x->req.handler_ns = clock_mono_ns();
	give_way_begin(x, x->req.handler_ns);
	bool ok = (x->upload.coding == CODING_NONE || body_unpack(x, &err)) &&
		  x->req.route->handler(&x->req, &x->res, &err);
	if (ok && (strbuf_failed(&x->res.body)))
		ok = err_set(&err, ERR_INTERNAL_ERROR, "the answer does not fit into memory");
	if (!ok && err.cancelled && !x->gone && wire_draining(x))
		err.code = ERR_SHUTTING_DOWN; /* it was the drain's time that ran out */
	if (!ok)
		fail(x, &err);
	if (x->stream.started)
		stream_end(x, ok);
	else
		packing_whole(x);
	count_running(x->loop, -1);
	x->fiber = NULL;
	finish(x);
	give_way_end(x, x->done_ns);
	if (x->conn == NULL && x->seen)
		wire_free(x);
	else
		wire_resume(x);
}

static void start(struct exchange *x)
{
	struct fiber *parked;
	x->state = EXCHANGE_RUNNING;
	count_running(x->loop, 1);
	if (!fiber_start(run_handler, x, &parked))
		x->fiber = parked;
}

static void refuse(struct exchange *x)
{
	fail(x, &x->err);
	packing_whole(x);
	finish(x);
}

static bool say(struct exchange *x, int fd, struct str text)
{
	const union MHD_ConnectionInfo *info;
	if (x->loop->server->options.tls_priorities == NULL)
		return send(fd, text.p, text.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)text.len;
	info = MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	return info != NULL && info->tls_session != NULL && tls_say_last(info->tls_session, text);
}

static void end(struct exchange *x)
{
	struct MHD_Connection *conn = x->conn;
	bool entered;
	wire_end(x, &entered);
	if (entered)
		linger_entered(conn);
}

/* The library has no answer to give in that state: it is written past it. What the client still sends is read for a
 * while, lest the kernel resets the connection before the answer is read. */
static void say_and_end(void *arg)
{
	struct exchange *x = arg;
	const int fd = wire_socket(x);
	bool said;
	struct strbuf text;
	strbuf_init(&text, 0);
	strbuf_printf(&text,
		      "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nX-Request-Id: %.*s\r\n"
		      "Connection: close\r\nContent-Length: %zu\r\n\r\n%.*s",
		      x->res.status, MHD_get_reason_phrase_for((unsigned)x->res.status), STR_FMT(x->req.id),
		      x->res.body.len, STR_FMT(strbuf_str(&x->res.body)));
	said = fd >= 0 && !strbuf_failed(&text) && say(x, fd, strbuf_str(&text));
	strbuf_done(&text);
	if (said) {
		shutdown(fd, SHUT_WR);
		linger_drop_rest(fd);
	}
	x->suspended = false;
	end(x);
}

/* What comes when the loop's fibers have ended can be carried out by none. */
static void start_or_refuse(struct exchange *x)
{
	if (!x->loop->stopping) {
		start(x);
		return;
	}
	x->refused = true;
	(void)err_set(&x->err, ERR_SHUTTING_DOWN, "the server ends; ask another one");
	x->err.outcome = ERR_OUTCOME_NOT_STARTED;
	refuse(x);
}

/* x is suspended in the library alone. */
static void end_jam(struct exchange *x)
{
	if (x->state == EXCHANGE_READING) {
		err_set(&x->err, ERR_INVALID_REQUEST, "the line before a chunk is longer than can be read");
		refuse(x);
		x->suspended = true;
		loop_spawn(x->loop->loop, say_and_end, x);
		return;
	}
	end(x); /* a handler hears of it when the library does */
}

void exchange_end_jams(struct wire_loop *l)
{
	struct exchange *x = jam_look(l), *next;
	for (; x != NULL; x = next) {
		next = x->chunked_next;
		end_jam(x);
	}
}

/* A chunked body that goes on and on after it was refused: the connection is not worth keeping, its answer worth
 * saying.
 */
static enum MHD_Result end_endless(struct exchange *x)
{
	if (x->state == EXCHANGE_READING)
		refuse(x);
	if (x->state != EXCHANGE_DONE || x->queued || x->stream.started)
		return MHD_NO;
	jam_unwatch(x);
	wire_suspend(x);
	loop_spawn(x->loop->loop, say_and_end, x);
	return MHD_YES;
}

/* First callback: the head is there. Refusals are answered at once when the client waits for leave to send its body or
 * would send more than may be; others wait until the body has gone by, which keeps the connection. */
static enum MHD_Result on_head(struct exchange *x, const char *method, const char *version)
{
	x->seen = true;
	x->refused = !head_check(x, method, version, &x->err);
	if (x->refused && (x->has_body || x->unclear) &&
	    (x->err.code == ERR_PAYLOAD_TOO_LARGE || x->expects_continue || x->unclear)) {
		if (!x->expects_continue)
			linger_on(x->loop, wire_socket(x));
		refuse(x);
		return stream_queue(x);
	}
	if (x->has_body && x->content_length < 0)
		jam_watch(x);
	return MHD_YES;
}

enum MHD_Result exchange_on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
				    const char *version, const char *upload, size_t *upload_size, void **con_cls)
{
	(void)cls;
	(void)url;
	struct exchange *x = *con_cls;
	x->loop->progress = true;
	if (!x->seen) {
		x->conn = conn;
		x->req.method_text = arena_str(&x->req.arena, str_z(method));
		return on_head(x, method, version != NULL ? version : "");
	}
	if (*upload_size > 0) {
		if (body_put(x, upload, *upload_size))
			start_or_refuse(x);
		*upload_size = 0;
		return x->body_seen > x->body_limit + LIMIT_LINGER_BYTES ? end_endless(x) : MHD_YES;
	}
	body_end(x);
	if (x->state == EXCHANGE_READING) {
		if (!x->refused && strbuf_failed(&x->req.body)) {
			x->refused = true;
			err_set(&x->err, ERR_PAYLOAD_TOO_LARGE, "the body does not fit into memory");
		}
		if (x->refused)
			refuse(x);
		else
			start_or_refuse(x);
	}
	if (x->state == EXCHANGE_DONE || x->stream.started)
		return x->queued ? MHD_YES : stream_queue(x);
	wire_suspend(x);
	return MHD_YES;
}
