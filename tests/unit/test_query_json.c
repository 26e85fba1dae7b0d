/* Reading QueryIR: bounds, includes, keys, conditions from URLs. What SQL comes out of a query is
 * tests/golden/test_query.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "service/base/limits.h"
#include "store/query/query.h"
#include "tests/support/golden.h"
#include "tests/support/scratch_arena.h"

static struct schema *schema;

static const char schema_text[] =
	"{\"models\":["
	"{\"model_name\":\"Author\",\"columns\":[{\"name\":\"id\",\"logical_type\":\"integer\",\"primary_key\":true,"
	"\"nullable\":true},"
	"{\"name\":\"name\",\"logical_type\":\"string\"}]},"
	"{\"model_name\":\"Book\",\"columns\":[{\"name\":\"id\",\"logical_type\":\"integer\",\"primary_key\":true,"
	"\"nullable\":true},"
	"{\"name\":\"author_id\",\"logical_type\":\"integer\"},{\"name\":\"title\",\"logical_type\":\"string\","
	"\"nullable\":true}],"
	"\"foreign_keys\":[{\"column\":\"author_id\",\"to_table\":\"author\",\"to_column\":\"id\"}]},"
	"{\"model_name\":\"Pair\",\"columns\":[{\"name\":\"a\",\"logical_type\":\"integer\",\"primary_key\":true,"
	"\"autoincrement\":false},"
	"{\"name\":\"b\",\"logical_type\":\"string\",\"primary_key\":true}]},"
	"{\"model_name\":\"Words\",\"columns\":[{\"name\":\"a\",\"logical_type\":\"string\",\"primary_key\":true},"
	"{\"name\":\"b\",\"logical_type\":\"string\",\"primary_key\":true}]},"
	"{\"model_name\":\"Log\",\"columns\":[{\"name\":\"m\",\"logical_type\":\"string\",\"nullable\":true}]},"
	"{\"model_name\":\"Thing\",\"columns\":[{\"name\":\"u\",\"logical_type\":\"uuid\",\"primary_key\":true,"
	"\"position\":1}]},"
	"{\"model_name\":\"Stamp\",\"columns\":[{\"name\":\"at\",\"logical_type\":\"datetime\",\"primary_key\":true}]}]"
	"}";

static int setup(void **state UNUSED)
{
	scratch_begin();
	schema = golden_schema(&arena, golden_parse(&arena, schema_text));
	return 0;
}

static int teardown(void **state UNUSED)
{
	schema_unref(schema);
	scratch_end();
	return 0;
}

static bool read_on(const struct dialect *d, const char *text, struct query **ret)
{
	return query_from_json(&arena, schema, d, golden_parse(&arena, text), "", ret, &err);
}

static bool read_query(const char *text, struct query **ret)
{
	return read_on(&dialect_sqlite, text, ret);
}

static const struct model *model(const char *name)
{
	const struct model *m = schema_model(schema, str_z(name));

	assert_non_null(m);
	return m;
}

static void the_model_is_found_before_the_rest(void **state UNUSED)
{
	struct str name;

	assert_true(query_json_model(golden_parse(&arena, "{\"model_name\":\"X\",\"where\":5}"), &name));
	assert_true(str_eq(name, STR("X")));
	assert_true(query_json_model(golden_parse(&arena, "{\"ir_kind\":\"query\",\"payload\":{\"model_name\":\"Y\"}}"),
				     &name));
	assert_true(str_eq(name, STR("Y")));
	assert_false(query_json_model(golden_parse(&arena, "{\"model_name\":5}"), &name));
	assert_false(query_json_model(golden_parse(&arena, "[]"), &name));
}

static void null_members_say_nothing(void **state UNUSED)
{
	struct query *q;

	assert_true(
		read_query("{\"model_name\":\"Book\",\"where\":null,\"order_by\":null,\"limit\":null,\"offset\":null,"
			   "\"m2m\":null,\"select\":null}",
			   &q));
	assert_ptr_equal(q->model, model("Book"));
	assert_false(q->has_limit || q->has_offset || q->n_where || q->n_order || q->n_select || q->m2m != NULL);
}

/* depth conditions inside each other. */
static const char *nested(unsigned depth)
{
	struct strbuf b;
	const char *z;

	strbuf_init(&b, 0);
	strbuf_puts(&b, "{\"model_name\":\"Book\",\"where\":[");
	for (unsigned i = 1; i < depth; i++)
		strbuf_puts(&b, "{\"node_kind\":\"not\",\"operand\":");
	strbuf_puts(&b, "{\"node_kind\":\"leaf\",\"column\":\"id\",\"operator\":\"==\",\"value\":1}");
	for (unsigned i = 1; i < depth; i++)
		strbuf_putc(&b, '}');
	strbuf_puts(&b, "]}");
	z = arena_strz(&arena, strbuf_str(&b));
	strbuf_done(&b);
	return z;
}

