/* The tokens of SQL, see schema_lex.h. */
#include "store/schema/schema_lex.h"

#include <string.h>

#include "service/base/banned.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool begins_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}

static char peek(const struct lexer *l, size_t ahead)
{
	return l->at + ahead < l->s.len ? l->s.p[l->at + ahead] : '\0';
}

static enum token broken(struct lexer *l, const char *why)
{
	l->wrong = why;
	return TOKEN_BROKEN;
}

/* From the opening quote past the closing one. A doubled quote is part of the text; `escapes`: so is what follows a
 * backslash. */
static enum token quoted(struct lexer *l, char end, bool escapes, enum token kind)
{
	for (l->at++; l->at < l->s.len; l->at++) {
		const char c = l->s.p[l->at];

		if (escapes && c == '\\') {
			l->at++;
			continue;
		}
		if (c != end)
			continue;
		l->at++;
		if (end == ']' || peek(l, 0) != end)
			return kind;
	}
	return broken(l, "a quote is not closed");
}

/* $tag$ ... $tag$ of PostgreSQL. */
static enum token dollar(struct lexer *l)
{
	size_t n = 1;
	struct str tag;

	while (is_word(peek(l, n)) && peek(l, n) != '$')
		n++;
	if (peek(l, n) != '$')
		return broken(l, "a parameter cannot stand here");
	tag = str_n(l->s.p + l->at, n + 1);
	for (l->at += n + 1; l->at + tag.len <= l->s.len; l->at++) {
		if (memcmp(l->s.p + l->at, tag.p, tag.len) != 0)
			continue;
		l->at += tag.len;
		return TOKEN_TEXT;
	}
	return broken(l, "a quote is not closed");
}

static enum token number(struct lexer *l)
{
	while (is_word(peek(l, 0)) || peek(l, 0) == '.' ||
	       ((peek(l, 0) == '+' || peek(l, 0) == '-') && (l->s.p[l->at - 1] == 'e' || l->s.p[l->at - 1] == 'E')))
		l->at++;
	return TOKEN_NUMBER;
}

/* A word, or a string or name with a letter before it: E'', B'', X'', N'', U&'', U&"". */
static enum token word(struct lexer *l)
{
	const size_t from = l->at;
	const bool postgres = l->d == DIALECT_POSTGRES;

	while (is_word(peek(l, 0)))
		l->at++;
	if (l->at - from != 1)
		return TOKEN_WORD;
	if (peek(l, 0) == '\'')
		return quoted(l, '\'', postgres && (l->s.p[from] == 'E' || l->s.p[from] == 'e'), TOKEN_TEXT);
	if (postgres && (l->s.p[from] == 'U' || l->s.p[from] == 'u') && peek(l, 0) == '&' &&
	    (peek(l, 1) == '\'' || peek(l, 1) == '"')) {
		l->at++;
		return quoted(l, peek(l, 0), false, peek(l, 0) == '"' ? TOKEN_NAME : TOKEN_TEXT);
	}
	return TOKEN_WORD;
}

static enum token lex(struct lexer *l)
{
	const char c = l->s.p[l->at];

	if (c == '\0')
		return broken(l, "there is a NUL in it");
	if (c == '\'')
		return quoted(l, '\'', false, TOKEN_TEXT);
	if (c == '"' || (c == '`' && l->d == DIALECT_SQLITE))
		return quoted(l, c, false, TOKEN_NAME);
	if (c == '[' && l->d == DIALECT_SQLITE)
		return quoted(l, ']', false, TOKEN_NAME);
	if (c == '$' && l->d == DIALECT_POSTGRES)
		return dollar(l);
	if ((c == '-' && peek(l, 1) == '-') || (c == '/' && peek(l, 1) == '*'))
		return broken(l, "comments cannot stand in it");
	if (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))
		return number(l);
	if (begins_word(c))
		return word(l);
	l->at++;
	return TOKEN_SIGN;
}

enum token lex_next(struct lexer *l)
{
	size_t from;

	while (l->at < l->s.len && is_space(l->s.p[l->at]))
		l->at++;
	from = l->at;
	l->kind = from < l->s.len ? lex(l) : TOKEN_END;
	if (l->at > l->s.len)
		l->kind = broken(l, "a quote is not closed");
	l->text = str_n(l->s.p + from, l->kind != TOKEN_BROKEN ? l->at - from : 0);
	return l->kind;
}

bool lex_sign(const struct lexer *l, char c)
{
	return l->kind == TOKEN_SIGN && l->text.p[0] == c;
}

bool lex_says(const struct lexer *l, const char *z)
{
	return l->kind == TOKEN_WORD && str_ieq_z(l->text, z);
}

/* SQLite has these of more than one sign. */
static size_t operator_of_sqlite(const char *p, size_t n)
{
	static const char *const all[] = {"->>", "->", "||", "<<", ">>", "<=", ">=", "<>", "==", "!="};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (n >= strlen(all[i]) && memcmp(p, all[i], strlen(all[i])) == 0)
			return strlen(all[i]);
	return 1;
}

/* PostgreSQL takes as many as there are; but + and - at the end are signs of what follows, unless one of those before
 * is none of the standard's. */
static size_t operator_of_postgres(const char *p, size_t n)
{
	bool own = false;

	for (size_t i = 0; i < n; i++)
		own |= strchr("~!@#%^&|?", p[i]) != NULL;
	while (!own && n > 1 && (p[n - 1] == '+' || p[n - 1] == '-'))
		n--;
	return n;
}

size_t lex_operator(const struct lexer *l)
{
	const char *p = l->text.p, *end = l->s.p + l->s.len;
	size_t n = 0;

	if (l->kind != TOKEN_SIGN)
		return 0;
	while (p + n < end && p[n] != '\0' && strchr("+-*/<>=~!@#%^&|?", p[n]) != NULL)
		n++;
	if (n == 0)
		return 0;
	return l->d == DIALECT_SQLITE ? operator_of_sqlite(p, n) : operator_of_postgres(p, n);
}
