/* Emptying a session's identity map, whole or by one record. */
#include "handlers/unit/context.h"
#include "handlers/handlers.h"
#include "handlers/unit/path_key.h"
#include "handlers/answer/render.h"

#include "service/base/banned.h"

bool handle_imap_clear(struct request *req, struct response *res, struct err *err)
{
	struct session *s;
	if (!request_args_known(req, context_no_args, err) || !session_of_request(req, res, true, &s, err))
		return false;
	imap_clear(s->imap);
	session_done(req, s);
	res->status = 204;
	return true;
}

static bool evict(struct request *req, struct session *s, struct err *err)
{
	struct schema *schema = schema_registry_get(&request_app(req)->store->models);
	const struct model *m = schema_model(schema, req->params[0]);
	struct value *key;
	bool ok = m != NULL;
	if (!ok)
		(void)err_set(err, ERR_MODEL_NOT_FOUND,
			      "no model \"%.*s\" is registered; register it with POST /v1/models",
			      STR_FMT(req->params[0]));
	if (ok && path_key(req, s->conn->dialect, m, 1, &key, err))
		imap_evict(s->imap, m->name, query_identity_key(&req->arena, m, key));
	else if (ok)
		ok = err->code == ERR_RECORD_NOT_FOUND; /* no record can have this key: it is not in the map */
	schema_unref(schema);
	return ok;
}

bool handle_imap_evict(struct request *req, struct response *res, struct err *err)
{
	struct session *s;
	if (!request_args_known(req, context_no_args, err) || !session_of_request(req, res, true, &s, err))
		return false;
	bool ok = evict(req, s, err);
	session_done(req, s);
	if (ok)
		res->status = 204;
	return ok;
}
