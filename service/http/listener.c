/* See listener.h. */
#include "service/http/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/log.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

#define ACCEPTS_A_TURN 64
#define REFUSAL_NS (200 * CLOCK_NS_PER_MS) /* for the client's request to come and be dropped */
#define REFUSALS_A_TURN 16
#define PAUSE_NS (100 * CLOCK_NS_PER_MS) /* without memory, or without even the reserve */
#define LOG_EVERY_NS (10 * CLOCK_NS_PER_S)

void listener_init(struct listener *n, int fd, unsigned n_max)
{
	*n = (struct listener){.watch.fd = fd, .n_max = n_max};
	n->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void watch(struct listener *n)
{
	if (n->watch.fd >= 0 && !n->watch.active)
		loop_watch(n->loop, &n->watch, EPOLLIN);
}

/* ---- without descriptors ---- */

static void log_exhausted(int error)
{
	static _Thread_local int64_t logged_ns;
	const int64_t now = clock_mono_ns();
	if (logged_ns != 0 && now - logged_ns < LOG_EVERY_NS)
		return;
	logged_ns = now;
	log_msg(LOG_WARN, "descriptors_exhausted",
		"%s: no file descriptor is left, connections are answered 503 (raise the limit: ulimit -n, "
		"LimitNOFILE)",
		error == EMFILE ? "EMFILE" : "ENFILE");
}

/* The whole of a conversation with one who came too late. */
static void refuse(struct listener *n, int fd)
{
	static const char body[] = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
				   "\"detail\":\"the server has no file descriptor left; try again\"}";
	static const char head[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
				   "Retry-After: 1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s";
	char answer[sizeof(head) + sizeof(body) + 20];
	char sink[4096];
	const int len = snprintf(answer, sizeof(answer), head, sizeof(body) - 1, body);
	if (n->plain && send(fd, answer, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
		shutdown(fd, SHUT_WR);
		const int64_t deadline = clock_mono_ns() + REFUSAL_NS;
		while (wait_fd(fd, POLLIN, deadline, NULL) == WAIT_READY &&
		       recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
	}
	close(fd);
}

/* A fiber: the loop goes on, accepting waits. */
static void refuse_some(void *arg)
{
	struct listener *n = arg;
	for (int i = 0; i < REFUSALS_A_TURN && n->watch.fd >= 0; i++) {
		if (n->reserve >= 0)
			close(n->reserve);
		n->reserve = -1;
		const int fd = accept4(n->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			refuse(n, fd);
		n->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || n->reserve < 0)
			break;
	}
	if (n->reserve < 0)
		(void)wait_until(clock_mono_ns() + PAUSE_NS);
	watch(n);
}

static void pause_accepting(void *arg)
{
	(void)wait_until(clock_mono_ns() + PAUSE_NS);
	watch(arg);
}

/* ---- accepting ---- */

static void on_waiting(void *arg)
{
	struct listener *n = arg;
	const unsigned before = n->n_open; /* the library may count those of this turn later */
	loop_unwatch(n->loop, &n->watch);
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		if (before + (unsigned)i >= n->n_max || n->n_open >= n->n_max) {
			n->full = true;
			return;
		}
		const int fd = accept4(n->watch.fd, (struct sockaddr *)(void *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			n->take(n->arg, fd, (const struct sockaddr *)(const void *)&sa, len);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE) {
			log_exhausted(errno);
			loop_spawn(n->loop, refuse_some, n);
			return;
		}
		if (errno == ENOBUFS || errno == ENOMEM) {
			loop_spawn(n->loop, pause_accepting, n);
			return;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
	}
	watch(n);
}

void listener_start(struct listener *n)
{
	n->watch.fn = on_waiting;
	n->watch.arg = n;
	watch(n);
}

void listener_stop(struct listener *n)
{
	if (n->watch.fd < 0)
		return;
	loop_unwatch(n->loop, &n->watch);
	close(n->watch.fd);
	n->watch.fd = -1;
}

void listener_done(struct listener *n)
{
	if (n->watch.fd >= 0)
		close(n->watch.fd);
	if (n->reserve >= 0)
		close(n->reserve);
	n->watch.fd = n->reserve = -1;
}

void listener_opened(struct listener *n)
{
	n->n_open++;
}

void listener_closed(struct listener *n)
{
	n->n_open--;
	if (!n->full)
		return;
	n->full = false;
	watch(n);
}
