/* One HTTP request by hand. */
#include "service/healthcheck.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "service/base/num.h"

#include "service/base/banned.h"

#define TIMEOUT_S 3

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

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

static size_t ask(int fd, char *buf, size_t size)
{
	size_t n = 0;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof(request) - 1))
		return 0;
	while (n < size) {
		ssize_t got = recv(fd, buf + n, size - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return n;
}

static size_t ask_tls(int fd, char *buf, size_t size)
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
	    gnutls_handshake(session) == 0 && gnutls_record_send(session, request, sizeof(request) - 1) > 0) {
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

bool healthcheck(struct str listen, bool tls, struct err *err)
{
	struct sockaddr_storage sa;
	socklen_t len;
	char buf[512];
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	if (!target(listen, &sa, &len))
		return err_set(err, ERR_INVALID_REQUEST, "cannot check \"%.*s\": want ADDRESS:PORT with a port",
			       STR_FMT(listen));
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, ERR_INTERNAL_ERROR, "could not make a socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)); /* bounds connect too */
	size_t n = 0;
	if (connect(fd, (const struct sockaddr *)(const void *)&sa, len) == 0)
		n = tls ? ask_tls(fd, buf, sizeof(buf)) : ask(fd, buf, sizeof(buf));
	close(fd);
	static const char good[] = "HTTP/1.1 200 ";
	if (n < sizeof(good) - 1 || memcmp(buf, good, sizeof(good) - 1) != 0)
		return err_set(err, ERR_INTERNAL_ERROR, "no healthy ferrod at %.*s", STR_FMT(listen));
	return true;
}
