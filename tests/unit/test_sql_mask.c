/* What of a client's SQL a log line may show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "handlers/unit/sql_mask.h"

#include "service/base/banned.h"

static void test_masks(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"", ""},
		{"SELECT a FROM t WHERE b = ? AND c = $1 AND d = :name",
		 "SELECT a FROM t WHERE b = ? AND c = $1 AND d = :name"},
		{"SELECT ?1, $12", "SELECT ?1, $12"},
		{"SELECT 1, 2.5e-7, 0xff, t1.c2, x1_2", "SELECT ?, ?-?, ?, t1.c2, x1_2"},
		{"SELECT 'it''s secret' AS a", "SELECT ? AS a"},
		{"SELECT 'back\\' AS a, 'b'", "SELECT ? AS a, ?"},
		{"SELECT E'a\\'secret' AS a", "SELECT E? AS a"},
		{"SELECT a LIKE'b\\' AND c = 'secret'", "SELECT a LIKE? AND c = ?"},
		{"SELECT x'00ff' AS a", "SELECT x? AS a"},
		{"SELECT \"maybe a string\" FROM `t`", "SELECT ? FROM ?"},
		{"SELECT $$secret$$, $q$ sec'ret $q$ AS a", "SELECT ?, ? AS a"},
		{"SELECT $q$ sec$$ret", "SELECT ?"},
		{"SELECT a$b$c FROM t", "SELECT a$b$c FROM t"},
		{"SELECT a -- it's secret\nFROM t", "SELECT a  FROM t"},
		{"SELECT a /* it's /* a */ secret */ FROM t", "SELECT a   FROM t"},
		{"SELECT 'unfinished", "SELECT ?"},
		{"SELECT a /* unfinished", "SELECT a  "},
		{"SELECT E'unfinished\\", "SELECT E?"},
		{"INSERT INTO t VALUES (-5, 'a')", "INSERT INTO t VALUES (-?, ?)"},
		{"$", "$"},
	};
	struct arena arena;

	(void)state;
	arena_init(&arena);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(sql_mask(&arena, str_z(rows[i].in)).p, rows[i].want);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_masks)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
