/* Life of the server: sockets, daemons, loop threads, drain. */
#include "service/http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "service/base/clock.h"
#include "service/base/log.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/http/exchange.h"
#include "service/http/linger.h"
#include "service/http/tls.h"
#include "service/http/tls_peer.h"

#include "service/base/banned.h"

#define BACKLOG 1024

/* How much of what is malformed the library refuses by itself: as much as it can. */
#if MHD_VERSION >= 0x01000000
#define STRICTNESS MHD_OPTION_CLIENT_DISCIPLINE_LVL, 3
#else
#define STRICTNESS MHD_OPTION_STRICT_FOR_CLIENT, 1
#endif

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

/* ---- sockets ---- */

static bool parse_address(struct str listen, struct address *ret, struct err *err)
{
	char host[64] = "";
	int64_t port = -1;
	const char *colon = listen.len > 0 ? memrchr(listen.p, ':', listen.len) : NULL;
	struct str h = colon != NULL ? str_n(listen.p, (size_t)(colon - listen.p)) : STR("");
	if (h.len >= 2 && h.p[0] == '[' && h.p[h.len - 1] == ']')
		h = str_n(h.p + 1, h.len - 2);
	if (str_eq_z(h, "localhost"))
		h = STR("127.0.0.1");
	if (colon == NULL || h.len >= sizeof(host) ||
	    !num_parse_int(str_n(colon + 1, listen.len - (size_t)(colon + 1 - listen.p)), &port) || port < 0 ||
	    port > 65535)
		return err_set(err, ERR_INVALID_REQUEST, "cannot listen on \"%.*s\": want ADDRESS:PORT",
			       STR_FMT(listen));
	memcpy(host, h.p, h.len);
	memset(ret, 0, sizeof(*ret));
	struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)&ret->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&ret->sa;
	if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		ret->len = sizeof(*in4);
	} else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		ret->len = sizeof(*in6);
	} else {
		return err_set(err, ERR_INVALID_REQUEST, "cannot listen on \"%.*s\": not an IP address",
			       STR_FMT(listen));
	}
	return true;
}

static bool address_is_loopback(const struct address *a)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)&a->sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&a->sa;
	if (a->sa.ss_family == AF_INET)
		return (ntohl(in4->sin_addr.s_addr) >> 24) == 127;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

bool server_address_is_loopback(struct str listen, bool *ret, struct err *err)
{
	struct address a;
	if (!parse_address(listen, &a, err))
		return false;
	*ret = address_is_loopback(&a);
	return true;
}

/* Bound: nobody can connect before it listens. reuse_port false: proves that nobody else listens there (two servers of
 * ours would share a port without noticing). */
static int bind_to(const struct address *a, bool reuse_port)
{
	int one = 1;
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
	    bind(fd, (const struct sockaddr *)(const void *)&a->sa, a->len) != 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static void set_port(struct address *a, int fd)
{
	struct address bound = {.len = sizeof(bound.sa)};
	if (getsockname(fd, (struct sockaddr *)(void *)&bound.sa, &bound.len) == 0)
		*a = bound;
}

static unsigned connections_of_loop(const struct server *s)
{
	const unsigned n = s->options.http_connections / s->n_loops;
	return n > 0 ? n : 1;
}

/* The loops take turns at one inherited socket. */
static bool share_socket(struct server *s, const struct address *a, struct err *err)
{
	s->loopback = address_is_loopback(a);
	s->port = ntohs(((const struct sockaddr_in *)(const void *)&a->sa)->sin_port);
	for (unsigned i = 0; i < s->n_loops; i++) {
		const int fd = fcntl(s->options.listen_fd, F_DUPFD_CLOEXEC, 0);
		listener_init(&s->loops[i].listener, fd, connections_of_loop(s));
		if (fd < 0)
			return err_set(err, ERR_INTERNAL_ERROR, "cannot use the inherited socket: %s", strerror(errno));
	}
	close(s->options.listen_fd);
	return true;
}

static bool cannot_listen(struct str listen, struct err *err)
{
	return err_set(err, ERR_INTERNAL_ERROR, "cannot listen on %.*s: %s%s", STR_FMT(listen), strerror(errno),
		       errno == EADDRINUSE ? "; --listen names another address" : "");
}

/* The address is the machine's, so the answer comes at once. */
static bool somebody_listens(const struct address *a)
{
	const int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const bool listens = fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&a->sa, a->len) == 0;
	if (fd >= 0)
		close(fd);
	return listens;
}

bool server_may_listen(struct str listen, struct err *err)
{
	struct address a;
	if (!parse_address(listen, &a, err))
		return false;
	const int fd = bind_to(&a, false);
	if (fd >= 0) {
		close(fd);
		return true;
	}
	/* a low port that another has for us, who will be given the socket, is refused before it is found taken */
	const int why = errno;
	if (why == EADDRINUSE || (why == EACCES && somebody_listens(&a)))
		return true;
	errno = why;
	return cannot_listen(listen, err);
}

