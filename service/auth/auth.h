/*
 * Credential -> principal with scopes. A principal is owned by the set of keys it came from or by its request's arena.
 */
#ifndef FERROD_SERVICE_AUTH_H
#define FERROD_SERVICE_AUTH_H

#include "service/auth/setting.h"
#include "service/http/request.h"
#include "service/http/router.h"

/* What its key says of its shares; a member 0: as the settings say. */
struct principal_quotas {
	int64_t connections, transactions, sessions, requests, idempotency_entries, idempotency_bytes;
	int64_t rate_per_second, rate_burst;
};

struct principal {
	struct str name;
	unsigned scopes;               /* bit (1 << enum scope) */
	const struct str *connections; /* NULL: all */
	size_t n_connections;
	const struct str *sets; /* of models, that it may change; NULL: all */
	size_t n_sets;
	struct setting_list settings;       /* fixed: what all its requests tell the database */
	const struct str *settings_allowed; /* names that its requests may give beside; NULL: all, or none where some
					       are fixed */
	size_t n_settings_allowed;
	struct str role; /* that its requests take where the connection acts by role; STR_NONE: none */
	struct principal_quotas quotas;
};

/* "read", "write" ...; static. */
const char *scope_name(enum scope s);
/* By wire name: read, write, schema, sql, admin. */
bool scope_of(struct str word, enum scope *ret) MUST_CHECK;

/* The owner's name for sessions and transactions; "" without keys. */
struct str principal_name(const struct request *req);
/* True without keys, or when the principal has the scope (admin implies the rest). */
bool principal_has(const struct request *req, enum scope s);
/* Has its key a list of connections? It learns nothing of others then, not even whether they exist. */
bool principal_bound(const struct request *req);
/* Is the connection, there or not, one that the principal may know of? */
bool principal_sees(const struct request *req, struct str connection);
/* The same with an error: ERR_FORBIDDEN, before anybody looks whether it is there. */
bool principal_connection(const struct request *req, struct str connection, struct err *err) MUST_CHECK;
/* May it change the models of that set? */
bool principal_has_set(const struct request *req, struct str set);
/* May its requests give the setting? ERR_FORBIDDEN: it is fixed, to another value, or not among those allowed. */
bool principal_may_set(const struct request *req, const struct named_setting *s, struct err *err) MUST_CHECK;
/* Its quotas; all 0 without keys. */
struct principal_quotas principal_quotas(const struct request *req);

/* Has `now` all scopes, connections, sets and settings allowed that `was` had, and the same settings and role fixed? */
bool principal_covers(const struct principal *now, const struct principal *was);
/* What the principal may do, as a JSON object to be kept with what it was answered; in the arena, or static. */
struct str principal_rights(const struct request *req, struct arena *a);
/* Has the principal all that such an object says? NULL: it says that its key was bound to nothing. */
bool principal_still_has(struct request *req, const json_t *rights);

#endif
