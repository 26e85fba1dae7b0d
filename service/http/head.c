/*
 * The head of a request: headers, query arguments, preferences, negotiation, and every refusal that needs no body, in
 * the contract's order.
 */
#include "service/http/head.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

#include "service/auth/auth.h"
#include "service/base/clock.h"
#include "service/base/fault.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "service/auth/cors.h"
#include "service/http/head_shape.h"
#include "service/http/linger.h"
#include "service/http/tls_peer.h"

#include "service/base/banned.h"

/* ---- collecting ---- */

struct collect {
	struct request *req;
	size_t size, bytes;
};

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
	(void)kind;
	struct collect *c = arg;
	struct request *req = c->req;
	if (req->n_headers == c->size) {
		size_t size = c->size > 0 ? c->size * 2 : 16;
		struct http_pair *grown = arena_array(&req->arena, size, sizeof(*grown));
		if (req->n_headers > 0)
			memcpy(grown, req->headers, req->n_headers * sizeof(*grown));
		req->headers = grown;
		c->size = size;
	}
	struct http_pair *p = &req->headers[req->n_headers++];
	*p = (struct http_pair){str_z(key), str_z(value != NULL ? value : "")};
	req->header_set |= request_header_bit(p->name);
	c->bytes += p->name.len + p->value.len + 4;
	return MHD_YES;
}

static bool request_id_valid(struct str s)
{
	if (s.len == 0 || s.len > LIMIT_REQUEST_ID)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return true;
}

static struct str request_id(struct request *req)
{
	static _Thread_local uint64_t counter;
	static _Thread_local uint8_t base[12];
	struct str sent = request_header(req, "X-Request-Id");
	if (request_id_valid(sent))
		return sent;
	if (counter++ % UINT32_MAX == 0)
		num_random(base, sizeof(base) - 4);
	const uint32_t low = htonl((uint32_t)(counter % UINT32_MAX));
	char *id = arena_alloc(&req->arena, 2 * sizeof(base) + 1);
	memcpy(base + sizeof(base) - 4, &low, 4);
	num_hex(base, sizeof(base), id);
	return str_n(id, 2 * sizeof(base));
}

static bool parse_args(struct request *req, struct err *err)
{
	struct str rest = req->query;
	size_t n = 0;
	for (size_t i = 0; i < rest.len; i++)
		n += rest.p[i] == '&';
	if (rest.len == 0)
		return true;
	if (n >= LIMIT_QUERY_ARGS)
		return err_set(err, ERR_INVALID_PARAMETERS, "more than %d query arguments", LIMIT_QUERY_ARGS);
	req->args = arena_array(&req->arena, n + 1, sizeof(*req->args));
	struct str pair;
	while (str_split(&rest, '&', &pair)) {
		if (pair.len == 0)
			continue;
		struct str name;
		(void)str_split(&pair, '=', &name);
		struct http_pair *p = &req->args[req->n_args];
		if (!router_percent_decode(&req->arena, name, true, &p->name) ||
		    !router_percent_decode(&req->arena, pair.p != NULL ? pair : STR(""), true, &p->value))
			return err_set(err, ERR_INVALID_PARAMETERS,
				       "query argument %zu is not valid percent-encoded UTF-8", req->n_args + 1);
		if (str_eq_z(p->name, "using") && request_arg(req, "using").p != NULL)
			return err_set(err, ERR_INVALID_PARAMETERS,
				       "the query argument \"using\" is there more than once");
		req->n_args++;
	}
	return true;
}

/* ---- preferences (RFC 7240): unknown or malformed ones are ignored, but for those that guard ---- */

