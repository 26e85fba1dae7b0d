/*
 * SQLite's functions whose own forms take time in the product of their arguments' lengths, or all of it in one piece:
 * between two steps of its machine no timeout, no cancellation and no other request of the loop gets a turn. These give
 * the same answers in linear time and pause on the way, or refuse what would take too long; what only computes straight
 * on is run off the loop (sqlite_policy.c says which).
 */
#include "store/driver/sqlite/sqlite_internal.h"
#include "service/base/limits.h"
#include "store/driver/sqlite/sqlite_pattern.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "service/base/banned.h"

#define STEP_BYTES ((size_t)1 << 20) /* between two pauses */
#define SHORT_NEEDLE 16

int sqlite_functions_add(struct sqlite_conn *c, const struct sqlite_function *functions, size_t n)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
		rc = sqlite3_create_function_v2(c->h, functions[i].name, functions[i].n_args,
						SQLITE_UTF8 | SQLITE_INNOCUOUS | functions[i].flags, c,
						functions[i].call, NULL, NULL, NULL);
	return rc;
}

static bool is_null(sqlite3_value *v)
{
	return sqlite3_value_type(v) == SQLITE_NULL;
}

static bool text_of(sqlite3_context *ctx, sqlite3_value *v, struct str *ret)
{
	const char *p = (const char *)sqlite3_value_text(v);

	if (p == NULL) {
		sqlite3_result_error_nomem(ctx);
		return false;
	}
	*ret = str_n(p, (size_t)sqlite3_value_bytes(v));
	return true;
}

static bool pause_for(sqlite3_context *ctx)
{
	if (sqlite_wait_pause(sqlite3_user_data(ctx)))
		return true;
	sqlite3_result_error_code(ctx, SQLITE_INTERRUPT);
	return false;
}

/* Memory for a result of n bytes; NULL: the error is set. */
static char *result_memory(sqlite3_context *ctx, size_t n)
{
	char *p;

	if (n > (size_t)sqlite3_limit(sqlite3_context_db_handle(ctx), SQLITE_LIMIT_LENGTH, -1)) {
		sqlite3_result_error_toobig(ctx);
		return NULL;
	}
	p = sqlite3_malloc64(n + 1);
	if (p == NULL)
		sqlite3_result_error_nomem(ctx);
	return p;
}

static void result_text(sqlite3_context *ctx, char *p, size_t n)
{
	p[n] = '\0';
	sqlite3_result_text64(ctx, p, n, sqlite3_free, SQLITE_UTF8);
}

/* ---- looking for text in text ---- */

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

/* Of one step's length. The short way costs at most needle.len a byte, the other is linear. */
static const char *find_in(const char *p, size_t n, struct str needle)
{
	const char *end = p + n;

	if (needle.len > SHORT_NEEDLE)
		return memmem(p, n, needle.p, needle.len);
	while ((size_t)(end - p) >= needle.len) {
		p = memchr(p, needle.p[0], (size_t)(end - p) - needle.len + 1);
		if (p == NULL || memcmp(p, needle.p, needle.len) == 0)
			return p;
		p++;
	}
	return NULL;
}

/* Where needle (not empty, at most LIMIT_NEEDLE_BYTES) is in the text from `from` on; *ret NULL: nowhere. *budget:
 * bytes to the next pause. False: given up, the error is set. */
static bool find(sqlite3_context *ctx, struct str text, size_t from, struct str needle, size_t *budget,
		 const char **ret)
{
	*ret = NULL;
	while (*ret == NULL && text.len - from >= needle.len) {
		const size_t left = text.len - from;
		const size_t step = *budget + needle.len < left ? *budget + needle.len : left;
		size_t moved;

		*ret = find_in(text.p + from, step, needle);
		moved = *ret != NULL ? (size_t)(*ret - text.p) - from : step - needle.len + 1;
		from += moved;
		*budget -= moved + 1 < *budget ? moved + 1 : *budget;
		if (*budget == 0) {
			*budget = STEP_BYTES;
			if (!pause_for(ctx))
				return false;
		}
	}
	return true;
}

