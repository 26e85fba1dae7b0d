/* The tokens of SQL expressions and types, see schema_sql.h. */
#include "store/schema/schema_sql.h"

#include <string.h>

#include "service/base/banned.h"

#define DEPTH_MAX 100

enum token { TOKEN_END, TOKEN_WORD, TOKEN_NAME /* quoted */, TOKEN_TEXT, TOKEN_NUMBER, TOKEN_SIGN, TOKEN_BROKEN };

struct lexer {
	enum dialect_id d;
	struct str s;
	size_t at;
	enum token kind;
	struct str text;   /* of the token, with its quotes */
	const char *wrong; /* of a broken one; static */
};

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

static enum token next(struct lexer *l)
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

static bool sign(const struct lexer *l, char c)
{
	return l->kind == TOKEN_SIGN && l->text.p[0] == c;
}

static bool says(const struct lexer *l, const char *z)
{
	return l->kind == TOKEN_WORD && str_ieq_z(l->text, z);
}

/* ---- expressions ------------------------------------------------------------------------------------- */

static bool fault(const char *why, const char **ret_why)
{
	*ret_why = why;
	return false;
}

bool schema_sql_expression(enum dialect_id d, struct str s, const char **ret_why)
{
	struct lexer l = {.d = d, .s = s};
	char open[DEPTH_MAX];
	size_t depth = 0, n = 0;

	for (; next(&l) != TOKEN_END; n++) {
		if (l.kind == TOKEN_BROKEN)
			return fault(l.wrong, ret_why);
		if (sign(&l, ';'))
			return fault("it is more than one expression", ret_why);
		if (sign(&l, ',') && depth == 0)
			return fault("it is more than one expression", ret_why);
		if (sign(&l, '(') || sign(&l, '[')) {
			if (depth == DEPTH_MAX)
				return fault("it is nested too deeply", ret_why);
			open[depth++] = l.text.p[0];
		} else if (sign(&l, ')') || sign(&l, ']')) {
			if (depth == 0 || open[depth - 1] != (l.text.p[0] == ')' ? '(' : '['))
				return fault("its parentheses do not pair up", ret_why);
			depth--;
		}
	}
	if (depth > 0)
		return fault("its parentheses do not pair up", ret_why);
	return n > 0 || fault("it is empty", ret_why);
}

/* ---- types ------------------------------------------------------------------------------------------- */

