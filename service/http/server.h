/*
 * The HTTP server: one libmicrohttpd daemon per event loop, each with a listening socket of its own (SO_REUSEPORT).
 * Turns its callbacks into struct request, runs the handler in a fiber, and answers. Only server*.c include
 * <microhttpd.h>.
 */
#ifndef FERROD_SERVICE_SERVER_H
#define FERROD_SERVICE_SERVER_H

#include "service/http/loop.h"
#include "service/http/request.h"
#include "service/http/router.h"

struct server_options {
	int listen_fd;     /* inherited listening socket, used in place of `listen`; 0: none */
	struct str listen; /* "127.0.0.1:8080", "[::1]:0", "0.0.0.0:80" */
	unsigned n_loops;
	size_t body_bytes, bulk_body_bytes, uri_bytes, header_bytes;
	size_t json_values;        /* of one document */
	unsigned http_connections; /* over all loops */
	unsigned http_idle_s;
	double request_timeout_s; /* a request's deadline */
	double body_wait_s;       /* a bulk body that comes too slowly: service/http/server_body.c */
	double write_timeout_s;   /* a client that takes nothing of a stream for so long loses it */
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

struct server;

/* Binds and listens (nothing is served before server_start). ERR_INVALID_REQUEST for an address that cannot be parsed,
 * ERR_INTERNAL_ERROR for one that cannot be bound: the detail is one clear line. options are copied, spans borrowed. */
bool server_create(const struct server_options *o, struct server **ret, struct err *err) MUST_CHECK;

/* Starts a thread per loop. */
bool server_start(struct server *s, struct err *err) MUST_CHECK;

/* The port in use (the real one after ":0"). */
unsigned server_port(const struct server *s);

/* The first loop, for housekeeping fibers. */
struct loop *server_loop(struct server *s);

/* Waits at most `seconds` for running requests; those that are left are cancelled. Meanwhile new ones are refused but
 * for the open pages (/readyz) and for what goes on in a session or transaction. An inherited socket is left alone from
 * the start. Any thread but a loop's. */
void server_drain(struct server *s, double seconds);

/* True from the start of server_drain. */
bool server_draining(const struct server *s);

/* Stops the loops and joins their threads, closing every client connection. */
void server_stop(struct server *s);
void server_destroy(struct server *s);

/* Whether an address of the `listen` setting is a loopback one. ERR_INVALID_REQUEST when it cannot be parsed. */
bool server_address_is_loopback(struct str listen, bool *ret, struct err *err) MUST_CHECK;

/* "0.9.75"; static. */
const char *server_library_version(void);

#endif
