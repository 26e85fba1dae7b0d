/* Values in the spelling of another column, and as parts of documents. */
#include "store/codec/codec_respell.h"
#include "store/driver/sqlite/sqlite_internal.h"

#include "service/base/banned.h"

/* False: out of memory. */
static bool read_value(sqlite3_context *ctx, sqlite3_value *v, struct value *ret)
{
	const int type = sqlite3_value_type(v);
	const char *p;

	if (type == SQLITE_NULL)
		*ret = value_null();
	else if (type == SQLITE_INTEGER)
		*ret = value_int(sqlite3_value_int64(v));
	else if (type == SQLITE_FLOAT)
		*ret = value_double(sqlite3_value_double(v));
	if (type != SQLITE_TEXT && type != SQLITE_BLOB)
		return true;
	p = type == SQLITE_TEXT ? (const char *)sqlite3_value_text(v) : sqlite3_value_blob(v);
	if (p == NULL && (type == SQLITE_TEXT || sqlite3_value_bytes(v) > 0)) {
		sqlite3_result_error_nomem(ctx);
		return false;
	}
	*ret = type == SQLITE_TEXT ? value_text(str_n(p, (size_t)sqlite3_value_bytes(v)))
				   : value_bytes(p != NULL ? str_n(p, (size_t)sqlite3_value_bytes(v)) : STR(""));
	return true;
}

static void answer_text(sqlite3_context *ctx, struct str s)
{
	sqlite3_result_text64(ctx, s.p, s.len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* False: it is none of these. */
static bool answer_value(sqlite3_context *ctx, struct value v)
{
	if (v.kind == VALUE_INT)
		sqlite3_result_int64(ctx, v.u.i);
	else if (v.kind == VALUE_BOOL)
		sqlite3_result_int(ctx, v.u.b);
	else if (v.kind == VALUE_DOUBLE)
		sqlite3_result_double(ctx, v.u.d);
	else if (v.kind == VALUE_TEXT)
		answer_text(ctx, v.u.s);
	else if (v.kind == VALUE_BYTES)
		sqlite3_result_blob64(ctx, v.u.s.p, v.u.s.len, SQLITE_TRANSIENT);
	else
		return false;
	return true;
}

/* The value, and the codes of its column and of the other. */
static void ferro_respell(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct column from = codec_spelling_of(sqlite3_value_int(args[1]));
	const struct column to = codec_spelling_of(sqlite3_value_int(args[2]));
	struct arena scratch;
	struct value v, made;

	(void)n;
	if (!read_value(ctx, args[0], &v))
		return;
	arena_init(&scratch);
	made = codec_respell(&scratch, &from, &to, v);
	if (!answer_value(ctx, made))
		sqlite3_result_value(ctx, args[0]);
	arena_done(&scratch);
}

/* The text, and the code of the column whose value it is read as; null where it says none. */
static void ferro_read(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct column to = codec_spelling_of(sqlite3_value_int(args[1]));
	struct arena scratch;
	struct value v = value_null(), made;

	(void)n;
	if (sqlite3_value_type(args[0]) != SQLITE_TEXT || !read_value(ctx, args[0], &v))
		return;
	arena_init(&scratch);
	if (codec_read_text(&scratch, &to, v.u.s, &made))
		(void)answer_value(ctx, made);
	arena_done(&scratch);
}

/* The value, and the code of its column. */
static void ferro_document(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct column from = codec_spelling_of(sqlite3_value_int(args[1]));
	struct arena scratch;
	struct value v;

	(void)n;
	if (sqlite3_value_type(args[0]) == SQLITE_NULL || !read_value(ctx, args[0], &v))
		return;
	arena_init(&scratch);
	answer_text(ctx, codec_document_of(&scratch, &from, v));
	arena_done(&scratch);
}

int sqlite_respell_register(struct sqlite_conn *c)
{
	static const struct sqlite_function functions[] = {
		{"ferro_respell", 3, ferro_respell, SQLITE_DETERMINISTIC},
		{"ferro_read", 2, ferro_read, SQLITE_DETERMINISTIC},
		{"ferro_document", 2, ferro_document, SQLITE_DETERMINISTIC},
	};

	return sqlite_functions_add(c, functions, ARRAY_LEN(functions));
}
