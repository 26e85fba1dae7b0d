/* Defaults and checks as a database's catalog spells them, and how two are compared: what is before a NUL and what is
 * behind it. */
#include <stdlib.h>

#include "store/migrate/live_literal.h"
#include "store/schema/schema_sql_same.h"
#include "tests/fuzz/fuzz_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str text = fuzz_text(data, size);
	struct literal_check check;
	struct literal one;
	struct arena a;

	arena_init(&a);
	if (literal_read(text, &one) && one.kind == LITERAL_TEXT)
		(void)literal_text(&a, &one);
	if (literal_check_read(&a, text, &check))
		for (size_t i = 0; i < check.n_values; i++)
			if (check.values[i].kind == LITERAL_TEXT)
				(void)literal_text(&a, &check.values[i]);
	arena_done(&a);
	struct str first, rest = text;
	(void)str_split(&rest, '\0', &first);
	for (int d = 0; d < 2; d++) {
		const enum dialect_id id = d == 0 ? DIALECT_SQLITE : DIALECT_POSTGRES;
		if (!schema_sql_same(id, first, first) ||
		    schema_sql_same(id, first, rest) != schema_sql_same(id, rest, first))
			abort();
	}
	return 0;
}
