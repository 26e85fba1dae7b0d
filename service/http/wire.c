/* See wire.h. */
#include "service/http/wire.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* Most parked requests are answered sooner: no system call for those. */
#define WATCH_AFTER_NS (100 * CLOCK_NS_PER_MS)

#define SPARE_BUFFER_BYTES 8192
#ifdef __SANITIZE_ADDRESS__
#define SPARE_EXCHANGES 0 /* so that a use after the end shows */
#else
#define SPARE_EXCHANGES 64
#endif

/* ---- an exchange's memory ---- */

struct exchange *wire_new(struct wire_loop *l)
{
	struct exchange *x = l->spare;
	if (x == NULL) {
		x = mem_alloc(sizeof(*x));
		arena_init(&x->req.arena);
		strbuf_init(&x->req.body, 0);
		strbuf_init(&x->res.body, 0);
	} else {
		l->spare = x->parked_next;
		l->n_spare--;
		struct arena arena = x->req.arena;
		struct strbuf body = x->req.body, answer = x->res.body;
		memset(x, 0, offsetof(struct exchange, err));
		x->req.arena = arena;
		x->req.body = body;
		x->res.body = answer;
	}
	x->loop = l;
	strbuf_init(&x->stream.chunk, 0);
	return x;
}

static void destroy(struct exchange *x)
{
	strbuf_done(&x->req.body);
	strbuf_done(&x->res.body);
	arena_done(&x->req.arena);
	mem_free(x);
}

void wire_free_spare(struct wire_loop *l)
{
	while (l->spare != NULL) {
		struct exchange *x = l->spare;
		l->spare = x->parked_next;
		destroy(x);
	}
}

static void keep_small(struct strbuf *b)
{
	if (b->size > SPARE_BUFFER_BYTES)
		strbuf_done(b);
	else
		strbuf_reset(b);
}

void wire_free(struct exchange *x)
{
	struct wire_loop *l = x->loop;
	strbuf_done(&x->stream.chunk);
	strbuf_done(&x->upload.piece);
	strbuf_done(&x->upload.plain);
	strbuf_done(&x->stream.packed);
	packer_free(x->stream.packer);
	unpacker_free(x->upload.unpacker);
	if (l->n_spare + 1 > SPARE_EXCHANGES) {
		destroy(x);
		return;
	}
	arena_reset(&x->req.arena);
	keep_small(&x->req.body);
	keep_small(&x->res.body);
	x->parked_next = l->spare;
	l->spare = x;
	l->n_spare++;
}

/* ---- suspending ---- */

int wire_socket(const struct exchange *x)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	return info != NULL ? info->connect_fd : -1;
}

static void on_hangup(void *arg)
{
	struct exchange *x = arg;
	x->gone = true;
	if (x->fiber != NULL)
		fiber_cancel(x->fiber);
}

void wire_cut(struct exchange *x)
{
	const int fd = x->conn != NULL ? wire_socket(x) : -1;
	x->gone = true;
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
}

void wire_unpark(struct exchange *x)
{
	struct wire_loop *l = x->loop;
	loop_unwatch(l->loop, &x->watch);
	if (!x->waits_for_watch)
		return;
	x->waits_for_watch = false;
	if (x->parked_prev != NULL)
		x->parked_prev->parked_next = x->parked_next;
	else
		l->parked_head = x->parked_next;
	if (x->parked_next != NULL)
		x->parked_next->parked_prev = x->parked_prev;
	else
		l->parked_tail = x->parked_prev;
}

void wire_park(struct exchange *x)
{
	struct wire_loop *l = x->loop;
	x->parked_ns = clock_mono_ns();
	x->parked_next = NULL;
	x->parked_prev = l->parked_tail;
	if (l->parked_tail != NULL)
		l->parked_tail->parked_next = x;
	else
		l->parked_head = x;
	l->parked_tail = x;
	x->waits_for_watch = true;
}

void wire_suspend(struct exchange *x)
{
	x->suspended = true;
	MHD_suspend_connection(x->conn);
	if (x->state == EXCHANGE_RUNNING)
		wire_park(x);
}

void wire_resume(struct exchange *x)
{
	if (!x->suspended || x->conn == NULL)
		return;
	wire_unpark(x);
	x->suspended = false;
	MHD_resume_connection(x->conn);
	loop_kick(x->loop->loop);
}

int64_t wire_watch_parked(struct wire_loop *l, int64_t now)
{
	while (l->parked_head != NULL && l->parked_head->parked_ns + WATCH_AFTER_NS <= now) {
		struct exchange *x = l->parked_head;
		wire_unpark(x);
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info == NULL)
			continue;
		x->watch = (struct loop_watch){.fd = info->connect_fd, .fn = on_hangup, .arg = x};
		loop_watch(l->loop, &x->watch, EPOLLRDHUP);
	}
	return l->parked_head != NULL ? l->parked_head->parked_ns + WATCH_AFTER_NS : CLOCK_NEVER;
}

/* ---- the end ---- */

/* The library forgets the socket of a suspended connection and takes it up again once it has read all that is there,
 * which it never does here: that the socket is at its end is told to it by an entry in its epoll set as it makes them
 * itself, in every 0.9 there will ever be. */
void wire_end(struct exchange *x, bool *ret_entered)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(x->loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = x->conn};
	const int fd = wire_socket(x);
	wire_cut(x);
	MHD_resume_connection(x->conn);
	*ret_entered = info != NULL && fd >= 0 && epoll_ctl(info->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
	loop_kick(x->loop->loop);
}