/* *a: its port becomes the real one. */
static bool nobody_listens(const struct server *s, struct address *a, struct err *err)
{
	const int probe = bind_to(a, false);
	if (probe < 0)
		return cannot_listen(s->options.listen, err);
	set_port(a, probe);
	close(probe);
	return true;
}

static bool open_sockets(struct server *s, struct err *err)
{
	struct address a;
	if (!parse_address(s->options.listen, &a, err))
		return false;
	if (s->options.listen_fd > 0)
		return share_socket(s, &a, err);
	if (!nobody_listens(s, &a, err))
		return false;
	s->loopback = address_is_loopback(&a);
	s->port = ntohs(((const struct sockaddr_in *)(const void *)&a.sa)->sin_port); /* same place in both families */
	for (unsigned i = 0; i < s->n_loops; i++) {
		const int fd = bind_to(&a, true);
		listener_init(&s->loops[i].listener, fd, connections_of_loop(s));
		if (fd < 0)
			return cannot_listen(s->options.listen, err);
	}
	return true;
}

/* Another process may have begun to listen since they were bound. */
static bool listen_all(const struct server *s, struct err *err)
{
	struct address a = {.len = sizeof(a.sa)};
	if (s->options.listen_fd > 0)
		return true;
	set_port(&a, s->loops[0].listener.watch.fd);
	if (!nobody_listens(s, &a, err))
		return false;
	for (unsigned i = 0; i < s->n_loops; i++)
		if (listen(s->loops[i].listener.watch.fd, BACKLOG) != 0)
			return cannot_listen(s->options.listen, err);
	return true;
}

/* ---- what each loop drives ---- */

static void run_daemon(void *arg)
{
	struct wire_loop *l = arg;
	MHD_run(l->daemon);
	exchange_end_jams(l);
}

static int64_t daemon_due(void *arg)
{
	struct wire_loop *l = arg;
	MHD_UNSIGNED_LONG_LONG ms;
	int64_t now = clock_mono_ns();
	int64_t due = wire_watch_parked(l, now);
	if (MHD_get_timeout(l->daemon, &ms) == MHD_YES)
		due = ms == 0 ? 0 : clock_min(due, now + (int64_t)(ms < 60000 ? ms : 60000) * CLOCK_NS_PER_MS);
	return due;
}

static void PRINTF_LIKE(2, 0) on_library_log(void *cls, const char *fmt, va_list ap)
{
	(void)cls;
	char text[256];
	vsnprintf(text, sizeof(text), fmt, ap);
	log_msg(LOG_DEBUG, "http_library", "%s", text);
}

/* Its handshake has not begun. */
static void ask_for_certificate(const struct wire_loop *l, struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info;
	if (l->server->options.tls_priorities == NULL)
		return;
	info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (info != NULL && info->tls_session != NULL)
		tls_peer_ask(info->tls_session);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct wire_loop *l = cls;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		linger_closed(l, conn, context);
		listener_closed(&l->listener);
	} else {
		linger_opened(context);
		listener_opened(&l->listener);
		ask_for_certificate(l, conn);
	}
}

static void take_connection(void *arg, int fd, const struct sockaddr *sa, socklen_t len)
{
	struct wire_loop *l = arg;
	(void)MHD_add_connection(l->daemon, fd, sa, len);
	loop_kick(l->loop);
}

static bool start_daemon(struct wire_loop *l, struct err *err)
{
	const struct server_options *o = &l->server->options;
	const bool tls = o->tls_priorities != NULL;
	const struct MHD_OptionItem tls_options[] = {
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)o->tls_priorities},
		{MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)tls_retriever()}, /* NOLINT(performance-no-int-to-ptr) */
		{MHD_OPTION_END, 0, NULL}};
	l->daemon = MHD_start_daemon(
		(tls ? MHD_USE_TLS : 0) | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME |
			MHD_USE_ERROR_LOG,
		0, NULL, NULL, exchange_on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL,
		MHD_OPTION_CONNECTION_LIMIT, l->listener.n_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		wire_bytes(o->header_bytes), MHD_OPTION_CONNECTION_TIMEOUT, o->http_idle_s, MHD_OPTION_URI_LOG_CALLBACK,
		exchange_on_uri, l, MHD_OPTION_UNESCAPE_CALLBACK, exchange_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED,
		exchange_on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, STRICTNESS, MHD_OPTION_ARRAY,
		tls ? tls_options : tls_options + 2, MHD_OPTION_END);
	if (l->daemon == NULL)
		return err_set(err, ERR_INTERNAL_ERROR, "could not start the HTTP daemon");
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct loop_client c = {.fd = info->epoll_fd, .run = run_daemon, .due = daemon_due, .arg = l};
	loop_set_client(l->loop, &c);
	l->listener.loop = l->loop;
	l->listener.take = take_connection;
	l->listener.arg = l;
	l->listener.plain = !tls;
	return true;
}