static void predicates_are_bounded_in_depth(void **state UNUSED)
{
	struct result_shape shape;
	struct stmt stmt;
	struct query *q;

	assert_true(read_query(nested(LIMIT_PREDICATE_DEPTH), &q));
	assert_true(query_lower_select(&arena, q, &stmt, &shape, &err));
	assert_false(read_query(nested(LIMIT_PREDICATE_DEPTH + 1), &q));
	assert_int_equal(err.code, ERR_INVALID_QUERY);
	assert_true(err.has_pointer);
}

static const char *in_list(size_t n)
{
	struct strbuf b;
	const char *z;

	strbuf_init(&b, 0);
	strbuf_puts(&b, "{\"model_name\":\"Book\",\"limit\":1,\"where\":[{\"node_kind\":\"leaf\",\"column\":\"id\","
			"\"operator\":\"IN\",\"value\":[");
	for (size_t i = 0; i < n; i++)
		strbuf_puts(&b, i == 0 ? "1" : ",1");
	strbuf_puts(&b, "]}]}");
	z = arena_strz(&arena, strbuf_str(&b));
	strbuf_done(&b);
	return z;
}

static void values_are_bounded_in_number(void **state UNUSED)
{
	struct result_shape shape;
	struct stmt stmt;
	struct query *q;

	assert_true(read_query(in_list(LIMIT_SQL_PARAMS_SQLITE - 1), &q));
	assert_true(query_lower_select(&arena, q, &stmt, &shape, &err));
	assert_int_equal(stmt.n_params, LIMIT_SQL_PARAMS_SQLITE);
	/* the limit makes one too many */
	assert_true(read_query(in_list(LIMIT_SQL_PARAMS_SQLITE), &q));
	assert_false(query_lower_select(&arena, q, &stmt, &shape, &err));
	assert_int_equal(err.code, ERR_INVALID_QUERY);
	assert_false(read_query(in_list(LIMIT_SQL_PARAMS_SQLITE + 1), &q));
	assert_int_equal(err.code, ERR_INVALID_QUERY);
	assert_true(read_on(&dialect_postgres, in_list(LIMIT_SQL_PARAMS_SQLITE + 1), &q));
}

static void includes(void **state UNUSED)
{
	struct query *q;

	assert_true(read_query(
		"{\"model_name\":\"Author\",\"include\":[{\"relation\":\"book_set\",\"where\":[{\"node_kind\":\"leaf\","
		"\"column\":\"title\",\"operator\":\"LIKE\",\"value\":\"a%\"}],\"order_by\":[{\"column\":\"id\"}],"
		"\"limit\":3,\"include\":[\"author\"]}]}",
		&q));
	assert_int_equal(q->n_includes, 1);
	assert_true(str_eq(q->includes[0].relation->name, STR("book_set")));
	assert_ptr_equal(q->includes[0].query->model, model("Book"));
	assert_int_equal(q->includes[0].query->n_where, 1);
	assert_int_equal(q->includes[0].query->limit, 3);
	assert_int_equal(q->includes[0].query->n_includes, 1);
	assert_ptr_equal(q->includes[0].query->includes[0].query->model, model("Author"));
}

