/* Plans: a query lowered again has the SQL, shape and parameters that it would have without them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "service/base/limits.h"
#include "store/query/query.h"
#include "tests/support/golden.h"

static const char schema_text[] =
	"{\"models\":[{\"model_name\":\"Thing\",\"columns\":["
	"{\"name\":\"id\",\"logical_type\":\"integer\",\"primary_key\":true,\"nullable\":true},"
	"{\"name\":\"n\",\"logical_type\":\"integer\",\"nullable\":true,\"index\":true},"
	"{\"name\":\"name\",\"logical_type\":\"string\",\"nullable\":true},"
	"{\"name\":\"mail\",\"logical_type\":\"string\",\"unique\":true,\"nullable\":true},"
	"{\"name\":\"doc\",\"logical_type\":\"json\",\"nullable\":true}]}]}";

static struct schema *new_schema(struct arena *a)
{
	return golden_schema(a, golden_parse(a, schema_text));
}

static struct query_plan_stats stats(void)
{
	struct query_plan_stats s;

	query_plan_stats(&s);
	return s;
}

/* ---- queries of any shape ---- */

static unsigned pick(unsigned n)
{
	return (unsigned)random() % n;
}

static void put_value(struct strbuf *b, unsigned column)
{
	static const char *const texts[] = {"\"a\"", "\"b%\"", "\"50\\\\\\\\%\"", "\"\xC3\xA9\"", "\"\""};

	if (pick(8) == 0)
		strbuf_puts(b, "null");
	else if (column < 2)
		strbuf_int(b, pick(1000));
	else
		strbuf_puts(b, texts[pick(ARRAY_LEN(texts))]);
}

static const char *const columns[] = {"id", "n", "name", "mail", "doc"};

static void put_leaf(struct strbuf *b)
{
	static const char *const any[] = {"==", "!="}, *const ordered[] = {"<", "<=", ">", ">=", "BETWEEN"},
				 *const like[] = {"LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"},
				 *const in[] = {"IN", "NOT IN"}, *const null[] = {"IS NULL", "IS NOT NULL"};
	const unsigned column = pick(5), kind = column == 4 ? pick(2) * 4 : pick(5);
	const char *op = kind == 0   ? any[pick(2)]
			 : kind == 1 ? ordered[pick(5)]
			 : kind == 2 ? (column < 2 ? any[pick(2)] : like[pick(4)])
			 : kind == 3 ? in[pick(2)]
				     : null[pick(2)];
	const unsigned n = kind == 3 ? pick(4) : strcmp(op, "BETWEEN") == 0 ? 2 : 1;

	strbuf_printf(b, "{\"node_kind\":\"leaf\",\"column\":\"%s\",\"operator\":\"%s\"", columns[column], op);
	if (kind == 4) {
		strbuf_puts(b, "}");
		return;
	}
	strbuf_puts(b, kind == 3 || n == 2 ? ",\"value\":[" : ",\"value\":");
	for (unsigned i = 0; i < n; i++) {
		strbuf_puts(b, i > 0 ? "," : "");
		if (strstr(op, "LIKE") != NULL)
			strbuf_puts(b, pick(3) == 0 ? "\"a\\\\%\"" : pick(2) == 0 ? "\"\xC3\xA9%\"" : "\"a%\"");
		else
			put_value(b, column);
	}
	strbuf_puts(b, kind == 3 || n == 2 ? "]}" : "}");
}

static void put_node(struct strbuf *b, unsigned depth)
{
	const unsigned kind = depth > 2 ? 0 : pick(4);

	if (kind < 2) {
		put_leaf(b);
	} else if (kind == 2) {
		strbuf_puts(b, "{\"node_kind\":\"not\",\"operand\":");
		put_node(b, depth + 1);
		strbuf_puts(b, "}");
	} else {
		strbuf_printf(b, "{\"node_kind\":\"compound\",\"operator\":\"%s\",\"left\":", pick(2) ? "AND" : "OR");
		put_node(b, depth + 1);
		strbuf_puts(b, ",\"right\":");
		put_node(b, depth + 1);
		strbuf_puts(b, "}");
	}
}

static void put_groups(struct strbuf *b)
{
	strbuf_printf(b, ",\"group_by\":[\"%s\"],\"aggregates\":[{\"fn\":\"%s\",\"column\":\"n\",\"as\":\"%s\"}]",
		      columns[pick(4)], pick(2) ? "sum" : "max", pick(2) ? "x" : "total");
	if (pick(2) == 0)
		strbuf_printf(
			b, ",\"having\":[{\"node_kind\":\"leaf\",\"column\":\"%s\",\"operator\":\">\",\"value\":%u}]",
			"x", pick(9));
}

