/*
 * Passwords are often pasted into URLs without encoding, so the authority cannot be found by RFC 3986 alone: a password
 * may hold '@', '/', '#' or '?'. Where a text can be read in two ways, the reading that hides more wins.
 */
#include "store/connection/dsn_parts.h"
#include "service/base/num.h"

#include "service/base/banned.h"

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool dsn_is_scheme(struct str s)
{
	if (s.len == 0 || !is_alpha(s.p[0]))
		return false;
	for (size_t i = 1; i < s.len; i++) {
		if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '+' && s.p[i] != '-' && s.p[i] != '.' &&
		    s.p[i] != '_')
			return false;
	}
	return true;
}

bool dsn_percent_decode(struct arena *a, struct str s, struct str *ret)
{
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		int hi, lo;

		if (s.p[i] != '%') {
			out[n++] = s.p[i];
			continue;
		}
		if (s.len - i < 3 || (hi = num_hex_digit(s.p[i + 1])) < 0 || (lo = num_hex_digit(s.p[i + 2])) < 0)
			return false;
		out[n++] = (char)(hi * 16 + lo);
		i += 2;
	}
	*ret = str_n(out, n);
	return true;
}

static const char *find(struct str s, char c)
{
	return s.len > 0 ? memchr(s.p, c, s.len) : NULL;
}

static const char *find_last(struct str s, char c)
{
	return s.len > 0 ? memrchr(s.p, c, s.len) : NULL;
}

static struct str before(struct str s, const char *at)
{
	return str_n(s.p, (size_t)(at - s.p));
}

static struct str from(struct str s, const char *at)
{
	return str_n(at, s.len - (size_t)(at - s.p));
}

/* The first '?' that "name=" or nothing follows; NULL: none. */
static const char *find_query(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		size_t j = i + 1;

		if (s.p[i] != '?')
			continue;
		while (j < s.len && (is_alpha(s.p[j]) || is_digit(s.p[j]) || strchr("_.-%", s.p[j]) != NULL) &&
		       s.p[j] != 0)
			j++;
		if (j == s.len || (j > i + 1 && (s.p[j] == '=' || s.p[j] == '&')))
			return s.p + i;
	}
	return NULL;
}

/* "host", "host:5432", "[::1]:5432,other:1", each with a path: no user information without an '@'. */
static bool is_hosts(struct str s)
{
	const char *slash = find(s, '/');
	struct str hosts = slash != NULL ? before(s, slash) : s, one;

	while (str_split(&hosts, ',', &one)) {
		const char *colon = find_last(one, ':');

		if (colon == NULL || (one.len > 0 && one.p[one.len - 1] == ']'))
			continue;
		for (const char *p = colon + 1; p < one.p + one.len; p++) {
			if (!is_digit(*p))
				return false;
		}
	}
	return true;
}

/* Splits what follows "scheme://"; head_start is the start of the URL. */
static struct dsn_parts split_authority(struct str url, struct str rest)
{
	struct dsn_parts r = {.password = STR_NONE, .tail = STR_NONE, .query = STR_NONE};
	const char *q = find_query(rest), *at, *colon;
	struct str region = q != NULL ? before(rest, q) : rest;

	at = find_last(region, '@');
	if (at == NULL && q != NULL && !is_hosts(region)) {
		/* the '?' belongs to a password */
		at = find_last(rest, '@');
		q = at != NULL ? find_query(from(rest, at)) : q;
		region = q != NULL ? before(rest, q) : rest;
	}
	if (q != NULL)
		r.query = from(rest, q + 1);
	colon = at != NULL ? find(before(rest, at), ':') : NULL;
	if (colon == NULL) {
		r.head = str_n(url.p, (size_t)(region.p - url.p) + region.len);
		/* "user:secret" whose '@' is missing */
		if (at == NULL && !is_hosts(region)) {
			colon = find(region, ':');
			r.head = before(url, colon);
			r.password = from(region, colon + 1);
		}
		return r;
	}
	r.head = before(url, colon);
	r.password = str_n(colon + 1, (size_t)(at - colon) - 1);
	r.tail = from(region, at);
	return r;
}

struct dsn_parts dsn_split(struct str url)
{
	struct dsn_parts r = {.password = STR_NONE, .tail = STR_NONE, .query = STR_NONE};
	struct str rest = url, scheme;

	(void)str_split(&rest, ':', &scheme);
	if (rest.p == NULL || !dsn_is_scheme(scheme)) {
		r.opaque = true;
		return r;
	}
	if (str_eq_z(scheme, "sqlite")) {
		const char *q = find(rest, '?');

		r.head = q != NULL ? before(url, q) : url;
		if (q != NULL)
			r.query = from(url, q + 1);
		return r;
	}
	if (!str_starts(rest, STR("//"))) {
		r.opaque = true;
		r.head = scheme;
		return r;
	}
	return split_authority(url, str_n(rest.p + 2, rest.len - 2));
}

static bool contains(struct str s, const char *word)
{
	const size_t n = strlen(word);

	for (size_t i = 0; i + n <= s.len; i++) {
		if (str_ieq_z(str_n(s.p + i, n), word))
			return true;
	}
	return false;
}

bool dsn_is_secret(struct arena *a, const struct dsn_parts *parts, struct str key, struct str value)
{
	static const char *const words[] = {"password", "passwd", "pwd",     "secret",
					    "token",    "apikey", "api_key", "service_role"};
	struct str plain = key;

	if (!dsn_percent_decode(a, key, &plain))
		plain = key;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (contains(plain, words[i]))
			return true;
	}
	return parts->password.p != NULL && find(value, '@') != NULL;
}
