/* Defaults and checks as a database's catalog spells them. */
#include "store/migrate/live_literal.h"
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
	return 0;
}
