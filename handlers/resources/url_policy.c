/* Bounds on database URLs. Pure but for reading its arguments. */
#include "handlers/resources/url_policy.h"

#include <fnmatch.h>

#include "handlers/answer/render.h"
#include "service/base/num.h"

#include "service/base/banned.h"

static bool refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_FORBIDDEN, "the server's policy refuses this URL: %s", why);
}

static bool climbs(struct str path)
{
	struct str part;
	while (str_split(&path, '/', &part)) {
		if (str_eq_z(part, ".."))
			return true;
	}
	return false;
}

/* ---- parameters of PostgreSQL URLs ---- */

/* libpq parameters that make the server use files of its own. The first lend the caller what is in them: passwords,
 * keys, whole sets of parameters; the others say whom to trust. */
static const char *const file_keys[] = {"passfile",      "service",     "servicefile", "sslcert",  "sslkey",
					"sslkeylogfile", "sslrootcert", "sslcrl",      "sslcrldir"};
#define N_LENDING 6

static bool any_key(struct str query, const char *const *keys, size_t n_keys)
{
	for (struct str part, key; str_split(&query, '&', &part);) {
		(void)str_split(&part, '=', &key);
		/* An encoded key is no way around. */
		if (key.len > 0 && memchr(key.p, '%', key.len) != NULL)
			return true;
		for (size_t i = 0; i < n_keys; i++) {
			if (str_ieq_z(key, keys[i]))
				return true;
		}
	}
	return false;
}

/* Which '?' begins the query is libpq's decision, and a user's name may hold one: what follows any counts. */
static bool names_key(struct str conninfo, const char *const *keys, size_t n_keys)
{
	struct str part;
	(void)str_split(&conninfo, '?', &part);
	while (str_split(&conninfo, '?', &part)) {
		if (any_key(part, keys, n_keys))
			return true;
	}
	return false;
}

/* Do options set the role? The server takes "-c role=x", "-crole=x", "-Fcrole=x" and "--role=x", '-' for '_', capitals,
 * and a backslash before any character; a name with a dot is another's. Which text is the option's is libpq's decision:
 * all that follows a '?' counts. */
static bool options_set_role(struct arena *a, struct str conninfo)
{
	static const char *const names[] = {"role=", "session_authorization="};
	static const char *const key = "options";
	struct str head;
	struct strbuf b;
	bool sets = false;
	if (!names_key(conninfo, &key, 1))
		return false;
	(void)str_split(&conninfo, '?', &head);
	strbuf_init(&b, 0);
	for (size_t i = 0; i < conninfo.len; i++) {
		char c = conninfo.p[i];
		if (c == '%' && i + 2 < conninfo.len) {
			c = (char)(num_hex_digit(conninfo.p[i + 1]) * 16 + num_hex_digit(conninfo.p[i + 2]));
			i += 2;
		}
		if (c != '\\')
			strbuf_putc(&b, c == '-' ? '_' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
	}
	const struct str text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const size_t n = strlen(names[i]);
		for (size_t at = 1; at + n <= text.len; at++) /* a key stands before it */
			sets = sets || (memcmp(text.p + at, names[i], n) == 0 && text.p[at - 1] != '.');
	}
	return sets;
}

/* ---- allow_urls ---- */

/* Which database a PostgreSQL URL or a pattern for some names; each spans as far as the next, '*' does not. */
struct place {
	struct str hosts; /* without user information */
	struct str path;  /* with its '/'; without parameters */
	bool names_user;  /* by more than '*' */
};

static bool find_place(struct str url, struct place *ret)
{
	struct str rest = url, part;
	const char *at = url.len > 0 ? memmem(url.p, url.len, "://", 3) : NULL;
	if (at == NULL)
		return false;
	rest = str_n(at + 3, url.len - (size_t)(at + 3 - url.p));
	(void)str_split(&rest, '?', &part);
	at = part.len > 0 ? memchr(part.p, '/', part.len) : NULL;
	ret->hosts = at != NULL ? str_n(part.p, (size_t)(at - part.p)) : part;
	ret->path = at != NULL ? str_n(at, part.len - ret->hosts.len) : STR("");
	at = ret->hosts.len > 0 ? memchr(ret->hosts.p, '@', ret->hosts.len) : NULL;
	ret->names_user = false;
	for (const char *p = ret->hosts.p; at != NULL && p < at; p++)
		ret->names_user = ret->names_user || (*p != '*' && *p != ':');
	if (at != NULL)
		ret->hosts = str_n(at + 1, ret->hosts.len - (size_t)(at + 1 - ret->hosts.p));
	return true;
}

static bool like(struct arena *a, struct str pattern, struct str text)
{
	return fnmatch(arena_strz(a, pattern), arena_strz(a, text), FNM_NOESCAPE) == 0;
}

/* A port of digits, or none: "elsewhere:.db.test" is no host that ends so. */
static bool port_is_number(struct str host)
{
	const char *colon = host.len > 0 ? memrchr(host.p, ':', host.len) : NULL;
	if (colon == NULL || host.p[host.len - 1] == ']')
		return true;
	for (const char *p = colon + 1; p < host.p + host.len; p++) {
		if (*p < '0' || *p > '9')
			return false;
	}
	return true;
}

static bool says(struct str pattern, const char *word)
{
	return memmem(pattern.p, pattern.len, word, strlen(word)) != NULL;
}