static bool needle_fits(sqlite3_context *ctx, struct str needle, struct str text)
{
	if (needle.len <= LIMIT_NEEDLE_BYTES || needle.len > text.len)
		return true;
	sqlite3_result_error_toobig(ctx);
	return false;
}

static int64_t characters_before(struct str text, const char *at)
{
	int64_t n = 0;

	for (const char *p = text.p + 1; p <= at; p++)
		n += !is_continuation(*p);
	return n;
}

static void find_number(sqlite3_context *ctx, struct str text, struct str needle, bool bytes)
{
	size_t budget = STEP_BYTES;
	const char *at;

	if (needle.len == 0) {
		sqlite3_result_int(ctx, 1);
		return;
	}
	if (!needle_fits(ctx, needle, text))
		return;
	/* characters are looked at where they begin, and the first byte of a text passes for a beginning */
	if (!bytes && is_continuation(needle.p[0]))
		at = needle.len <= text.len && memcmp(text.p, needle.p, needle.len) == 0 ? text.p : NULL;
	else if (!find(ctx, text, 0, needle, &budget, &at))
		return;
	if (at == NULL)
		sqlite3_result_int(ctx, 0);
	else
		sqlite3_result_int64(ctx, 1 + (bytes ? (int64_t)(at - text.p) : characters_before(text, at)));
}

static void instr(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct str text, needle;

	(void)n;
	if (is_null(args[0]) || is_null(args[1]))
		return;
	if (sqlite3_value_type(args[0]) == SQLITE_BLOB && sqlite3_value_type(args[1]) == SQLITE_BLOB) {
		text.p = sqlite3_value_blob(args[0]);
		needle.p = sqlite3_value_blob(args[1]);
		text.len = (size_t)sqlite3_value_bytes(args[0]);
		needle.len = (size_t)sqlite3_value_bytes(args[1]);
		if ((text.p == NULL && text.len > 0) || (needle.p == NULL && needle.len > 0))
			sqlite3_result_error_nomem(ctx);
		else
			find_number(ctx, text, needle, true);
		return;
	}
	if (text_of(ctx, args[0], &text) && text_of(ctx, args[1], &needle))
		find_number(ctx, text, needle, false);
}

/* How often it is in the text without overlapping itself. */
static bool count(sqlite3_context *ctx, struct str text, struct str needle, size_t *ret)
{
	size_t budget = STEP_BYTES, n = 0;
	const char *at;

	for (size_t from = 0;; n++) {
		if (!find(ctx, text, from, needle, &budget, &at))
			return false;
		if (at == NULL)
			break;
		from = (size_t)(at - text.p) + needle.len;
	}
	*ret = n;
	return true;
}

/* Copies in steps. */
static bool copy(sqlite3_context *ctx, char **to, const char *from, size_t n, size_t *budget)
{
	while (n > 0) {
		const size_t step = n < *budget ? n : *budget;

		memcpy(*to, from, step);
		*to += step;
		from += step;
		n -= step;
		*budget -= step;
		if (*budget == 0) {
			*budget = STEP_BYTES;
			if (!pause_for(ctx))
				return false;
		}
	}
	return true;
}

static bool put_replaced(sqlite3_context *ctx, struct str text, struct str needle, struct str with, char *out)
{
	size_t budget = STEP_BYTES, copied = STEP_BYTES, from = 0;
	const char *at;

	for (;;) {
		if (!find(ctx, text, from, needle, &budget, &at))
			return false;
		if (at == NULL)
			return copy(ctx, &out, text.p + from, text.len - from, &copied);
		if (!copy(ctx, &out, text.p + from, (size_t)(at - text.p) - from, &copied) ||
		    !copy(ctx, &out, with.p, with.len, &copied))
			return false;
		from = (size_t)(at - text.p) + needle.len;
	}
}

