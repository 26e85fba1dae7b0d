/* One pass over the text with just as much lexing as literals and comments of both databases need. */
#include "handlers/unit/sql_mask.h"

#include <string.h>

#include "service/base/banned.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool in_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) || (unsigned char)c >= 0x80;
}

static size_t find(struct str s, size_t from, struct str what)
{
	const char *at = from < s.len ? memmem(s.p + from, s.len - from, what.p, what.len) : NULL;

	return at != NULL ? (size_t)(at - s.p) + what.len : s.len;
}

/* Behind the quoted text that begins at i. A doubled quote is part of it, with `escapes` a backslash and what follows,
 * too. */
static size_t skip_quoted(struct str s, size_t i, bool escapes)
{
	const char quote = s.p[i++];

	for (; i < s.len; i++) {
		if (escapes && s.p[i] == '\\')
			i++;
		else if (s.p[i] == quote && i + 1 < s.len && s.p[i + 1] == quote)
			i++;
		else if (s.p[i] == quote)
			return i + 1;
	}
	return s.len;
}

/* Behind the dollar-quoted text that begins at i; i when none does. */
static size_t skip_dollars(struct str s, size_t i)
{
	size_t end = i + 1;

	while (end < s.len && in_word(s.p[end]))
		end++;
	if (end >= s.len || s.p[end] != '$' || is_digit(s.p[i + 1]))
		return i;
	return find(s, end + 1, str_n(s.p + i, end + 1 - i));
}

/* Block comments nest in PostgreSQL and not in SQLite: the longer reading hides more. */
static size_t skip_block(struct str s, size_t i)
{
	int depth = 0;

	while (i + 1 < s.len) {
		const bool opens = s.p[i] == '/' && s.p[i + 1] == '*', closes = s.p[i] == '*' && s.p[i + 1] == '/';

		depth += opens ? 1 : closes ? -1 : 0;
		i += opens || closes ? 2 : 1;
		if (depth == 0)
			return i;
	}
	return s.len;
}

/* Behind what must not show at i; i when that may. */
static size_t skip(struct str s, size_t i, bool word_before)
{
	const char c = s.p[i], next = i + 1 < s.len ? s.p[i + 1] : '\0';

	if (c == '\'') /* E'...' but not LIKE'...' */
		return skip_quoted(
			s, i, i > 0 && (s.p[i - 1] == 'e' || s.p[i - 1] == 'E') && (i < 2 || !in_word(s.p[i - 2])));
	if (c == '"' || c == '`')
		return skip_quoted(s, i, false);
	if (c == '-' && next == '-')
		return find(s, i, STR("\n"));
	if (c == '/' && next == '*')
		return skip_block(s, i);
	if (c == '$' && !word_before)
		return skip_dollars(s, i);
	if (!is_digit(c) || word_before || (i > 0 && (s.p[i - 1] == '$' || s.p[i - 1] == '?')))
		return i;
	while (i < s.len && (in_word(s.p[i]) || s.p[i] == '.'))
		i++;
	return i;
}

struct str sql_mask(struct arena *a, struct str sql)
{
	char *out = arena_alloc(a, sql.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < sql.len;) {
		const size_t end = skip(sql, i, i > 0 && in_word(sql.p[i - 1]));
		const bool comment = sql.p[i] == '-' || sql.p[i] == '/';

		out[n++] = end == i ? sql.p[i] : comment ? ' ' : '?';
		i = end > i ? end : i + 1;
	}
	out[n] = '\0';
	return str_n(out, n);
}
