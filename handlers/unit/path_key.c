/* The primary key in a path. */
#include "handlers/unit/path_key.h"

#include "service/http/router.h"

#include "service/base/banned.h"

/* Commas between the parts as they are, those within them percent-encoded: what a Location is. False: it is sent
 * otherwise, all of it encoded, say. */
static bool path_parts(struct request *req, const struct model *m, size_t param, struct str **ret)
{
	struct str rest = req->raw_params[param], raw;
	struct str *parts = arena_array(&req->arena, m->n_pk, sizeof(*parts));
	size_t n = 0;

	while (str_split(&rest, ',', &raw)) {
		if (n == m->n_pk || !router_percent_decode(&req->arena, raw, false, &parts[n]))
			return false;
		n++;
	}
	*ret = parts;
	return n == m->n_pk;
}

bool path_key(struct request *req, const struct dialect *d, const struct model *m, size_t param, struct value **ret,
	      struct err *err)
{
	struct str *parts;
	if (m->n_pk == 0)
		return err_set(err, ERR_INVALID_QUERY, "model \"%.*s\" has no primary key; use the query endpoints",
			       STR_FMT(m->name));
	if (m->n_pk > 1 && path_parts(req, m, param, &parts)
		    ? query_key_from_parts(&req->arena, d, m, parts, ret, err)
		    : query_key_from_text(&req->arena, d, m, req->params[param], ret, err))
		return true;
	if (err->code == ERR_INVALID_VALUE)
		return err_set(err, ERR_RECORD_NOT_FOUND, "no record of \"%.*s\" has that key", STR_FMT(m->name));
	return false;
}
