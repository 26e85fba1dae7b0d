/* Records: what a JSON object becomes, defaults, and the bounds of an INSERT. Its text is tests/golden/test_query.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "service/base/limits.h"
#include "store/query/query.h"
#include "tests/support/golden.h"
#include "tests/support/scratch_arena.h"

static struct schema *schema;
static const struct model *item;

static const char schema_text[] =
	"{\"models\":[{\"model_name\":\"Item\",\"columns\":["
	"{\"name\":\"id\",\"logical_type\":\"integer\",\"primary_key\":true,\"nullable\":true},"
	"{\"name\":\"name\",\"logical_type\":\"string\"},"
	"{\"name\":\"stock\",\"logical_type\":\"integer\",\"default\":100},"
	"{\"name\":\"active\",\"logical_type\":\"boolean\",\"default\":true},"
	"{\"name\":\"price\",\"logical_type\":\"decimal\",\"default\":\"9.90\"},"
	"{\"name\":\"made\",\"logical_type\":\"datetime\",\"default\":\"now()\"},"
	"{\"name\":\"day\",\"logical_type\":\"date\",\"default\":\"now()\"},"
	"{\"name\":\"wake\",\"logical_type\":\"time\",\"default\":\"CURRENT_TIME\"},"
	"{\"name\":\"token\",\"logical_type\":\"uuid\",\"default\":\"gen_random_uuid()\"},"
	"{\"name\":\"tags\",\"logical_type\":\"json\",\"default\":[\"a\"]},"
	"{\"name\":\"note\",\"logical_type\":\"string\",\"nullable\":true},"
	"{\"name\":\"word\",\"logical_type\":\"string\",\"default\":\"now()\"}]}]}";

static int setup(void **state UNUSED)
{
	scratch_begin();
	schema = golden_schema(&arena, golden_parse(&arena, schema_text));
	item = schema_model(schema, STR("Item"));
	assert_non_null(item);
	return 0;
}

static int teardown(void **state UNUSED)
{
	schema_unref(schema);
	scratch_end();
	return 0;
}

static bool take(const char *text, bool partial, struct record_row *ret)
{
	return record_from_json(&arena, &dialect_sqlite, item, golden_parse(&arena, text), "/r", partial, ret, &err);
}

static size_t at(const char *name)
{
	const struct column *c = model_column(item, str_z(name));

	assert_non_null(c);
	return c->index;
}

static void defaults_fill_what_is_absent(void **state UNUSED)
{
	struct record_row r;

	assert_true(take("{\"name\":\"n\"}", false, &r));
	assert_false(r.given[at("id")]);
	assert_false(r.given[at("note")]);
	assert_true(r.given[at("stock")] && r.values[at("stock")].u.i == 100);
	assert_true(r.given[at("active")] && r.values[at("active")].u.b);
	assert_true(r.given[at("price")] && r.values[at("price")].kind == VALUE_DOUBLE);
	assert_true(str_eq(r.values[at("tags")].u.s, STR("[\"a\"]")));
	assert_true(str_eq(r.values[at("word")].u.s, STR("now()")));
	/* an expression of the database's own: left to it */
	assert_false(r.given[at("token")]);
}

static void now_is_a_time(void **state UNUSED)
{
	struct record_row r;
	struct str made, wake;

	assert_true(take("{\"name\":\"n\"}", false, &r));
	made = r.values[at("made")].u.s;
	wake = r.values[at("wake")].u.s;
	assert_int_equal(made.len, strlen("2026-01-02T03:04:05.000000Z"));
	assert_true(str_ends(made, STR("Z")));
	assert_true(str_eq(r.values[at("day")].u.s, str_n(made.p, 10)) || r.values[at("day")].u.s.len == 10);
	assert_true(wake.len >= 8 && wake.p[2] == ':' && wake.p[5] == ':');
}

static void given_values_win(void **state UNUSED)
{
	struct record_row r;

	assert_true(take("{\"name\":\"n\",\"stock\":0,\"active\":false,\"note\":null,\"id\":5}", false, &r));
	assert_int_equal(r.values[at("stock")].u.i, 0);
	assert_false(r.values[at("active")].u.b);
	assert_true(r.given[at("note")] && r.values[at("note")].kind == VALUE_NULL);
	assert_true(r.given[at("id")] && r.values[at("id")].u.i == 5);
	assert_true(take("{\"name\":\"n\",\"id\":null}", false, &r));
	assert_false(r.given[at("id")]);
}

static void a_patch_fills_nothing(void **state UNUSED)
{
	struct record_row r;
	size_t n = 0;

	assert_true(take("{\"stock\":1}", true, &r));
	for (size_t i = 0; i < item->n_columns; i++)
		n += r.given[i];
	assert_int_equal(n, 1);
	assert_true(r.given[at("stock")]);
	assert_true(take("{}", true, &r));
}

