/* ferro_lower(text), ferro_upper(text): case in the whole of Unicode, one character to one, where SQLite's own know
 * ASCII only. */
#include "store/driver/sqlite/sqlite_internal.h"
#include "store/driver/sqlite/sqlite_pattern.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>

#include "service/base/banned.h"

#define PAUSE_CHARS 65536 /* between two looks at the rest of the world */

static pthread_once_t unicode_once = PTHREAD_ONCE_INIT;
static locale_t unicode; /* never freed: connections come and go on every thread */

static void load_unicode(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
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

static uint32_t changed(uint32_t c, bool upper)
{
	if (c < 0x80 || unicode == (locale_t)0)
		return upper && c >= 'a' && c <= 'z' ? c - 32 : !upper && c >= 'A' && c <= 'Z' ? c + 32 : c;
	return (uint32_t)(upper ? towupper_l((wint_t)c, unicode) : towlower_l((wint_t)c, unicode));
}

/* What is not UTF-8 stays as it is. */
static void change_case(sqlite3_context *ctx, sqlite3_value *arg, bool upper)
{
	const unsigned char *p = sqlite3_value_text(arg), *end;
	struct strbuf b;
	size_t n = 0;

	if (sqlite3_value_type(arg) == SQLITE_NULL)
		return;
	if (p == NULL) {
		sqlite3_result_error_nomem(ctx);
		return;
	}
	end = p + sqlite3_value_bytes(arg);
	strbuf_init(&b, 0);
	while (p < end) {
		const uint32_t c = pattern_next_char(&p, end);

		if (c >= 0x110000)
			strbuf_putc(&b, (char)(c - 0x110000));
		else
			put_char(&b, changed(c, upper));
		if (++n % PAUSE_CHARS == 0 && !sqlite_wait_pause(sqlite3_user_data(ctx))) {
			strbuf_done(&b);
			sqlite3_result_error_code(ctx, SQLITE_INTERRUPT);
			return;
		}
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

int sqlite_case_register(struct sqlite_conn *c)
{
	static const struct sqlite_function functions[] = {{"ferro_lower", 1, lower, SQLITE_DETERMINISTIC},
							   {"ferro_upper", 1, upper, SQLITE_DETERMINISTIC}};

	(void)pthread_once(&unicode_once, load_unicode);
	return sqlite_functions_add(c, functions, ARRAY_LEN(functions));
}