static bool parse_preference(struct prefer *p, struct str token, struct err *err)
{
	struct str name, value = token;
	int64_t n;
	double seconds;
	(void)str_split(&value, '=', &name);
	name = str_trim(name);
	value = str_trim(value.p != NULL ? value : STR(""));
	if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
		value = str_n(value.p + 1, value.len - 2);
	if (str_ieq_z(name, "return") && str_eq_z(value, "minimal") && (p->given & PREFER_RETURN_REPRESENTATION) == 0)
		p->given |= PREFER_RETURN_MINIMAL;
	else if (str_ieq_z(name, "return") && str_eq_z(value, "representation") &&
		 (p->given & PREFER_RETURN_MINIMAL) == 0)
		p->given |= PREFER_RETURN_REPRESENTATION;
	else if (str_ieq_z(name, "count") && str_eq_z(value, "exact"))
		p->given |= PREFER_COUNT_EXACT;
	else if (str_ieq_z(name, "int64") && str_eq_z(value, "string"))
		p->given |= PREFER_INT64_STRING;
	else if (str_ieq_z(name, "rows") && str_eq_z(value, "arrays"))
		p->given |= PREFER_ROWS_ARRAYS;
	else if (str_ieq_z(name, "identity") && str_eq_z(value, "override"))
		p->given |= PREFER_IDENTITY_OVERRIDE;
	else if (str_ieq_z(name, "tx")) {
		if (str_eq_z(value, "rollback"))
			p->given |= PREFER_TX_ROLLBACK;
		else if (!str_eq_z(value, "commit"))
			return err_set(err, ERR_INVALID_PARAMETERS, "Prefer: tx takes \"rollback\", or \"commit\"");
	} else if (str_ieq_z(name, "timeout")) {
		if (!num_parse_double(value, &seconds) || !(seconds > 0 && seconds < 1e9))
			return err_set(err, ERR_INVALID_PARAMETERS, "Prefer: timeout takes seconds, more than 0");
		p->given |= PREFER_TIMEOUT;
		p->timeout_s = seconds;
	} else if (str_ieq_z(name, "max-affected")) {
		if (!num_parse_int(value, &n) || n < 0)
			return err_set(err, ERR_INVALID_PARAMETERS,
				       "Prefer: max-affected takes a whole number that is not negative");
		if ((p->given & PREFER_MAX_AFFECTED) == 0 || n < p->max_affected)
			p->max_affected = n;
		p->given |= PREFER_MAX_AFFECTED;
	}
	return true;
}

static bool parse_prefer(struct request *req, struct err *err)
{
	if ((req->header_set & request_header_bit(STR("Prefer"))) == 0)
		return true;
	for (size_t i = 0; i < req->n_headers; i++) {
		if (!str_ieq_z(req->headers[i].name, "Prefer"))
			continue;
		struct str rest = req->headers[i].value, item;
		while (str_split(&rest, ',', &item)) {
			struct str token;
			(void)str_split(&item, ';', &token);
			if (!parse_preference(&req->prefer, token, err))
				return false;
		}
	}
	return true;
}

/* ---- negotiation (RFC 9110 section 12.5.1) ---- */

/* Quality that an Accept value gives to a media type, in thousandths; the most specific range wins. */
static int quality(struct str accept, const char *type)
{
	int best = 0, best_rank = -1;
	struct str item, major = str_z(type);
	(void)str_split(&major, '/', &item);
	struct str want_major = item;
	while (str_split(&accept, ',', &item)) {
		struct str range, param;
		int q = 1000, rank;
		(void)str_split(&item, ';', &range);
		range = str_trim(range);
		while (str_split(&item, ';', &param)) {
			double v;
			param = str_trim(param);
			if (param.len > 2 && (param.p[0] == 'q' || param.p[0] == 'Q') && param.p[1] == '=' &&
			    num_parse_double(str_n(param.p + 2, param.len - 2), &v) && v >= 0 && v <= 1)
				q = (int)(v * 1000);
		}
		if (str_ieq_z(range, type))
			rank = 2;
		else if (range.len == want_major.len + 2 && strncasecmp(range.p, want_major.p, want_major.len) == 0 &&
			 str_ends(range, STR("/*")))
			rank = 1;
		else if (str_eq_z(range, "*/*"))
			rank = 0;
		else
			continue;
		if (rank > best_rank || (rank == best_rank && q > best)) {
			best = q;
			best_rank = rank;
		}
	}
	return best;
}

