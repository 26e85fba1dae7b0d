/* Readers of catalog texts: CREATE TABLE on SQLite, defaults and checks on both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "service/base/mem.h"
#include "store/migrate/table_edit.h"
#include "store/migrate/live_literal.h"

static const char create[] =
	"CREATE TABLE IF NOT EXISTS \"a \"\" (\" (id INTEGER PRIMARY KEY AUTOINCREMENT, -- ), CHECK (no)\n"
	"\tname text NOT NULL DEFAULT ') CHECK (x' /* COLLATE */ CHECK (length(name) > (1 + 1)),\n"
	"\t[up id] int CONSTRAINT \"to \"\"up\" REFERENCES up (id) ON DELETE CASCADE, other int REFERENCES up,\n"
	"\tCONSTRAINT many CHECK (name IN ('a', ')')), CONSTRAINT pair FOREIGN KEY (a, b) REFERENCES p (a, b))";

/* The n-th piece of a kind; one without columns when there are fewer. */
static const struct table_piece *piece(const struct table_text *t, enum table_piece_kind kind, size_t n)
{
	static const struct table_piece none = {.kind = PIECE_OTHER};

	for (size_t i = 0; i < t->n_pieces; i++)
		if (t->pieces[i].kind == kind && n-- == 0)
			return &t->pieces[i];
	return &none;
}

static void test_create_table(void **state UNUSED)
{
	struct table_text t;
	struct arena a;

	arena_init(&a);
	table_text_read(&a, str_z(create), &t);
	assert_true(piece(&t, PIECE_PRIMARY_KEY, 0)->autoincrement);
	assert_true(str_eq_z(piece(&t, PIECE_PRIMARY_KEY, 0)->columns[0], "id"));
	assert_null(piece(&t, PIECE_CHECK, 0)->name.p);
	assert_true(str_eq_z(piece(&t, PIECE_CHECK, 0)->expression, "length(name) > (1 + 1)"));
	assert_true(str_eq_z(piece(&t, PIECE_CHECK, 1)->name, "many"));
	assert_true(str_eq_z(piece(&t, PIECE_CHECK, 1)->expression, "name IN ('a', ')')"));
	assert_int_equal(piece(&t, PIECE_CHECK, 2)->kind, PIECE_OTHER);
	assert_true(str_eq_z(piece(&t, PIECE_FOREIGN_KEY, 0)->name, "to \"up"));
	assert_null(piece(&t, PIECE_FOREIGN_KEY, 1)->name.p);
	assert_true(str_eq_z(piece(&t, PIECE_FOREIGN_KEY, 2)->name, "pair"));
	assert_int_equal(piece(&t, PIECE_FOREIGN_KEY, 2)->n_columns, 2);
	assert_int_equal(piece(&t, PIECE_FOREIGN_KEY, 3)->kind, PIECE_OTHER);
	arena_done(&a);
}

static void test_words_at_their_place(void **state UNUSED)
{
	static const struct {
		const char *sql;
		enum table_piece_kind kind;
		size_t n;
		bool deferrable, conflict, descending;
	} cases[] = {
		{"CREATE TABLE t (a text COLLATE NOCASE)", PIECE_COLLATE, 1, false, false, false},
		{"CREATE TABLE t (a int REFERENCES b DEFERRABLE)", PIECE_FOREIGN_KEY, 1, true, false, false},
		{"CREATE TABLE t (a int REFERENCES b ON DELETE SET NULL ON UPDATE SET DEFAULT NOT DEFERRABLE)",
		 PIECE_FOREIGN_KEY, 1, false, false, false},
		{"CREATE TABLE t (a int UNIQUE ON CONFLICT IGNORE)", PIECE_UNIQUE, 1, false, true, false},
		{"CREATE TABLE t (a int, PRIMARY KEY (a DESC))", PIECE_PRIMARY_KEY, 1, false, false, true},
		{"CREATE TABLE t (a int PRIMARY KEY) WITHOUT ROWID", PIECE_PRIMARY_KEY, 1, false, false, false},
		{"CREATE TABLE t (\"COLLATE\" text DEFAULT 'COLLATE', strict_ int, \"check\" int)", PIECE_COLLATE, 0,
		 false, false, false},
		{"CREATE TABLE t (a int DEFAULT NULL NOT NULL, b int DEFAULT -1 CHECK (b < 0) NULL)", PIECE_NOT_NULL, 1,
		 false, false, false},
	};
	struct table_text t;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct table_piece *p;

		table_text_read(&a, str_z(cases[i].sql), &t);
		p = piece(&t, cases[i].kind, 0);
		if ((p->kind == PIECE_OTHER) != (cases[i].n == 0) ||
		    piece(&t, cases[i].kind, cases[i].n)->kind != PIECE_OTHER)
			fail_msg("%s", cases[i].sql);
		if (cases[i].n > 0 && (p->deferrable != cases[i].deferrable || p->conflict != cases[i].conflict ||
				       p->descending != cases[i].descending))
			fail_msg("%s", cases[i].sql);
		assert_int_equal(t.without_rowid, strstr(cases[i].sql, "WITHOUT ROWID") != NULL);
		assert_false(t.strict);
	}
	arena_done(&a);
}

