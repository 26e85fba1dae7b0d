/*
 * The HTTP server: one libmicrohttpd daemon per event loop, each with a listening socket of its own (SO_REUSEPORT).
 * The first step of a request; next: exchange.h.
 */
#ifndef FERROD_SERVICE_SERVER_H
#define FERROD_SERVICE_SERVER_H

#include "service/http/loop.h"
#include "service/http/server_options.h"

struct server;

/* Binds: whoever connects before server_listen is refused, but at an inherited socket, where they wait.
 * ERR_INVALID_REQUEST for an address that cannot be parsed, ERR_INTERNAL_ERROR for one that cannot be bound: the detail
 * is one clear line. options are copied, spans borrowed. */
bool server_create(const struct server_options *o, struct server **ret, struct err *err) MUST_CHECK;

/* Starts a thread per loop: fibers run, connections are not taken yet. */
bool server_start(struct server *s, struct err *err) MUST_CHECK;
/* Takes connections from now on. After server_start, once. ERR_INTERNAL_ERROR: somebody else listens there by now. */
bool server_listen(struct server *s, struct err *err) MUST_CHECK;

/* The port in use (the real one after ":0"). */
unsigned server_port(const struct server *s);

/* The first loop, for housekeeping fibers. */
struct loop *server_loop(struct server *s);

/* Waits at most `seconds` for running requests; those that are left are cancelled. Meanwhile new ones are refused but
 * for the open pages (/readyz) and for what goes on in a session or transaction. An inherited socket is left alone from
 * the start. Any thread but a loop's. */
void server_drain(struct server *s, double seconds);

/* The first step of server_drain: new requests are refused, but for the open pages and what goes on in a session or
 * transaction. Any thread. */
void server_refuse_new(struct server *s);
/* True from then, or from the start of server_drain on. */
bool server_draining(const struct server *s);

/* Stops the loops and joins their threads, closing every client connection. */
void server_stop(struct server *s);
void server_destroy(struct server *s);

/* Whether an address of the `listen` setting is a loopback one. ERR_INVALID_REQUEST when it cannot be parsed. */
bool server_address_is_loopback(struct str listen, bool *ret, struct err *err) MUST_CHECK;

/* Could a server listen there? Somebody who does at the moment is no hindrance, it may be us, or whose socket is given
 * to us. What server_create says. */
bool server_may_listen(struct str listen, struct err *err) MUST_CHECK;

/* "0.9.75"; static. */
const char *server_library_version(void);

#endif