static void refused(const char *text, enum err_code code, const char *pointer)
{
	struct query *q;

	if (read_query(text, &q))
		fail_msg("taken: %s", text);
	assert_string_equal(err_code_name(err.code), err_code_name(code));
	assert_string_equal(err.pointer, pointer);
}

static void includes_refused(void **state UNUSED)
{
	struct strbuf b;

	refused("{\"model_name\":\"Author\",\"include\":[\"book_set\",\"nope\"]}", ERR_INVALID_QUERY, "/include/1");
	refused("{\"model_name\":\"Author\",\"include\":[{\"relation\":\"nope\"}]}", ERR_INVALID_QUERY,
		"/include/0/relation");
	refused("{\"model_name\":\"Author\",\"include\":[5]}", ERR_INVALID_QUERY, "/include/0");
	refused("{\"model_name\":\"Author\",\"include\":[{\"relation\":\"book_set\",\"select\":[\"nope\"]}]}",
		ERR_UNKNOWN_COLUMN, "/include/0/select/0");
	refused("{\"model_name\":\"Book\",\"select\":[\"title\"],\"include\":[\"author\"]}", ERR_INVALID_QUERY, "");
	strbuf_init(&b, 0);
	strbuf_puts(&b, "{\"model_name\":\"Author\"");
	for (int i = 0; i < 9; i++)
		strbuf_printf(&b, ",\"include\":[{\"relation\":\"%s\"", i % 2 == 0 ? "book_set" : "author");
	for (int i = 0; i < 9; i++)
		strbuf_puts(&b, "}]");
	strbuf_putc(&b, '}');
	refused(strbuf_str(&b).p, ERR_INVALID_QUERY,
		"/include/0/include/0/include/0/include/0/include/0/include/0/include/0/include/0/include");
	strbuf_done(&b);
}

static void a_cursor_needs_a_key_and_no_offset(void **state UNUSED)
{
	struct query *q;

	assert_true(read_query("{\"model_name\":\"Book\",\"cursor\":\"x\",\"limit\":2}", &q));
	assert_true(str_eq(q->cursor, STR("x")));
	assert_true(read_query("{\"model_name\":\"Book\"}", &q));
	assert_null(q->cursor.p);
	refused("{\"model_name\":\"Book\",\"cursor\":\"x\",\"offset\":2}", ERR_INVALID_QUERY, "/offset");
	refused("{\"model_name\":\"Log\",\"cursor\":\"x\"}", ERR_INVALID_QUERY, "/cursor");
	refused("{\"model_name\":\"Book\",\"cursor\":5}", ERR_INVALID_QUERY, "/cursor");
}

static void unknown_columns_are_named(void **state UNUSED)
{
	refused("{\"model_name\":\"Book\",\"order_by\":[{\"column\":\"nope\"}]}", ERR_UNKNOWN_COLUMN,
		"/order_by/0/column");
	assert_string_equal(err.column, "nope");
	assert_string_equal(err.table, "book");
}

static void operators_have_words(void **state UNUSED)
{
	enum query_op op;

	assert_true(query_op_from_word(STR("=="), &op));
	assert_int_equal(op, OP_EQ);
	assert_true(query_op_from_word(STR("NOT ILIKE"), &op));
	assert_int_equal(op, OP_NOT_ILIKE);
	assert_true(query_op_from_word(STR("IS NOT NULL"), &op));
	assert_int_equal(op, OP_IS_NOT_NULL);
	assert_false(query_op_from_word(STR("="), &op));
	assert_false(query_op_from_word(STR("like"), &op));
	assert_false(query_op_from_word(STR(""), &op));
}

