/* Whether two expressions say the same: pairs that do, and pairs that look as if they did. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/schema/schema_sql_same.h"

#include "service/base/banned.h"

struct pair {
	const char *one, *other;
};

static void check(enum dialect_id d, const struct pair *pairs, size_t n, bool same)
{
	for (size_t i = 0; i < n; i++) {
		const struct str x = str_z(pairs[i].one), y = str_z(pairs[i].other);

		if (schema_sql_same(d, x, y) != same || schema_sql_same(d, y, x) != same)
			fail_msg("%s and %s are %s", pairs[i].one, pairs[i].other, same ? "the same" : "not the same");
		if (!schema_sql_same(d, x, x) || !schema_sql_same(d, y, y))
			fail_msg("%s is not the same as itself", pairs[i].one);
	}
}

/* The left ones as a model has them, the right ones as PostgreSQL gives them back. */
static void test_what_postgres_makes_of_it(void **state)
{
	static const struct pair pairs[] = {
		{"a > 0", "(a > 0)"},
		{"price > 1", "(price > (1)::numeric)"},
		{"a > -1", "(a > '-1'::integer)"},
		{"a > - 1", "(a > (-1))"},
		{"a > 5000000000", "(a > '5000000000'::bigint)"},
		{"(a + b) * c > 0", "(((a + b) * c) > 0)"},
		{"a + b * c > 0", "((a + (b * c)) > 0)"},
		{"a - b - c = 0", "(((a - b) - c) = 0)"},
		{"status IN ('a', 'b')",
		 "((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))"},
		{"status in ('a','b')", "(status = ANY (ARRAY['a'::text, 'b'::text]))"},
		{"status IN ('a')", "((status)::text = 'a'::text)"},
		{"status NOT IN ('a', 'b')",
		 "((status)::text <> ALL ((ARRAY['a'::character varying, 'b'::character varying])::text[]))"},
		{"a NOT IN (1)", "(a <> 1)"},
		{"a BETWEEN 1 AND 5", "((a >= 1) AND (a <= 5))"},
		{"a NOT BETWEEN 1 AND 5", "((a < 1) OR (a > 5))"},
		{"a BETWEEN 1 AND 5 AND b", "((a >= 1) AND (a <= 5) AND b)"},
		{"a > 0 AND b > 0 AND c > 0", "((a > 0) AND (b > 0) AND (c > 0))"},
		{"(a > 0 AND b > 0) AND c > 0", "((a > 0) AND (b > 0) AND (c > 0))"},
		{"a OR b AND c", "(a OR (b AND c))"},
		{"NOT a = b", "(NOT (a = b))"},
		{"email LIKE '%@%'", "((email)::text ~~ '%@%'::text)"},
		{"email NOT LIKE '%@%'", "((email)::text !~~ '%@%'::text)"},
		{"email ILIKE 'a%'", "(email ~~* 'a%'::text)"},
		{"a != b", "(a <> b)"},
		{"a IS NOT NULL", "(a IS NOT NULL)"},
		{"a IS NULL OR b IS NULL", "((a IS NULL) OR (b IS NULL))"},
		{"a < b IS NULL", "((a < b) IS NULL)"},
		{"lower(name)", "lower((name)::text)"},
		{"LOWER(\"name\")", "lower(name)"},
		{"length(name) > 3", "(length((name)::text) > 3)"},
		{"first || ' ' || last", "(((first)::text || ' '::text) || (last)::text)"},
		{"coalesce(a, 0)", "COALESCE(a, 0)"},
		{"CASE WHEN a THEN 1 END", "\nCASE\n    WHEN a THEN 1\n    ELSE NULL::integer\nEND"},
		{"CASE a WHEN 1 THEN 'x' ELSE 'y' END", "CASE a WHEN 1 THEN 'x'::text ELSE 'y'::text END"},
		{"CAST(a AS int)", "(a)::integer"},
		{"a::date", "(a)::date"},
		{"a::timestamp without time zone", "a"},
		{"d > date '2026-01-01'", "(d > '2026-01-01'::date)"},
		{"t > now() - interval '1 day'", "(t > (now() - '1 day'::interval))"},
		{"nextval('s')", "nextval('s'::regclass)"},
		{"'{}'", "'{}'::jsonb"},
		{"'draft'", "'draft'::character varying"},
		{"NULL", "NULL::character varying"},
		{"E'a\\\\b'", "E'a\\\\b'::text"},
		{"E'it\\'s'", "'it''s'::text"},
		{"$$it's$$", "'it''s'"},
		{"data->>'k' = 'v'", "((data ->> 'k'::text) = 'v'::text)"},
		{"data @> '{}'", "(data @> '{}'::jsonb)"},
		{"a=-1", "(a = '-1'::integer)"},
		{"a COLLATE \"C\" > 'x'", "((a COLLATE \"C\") > 'x'::text)"},
		{"extract(year FROM d) > 2000", "(EXTRACT(year FROM d) > (2000)::numeric)"},
		{"d AT TIME ZONE 'utc'", "(d AT TIME ZONE 'utc'::text)"},
		{"-a ^ 2", "((- a) ^ 2)"},
		{"tags[1] = 'x'", "(tags[1] = 'x'::text)"},
		{"a IS DISTINCT FROM b", "(a IS DISTINCT FROM b)"},
		{"true", "(true)"},
		{"c = 'x  '", "(c = 'x  '::bpchar)"},
		{"pg_catalog.lower(a)", "lower(a)"},
		{"num_nonnulls(a, b) = 1", "(num_nonnulls(a, b) = 1)"},
		{"b IN (a, c)", "((b = a) OR (b = c))"},
		{"b NOT IN (1, a, 2)", "((b <> ALL (ARRAY[1, 2])) AND (b <> a))"},
		{"trim(v) <> ''", "(TRIM(BOTH FROM v) <> ''::text)"},
		{"trim('x' from v)", "TRIM(BOTH 'x'::text FROM v)"},
		{"position('a' in v) > 0", "(POSITION(('a'::text) IN (v)) > 0)"},
		{"v SIMILAR TO 'a%'", "((v)::text ~ similar_to_escape('a%'::text))"},
		{"ts > '2026-01-01'", "ts > '2026-01-01 00:00:00+00'::timestamp with time zone"},
		{"t = '2026-01-01T10:30Z'", "(t = '2026-01-01 10:30:00'::timestamp without time zone)"},
		{"t > '10:30:00.500'", "(t > '10:30:00.5'::time without time zone)"},
		{"(v, s) = ('a', 'b')", "(((v)::text = 'a'::text) AND (s = 'b'::text))"},
		{"ts + interval '1 day' > now()", "((ts + '1 day'::interval) > now())"},
		{"ts + interval '1 day'", "(ts + 'P1D'::interval)"},
		{"ts + '1 year 2 months 3 days 04:05:06.5'::interval", "(ts + 'P1Y2M3DT4H5M6.5S'::interval)"},
		{"ts + interval '90 minutes'", "(ts + '01:30:00'::interval)"},
		{"ts - interval '-1 hour'", "(ts - '-01:00:00'::interval)"},
	};

	(void)state;
	check(DIALECT_POSTGRES, pairs, ARRAY_LEN(pairs), true);
}

