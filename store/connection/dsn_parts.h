/* Where the secrets of a database URL are, for texts of any shape. Private to dsn.c; pure. */
#ifndef FERROD_STORE_CONNECTION_DSN_PARTS_H
#define FERROD_STORE_CONNECTION_DSN_PARTS_H

#include "service/base/arena.h"
#include "service/base/str.h"

#define DSN_REDACTED "<redacted>"

/* head [":" password] tail ["?" query]; all borrow from the URL. */
struct dsn_parts {
	bool opaque;         /* no URL that we understand: nothing but head (its scheme, may be empty) may be shown */
	struct str head;     /* scheme, "://" and the user; all before the query when there is no user information */
	struct str password; /* STR_NONE: none */
	struct str tail;     /* from the '@' to the query */
	struct str query;    /* after the '?'; STR_NONE: none */
};

struct dsn_parts dsn_split(struct str url);

/* True for a parameter whose value must not be shown: by its name, or because the value may be the end of a password
 * that was not percent-encoded. */
bool dsn_is_secret(struct arena *a, const struct dsn_parts *parts, struct str key, struct str value);

/* RFC 3986 scheme; an underscore passes, too. */
bool dsn_is_scheme(struct str s);

/* Percent-decoded into the arena (an absent span gives ""); false when malformed. '+' is itself. */
bool dsn_percent_decode(struct arena *a, struct str s, struct str *ret) MUST_CHECK;

#endif