static void put_query(struct strbuf *b)
{
	static const unsigned limits[] = {0, 1, 10, 200, 201, 5000};

	strbuf_reset(b);
	strbuf_puts(b, "{\"model_name\":\"Thing\",\"where\":[");
	for (unsigned i = 0, n = pick(3); i < n; i++) {
		strbuf_puts(b, i > 0 ? "," : "");
		put_node(b, 0);
	}
	strbuf_puts(b, "]");
	if (pick(2) == 0)
		strbuf_printf(b, ",\"limit\":%u", limits[pick(ARRAY_LEN(limits))]);
	if (pick(4) == 0)
		strbuf_printf(b, ",\"offset\":%u", pick(3));
	if (pick(6) == 0) {
		put_groups(b);
	} else {
		if (pick(2) == 0)
			strbuf_printf(b, ",\"order_by\":[{\"column\":\"%s\",\"direction\":\"%s\"}]", columns[pick(4)],
				      pick(2) ? "asc" : "desc");
		if (pick(4) == 0)
			strbuf_printf(b, ",\"select\":[\"id\",\"%s\"]", columns[1 + pick(3)]);
		else if (pick(6) == 0)
			strbuf_puts(b, ",\"lock\":\"update\"");
	}
	strbuf_puts(b, "}");
}

/* ---- lowering ---- */

struct lowered {
	bool ok, has_shape;
	struct stmt stmt;
	struct result_shape shape;
	struct err err;
};

static struct lowered lower(struct arena *a, const struct schema *s, const struct dialect *d, const char *text,
			    unsigned op)
{
	static const struct value one = {.kind = VALUE_INT, .u.i = 1};
	struct lowered l = {.has_shape = op != 1 && op != 2};
	struct query *q;

	l.ok = query_from_json(a, s, d, golden_parse(a, text), "", &q, &l.err);
	if (!l.ok)
		return l;
	const struct column *n = model_column(q->model, STR("n"));
	const struct query_expr own = {.kind = EXPR_COLUMN, .column = n, .type = *n};
	const struct query_expr operand = {.kind = EXPR_VALUE, .type = *n, .value = one};
	const struct query_expr *const args[] = {&own, &operand};
	const struct query_expr sum = {.kind = EXPR_ADD, .type = *n, .args = args, .n_args = 2};
	const struct query_set set[] = {{.column = n, .value = one, .expr = op == 3 ? &sum : NULL}};

	switch (op) {
	case 0:
		l.ok = query_lower_select(a, q, &l.stmt, &l.shape, &l.err);
		break;
	case 1:
		l.ok = query_lower_count(a, q, &l.stmt, &l.err);
		break;
	case 2:
		l.ok = query_lower_exists(a, q, &l.stmt, &l.err);
		break;
	case 3:
	case 4:
		l.ok = query_lower_update(a, q, set, 1, true, &l.stmt, &l.shape, &l.err);
		break;
	default:
		l.ok = query_lower_delete(a, q, true, &l.stmt, &l.shape, &l.err);
		break;
	}
	return l;
}

static void assert_same(const struct lowered *a, const struct lowered *b, const char *text)
{
	assert_int_equal(a->ok, b->ok);
	if (!a->ok) {
		assert_int_equal(a->err.code, b->err.code);
		return;
	}
	if (!str_eq(a->stmt.sql, b->stmt.sql))
		fail_msg("%s\n  %.*s\n  %.*s", text, STR_FMT(a->stmt.sql), STR_FMT(b->stmt.sql));
	assert_int_equal(a->stmt.hash, b->stmt.hash);
	assert_int_equal(a->stmt.access, b->stmt.access);
	assert_int_equal(a->stmt.quick, b->stmt.quick);
	assert_int_equal(a->stmt.cache, b->stmt.cache);
	assert_int_equal(a->stmt.n_params, b->stmt.n_params);
	for (size_t i = 0; i < a->stmt.n_params; i++)
		assert_true(value_equal(a->stmt.params[i], b->stmt.params[i]));
	if (!a->has_shape)
		return;
	assert_int_equal(a->shape.n, b->shape.n);
	assert_int_equal(a->shape.full, b->shape.full);
	for (size_t i = 0; i < a->shape.n; i++) {
		assert_true(str_eq(a->shape.names[i], b->shape.names[i]));
		assert_true(str_eq(a->shape.decode[i].name, b->shape.decode[i].name));
		assert_int_equal(a->shape.decode[i].logical, b->shape.decode[i].logical);
		assert_int_equal(a->shape.columns[i] == NULL, b->shape.columns[i] == NULL);
		if (a->shape.columns[i] != NULL)
			assert_true(str_eq(a->shape.columns[i]->name, b->shape.columns[i]->name));
	}
}

