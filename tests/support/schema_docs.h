/* Models as documents: made, or refused, in tests of what reads them. */
#ifndef FERROD_TESTS_SUPPORT_SCHEMA_DOCS_H
#define FERROD_TESTS_SUPPORT_SCHEMA_DOCS_H

#include "store/schema/schema_json.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"

#define ID "{'name':'id','logical_type':'integer','primary_key':true}"

static inline json_t *doc(const char *text)
{
	return golden_quoted(&arena, text);
}

static inline struct schema *made(const char *text)
{
	return golden_schema(&arena, doc(text));
}

/* The document is refused with a fault at this pointer whose detail holds these words. */
static inline void refused(const char *text, const char *pointer, const char *words)
{
	struct schema *s = NULL;

	if (schema_from_json(doc(text), NULL, &arena, &s, &err)) {
		schema_unref(s);
		fail_msg("was not refused: %s", text);
	}
	assert_int_equal(err.code, ERR_INVALID_SCHEMA);
	for (size_t i = 0; i < err.n_faults; i++)
		if (strcmp(err.faults[i].pointer, pointer) == 0 && strstr(err.faults[i].detail, words) != NULL)
			return;
	fail_msg("no fault at %s with \"%s\" but %zu others, first %s: %s", pointer, words, err.n_faults,
		 err.faults[0].pointer, err.faults[0].detail);
}

/* The same, and the fault comes before all others. */
static inline void refused_first(const char *text, const char *pointer, const char *words)
{
	refused(text, pointer, words);
	assert_string_equal(err.faults[0].pointer, pointer);
	assert_non_null(strstr(err.faults[0].detail, words));
}

#endif
