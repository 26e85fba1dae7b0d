/*
 * The shape of a head: what its bytes may be and what may be there once only. The library refuses part of it, each
 * version another part; what is left is refused here, with 400 and the end of the connection, since others, a proxy
 * before us, may have read the same bytes otherwise.
 */
#include "service/http/head_shape.h"

#include <strings.h>

#include "service/base/banned.h"

/* ---- bytes: of every request's head, so the usual ones are looked at eight at a time ---- */

/* A set of ASCII characters: bit c of `low` below 64, bit c - 64 of `high` above. */
struct chars {
	uint64_t low, high;
};

/* RFC 9110 section 5.6.2: letters, digits and !#$%&'*+-.^_`|~ */
static const struct chars token_chars = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)};
/* RFC 3986 section 3.2.2: letters, digits and -._~%!$&'()*+,;= */
static const struct chars host_chars = {UINT64_C(0x2bff7ff200000000), UINT64_C(0x47fffffe87fffffe)};

static inline bool is_among(const struct chars *set, char ch)
{
	const unsigned char c = (unsigned char)ch;
	return c < 0x80 && ((c < 64 ? set->low : set->high) >> (c & 63) & 1) != 0;
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_among(&token_chars, s.p[i]))
			return false;
	return s.len > 0;
}

#define EVERY(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Is one of the eight bytes below `least`, which is at most 0x80? (What a borrow adds is above one that is.) */
static inline bool any_below(uint64_t w, unsigned char least)
{
	return ((w - EVERY(least)) & ~w & EVERY(0x80)) != 0;
}

/* Does s start with eight bytes that are neither below `least` nor DEL? */
static inline bool eight_from(struct str s, unsigned char least, bool ascii)
{
	uint64_t w;
	if (s.len < sizeof(w))
		return false;
	memcpy(&w, s.p, sizeof(w));
	return !any_below(w, least) && !any_below(w ^ EVERY(0x7f), 1) && (!ascii || (w & EVERY(0x80)) == 0);
}

static bool value_clean(struct str s)
{
	for (size_t i = 0; i < s.len;) {
		const unsigned char c = (unsigned char)s.p[i];
		if (eight_from(str_n(s.p + i, s.len - i), ' ', false)) {
			i += 8;
			continue;
		}
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
		i++;
	}
	return true;
}

static bool target_clean(struct str s)
{
	for (size_t i = 0; i < s.len;) {
		if (eight_from(str_n(s.p + i, s.len - i), '!', true)) {
			i += 8;
			continue;
		}
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
		i++;
	}
	return true;
}

static bool has_fragment(struct str s)
{
	return s.len > 0 && memchr(s.p, '#', s.len) != NULL;
}

/* RFC 9112 section 3.2: no fragment, which others cut off or take for the path. A target of CONNECT has nothing of ours
 * behind it, and what follows the head is no request. */
static bool target_formed(const struct exchange *x, struct str method)
{
	const struct str path = x->req.path;
	return !str_eq_z(method, "CONNECT") && !has_fragment(path) && !has_fragment(x->req.query) &&
	       (x->authority.p != NULL || str_eq_z(path, "*") || (path.len > 0 && path.p[0] == '/'));
}

/* ---- what is there once ---- */

/* Of two of these the first would win in silence, and a proxy may heed the second. */
static bool single(struct str name)
{
	static const char *const names[] = {
		"Host",         "Authorization",   "Content-Type", "Ferro-Session",         "Ferro-Transaction",
		"Origin",       "Idempotency-Key", "Expect",       "Ferro-Transaction-End", "Sec-Fetch-Site",
		"Ferro-Catalog"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieq_z(name, names[i]))
			return true;
	return false;
}

static const char *repeated(const struct request *req)
{
	for (size_t i = 1; i < req->n_headers; i++) {
		if (!single(req->headers[i].name))
			continue;
		for (size_t k = 0; k < i; k++)
			if (str_ieq(req->headers[k].name, req->headers[i].name))
				return req->headers[i].name.p;
	}
	return NULL;
}