static void test_what_only_looks_alike_in_postgres(void **state)
{
	static const struct pair pairs[] = {
		{"(a + b) * c", "a + b * c"},
		{"a - (b - c)", "a - b - c"},
		{"a * (b / c)", "a * b / c"},
		{"(a OR b) AND c", "a OR b AND c"},
		{"NOT (a AND b)", "NOT a AND b"},
		{"NOT a", "a"},
		{"a IN ('x', 'y')", "a IN ('y', 'x', 'z')"},
		{"a IN ('x', 'y')", "a NOT IN ('x', 'y')"},
		{"a = ANY (b)", "a = b"},
		{"a = ALL (ARRAY[1, 2])", "a = ANY (ARRAY[1, 2])"},
		{"a < ANY (ARRAY[1, 2])", "a IN (1, 2)"},
		{"'Draft'", "'draft'"},
		{"'a  b'", "'a b'"},
		{"'a'", "'a '"},
		{"''", "NULL"},
		{"'1'", "1"},
		{"'a::text'", "'a'"},
		{"E'a\\nb'", "'a\\nb'"},
		{"\"Name\" > 1", "name > 1"},
		{"\"user\" = 'x'", "user = 'x'"},
		{"f(a, b)", "f(a), b"},
		{"f((a, b))", "f(a, b)"},
		{"a::integer > 0", "a > 0"},
		{"t = v::bpchar", "t = v"},
		{"true::int = n", "true = n"},
		{"a::date = b", "a = b"},
		{"a::varchar(3)", "a"},
		{"'abc'::varchar(2)", "'abc'"},
		{"a::numeric(8,2)", "a::numeric(8,1)"},
		{"a > 1.50", "a > 1.5"},
		{"a BETWEEN 1 AND 5", "a BETWEEN 1 AND 6"},
		{"a BETWEEN 1 AND 5", "a NOT BETWEEN 1 AND 5"},
		{"a > 0", "a >= 0"},
		{"a > 0", "b > 0"},
		{"a -> 'k'", "a ->> 'k'"},
		{"a ~ 'x'", "a ~* 'x'"},
		{"a LIKE 'x'", "a ILIKE 'x'"},
		{"- (a ^ 2)", "- a ^ 2"},
		{"CASE WHEN a THEN 1 ELSE 0 END", "CASE WHEN a THEN 1 END"},
		{"CASE WHEN a THEN b WHEN c THEN d END", "CASE WHEN a THEN b END"},
		{"lower(a)", "upper(a)"},
		{"public.f(a)", "f(a)"},
		{"a COLLATE \"C\"", "a"},
		{"tags[1]", "tags[2]"},
		{"(a).b", "a.b"},
		{"count(DISTINCT a)", "count(a)"},
		{"ts + interval '1 day'", "ts + interval '24 hours'"},
		{"ts + interval '1 month'", "ts + 'PT1M'::interval"},
		{"ts + interval '1 day'", "ts + interval 'odd'"},
		{"ts + interval 'P1D'", "ts + interval 'P1'"},
		{"b IN (a, c)", "((b = a) AND (b = c))"},
		{"ts > '2026-01-01'", "ts > '2026-01-02 00:00:00+00'::timestamp with time zone"},
		{"ts > '2026-01-01'", "ts > '2026-01-01 00:00:00-05'::timestamp with time zone"},
		{"trim(leading from v)", "trim(v)"},
		{"v > '2026-01-01'", "v > '2026-01-01 00:00:00'::text"},
		{"a IS NULL", "a IS NOT NULL"},
		{"now()", "CURRENT_TIMESTAMP"},
		{"(SELECT 1)", "1"},
		{"(SELECT a + (b * c))", "(SELECT (a + b) * c)"},
	};

	(void)state;
	check(DIALECT_POSTGRES, pairs, ARRAY_LEN(pairs), false);
}