/* A new snapshot has no plans: there each query is lowered anew. */
static void plans_change_nothing(void **state UNUSED)
{
	struct arena arena;
	struct schema *known;
	struct strbuf text;
	size_t n_ok = 0;

	srandom(7);
	arena_init(&arena);
	strbuf_init(&text, 0);
	known = new_schema(&arena);
	const struct query_plan_stats before = stats();
	for (int i = 0; i < 6000; i++) {
		const struct dialect *d = i % 2 == 0 ? &dialect_sqlite : &dialect_postgres;
		const unsigned op = pick(6);
		struct arena a;

		arena_init(&a);
		put_query(&text);
		struct schema *fresh = new_schema(&a);
		const struct lowered anew = lower(&a, fresh, d, text.p, op), first = lower(&a, known, d, text.p, op),
				     again = lower(&a, known, d, text.p, op);
		assert_same(&first, &anew, text.p);
		assert_same(&again, &anew, text.p);
		n_ok += anew.ok;
		schema_unref(fresh);
		arena_done(&a);
	}
	assert_true(n_ok > 3000);
	assert_true(stats().hits - before.hits >= n_ok); /* each second time at least */
	strbuf_done(&text);
	schema_unref(known);
	arena_done(&arena);
}

static void values_share_a_plan_and_shapes_do_not(void **state UNUSED)
{
	static const struct {
		const char *where; /* against "id == 1" */
		bool shared;
	} cases[] = {
		{"\"operator\":\"==\",\"column\":\"id\",\"value\":2", true},
		{"\"operator\":\"==\",\"column\":\"id\",\"value\":null", false},
		{"\"operator\":\"!=\",\"column\":\"id\",\"value\":1", false},
		{"\"operator\":\"==\",\"column\":\"n\",\"value\":1", false},
		{"\"operator\":\"IN\",\"column\":\"id\",\"value\":[1]", false},
		{"\"operator\":\"IN\",\"column\":\"id\",\"value\":[1,2]", false},
		{"\"operator\":\"IN\",\"column\":\"id\",\"value\":[3,4]", true},
	};
	struct arena a;
	struct schema *s;
	struct strbuf text;

	arena_init(&a);
	strbuf_init(&text, 0);
	s = new_schema(&a);
	assert_true(lower(&a, s, &dialect_sqlite,
			  "{\"model_name\":\"Thing\",\"where\":[{\"node_kind\":\"leaf\",\"operator\":\"==\","
			  "\"column\":\"id\",\"value\":1}]}",
			  0)
			    .ok);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct query_plan_stats before = stats();

		strbuf_reset(&text);
		strbuf_printf(&text, "{\"model_name\":\"Thing\",\"where\":[{\"node_kind\":\"leaf\",%s}]}",
			      cases[i].where);
		assert_true(lower(&a, s, &dialect_sqlite, text.p, 0).ok);
		assert_int_equal(stats().hits - before.hits, cases[i].shared);
		assert_int_equal(stats().misses - before.misses, !cases[i].shared);
	}
	strbuf_done(&text);
	schema_unref(s);
	arena_done(&a);
}

static struct lowered lower_limit(struct arena *a, const struct schema *s, unsigned n_values)
{
	struct strbuf text;

	strbuf_init(&text, 0);
	strbuf_puts(&text,
		    "{\"model_name\":\"Thing\",\"where\":[{\"node_kind\":\"leaf\",\"column\":\"id\",\"operator\":"
		    "\"IN\",\"value\":[0");
	for (unsigned i = 1; i < n_values; i++)
		strbuf_printf(&text, ",%u", i);
	strbuf_puts(&text, "]}]}");
	const struct lowered l = lower(a, s, &dialect_sqlite, text.p, 0);

	strbuf_done(&text);
	assert_true(l.ok);
	return l;
}

/* A request's plan stays while the cache, which is bounded, has let go of it. */
static void a_plan_in_use_outlives_its_place(void **state UNUSED)
{
	struct arena a, other;
	struct schema *s;

	arena_init(&a);
	s = new_schema(&a);
	(void)lower_limit(&a, s, 3);
	const struct lowered held = lower_limit(&a, s, 3);
	for (unsigned i = 4; i < LIMIT_PLANS + 5; i++) {
		arena_init(&other);
		(void)lower_limit(&other, s, i);
		arena_done(&other);
	}
	const struct query_plan_stats before = stats();
	const struct lowered again = lower_limit(&a, s, 3);
	assert_int_equal(stats().misses - before.misses, 1);
	assert_same(&held, &again, "the third");
	schema_unref(s);
	arena_done(&a);
}

static void *lower_elsewhere(void *arg UNUSED)
{
	struct arena a;
	struct schema *s;

	arena_init(&a);
	s = new_schema(&a);
	for (int i = 0; i < 10; i++)
		(void)lower_limit(&a, s, 2);
	schema_unref(s);
	arena_done(&a);
	return NULL;
}

static void threads_that_ended_are_counted(void **state UNUSED)
{
	const struct query_plan_stats before = stats();
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, lower_elsewhere, NULL), 0);
	pthread_join(t, NULL);
	assert_int_equal(stats().hits - before.hits, 9);
	assert_int_equal(stats().misses - before.misses, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_change_nothing),
		cmocka_unit_test(values_share_a_plan_and_shapes_do_not),
		cmocka_unit_test(a_plan_in_use_outlives_its_place),
		cmocka_unit_test(threads_that_ended_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
