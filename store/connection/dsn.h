/* Database URLs: parsed, checked, redacted. Pure. */
#ifndef FERROD_STORE_CONNECTION_DSN_H
#define FERROD_STORE_CONNECTION_DSN_H

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/str.h"
#include "store/dialect/dialect.h"

enum sqlite_mode { SQLITE_MODE_RW, SQLITE_MODE_RO, SQLITE_MODE_RWC, SQLITE_MODE_MEMORY };

struct dsn {
	enum dialect_id dialect;
	struct str redacted; /* for clients and logs: never a secret */
	/* SQLite */
	struct str path; /* percent-decoded; "" for an in-memory database */
	enum sqlite_mode mode;
	bool immutable;
	/* PostgreSQL: the URL for PQconninfoParse, ferro_search_path cut out. Secret: never shown. */
	struct str conninfo;
	struct str search_path; /* STR_NONE: none; used quoted */
};

/* Parses into the arena. ERR_UNSUPPORTED_SCHEME, ERR_INVALID_URL, ERR_INVALID_SEARCH_PATH; details are redacted. */
bool dsn_parse(struct arena *a, struct str url, struct dsn *ret, struct err *err) MUST_CHECK;

/* user:<redacted>@host and key=<redacted> for secret query keys; proper URL parsing, any '@' in a password. */
struct str dsn_redact(struct arena *a, struct str url);

/* Removes every occurrence of the URL's secrets from a driver's message. In the arena. */
struct str dsn_scrub(struct arena *a, const struct dsn *dsn, struct str message);

#endif
