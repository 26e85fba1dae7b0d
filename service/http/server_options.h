/* What the composition root tells the HTTP server. Spans and pointers are borrowed for the server's life. */
#ifndef FERROD_SERVICE_SERVER_OPTIONS_H
#define FERROD_SERVICE_SERVER_OPTIONS_H

#include "service/http/compression.h"
#include "service/http/request.h"
#include "service/http/router.h"

struct server_options {
	int listen_fd;     /* inherited listening socket, used in place of `listen`; 0: none */
	struct str listen; /* "127.0.0.1:8080", "[::1]:0", "0.0.0.0:80" */
	unsigned n_loops;
	size_t body_bytes, bulk_body_bytes, uri_bytes, header_bytes;
	size_t json_values;        /* of one document */
	unsigned long_percent;     /* service/http/give_way.h; 0, too: no bound */
	unsigned http_connections; /* over all loops */
	unsigned http_idle_s;
	double request_timeout_s; /* a request's deadline */
	double body_wait_s;       /* a bulk body that comes too slowly: service/http/body.c */
	double write_timeout_s;   /* a client that takes nothing of a stream for so long loses it */
	enum compression compression;
	bool access_log;
	bool check_host;            /* loopback without keys: Host and Origin must be loopback (DNS rebinding, CSRF) */
	struct str cors_origins;    /* service/auth/cors.h; empty: no cross-origin requests */
	const char *tls_priorities; /* service/http/tls.h, whose credentials are loaded; NULL: plain HTTP */
	struct route_table routes;
	void *app; /* becomes request->app */
	/* Credential -> principal; NULL: no keys. false: ERR_UNAUTHENTICATED. Called before the body is read; never
	 * parks. */
	bool (*authenticate)(void *app, struct request *req, struct err *err);
	/* Called when the handler is done (also for refusals), before the head is sent: adds headers. May be NULL. */
	void (*before_reply)(void *app, struct request *req, struct response *res);
};

#endif
