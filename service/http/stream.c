/* Replies: small ones in one buffer, large ones as a stream whose producer waits until the client has taken each chunk.
 */
#include "service/http/stream.h"

#include "service/base/clock.h"
#include "service/base/num.h"
#include "service/http/give_way.h"
#include "service/http/packing.h"

#include "service/base/banned.h"

#define LIBRARY_HEAD_BYTES 192
#define HEAD_VALUE_BYTES 512 /* of one header */
#define HEAD_TEXT_BYTES 2048 /* of headers that are handed to the library together; more are more times */
#define HEAD_HEADERS_MAX 24

static struct exchange *exchange_of(struct response *res)
{
	return CONTAINER_OF(res, struct exchange, res);
}

/* ---- libmicrohttpd's side ---- */

static ssize_t on_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	(void)pos;
	struct exchange *x = cls;
	struct response_stream *s = &x->stream;
	size_t left = s->chunk.len - s->sent;
	x->loop->progress = true;
	if (left == 0) {
		if (s->ended)
			return s->failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
		s->starved = true;
		wire_suspend(x);
		return 0;
	}
	size_t n = left < max ? left : max;
	memcpy(buf, s->chunk.p + s->sent, n);
	s->sent += n;
	if (s->sent == s->chunk.len && s->drained != NULL)
		event_set(s->drained);
	return (ssize_t)n;
}

/*
 * The head that is being put together; `room` is what the connection's memory still has for it. Each header costs the
 * library three allocations and as many passes over its text, so all of ours travel in the value of the first one, one
 * line behind the other. As it takes no line ends from us, they are blanks until it has its copy.
 */
struct head {
	struct MHD_Response *r;
	size_t room;
	const char *first; /* name of the header whose value the others stand in; static */
	size_t len, n_ends;
	uint16_t ends[HEAD_HEADERS_MAX]; /* where in `text` the lines end */
	char text[HEAD_TEXT_BYTES];
};

static void put(struct head *h, struct str s)
{
	memcpy(h->text + h->len, s.p, s.len);
	h->len += s.len;
}

/* What has gathered goes to the library. */
static void hand_in(struct head *h)
{
	char *own;
	if (h->first == NULL)
		return;
	h->text[h->len] = '\0';
	/* its copy, which is const to us by courtesy alone */
	own = MHD_add_response_header(h->r, h->first, h->text) == MHD_YES
		      ? (char *)(uintptr_t)MHD_get_response_header(h->r, h->first)
		      : NULL;
	for (size_t i = 0; own != NULL && i < h->n_ends; i++)
		memcpy(own + h->ends[i], "\r\n", 2);
	h->first = NULL;
	h->len = h->n_ends = 0;
}

/* A value that is known to be of one line. */
static void add(struct head *h, struct str name, struct str value)
{
	const size_t n = name.len + value.len + 4;
	/* Location of a long key: too long to be of use to anybody; and the library sends nothing when a head does not
	 * fit */
	if (value.len >= HEAD_VALUE_BYTES || n > h->room || value.len == 0)
		return;
	if (h->len + n >= sizeof(h->text) || h->n_ends == HEAD_HEADERS_MAX)
		hand_in(h);
	h->room -= n;
	if (h->first == NULL) {
		h->first = name.p;
	} else {
		h->ends[h->n_ends++] = (uint16_t)h->len;
		put(h, STR("  "));
		put(h, name);
		put(h, STR(": "));
	}
	put(h, value);
}

/* A line's end in a value would make another header of what follows, and a NUL would end all of them. */
static bool is_line(struct str s)
{
	return s.len == 0 || (memchr(s.p, '\n', s.len) == NULL && memchr(s.p, '\r', s.len) == NULL &&
			      memchr(s.p, '\0', s.len) == NULL);
}

static void add_timing(struct head *h, const struct exchange *x)
{
	const struct request *req = &x->req;
	const int64_t now = x->done_ns != 0 ? x->done_ns : clock_mono_ns();
	char text[96] = "db;dur=";
	size_t n = 7;
	n += num_format_ms(req->db_ns, text + n);
	memcpy(text + n, ", total;dur=", 12);
	n += 12;
	n += num_format_ms(now - req->start_ns, text + n);
	add(h, STR("Server-Timing"), str_n(text, n));
}

/* Beside the library's own: status line, Date, Connection, Content-Length or Transfer-Encoding. */
static size_t head_room(const struct exchange *x)
{
	const size_t all = wire_bytes(x->loop->server->options.header_bytes);
	const size_t taken = x->head_bytes + LIBRARY_HEAD_BYTES;
	return taken < all ? all - taken : 0;
}

/* The request's head has left no room for what the library itself puts into ours: it would close the connection without
 * a word. The status at least is said in its stead, as it says it when a head is larger still; under TLS that cannot be
 * done. */
static enum MHD_Result close_with_status(const struct exchange *x)
{
	static const char head[] = "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
				   "Content-Length: 0\r\n\r\n";
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info != NULL && x->loop->server->options.tls_priorities == NULL)
		(void)!send(info->connect_fd, head, sizeof(head) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	return MHD_NO;
}

