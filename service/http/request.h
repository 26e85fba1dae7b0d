/*
 * One HTTP request and its response, as handlers see them. Everything lives in the request's arena and dies with it,
 * after the last byte of the answer has been handed to the network library. Owned by the exchange.
 */
#ifndef FERROD_SERVICE_REQUEST_H
#define FERROD_SERVICE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/json.h"
#include "service/base/limits.h"
#include "service/base/macros.h"
#include "service/base/str.h"
#include "service/base/strbuf.h"

struct route_def;
struct lost_commit;
struct num_sha256;
struct principal;
struct request_once;
struct state_claim;

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };

/* A name and a value; both borrowed from the request's memory. */
struct http_pair {
	struct str name, value;
};

#define REQUEST_PARAMS_MAX 4

/* Preferences that the client stated (RFC 7240); handlers set `applied` bits for those they honour. */
enum prefer_bit {
	PREFER_RETURN_MINIMAL = 1 << 0,
	PREFER_RETURN_REPRESENTATION = 1 << 1,
	PREFER_COUNT_EXACT = 1 << 2,
	PREFER_INT64_STRING = 1 << 3,
	PREFER_TIMEOUT = 1 << 4,
	PREFER_TX_ROLLBACK = 1 << 5,
	PREFER_MAX_AFFECTED = 1 << 6,
	PREFER_ROWS_ARRAYS = 1 << 7,
	PREFER_IDENTITY_OVERRIDE = 1 << 8
};

struct prefer {
	unsigned given, applied; /* prefer_bit sets */
	double timeout_s;
	int64_t max_affected;
};

enum media { MEDIA_JSON, MEDIA_NDJSON, MEDIA_CSV };

struct request {
	struct arena arena;
	void *app;     /* what the composition root gave to the server (struct store) */
	struct str id; /* X-Request-Id */
	enum http_method method;
	struct str method_text;
	struct str path;                           /* as sent, without query; not decoded */
	struct str query;                          /* raw, STR_NONE when absent */
	const struct route_def *route;             /* never NULL: router_unrouted until it is routed */
	struct str params[REQUEST_PARAMS_MAX];     /* {path parameters} in template order, percent-decoded UTF-8 */
	struct str raw_params[REQUEST_PARAMS_MAX]; /* the same as sent */
	size_t n_params;
	struct http_pair *args; /* query arguments in order, decoded */
	size_t n_args;
	struct http_pair *headers;
	size_t n_headers;
	uint64_t header_set; /* request_header_bit of each: most questions are about headers that are not there */
	struct strbuf body;  /* all of it, unless it streams */
	size_t values_max;   /* JSON values that a document of it may hold */
	size_t body_max;     /* bytes of a document that is held whole; its own bound when it streams */
	bool body_streams;   /* BODY_BULK: too large to wait for; read it with request_body_next */
	bool body_read;      /* request_body_next has handed it out */
	struct num_sha256 *body_sum; /* NULL, or gets what request_body_next hands out from now on; borrowed */
	bool holds;                  /* what others may wait for, a lock or the writer: it gives way to nobody */
	int64_t start_ns;            /* monotonic: request line read */
	int64_t handler_ns;          /* monotonic: the handler started; 0: refused before */
	int64_t deadline;            /* monotonic */
	int64_t since_ns; /* monotonic: when it first asked for a database, or was to; 0: not yet. Whatever it tries
			     again, locks of others are waited for from then on */
	const struct principal *principal; /* NULL: no keys are configured */
	bool by_certificate;    /* its client's certificate says whose it is, which a browser presents for any page */
	struct str session_ref; /* for logs: names the session without being good for anything; STR_NONE: none */
	struct request_once
		*once; /* of one whose answer may be kept with its write (handlers/unit/context.h); or NULL */
	const struct state_claim *claim; /* of its Idempotency-Key in the state, under which it tells; NULL: none */
	struct str session_id, tx_id;    /* Ferro-Session, Ferro-Transaction; STR_NONE: not given */
	struct str given;                /* settings, as of handlers/unit/acting.h, when it was looked */
	bool given_before;               /* whether its answer is kept */
	struct str tx_new;  /* Ferro-Transaction, when it asks for a new one ("new", "new;..."): not in tx_id then */
	struct str tx_end;  /* Ferro-Transaction-End; STR_NONE: not given */
	struct str tx_left; /* the open transaction that its work was left in; STR_NONE: none */
	bool tx_undone;     /* its work was rolled back with its transaction */
	bool undone;        /* what a unit of its work has seen has not remained: its failure says nothing */
	bool alone;         /* its units share no transaction with others */
	bool anew;          /* its connection keeps answers with their writes: a refusal is none, the next is judged */
	struct prefer prefer;
	enum media accept;        /* negotiated among what the route offers */
	struct lost_commit *lost; /* NULL, or gets the commit that was lost (handlers/unit/lost_commit.h); borrowed */
	bool no_cache;            /* Cache-Control: no-cache */
	int64_t db_ns, lease_ns;  /* for Server-Timing; handlers add to them */
	/* Called once, when the answer is complete and before its client can have it; NULL: nothing waits for that. One
	 * that ends without an answer is told of by its arena's end. */
	void (*answered)(void *arg);
	void *answered_arg;
};

