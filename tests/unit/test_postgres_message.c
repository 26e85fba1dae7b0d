/* What is read past libpq, byte by byte: messages of any length, in any order; rows whose lengths lie. No server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/base/clock.h"
#include "service/base/mem.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

static enum pg_come come(struct str s)
{
	struct pg_message m;

	return pg_message_first(s, &m);
}

static void test_lengths_of_messages(void **state)
{
	struct pg_message m;

	(void)state;
	assert_int_equal(come(STR("")), PG_COME_PART);
	assert_int_equal(come(STR("C\0\0\0")), PG_COME_PART);
	assert_int_equal(come(STR("2\0\0\0\4")), PG_COME_WHOLE);
	assert_int_equal(come(STR("2\0\0\0\3")), PG_COME_BROKEN);
	assert_int_equal(come(STR("2\0\0\0\0")), PG_COME_BROKEN);
	assert_int_equal(come(STR("2\xff\xff\xff\xff")), PG_COME_BROKEN);
	assert_int_equal(come(STR("C\0\0\x75\x30")), PG_COME_PART); /* 30,000 */
	assert_int_equal(come(STR("C\0\0\x75\x31")), PG_COME_BROKEN);
	assert_int_equal(come(STR("D\0\0\x75\x31")), PG_COME_PART);
	assert_int_equal(come(STR("D\x40\0\0\0")), PG_COME_PART);
	assert_int_equal(come(STR("D\x40\0\0\1")), PG_COME_BROKEN);
	assert_int_equal(come(STR("C\0\0\0\6x")), PG_COME_PART);
	assert_int_equal(pg_message_first(STR("C\0\0\0\6xyZ"), &m), PG_COME_WHOLE);
	assert_true(m.kind == 'C' && str_eq(m.body, STR("xy")));
}

static void test_fields(void **state)
{
	static const char body[] = "SERROR\0C23505\0VFATAL\0\0";
	const struct pg_said said = {.fields = {body, sizeof(body) - 1}}, nothing = {0};

	(void)state;
	assert_true(pg_message_has_fields(said.fields));
	assert_true(pg_message_has_fields(STR("\0")));
	assert_false(pg_message_has_fields(STR("")));
	assert_false(pg_message_has_fields(STR("S")));
	assert_false(pg_message_has_fields(STR("Sx\0")));
	assert_false(pg_message_has_fields(STR("Sx\0C")));
	assert_false(pg_message_has_fields(STR("Sx\0\0x")));
	assert_string_equal(pg_said_field(&said, PG_DIAG_SQLSTATE), "23505");
	assert_true(pg_said_is_fatal(&said));
	assert_null(pg_said_field(&said, PG_DIAG_MESSAGE_PRIMARY));
	assert_null(pg_said_field(&nothing, PG_DIAG_SQLSTATE));
	assert_false(pg_said_is_fatal(&nothing));
}

static void test_what_is_sent(void **state)
{
	static const char want[] = "B\0\0\0\x25\0f7\0\0\3\0\0\0\1\0\0\0\3\0\0\0\2ab\0\0\0\3\0\1\2\xff\xff\xff\xff\0\0"
				   "E\0\0\0\x09\0\0\0\0\0S\0\0\0\4";
	const char *values[] = {"ab", "\0\1\2", NULL};
	int lengths[] = {0, 3, 0}, formats[] = {0, 1, 0};
	const struct pg_params p = {.n = 3, .values = values, .lengths = lengths, .formats = formats};
	struct strbuf b;

	(void)state;
	strbuf_init(&b, 0);
	assert_false(pg_put_run(&b, "f7", &p, sizeof(want) - 2 - PG_HEAD_BYTES));
	assert_int_equal(b.len, 0);
	assert_true(pg_put_run(&b, "f7", &p, sizeof(want) - 1 - PG_HEAD_BYTES));
	pg_put_sync(&b);
	assert_int_equal(b.len, sizeof(want) - 1);
	assert_memory_equal(b.p, want, b.len);
	strbuf_done(&b);
}

/* ---- cells ---- */

static struct pg_shape *shape_of(bool has_rows, size_t n, const enum pg_cell *cells)
{
	struct pg_shape *s = mem_alloc(sizeof(*s) + n * (sizeof(s->columns[0]) + sizeof(s->cells[0])));

