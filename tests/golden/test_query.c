/* Every case of query.json: QueryIR, an update's set or records in, one statement with its parameters out, per dialect;
 * or the refusal with its place ("error" for both, or in place of one's own). A case with "sqlite" or "postgres" of its
 * own, or "sql" for both when they agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "store/query/query.h"
#include "tests/support/golden.h"

struct lowered {
	struct stmt stmt;
	struct result_shape shape;
	bool has_shape;
};

static bool lower_query(struct arena *a, const struct schema *s, const struct dialect *d, const json_t *c,
			const char *op, struct lowered *ret, struct err *err)
{
	const json_t *set = json_object_get(c, "set");
	bool returning = json_is_true(json_object_get(c, "returning"));
	struct query_set *entries = NULL;
	size_t n = 0;
	struct query *q;

	if (!query_from_json(a, s, d, json_object_get(c, "query"), "", &q, err))
		return false;
	if (set != NULL && !query_set_from_json(a, q->model, d, set, "/set", &entries, &n, err))
		return false;
	ret->has_shape = returning || strcmp(op, "select") == 0;
	if (strcmp(op, "select") == 0)
		return query_lower_select(a, q, &ret->stmt, &ret->shape, err);
	if (strcmp(op, "count") == 0)
		return query_lower_count(a, q, &ret->stmt, err);
	if (strcmp(op, "exists") == 0)
		return query_lower_exists(a, q, &ret->stmt, err);
	if (strcmp(op, "update") == 0)
		return query_lower_update(a, q, entries, n, returning, &ret->stmt, &ret->shape, err);
	assert_string_equal(op, "delete");
	return query_lower_delete(a, q, returning, &ret->stmt, &ret->shape, err);
}

static bool lower_insert(struct arena *a, const struct dialect *d, const struct model *m, const json_t *c,
			 struct lowered *ret, struct err *err)
{
	const char *conflict = json_string_value(json_object_get(c, "conflict"));
	const json_t *records = json_object_get(c, "records"), *names = json_object_get(c, "columns");
	const size_t n = json_array_size(records), n_columns = json_array_size(names);
	struct record_row *rows = arena_array(a, n, sizeof(*rows));
	const struct column **columns = arena_array(a, n_columns, sizeof(*columns));
	enum record_conflict what = RECORD_INSERT;

	if (conflict != NULL)
		what = strcmp(conflict, "ignore") == 0 ? RECORD_IGNORE : RECORD_UPDATE;
	for (size_t i = 0; i < n; i++)
		if (!record_from_json(a, d, m, json_array_get(records, i), "", RECORD_CREATE, &rows[i], err))
			return false;
	for (size_t i = 0; i < n_columns; i++)
		columns[i] = model_column(m, json_str(json_array_get(names, i)));
	ret->has_shape = json_is_true(json_object_get(c, "returning"));
	const struct record_insert_how how = {
		.conflict = what, .target = {.columns = columns, .n_columns = n_columns}, .returning = ret->has_shape};

	return record_lower_insert(a, d, m, rows, n, &how, &ret->stmt, &ret->shape, err);
}

static bool lower_case(struct arena *a, const struct schema *s, const struct dialect *d, const json_t *c,
		       struct lowered *ret, struct err *err)
{
	const char *op = json_string_value(json_object_get(c, "op"));
	const json_t *name = json_object_get(c, "model");
	const struct model *m = name != NULL ? schema_model(s, json_str(name)) : NULL;

	memset(ret, 0, sizeof(*ret));
	memset(err, 0, sizeof(*err));
	assert_non_null(op);
	if (strcmp(op, "insert") == 0) {
		assert_non_null(m);
		return lower_insert(a, d, m, c, ret, err);
	}
	if (strcmp(op, "sequence") == 0) {
		assert_non_null(m);
		return record_lower_sequence(a, d, m, &ret->stmt, err);
	}
	return lower_query(a, s, d, c, op, ret, err);
}

/* Parameters as a JSON array; bytes are tagged, documents are text. */
static struct str params_text(struct arena *a, const struct stmt *s)
{
	static const struct value_format fmt = {.tag_bytes = true};
	struct strbuf b;
	struct str text;

	strbuf_init(&b, 0);
	strbuf_putc(&b, '[');
	for (size_t i = 0; i < s->n_params; i++) {
		struct value v = s->params[i];

		if (i > 0)
			strbuf_putc(&b, ',');
		if (v.kind == VALUE_JSON)
			v.kind = VALUE_TEXT;
		value_write_json(&b, v, &fmt);
	}
	strbuf_putc(&b, ']');
	text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return text;
}

/* What is expected under "sqlite" or "postgres", or under `both`. */
static const json_t *expected(const json_t *c, const struct dialect *d, const char *both, size_t member)
{
	const json_t *own = json_object_get(c, d->name);

	if (own != NULL)
		return json_array_get(own, member);
	return json_object_get(c, both);
}