/* ---- Host ---- */

static bool port_valid(struct str port)
{
	unsigned int n = 0;
	for (size_t i = 0; i < port.len; i++) {
		if (port.p[i] < '0' || port.p[i] > '9')
			return false;
		n = 10 * n + (unsigned int)(port.p[i] - '0');
	}
	return port.len <= 5 && n <= UINT16_MAX;
}

/* RFC 3986 section 3.2 without userinfo: a name or address, perhaps a port. An empty one is a host, too. */
static bool host_valid(struct str host)
{
	size_t n = 0;
	if (host.len > 0 && host.p[0] == '[') {
		const char *end = memchr(host.p, ']', host.len);
		if (end == NULL || strspn(host.p + 1, "0123456789abcdefABCDEF:.") < (size_t)(end - host.p - 1))
			return false;
		n = (size_t)(end - host.p) + 1;
	} else {
		for (; n < host.len && host.p[n] != ':'; n++)
			if (!is_among(&host_chars, host.p[n]))
				return false;
	}
	return n == host.len || (host.p[n] == ':' && port_valid(str_n(host.p + n + 1, host.len - n - 1)));
}

/* ---- what the library's strings do not show ---- */

/*
 * 0.9.75 hands out C strings that lie in the very text of the head, whose line ends it has overwritten. Where two lines
 * do not follow each other as a CR and an LF put them, there was something that it cut off or mended: a NUL, a bare LF,
 * a folded line, a line without a name, which ends the head for it. Only addresses are compared.
 */
static bool text_whole(const struct exchange *x, const char *method, const char *version)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(x->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	uintptr_t at = (uintptr_t)version + strlen(version) + 2;
	if (info == NULL || (uintptr_t)method + strlen(method) + 1 != x->target_at ||
	    x->target_end + 1 != (uintptr_t)version)
		return false;
	for (size_t i = 0; i < x->req.n_headers; i++) {
		const struct http_pair *h = &x->req.headers[i];
		if ((uintptr_t)h->name.p != at)
			return false;
		at = (uintptr_t)h->value.p + h->value.len + 2;
	}
	return at + 2 == (uintptr_t)method + info->header_size;
}

bool head_shaped(const struct exchange *x, const char *method, const char *version, struct err *err)
{
	const struct request *req = &x->req;
	const struct str host = str_trim(request_header(req, "Host"));
	if (x->loop->server->text_shows && !text_whole(x, method, version))
		return err_set(err, ERR_INVALID_REQUEST, "a line of the head is not ended, or holds what it may not");
	if (!is_token(str_z(method)))
		return err_set(err, ERR_INVALID_REQUEST, "the method has a character that it may not have");
	uint64_t seen = 0;
	bool alike = false; /* two names that may be the same */
	for (size_t i = 0; i < req->n_headers; i++) {
		const uint64_t bit = request_header_bit(req->headers[i].name);
		alike |= (seen & bit) != 0;
		seen |= bit;
		if (!is_token(req->headers[i].name) || !value_clean(req->headers[i].value))
			return err_set(err, ERR_INVALID_REQUEST, "header %zu has a character that it may not have",
				       i + 1);
	}
	if (!target_clean(req->path) || !target_clean(req->query))
		return err_set(err, ERR_INVALID_REQUEST, "the target has characters that must be percent-encoded");
	if (!target_formed(x, str_z(method)))
		return err_set(err, ERR_INVALID_REQUEST,
			       "the target is neither a path nor an http URL without a fragment");
	const char *twice = alike ? repeated(req) : NULL;
	if (twice != NULL)
		return err_set(err, ERR_INVALID_REQUEST, "the header \"%.40s\" is there more than once", twice);
	if (host.p != NULL && !host_valid(host))
		return err_set(err, ERR_INVALID_REQUEST, "\"Host\" is not a host with or without a port");
	if (x->authority.p != NULL && !str_ieq(x->authority, host))
		return err_set(err, ERR_INVALID_REQUEST, "the target names another host than the header \"Host\"");
	return true;
}