static void conditions_from_text(void **state UNUSED)
{
	const struct model *m = model("Book");
	const struct query *q = query_new(&arena, schema, &dialect_sqlite, m);
	const struct query_expr *id, *title;
	const struct str numbers[] = {STR("1"), STR("x")}, words[] = {STR("a"), STR("null")};
	const struct query_node *leaf;

	assert_true(query_ref_from_text(&arena, q, m, STR("id"), "/id", &id, &err));
	assert_true(query_ref_from_text(&arena, q, m, STR(".title"), "/title", &title, &err));
	assert_true(query_leaf_from_text(&arena, &dialect_sqlite, id, OP_GE, numbers, 1, "/id", &leaf, &err));
	assert_int_equal(leaf->values[0].u.i, 1);
	assert_true(query_leaf_from_text(&arena, &dialect_sqlite, title, OP_IN, words, 2, "/title", &leaf, &err));
	assert_int_equal(leaf->n_values, 2);
	assert_int_equal(leaf->values[1].kind, VALUE_TEXT); /* a word like any other here */
	assert_true(query_leaf_from_text(&arena, &dialect_sqlite, title, OP_IS_NULL, NULL, 0, "/title", &leaf, &err));
	assert_false(query_leaf_from_text(&arena, &dialect_sqlite, id, OP_IN, numbers, 2, "/id", &leaf, &err));
	assert_int_equal(err.code, ERR_INVALID_VALUE);
	assert_false(query_leaf_from_text(&arena, &dialect_sqlite, id, OP_LIKE, words, 1, "/id", &leaf, &err));
	assert_int_equal(err.code, ERR_INVALID_QUERY);
	assert_string_equal(err.pointer, "/id");
	assert_false(query_leaf_from_text(&arena, &dialect_sqlite, id, OP_EQ, numbers, 2, "/id", &leaf, &err));
	assert_int_equal(err.code, ERR_INVALID_QUERY);
}

static bool key(const char *name, const char *text, struct value **ret)
{
	return query_key_from_text(&arena, &dialect_sqlite, model(name), str_z(text), ret, &err);
}

static void keys_from_text(void **state UNUSED)
{
	struct value *v;

	assert_true(key("Book", "7", &v));
	assert_int_equal(v[0].u.i, 7);
	assert_false(key("Book", "7,8", &v));
	assert_int_equal(err.code, ERR_INVALID_VALUE);
	assert_false(err.has_pointer);
	assert_false(key("Book", "", &v));
	assert_true(key("Pair", "1,x", &v));
	assert_int_equal(v[0].u.i, 1);
	assert_true(str_eq(v[1].u.s, STR("x")));
	assert_true(key("Pair", "1,x,y,", &v)); /* only the text can hold commas */
	assert_true(str_eq(v[1].u.s, STR("x,y,")));
	assert_true(key("Pair", "1,", &v));
	assert_int_equal(v[1].u.s.len, 0);
	assert_false(key("Pair", "1", &v));
	assert_true(key("Words", "a,b", &v));
	assert_false(key("Words", "a,b,c", &v)); /* whose comma? */
	assert_int_equal(err.code, ERR_INVALID_VALUE);
	assert_false(key("Log", "a", &v));
	assert_int_equal(err.code, ERR_INVALID_QUERY);
}

static void identity_keys_are_unambiguous(void **state UNUSED)
{
	const struct value one[] = {value_text(STR("a,b")), value_text(STR("c"))};
	const struct value two[] = {value_text(STR("a")), value_text(STR("b,c"))};
	const struct value tricky[] = {value_text(STR("1:a")), value_text(STR(""))};
	const struct value tricky2[] = {value_text(STR("1")), value_text(STR("a"))};
	const struct model *words = model("Words");
	struct value *v;

	assert_false(str_eq(query_identity_key(&arena, words, one), query_identity_key(&arena, words, two)));
	assert_false(str_eq(query_identity_key(&arena, words, tricky), query_identity_key(&arena, words, tricky2)));
	assert_true(key("Book", "7", &v));
	assert_true(str_eq(query_identity_key(&arena, model("Book"), v), STR("7")));
	/* from a path and from a row */
	assert_true(key("Stamp", "2026-01-02T03:04:05+01:00", &v));
	assert_true(str_eq(query_identity_key(&arena, model("Stamp"), v), STR("2026-01-02T02:04:05Z")));
}