/* What is not changed stays to the letter. */
static void test_edit(void **state UNUSED)
{
	static const char before[] =
		"CREATE TABLE t (id INTEGER PRIMARY KEY, n varchar(9) COLLATE NOCASE NOT NULL ON CONFLICT IGNORE,"
		" old int UNIQUE, m, CHECK (n <> ''), UNIQUE (old, n), FOREIGN KEY (m) REFERENCES u DEFERRABLE) STRICT";
	static const char after[] =
		"CREATE TABLE \"u\" ( id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE, m INT NOT NULL, \"z\" TEXT,"
		" CHECK (n <> ''), FOREIGN KEY (m) REFERENCES u DEFERRABLE, CHECK (1) ) STRICT";
	struct table_text t;
	struct table_edit e;
	struct strbuf b;
	struct arena a;

	arena_init(&a);
	strbuf_init(&b, 0);
	table_text_read(&a, str_z(before), &t);
	table_edit_init(&e, &a, &t);
	table_edit_replace(&e, table_edit_column(&e, STR("M"))->type, STR(" INT"));
	table_edit_replace(
		&e,
		(struct text_span){table_edit_column(&e, STR("m"))->type.to, table_edit_column(&e, STR("m"))->type.to},
		STR(" NOT NULL"));
	table_edit_replace(&e, table_edit_column(&e, STR("n"))->type, STR("TEXT"));
	for (size_t i = 0; i < t.n_pieces; i++)
		if (t.pieces[i].kind == PIECE_NOT_NULL ||
		    (t.pieces[i].kind == PIECE_UNIQUE && t.pieces[i].n_columns == 2))
			table_edit_drop_piece(&e, i);
	table_edit_drop_column(&e, STR("old"));
	table_edit_add_column(&e, STR("\"z\" TEXT"));
	table_edit_add_constraint(&e, STR("CHECK (1)"));
	table_edit_write(&e, STR("u"), &b);
	if (!str_eq_z(strbuf_str(&b), after))
		fail_msg("%.*s", STR_FMT(strbuf_str(&b)));
	assert_true(sqlite_text_names(STR("a + \"B\""), STR("b")) && !sqlite_text_names(STR("a + 'b' -- b"), STR("b")));
	assert_int_equal(sqlite_trigger_event(STR("CREATE TRIGGER \"insert\" AFTER DELETE ON t BEGIN SELECT 1; END")),
			 TRIGGER_DELETE);
	strbuf_done(&b);
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
		{"'a'::pg_catalog.\"char\"", "a", LITERAL_TEXT},
		{"('a'::character varying)::text", "a", LITERAL_TEXT},
		{"'12:00:00'::time without time zone", "12:00:00", LITERAL_TEXT},
		{"'{}'::timestamp with time zone[]", "{}", LITERAL_TEXT},
		{"('now'::text)::timestamp without time zone", NULL, LITERAL_NULL},
		{"'now'::text::date", NULL, LITERAL_NULL},
		{"1.7::numeric::integer", NULL, LITERAL_NULL},
		{"'abc'::character varying(2)", NULL, LITERAL_NULL},
		{"'a'::text or true", NULL, LITERAL_NULL},
		{"'a'::text between 'b' and 'c'", NULL, LITERAL_NULL},
		{"'a'::text collate \"C\"", NULL, LITERAL_NULL},
		{"'a'::", NULL, LITERAL_NULL},
		{"'a'::text.", NULL, LITERAL_NULL},
		{"'a'::1", NULL, LITERAL_NULL},
		{"'a'::text[", NULL, LITERAL_NULL},
		{"'a'::timestamp with", NULL, LITERAL_NULL},
		{"'a'::'b'", NULL, LITERAL_NULL},
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

		if (ok != (cases[i].value != NULL))
			fail_msg("%s", cases[i].text);
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
		cmocka_unit_test(test_create_table), cmocka_unit_test(test_words_at_their_place),
		cmocka_unit_test(test_edit),         cmocka_unit_test(test_any_beginning),
		cmocka_unit_test(test_literals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
