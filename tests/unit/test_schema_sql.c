/* SQL that comes with models: what is one expression, what anybody may give, what names a type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

enum { SQLITE = 1, POSTGRES = 2, BOTH = 3 };

static void test_expressions(void **state)
{
	static const struct {
		const char *sql;
		int good;
	} rows[] = {
		{"1", BOTH},
		{"'it''s'", BOTH},
		{"lower(hex(randomblob(16)))", BOTH},
		{"md5((random())::text)", BOTH},
		{"\"a)\" || ')'", BOTH},
		{"E'it\\'s)'", POSTGRES},
		{"E'\\'", SQLITE},
		{"U&'d\\0061t'", BOTH},
		{"$$ ) $$", POSTGRES},
		{"$a$ ) $$ $a$", POSTGRES},
		{"$1", SQLITE},
		{"ARRAY['a', 'b']", BOTH},
		{"[)]", SQLITE},
		{"[ ' ] ) , (x ' ]", POSTGRES},
		{"`)`", SQLITE},
		{"1e-5 - -2", BOTH},
		{"", 0},
		{"  ", 0},
		{"1) NOT NULL, (2", 0},
		{"(1", 0},
		{"(1]", 0},
		{"1, 2", 0},
		{"1; DROP TABLE t", 0},
		{"1 -- x", 0},
		{"1 /* x */", 0},
		{"'open", 0},
		{"\"open", 0},
	};
	const char *why;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const int good = (schema_sql_expression(DIALECT_SQLITE, str_z(rows[i].sql), &why) ? SQLITE : 0) |
				 (schema_sql_expression(DIALECT_POSTGRES, str_z(rows[i].sql), &why) ? POSTGRES : 0);

		if (good != rows[i].good)
			fail_msg("%s: %d, not %d", rows[i].sql, good, rows[i].good);
	}
	assert_false(schema_sql_expression(DIALECT_SQLITE, STR("1\0"), &why));
}

static void test_harmless(void **state)
{
	static const char *const good[] = {
		"0",
		"-1.5",
		"'draft'",
		"'draft'::character varying",
		"('{}'::text[])",
		"TRUE",
		"NULL::numeric(10,2)",
		"CURRENT_TIMESTAMP",
		"current_timestamp(3)",
		"now()",
		"gen_random_uuid()",
		"nextval('t_c_seq'::regclass)",
		"nextval('public.t_c_seq')",
	};
	static const char *const bad[] = {
		"md5('x')",    "nextval('other_seq')", "nextval('t_c_seq', 1)",
		"now() + f()", "'a' || f()",           "(1) + (f())",
		"pg_sleep(1)", "nextval(f())",         "now(f())",
		"'a'::f()",    "1::int + g",           "CURRENT_USER",
		"(SELECT 1)",  "'a' COLLATE \"C\"",    "",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!schema_sql_harmless(str_z(good[i]), STR("t"), STR("c")))
			fail_msg("%s is not harmless", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (schema_sql_harmless(str_z(bad[i]), STR("t"), STR("c")))
			fail_msg("%s is harmless", bad[i]);
	assert_true(schema_sql_serial(STR("nextval('t_c_seq'::regclass)"), STR("t"), STR("c")));
	assert_true(schema_sql_serial(STR("nextval('\"T_c_seq\"'::regclass)"), STR("T"), STR("c")));
	assert_false(schema_sql_serial(STR("nextval('t_d_seq'::regclass)"), STR("t"), STR("c")));
}

static void test_types(void **state)
{
	static const char *const good[] = {
		"text",
		"varchar(40)",
		"numeric(10, 2)",
		"double precision",
		"timestamp(3) with time zone",
		"integer[]",
		"text[3][]",
		"public.\"My Type\"",
		"geometry(Point,4326)",
		"UNSIGNED BIG INT",
		"numeric(5,-2)",
	};
	static const char *const bad[] = {
		"",
		"text)",
		"int DEFAULT 1",
		"int, x int",
		"int NOT NULL",
		"int REFERENCES secret",
		"int; DROP TABLE t",
		"int /* x */",
		"varchar(f(1))",
		"varchar('x')",
		"int[",
		"int[f]",
		"text COLLATE \"C\"",
		"(1)",
		".t",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!schema_sql_type_name(str_z(good[i])))
			fail_msg("%s is no type", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (schema_sql_type_name(str_z(bad[i])))
			fail_msg("%s is a type", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expressions),
		cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