/* What the library's own answers when there is nothing to look for: the value as it is, or (newer ones) as text. */
static bool unsought_is_text;

static void ask_library(void)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;

	if (sqlite3_open(":memory:", &db) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, "SELECT typeof(replace(1, '', ''))", -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		unsought_is_text = strcmp((const char *)sqlite3_column_text(st, 0), "text") == 0;
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
}

static void as_text(sqlite3_context *ctx, struct str text)
{
	char *out = result_memory(ctx, text.len), *at = out;
	size_t copied = STEP_BYTES;

	if (out != NULL && copy(ctx, &at, text.p, text.len, &copied))
		result_text(ctx, out, text.len);
	else
		sqlite3_free(out);
}

static void replace(sqlite3_context *ctx, int n_args, sqlite3_value **args)
{
	struct str text, needle, with;
	size_t n, size;
	char *out;

	(void)n_args;
	if (is_null(args[0]) || is_null(args[1]) || !text_of(ctx, args[0], &text) || !text_of(ctx, args[1], &needle))
		return;
	if (needle.len == 0 || needle.p[0] == '\0') {
		if (unsought_is_text)
			as_text(ctx, text);
		else
			sqlite3_result_value(ctx, args[0]);
		return;
	}
	if (is_null(args[2]) || !text_of(ctx, args[2], &with) || !needle_fits(ctx, needle, text) ||
	    !count(ctx, text, needle, &n))
		return;
	if (__builtin_mul_overflow(n, with.len, &size) ||
	    __builtin_add_overflow(size, text.len - n * needle.len, &size)) {
		sqlite3_result_error_toobig(ctx);
		return;
	}
	out = result_memory(ctx, size);
	if (out == NULL)
		return;
	if (put_replaced(ctx, text, needle, with, out))
		result_text(ctx, out, size);
	else
		sqlite3_free(out);
}

/* ---- trim ---- */

/* Characters to be taken off: in the order of their numbers, without doubles. */
struct taken {
	uint32_t *chars;
	size_t n;
	bool ascii[128];
};

