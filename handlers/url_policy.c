/* Bounds on database URLs. Pure but for reading its arguments. */
#include "handlers/url_policy.h"

#include <fnmatch.h>

#include "handlers/render.h"

#include "service/base/banned.h"

static bool refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_FORBIDDEN, "the server's policy refuses this URL: %s", why);
}

static bool listed(const struct app *app, struct arena *a, struct str url)
{
	const char *z = arena_strz(a, url);
	for (size_t i = 0; i < app->n_allow_urls; i++) {
		if (fnmatch(arena_strz(a, app->allow_urls[i]), z, FNM_NOESCAPE) == 0)
			return true;
	}
	return app->n_allow_urls == 0;
}

/* libpq parameters that make the server use files of its own. The first lend the caller what is in them: passwords,
 * keys, whole sets of parameters; the others say whom to trust. */
static const char *const file_keys[] = {"passfile",      "service",     "servicefile", "sslcert",  "sslkey",
					"sslkeylogfile", "sslrootcert", "sslcrl",      "sslcrldir"};
#define N_LENDING 6

static bool any_key(struct str query, size_t n_keys)
{
	for (struct str part, key; str_split(&query, '&', &part);) {
		(void)str_split(&part, '=', &key);
		/* An encoded key is no way around. */
		if (key.len > 0 && memchr(key.p, '%', key.len) != NULL)
			return true;
		for (size_t i = 0; i < n_keys; i++) {
			if (str_ieq_z(key, file_keys[i]))
				return true;
		}
	}
	return false;
}

/* Which '?' begins the query is libpq's decision, and a user's name may hold one: what follows any counts. */
static bool names_local_file(struct str conninfo, size_t n_keys)
{
	struct str part;
	(void)str_split(&conninfo, '?', &part);
	while (str_split(&conninfo, '?', &part)) {
		if (any_key(part, n_keys))
			return true;
	}
	return false;
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
	if (!listed(app, a, *url))
		return refuse(err, "it matches none of allow_urls");
	if (dsn.dialect == DIALECT_SQLITE)
		return bind_path(app, a, &dsn, url, err);
	bool bound = app->n_allow_urls > 0 || app->sqlite_dir.p != NULL;
	if (!app->allow_url_files && names_local_file(dsn.conninfo, bound ? ARRAY_LEN(file_keys) : N_LENDING))
		return refuse(err, "a parameter that names a file of the server (\"allow_url_files\")");
	return true;
}

bool url_bind(const struct app *app, struct arena *a, struct str *url, struct err *err)
{
	struct dsn dsn;
	return dsn_parse(a, *url, &dsn, err) && (dsn.dialect != DIALECT_SQLITE || bind_path(app, a, &dsn, url, err));
}
