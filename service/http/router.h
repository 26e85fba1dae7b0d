/* Matches method and path against one const table (handlers/routes.c). A table borrows its routes, which are static. */
#ifndef FERROD_SERVICE_ROUTER_H
#define FERROD_SERVICE_ROUTER_H

#include "service/http/request.h"

enum scope {
	SCOPE_NONE, /* open without a key */
	SCOPE_ANY,  /* any valid key */
	SCOPE_READ,
	SCOPE_WRITE,
	SCOPE_SCHEMA,
	SCOPE_SQL,
	SCOPE_ADMIN
};

enum body_rule {
	BODY_NONE,     /* read within the limit and ignored */
	BODY_OPTIONAL, /* JSON or nothing */
	BODY_JSON,     /* JSON, required */
	BODY_BULK      /* JSON or NDJSON, bounded by bulk_body_bytes */
};

struct route_def {
	enum http_method method;
	const char *path; /* "/v1/models/{model}/records/{pk}" */
	const char *operation_id;
	handler_fn handler;
	enum scope scope;
	enum body_rule body;
	bool html_too;            /* who accepts text/html alone is answered, too */
	bool works;               /* reads or writes: may open a transaction and end one */
	bool query_reads;         /* open, but with a query it needs the scope read */
	bool rows;                /* also offers application/x-ndjson and text/csv */
	const char *content_type; /* what it offers instead of application/json; NULL: application/json */
};

/* What a request has for a route when it has none of the table's, so that nobody meets a route that is not there:
 * before it is routed and when no path or method fits, and for OPTIONS on a path of the table. They take no body, need
 * no key; handler and path are there like any other's. */
extern const struct route_def router_unrouted, router_options;

#define ROUTES_MAX 256
#define ROUTE_WORD_AT 4    /* behind "/v1/", where most paths begin to differ */
#define ROUTE_DEPTH_MAX 15 /* slashes of a path; deeper ones match nothing */

/* A parameter is a whole segment, so a path only ever matches templates with as many slashes. */
struct route_table {
	const struct route_def *routes;
	size_t n_routes;
	uint16_t by_depth[ROUTES_MAX];      /* indices into routes: by depth, then in the table's order */
	uint16_t from[ROUTE_DEPTH_MAX + 2]; /* of a depth in by_depth, and where the next one starts */
	uint16_t written[ROUTES_MAX]; /* of each in by_depth: the bytes of a path without parameters; 0: it has some */
	struct route_word {
		uint64_t bits, mask;
	} words[ROUTES_MAX]; /* of each in by_depth: eight bytes from ROUTE_WORD_AT on, those before a parameter */
};

/* The table over an array that is borrowed for the process's life; every route has a path of up to ROUTE_DEPTH_MAX
 * slashes, an operation and a handler. */
struct route_table router_table(const struct route_def *routes, size_t n);

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

/* Matches req->path (trailing slash optional) and req->method (HEAD as GET); fills req->route and req->params (decoded;
 * a segment that is not valid percent-encoded UTF-8 without NUL is ROUTE_NO_PATH). ROUTE_NO_METHOD: *ret_allow gets the
 * Allow value, in the arena; to OPTIONS the route is then router_options. */
enum route_match router_match(const struct route_table *t, struct request *req, struct str *ret_allow);

/* "GET" ...; static. */
const char *router_method_name(enum http_method m);

/* Percent-decoding (RFC 3986 section 2.1) into the arena; false when malformed, not UTF-8, or holding a NUL. */
bool router_percent_decode(struct arena *a, struct str in, bool plus_is_space, struct str *ret) MUST_CHECK;

#endif
