/* Readers of catalog texts: CREATE TABLE on SQLite, defaults and checks on both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/base/mem.h"
#include "store/driver/sqlite/sqlite_table_text.h"
#include "store/migrate/live_literal.h"

static const char create[] =
	"CREATE TABLE IF NOT EXISTS \"a \"\" (\" (id INTEGER PRIMARY KEY AUTOINCREMENT, -- ), CHECK (no)\n"
	"\tname text NOT NULL DEFAULT ') CHECK (x' /* COLLATE */ CHECK (length(name) > (1 + 1)),\n"
	"\t[up id] int CONSTRAINT \"to \"\"up\" REFERENCES up (id) ON DELETE CASCADE, other int REFERENCES up,\n"
	"\tCONSTRAINT many CHECK (name IN ('a', ')')), CONSTRAINT pair FOREIGN KEY (a, b) REFERENCES p (a, b))";

static void test_create_table(void **state UNUSED)
{
	struct table_text t;
	struct arena a;

	arena_init(&a);
	table_text_read(&a, str_z(create), &t);
	assert_true(str_eq_z(t.autoincrement, "id"));
	assert_null(t.peculiar);
	assert_int_equal(t.n_checks, 2);
	assert_null(t.checks[0].name.p);
	assert_true(str_eq_z(t.checks[0].expression, "length(name) > (1 + 1)"));
	assert_true(str_eq_z(t.checks[1].name, "many"));
	assert_true(str_eq_z(t.checks[1].expression, "name IN ('a', ')')"));
	assert_int_equal(t.n_fk_names, 3);
	assert_true(str_eq_z(t.fk_names[0], "to \"up"));
	assert_null(t.fk_names[1].p);
	assert_true(str_eq_z(t.fk_names[2], "pair"));
	arena_done(&a);
}

static void test_peculiar_tables(void **state UNUSED)
{
	static const struct {
		const char *sql, *peculiar;
	} cases[] = {
		{"CREATE TABLE t (a text COLLATE NOCASE)", "a COLLATE clause"},
		{"CREATE TABLE t (a int REFERENCES b DEFERRABLE)", "a deferrable foreign key"},
		{"CREATE TABLE t (a int REFERENCES b NOT DEFERRABLE)", NULL},
		{"CREATE TABLE t (a int UNIQUE ON CONFLICT IGNORE)", "an ON CONFLICT clause"},
		{"CREATE TABLE t (a int, PRIMARY KEY (a DESC))", "a descending primary key"},
		{"CREATE TABLE t (a int PRIMARY KEY) WITHOUT ROWID", "WITHOUT ROWID"},
		{"CREATE TABLE t (a int) STRICT", "STRICT"},
		{"CREATE TABLE t (\"COLLATE\" text DEFAULT 'COLLATE', strict_ int, \"without\" int)", NULL},
	};
	struct table_text t;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		table_text_read(&a, str_z(cases[i].sql), &t);
		if (cases[i].peculiar == NULL)
			assert_null(t.peculiar);
		else
			assert_string_equal(t.peculiar, cases[i].peculiar);
	}
	arena_done(&a);
}

/* Every beginning of the text, in memory of exactly its size, so that a read past it shows. */
static void test_any_beginning(void **state UNUSED)
{
	static const char check[] =
		"(((\"a\"\"b\")::text = ANY ((ARRAY['x''y'::character varying(3), '-1'::int])::text[])))";
	struct literal_check c;
	struct table_text t;
	struct arena a;

	arena_init(&a);
	for (size_t n = 1; n < sizeof(create); n++) {
		char *copy = mem_strndup(create, n);

		table_text_read(&a, str_n(copy, n), &t);
		mem_free(copy);
	}
	for (size_t n = 1; n < sizeof(check); n++) {
		char *copy = mem_strndup(check, n);

		assert_true(literal_check_read(&a, str_n(copy, n), &c) == (n == sizeof(check) - 1));
		mem_free(copy);
	}
	assert_true(str_eq_z(c.column, "a\"b"));
	assert_int_equal(c.n_values, 2);
	arena_done(&a);
}

static void test_literals(void **state UNUSED)
{
	static const struct {
		const char *text, *value; /* value NULL: none */
		enum literal_kind kind;
	} cases[] = {
		{"'it''s'::character varying", "it's", LITERAL_TEXT},
		{"('-1'::integer)", "-1", LITERAL_TEXT},
		{" (-1.5e-3) ", "-1.5e-3", LITERAL_NUMBER},
		{"(1.5)::double precision", "1.5", LITERAL_NUMBER},
		{"+7", "7", LITERAL_NUMBER},
		{"TRUE", "true", LITERAL_BOOL},
		{"NULL::\"my type\"", "null", LITERAL_NULL},
		{"'{}'::jsonb", "{}", LITERAL_TEXT},
		{"now()", NULL, LITERAL_NULL},
		{"1 + 1", NULL, LITERAL_NULL},
		{"CURRENT_TIMESTAMP", NULL, LITERAL_NULL},
		{"nextval('s'::regclass)", NULL, LITERAL_NULL},
		{"E'a\\\\b'", NULL, LITERAL_NULL},
		{"x'00'", NULL, LITERAL_NULL},
		{"((((((((((((((((((((1))))))))))))))))))))", NULL, LITERAL_NULL},
		{"", NULL, LITERAL_NULL},
	};
	struct literal l;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const bool ok = literal_read(str_z(cases[i].text), &l);

		assert_int_equal(ok, cases[i].value != NULL);
		if (!ok)
			continue;
		assert_int_equal(l.kind, cases[i].kind);
		assert_true(str_eq_z(literal_text(&a, &l), cases[i].value));
	}
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_table),
		cmocka_unit_test(test_peculiar_tables),
		cmocka_unit_test(test_any_beginning),
		cmocka_unit_test(test_literals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
