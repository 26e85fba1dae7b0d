/*
 * Which database URLs a caller may name (api section 11 and its fine print, "Keys"). Owns nothing: the patterns are
 * struct app's.
 */
#ifndef FERROD_HANDLERS_URL_POLICY_H
#define FERROD_HANDLERS_URL_POLICY_H

#include "handlers/app.h"

/* ERR_FORBIDDEN when allow_urls, sqlite_dir or the ban on local-file parameters refuses the URL; true for a URL that
 * does not parse (connect says what is wrong with it). On success *url may be another text in `a`: a relative SQLite
 * path moved into sqlite_dir. */
bool url_allowed(const struct app *app, struct arena *a, struct str *url, struct err *err) MUST_CHECK;

/* The operator's own URL, which sqlite_dir alone binds. *url as above; ERR_FORBIDDEN, and what dsn_parse says. */
bool url_bind(const struct app *app, struct arena *a, struct str *url, struct err *err) MUST_CHECK;

#endif
