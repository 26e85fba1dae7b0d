/* Scopes of the calling principal. Without configured keys there is no principal and everything is allowed. */
#include "service/auth/auth.h"

#include "service/base/banned.h"

static const char *const scope_words[] = {
	[SCOPE_NONE] = "none",     [SCOPE_ANY] = "any", [SCOPE_READ] = "read",  [SCOPE_WRITE] = "write",
	[SCOPE_SCHEMA] = "schema", [SCOPE_SQL] = "sql", [SCOPE_ADMIN] = "admin"};

const char *scope_name(enum scope s)
{
	return scope_words[s];
}

bool scope_of(struct str word, enum scope *ret)
{
	for (unsigned s = SCOPE_READ; s <= SCOPE_ADMIN; s++) {
		if (str_eq_z(word, scope_words[s])) {
			*ret = (enum scope)s;
			return true;
		}
	}
	return false;
}

struct str principal_name(const struct request *req)
{
	return req->principal != NULL ? req->principal->name : STR("");
}

bool principal_has(const struct request *req, enum scope s)
{
	const struct principal *p = req->principal;
	if (p == NULL || s == SCOPE_NONE || s == SCOPE_ANY)
		return true;
	return (p->scopes & ((1u << s) | (1u << SCOPE_ADMIN))) != 0;
}

bool principal_bound(const struct request *req)
{
	return req->principal != NULL && req->principal->connections != NULL;
}

bool principal_sees(const struct request *req, struct str connection)
{
	const struct principal *p = req->principal;
	if (!principal_bound(req))
		return true;
	for (size_t i = 0; i < p->n_connections; i++)
		if (str_eq(p->connections[i], connection))
			return true;
	return false;
}

bool principal_has_set(const struct request *req, struct str set)
{
	const struct principal *p = req->principal;
	if (p == NULL || p->sets == NULL)
		return true;
	for (size_t i = 0; i < p->n_sets; i++)
		if (str_eq(p->sets[i], set))
			return true;
	return false;
}

struct principal_quotas principal_quotas(const struct request *req)
{
	return req->principal != NULL ? req->principal->quotas : (struct principal_quotas){0};
}

bool principal_connection(const struct request *req, struct str connection, struct err *err)
{
	/* the same for one that is there and one that is not; its name may be one that the caller never said */
	return principal_sees(req, connection) || err_set(err, ERR_FORBIDDEN, "this key may not use that connection");
}
