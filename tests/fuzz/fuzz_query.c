/* Strict JSON -> QueryIR -> SQL on both dialects: what parses must lower or be refused with a pointer, never crash. */
#include "store/query/query.h"
#include "tests/fuzz/fuzz_common.h"

static void lower(struct arena *a, const json_t *doc, const struct dialect *d)
{
	struct query *q;
	struct stmt s;
	struct result_shape shape;
	struct err err;
	if (!query_from_json(a, fuzz_schema(), d, doc, "", &q, &err)) {
		if (err_code_name(err.code) == NULL || err.detail[0] == '\0')
			abort();
		return;
	}
	(void)!query_lower_select(a, q, &s, &shape, &err);
	(void)!query_lower_count(a, q, &s, &err);
	(void)!query_lower_exists(a, q, &s, &err);
	(void)!query_lower_delete(a, q, true, &s, &shape, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct err err;
	json_t *doc;
	arena_init(&a);
	if (json_parse(&a, fuzz_text(data, size), &doc, &err)) {
		lower(&a, doc, &dialect_sqlite);
		lower(&a, doc, &dialect_postgres);
	}
	arena_done(&a);
	return 0;
}
