/* Every case of ddl.json: a schema in, the statements of create-tables out, per dialect; and the reference's vectors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "store/ddl/ddl.h"
#include "tests/support/golden.h"

static void compare(struct arena *a, const char *name, const struct dialect *d, const json_t *expected,
		    const struct ddl_plan *p)
{
	for (size_t i = 0; i < json_array_size(expected) && i < p->n_statements; i++) {
		struct str want = json_str(json_array_get(expected, i));

		if (!str_eq(want, p->statements[i]))
			fail_msg("%s (%s), statement %zu:\n  want %.*s\n  got  %.*s", name, d->name, i, STR_FMT(want),
				 STR_FMT(p->statements[i]));
	}
	if (json_array_size(expected) != p->n_statements)
		fail_msg("%s (%s): %zu statements instead of %zu; statement %zu is %s", name, d->name, p->n_statements,
			 json_array_size(expected), json_array_size(expected),
			 p->n_statements > json_array_size(expected)
				 ? arena_strz(a, p->statements[json_array_size(expected)])
				 : "missing");
	assert_int_equal(p->n_warnings, 0);
}

static size_t run(struct arena *a, const json_t *c, const struct dialect *d)
{
	const char *name = json_string_value(json_object_get(c, "name"));
	const json_t *expected = json_object_get(c, d->name);
	const char *error = json_string_value(json_object_get(json_object_get(c, "error"), d->name));
	struct schema *s = golden_schema(a, json_object_get(c, "schema"));
	struct ddl_plan p;
	struct err err;
	bool ok;

	ddl_plan_init(&p, a);
	ok = ddl_create_all(d, s, NULL, NULL, &p, &err);
	if (error != NULL && (ok || err.code != ERR_INVALID_SCHEMA || strstr(err.detail, error) == NULL))
		fail_msg("%s (%s): %s", name, d->name, ok ? "was not refused" : err.detail);
	if (expected != NULL && !ok)
		fail_msg("%s (%s): refused: %s", name, d->name, err.detail);
	if (expected != NULL)
		compare(a, name, d, expected, &p);
	schema_unref(s);
	return (size_t)(expected != NULL) + (size_t)(error != NULL);
}

static void test_cases(void **state UNUSED)
{
	struct arena a;
	const json_t *cases;
	size_t checked = 0;

	arena_init(&a);
	cases = json_object_get(golden_load(&a, "tests/golden/ddl.json"), "cases");
	for (size_t i = 0; i < json_array_size(cases); i++) {
		checked += run(&a, json_array_get(cases, i), &dialect_sqlite);
		checked += run(&a, json_array_get(cases, i), &dialect_postgres);
	}
	assert_true(checked >= 50);
	arena_done(&a);
}

static void shadow(const struct dialect *d, const char *path)
{
	struct arena a;
	struct schema *s;
	struct ddl_plan p;
	struct err err;
	const json_t *want;

	arena_init(&a);
	want = json_array_get(json_object_get(golden_load(&a, path), "create_table"), 0);
	s = golden_shadow_schema(&a);
	ddl_plan_init(&p, &a);
	assert_true(ddl_create_all(d, s, NULL, NULL, &p, &err));
	assert_int_equal(p.n_statements, 1);
	assert_string_equal(p.statements[0].p, json_string_value(want));
	schema_unref(s);
	arena_done(&a);
}

static void test_shadow_vectors(void **state UNUSED)
{
	golden_each_shadow(shadow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_shadow_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
