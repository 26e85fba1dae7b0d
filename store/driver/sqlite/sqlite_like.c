/*
 * ferro_ilike(pattern, text): LIKE without regard to case in the whole of Unicode, where SQLite's own folds ASCII only.
 * `%` and `_` as in LIKE, `\` escapes. Simple folding, one character to one: what PostgreSQL's ILIKE does too.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>

#include "service/base/banned.h"

static pthread_once_t unicode_once = PTHREAD_ONCE_INIT;
static locale_t unicode; /* never freed: connections come and go on every thread */

static void load_unicode(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

struct chars {
	const unsigned char *p, *end;
};

/* The next character; what is not UTF-8 counts byte by byte, as the replacement that nothing equals but itself. */
static uint32_t next_char(struct chars *s)
{
	uint32_t c = *s->p++;
	size_t more = c >= 0xF0 && c < 0xF8 ? 3 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xC0 && c < 0xE0 ? 1 : 0;

	if (more == 0 || (size_t)(s->end - s->p) < more)
		return c < 0x80 ? c : 0x110000 + c;
	for (size_t i = 0; i < more; i++)
		if ((s->p[i] & 0xC0) != 0x80)
			return 0x110000 + c;
	c &= 0x3FU >> more;
	for (size_t i = 0; i < more; i++)
		c = c << 6 | (*s->p++ & 0x3F);
	return c;
}

static uint32_t folded(uint32_t c)
{
	if (c < 0x80)
		return c >= 'A' && c <= 'Z' ? c + 32 : c;
	return unicode != (locale_t)0 && c < 0x110000 ? (uint32_t)towlower_l((wint_t)c, unicode) : c;
}

/* Consumes one character of the text and what stands for it in the pattern; false: they do not go together. */
static bool match_one(struct chars *pattern, struct chars *text)
{
	uint32_t c = next_char(pattern);
	uint32_t t = next_char(text);

	if (c == '_')
		return true;
	if (c == '\\' && pattern->p < pattern->end)
		c = next_char(pattern);
	return folded(c) == folded(t);
}

/* Only the last % ever needs another try, so this takes at most the product of the lengths. */
static bool matches(struct chars pattern, struct chars text)
{
	struct chars retry_pattern = {NULL, NULL}, retry_text = {NULL, NULL};

	while (text.p < text.end || pattern.p < pattern.end) {
		if (pattern.p < pattern.end && *pattern.p == '%') {
			pattern.p++;
			retry_pattern = pattern;
			retry_text = text;
			continue;
		}
		if (pattern.p < pattern.end && text.p < text.end && match_one(&pattern, &text))
			continue;
		if (retry_pattern.p == NULL || retry_text.p == retry_text.end)
			return false;
		(void)next_char(&retry_text);
		pattern = retry_pattern;
		text = retry_text;
	}
	return true;
}

static struct chars text_of(sqlite3_value *v)
{
	const unsigned char *p = sqlite3_value_text(v);
	int n = sqlite3_value_bytes(v);

	return (struct chars){p, p != NULL ? p + n : NULL};
}

static void ilike(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	(void)n;
	if (sqlite3_value_type(args[0]) == SQLITE_NULL || sqlite3_value_type(args[1]) == SQLITE_NULL)
		return; /* the result is NULL */
	struct chars pattern = text_of(args[0]);
	struct chars text = text_of(args[1]);
	if (pattern.p == NULL || text.p == NULL)
		sqlite3_result_error_nomem(ctx);
	else
		sqlite3_result_int(ctx, matches(pattern, text));
}

static void put_char(struct strbuf *b, uint32_t c)
{
	if (c < 0x80) {
		strbuf_putc(b, (char)c);
	} else if (c < 0x800) {
		strbuf_putc(b, (char)(0xC0 | c >> 6));
		strbuf_putc(b, (char)(0x80 | (c & 0x3F)));
	} else if (c < 0x10000) {
		strbuf_putc(b, (char)(0xE0 | c >> 12));
		strbuf_putc(b, (char)(0x80 | (c >> 6 & 0x3F)));
		strbuf_putc(b, (char)(0x80 | (c & 0x3F)));
	} else {
		strbuf_putc(b, (char)(0xF0 | c >> 18));
		strbuf_putc(b, (char)(0x80 | (c >> 12 & 0x3F)));
		strbuf_putc(b, (char)(0x80 | (c >> 6 & 0x3F)));
		strbuf_putc(b, (char)(0x80 | (c & 0x3F)));
	}
}

/* One character to one, in all of Unicode; what is not UTF-8 stays as it is. */
static void change_case(sqlite3_context *ctx, sqlite3_value *arg, bool upper)
{
	struct chars text;
	struct strbuf b;

	if (sqlite3_value_type(arg) == SQLITE_NULL)
		return;
	text = text_of(arg);
	if (text.p == NULL) {
		sqlite3_result_error_nomem(ctx);
		return;
	}
	strbuf_init(&b, 0);
	while (text.p < text.end) {
		const uint32_t c = next_char(&text);

		if (c >= 0x110000)
			strbuf_putc(&b, (char)(c - 0x110000));
		else if (upper && unicode != (locale_t)0)
			put_char(&b, (uint32_t)towupper_l((wint_t)c, unicode));
		else
			put_char(&b, upper ? c : folded(c));
	}
	if (strbuf_failed(&b))
		sqlite3_result_error_nomem(ctx);
	else
		sqlite3_result_text64(ctx, b.p != NULL ? b.p : "", b.len, SQLITE_TRANSIENT, SQLITE_UTF8);
	strbuf_done(&b);
}

static void lower(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	(void)n;
	change_case(ctx, args[0], false);
}

static void upper(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	(void)n;
	change_case(ctx, args[0], true);
}

int sqlite_like_register(sqlite3 *h)
{
	static const struct {
		const char *name;
		int n;
		void (*function)(sqlite3_context *, int, sqlite3_value **);
	} functions[] = {{"ferro_ilike", 2, ilike}, {"ferro_lower", 1, lower}, {"ferro_upper", 1, upper}};
	int rc = SQLITE_OK;

	(void)pthread_once(&unicode_once, load_unicode);
	for (size_t i = 0; i < ARRAY_LEN(functions) && rc == SQLITE_OK; i++)
		rc = sqlite3_create_function_v2(h, functions[i].name, functions[i].n,
						SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
						functions[i].function, NULL, NULL, NULL);
	return rc;
}
