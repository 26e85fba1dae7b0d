/* SchemaIR: what is accepted has a fingerprint, parses again to the same one, and has DDL or a refusal. */
#include "store/ddl/ddl.h"
#include "tests/fuzz/fuzz_common.h"

/* What would be answered. */
static json_t *envelope_of(struct arena *a, const struct schema *s)
{
	struct strbuf b;
	json_t *v;
	struct err err;
	strbuf_init(&b, 0);
	schema_write(&b, s, NULL, NULL);
	if (!json_parse(a, strbuf_str(&b), &v, &err))
		abort();
	strbuf_done(&b);
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct err err;
	json_t *doc;
	struct schema *s, *again;
	arena_init(&a);
	if (json_parse(&a, fuzz_text(data, size), &doc, &err) && schema_from_json(doc, NULL, &a, &s, &err)) {
		struct ddl_plan plan;
		for (int i = 0; i < 2; i++) {
			ddl_plan_init(&plan, &a);
			(void)!ddl_create_all(i == 0 ? &dialect_sqlite : &dialect_postgres, s, NULL, NULL, &plan, &err);
		}
		if (!schema_from_json(envelope_of(&a, s), NULL, &a, &again, &err) ||
		    strcmp(schema_fingerprint(s), schema_fingerprint(again)) != 0)
			abort(); /* the canonical form must be a fixed point */
		schema_unref(again);
		schema_unref(s);
	}
	arena_done(&a);
	return 0;
}