static bool negotiate(struct request *req, struct err *err)
{
	static const char *const types[] = {"application/json", "application/x-ndjson", "text/csv"};
	struct str accept = request_header_list(req, "Accept");
	if (str_trim(accept).len == 0 || (req->route->html_too && quality(accept, "text/html") > 0))
		return true;
	if (req->route->content_type != NULL) {
		struct str offered = str_z(req->route->content_type), type;
		(void)str_split(&offered, ';', &type);
		if (quality(accept, arena_strz(&req->arena, type)) > 0)
			return true;
		return err_set(err, ERR_NOT_ACCEPTABLE, "this path offers %s", req->route->content_type);
	}
	int best = 0;
	for (int m = MEDIA_JSON; m <= (req->route->rows ? MEDIA_CSV : MEDIA_JSON); m++) {
		int q = quality(accept, types[m]);
		if (q > best) {
			best = q;
			req->accept = (enum media)m;
		}
	}
	if (best > 0)
		return true;
	/* Generated clients name nothing but problems where the good answer has no body (204). */
	if (memmem(accept.p, accept.len, "application/problem+json", 24) != NULL &&
	    quality(accept, "application/problem+json") > 0)
		return true;
	return err_set(err, ERR_NOT_ACCEPTABLE, "this path offers application/json%s",
		       req->route->rows ? ", application/x-ndjson and text/csv" : "");
}

static bool content_type_ok(const struct request *req, struct err *err)
{
	struct str value = request_header(req, "Content-Type"), type;
	if (req->route->body == BODY_NONE)
		return true;
	struct str rest = value;
	if (!str_split(&rest, ';', &type))
		type = STR("");
	type = str_trim(type);
	if (str_ieq_z(type, "application/json"))
		return true;
	if (req->route->body == BODY_BULK && str_ieq_z(type, "application/x-ndjson"))
		return true;
	return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE, "send the body as Content-Type: application/json%s",
		       req->route->body == BODY_BULK ? " or application/x-ndjson" : "");
}

/* Read as a stream by the handler's side (body.c). */
static bool content_coding_ok(struct exchange *x, struct err *err)
{
	const struct str value = request_header_list(&x->req, "Content-Encoding");
	if (value.p == NULL || x->req.route->body == BODY_NONE || coding_named(str_trim(value), &x->upload.coding))
		return true;
	response_header(&x->res, "Accept-Encoding", STR(CODINGS_READ));
	return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE, "send the body as it is, or with one Content-Encoding of %s",
		       CODINGS_READ);
}

/* ---- keyless loopback servers: a browser page elsewhere must not drive them ---- */

static bool host_is_loopback(struct str host)
{
	struct str name = host;
	if (name.len > 0 && name.p[0] == '[') {
		const char *end = memchr(name.p, ']', name.len);
		name.len = end != NULL ? (size_t)(end - name.p) + 1 : name.len;
		return str_eq_z(name, "[::1]") && (name.len == host.len || host.p[name.len] == ':');
	}
	(void)str_split(&host, ':', &name);
	return str_ieq_z(name, "localhost") ||
	       (str_starts(name, STR("127.")) && name.len < 16 && strspn(name.p, "0123456789.") >= name.len);
}

/* Whether the page comes from this very server, as its own scheme, host and port have it. */
static bool same_origin(struct str origin, struct str host, bool tls)
{
	const struct str scheme = tls ? STR("https://") : STR("http://");
	const struct str port = tls ? STR(":443") : STR(":80");
	if (!str_starts(origin, scheme))
		return false;
	origin = str_n(origin.p + scheme.len, origin.len - scheme.len);
	if (str_ends(origin, port))
		origin.len -= port.len;
	if (str_ends(host, port))
		host.len -= port.len;
	return str_ieq(origin, host);
}

static bool check_loopback(const struct request *req, struct err *err)
{
	const struct str host = request_header(req, "Host");
	const bool probe = host.p == NULL && req->route->scope == SCOPE_NONE; /* HTTP/1.0, which no page speaks */
	return probe || host_is_loopback(host) ||
	       err_set(err, ERR_FORBIDDEN, "without API keys this server answers to loopback host names only");
}

