/*
 * Parsing is split from redaction: redaction must be right for texts that are no URL at all, so it works on the raw
 * bytes (dsn_parts.c finds the secrets) and never depends on a successful parse.
 */
#include "store/connection/dsn.h"

#include "service/base/strbuf.h"
#include "store/connection/dsn_parts.h"

#include "service/base/banned.h"

#define SEARCH_PATH_KEY "ferro_search_path"
#define SCHEME_SHOWN_MAX 40

/* How every refusal of a URL begins; the reference's words. */
#define FAILED "DB Connection failed for %.*s: "

static bool fail(const struct dsn *d, struct err *err, enum err_code code, const char *why)
{
	return err_set(err, code, FAILED "%s", STR_FMT(d->redacted), why);
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool take_search_path(struct dsn *d, struct arena *a, struct str value, struct err *err)
{
	bool ok = value.len > 0;

	for (size_t i = 0; ok && i < value.len; i++)
		ok = is_word(value.p[i]);
	if (!ok)
		return err_set(err, ERR_INVALID_SEARCH_PATH,
			       "Invalid ferro_search_path: ASCII letters, digits and '_' only, and at least one");
	d->search_path = arena_str(a, value);
	return true;
}

/* ---- sqlite ---- */

/* A member of a closed set, or false. */
static bool parse_bool(struct str v, bool *ret)
{
	if (str_eq_z(v, "true") || str_eq_z(v, "1"))
		*ret = true;
	else if (str_eq_z(v, "false") || str_eq_z(v, "0"))
		*ret = false;
	else
		return false;
	return true;
}

static bool parse_mode(struct str v, enum sqlite_mode *ret)
{
	static const char *const words[] = {[SQLITE_MODE_RW] = "rw",
					    [SQLITE_MODE_RO] = "ro",
					    [SQLITE_MODE_RWC] = "rwc",
					    [SQLITE_MODE_MEMORY] = "memory"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq_z(v, words[i])) {
			*ret = (enum sqlite_mode)i;
			return true;
		}
	}
	return false;
}

static bool sqlite_param(struct dsn *d, struct str key, struct str value, struct err *err)
{
	if (str_eq_z(key, "mode"))
		return parse_mode(value, &d->mode) ||
		       fail(d, err, ERR_INVALID_URL, "parameter 'mode' must be ro, rw, rwc or memory");
	if (str_eq_z(key, "cache"))
		return str_eq_z(value, "private") || str_eq_z(value, "shared") ||
		       fail(d, err, ERR_INVALID_URL, "parameter 'cache' must be private or shared");
	if (str_eq_z(key, "immutable"))
		return parse_bool(value, &d->immutable) ||
		       fail(d, err, ERR_INVALID_URL, "parameter 'immutable' must be true or false");
	if (str_eq_z(key, "vfs"))
		return fail(d, err, ERR_INVALID_URL, "parameter 'vfs' is not allowed");
	return fail(d, err, ERR_INVALID_URL,
		    "the URL has an unknown parameter; a SQLite URL takes mode, cache and immutable");
}

static bool sqlite_params(struct dsn *d, struct arena *a, struct str query, struct err *err)
{
	struct str part, key, value;

	while (str_split(&query, '&', &part)) {
		if (part.len == 0)
			continue;
		value = part;
		(void)str_split(&value, '=', &key);
		if (str_eq_z(key, SEARCH_PATH_KEY)) {
			if (!take_search_path(d, a, value, err))
				return false;
			continue;
		}
		if (!dsn_percent_decode(a, key, &key) || !dsn_percent_decode(a, value, &value))
			return fail(d, err, ERR_INVALID_URL, "malformed percent-encoding in a parameter");
		if (!sqlite_param(d, key, value, err))
			return false;
	}
	return true;
}

static bool sqlite_parse(struct dsn *d, struct arena *a, struct str rest, struct err *err)
{
	struct str path, query = rest;

	if (str_starts(query, STR("//")))
		query = str_n(query.p + 2, query.len - 2);
	(void)str_split(&query, '?', &path);
	d->mode = SQLITE_MODE_RW;
	if (!sqlite_params(d, a, query, err))
		return false;
	if (!dsn_percent_decode(a, path, &path))
		return fail(d, err, ERR_INVALID_URL, "malformed percent-encoding in the path");
	if (memchr(path.p, 0, path.len) != NULL || !str_is_utf8(path))
		return fail(d, err, ERR_INVALID_URL, "the path is not UTF-8 text");
	if (str_eq_z(path, ":memory:"))
		d->mode = SQLITE_MODE_MEMORY;
	d->path = path;
	if (d->mode == SQLITE_MODE_MEMORY)
		d->path = STR("");
	else if (path.len == 0)
		return fail(d, err, ERR_INVALID_URL, "the URL names no file");
	return true;
}

/* ---- postgres ---- */

/* What stands before the query. libpq ends the user information at the first '@' (or '/'): a password's own are
 * encoded. */
static void put_authority(struct strbuf *b, struct str url, const struct dsn_parts *parts)
{
	if (parts->password.p == NULL || parts->tail.p == NULL) {
		strbuf_put(b, str_n(url.p, parts->query.p != NULL ? (size_t)(parts->query.p - url.p) - 1 : url.len));
		return;
	}
	strbuf_put(b, parts->head);
	strbuf_putc(b, ':');
	for (size_t i = 0; i < parts->password.len; i++) {
		const char c = parts->password.p[i];

		if (memchr("@/?#", c, 4) != NULL)
			strbuf_printf(b, "%%%02X", (unsigned)c);
		else
			strbuf_putc(b, c);
	}
	strbuf_put(b, parts->tail);
}

