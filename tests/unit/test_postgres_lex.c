/* What the PostgreSQL driver reads from the text of raw SQL: placeholders, statement ends, the proof of harmlessness.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "store/driver/postgres/postgres_lex.h"

static struct pg_sql_facts scan(const char *sql)
{
	struct pg_sql_facts f;

	pg_sql_scan(str_z(sql), &f);
	return f;
}

static void test_params(void **state)
{
	(void)state;
	assert_int_equal(scan("SELECT 1").n_params, 0);
	assert_int_equal(scan("SELECT $1, $12").n_params, 12);
	assert_int_equal(scan("SELECT $1::int+$2").n_params, 2);
	assert_int_equal(scan("SELECT '$3', \"$4\", $1 -- $5\n/* $6 /* $7 */ $8 */").n_params, 1);
	assert_int_equal(scan("SELECT E'it\\'s $9', 'it''s $8', $2").n_params, 2);
	assert_int_equal(scan("SELECT $$ $5 $$, $a$ $6 $$ $a$, $1").n_params, 1);
	assert_int_equal(scan("SELECT a$5 FROM t").n_params, 0);
	assert_int_equal(scan("SELECT x'ff$3', $1").n_params, 1);
}

static void test_complete(void **state)
{
	(void)state;
	assert_true(scan("SELECT 'a'").complete);
	assert_false(scan("SELECT 'a").complete);
	assert_false(scan("SELECT \"a").complete);
	assert_false(scan("SELECT /* /* */").complete);
	assert_false(scan("SELECT $q$ $$").complete);
	assert_false(scan("SELECT E'a\\'").complete);
	assert_true(scan("SELECT 'a\\'").complete);
}

static void test_several(void **state)
{
	(void)state;
	assert_false(scan("SELECT 1;").several);
	assert_false(scan("SELECT 1 ;; -- x\n").several);
	assert_true(scan("SELECT 1; SELECT 2").several);
	assert_true(scan("SELECT 1;SET x = 1").several);
	assert_false(scan("SELECT ';', 1").several);
	assert_string_equal(scan(" -- x\n/* y */ CoPy t FROM stdin").first, "copy");
	assert_string_equal(scan("").first, "");
}

static void test_harmless(void **state)
{
	static const char *const yes[] = {
		"SELECT 1",
		"select count(*), max(a) from t where b in (1,2) and (c = $1 or not (d))",
		"INSERT INTO t (a, b) VALUES ($1, lower($2)) ON CONFLICT (a) DO UPDATE SET (b) = (a) RETURNING a",
		"INSERT INTO \"s\".\"t\" (\"a\") VALUES (1)",
		"UPDATE t SET a = coalesce(a, 0) + 1",
		"DELETE FROM t WHERE EXISTS (SELECT 1 FROM u)",
		"WITH x AS (SELECT 1) SELECT * FROM x",
		"VALUES (1), (2)",
		"TABLE t",
		"SELECT 'set_config(1)' AS \"f()\", E'\\'set_config('",
		"SELECT a::varchar(10), b::numeric(3, 1) FROM t -- pg_advisory_lock(1)\n",
		"SELECT 1;",
	};
	static const char *const no[] = {
		"",
		"SET x = 1",
		"SELECT set_config('a', 'b', false)",
		"SELECT pg_catalog.set_config('a', 'b', false)",
		"SELECT \"set_config\"('a', 'b', false)",
		"SELECT set_config /* x */ ('a', 'b', false)",
		"SELECT pg_advisory_lock(1)",
		"SELECT * INTO TEMP x FROM t",
		"INSERT INTO t SELECT set_config('a', 'b', false)",
		"INSERT INTO t DEFAULT VALUES RETURNING pg_advisory_lock(1)",
		"WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * INTO y FROM x",
		"SELECT own.lower('x')",
		"SELECT 1; SET x = 1",
		"SELECT 'open",
		"CREATE TEMP TABLE x (a int)",
		"PREPARE p AS SELECT 1",
		"DECLARE c CURSOR WITH HOLD FOR SELECT 1",
		"LISTEN x",
		"EXPLAIN ANALYZE EXECUTE p",
		"SELECT nextval_and_more(1)",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (!scan(yes[i]).harmless)
			fail_msg("not seen as harmless: %s", yes[i]);
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (scan(no[i]).harmless)
			fail_msg("seen as harmless: %s", no[i]);
}

static void test_reads(void **state)
{
	(void)state;
	assert_true(scan("SELECT count(*) FROM t").reads);
	assert_true(scan("VALUES (1)").reads);
	assert_false(scan("SELECT own_function(1)").reads);
	assert_false(scan("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x").reads);
	assert_false(scan("UPDATE t SET a = 1").reads);
}

/* The scanner never reads past its span: every prefix of a text with all constructs, without a NUL behind it. */
static void test_prefixes(void **state)
{
	static const char text[] =
		"SELECT $1, 'a''b', E'\\'c', \"d\"\"e\", $q$ f $q$, 1.5e3 /* g /* */ */ -- h\nFROM t; x";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *copy = test_malloc(n + 1);
		struct pg_sql_facts f;

		memcpy(copy, text, n);
		copy[n] = '\'';
		pg_sql_scan(str_n(copy, n), &f);
		assert_true(f.n_params <= 1);
		test_free(copy);
	}
}

