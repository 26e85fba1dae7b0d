/* systemd's protocols, by hand. */
#include "service/supervisor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "service/base/num.h"

#include "service/base/banned.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static bool env_number(const char *name, int64_t *ret)
{
	const char *text = getenv(name);
	return text != NULL && num_parse_int(str_z(text), ret);
}

static bool format_address(struct arena *a, const struct sockaddr_storage *sa, struct str *ret)
{
	char host[INET6_ADDRSTRLEN];
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
	if (sa->ss_family == AF_INET && inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host)) != NULL)
		*ret = arena_printf(a, "%s:%u", host, ntohs(in4->sin_port));
	else if (sa->ss_family == AF_INET6 && inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)) != NULL)
		*ret = arena_printf(a, "[%s]:%u", host, ntohs(in6->sin6_port));
	else
		return false;
	return true;
}

bool supervisor_listen_fd(struct arena *a, int *ret_fd, struct str *ret_listen, struct err *err)
{
	int64_t pid, n;
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa), int_len = sizeof(int);
	int listening = 0;
	bool given = env_number("LISTEN_PID", &pid) && pid == getpid() && env_number("LISTEN_FDS", &n) && n > 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	*ret_fd = -1;
	if (!given)
		return true;
	if (n != 1)
		return err_set(err, ERR_INVALID_REQUEST, "one listening socket can be inherited, not %lld",
			       (long long)n);
	if (getsockopt(FIRST_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len) != 0 || listening == 0 ||
	    getsockname(FIRST_FD, (struct sockaddr *)(void *)&sa, &len) != 0 || !format_address(a, &sa, ret_listen))
		return err_set(err, ERR_INVALID_REQUEST, "the inherited socket is not a listening TCP socket");
	int flags = fcntl(FIRST_FD, F_GETFL);
	if (fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) != 0 || flags < 0 || fcntl(FIRST_FD, F_SETFL, flags | O_NONBLOCK) != 0)
		return err_set(err, ERR_INVALID_REQUEST, "the inherited socket cannot be used");
	*ret_fd = FIRST_FD;
	return true;
}

void supervisor_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = path != NULL ? strlen(path) : 0;
	if (n < 2 || n >= sizeof(sa.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@') /* an abstract name */
		sa.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)(const void *)&sa,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

void supervisor_block_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
	pthread_sigmask(SIG_BLOCK, ret, NULL); /* before the first thread: they inherit it */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is an error of the write, not the end of the process */
}

bool supervisor_told_to_end(void)
{
	sigset_t come;
	return sigpending(&come) == 0 && (sigismember(&come, SIGTERM) == 1 || sigismember(&come, SIGINT) == 1);
}