/* Copies the URL without its ferro_search_path parameters, wherever they stand; the last one's value counts. */
static bool postgres_parse(struct dsn *d, struct arena *a, struct str url, struct err *err)
{
	const struct dsn_parts parts = dsn_split(url);
	struct str query = parts.query, part, value, key, found = STR_NONE;
	struct strbuf b;

	strbuf_init(&b, 0);
	put_authority(&b, url, &parts);
	for (char sep = '?'; str_split(&query, '&', &part);) {
		value = part;
		(void)str_split(&value, '=', &key);
		if (str_eq_z(key, SEARCH_PATH_KEY)) {
			found = value.p != NULL ? value : STR("");
			continue;
		}
		strbuf_putc(&b, sep);
		strbuf_put(&b, part);
		sep = '&';
	}
	d->conninfo = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	if (found.p != NULL && !take_search_path(d, a, found, err))
		return false;
	if (memchr(d->conninfo.p, 0, d->conninfo.len) != NULL)
		return fail(d, err, ERR_INVALID_URL, "the URL holds a NUL character");
	return true;
}

/* ---- both ---- */

static bool unsupported(const struct dsn *d, struct str scheme, struct err *err)
{
	/* what has no form of a scheme may be anything, a secret too */
	if (!dsn_is_scheme(scheme) || scheme.len > SCHEME_SHOWN_MAX)
		scheme = STR("");
	return err_set(err, ERR_UNSUPPORTED_SCHEME,
		       FAILED "Unsupported database URL scheme '%.*s'. Supported schemes: sqlite, postgres, postgresql",
		       STR_FMT(d->redacted), STR_FMT(scheme));
}

bool dsn_parse(struct arena *a, struct str url, struct dsn *ret, struct err *err)
{
	struct dsn d = {.search_path = STR_NONE, .conninfo = STR_NONE, .path = STR_NONE};
	struct str rest = url, scheme;

	d.redacted = dsn_redact(a, url);
	(void)str_split(&rest, ':', &scheme);
	if (rest.p != NULL && str_eq_z(scheme, "sqlite")) {
		d.dialect = DIALECT_SQLITE;
		if (!sqlite_parse(&d, a, rest, err))
			return false;
	} else if (str_starts(url, STR("postgres://")) || str_starts(url, STR("postgresql://"))) {
		d.dialect = DIALECT_POSTGRES;
		if (!postgres_parse(&d, a, url, err))
			return false;
	} else {
		return unsupported(&d, scheme, err);
	}
	*ret = d;
	return true;
}

struct str dsn_redact(struct arena *a, struct str url)
{
	const struct dsn_parts parts = dsn_split(url);
	struct str query = parts.query, part, value, key;
	struct strbuf b;

	if (parts.opaque)
		return parts.head.len > 0 ? arena_printf(a, "%.*s:" DSN_REDACTED, STR_FMT(parts.head))
					  : STR(DSN_REDACTED);
	strbuf_init(&b, 0);
	strbuf_put(&b, parts.head);
	if (parts.password.p != NULL)
		strbuf_puts(&b, ":" DSN_REDACTED);
	strbuf_put(&b, parts.tail);
	for (char sep = '?'; str_split(&query, '&', &part); sep = '&') {
		value = part;
		(void)str_split(&value, '=', &key);
		strbuf_putc(&b, sep);
		strbuf_put(&b, key);
		if (value.p == NULL || (value.len == 0 && dsn_is_secret(a, &parts, key, value)))
			continue;
		strbuf_putc(&b, '=');
		strbuf_put(&b, dsn_is_secret(a, &parts, key, value) ? STR(DSN_REDACTED) : value);
	}
	value = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return value;
}

/* ---- messages ---- */

/* A short secret is only taken out where it stands alone: a password "a" must not blank every word. */
#define SHORT_SECRET 4

static bool stands_alone(struct str text, size_t at, size_t len)
{
	return (at == 0 || !is_word(text.p[at - 1])) && (at + len == text.len || !is_word(text.p[at + len]));
}

static struct str scrub_one(struct arena *a, struct str text, struct str secret)
{
	struct strbuf b;
	size_t done = 0;
	struct str out;

	if (secret.len == 0 || memmem(text.p, text.len, secret.p, secret.len) == NULL)
		return text;
	strbuf_init(&b, 0);
	for (size_t i = 0; i + secret.len <= text.len;) {
		if (memcmp(text.p + i, secret.p, secret.len) != 0 ||
		    (secret.len < SHORT_SECRET && !stands_alone(text, i, secret.len))) {
			i++;
			continue;
		}
		strbuf_put(&b, str_n(text.p + done, i - done));
		strbuf_puts(&b, DSN_REDACTED);
		i += secret.len;
		done = i;
	}
	strbuf_put(&b, str_n(text.p + done, text.len - done));
	out = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

/* As written, and as libpq sees it. */
static struct str scrub_both(struct arena *a, struct str text, struct str secret)
{
	struct str plain;

	text = scrub_one(a, text, secret);
	if (dsn_percent_decode(a, secret, &plain) && !str_eq(plain, secret))
		text = scrub_one(a, text, plain);
	return text;
}

struct str dsn_scrub(struct arena *a, const struct dsn *dsn, struct str message)
{
	struct dsn_parts parts;
	struct str query, part, value, key;

	if (message.p == NULL || dsn->conninfo.p == NULL)
		return message;
	parts = dsn_split(dsn->conninfo);
	if (parts.password.p != NULL)
		message = scrub_both(a, message, parts.password);
	for (query = parts.query; str_split(&query, '&', &part);) {
		value = part;
		(void)str_split(&value, '=', &key);
		if (value.p != NULL && dsn_is_secret(a, &parts, key, value))
			message = scrub_both(a, message, value);
	}
	return message;
}
