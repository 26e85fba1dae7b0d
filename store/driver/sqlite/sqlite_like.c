/*
 * LIKE, GLOB and ferro_ilike(pattern, text), which is LIKE without regard to case in the whole of Unicode where
 * SQLite's own folds ASCII only (simple folding, one character to one: what PostgreSQL's ILIKE does too). LIKE and GLOB
 * answer what SQLite's own do, but in linear time.
 */
#include "store/driver/sqlite/sqlite_internal.h"
#include "store/driver/sqlite/sqlite_pattern.h"

#include "service/base/banned.h"

static const struct pattern_syntax like_syntax = {.many = '%', .one = '_', .fold = PATTERN_FOLD_ASCII};
static const struct pattern_syntax ilike_syntax = {
	.many = '%', .one = '_', .escape = '\\', .last_escape_is_itself = true, .fold = PATTERN_FOLD_UNICODE};
static const struct pattern_syntax glob_syntax = {.many = '*', .one = '?', .sets = true};

/* False: out of memory. */
static bool text_of(sqlite3_value *v, struct str *ret)
{
	const char *p = (const char *)sqlite3_value_text(v);
	const size_t n = (size_t)sqlite3_value_bytes(v);

	if (p == NULL)
		return false;
	*ret = str_n(p, n);
	return true;
}

static void answer(sqlite3_context *ctx, const struct pattern *p, struct str text)
{
	struct sqlite_conn *c = sqlite3_user_data(ctx);
	const struct pattern_pause pause = {.call = sqlite_wait_pause, .arg = c};
	const enum pattern_answer a = pattern_match(p, text, &pause);

	if (a == PATTERN_GAVE_UP)
		sqlite3_result_error_code(ctx, SQLITE_INTERRUPT);
	else
		sqlite3_result_int(ctx, a == PATTERN_YES);
}

/* A constant pattern is compiled once a statement, unless its escape changes from row to row. */
static void match(sqlite3_context *ctx, const struct pattern_syntax *syntax, struct str pattern, struct str text)
{
	struct pattern *p = sqlite3_get_auxdata(ctx, 0);
	enum pattern_fault fault;

	if (p != NULL && pattern_escape(p) == syntax->escape) {
		answer(ctx, p, text);
		return;
	}
	fault = pattern_compile(pattern, syntax, &p);
	if (fault == PATTERN_NO_MEMORY) {
		sqlite3_result_error_nomem(ctx);
	} else if (fault == PATTERN_TOO_COMPLEX) {
		sqlite3_result_error(ctx, "LIKE or GLOB pattern too complex", -1);
	} else {
		answer(ctx, p, text);
		sqlite3_set_auxdata(ctx, 0, p, pattern_free);
	}
}

/* The two arguments; false: the answer is given. */
static bool arguments(sqlite3_context *ctx, sqlite3_value **args, struct str *pattern, struct str *text)
{
	if (sqlite3_value_type(args[0]) == SQLITE_NULL || sqlite3_value_type(args[1]) == SQLITE_NULL)
		return false; /* the result is NULL */
	if (text_of(args[0], pattern) && text_of(args[1], text))
		return true;
	sqlite3_result_error_nomem(ctx);
	return false;
}

/* SQLite's own functions see a text up to its first NUL. */
static struct str until_nul(struct str s)
{
	return str_n(s.p, strnlen(s.p, s.len));
}

static void ilike(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct str pattern, text;

	(void)n;
	if (arguments(ctx, args, &pattern, &text))
		match(ctx, &ilike_syntax, pattern, text);
}

static bool is_blob(sqlite3_value *v)
{
	return sqlite3_value_type(v) == SQLITE_BLOB;
}

/* The third argument of LIKE. */
static bool read_escape(sqlite3_context *ctx, sqlite3_value *v, struct pattern_syntax *syntax)
{
	const unsigned char *p = sqlite3_value_text(v);
	const unsigned char *end = p != NULL ? p + sqlite3_value_bytes(v) : NULL;

	if (p == NULL)
		return false;
	if (p < end)
		syntax->escape = pattern_next_char(&p, end);
	if (syntax->escape == 0 || p != end) {
		sqlite3_result_error(ctx, "ESCAPE expression must be a single character", -1);
		return false;
	}
	syntax->many = syntax->escape == syntax->many ? 0 : syntax->many;
	syntax->one = syntax->escape == syntax->one ? 0 : syntax->one;
	return true;
}

static void like(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct sqlite_conn *c = sqlite3_user_data(ctx);
	struct pattern_syntax syntax = like_syntax;
	struct str pattern, text;

	if (c->like_case)
		syntax.fold = PATTERN_FOLD_NONE;
	if (is_blob(args[0]) || is_blob(args[1]))
		sqlite3_result_int(ctx, 0);
	else if ((n < 3 || read_escape(ctx, args[2], &syntax)) && arguments(ctx, args, &pattern, &text))
		match(ctx, &syntax, until_nul(pattern), until_nul(text));
}

static void glob(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct str pattern, text;

	(void)n;
	if (is_blob(args[0]) || is_blob(args[1]))
		sqlite3_result_int(ctx, 0);
	else if (arguments(ctx, args, &pattern, &text))
		match(ctx, &glob_syntax, until_nul(pattern), until_nul(text));
}

int sqlite_like_register(struct sqlite_conn *c)
{
	static const struct sqlite_function functions[] = {
		{"ferro_ilike", 2, ilike, SQLITE_DETERMINISTIC},
		{"like", 2, like, SQLITE_DETERMINISTIC},
		{"like", 3, like, SQLITE_DETERMINISTIC},
		{"glob", 2, glob, SQLITE_DETERMINISTIC},
	};

	return sqlite_functions_add(c, functions, ARRAY_LEN(functions));
}