static void test_sqlite(void **state)
{
	static const struct pair same[] = {
		{"a>0", "( \"A\" > 0 )"},
		{"[a b] == 1", "\"a b\" = 1"},
		{"`a` != 1", "a <> 1"},
		{"a NOT NULL", "a IS NOT NULL"},
		{"a NOTNULL", "(a IS NOT NULL)"},
		{"a ISNULL", "a IS NULL"},
		{"a BETWEEN 1 AND 5", "a >= 1 AND a <= 5"},
		{"a IN ('x')", "a = 'x'"},
		{"json_valid(\"data\") OR \"data\" IS NULL", "(JSON_VALID(data) or (data is null))"},
		{"a || b || c", "((a || b) || c)"},
		{"a < b = c", "((a < b) = c)"},
		{"a = b LIKE c", "((a = b) LIKE c)"},
		{"a < b LIKE c", "((a < b) LIKE c)"},
		{"1 + a || b", "(1 + (a || b))"},
		{"a << 1 + b", "(a << (1 + b))"},
		{"-a COLLATE nocase", "((-a) COLLATE NOCASE)"},
		{"CAST(a AS text)", "cast( a as TEXT )"},
		{"x'AB'", "X'ab'"},
		{"a GLOB '*x' ESCAPE '!'", "(a glob '*x' escape '!')"},
	};
	static const struct pair other[] = {
		{"(a + b) * c", "a + b * c"},
		{"1 + (a || b)", "(1 + a) || b"},
		{"(a < b) LIKE c", "a < (b LIKE c)"},
		{"CAST(a AS TEXT)", "a"},
		{"CAST(a AS INTEGER)", "CAST(a AS TEXT)"},
		{"'-1'", "-1"},
		{"'a'", "\"a\""},
		{"'A'", "'a'"},
		{"datetime('now')", "datetime('now', 'localtime')"},
		{"a IS b", "a = b"},
		{"a IS NULL & b", "(a IS NULL) & b"},
		{"a IS NOT NULL > b", "(a IS NOT NULL) > b"},
		{"a LIKE 'x' ESCAPE '!'", "a LIKE 'x'"},
		{"x'ab'", "'ab'"},
	};

	(void)state;
	check(DIALECT_SQLITE, same, ARRAY_LEN(same), true);
	check(DIALECT_SQLITE, other, ARRAY_LEN(other), false);
}

static void test_absent_ones(void **state)
{
	(void)state;
	assert_true(schema_sql_same(DIALECT_POSTGRES, STR_NONE, STR_NONE));
	assert_false(schema_sql_same(DIALECT_POSTGRES, STR_NONE, STR("NULL")));
	assert_true(schema_sql_same_default(DIALECT_POSTGRES, STR_NONE, STR("NULL::text")));
	assert_true(schema_sql_same_default(DIALECT_SQLITE, STR("(null)"), STR_NONE));
	assert_false(schema_sql_same_default(DIALECT_SQLITE, STR("'null'"), STR_NONE));
	assert_false(schema_sql_same_default(DIALECT_SQLITE, STR("NULL + 1"), STR_NONE));
}

/* What is too deep is compared as it is written. */
static void test_depth(void **state)
{
	static char deep[4096], deeper[4096];

	(void)state;
	memset(deep, '(', 1000);
	deep[1000] = 'a';
	memset(deep + 1001, ')', 1000);
	assert_true(schema_sql_same(DIALECT_SQLITE, str_z(deep), str_z(deep)));
	assert_false(schema_sql_same(DIALECT_SQLITE, str_z(deep), STR("a")));
	for (size_t i = 0; i < 1000; i++)
		memcpy(deep + 2 * i, "a+", 2);
	memcpy(deep + 2000, "a", 2);
	memcpy(deeper, deep, sizeof(deep));
	deeper[2000] = 'b';
	assert_true(schema_sql_same(DIALECT_SQLITE, str_z(deep), str_z(deep)));
	assert_false(schema_sql_same(DIALECT_SQLITE, str_z(deep), str_z(deeper)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_postgres_makes_of_it),
		cmocka_unit_test(test_what_only_looks_alike_in_postgres),
		cmocka_unit_test(test_sqlite),
		cmocka_unit_test(test_absent_ones),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
