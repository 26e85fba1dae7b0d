/* The filter grammar of lists: one query string, as the server decodes it. */
#include "handlers/records/list_filter.h"
#include "service/http/router.h"
#include "tests/fuzz/fuzz_common.h"

static size_t parse(struct arena *a, struct str rest, struct http_pair *args, size_t max)
{
	struct str pair, name;
	size_t n = 0;
	while (n < max && str_split(&rest, '&', &pair)) {
		(void)str_split(&pair, '=', &name);
		if (router_percent_decode(a, name, true, &args[n].name) &&
		    router_percent_decode(a, pair.p != NULL ? pair : STR(""), true, &args[n].value))
			n++;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_pair args[64];
	struct err err;
	for (int i = 0; i < 2; i++) {
		const struct dialect *d = i == 0 ? &dialect_sqlite : &dialect_postgres;
		struct request req = {.args = args};
		arena_init(&req.arena);
		req.n_args = parse(&req.arena, fuzz_text(data, size), args, ARRAY_LEN(args));
		struct query *q = query_new(&req.arena, fuzz_schema(), d, schema_model(fuzz_schema(), STR("User")));
		struct stmt s;
		struct result_shape shape;
		if (list_filter(&req, &req.arena, q, &err))
			(void)!query_lower_select(&req.arena, q, &s, &shape, &err);
		arena_done(&req.arena);
	}
	return 0;
}