	s->refs = 1;
	s->has_rows = has_rows;
	s->n = n;
	s->cells = (void *)&s->columns[n];
	for (size_t i = 0; i < n; i++)
		s->cells[i] = cells[i];
	return s;
}

/* In memory of exactly its length, and the byte behind, so that a sanitizer sees what is read beyond. */
static const char *read_cells(struct str rows, size_t n_rows, const struct pg_shape *shape, struct value *ret,
			      char **ret_bytes)
{
	*ret_bytes = mem_strndup(rows.p, rows.len);
	return pg_cells_read(*ret_bytes, n_rows, shape, ret);
}

static void test_rows(void **state)
{
	static const enum pg_cell cells[] = {PG_CELL_INT, PG_CELL_TEXT, PG_CELL_DOUBLE, PG_CELL_BYTES};
	static const char rows[] = "D\0\0\0\x23\0\4\0\0\0\2-7\0\0\0\3\xc3\xa4x\0\0\0\0031.5\0\0\0\5\\\\abc"
				   "D\0\0\0\x16\0\4\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff";
	struct pg_shape *s = shape_of(true, 4, cells);
	struct value got[8];
	char *bytes;

	(void)state;
	assert_null(read_cells(str_n(rows, sizeof(rows) - 1), 2, s, got, &bytes));
	assert_int_equal(got[0].u.i, -7);
	assert_true(str_eq(got[1].u.s, STR("äx")));
	assert_true(got[2].u.d == 1.5);
	assert_true(got[3].kind == VALUE_BYTES && str_eq(got[3].u.s, STR("\\abc")));
	assert_int_equal(got[4].kind, VALUE_NULL);
	assert_true(got[5].kind == VALUE_TEXT && got[5].u.s.len == 0);
	assert_true(got[6].kind == VALUE_NULL && got[7].kind == VALUE_NULL);
	mem_free(bytes);
	pg_shape_unref(s);
}

