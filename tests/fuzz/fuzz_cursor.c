/* Page cursors: whatever a client sends as one is refused or leads to a query that lowers. */
#include "handlers/page.h"
#include "tests/fuzz/fuzz_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct err err;
	struct page page;
	struct stmt s;
	struct result_shape shape;
	arena_init(&a);
	const struct model *m = schema_model(fuzz_schema(), STR("User"));
	struct query *q = query_new(&a, fuzz_schema(), &dialect_postgres, m);
	q->has_limit = true;
	q->limit = 10;
	q->cursor = arena_str(&a, fuzz_text(data, size));
	if (page_prepare(&a, q, "", &page, &err))
		(void)!query_lower_select(&a, page.run, &s, &shape, &err);
	arena_done(&a);
	return 0;
}
