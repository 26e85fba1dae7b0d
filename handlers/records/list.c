/* Records by filter: GET on a model's records. */
#include "handlers/records/list.h"

#include "handlers/handlers.h"
#include "handlers/records/list_args.h"
#include "handlers/records/list_filter.h"
#include "handlers/answer/select.h"

#include "service/base/banned.h"

bool list_answer(struct context *c, struct query *q, struct err *err)
{
	bool ok = list_args_spread(c->req, err) && list_filter(c->req, &c->req->arena, q, err) &&
		  select_answer(c, q, err);
	/* the cursor is an argument here, not a member of a query */
	if (!ok && err->code == ERR_INVALID_QUERY && err->has_pointer && str_eq_z(str_z(err->pointer), "/cursor")) {
		struct str detail = arena_str(&c->req->arena, str_z(err->detail));
		return err_set(err, ERR_INVALID_PARAMETERS, "cursor: %.*s", STR_FMT(detail));
	}
	return ok;
}

bool handle_records_list(struct request *req, struct response *res, struct err *err)
{
	struct context c;
	struct context_spec spec = {0};
	const struct model *m;
	if (!context_open(&c, req, res, &spec, err))
		return false;
	bool ok = context_path_model(&c, false, &m, err) &&
		  list_answer(&c, query_new(&req->arena, c.schema, c.route.conn->dialect, m), err);
	return context_close(&c, ok, err);
}
