/* Route matching: byte by byte against the const table, in which every {parameter} is a whole segment. */
#include "service/http/router.h"

#include <assert.h>
#include "service/base/num.h"

#include "service/base/banned.h"

static bool answer_nothing(struct request *req, struct response *res, struct err *err)
{
	(void)req;
	(void)res;
	return err_set(err, ERR_ROUTE_NOT_FOUND, "no such path; /openapi.json lists the paths");
}

/* What it says, the methods of the path, stands in the headers since the head was judged. */
static bool answer_options(struct request *req, struct response *res, struct err *err)
{
	(void)req;
	(void)err;
	res->status = 204;
	return true;
}

const struct route_def router_unrouted = {
	.method = HTTP_OTHER, .path = "-", .operation_id = "unrouted", .handler = answer_nothing, .body = BODY_NONE};
const struct route_def router_options = {
	.method = HTTP_OPTIONS, .path = "-", .operation_id = "options", .handler = answer_options, .body = BODY_NONE};

bool router_percent_decode(struct arena *a, struct str in, bool plus_is_space, struct str *ret)
{
	char *out = arena_alloc(a, in.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < in.len; i++) {
		char c = in.p[i];
		if (c == '%') {
			if (i + 2 >= in.len || num_hex_digit(in.p[i + 1]) < 0 || num_hex_digit(in.p[i + 2]) < 0)
				return false;
			c = (char)(num_hex_digit(in.p[i + 1]) * 16 + num_hex_digit(in.p[i + 2]));
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == '\0')
			return false;
		out[n++] = c;
	}
	*ret = str_n(out, n);
	return str_is_utf8(*ret);
}

/* Raw parameters of a match go to `params`; false when the template does not fit, mostly at its first bytes. */
static bool match_template(const char *t, struct str path, struct str *params, size_t *ret_n)
{
	const char *p = path.p, *end = path.p + path.len;
	size_t n = 0;
	for (; *t != '\0'; t++) {
		if (*t != '{') {
			if (p == end || *p++ != *t)
				return false;
			continue;
		}
		const char *from = p;
		while (p < end && *p != '/')
			p++;
		if (p == from || n == REQUEST_PARAMS_MAX)
			return false;
		params[n++] = str_n(from, (size_t)(p - from));
		while (*t != '}')
			t++;
	}
	*ret_n = n;
	return p == end;
}

/* The eight bytes of a path there, zeros behind its end. */
static uint64_t word_of(struct str path)
{
	uint64_t w = 0;
	if (path.len >= ROUTE_WORD_AT + sizeof(w))
		memcpy(&w, path.p + ROUTE_WORD_AT, sizeof(w));
	else if (path.len > ROUTE_WORD_AT)
		memcpy(&w, path.p + ROUTE_WORD_AT, path.len - ROUTE_WORD_AT);
	return w;
}

/* What a path must have there to match: no more than a first look, which most templates do not survive. */
static struct route_word template_word(struct str template)
{
	const char *brace = memchr(template.p, '{', template.len);
	char mask[sizeof(uint64_t)] = {0};
	struct route_word w = {0};
	for (size_t i = 0; i < sizeof(mask); i++) {
		const size_t at = ROUTE_WORD_AT + i;
		/* behind the end of one without parameters there is nothing */
		mask[i] = brace == NULL || template.p + at < brace ? (char)0xff : 0;
	}
	memcpy(&w.mask, mask, sizeof(mask));
	w.bits = word_of(template) & w.mask;
	return w;
}

static size_t count_of(struct str path, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < path.len; i++)
		n += path.p[i] == c;
	return n;
}

static size_t depth_of(struct str path)
{
	return count_of(path, '/');
}

/* Those of one depth in the order of their parameters, fewest first: a path that is written out comes before one that a
 * parameter may stand for. */
static size_t add_depth(struct route_table *t, size_t depth, size_t at)
{
	for (size_t n_params = 0; n_params <= REQUEST_PARAMS_MAX; n_params++)
		for (size_t i = 0; i < t->n_routes; i++) {
			const struct str path = str_z(t->routes[i].path);
			if (depth_of(path) != depth || count_of(path, '{') != n_params)
				continue;
			t->written[at] = n_params == 0 ? (uint16_t)path.len : 0;
			t->words[at] = template_word(path);
			t->by_depth[at++] = (uint16_t)i;
		}
	return at;
}

struct route_table router_table(const struct route_def *routes, size_t n)
{
	struct route_table t = {.routes = routes, .n_routes = n};
	size_t at = 0;
	assert(n <= ROUTES_MAX);
	for (size_t i = 0; i < n; i++)
		assert(routes[i].path != NULL && routes[i].operation_id != NULL && routes[i].handler != NULL);
	for (size_t depth = 0; depth <= ROUTE_DEPTH_MAX; depth++) {
		t.from[depth] = (uint16_t)at;
		at = add_depth(&t, depth, at);
	}
	t.from[ROUTE_DEPTH_MAX + 1] = (uint16_t)at;
	assert(at == n);
	return t;
}

static const char *method_name(enum http_method m)
{
	static const char *const names[] = {
		[HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
		[HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "OTHER"};
	return names[m];
}

const char *router_method_name(enum http_method m)
{
	return method_name(m);
}

static bool decode_params(struct request *req, const struct str *raw, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!router_percent_decode(&req->arena, raw[i], false, &req->params[i]))
			return false;
	memcpy(req->raw_params, raw, n * sizeof(*raw));
	req->n_params = n;
	return true;
}

enum route_match router_match(const struct route_table *t, struct request *req, struct str *ret_allow)
{
	struct str path = req->path;
	if (path.len > 1 && path.p[path.len - 1] == '/')
		path.len--;
	enum http_method want = req->method == HTTP_HEAD ? HTTP_GET : req->method;
	size_t n_params = SIZE_MAX; /* of the very path; others that fit have more */
	unsigned allowed = 0;
	const size_t depth = depth_of(path);
	const uint64_t word = word_of(path);
	if (depth > ROUTE_DEPTH_MAX)
		return ROUTE_NO_PATH;
	for (size_t i = t->from[depth]; i < t->from[depth + 1]; i++) {
		const struct route_def *r = &t->routes[t->by_depth[i]];
		struct str raw[REQUEST_PARAMS_MAX];
		size_t n;
		if (((word ^ t->words[i].bits) & t->words[i].mask) != 0)
			continue;
		if (t->written[i] != 0 && t->written[i] != path.len)
			continue;
		if (!match_template(r->path, path, raw, &n))
			continue;
		if (n > n_params)
			break;
		n_params = n;
		allowed |= 1u << r->method;
		if (r->method != want)
			continue;
		if (!decode_params(req, raw, n))
			return ROUTE_NO_PATH;
		req->route = r;
		return ROUTE_FOUND;
	}
	if (n_params == SIZE_MAX)
		return ROUTE_NO_PATH;
	if ((allowed & (1u << HTTP_GET)) != 0)
		allowed |= 1u << HTTP_HEAD;
	allowed |= 1u << HTTP_OPTIONS;
	struct str allow = STR("");
	for (int m = HTTP_GET; m <= HTTP_OPTIONS; m++)
		if ((allowed & (1u << m)) != 0)
			allow = arena_printf(&req->arena, "%.*s%s%s", STR_FMT(allow), allow.len > 0 ? ", " : "",
					     method_name((enum http_method)m));
	*ret_allow = allow;
	if (req->method == HTTP_OPTIONS)
		req->route = &router_options;
	return ROUTE_NO_METHOD;
}
