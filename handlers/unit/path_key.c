/* The primary key in a path. */
#include "handlers/unit/path_key.h"

#include "service/base/banned.h"

bool path_key(struct request *req, const struct dialect *d, const struct model *m, size_t param, struct value **ret,
	      struct err *err)
{
	if (m->n_pk == 0)
		return err_set(err, ERR_INVALID_QUERY, "model \"%.*s\" has no primary key; use the query endpoints",
			       STR_FMT(m->name));
	if (query_key_from_text(&req->arena, d, m, req->params[param], ret, err))
		return true;
	if (err->code == ERR_INVALID_VALUE)
		return err_set(err, ERR_RECORD_NOT_FOUND, "no record of \"%.*s\" has that key", STR_FMT(m->name));
	return false;
}