/* What a browser says of where a request comes from, others do not say at all. */
static bool check_origin(const struct exchange *x, struct err *err)
{
	const struct request *req = &x->req;
	const struct server_options *o = &x->loop->server->options;
	const struct str host = request_header(req, "Host"), origin = request_header(req, "Origin");
	const struct str site = request_header(req, "Sec-Fetch-Site");
	if (origin.p != NULL && cors_listed(o->cors_origins, origin, false))
		return true;
	const bool foreign = site.p != NULL && !str_eq_z(site, "same-origin") && !str_eq_z(site, "none");
	if ((origin.p != NULL && !same_origin(origin, host, o->tls_priorities != NULL)) ||
	    (foreign && req->method != HTTP_GET))
		return err_set(err, ERR_FORBIDDEN, "pages of another origin may not use this server");
	return true;
}

const struct str *request_subjects(const struct request *req, size_t *ret_n)
{
	const struct exchange *x = CONTAINER_OF(req, const struct exchange, req);
	*ret_n = 0;
	if (x->conn == NULL || x->loop->server->options.tls_priorities == NULL)
		return NULL;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	void *session = info != NULL ? info->tls_session : NULL;
	struct linger_kept *kept = linger_kept(x->conn);
	if (session == NULL || kept == NULL)
		return NULL;
	struct tls_peer *known = kept->p;
	const struct str *subjects = tls_peer_subjects(&known, session, ret_n);
	*kept = (struct linger_kept){.p = known, .drop = tls_peer_drop};
	return subjects;
}

uint64_t request_address(const struct request *req)
{
	const struct exchange *x = CONTAINER_OF(req, const struct exchange, req);
	const union MHD_ConnectionInfo *info =
		x->conn != NULL ? MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS) : NULL;
	uint64_t n = 0;
	if (info == NULL || info->client_addr == NULL)
		return 0;
	if (info->client_addr->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr.s_addr;
	if (info->client_addr->sa_family == AF_INET6)
		memcpy(&n, &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr, sizeof(n));
	return n;
}

/* ---- the whole head ---- */

static enum http_method method_of(const char *m)
{
	for (int i = HTTP_GET; i <= HTTP_OPTIONS; i++)
		if (strcmp(m, router_method_name((enum http_method)i)) == 0)
			return (enum http_method)i;
	return HTTP_OTHER;
}

/* Like the headers that say where the body ends: the library keeps white space before a colon as part of the name, and
 * joins a folded line to it. */
static bool frames(struct str name)
{
	return (name.len >= 14 && strncasecmp(name.p, "Content-Length", 14) == 0) ||
	       (name.len >= 17 && strncasecmp(name.p, "Transfer-Encoding", 17) == 0);
}

/* Whether all would agree where the body ends, say a proxy before us: its length stated once or more in the same way,
 * or chunks, which HTTP/1.0 does not know (RFC 9112 section 6.1). Else what is a body to the one is a request to the
 * other. */
static bool framing_clear(const struct request *req, const char *version)
{
	struct str length = STR_NONE, coding = STR_NONE;
	for (size_t i = 0; i < req->n_headers; i++) {
		const struct http_pair *h = &req->headers[i];
		if (!frames(h->name))
			continue;
		if (h->name.len == 14 && (length.p == NULL || str_eq(length, h->value)))
			length = h->value;
		else if (str_ieq_z(h->name, "Transfer-Encoding") && coding.p == NULL && str_ieq_z(h->value, "chunked"))
			coding = h->value;
		else
			return false;
	}
	return coding.p == NULL || (length.p == NULL && strcmp(version, "HTTP/1.0") != 0);
}

static void body_facts(struct exchange *x, const char *version)
{
	struct request *req = &x->req;
	struct str length = request_header(req, "Content-Length");
	x->content_length = -1;
	if (length.p != NULL && !num_parse_int(length, &x->content_length))
		x->content_length =
			INT64_MAX; /* libmicrohttpd refuses malformed ones; these are too large for an int64 */
	struct str coding = request_header(req, "Transfer-Encoding");
	x->unclear = !framing_clear(req, version);
	x->has_body = x->content_length > 0 || coding.p != NULL || x->unclear;
	x->expects_continue = str_ieq_z(request_header(req, "Expect"), "100-continue");
	req->values_max = x->loop->server->options.json_values;
	x->body_limit = req->body_max = x->loop->server->options.body_bytes;
}