/* Words that end a type and begin something else. */
static bool reserved(const struct lexer *l)
{
	static const char *const words[] = {"not",        "null",       "default",       "unique",    "primary",
					    "key",        "check",      "collate",       "as",        "using",
					    "references", "generated",  "always",        "stored",    "virtual",
					    "on",         "constraint", "autoincrement", "initially", "deferrable"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (says(l, words[i]))
			return true;
	return false;
}

/* The token is "("; numbers and words between commas up to ")". */
static bool arguments(struct lexer *l)
{
	size_t n = 0;

	for (;; n++) {
		(void)next(l);
		if (sign(l, '-') || sign(l, '+'))
			(void)next(l);
		if (l->kind != TOKEN_NUMBER && l->kind != TOKEN_WORD && l->kind != TOKEN_NAME)
			return false;
		(void)next(l);
		if (sign(l, ')'))
			break;
		if (!sign(l, ','))
			return false;
	}
	(void)next(l);
	return true;
}

/* [] and [3], any number of them. */
static bool brackets(struct lexer *l)
{
	while (sign(l, '[')) {
		if (next(l) == TOKEN_NUMBER)
			(void)next(l);
		if (!sign(l, ']'))
			return false;
		(void)next(l);
	}
	return true;
}

/* The token is the type's first; stands behind it afterwards. */
static bool type_name(struct lexer *l)
{
	bool any = false;

	for (;;) {
		if (l->kind == TOKEN_NAME || (l->kind == TOKEN_WORD && !reserved(l))) {
			any = true;
			(void)next(l);
		} else if (any && sign(l, '.')) {
			(void)next(l);
			if (l->kind != TOKEN_NAME && l->kind != TOKEN_WORD)
				return false;
		} else if (any && sign(l, '(')) {
			if (!arguments(l))
				return false;
		} else {
			return any && brackets(l);
		}
	}
}

bool schema_sql_type_name(struct str s)
{
	struct lexer l = {.d = DIALECT_POSTGRES, .s = s};

	(void)next(&l);
	return type_name(&l) && l.kind == TOKEN_END;
}

/* ---- what anybody may give --------------------------------------------------------------------------- */

/* Casts behind a literal: ::type, any number of them. */
static bool casts(struct lexer *l)
{
	while (sign(l, ':')) {
		(void)next(l);
		if (!sign(l, ':'))
			return false;
		(void)next(l);
		if (!type_name(l))
			return false;
	}
	return true;
}

static bool is_literal(struct lexer *l)
{
	static const char *const words[] = {"true", "false", "null"};
	bool found = l->kind == TOKEN_TEXT;

	if (sign(l, '-') || sign(l, '+')) {
		(void)next(l);
		found = l->kind == TOKEN_NUMBER;
	}
	found = found || l->kind == TOKEN_NUMBER;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		found = found || says(l, words[i]);
	if (found)
		(void)next(l);
	return found;
}

/* CURRENT_TIMESTAMP, CURRENT_TIMESTAMP(3), now(), gen_random_uuid(). */
static bool is_current(struct lexer *l)
{
	static const char *const words[] = {"current_timestamp", "current_date", "current_time", "localtimestamp",
					    "localtime"};
	static const char *const calls[] = {"now", "gen_random_uuid"};
	bool call = false, found = false;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		found = found || says(l, words[i]);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		call = call || says(l, calls[i]);
	if (!found && !call)
		return false;
	(void)next(l);
	if (!sign(l, '('))
		return found;
	if (next(l) == TOKEN_NUMBER && found)
		(void)next(l);
	if (!sign(l, ')'))
		return false;
	(void)next(l);
	return true;
}

/* 't_c_seq', perhaps behind a schema's name, perhaps quoted. */
static bool own_sequence(struct str literal, struct str table, struct str column)
{
	static const char seq[] = "_seq";
	struct str s = str_n(literal.p + 1, literal.len - 2), name;

	while (str_split(&s, '.', &name))
		;
	if (name.len >= 2 && name.p[0] == '"' && name.p[name.len - 1] == '"')
		name = str_n(name.p + 1, name.len - 2);
	if (table.p == NULL || column.p == NULL || name.len != table.len + 1 + column.len + sizeof(seq) - 1)
		return false;
	return memcmp(name.p, table.p, table.len) == 0 && name.p[table.len] == '_' &&
	       memcmp(name.p + table.len + 1, column.p, column.len) == 0 &&
	       memcmp(name.p + table.len + 1 + column.len, seq, sizeof(seq) - 1) == 0;
}

static bool is_nextval(struct lexer *l, struct str table, struct str column)
{
	if (!says(l, "nextval"))
		return false;
	(void)next(l);
	if (!sign(l, '(') || next(l) != TOKEN_TEXT || l->text.p[0] != '\'' || !own_sequence(l->text, table, column))
		return false;
	(void)next(l);
	if (!casts(l) || !sign(l, ')'))
		return false;
	(void)next(l);
	return true;
}

bool schema_sql_harmless(struct str s, struct str table, struct str column)
{
	struct lexer l = {.d = DIALECT_POSTGRES, .s = str_trim(s)};

	while (l.s.len >= 2 && l.s.p[0] == '(' && l.s.p[l.s.len - 1] == ')')
		l.s = str_trim(str_n(l.s.p + 1, l.s.len - 2));
	(void)next(&l);
	return (is_literal(&l) || is_current(&l) || is_nextval(&l, table, column)) && casts(&l) && l.kind == TOKEN_END;
}

bool schema_sql_serial(struct str s, struct str table, struct str column)
{
	struct lexer l = {.d = DIALECT_POSTGRES, .s = str_trim(s)};

	(void)next(&l);
	return is_nextval(&l, table, column) && l.kind == TOKEN_END;
}

/* Past the parentheses whose opening one the token is; what is between them. */
static bool between(struct lexer *l, struct str *ret)
{
	const size_t from = l->at;
	size_t depth = 1;

	while (depth > 0) {
		const enum token t = next(l);

		if (t == TOKEN_END || t == TOKEN_BROKEN)
			return false;
		depth += sign(l, '(');
		depth -= sign(l, ')');
	}
	*ret = str_trim(str_n(l->s.p + from, (size_t)(l->text.p - l->s.p) - from));
	return true;
}

bool schema_sql_index(struct str sql, struct str *ret_entries, struct str *ret_predicate)
{
	struct lexer l = {.d = DIALECT_SQLITE, .s = sql};

	*ret_predicate = STR_NONE;
	do
		if (next(&l) == TOKEN_END || l.kind == TOKEN_BROKEN)
			return false;
	while (!sign(&l, '('));
	if (!between(&l, ret_entries))
		return false;
	if (next(&l) == TOKEN_END)
		return true;
	if (!says(&l, "where"))
		return false;
	*ret_predicate = str_trim(str_n(sql.p + l.at, sql.len - l.at));
	return ret_predicate->len > 0;
}