enum MHD_Result stream_queue(struct exchange *x)
{
	struct response *res = &x->res;
	if (res->status == 431 && head_room(x) == 0)
		return close_with_status(x);
	const uint64_t size = x->stream.started ? MHD_SIZE_UNKNOWN : x->stream.dropped + res->body.len;
	struct MHD_Response *r =
		x->stream.started || x->stream.dropped > 0
			? MHD_create_response_from_callback(size, LIMIT_RESPONSE_CHUNK, on_read, x, NULL)
			: MHD_create_response_from_buffer(res->body.len, res->body.p != NULL ? res->body.p : (char *)"",
							  MHD_RESPMEM_PERSISTENT);
	if (r == NULL)
		return MHD_NO;
	struct head h; /* its text is not cleared */
	h.r = r;
	h.room = head_room(x);
	h.first = NULL;
	h.len = h.n_ends = 0;
	/* an empty answer of a path with a type of its own, say the SQL of no models, is still of that type */
	const bool typed = x->req.route->content_type != NULL && res->status == 200;
	if (res->content_type != NULL && (res->body.len > 0 || x->stream.started || x->stream.dropped > 0 || typed))
		add(&h, STR("Content-Type"), str_z(res->content_type));
	add(&h, STR("X-Request-Id"), x->req.id);
	for (size_t i = 0; i < res->n_headers; i++)
		if (is_line(res->headers[i].value))
			add(&h, res->headers[i].name, res->headers[i].value);
	if (x->loop->server->options.tls_priorities != NULL)
		add(&h, STR("Strict-Transport-Security"), STR("max-age=31536000"));
	if (str_starts(x->req.path, STR("/v1/")))
		add(&h, STR("Cache-Control"), STR("no-store"));
	add_timing(&h, x); /* last: it may be missed when there is no room */
	hand_in(&h);
	if (x->unclear || wire_draining(x))
		(void)MHD_add_response_header(r, "Connection", "close");
	enum MHD_Result ok = MHD_queue_response(x->conn, (unsigned)res->status, r);
	MHD_destroy_response(r);
	x->queued = true;
	return ok;
}

/* ---- the fiber's side ---- */

/* What the handler has written becomes the next chunk, packed where the answer is. */
static void next_chunk(struct exchange *x)
{
	struct response_stream *s = &x->stream;
	const struct strbuf taken = s->chunk;
	if (s->packer != NULL) {
		s->chunk = s->packed;
		s->packed = taken;
		strbuf_reset(&s->packed);
	} else {
		s->chunk = x->res.body;
		x->res.body = taken;
	}
	strbuf_reset(&x->res.body);
	s->bytes += s->chunk.len;
	s->sent = 0;
}

/* Waits until the chunk has been taken; then what the handler has written becomes the next one. */
static bool hand_over(struct exchange *x, enum pack_flush flush, struct err *err)
{
	struct response_stream *s = &x->stream;
	if (s->packer != NULL && !packer_put(s->packer, strbuf_str(&x->res.body), flush, &s->packed))
		return err_set(err, ERR_INTERNAL_ERROR, "no memory to compress the answer");
	if (s->sent < s->chunk.len && !x->gone) {
		struct event drained;
		event_init(&drained);
		s->drained = &drained;
		double seconds = x->loop->server->options.write_timeout_s;
		enum wait_result w = event_wait(&drained, clock_deadline(seconds));
		s->drained = NULL;
		if (w == WAIT_TIMEOUT && x->conn != NULL)
			wire_cut(x);
	}
	if (x->gone || fiber_cancelled()) {
		err_set(err, ERR_INTERNAL_ERROR, "the client went away");
		err->cancelled = true;
		return false;
	}
	next_chunk(x);
	s->starved = false;
	wire_resume(x);
	return true;
}

bool response_flush(struct response *res, struct err *err)
{
	struct exchange *x = exchange_of(res);
	const struct server_options *o = &x->loop->server->options;
	const size_t collect = x->stream.started ? 0 : res->collect;
	if (res->body.len < LIMIT_RESPONSE_CHUNK || res->body.len <= collect)
		return true;
	if (strbuf_failed(&res->body))
		return err_set(err, ERR_INTERNAL_ERROR, "the answer does not fit into memory");
	if (x->req.method == HTTP_HEAD)
		return packing_drop(x, PACK_FLUSH, err);
	if (!x->stream.started) {
		if (res->status == 0)
			res->status = 200;
		if (!packing_begin(x, err))
			return false;
		if (o->before_reply != NULL)
			o->before_reply(o->app, &x->req, res);
		x->stream.started = true;
	}
	if (!hand_over(x, PACK_FLUSH, err))
		return false;
	give_way(x);
	return true;
}

bool response_streaming(const struct response *res)
{
	const struct exchange *x =
		(const struct exchange *)(const void *)((const char *)res - offsetof(struct exchange, res));
	return x->stream.started;
}

void stream_end(struct exchange *x, bool ok)
{
	struct err ignored;
	struct response_stream *s = &x->stream;
	/* one that failed breaks off packed, too */
	if ((x->res.body.len > 0 || s->packer != NULL) && !hand_over(x, ok ? PACK_END : PACK_FLUSH, &ignored))
		ok = false;
	s->ended = true;
	s->failed = !ok;
}
