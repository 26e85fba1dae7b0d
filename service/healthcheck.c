/* One HTTP request by hand: to this server, and to another of the same state. */
#include "service/healthcheck.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

#define TIMEOUT_S 3

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

/* "0.0.0.0:8080" is asked at 127.0.0.1. The settings have been checked: the address is well formed but for its port. */
static bool target(struct str listen, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	char host[64] = "";
	int64_t port = 0;
	const char *colon = listen.len > 0 ? memrchr(listen.p, ':', listen.len) : NULL;
	if (colon == NULL || !num_parse_int(str_n(colon + 1, listen.len - (size_t)(colon + 1 - listen.p)), &port) ||
	    port <= 0 || port > 65535)
		return false;
	struct str h = str_n(listen.p, (size_t)(colon - listen.p));
	if (h.len >= 2 && h.p[0] == '[')
		h = str_n(h.p + 1, h.len - 2);
	if (str_eq_z(h, "localhost") || str_eq_z(h, "0.0.0.0"))
		h = STR("127.0.0.1");
	else if (str_eq_z(h, "::"))
		h = STR("::1");
	if (h.len >= sizeof(host))
		return false;
	memcpy(host, h.p, h.len);
	memset(ret, 0, sizeof(*ret));
	struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ret;
	if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		*ret_len = sizeof(*in4);
		return true;
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	*ret_len = sizeof(*in6);
	return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
}

static size_t ask(int fd, struct str request, char *buf, size_t size)
{
	size_t n = 0;
	if (send(fd, request.p, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
		return 0;
	while (n < size) {
		ssize_t got = recv(fd, buf + n, size - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n;
}

static size_t ask_tls(int fd, struct str request, char *buf, size_t size)
{
	gnutls_session_t session;
	gnutls_certificate_credentials_t credentials;
	size_t n = 0;
	if (gnutls_init(&session, GNUTLS_CLIENT) != 0)
		return 0;
	if (gnutls_certificate_allocate_credentials(&credentials) != 0) {
		gnutls_deinit(session);
		return 0;
	}
	gnutls_transport_set_int(session, fd);
	if (gnutls_set_default_priority(session) == 0 &&
	    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) == 0 &&
	    gnutls_handshake(session) == 0 && gnutls_record_send(session, request.p, request.len) > 0) {
		while (n < size) {
			ssize_t got = gnutls_record_recv(session, buf + n, size - n);
			if (got <= 0)
				break;
			n += (size_t)got;
		}
	}
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(credentials);
	return n;
}

/* Connects within the time, and each wait of the exchange gets as much. 0: no answer. */
static size_t exchange(const struct sockaddr *sa, socklen_t len, bool tls, struct str request, int timeout_ms,
		       char *buf, size_t size)
{
	const struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	size_t n = 0;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)); /* bounds connect too */
	if (connect(fd, sa, len) == 0)
		n = tls ? ask_tls(fd, request, buf, size) : ask(fd, request, buf, size);
	close(fd);
	return n;
}

static bool is_200(const char *buf, size_t n)
{
	static const char good[] = "HTTP/1.1 200 ";
	return n >= sizeof(good) - 1 && memcmp(buf, good, sizeof(good) - 1) == 0;
}

bool healthcheck(struct str listen, bool tls, bool ready, struct err *err)
{
	struct sockaddr_storage sa;
	socklen_t len;
	char buf[512];
	if (!target(listen, &sa, &len))
		return err_set(err, ERR_INVALID_REQUEST, "cannot check \"%.*s\": want ADDRESS:PORT with a port",
			       STR_FMT(listen));
	const size_t n =
		exchange((const struct sockaddr *)(const void *)&sa, len, tls,
			 ready ? STR(GET("/readyz")) : STR(GET("/healthz")), TIMEOUT_S * 1000, buf, sizeof(buf));
	return is_200(buf, n) ||
	       err_set(err, ERR_INTERNAL_ERROR, "no %s ferrod at %.*s", ready ? "ready" : "healthy", STR_FMT(listen));
}

/* ---- another server ---- */

struct asking {
	char host[256], port[8];
	bool tls;
	int timeout_ms;
	char buf[2048];
	size_t n;
};

/* Blocks; on a thread for that. */
static void ask_peer(void *arg)
{
	struct asking *q = arg;
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	if (getaddrinfo(q->host, q->port, &hints, &found) != 0)
		return;
	q->n = exchange(found->ai_addr, found->ai_addrlen, q->tls, STR(GET("/healthz")), q->timeout_ms, q->buf,
			sizeof(q->buf));
	freeaddrinfo(found);
}

/* "http://HOST[:PORT]", "https://..."; a path is none of ours. */
static bool split_url(struct str url, struct asking *ret)
{
	struct str all, rest;
	ret->tls = str_starts(url, STR("https://"));
	if (!ret->tls && !str_starts(url, STR("http://")))
		return false;
	all = str_n(url.p + (ret->tls ? 8 : 7), url.len - (ret->tls ? 8 : 7));
	(void)str_split(&all, '/', &rest);
	const char *bracket = rest.len > 0 && rest.p[0] == '[' ? memchr(rest.p, ']', rest.len) : NULL;
	const size_t from = bracket != NULL ? (size_t)(bracket - rest.p) : 0;
	const char *colon = rest.len > from ? memchr(rest.p + from, ':', rest.len - from) : NULL;
	const size_t host_len = colon != NULL ? (size_t)(colon - rest.p) : rest.len;
	struct str host = str_n(rest.p, host_len);
	if (bracket != NULL)
		host = str_n(rest.p + 1, from - 1);
	const struct str port =
		colon != NULL ? str_n(colon + 1, rest.len - host_len - 1) : (ret->tls ? STR("443") : STR("80"));
	if (host.len == 0 || host.len >= sizeof(ret->host) || port.len == 0 || port.len >= sizeof(ret->port))
		return false;
	memcpy(ret->host, host.p, host.len);
	memcpy(ret->port, port.p, port.len);
	return true;
}

bool peer_url_valid(struct str url)
{
	struct asking q = {0};
	return split_url(url, &q);
}

/* The parameter `instance` of the answer's Ferro-Node. */
static struct str instance_in(const char *buf, size_t n)
{
	static const char header[] = "\r\nFerro-Node: ", param[] = "; instance=\"";
	const char *at = memmem(buf, n, header, sizeof(header) - 1);
	const char *line_end = at != NULL ? memmem(at + 2, n - (size_t)(at + 2 - buf), "\r\n", 2) : NULL;
	if (line_end == NULL)
		return STR_NONE;
	const char *from = memmem(at, (size_t)(line_end - at), param, sizeof(param) - 1);
	if (from == NULL)
		return STR_NONE;
	from += sizeof(param) - 1;
	const char *to = memchr(from, '"', (size_t)(line_end - from));
	return to != NULL ? str_n(from, (size_t)(to - from)) : STR_NONE;
}

bool peer_ask(void *unused, struct str url, int64_t ns, struct arena *a, struct str *ret_instance)
{
	struct asking *q = arena_alloc(a, sizeof(*q));
	(void)unused;
	q->timeout_ms = (int)(ns / 1000000);
	if (!split_url(url, q))
		return false;
	offload(ask_peer, q);
	*ret_instance = instance_in(q->buf, q->n);
	return ret_instance->p != NULL;
}