static void check_refusal(const json_t *c, const struct dialect *d, bool ok, const struct err *err)
{
	const char *name = json_string_value(json_object_get(c, "name"));
	const json_t *own = json_object_get(c, d->name);
	const char *code = json_string_value(json_is_string(own) ? own : json_object_get(c, "error"));
	const json_t *pointer = json_object_get(c, "pointer");

	if (ok)
		fail_msg("%s (%s): was not refused", name, d->name);
	if (strcmp(err_code_name(err->code), code) != 0)
		fail_msg("%s (%s): refused as %s: %s", name, d->name, err_code_name(err->code), err->detail);
	if (json_is_string(pointer) && (!err->has_pointer || strcmp(err->pointer, json_string_value(pointer)) != 0))
		fail_msg("%s (%s): points at %s, not at %s: %s", name, d->name,
			 err->has_pointer ? err->pointer : "nothing", json_string_value(pointer), err->detail);
	assert_true(strlen(err->detail) > 0);
}

static void check_shape(const json_t *c, const struct lowered *l)
{
	const json_t *names = json_object_get(c, "names");

	if (!l->has_shape)
		return;
	assert_true(l->shape.n > 0);
	if (names != NULL)
		assert_int_equal(l->shape.n, json_array_size(names));
	for (size_t i = 0; i < json_array_size(names); i++)
		assert_true(str_eq(l->shape.names[i], json_str(json_array_get(names, i))));
}

static void run(struct arena *a, const struct schema *s, const struct dialect *d, const json_t *c)
{
	const char *name = json_string_value(json_object_get(c, "name"));
	const json_t *sql, *params;
	struct lowered l;
	struct err err;
	struct str got;
	bool ok = lower_case(a, s, d, c, &l, &err);

	if (json_object_get(c, "error") != NULL || json_is_string(json_object_get(c, d->name))) {
		check_refusal(c, d, ok, &err);
		return;
	}
	if (!ok)
		fail_msg("%s (%s): refused: %s at %s", name, d->name, err.detail, err.pointer);
	sql = expected(c, d, "sql", 0);
	params = expected(c, d, "params", 1);
	assert_non_null(sql);
	assert_non_null(params);
	if (!str_eq(l.stmt.sql, json_str(sql)))
		fail_msg("%s (%s):\n  want %s\n  got  %.*s", name, d->name, json_string_value(sql),
			 STR_FMT(l.stmt.sql));
	got = params_text(a, &l.stmt);
	/* null: they tell of the time when this runs */
	if (!json_is_null(params) && !str_eq(got, str_z(golden_text(a, params))))
		fail_msg("%s (%s): parameters\n  want %s\n  got  %.*s", name, d->name, golden_text(a, params),
			 STR_FMT(got));
	check_shape(c, &l);
}

static void all_cases(const char *path, size_t n_min, size_t hits_min)
{
	struct arena a;
	struct schema *s;
	const json_t *file, *cases;

	arena_init(&a);
	file = golden_load(&a, path);
	s = golden_schema(&a, json_object_get(file, "schema"));
	cases = json_object_get(file, "cases");
	/* the second time from plans */
	for (size_t round = 0; round < 2; round++) {
		struct query_plan_stats before, after;

		query_plan_stats(&before);
		for (size_t i = 0; i < json_array_size(cases); i++) {
			run(&a, s, &dialect_sqlite, json_array_get(cases, i));
			run(&a, s, &dialect_postgres, json_array_get(cases, i));
		}
		query_plan_stats(&after);
		assert_true(round == 0 || after.hits - before.hits >= hits_min);
	}
	assert_true(json_array_size(cases) >= n_min);
	schema_unref(s);
	arena_done(&a);
}

static void test_cases(void **state UNUSED)
{
	all_cases("tests/golden/query.json", 150, 200);
}

/* Related records, documents, arrays and ranges, expressions. */
static void test_asking(void **state UNUSED)
{
	all_cases("tests/golden/asking.json", 80, 150);
}

/* The reference's own text, but for the select list: we name columns. */
static void shadow(const struct dialect *d, const char *path)
{
	static const char query[] =
		"{\"model_name\":\"ShadowUser\",\"where\":["
		"{\"node_kind\":\"leaf\",\"column\":\"age\",\"operator\":\">=\",\"value\":{\"kind\":\"int\",\"value\":"
		"18}},"
		"{\"node_kind\":\"leaf\",\"column\":\"name\",\"operator\":\"LIKE\",\"value\":{\"kind\":\"string\","
		"\"value\":\"a%\"}}"
		"],\"order_by\":[{\"column\":\"age\",\"direction\":\"desc\"}],\"limit\":5003,\"offset\":1}";
	struct result_shape shape;
	const char *theirs;
	struct schema *s;
	struct query *q;
	struct stmt stmt;
	struct arena a;
	struct err err;

	arena_init(&a);
	theirs = json_string_value(json_object_get(
		json_object_get(json_object_get(golden_load(&a, path), "query_compare"), "legacy"), "sql"));
	assert_non_null(theirs);
	s = golden_schema(&a, json_object_get(golden_load(&a, "tests/golden/query.json"), "schema"));
	assert_true(query_from_json(&a, s, d, golden_parse(&a, query), "", &q, &err));
	assert_true(query_lower_select(&a, q, &stmt, &shape, &err));
	assert_string_equal(strstr(stmt.sql.p, " FROM "), strstr(theirs, " FROM "));
	assert_true(str_eq(params_text(&a, &stmt), STR("[18,\"a%\",5003,1]")));
	assert_true(shape.full);
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
		cmocka_unit_test(test_asking),
		cmocka_unit_test(test_shadow_vectors),
	};

	return cmocka_run_group_tests_name("golden query", tests, NULL, NULL);
}