/* Blanks at the end of a value are none of it, which the library leaves to us. */
static void trim_values(struct request *req)
{
	for (size_t i = 0; i < req->n_headers; i++)
		req->headers[i].value = str_trim(req->headers[i].value);
}

/* What the library holds of a head: its text, a record for each header, and a copy of the cookies with a record each.
 */
static size_t head_memory(const struct request *req, size_t bytes)
{
	const struct str cookies = request_header(req, "Cookie");
	size_t n = req->n_headers;
	n += cookies.p != NULL;
	for (size_t i = 0; i < cookies.len; i++)
		n += cookies.p[i] == ';' || cookies.p[i] == ',';
	return bytes + cookies.len + n * HEADER_RECORD_BYTES;
}

/* The session and transaction of the request; the ids are secrets of a fixed shape. */
static void session_facts(struct request *req)
{
	req->session_id = request_header(req, "Ferro-Session");
	req->tx_id = request_header(req, "Ferro-Transaction");
	req->tx_end = request_header(req, "Ferro-Transaction-End");
	if (str_eq_z(req->tx_id, "new") || str_starts(req->tx_id, STR("new;"))) {
		req->tx_new = req->tx_id;
		req->tx_id = STR_NONE;
	}
	struct str cache = request_header_list(req, "Cache-Control"), item;
	while (str_split(&cache, ',', &item))
		if (str_ieq_z(str_trim(item), "no-cache"))
			req->no_cache = true;
}

static bool match_route(struct exchange *x, struct err *err)
{
	struct request *req = &x->req;
	struct str allow;
	enum route_match m = router_match(&x->loop->server->options.routes, req, &allow);
	if (m == ROUTE_NO_PATH)
		return err_set(err, ERR_ROUTE_NOT_FOUND, "no such path; /openapi.json lists the paths");
	if (m == ROUTE_NO_METHOD) {
		response_header(&x->res, "Allow", allow);
		if (req->method == HTTP_OPTIONS) {
			cors_preflight(x->loop->server->options.cors_origins, req, &x->res, allow);
			return true;
		}
		return err_set(err, ERR_METHOD_NOT_ALLOWED, "this path answers to %.*s", STR_FMT(allow));
	}
	if (req->route->body == BODY_BULK)
		x->body_limit = x->loop->server->options.bulk_body_bytes;
	return true;
}

/* The server's bound (0: none), or what the client would rather have, if that is less. */
static void set_deadline(struct request *req, double seconds)
{
	if ((req->prefer.given & PREFER_TIMEOUT) != 0 && (seconds <= 0 || req->prefer.timeout_s <= seconds))
		seconds = req->prefer.timeout_s;
	req->deadline = seconds > 0 ? req->start_ns + (int64_t)(seconds * 1e9) : CLOCK_NEVER;
}

/* While the server drains, what is open may be brought to its end, and everybody may ask how it is. */
static bool check_draining(const struct exchange *x, struct err *err)
{
	const struct request *req = &x->req;
	const struct route_def *r = req->route;
	bool page = r->scope == SCOPE_NONE || (r->scope == SCOPE_ANY && r->body == BODY_NONE);
	const bool open = req->session_id.p != NULL || req->tx_id.p != NULL;
	if (!wire_draining(x) || page || (open && req->tx_new.p == NULL))
		return true;
	(void)err_set(err, ERR_SHUTTING_DOWN, "the server is draining; ask another one");
	err->outcome = ERR_OUTCOME_NOT_STARTED;
	return false;
}

/* Transactions are opened and ended around work. */
static bool transaction_ok(const struct request *req, struct err *err)
{
	const char *what = req->tx_new.p != NULL ? "Ferro-Transaction: new" : "Ferro-Transaction-End";
	if (req->tx_new.p == NULL && req->tx_end.p == NULL)
		return true;
	if (!req->route->works)
		return err_set(err, ERR_INVALID_REQUEST, "%s is for requests that read or write", what);
	if (req->tx_end.p != NULL && !str_eq_z(req->tx_end, "commit") && !str_eq_z(req->tx_end, "rollback"))
		return err_set(err, ERR_INVALID_REQUEST, "Ferro-Transaction-End is commit or rollback");
	return req->tx_new.p != NULL || req->tx_id.p != NULL ||
	       err_set(err, ERR_INVALID_REQUEST, "Ferro-Transaction-End without a transaction: send Ferro-Transaction");
}

