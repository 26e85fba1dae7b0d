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

/* libpq parameters that make the server read its own files. */
static bool names_local_file(struct str url)
{
	static const char *const keys[] = {"passfile", "service",     "servicefile", "sslcert",
					   "sslkey",   "sslrootcert", "sslcrl",      "sslcrldir"};
	struct str rest = url;
	struct str part;
	(void)str_split(&rest, '?', &part);
	while (str_split(&rest, '&', &part)) {
		struct str key;
		(void)str_split(&part, '=', &key);
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			if (str_ieq_z(key, keys[i]))
				return true;
		}
		/* An encoded key is no way around. */
		if (key.len > 0 && memchr(key.p, '%', key.len) != NULL)
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

/* Relative paths lie in sqlite_dir, others must. */
static bool bind_path(const struct app *app, struct arena *a, const struct dsn *dsn, struct str *url, struct err *err)
{
	struct str dir = app->sqlite_dir;
	struct str path = dsn->path;
	if (dir.p == NULL || path.len == 0 || dsn->mode == SQLITE_MODE_MEMORY)
		return true;
	if (climbs(path))
		return refuse(err, "a path with \"..\"");
	if (path.p[0] == '/') {
		if (str_starts(path, dir) && path.len > dir.len && path.p[dir.len] == '/')
			return true;
		return refuse(err, "SQLite files lie in the server's own directory; give a path relative to it");
	}
	struct str query = *url;
	struct str head;
	struct strbuf b;
	(void)str_split(&query, '?', &head);
	strbuf_init(&b, 0);
	strbuf_puts(&b, "sqlite:");
	struct str full = arena_printf(a, "%.*s/%.*s", STR_FMT(dir), STR_FMT(path));
	for (struct str part; str_split(&full, '/', &part);) {
		out_segment(&b, part);
		if (full.p != NULL)
			strbuf_putc(&b, '/');
	}
	if (query.p != NULL) {
		strbuf_putc(&b, '?');
		strbuf_put(&b, query);
	}
	*url = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
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
	if (bound && names_local_file(*url))
		return refuse(err, "a parameter that names a file of the server");
	return true;
}
