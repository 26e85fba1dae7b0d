/* Every case of migrate.json: a live database and models in; statements, what they cost, warnings and refusals out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "store/migrate/diff.h"
#include "store/migrate/plan.h"
#include "tests/support/golden.h"

/* ---- live databases from JSON ---- */

static struct str text(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_string(v) ? json_str(v) : STR_NONE;
}

static bool flag(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static const struct str *texts(struct arena *a, const json_t *o, const char *key, size_t *ret_n)
{
	const json_t *v = json_object_get(o, key);
	struct str *out = arena_array(a, json_array_size(v), sizeof(*out));

	*ret_n = json_array_size(v);
	for (size_t i = 0; i < *ret_n; i++)
		out[i] = json_str(json_array_get(v, i));
	return out;
}

static struct live_column column_of(struct arena *a, const json_t *o)
{
	struct live_column c = {
		.name = text(o, "name"),
		.type = text(o, "type"),
		.nullable = flag(o, "nullable"),
		.default_text = text(o, "default"),
		.pk_position = (size_t)json_integer_value(json_object_get(o, "pk")),
		.autoincrement = flag(o, "auto"),
		.native_enum = flag(o, "enum"),
		.generated = flag(o, "generated"),
		.lossy_rows =
			json_object_get(o, "lossy") != NULL ? json_integer_value(json_object_get(o, "lossy")) : -1,
		.lossy_key = text(o, "lossy_key"),
	};

	c.enum_values = texts(a, o, "labels", &c.n_enum_values);
	return c;
}

static struct live_index index_of(struct arena *a, const json_t *o)
{
	struct live_index x = {.name = text(o, "name"), .unique = flag(o, "unique"), .sql = text(o, "sql")};

	x.partial = flag(o, "partial");
	x.expression = flag(o, "expression");
	x.special = flag(o, "special");
	x.invalid = flag(o, "invalid");
	if (str_eq_z(text(o, "origin"), "u"))
		x.origin = LIVE_INDEX_UNIQUE;
	if (str_eq_z(text(o, "origin"), "p"))
		x.origin = LIVE_INDEX_PRIMARY;
	x.columns = texts(a, o, "columns", &x.n_columns);
	return x;
}

static struct live_foreign_key fk_of(struct arena *a, const json_t *o)
{
	struct live_foreign_key fk = {.name = text(o, "name"), .to_table = text(o, "to_table")};

	fk.on_delete = text(o, "on_delete");
	fk.on_update = text(o, "on_update");
	fk.columns = texts(a, o, "columns", &fk.n_columns);
	fk.to_columns = texts(a, o, "to_columns", &fk.n_to_columns);
	return fk;
}

static void put_list(struct strbuf *b, const struct str *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		strbuf_printf(b, "%s\"%.*s\"", i == 0 ? "(" : ", ", STR_FMT(names[i]));
	strbuf_puts(b, n > 0 ? ")" : "");
}

/* The text that SQLite would have kept of a table given by its parts. */
static struct str create_text(struct arena *a, const struct live_table *t)
{
	struct strbuf b;
	struct str out, keys[8];
	size_t n_keys = 0;

	strbuf_init(&b, 0);
	for (size_t i = 0; i < t->n_columns; i++)
		n_keys += t->columns[i].pk_position > 0;
	for (size_t i = 0; i < t->n_columns; i++) {
		const struct live_column *c = &t->columns[i];

		strbuf_printf(&b, "%s\"%.*s\"%s%.*s", i == 0 ? "CREATE TABLE t (" : ", ", STR_FMT(c->name),
			      c->type.len > 0 ? " " : "", STR_FMT(c->type));
		strbuf_puts(&b, c->nullable ? "" : " NOT NULL");
		if (c->default_text.p != NULL)
			strbuf_printf(&b, " DEFAULT (%.*s)", STR_FMT(c->default_text));
		if (c->pk_position > 0 && n_keys == 1)
			strbuf_puts(&b, c->autoincrement ? " PRIMARY KEY AUTOINCREMENT" : " PRIMARY KEY");
		if (c->pk_position > 0)
			keys[c->pk_position - 1] = c->name;
	}
	if (n_keys > 1) {
		strbuf_puts(&b, ", PRIMARY KEY ");
		put_list(&b, keys, n_keys);
	}
	for (size_t i = 0; i < t->n_indexes; i++)
		if (t->indexes[i].origin == LIVE_INDEX_UNIQUE) {
			strbuf_puts(&b, ", UNIQUE ");
			put_list(&b, t->indexes[i].columns, t->indexes[i].n_columns);
		}
	for (size_t i = 0; i < t->n_fks; i++) {
		strbuf_puts(&b, ", FOREIGN KEY ");
		put_list(&b, t->fks[i].columns, t->fks[i].n_columns);
		strbuf_printf(&b, " REFERENCES \"%.*s\"", STR_FMT(t->fks[i].to_table));
		put_list(&b, t->fks[i].to_columns, t->fks[i].n_to_columns);
		if (t->fks[i].on_delete.p != NULL)
			strbuf_printf(&b, " ON DELETE %.*s", STR_FMT(t->fks[i].on_delete));
		if (t->fks[i].on_update.p != NULL)
			strbuf_printf(&b, " ON UPDATE %.*s", STR_FMT(t->fks[i].on_update));
	}
	for (size_t i = 0; i < t->n_checks; i++) {
		if (t->checks[i].name.p != NULL)
			strbuf_printf(&b, ", CONSTRAINT \"%.*s\"", STR_FMT(t->checks[i].name));
		strbuf_printf(&b, "%s CHECK (%.*s)", t->checks[i].name.p == NULL ? "," : "",
			      STR_FMT(t->checks[i].expression));
	}
	strbuf_puts(&b, ")");
	out = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

static struct live_table table_of(struct arena *a, const json_t *o)
{
	const json_t *columns = json_object_get(o, "columns"), *indexes = json_object_get(o, "indexes");
	const json_t *fks = json_object_get(o, "fks"), *checks = json_object_get(o, "checks");
	struct live_table t = {.name = text(o, "name"), .rows = -1, .sql = text(o, "sql")};

	if (json_object_get(o, "rows") != NULL)
		t.rows = json_integer_value(json_object_get(o, "rows"));
	t.n_columns = json_array_size(columns);
	t.columns = arena_array(a, t.n_columns, sizeof(*t.columns));
	for (size_t i = 0; i < t.n_columns; i++)
		t.columns[i] = column_of(a, json_array_get(columns, i));
	t.n_indexes = json_array_size(indexes);
	t.indexes = arena_array(a, t.n_indexes, sizeof(*t.indexes));
	for (size_t i = 0; i < t.n_indexes; i++)
		t.indexes[i] = index_of(a, json_array_get(indexes, i));
	t.n_fks = json_array_size(fks);
	t.fks = arena_array(a, t.n_fks, sizeof(*t.fks));
	for (size_t i = 0; i < t.n_fks; i++)
		t.fks[i] = fk_of(a, json_array_get(fks, i));
	t.n_checks = json_array_size(checks);
	t.checks = arena_array(a, t.n_checks, sizeof(*t.checks));
	for (size_t i = 0; i < t.n_checks; i++)
		t.checks[i] = (struct live_check){.name = text(json_array_get(checks, i), "name"),
						  .expression = text(json_array_get(checks, i), "expression")};
	t.triggers = texts(a, o, "triggers", &t.n_triggers);
	if (t.sql.p == NULL)
		t.sql = create_text(a, &t);
	return t;
}

static struct live_schema live_of(struct arena *a, const json_t *list)
{
	struct live_schema l = {.n_tables = json_array_size(list)};

	l.tables = arena_array(a, l.n_tables, sizeof(*l.tables));
	for (size_t i = 0; i < l.n_tables; i++)
		l.tables[i] = table_of(a, json_array_get(list, i));
	return l;
}

/* ---- cases ---- */

static const char *title;
static const struct dialect *dialect;

static void check_statements(const json_t *want, const struct migration_plan *p)
{
	for (size_t i = 0; i < json_array_size(want) || i < p->n_changes; i++) {
		struct str w = i < json_array_size(want) ? json_str(json_array_get(want, i)) : STR("(nothing)");
		struct str g = i < p->n_changes ? p->changes[i].statement : STR("(nothing)");

		if (!str_eq(w, g))
			fail_msg("%s (%s), statement %zu:\n  want %.*s\n  got  %.*s", title, dialect->name, i,
				 STR_FMT(w), STR_FMT(g));
	}
}

/* Only the members that the case names. */
static void check_changes(const json_t *want, const struct migration_plan *p)
{
	for (size_t i = 0; i < json_array_size(want); i++) {
		const json_t *w = json_array_get(want, i), *rows = json_object_get(w, "rows_affected");
		const struct change *c = &p->changes[i];
		const char *bad = NULL;

		if (json_object_get(w, "kind") != NULL && !str_eq_z(text(w, "kind"), change_kind_name(c->kind)))
			bad = "kind";
		if (json_object_get(w, "table") != NULL && !str_eq(text(w, "table"), c->table))
			bad = "table";
		if (json_object_get(w, "column") != NULL && !str_eq(text(w, "column"), c->column))
			bad = "column";
		if (json_object_get(w, "lock") != NULL && !str_eq_z(text(w, "lock"), c->lock))
			bad = "lock";
		if (json_object_get(w, "rewrites") != NULL && flag(w, "rewrites") != c->rewrites)
			bad = "rewrites";
		if (json_object_get(w, "loses_data") != NULL && flag(w, "loses_data") != c->loses_data)
			bad = "loses_data";
		if (json_object_get(w, "reversible") != NULL && flag(w, "reversible") != c->reversible)
			bad = "reversible";
		if (rows != NULL && json_integer_value(rows) != c->rows_affected)
			bad = "rows_affected";
		if (bad != NULL)
			fail_msg("%s (%s), change %zu: wrong %s", title, dialect->name, i, bad);
	}
}

static void check_warnings(const json_t *want, const struct ddl_plan *notes)
{
	if (json_array_size(want) != notes->n_warnings)
		fail_msg("%s (%s): %zu warnings instead of %zu; the first: %s", title, dialect->name, notes->n_warnings,
			 json_array_size(want), notes->n_warnings > 0 ? notes->warnings[0].detail.p : "none");
	for (size_t i = 0; i < notes->n_warnings; i++) {
		const json_t *w = json_array_get(want, i);

		if (!str_eq(json_str(json_array_get(w, 0)), notes->warnings[i].code))
			fail_msg("%s (%s), warning %zu: code %s", title, dialect->name, i, notes->warnings[i].code.p);
		for (size_t k = 1; k < json_array_size(w); k++)
			if (strstr(notes->warnings[i].detail.p, json_string_value(json_array_get(w, k))) == NULL)
				fail_msg("%s (%s), warning %zu: \"%s\" does not say \"%s\"", title, dialect->name, i,
					 notes->warnings[i].detail.p, json_string_value(json_array_get(w, k)));
	}
}

static void check_refusal(const json_t *want, bool ok, const struct err *err)
{
	if (ok)
		fail_msg("%s (%s): was not refused", title, dialect->name);
	assert_int_equal(err->code, ERR_MIGRATION_REFUSED);
	assert_true(err->table[0] != '\0' && err->column[0] != '\0');
	for (size_t i = 0; i < json_array_size(want); i++)
		if (strstr(err->detail, json_string_value(json_array_get(want, i))) == NULL)
			fail_msg("%s (%s): \"%s\" does not say \"%s\"", title, dialect->name, err->detail,
				 json_string_value(json_array_get(want, i)));
}

static void run(struct arena *a, const json_t *c)
{
	const json_t *options = json_object_get(c, "options"), *refused = json_object_get(c, "refused");
	const struct migrate_options o = {
		.updates = flag(options, "updates"),
		.destructive = flag(options, "destructive"),
		.rebuild = flag(options, "rebuild"),
		.concurrently = flag(options, "concurrently"),
	};
	struct live_schema live = live_of(a, json_object_get(c, "live"));
	struct schema *s;
	struct migration_plan p;
	struct err err;
	bool ok;

	live.n_uses = json_array_size(json_object_get(c, "uses"));
	live.uses = arena_array(a, live.n_uses, sizeof(*live.uses));
	for (size_t i = 0; i < live.n_uses; i++) {
		const json_t *u = json_array_get(json_object_get(c, "uses"), i);

		live.uses[i] = (struct live_use){.kind = text(u, "kind"),
						 .name = text(u, "name"),
						 .table = text(u, "table"),
						 .column = text(u, "column")};
	}
	title = json_string_value(json_object_get(c, "name"));
	dialect = dialect_by_name(text(c, "dialect"));
	s = golden_schema(a, json_object_get(c, "schema"));
	ok = plan_migration(a, dialect, s, &live, &o, &p, &err);
	if (refused != NULL) {
		check_refusal(refused, ok, &err);
	} else {
		if (!ok)
			fail_msg("%s (%s): %s", title, dialect->name, err.detail);
		check_statements(json_object_get(c, "statements"), &p);
		check_changes(json_object_get(c, "changes"), &p);
		check_warnings(json_object_get(c, "warnings"), &p.notes);
	}
	schema_unref(s);
}

static void test_cases(void **state UNUSED)
{
	struct arena a;
	const json_t *cases;

	arena_init(&a);
	cases = json_object_get(golden_load(&a, "tests/golden/migrate.json"), "cases");
	assert_true(json_array_size(cases) >= 100);
	for (size_t i = 0; i < json_array_size(cases); i++)
		run(&a, json_array_get(cases, i));
	arena_done(&a);
}

static void shadow(const struct dialect *d, const char *path)
{
	struct live_column id = {.name = STR("id"), .type = STR("integer"), .pk_position = 1};
	struct live_table t = {.name = STR("shadowuser"), .columns = &id, .n_columns = 1, .rows = -1};
	const struct live_schema live = {.tables = &t, .n_tables = 1};
	const struct migrate_options o = {.updates = true};
	struct migration_plan p;
	struct arena a;
	struct schema *s;
	struct err err;

	arena_init(&a);
	s = golden_shadow_schema(&a);
	title = path;
	dialect = d;
	assert_true(plan_migration(&a, d, s, &live, &o, &p, &err));
	check_statements(json_array_get(json_object_get(golden_load(&a, path), "migration"), 0), &p);
	assert_int_equal(p.notes.n_warnings, 0);
	schema_unref(s);
	arena_done(&a);
}

static void test_shadow_vectors(void **state UNUSED)
{
	golden_each_shadow(shadow);
}

/* One hash for one plan, another for every other. */
static void test_hash(void **state UNUSED)
{
	static const char *const docs[] = {
		"{\"models\":[{\"model_name\":\"A\",\"columns\":[{\"name\":\"x\",\"logical_type\":\"integer\"}]}]}",
		"{\"models\":[{\"model_name\":\"A\",\"columns\":[{\"name\":\"x\",\"logical_type\":\"string\"}]}]}",
		"{\"models\":[]}",
	};
	const struct live_schema live = {0};
	const struct migrate_options o = {.updates = true};
	char hash[ARRAY_LEN(docs) * 2][65];
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(hash); i++) {
		const struct dialect *d = i % 2 == 0 ? &dialect_sqlite : &dialect_postgres;
		struct schema *s = golden_schema(&a, golden_parse(&a, docs[i / 2]));
		struct migration_plan p;
		struct err err;
		char again[65];

		assert_true(plan_migration(&a, d, s, &live, &o, &p, &err));
		plan_hash(d, &p, hash[i]);
		plan_hash(d, &p, again);
		assert_string_equal(hash[i], again);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(hash[i], hash[k]);
		schema_unref(s);
	}
	arena_done(&a);
}

/* MIG-42: the live token map. */
static void test_live_types(void **state UNUSED)
{
	static const struct {
		enum dialect_id d;
		const char *type;
		enum storage_type storage;
		int64_t length;
	} cases[] = {
		{DIALECT_SQLITE, "INTEGER", ST_INT, 0},
		{DIALECT_SQLITE, "DATETIME", ST_TIMESTAMP, 0},
		{DIALECT_SQLITE, "boolean", ST_BOOLEAN, 0},
		{DIALECT_SQLITE, "BLOB", ST_BYTEA, 0},
		{DIALECT_SQLITE, "varchar(40)", ST_VARCHAR, 40},
		{DIALECT_SQLITE, "double", ST_DOUBLE, 0},
		{DIALECT_SQLITE, "char(32)", ST_UUID, 0},
		{DIALECT_SQLITE, "uuid_text", ST_UUID_LOGICAL, 0},
		{DIALECT_SQLITE, "json_text", ST_JSON, 0},
		{DIALECT_SQLITE, "timestamp_with_timezone_text", ST_DATETIME_LOGICAL, 0},
		{DIALECT_SQLITE, "datetime_text", ST_TIMESTAMP, 0},
		{DIALECT_POSTGRES, "character varying(40)", ST_VARCHAR, 40},
		{DIALECT_POSTGRES, "character varying", ST_VARCHAR, 0},
		{DIALECT_POSTGRES, "jsonb", ST_JSONB, 0},
		{DIALECT_POSTGRES, "boolean", ST_BOOLEAN, 0},
		{DIALECT_POSTGRES, "numeric(10,2)", ST_NUMERIC, 0},
		{DIALECT_POSTGRES, "timestamp(3) without time zone", ST_TIMESTAMP, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum storage_type st = ST_UNRESOLVED;
		int64_t length = -1;

		if (!live_type_storage(dialect_get(cases[i].d), str_z(cases[i].type), &st, &length) ||
		    st != cases[i].storage || length != cases[i].length)
			fail_msg("%s: storage %d, length %lld", cases[i].type, (int)st, (long long)length);
	}
	assert_false(
		live_type_storage(&dialect_postgres, STR("integer[]"), &(enum storage_type){ST_INT}, &(int64_t){0}));
	assert_false(live_type_storage(&dialect_sqlite, STR(""), &(enum storage_type){ST_INT}, &(int64_t){0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_shadow_vectors),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_live_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
