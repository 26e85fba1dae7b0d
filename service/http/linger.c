/* See linger.h. */
#include "service/http/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

struct peer {
	bool answered; /* its last request, and by us */
	bool entered;  /* into the library's epoll set, by us */
	struct linger_kept kept;
};

void linger_drop_rest(int fd)
{
	static _Thread_local char sink[65536];
	const int64_t deadline = clock_mono_ns() + LIMIT_LINGER_NS;
	size_t total = 0;
	while (total < LIMIT_LINGER_BYTES && wait_fd(fd, POLLIN, deadline, NULL) == WAIT_READY) {
		const ssize_t n = recv(fd, sink, sizeof(sink), MSG_DONTWAIT);
		if (n <= 0)
			break;
		total += (size_t)n;
	}
}

struct lingering {
	struct wire_loop *loop;
	int fd;
};

static void linger(void *arg)
{
	struct lingering *g = arg;
	linger_drop_rest(g->fd);
	close(g->fd);
	g->loop->n_lingering--;
	mem_free(g);
}

void linger_on(struct wire_loop *l, int fd)
{
	const int own = fd >= 0 && !l->stopping && l->n_lingering < LIMIT_LINGERS ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (own < 0)
		return;
	struct lingering *g = mem_alloc(sizeof(*g));
	*g = (struct lingering){.loop = l, .fd = own};
	l->n_lingering++;
	loop_spawn(l->loop, linger, g);
}

void linger_opened(void **context)
{
	*context = mem_alloc(sizeof(struct peer));
}

static struct peer *peer_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info != NULL ? info->socket_context : NULL;
}

struct linger_kept *linger_kept(struct MHD_Connection *conn)
{
	struct peer *p = peer_of(conn);
	return p != NULL ? &p->kept : NULL;
}

void linger_answered(struct MHD_Connection *conn, bool by_us)
{
	struct peer *p = peer_of(conn);
	if (p != NULL)
		p->answered = by_us;
}

void linger_entered(struct MHD_Connection *conn)
{
	struct peer *p = peer_of(conn);
	if (p != NULL)
		p->entered = true;
}

static void take_out(struct wire_loop *l, int fd)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info != NULL)
		(void)epoll_ctl(info->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Is there a client that may not have got all of its answer? */
static bool may_lose(int fd, const struct peer *p)
{
	char byte;
	const ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && !p->answered);
}

void linger_closed(struct wire_loop *l, struct MHD_Connection *conn, void **context)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct peer *p = *context;
	*context = NULL;
	if (p != NULL && p->entered && info != NULL && info->connect_fd >= 0)
		take_out(l, info->connect_fd);
	if (p != NULL && info != NULL && info->connect_fd >= 0 && may_lose(info->connect_fd, p)) {
		(void)shutdown(info->connect_fd, SHUT_WR);
		linger_on(l, info->connect_fd);
	}
	if (p != NULL && p->kept.drop != NULL)
		p->kept.drop(p->kept.p);
	mem_free(p);
}
