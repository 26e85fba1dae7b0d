/*
 * Connections on which the library waits for bytes that its buffer cannot hold: a chunk's line beyond it. It neither
 * reads nor refuses then (before 1.0), but asks to be run at once again and again, until the idle time is over, whether
 * the client is still there or not. A loop that is run in haste for nothing suspends all whose chunks come in; if that
 * ends the haste, it goes on with them one by one, and whoever brings the haste back is answered 400 and closed.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "service/base/clock.h"
#include "service/base/wait.h"
#include "service/http/server_impl.h"

#include "service/base/banned.h"

#define RUNS_FOR_NOTHING 32 /* in haste, without a callback; such a run takes a microsecond or two */
#define RUNS_OF_PROBE 2     /* one goes on with the connection, one finds nothing more to do for it */
#define LOOK_EVERY_NS (100 * CLOCK_NS_PER_MS)

/* ---- who may be the cause: whose chunks come in ---- */

void server_jam_watch(struct exchange *x)
{
	struct server_loop *l = x->loop;
	x->chunked_next = l->chunked;
	x->chunked_prev = NULL;
	if (l->chunked != NULL)
		l->chunked->chunked_prev = x;
	l->chunked = x;
	x->reads_chunks = true;
}

void server_jam_unwatch(struct exchange *x)
{
	if (!x->reads_chunks)
		return;
	x->reads_chunks = false;
	if (x->loop->probed == x)
		x->loop->probed = NULL;
	if (x->chunked_prev != NULL)
		x->chunked_prev->chunked_next = x->chunked_next;
	else
		x->loop->chunked = x->chunked_next;
	if (x->chunked_next != NULL)
		x->chunked_next->chunked_prev = x->chunked_prev;
}

/* ---- the end of one ---- */

static int socket_of(const struct exchange *x)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	return info != NULL ? info->connect_fd : -1;
}

/* The library forgets the socket of a suspended connection and takes it up again once it has read all that is there,
 * which it never does here: that the socket is at its end is told to it by an entry in its epoll set as it makes them
 * itself, in every 0.9 there will ever be. */
static void let_go(struct exchange *x)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(x->loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = x->conn};
	const int fd = socket_of(x);
	server_cut(x);
	MHD_resume_connection(x->conn);
	if (info != NULL && fd >= 0)
		(void)epoll_ctl(info->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	loop_kick(x->loop->loop);
}

/* The library has no answer to give in that state: it is written past it, where there is no TLS between. What the
 * client still sends is read for a while, lest the kernel resets the connection before the answer is read. */
static void say_and_end(void *arg)
{
	struct exchange *x = arg;
	const int fd = socket_of(x);
	bool said;
	struct strbuf text;
	strbuf_init(&text, 0);
	strbuf_printf(&text,
		      "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nX-Request-Id: %.*s\r\n"
		      "Connection: close\r\nContent-Length: %zu\r\n\r\n%.*s",
		      STR_FMT(x->req.id), x->res.body.len, STR_FMT(strbuf_str(&x->res.body)));
	said = fd >= 0 && x->loop->server->options.tls_priorities == NULL &&
	       send(fd, text.p, text.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)text.len;
	strbuf_done(&text);
	if (said) {
		shutdown(fd, SHUT_WR);
		server_drop_rest(fd);
	}
	x->suspended = false;
	let_go(x);
}

/* x is suspended in the library alone. */
static void end_jam(struct exchange *x)
{
	if (x->state == EXCHANGE_READING) {
		err_set(&x->err, ERR_INVALID_REQUEST, "the line before a chunk is longer than can be read");
		server_refuse(x);
		x->suspended = true;
		loop_spawn(x->loop->loop, say_and_end, x);
		return;
	}
	let_go(x); /* a handler hears of it when the library does */
}

/* ---- looking for it ---- */

static bool in_haste(const struct server_loop *l)
{
	MHD_UNSIGNED_LONG_LONG ms;
	return MHD_get_timeout(l->daemon, &ms) == MHD_YES && ms == 0;
}

/* Takes those that the library itself does not have suspended out of the list, suspended now. */
static struct exchange *suspend_suspects(struct server_loop *l)
{
	struct exchange *suspects = NULL, *next;
	for (struct exchange *x = l->chunked; x != NULL; x = next) {
		next = x->chunked_next;
		if (x->suspended)
			continue;
		server_jam_unwatch(x);
		MHD_suspend_connection(x->conn); /* no callback of it from here on: it stays */
		x->chunked_next = suspects;
		suspects = x;
	}
	return suspects;
}

/* Whether the library is in haste again once it goes on with x, which may be gone after it. */
static bool hastens(struct server_loop *l, struct exchange *x)
{
	server_jam_watch(x);
	l->probed = x;
	MHD_resume_connection(x->conn);
	for (int i = 0; i < RUNS_OF_PROBE; i++)
		MHD_run(l->daemon);
	const bool there = l->probed == x && !x->suspended;
	l->probed = NULL;
	return there && in_haste(l);
}

static void find_causes(struct server_loop *l)
{
	struct exchange *suspects = suspend_suspects(l);
	MHD_run(l->daemon); /* the haste of the last run is over with the next one only */
	const bool among_them = !in_haste(l);
	while (suspects != NULL) {
		struct exchange *x = suspects;
		suspects = x->chunked_next;
		if (among_them && hastens(l, x)) {
			server_jam_unwatch(x);
			MHD_suspend_connection(x->conn);
			end_jam(x);
		} else if (!among_them) {
			server_jam_watch(x);
			MHD_resume_connection(x->conn);
		}
	}
	loop_kick(l->loop);
}

void server_jam_look(struct server_loop *l)
{
	if (l->progress || l->chunked == NULL || !l->server->jams || !in_haste(l)) {
		l->progress = false;
		l->n_for_nothing = 0;
		return;
	}
	if (++l->n_for_nothing < RUNS_FOR_NOTHING)
		return;
	const int64_t now = clock_mono_ns();
	if (now < l->next_look_ns)
		return;
	l->next_look_ns = now + LOOK_EVERY_NS;
	l->n_for_nothing = 0;
	find_causes(l);
}
