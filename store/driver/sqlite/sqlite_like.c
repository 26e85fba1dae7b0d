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

int sqlite_like_register(sqlite3 *h)
{
	(void)pthread_once(&unicode_once, load_unicode);
	return sqlite3_create_function_v2(h, "ferro_ilike", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
					  NULL, ilike, NULL, NULL, NULL);
}
