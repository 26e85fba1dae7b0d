/*
 * The least that an HTTP answer can cost here: one epoll loop per thread, level-triggered, keep-alive, one recv and one
 * send a request, the answer as long as ferrod's to GET /healthz. Knows nothing of HTTP but where a request without a
 * body ends. Prints its port, then serves until it is killed. Usage: floor_epoll THREADS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS_MAX 64
#define EVENTS 128

static const char answer[] =
	"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Request-Id: 0123456789abcdef01234567\r\n"
	"Server-Timing: db;dur=0.000, total;dur=0.010\r\nContent-Type: application/json\r\n"
	"Content-Length: 15\r\n\r\n{\"status\":\"ok\"}";

static int listen_on(unsigned short port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 1024) != 0) {
		perror("floor_epoll");
		exit(1);
	}
	return fd;
}

static void take_client(int ep, int listener)
{
	int one = 1;
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	if (fd < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

static void serve_client(int fd)
{
	char buf[8192];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(fd);
		return;
	}
	if (n >= 4 && memcmp(buf + n - 4, "\r\n\r\n", 4) == 0)
		(void)!send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
}

static void *run(void *arg)
{
	const int listener = *(int *)arg;
	const int ep = epoll_create1(0);
	struct epoll_event events[EVENTS], ev = {.events = EPOLLIN, .data.fd = listener};

	(void)epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
	for (;;) {
		int n = epoll_wait(ep, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				take_client(ep, listener);
			else
				serve_client(events[i].data.fd);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const long n = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int fds[THREADS_MAX];
	pthread_t thread;

	for (long i = 0; i < n && i < THREADS_MAX; i++) {
		fds[i] = listen_on(i == 0 ? 0 : ntohs(a.sin_port));
		if (i == 0)
			(void)getsockname(fds[0], (struct sockaddr *)&a, &len);
		if (pthread_create(&thread, NULL, run, &fds[i]) != 0)
			return 1;
	}
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	pthread_join(thread, NULL);
	return 0;
}
