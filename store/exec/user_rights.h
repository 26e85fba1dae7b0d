/*
 * What a pool's user may do by itself (PostgreSQL). Where requests act by role, SQL of a client's own can take the role
 * off again: it is worth what that user may do, which should be nothing but to take roles. Tables of this server's own
 * (_ferrod_*) do not count.
 */
#ifndef FERROD_STORE_EXEC_USER_RIGHTS_H
#define FERROD_STORE_EXEC_USER_RIGHTS_H

#include "service/base/strbuf.h"
#include "store/connection/registry.h"

#define USER_RIGHTS_TABLES_MAX 100 /* that are told */

struct user_rights {
	bool any;
	struct str why;           /* for people; any only, like all that follows */
	const struct str *tables; /* with their schemas; those that it owns or may read or write */
	size_t n_tables;
	bool more; /* there are others */
};

/* Looks, and notes it for user_rights_any. A connection that does not act by role has none that count: it is not
 * asked. Texts in the arena. Parks; has a connection beyond the pool's. */
bool user_rights_look(struct connection *c, struct arena *a, int64_t deadline, struct user_rights *ret,
		      struct err *err) MUST_CHECK;
/* What was last noted, within a minute: else it is looked. Parks then. */
bool user_rights_any(struct connection *c, struct arena *a, int64_t deadline, bool *ret, struct err *err) MUST_CHECK;

#endif