/* The names of a text on one line; "-": it may mean more than is seen. Without those of key words' operators. */
static const char *names(const char *sql)
{
	static char out[8192];
	struct arena a;
	struct strbuf b;
	bool reads;

	arena_init(&a);
	strbuf_init(&b, 0);
	if (pg_sql_names(str_z(sql), &a, &b, &reads)) {
		const char *behind = strstr(b.p, "o!~\n");

		(void)snprintf(out, sizeof(out), "%s%s", reads ? "" : "writes ", behind + 4);
		for (char *p = out; *p != '\0'; p++)
			*p = *p == '\n' ? ' ' : *p;
	} else {
		(void)snprintf(out, sizeof(out), "-");
	}
	strbuf_done(&b);
	arena_done(&a);
	return out;
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(names("SELECT F(a.\"B c\") FROM t -- g(\n/* h() */"), "wselect wf wa wB c wfrom wt ");
	assert_string_equal(names("SELECT 'f(1)', $$ g() $$, E'\\'h()', b'1', $1, 1.5e3"), "wselect ");
	assert_string_equal(names("select 1 <-> 2"), "wselect o<- o<-> o- o-> ");
	assert_string_equal(names("select a+/* x */-b"), "wselect wa o+ wb o- ");
	assert_string_equal(names("select x::mood"), "wselect wx wmood ");
	assert_string_equal(names("UPDATE t SET a = 1"), "writes wupdate wt wset wa ");
	assert_string_equal(names("SELECT a FROM t FOR SHARE"), "writes wselect wa wfrom wt wfor wshare ");
	assert_string_equal(names("SELECT f INTO x FROM t"), "writes wselect wf winto wx wfrom wt ");
}

static void test_names_that_are_not_seen(void **state)
{
	static const char *const texts[] = {
		"SELECT mood'a'",
		"SELECT U&\"f\\006f\"(1)",
		"SELECT U&\"d!0066\" UESCAPE '!'",
		"SELECT \"a\"\"b\"()",
		"SELECT \"\"",
		"SELECT '\\', f(1), ''",
		"SELECT n'\\', f(1), n''",
		"SELECT \xC3\xA4(1)",
		"SELECT 1or(f(1))",
		"SELECT 'a",
		"SELECT \"a",
		"SELECT 1 +-+-+-+-+ 2",
		"SELECT a23456789012345678901234567890123456789012345678901234567890123x()",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (names(texts[i])[0] != '-')
			fail_msg("%s: %s", texts[i], names(texts[i]));
}

/* So many names, and not one more. */
static void test_names_at_their_bound(void **state)
{
	char sql[4096] = "SELECT";
	size_t len = strlen(sql), n_names = 13; /* operators of key words, and the first word */

	(void)state;
	for (; n_names < PG_NAMES_IN_TEXT; n_names++)
		len += (size_t)snprintf(sql + len, sizeof(sql) - len, " a%zu", n_names);
	assert_true(names(sql)[0] == 'w');
	(void)snprintf(sql + len, sizeof(sql) - len, " b");
	assert_string_equal(names(sql), "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_that_are_not_seen),
		cmocka_unit_test(test_names_at_their_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