static void test_rows_that_lie(void **state)
{
	const struct {
		enum pg_cell cells[2];
		struct str row;
	} lies[] = {
		{{PG_CELL_INT, PG_CELL_INT},
		 STR("D\0\0\0\x10\0\2\0\0\0\1"
		     "1\0\0\0\2"
		     "2")}, /* longer than the row */
		{{PG_CELL_INT, PG_CELL_INT},
		 STR("D\0\0\0\x11\0\2\0\0\0\1"
		     "1\0\0\0\1"
		     "23")}, /* shorter */
		{{PG_CELL_INT, PG_CELL_INT},
		 STR("D\0\0\0\x0e\0\2\0\0\0\4"
		     "1234")}, /* the second is not there */
		{{PG_CELL_INT, PG_CELL_INT},
		 STR("D\0\0\0\x10\0\2\0\0\0\6"
		     "123456")},
		{{PG_CELL_INT, PG_CELL_INT}, STR("D\0\0\0\x0e\0\2\xff\xff\xff\xfe\0\0\0\0")},
		{{PG_CELL_INT, PG_CELL_INT}, STR("D\0\0\0\x0e\0\2\x7f\xff\xff\xff\0\0\0\0")},
		{{PG_CELL_INT, PG_CELL_INT}, STR("D\0\0\0\x0f\0\2\0\0\0\1x\0\0\0\0")},
		{{PG_CELL_INT, PG_CELL_INT},
		 STR("D\0\0\0\x0f\0\2\xff\xff\xff\xff\0\0\0\1"
		     "x")},
		{{PG_CELL_INT, PG_CELL_TEXT},
		 STR("D\0\0\0\x11\0\2\0\0\0\3"
		     "1\0"
		     "2\0\0\0\0")}, /* a NUL inside */
		{{PG_CELL_TEXT, PG_CELL_TEXT}, STR("D\0\0\0\x0f\0\2\0\0\0\1\xff\0\0\0\0")},
		{{PG_CELL_JSON, PG_CELL_TEXT}, STR("D\0\0\0\x0f\0\2\0\0\0\1{\0\0\0\0")},
		{{PG_CELL_BOOL, PG_CELL_TEXT}, STR("D\0\0\0\x0f\0\2\0\0\0\1y\0\0\0\0")},
		{{PG_CELL_DOUBLE, PG_CELL_TEXT}, STR("D\0\0\0\x0f\0\2\0\0\0\1e\0\0\0\0")},
		{{PG_CELL_BYTES, PG_CELL_TEXT}, STR("D\0\0\0\x11\0\2\0\0\0\3\\x0\0\0\0\0")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct pg_shape *s = shape_of(true, 2, lies[i].cells);
		struct pg_message m;
		struct value got[2];
		char *bytes;

		assert_int_equal(pg_message_first(lies[i].row, &m), PG_COME_WHOLE);
		assert_int_equal(m.body.len + PG_HEAD_BYTES, lies[i].row.len);
		assert_non_null(read_cells(lies[i].row, 1, s, got, &bytes));
		mem_free(bytes);
		pg_shape_unref(s);
	}
}

/* ---- the order of messages ---- */

/* What pg_wire_next makes of bytes that have come, answer by answer: 'r' rows, 'd' done, 'e' an error, 'a' passed over,
 * '.' the end of a statement, 's' the sync point, '?' waits for more, '!' lost. `asks`: 'i' asks for a statement and
 * its end, 's' for the sync point. */
static void ask_answers(struct str bytes, const struct pg_shape *shape, const char *asks, char got[32])
{
	struct pg_conn c;
	struct pg_reply reply;
	enum pg_io io = PG_IO_OK;
	size_t n = 0;

	memset(&c, 0, sizeof(c));
	c.wire.in = mem_strndup(bytes.p, bytes.len + 1);
	c.wire.in_size = bytes.len + 1;
	c.wire.end = bytes.len;
	for (; *asks != '\0' && io == PG_IO_OK; asks++) {
		for (int i = 0; i < (*asks == 'i' ? 2 : 1) && io == PG_IO_OK; i++) {
			io = pg_wire_next(&c, *asks == 'i' ? shape : NULL, 0, &reply);
			got[n++] = io == PG_IO_TIMEOUT                      ? '?'
				   : io != PG_IO_OK                         ? '!'
				   : reply.end                              ? '.'
				   : reply.status == PGRES_TUPLES_OK        ? 'r'
				   : reply.status == PGRES_COMMAND_OK       ? 'd'
				   : reply.status == PGRES_PIPELINE_SYNC    ? 's'
				   : reply.status == PGRES_PIPELINE_ABORTED ? 'a'
									    : 'e';
		}
	}
	got[n] = '\0';
	pg_wire_done(&c.wire);
	strbuf_done(&c.base.notices);
}

static void assert_answers(struct str bytes, const struct pg_shape *shape, const char *asks, const char *want)
{
	char got[32];

	ask_answers(bytes, shape, asks, got);
	assert_string_equal(got, want);
	if (strpbrk(want, "?!") != NULL)
		return;
	/* whatever is missing of them is waited for */
	for (size_t i = 0; i < bytes.len; i++) {
		ask_answers(str_n(bytes.p, i), shape, asks, got);
		const size_t n = strlen(got) - 1;
		assert_true(got[n] == '?' && strncmp(got, want, n) == 0);
	}
}

#define BOUND "2\0\0\0\4"
#define ROW "D\0\0\0\x0b\0\1\0\0\0\1x"
#define DONE "C\0\0\0\6x\0"
#define READY "Z\0\0\0\5I"
#define ERROR \
	"E\0\0\0\x0c" \
	"C23505\0\0"
#define NOTICE \
	"N\0\0\0\x0c" \
	"C01000\0\0"
#define NOTIFY "A\0\0\0\x0a\0\0\0\1x\0"
#define SETTING \
	"S\0\0\0\x08" \
	"a\0b\0"

static void test_orders(void **state)
{
	static const enum pg_cell text[] = {PG_CELL_TEXT};
	struct pg_shape *rows = shape_of(true, 1, text), *none = shape_of(false, 0, text);
	const struct {
		struct str bytes;
		const struct pg_shape *shape;
		const char *asks, *want;
	} cases[] = {
		{STR(BOUND ROW ROW DONE READY), rows, "is", "r.s"},
		{STR(BOUND DONE READY), rows, "is", "r.s"},
		{STR(BOUND DONE READY), none, "is", "d.s"},
		{STR(NOTICE BOUND NOTIFY ROW SETTING ROW NOTICE DONE SETTING READY), rows, "is", "r.s"},
		{STR(BOUND ROW DONE BOUND DONE READY), rows, "iis", "r.r.s"},
		{STR(ERROR READY), rows, "iiis", "e.a.a.s"},
		{STR(BOUND ROW ERROR READY), rows, "iis", "e.a.s"},
		{STR(BOUND DONE READY ERROR READY BOUND DONE READY), none, "isisis", "d.se.sd.s"},
		{STR(BOUND DONE ERROR READY), none, "iss", "d.es"}, /* the commit's own failure */
		/* what cannot be */
		{STR(BOUND ROW DONE READY), none, "is", "!"},
		{STR(ROW DONE READY), rows, "is", "!"},
		{STR(DONE READY), none, "is", "!"},
		{STR(BOUND BOUND DONE READY), none, "is", "!"},
		{STR("2\0\0\0\5x" DONE READY), none, "is", "!"},
		{STR(BOUND READY), none, "is", "!"},
		{STR(READY), none, "is", "!"},
		{STR(BOUND DONE BOUND DONE READY), none, "is", "d.!"},
		{STR(BOUND DONE ROW READY), rows, "is", "r.!"},
		{STR(BOUND DONE "Z\0\0\0\5T"), none, "is", "d.!"},
		{STR(BOUND DONE "Z\0\0\0\4"), none, "is", "d.!"},
		{STR(BOUND DONE "Z\0\0\0\6II"), none, "is", "d.!"},
		{STR(BOUND "C\0\0\0\4" READY), none, "is", "!"},
		{STR(BOUND "C\0\0\0\5x" READY), none, "is", "!"},
		{STR(BOUND "C\0\0\0\6\0\0" READY), none, "is", "!"},
		{STR(BOUND "D\0\0\0\6\0\1" DONE READY), rows, "is", "!"},           /* no room for a cell */
		{STR(BOUND "D\0\0\0\x0a\0\2\0\0\0\0" DONE READY), rows, "is", "!"}, /* two cells, it says */
		{STR(BOUND "D\0\0\0\4" DONE READY), rows, "is", "!"},
		{STR(BOUND "T\0\0\0\6\0\0" DONE READY), rows, "is", "!"},
		{STR(BOUND "s\0\0\0\4" READY), none, "is", "!"},
		{STR(BOUND "I\0\0\0\4" READY), none, "is", "!"},
		{STR(BOUND "G\0\0\0\7\0\0\0" READY), none, "is", "!"},
		{STR("E\0\0\0\5C" READY), none, "is", "!"},
		{STR("N\0\0\0\4" BOUND DONE READY), none, "is", "!"},
		{STR("S\0\0\0\6a\0" BOUND DONE READY), none, "is", "!"},
		{STR("S\0\0\0\4" BOUND DONE READY), none, "is", "!"},
		{STR("\0\0\0\0\4" BOUND DONE READY), none, "is", "!"},
		{STR(BOUND ROW "D\0\0\0\3"), rows, "is", "!"},
		/* what is not all there */
		{STR(""), rows, "is", "?"},
		{STR(BOUND ROW "D\0\0"), rows, "is", "?"},
		{STR(BOUND ROW "D\0\0\0\x0b\0\1\0\0\0\1"), rows, "is", "?"},
		{STR(BOUND "D\x3f\xff\xff\xff\0\1"), rows, "is", "?"},
		{STR(BOUND DONE "Z\0\0\0\5"), none, "is", "d.?"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_answers(cases[i].bytes, cases[i].shape, cases[i].asks, cases[i].want);
	pg_shape_unref(rows);
	pg_shape_unref(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths_of_messages), cmocka_unit_test(test_fields),
		cmocka_unit_test(test_what_is_sent),        cmocka_unit_test(test_rows),
		cmocka_unit_test(test_rows_that_lie),       cmocka_unit_test(test_orders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