static void *loop_thread(void *arg)
{
	struct wire_loop *l = arg;
	loop_run(l->loop);
	l->stopping = true;
	MHD_run(l->daemon); /* answers that the last fibers have left */
	MHD_stop_daemon(l->daemon);
	l->daemon = NULL;
	return NULL;
}

/* ---- life ---- */

bool server_create(const struct server_options *o, struct server **ret, struct err *err)
{
	struct server *s = mem_alloc(sizeof(*s));
	s->options = *o;
	s->n_loops = o->n_loops > 0 ? o->n_loops : 1;
	s->loops = mem_array(s->n_loops, sizeof(*s->loops));
	for (unsigned i = 0; i < s->n_loops; i++) {
		s->loops[i].server = s;
		s->loops[i].listener = (struct listener){.watch.fd = -1, .reserve = -1};
	}
	if (!open_sockets(s, err))
		goto fail;
	s->jams = MHD_get_version()[0] == '0';
	s->text_shows = strcmp(MHD_get_version(), "0.9.75") == 0;
	s->options.check_host = o->check_host && s->loopback;
	for (unsigned i = 0; i < s->n_loops; i++)
		if (!loop_create(&s->loops[i].loop, err))
			goto fail;
	*ret = s;
	return true;
fail:
	server_destroy(s);
	return false;
}

bool server_start(struct server *s, struct err *err)
{
	for (unsigned i = 0; i < s->n_loops; i++) {
		struct wire_loop *l = &s->loops[i];
		if (!start_daemon(l, err))
			return false;
		if (pthread_create(&l->thread, NULL, loop_thread, l) != 0)
			return err_set(err, ERR_INTERNAL_ERROR, "could not start a loop thread");
		l->started = true;
	}
	return true;
}

/* Fibers of the loop, whose thread alone may do it. */
static void start_listener(void *arg)
{
	listener_start(arg);
}

static void stop_listener(void *arg)
{
	listener_stop(arg);
}

bool server_listen(struct server *s, struct err *err)
{
	if (!listen_all(s, err))
		return false;
	for (unsigned i = 0; i < s->n_loops; i++)
		loop_spawn(s->loops[i].loop, start_listener, &s->loops[i].listener);
	return true;
}

unsigned server_port(const struct server *s)
{
	return s->port;
}

struct loop *server_loop(struct server *s)
{
	return s->loops[0].loop;
}

bool server_draining(const struct server *s)
{
	return atomic_load(&s->draining);
}

static int running(struct server *s)
{
	int n = 0;
	for (unsigned i = 0; i < s->n_loops; i++)
		n += atomic_load(&s->loops[i].n_running);
	return n;
}

static void pause_ms(long ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
}

static void stop_accepting(struct server *s)
{
	for (unsigned i = 0; i < s->n_loops; i++)
		if (s->loops[i].started)
			loop_spawn(s->loops[i].loop, stop_listener, &s->loops[i].listener);
}

void server_refuse_new(struct server *s)
{
	atomic_store(&s->draining, true);
}

void server_drain(struct server *s, double seconds)
{
	int64_t deadline = clock_deadline(seconds);
	bool inherited = s->options.listen_fd > 0;
	atomic_store(&s->draining, true);
	if (inherited) /* who comes now waits for the next process */
		stop_accepting(s);
	/* A little longer than "nothing runs": answers leave, and pollers of /readyz see the drain. */
	int quiet = 0;
	while (clock_mono_ns() < deadline && quiet < 5) {
		pause_ms(20);
		quiet = running(s) == 0 ? quiet + 1 : 0;
	}
	if (!inherited)
		stop_accepting(s);
	for (unsigned i = 0; i < s->n_loops; i++)
		if (s->loops[i].started)
			loop_cancel_all(s->loops[i].loop);
}

void server_stop(struct server *s)
{
	for (unsigned i = 0; i < s->n_loops; i++)
		if (s->loops[i].started)
			loop_stop(s->loops[i].loop);
	for (unsigned i = 0; i < s->n_loops; i++) {
		if (s->loops[i].started)
			pthread_join(s->loops[i].thread, NULL);
		s->loops[i].started = false;
	}
}

void server_destroy(struct server *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->n_loops; i++) {
		listener_done(&s->loops[i].listener);
		wire_free_spare(&s->loops[i]);
		loop_destroy(s->loops[i].loop);
	}
	mem_free(s->loops);
	mem_free(s);
}

const char *server_library_version(void)
{
	return MHD_get_version();
}
