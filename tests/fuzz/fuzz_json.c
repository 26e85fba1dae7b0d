/* Any bytes as JSON: what the quick reader takes, the other takes for the same tree. */
#include "service/base/json_quick.h"
#include "tests/fuzz/fuzz_common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str text = str_n((const char *)data, size);
	struct arena a;
	struct err err;
	json_t *quick, *slow;

	arena_init(&a);
	quick = json_quick(&a, text, SIZE_MAX);
	if (quick != NULL) {
		/* an escape beside the text keeps the quick reader away */
		if (!json_parse(&a, arena_printf(&a, "[\"\\u0020\",%.*s]", STR_FMT(text)), &slow, &err) ||
		    json_array_size(slow) != 2 || !json_equal(quick, json_array_get(slow, 1)))
			abort();
		json_decref(quick);
	}
	arena_done(&a);
	return 0;
}
