/* The servers that share the state. */
#include "handlers/answer/render.h"
#include "handlers/handlers.h"
#include "handlers/unit/context.h"

#include "service/base/banned.h"

bool handle_nodes(struct request *req, struct response *res, struct err *err)
{
	struct state_node *list;
	size_t n;
	if (!request_args_known(req, context_no_args, err) ||
	    !node_list(request_app(req)->node, &req->arena, &list, &n, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_puts(b, "{\"nodes\":[");
	for (size_t i = 0; i < n; i++) {
		strbuf_puts(b, i > 0 ? ",{" : "{");
		out_str(b, "node", list[i].name);
		out_str(b, "url", list[i].url.len > 0 ? list[i].url : STR_NONE);
		out_str(b, "version", list[i].version);
		out_instant(b, "started_at", list[i].started_us);
		out_instant(b, "seen_at", list[i].seen_us);
		out_bool(b, "draining", list[i].draining != 0);
		out_int(b, "sessions", list[i].sessions);
		out_int(b, "transactions", list[i].transactions);
		strbuf_putc(b, '}');
	}
	strbuf_puts(b, "]}");
	return true;
}