static void by_key_is_quick(void **state UNUSED)
{
	struct result_shape shape;
	struct value *v;
	struct stmt stmt;

	assert_true(key("Pair", "1,x", &v));
	assert_true(query_lower_select(&arena, query_by_pk(&arena, schema, &dialect_postgres, model("Pair"), v), &stmt,
				       &shape, &err));
	assert_true(str_eq(stmt.sql, STR("SELECT \"a\", \"b\" FROM \"pair\" WHERE \"a\" = $1 AND \"b\" = $2")));
	assert_true(stmt.quick && stmt.cache && shape.full);
	assert_int_equal(stmt.access, STMT_READ);
	assert_int_equal(stmt.param_type, STMT_PARAM_INFER);
}

/* Both forms of a uuid that SQLite may have: of each there is one row. */
static void by_a_uuid_is_quick(void **state UNUSED)
{
	struct result_shape shape;
	struct value *v;
	struct stmt stmt;

	assert_true(key("Thing", "6f1b0a3e-0c3b-4f5e-9d8e-111111111111", &v));
	assert_true(query_lower_select(&arena, query_by_pk(&arena, schema, &dialect_sqlite, model("Thing"), v), &stmt,
				       &shape, &err));
	assert_true(str_eq(stmt.sql, STR("SELECT \"u\" FROM \"thing\" WHERE \"u\" IN (?, ?)")));
	assert_int_equal(stmt.params[0].kind, VALUE_TEXT);
	assert_int_equal(stmt.params[1].kind, VALUE_BYTES);
	assert_int_equal(stmt.params[1].u.s.len, 16);
	assert_true(stmt.quick);
}

static void access_is_known(void **state UNUSED)
{
	struct result_shape shape;
	struct stmt stmt;
	struct query *q;

	assert_true(read_query("{\"model_name\":\"Book\",\"lock\":\"update\"}", &q));
	assert_true(query_lower_select(&arena, q, &stmt, &shape, &err));
	assert_int_equal(stmt.access, STMT_WRITE);
	assert_false(stmt.quick);
	assert_true(read_query("{\"model_name\":\"Book\"}", &q));
	assert_true(query_lower_count(&arena, q, &stmt, &err));
	assert_int_equal(stmt.access, STMT_READ);
	assert_false(stmt.quick);
	assert_true(query_lower_delete(&arena, q, false, &stmt, &shape, &err));
	assert_int_equal(stmt.access, STMT_WRITE);
}

static void aggregates_decode_by_their_own_type(void **state UNUSED)
{
	struct result_shape shape;
	struct stmt stmt;
	struct query *q;

	assert_true(read_query(
		"{\"model_name\":\"Book\",\"group_by\":[\"title\"],\"aggregates\":[{\"fn\":\"COUNT\",\"as\":\"n\"},"
		"{\"fn\":\"avg\",\"column\":\"author_id\",\"as\":\"a\"},"
		"{\"fn\":\"max\",\"column\":\"title\",\"as\":\"t\"}]}",
		&q));
	assert_true(query_lower_select(&arena, q, &stmt, &shape, &err));
	assert_int_equal(shape.n, 4);
	assert_false(shape.full);
	assert_ptr_equal(shape.columns[0], model_column(model("Book"), STR("title")));
	assert_null(shape.columns[1]);
	assert_int_equal(shape.decode[1].logical, LT_INTEGER);
	assert_int_equal(shape.decode[2].logical, LT_NUMBER);
	assert_int_equal(shape.decode[3].logical, LT_STRING);
	assert_true(str_eq(shape.names[2], STR("a")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_model_is_found_before_the_rest),
		TEST(null_members_say_nothing),
		TEST(predicates_are_bounded_in_depth),
		TEST(values_are_bounded_in_number),
		TEST(includes),
		TEST(includes_refused),
		TEST(a_cursor_needs_a_key_and_no_offset),
		TEST(unknown_columns_are_named),
		TEST(operators_have_words),
		TEST(conditions_from_text),
		TEST(keys_from_text),
		TEST(identity_keys_are_unambiguous),
		TEST(by_key_is_quick),
		TEST(by_a_uuid_is_quick),
		TEST(access_is_known),
		TEST(aggregates_decode_by_their_own_type),
	};

	return cmocka_run_group_tests_name("query_json", tests, NULL, NULL);
}