static int by_number(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool read_taken(sqlite3_context *ctx, struct str set, struct taken *ret)
{
	const unsigned char *p = (const unsigned char *)set.p, *end = p + set.len;

	if (set.len > LIMIT_TRIM_BYTES) {
		sqlite3_result_error_toobig(ctx);
		return false;
	}
	ret->chars = sqlite3_malloc64((set.len + 1) * sizeof(*ret->chars));
	if (ret->chars == NULL) {
		sqlite3_result_error_nomem(ctx);
		return false;
	}
	while (p < end) {
		const uint32_t c = pattern_next_char(&p, end);

		if (c < 128)
			ret->ascii[c] = true;
		else
			ret->chars[ret->n++] = c;
	}
	qsort(ret->chars, ret->n, sizeof(*ret->chars), by_number);
	return true;
}

static bool is_taken(const struct taken *t, uint32_t c)
{
	if (c < 128)
		return t->ascii[c];
	return t->n > 0 && bsearch(&c, t->chars, t->n, sizeof(c), by_number) != NULL;
}

/* The character that ends at `end`; *ret_n: its bytes. */
static uint32_t last_char(const unsigned char *p, const unsigned char *end, size_t *ret_n)
{
	for (size_t n = 2; n <= 4 && (size_t)(end - p) >= n && is_continuation((char)end[1 - (ptrdiff_t)n]); n++) {
		const unsigned char *at = end - n;
		const uint32_t c = pattern_next_char(&at, end);

		if (at == end) {
			*ret_n = n;
			return c;
		}
	}
	*ret_n = 1;
	return end[-1] < 128 ? end[-1] : 0x110000U + end[-1];
}

static bool trim_left(sqlite3_context *ctx, const struct taken *t, struct str *s)
{
	const unsigned char *p = (const unsigned char *)s->p, *end = p + s->len;

	for (size_t n = 1; p < end; n++) {
		const unsigned char *at = p;

		if (!is_taken(t, pattern_next_char(&at, end)))
			break;
		p = at;
		if (n % STEP_BYTES == 0 && !pause_for(ctx))
			return false;
	}
	*s = str_n((const char *)p, (size_t)(end - p));
	return true;
}

static bool trim_right(sqlite3_context *ctx, const struct taken *t, struct str *s)
{
	const unsigned char *p = (const unsigned char *)s->p, *end = p + s->len;
	size_t bytes;

	for (size_t n = 1; end > p; n++) {
		if (!is_taken(t, last_char(p, end, &bytes)))
			break;
		end -= bytes;
		if (n % STEP_BYTES == 0 && !pause_for(ctx))
			return false;
	}
	s->len = (size_t)(end - p);
	return true;
}

static void trim(sqlite3_context *ctx, int n, sqlite3_value **args, bool left, bool right)
{
	struct str text, set = STR(" ");
	struct taken t = {0};

	if (is_null(args[0]) || !text_of(ctx, args[0], &text))
		return;
	if (n == 2 && (is_null(args[1]) || !text_of(ctx, args[1], &set)))
		return;
	if (!read_taken(ctx, set, &t))
		return;
	if ((!left || trim_left(ctx, &t, &text)) && (!right || trim_right(ctx, &t, &text)))
		sqlite3_result_text64(ctx, text.p, text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
	sqlite3_free(t.chars);
}

static void trim_both(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	trim(ctx, n, args, true, true);
}

static void ltrim(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	trim(ctx, n, args, true, false);
}

static void rtrim(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	trim(ctx, n, args, false, true);
}

/* ---- bytes ---- */

static void hex(sqlite3_context *ctx, int n_args, sqlite3_value **args)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned char *p = sqlite3_value_blob(args[0]);
	const size_t n = (size_t)sqlite3_value_bytes(args[0]);
	char *out;

	(void)n_args;
	if (p == NULL && n > 0) {
		sqlite3_result_error_nomem(ctx);
		return;
	}
	out = result_memory(ctx, 2 * n);
	if (out == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
		if ((i + 1) % STEP_BYTES == 0 && !pause_for(ctx)) {
			sqlite3_free(out);
			return;
		}
	}
	result_text(ctx, out, 2 * n);
}

static bool fill_random(sqlite3_context *ctx, char *out, size_t n)
{
	for (size_t i = 0; i < n;) {
		const size_t want = n - i < STEP_BYTES ? n - i : STEP_BYTES;
		const ssize_t got = getrandom(out + i, want, 0);

		if (got < 0 && errno != EINTR) {
			sqlite3_result_error(ctx, "no random bytes could be had", -1);
			return false;
		}
		i += got > 0 ? (size_t)got : 0;
		if (i < n && !pause_for(ctx))
			return false;
	}
	return true;
}

/* SQLite's own holds a lock that every connection of the process needs for its file's. */
static void randomblob(sqlite3_context *ctx, int n_args, sqlite3_value **args)
{
	const int64_t want = sqlite3_value_int64(args[0]);
	const size_t n = want < 1 ? 1 : (size_t)want;
	char *out = result_memory(ctx, n);

	(void)n_args;
	if (out == NULL)
		return;
	if (fill_random(ctx, out, n))
		sqlite3_result_blob64(ctx, out, n, sqlite3_free);
	else
		sqlite3_free(out);
}

/* ---- counters of the connection, as far as they are its present caller's ---- */

static void total_changes(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct sqlite_conn *c = sqlite3_user_data(ctx);

	(void)n;
	(void)args;
	sqlite3_result_int64(ctx, sqlite3_total_changes64(c->h) - c->changes_before);
}

static void changes(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const struct sqlite_conn *c = sqlite3_user_data(ctx);
	const bool own = sqlite3_total_changes64(c->h) != c->changes_before;

	(void)n;
	(void)args;
	sqlite3_result_int64(ctx, own ? sqlite3_changes64(c->h) : 0);
}

/* ---- json_patch ---- */

/* For each member of the patch SQLite goes through the members of the target. */
#define PATCH_PRODUCT_MAX ((uint64_t)1 << 34)
#define JSON_SUBTYPE 'J'
#ifndef SQLITE_RESULT_SUBTYPE
#define SQLITE_RESULT_SUBTYPE 0
#endif

/* Where SQLite's own can be called although ours has its name. NULL: the error is set. */
static sqlite3_stmt *own_patch(sqlite3_context *ctx)
{
	struct sqlite_conn *c = sqlite3_user_data(ctx);
	int rc = SQLITE_OK;

	if (c->helper == NULL) {
		rc = sqlite3_open_v2(":memory:", &c->helper, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
		if (rc == SQLITE_OK)
			(void)sqlite3_limit(c->helper, SQLITE_LIMIT_LENGTH,
					    sqlite3_limit(c->h, SQLITE_LIMIT_LENGTH, -1));
	}
	if (rc == SQLITE_OK && c->st_patch == NULL)
		rc = sqlite3_prepare_v3(c->helper, "SELECT json_patch(?1, ?2)", -1, SQLITE_PREPARE_PERSISTENT,
					&c->st_patch, NULL);
	if (rc != SQLITE_OK)
		sqlite3_result_error_code(ctx, rc);
	return rc == SQLITE_OK ? c->st_patch : NULL;
}

static void json_patch(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	sqlite3_stmt *st;
	int rc;

	(void)n;
	if ((uint64_t)sqlite3_value_bytes(args[0]) * (uint64_t)sqlite3_value_bytes(args[1]) > PATCH_PRODUCT_MAX) {
		sqlite3_result_error_toobig(ctx);
		return;
	}
	st = own_patch(ctx);
	if (st == NULL)
		return;
	rc = sqlite3_bind_value(st, 1, args[0]);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_value(st, 2, args[1]);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		sqlite3_result_value(ctx, sqlite3_column_value(st, 0));
		sqlite3_result_subtype(ctx, JSON_SUBTYPE);
	} else if (rc == SQLITE_ERROR) {
		sqlite3_result_error(ctx, sqlite3_errmsg(sqlite3_db_handle(st)), -1);
	} else {
		sqlite3_result_error_code(ctx, rc);
	}
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
}

void sqlite_function_done(struct sqlite_conn *c)
{
	(void)sqlite3_finalize(c->st_patch);
	(void)sqlite3_close_v2(c->helper);
}

int sqlite_function_register(struct sqlite_conn *c)
{
	static const struct sqlite_function functions[] = {
		{"instr", 2, instr, SQLITE_DETERMINISTIC},
		{"replace", 3, replace, SQLITE_DETERMINISTIC},
		{"trim", 1, trim_both, SQLITE_DETERMINISTIC},
		{"trim", 2, trim_both, SQLITE_DETERMINISTIC},
		{"ltrim", 1, ltrim, SQLITE_DETERMINISTIC},
		{"ltrim", 2, ltrim, SQLITE_DETERMINISTIC},
		{"rtrim", 1, rtrim, SQLITE_DETERMINISTIC},
		{"rtrim", 2, rtrim, SQLITE_DETERMINISTIC},
		{"hex", 1, hex, SQLITE_DETERMINISTIC},
		{"randomblob", 1, randomblob, 0},
		{"changes", 0, changes, 0},
		{"total_changes", 0, total_changes, 0},
		{"json_patch", 2, json_patch, SQLITE_DETERMINISTIC | SQLITE_RESULT_SUBTYPE},
	};

	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, ask_library);
	return sqlite_functions_add(c, functions, ARRAY_LEN(functions));
}