/* One of 64 bits that a header's name is known by, whatever its case. */
static inline uint64_t request_header_bit(struct str name)
{
	const unsigned first = name.len > 0 ? (unsigned char)name.p[0] | 0x20u : 0;
	return UINT64_C(1) << ((name.len * 5 + first) & 63);
}

struct str request_header_find(const struct request *req, const char *name);
/* First header of that name (case-insensitive), STR_NONE when absent. Borrowed. */
static inline struct str request_header(const struct request *req, const char *name)
{
	if ((req->header_set & request_header_bit(str_z(name))) == 0)
		return STR_NONE;
	return request_header_find(req, name);
}
/* What the client's certificate says of its bearer, of a server that asks for one: see tls_peer.h. n 0: nothing that
 * can be believed. Borrowed until the loop goes on. */
const struct str *request_subjects(const struct request *req, size_t *ret_n);
/* A number that the client's address is known by: the address of IPv4, the network (/64) of IPv6; 0: it has none. */
uint64_t request_address(const struct request *req);
/* All of that name as one list, separated by commas (RFC 9110 section 5.3); in the arena when there are several. */
struct str request_header_join(struct request *req, const char *name);
static inline struct str request_header_list(struct request *req, const char *name)
{
	if ((req->header_set & request_header_bit(str_z(name))) == 0)
		return STR_NONE;
	return request_header_join(req, name);
}
/* First query argument of that name; STR_NONE when absent; an empty value has p != NULL. */
struct str request_arg(const struct request *req, const char *name);
/* true when present as "true" or "1" or empty; absent or "false" or "0": false; else ERR_INVALID_PARAMETERS. */
bool request_arg_bool(const struct request *req, const char *name, bool *ret, struct err *err) MUST_CHECK;
/* Refuses query arguments that are not in the list (NULL-terminated): ERR_INVALID_PARAMETERS. */
bool request_args_known(const struct request *req, const char *const *names, struct err *err) MUST_CHECK;
/* The same for requests that work on a connection: "using" is one of them. */
bool request_args_routed(const struct request *req, const char *const *names, struct err *err) MUST_CHECK;
/* The body as strict JSON. Empty: ERR_INVALID_JSON, or *ret = NULL when `optional`. Owned by the arena. */
bool request_json(struct request *req, bool optional, json_t **ret, struct err *err) MUST_CHECK;
/* The same for a body without values of records: a number that fits nothing is ERR_INVALID_REQUEST there. */
bool request_options(struct request *req, bool optional, json_t **ret, struct err *err) MUST_CHECK;
/* Of a body there may be no more than {}. */
bool request_no_members(struct request *req, struct err *err) MUST_CHECK;

/* The next piece of the body, at least a byte of it, borrowed until the next call; len 0: that was all. Works for a
 * body that is held whole, too. Parks until bytes have come. ERR_PAYLOAD_TOO_LARGE once it has grown past its bound,
 * ERR_STATEMENT_TIMEOUT for a sender that is too slow (see body_wait_seconds); err->cancelled: the client is gone. */
bool request_body_next(struct request *req, struct str *ret, struct err *err) MUST_CHECK;
/* Gathers a body that streams: `read`, its pieces so far, and what follows, into req->body; it does not stream any
 * more. ERR_PAYLOAD_TOO_LARGE past body_max; errors of request_body_next. Parks. */
bool request_body_gather(struct request *req, struct str read, struct err *err) MUST_CHECK;

struct response_stream; /* server.c */

struct response {
	int status;               /* 0: 200 */
	struct strbuf body;       /* written by the handler */
	const char *content_type; /* NULL with an empty body; static or in the request's arena */
	struct http_pair headers[16];
	size_t n_headers;
	struct request *req;
	size_t collect; /* bytes that are held back before the answer starts to stream; 0: LIMIT_RESPONSE_CHUNK */
	struct response_stream *stream; /* NULL until the answer outgrew LIMIT_RESPONSE_CHUNK */
};

/* name: static. value: in the request's arena or static. */
void response_header(struct response *res, const char *name, struct str value);

/* Sets status 200 and application/json; returns the body buffer to write to. */
struct strbuf *response_json(struct response *res, int status);

/* Called between rows of an answer that may be large: while the body is under LIMIT_RESPONSE_CHUNK bytes nothing
 * happens; past it, status and headers are sent and the bytes so far go out, parking until the client has taken them
 * (back-pressure). No status or header may change afterwards. false: the client is gone (err->cancelled) or too slow.
 */
bool response_flush(struct response *res, struct err *err) MUST_CHECK;

/* True once response_flush has sent the head: an error can only end the stream. */
bool response_streaming(const struct response *res);

/* Does the work of one operation. false: *err is answered as a problem document. Runs in a fiber. */
typedef bool (*handler_fn)(struct request *req, struct response *res, struct err *err);

#endif
