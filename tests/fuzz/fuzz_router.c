/* Paths: any bytes match a route with decoded parameters, or none. The first byte chooses the method. */
#include "handlers/routes.h"
#include "tests/fuzz/fuzz_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request req = {0};
	struct str allow;
	if (size == 0)
		return 0;
	arena_init(&req.arena);
	struct route_table t = routes_table();
	req.method = (enum http_method)(data[0] % (HTTP_OTHER + 1));
	req.path = fuzz_text(data + 1, size - 1);
	if (router_match(&t, &req, &allow) == ROUTE_FOUND)
		for (size_t i = 0; i < req.n_params; i++)
			if (!str_is_utf8(req.params[i]) || memchr(req.params[i].p, '\0', req.params[i].len) != NULL)
				abort();
	arena_done(&req.arena);
	return 0;
}