/* Who logs in, or is another from the start, is who the pattern names, if it names any. */
static bool same_login(struct arena *a, struct str pattern, const struct place *want, struct str conninfo)
{
	static const char *const login[] = {"user", "password"};
	if (want->names_user && names_key(conninfo, login, ARRAY_LEN(login)))
		return false;
	return (!want->names_user && !says(pattern, "user=")) || says(pattern, "options=") ||
	       !options_set_role(a, conninfo);
}

/* A '*' for the host must not reach into the rest of the URL, nor a parameter send the connection elsewhere. What the
 * URL says is what libpq is given of it. */
static bool same_place(struct arena *a, struct str pattern, struct str conninfo)
{
	static const char *const overriding[] = {"host", "hostaddr", "port", "dbname"};
	struct place want, have;
	struct str host;
	if (!find_place(pattern, &want))
		return true;
	if (!same_login(a, pattern, &want, conninfo))
		return false;
	if (str_eq_z(want.hosts, "*"))
		return true;
	if (!find_place(conninfo, &have))
		return false;
	if (want.path.len == 0 && want.hosts.len > 0 && want.hosts.p[want.hosts.len - 1] == '*')
		want.path = STR("*");
	if (!like(a, want.path, have.path))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(overriding); i++) {
		const char *named = arena_printf(a, "%s=", overriding[i]).p;
		if (!says(pattern, named) && names_key(conninfo, &overriding[i], 1))
			return false;
	}
	/* libpq decodes before it splits a list of hosts */
	if (have.hosts.len > 0 && memchr(have.hosts.p, '%', have.hosts.len) != NULL)
		return str_eq(want.hosts, have.hosts);
	if (want.hosts.len > 0 && memchr(want.hosts.p, ',', want.hosts.len) != NULL)
		return like(a, want.hosts, have.hosts);
	while (str_split(&have.hosts, ',', &host)) {
		if (!port_is_number(host) || !like(a, want.hosts, host))
			return false;
	}
	return true;
}

static bool listed(const struct app *app, struct arena *a, struct str url, const struct dsn *dsn)
{
	for (size_t i = 0; i < app->n_allow_urls; i++) {
		struct str pattern = app->allow_urls[i];
		if (like(a, pattern, url) &&
		    (dsn->dialect == DIALECT_SQLITE ? !climbs(dsn->path) : same_place(a, pattern, dsn->conninfo)))
			return true;
	}
	return app->n_allow_urls == 0;
}

/* ---- sqlite_dir ---- */

/* What stands after "dir/", if path lies in it. */
static bool below(struct str path, struct str dir, struct str *ret)
{
	if (dir.len == 0 || !str_starts(path, dir) || path.len <= dir.len || path.p[dir.len] != '/')
		return false;
	*ret = str_n(path.p + dir.len + 1, path.len - dir.len - 1);
	return true;
}

/* The same URL with another path. */
static struct str with_path(struct arena *a, struct str url, struct str dir, struct str path)
{
	struct str query = url, head, full = arena_printf(a, "%.*s/%.*s", STR_FMT(dir), STR_FMT(path));
	struct strbuf b;
	(void)str_split(&query, '?', &head);
	strbuf_init(&b, 0);
	strbuf_puts(&b, "sqlite:");
	for (struct str part; str_split(&full, '/', &part);) {
		out_segment(&b, part);
		if (full.p != NULL)
			strbuf_putc(&b, '/');
	}
	if (query.p != NULL) {
		strbuf_putc(&b, '?');
		strbuf_put(&b, query);
	}
	struct str made = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return made;
}

/* Links are the driver's business: it sees the file when it opens it. */
static bool bind_path(const struct app *app, struct arena *a, const struct dsn *dsn, struct str *url, struct err *err)
{
	struct str path = dsn->path;
	if (app->sqlite_dir.p == NULL || dsn->mode == SQLITE_MODE_MEMORY)
		return true;
	if (climbs(path))
		return refuse(err, "a path with \"..\"");
	if (below(path, app->sqlite_dir, &path))
		return true;
	if (path.p[0] == '/' && !below(path, app->sqlite_dir_given, &path))
		return refuse(err, "SQLite files lie in the server's own directory; give a path relative to it");
	*url = with_path(a, *url, app->sqlite_dir, path);
	return true;
}

bool url_allowed(const struct app *app, struct arena *a, struct str *url, struct err *err)
{
	struct dsn dsn;
	struct err ignored;
	if (!dsn_parse(a, *url, &dsn, &ignored))
		return true;
	if (!listed(app, a, *url, &dsn))
		return refuse(err, "it matches none of allow_urls");
	if (dsn.dialect == DIALECT_SQLITE)
		return bind_path(app, a, &dsn, url, err);
	bool bound = app->n_allow_urls > 0 || app->sqlite_dir.p != NULL;
	if (!app->allow_url_files && names_key(dsn.conninfo, file_keys, bound ? ARRAY_LEN(file_keys) : N_LENDING))
		return refuse(err, "a parameter that names a file of the server (\"allow_url_files\")");
	return true;
}

bool url_bind(const struct app *app, struct arena *a, struct str *url, struct err *err)
{
	struct dsn dsn;
	return dsn_parse(a, *url, &dsn, err) && (dsn.dialect != DIALECT_SQLITE || bind_path(app, a, &dsn, url, err));
}
