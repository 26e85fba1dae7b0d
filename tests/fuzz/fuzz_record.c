/* Records on the quick way: what it accepts, the parser and record_from_json accept too, as the same row. */
#include "store/query/query.h"
#include "tests/fuzz/fuzz_common.h"

static bool same(struct value x, struct value y)
{
	if (x.kind != y.kind)
		return false;
	switch (x.kind) {
	case VALUE_NULL:
		return true;
	case VALUE_BOOL:
		return x.u.b == y.u.b;
	case VALUE_INT:
		return x.u.i == y.u.i;
	case VALUE_DOUBLE:
		return memcmp(&x.u.d, &y.u.d, sizeof(x.u.d)) == 0;
	case VALUE_TEXT:
	case VALUE_BYTES:
	case VALUE_JSON:
		break;
	}
	return str_eq(x.u.s, y.u.s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct model *m = schema_model(fuzz_schema(), STR("User"));
	struct str text = fuzz_text(data, size);
	for (int i = 0; i < 2; i++) {
		const struct dialect *d = i == 0 ? &dialect_sqlite : &dialect_postgres;
		struct record_row quick, slow;
		struct arena a;
		struct err err;
		json_t *doc;
		arena_init(&a);
		if (record_from_text(&a, d, m, text, &quick)) {
			if (!json_parse(&a, text, &doc, &err) ||
			    !record_from_json(&a, d, m, doc, "", RECORD_CREATE, &slow, &err))
				abort();
			for (size_t k = 0; k < m->n_columns; k++)
				if (quick.given[k] != slow.given[k] ||
				    (quick.given[k] && !same(quick.values[k], slow.values[k])))
					abort();
		}
		arena_done(&a);
	}
	return 0;
}