static void refused(const char *text, bool partial, enum err_code code, const char *pointer, const char *column)
{
	struct record_row r;

	if (take(text, partial, &r))
		fail_msg("taken: %s", text);
	assert_string_equal(err_code_name(err.code), err_code_name(code));
	assert_string_equal(err.pointer, pointer);
	assert_string_equal(err.column, column);
}

static void refusals(void **state UNUSED)
{
	refused("{}", false, ERR_NOT_NULL_VIOLATION, "/r/name", "name");
	refused("{\"name\":null}", false, ERR_NOT_NULL_VIOLATION, "/r/name", "name");
	refused("{\"name\":null}", true, ERR_NOT_NULL_VIOLATION, "/r/name", "name");
	refused("{\"stock\":null,\"name\":\"n\"}", false, ERR_NOT_NULL_VIOLATION, "/r/stock", "stock");
	refused("{\"id\":null}", true, ERR_NOT_NULL_VIOLATION, "/r/id", "id");
	refused("{\"nope/~x\":1}", false, ERR_UNKNOWN_COLUMN, "/r/nope~1~0x", "nope/~x");
	refused("{\"name\":\"n\",\"stock\":\"x\"}", false, ERR_INVALID_VALUE, "/r/stock", "");
	refused("5", false, ERR_INVALID_REQUEST, "/r", "");
}

static const struct query_set *entry(const struct query_set *set, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_z(set[i].column->name, name))
			return &set[i];
	return NULL;
}

static void replacing_clears_the_rest(void **state UNUSED)
{
	struct record_row r;
	struct query_set *set;
	size_t n;

	assert_true(take("{\"name\":\"n\"}", false, &r));
	record_update_set(&arena, &dialect_sqlite, item, &r, RECORD_REPLACE, NULL, &set, &n);
	assert_non_null(entry(set, n, "note"));
	assert_int_equal(entry(set, n, "note")->value.kind, VALUE_NULL);
	assert_int_equal(entry(set, n, "stock")->value.u.i, 100);
	assert_null(entry(set, n, "id"));
	assert_null(entry(set, n, "token")); /* cannot be null */
	assert_true(str_eq(entry(set, n, "name")->value.u.s, STR("n")));
	assert_true(take("{\"name\":\"n\"}", true, &r));
	record_update_set(&arena, &dialect_sqlite, item, &r, RECORD_PARTIAL, NULL, &set, &n);
	assert_int_equal(n, 1);
}

static void an_insert_is_bounded(void **state UNUSED)
{
	const size_t n = LIMIT_SQL_PARAMS_SQLITE / 2;
	struct record_row *rows = arena_array(&arena, n + 1, sizeof(*rows));
	struct result_shape shape;
	struct record_row r;
	struct stmt stmt;

	assert_true(take("{\"stock\":1,\"name\":\"n\"}", true, &r));
	for (size_t i = 0; i <= n; i++)
		rows[i] = r;
	assert_true(record_lower_insert(&arena, &dialect_sqlite, item, rows, n, &(struct record_insert_how){0}, &stmt,
					&shape, &err));
	assert_int_equal(stmt.n_params, 2 * n);
	assert_false(record_lower_insert(&arena, &dialect_sqlite, item, rows, n + 1, &(struct record_insert_how){0},
					 &stmt, &shape, &err));
	assert_int_equal(err.code, ERR_INVALID_QUERY);
	assert_false(record_lower_insert(&arena, &dialect_sqlite, item, rows, 0, &(struct record_insert_how){0}, &stmt,
					 &shape, &err));
}

static void values_stand_in_the_statement_in_order(void **state UNUSED)
{
	struct record_row rows[2];
	struct result_shape shape;
	struct stmt stmt;

	assert_true(take("{\"stock\":1,\"name\":\"a\"}", true, &rows[0]));
	assert_true(take("{\"name\":\"b\",\"stock\":2}", true, &rows[1]));
	assert_true(record_lower_insert(&arena, &dialect_postgres, item, rows, 2,
					&(struct record_insert_how){.returning = true}, &stmt, &shape, &err));
	assert_int_equal(stmt.n_params, 4);
	assert_true(str_eq(stmt.params[0].u.s, STR("a")));
	assert_int_equal(stmt.params[1].u.i, 1);
	assert_true(str_eq(stmt.params[2].u.s, STR("b")));
	assert_true(shape.full && shape.n == item->n_columns);
	assert_int_equal(stmt.access, STMT_WRITE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults_fill_what_is_absent),
		TEST(now_is_a_time),
		TEST(given_values_win),
		TEST(a_patch_fills_nothing),
		TEST(refusals),
		TEST(replacing_clears_the_rest),
		TEST(an_insert_is_bounded),
		TEST(values_stand_in_the_statement_in_order),
	};

	return cmocka_run_group_tests_name("record_lower", tests, NULL, NULL);
}