/* A dry run of what cannot be undone would be done in earnest. */
static bool undoable(const struct request *req, struct err *err)
{
	return (req->prefer.given & PREFER_TX_ROLLBACK) == 0 || req->route->works || req->method == HTTP_GET ||
	       req->method == HTTP_HEAD ||
	       err_set(err, ERR_INVALID_PARAMETERS,
		       "Prefer: tx=rollback is for requests that read or write records; this one cannot be undone, and "
		       "nothing was done");
}

bool head_check(struct exchange *x, const char *method, const char *version, struct err *err)
{
	const struct server_options *o = &x->loop->server->options;
	struct request *req = &x->req;
	struct collect c = {.req = req, .bytes = req->path.len + req->query.len + 16};
	MHD_get_connection_values(x->conn, MHD_HEADER_KIND, on_header, &c);
	req->method = method_of(req->method_text.p);
#ifdef FERROD_FAULTS
	int64_t fault = 0;
	if (!num_parse_int(request_header(req, "X-Fault"), &fault))
		fault = 0;
	fault_arm((long)fault);
#endif
	body_facts(x, version);
	const bool shaped = head_shaped(x, method, version, err);
	trim_values(req);
	req->id = request_id(req);
	session_facts(req);
	x->head_bytes = head_memory(req, c.bytes);
	if (o->cors_origins.len > 0)
		cors_headers(o->cors_origins, req, &x->res);
	if (!shaped) {
		x->unclear = true;
		return false;
	}
	if (x->unclear)
		return err_set(
			err, ERR_INVALID_REQUEST,
			"a body ends as one Content-Length says, or (in HTTP/1.1) is Transfer-Encoding: chunked");
	if (req->path.len + req->query.len + (req->query.p != NULL) > o->uri_bytes)
		return err_set(err, ERR_URI_TOO_LONG, "the URL is longer than %zu bytes", o->uri_bytes);
	if (c.bytes > o->header_bytes || x->head_bytes + HEAD_RESERVE_BYTES > wire_bytes(o->header_bytes))
		return err_set(err, ERR_HEADERS_TOO_LARGE, "the header block is larger than %zu bytes",
			       o->header_bytes);
	if (!match_route(x, err))
		return false;
	if (x->content_length > 0 && (uint64_t)x->content_length > x->body_limit)
		return err_set(err, ERR_PAYLOAD_TOO_LARGE, "the body is larger than %zu bytes", x->body_limit);
	if (o->check_host && !(check_loopback(req, err) && check_origin(x, err)))
		return false;
	if (req->route == &router_options)
		return true;
	const bool guarded = req->route->query_reads && req->query.len > 0;
	if ((req->route->scope != SCOPE_NONE || guarded) && o->authenticate != NULL &&
	    !o->authenticate(o->app, req, err))
		return guarded && err->code == ERR_UNAUTHENTICATED
			       ? err_set(err, ERR_FORBIDDEN, "a description of models needs a key with the scope read")
			       : false;
	if (req->by_certificate && !check_origin(x, err))
		return false;
	if (guarded && !principal_has(req, SCOPE_READ))
		return err_set(err, ERR_FORBIDDEN, "a description of models needs a key with the scope read");
	if (!principal_has(req, req->route->scope))
		return err_set(err, ERR_FORBIDDEN, "the key lacks the scope \"%s\" that %s needs",
			       scope_name(req->route->scope), req->route->operation_id);
	if (x->has_body && (!content_type_ok(req, err) || !content_coding_ok(x, err)))
		return false;
	if (!negotiate(req, err) || !check_draining(x, err))
		return false;
	const bool ok =
		transaction_ok(req, err) && parse_args(req, err) && parse_prefer(req, err) && undoable(req, err);
	set_deadline(req, o->request_timeout_s); /* it is one of the preferences */
	return ok;
}
