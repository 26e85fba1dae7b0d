/* The tokens of SQL expressions and types, see schema_sql.h. */
#include "store/schema/schema_sql.h"

#include <string.h>

#include "store/schema/schema_lex.h"

#include "service/base/banned.h"

#define DEPTH_MAX 100

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

	for (; lex_next(&l) != TOKEN_END; n++) {
		if (l.kind == TOKEN_BROKEN)
			return fault(l.wrong, ret_why);
		if (lex_sign(&l, ';'))
			return fault("it is more than one expression", ret_why);
		if (lex_sign(&l, ',') && depth == 0)
			return fault("it is more than one expression", ret_why);
		if (lex_sign(&l, '(') || lex_sign(&l, '[')) {
			if (depth == DEPTH_MAX)
				return fault("it is nested too deeply", ret_why);
			open[depth++] = l.text.p[0];
		} else if (lex_sign(&l, ')') || lex_sign(&l, ']')) {
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
		if (lex_says(l, words[i]))
			return true;
	return false;
}

/* The token is "("; numbers and words between commas up to ")". */
static bool arguments(struct lexer *l)
{
	size_t n = 0;

	for (;; n++) {
		(void)lex_next(l);
		if (lex_sign(l, '-') || lex_sign(l, '+'))
			(void)lex_next(l);
		if (l->kind != TOKEN_NUMBER && l->kind != TOKEN_WORD && l->kind != TOKEN_NAME)
			return false;
		(void)lex_next(l);
		if (lex_sign(l, ')'))
			break;
		if (!lex_sign(l, ','))
			return false;
	}
	(void)lex_next(l);
	return true;
}

/* [] and [3], any number of them. */
static bool brackets(struct lexer *l)
{
	while (lex_sign(l, '[')) {
		if (lex_next(l) == TOKEN_NUMBER)
			(void)lex_next(l);
		if (!lex_sign(l, ']'))
			return false;
		(void)lex_next(l);
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
			(void)lex_next(l);
		} else if (any && lex_sign(l, '.')) {
			(void)lex_next(l);
			if (l->kind != TOKEN_NAME && l->kind != TOKEN_WORD)
				return false;
		} else if (any && lex_sign(l, '(')) {
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

	(void)lex_next(&l);
	return type_name(&l) && l.kind == TOKEN_END;
}

/* ---- what anybody may give --------------------------------------------------------------------------- */

/* Casts behind a literal: ::type, any number of them. */
static bool casts(struct lexer *l)
{
	while (lex_sign(l, ':')) {
		(void)lex_next(l);
		if (!lex_sign(l, ':'))
			return false;
		(void)lex_next(l);
		if (!type_name(l))
			return false;
	}
	return true;
}

static bool is_literal(struct lexer *l)
{
	static const char *const words[] = {"true", "false", "null"};
	bool found = l->kind == TOKEN_TEXT;

	if (lex_sign(l, '-') || lex_sign(l, '+')) {
		(void)lex_next(l);
		found = l->kind == TOKEN_NUMBER;
	}
	found = found || l->kind == TOKEN_NUMBER;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		found = found || lex_says(l, words[i]);
	if (found)
		(void)lex_next(l);
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
		found = found || lex_says(l, words[i]);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		call = call || lex_says(l, calls[i]);
	if (!found && !call)
		return false;
	(void)lex_next(l);
	if (!lex_sign(l, '('))
		return found;
	if (lex_next(l) == TOKEN_NUMBER && found)
		(void)lex_next(l);
	if (!lex_sign(l, ')'))
		return false;
	(void)lex_next(l);
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
	if (!lex_says(l, "nextval"))
		return false;
	(void)lex_next(l);
	if (!lex_sign(l, '(') || lex_next(l) != TOKEN_TEXT || l->text.p[0] != '\'' ||
	    !own_sequence(l->text, table, column))
		return false;
	(void)lex_next(l);
	if (!casts(l) || !lex_sign(l, ')'))
		return false;
	(void)lex_next(l);
	return true;
}

bool schema_sql_harmless(struct str s, struct str table, struct str column)
{
	struct lexer l = {.d = DIALECT_POSTGRES, .s = str_trim(s)};

	while (l.s.len >= 2 && l.s.p[0] == '(' && l.s.p[l.s.len - 1] == ')')
		l.s = str_trim(str_n(l.s.p + 1, l.s.len - 2));
	(void)lex_next(&l);
	return (is_literal(&l) || is_current(&l) || is_nextval(&l, table, column)) && casts(&l) && l.kind == TOKEN_END;
}

bool schema_sql_literal(struct str s)
{
	struct lexer l = {.d = DIALECT_POSTGRES, .s = schema_sql_bare(DIALECT_POSTGRES, s)};

	(void)lex_next(&l);
	if (is_literal(&l))
		return casts(&l) && l.kind == TOKEN_END;
	if (l.kind != TOKEN_WORD || lex_next(&l) != TOKEN_TEXT)
		return false;
	(void)lex_next(&l);
	return casts(&l) && l.kind == TOKEN_END;
}

bool schema_sql_serial(struct str s, struct str table, struct str column)
{
	struct lexer l = {.d = DIALECT_POSTGRES, .s = str_trim(s)};

	(void)lex_next(&l);
	return is_nextval(&l, table, column) && l.kind == TOKEN_END;
}

/* Past the parentheses whose opening one the token is; what is between them. */
static bool between(struct lexer *l, struct str *ret)
{
	const size_t from = l->at;
	size_t depth = 1;

	while (depth > 0) {
		const enum token t = lex_next(l);

		if (t == TOKEN_END || t == TOKEN_BROKEN)
			return false;
		depth += lex_sign(l, '(');
		depth -= lex_sign(l, ')');
	}
	*ret = str_trim(str_n(l->s.p + from, (size_t)(l->text.p - l->s.p) - from));
	return true;
}

bool schema_sql_index(struct str sql, struct str *ret_entries, struct str *ret_predicate)
{
	struct lexer l = {.d = DIALECT_SQLITE, .s = sql};

	*ret_predicate = STR_NONE;
	do
		if (lex_next(&l) == TOKEN_END || l.kind == TOKEN_BROKEN)
			return false;
	while (!lex_sign(&l, '('));
	if (!between(&l, ret_entries))
		return false;
	if (lex_next(&l) == TOKEN_END)
		return true;
	if (!lex_says(&l, "where"))
		return false;
	*ret_predicate = str_trim(str_n(sql.p + l.at, sql.len - l.at));
	return ret_predicate->len > 0;
}

bool schema_sql_operator(struct str s)
{
	static const char signs[] = "+-*/<>=~!@#%^&|`?";

	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == '\0' || strchr(signs, s.p[i]) == NULL ||
		    (i > 0 && ((s.p[i - 1] == '-' && s.p[i] == '-') || (s.p[i - 1] == '/' && s.p[i] == '*'))))
			return false;
	return s.len > 0;
}

bool schema_sql_entry(enum dialect_id d, struct str *rest, struct str *ret)
{
	struct lexer l = {.d = d, .s = *rest};
	size_t depth = 0;

	while (lex_next(&l) != TOKEN_END && l.kind != TOKEN_BROKEN) {
		depth += lex_sign(&l, '(') || lex_sign(&l, '[');
		depth -= depth > 0 && (lex_sign(&l, ')') || lex_sign(&l, ']'));
		if (depth == 0 && lex_sign(&l, ','))
			break;
	}
	if (l.kind == TOKEN_BROKEN)
		return false;
	*ret = str_trim(str_n(rest->p, l.kind == TOKEN_END ? rest->len : (size_t)(l.text.p - rest->p)));
	*rest = str_n(rest->p + l.at, rest->len - l.at);
	return ret->len > 0;
}

/* The last token that is a word, and what stands before it. */
static struct str last_word(enum dialect_id d, struct str s, struct str *ret_before)
{
	struct lexer l = {.d = d, .s = s};
	struct str last = STR_NONE;

	while (lex_next(&l) != TOKEN_END && l.kind != TOKEN_BROKEN)
		last = l.kind == TOKEN_WORD || l.kind == TOKEN_NAME ? l.text : STR_NONE;
	if (last.p != NULL)
		*ret_before = str_trim(str_n(s.p, (size_t)(last.p - s.p)));
	return last;
}

struct str schema_sql_entry_expression(enum dialect_id d, struct str entry)
{
	struct str before = STR_NONE, word = last_word(d, entry, &before);

	if (str_ieq_z(word, "asc") || str_ieq_z(word, "desc")) {
		entry = before;
		word = last_word(d, entry, &before);
	}
	if (word.p != NULL && before.len > 0) {
		struct str head = STR_NONE;

		if (str_ieq_z(last_word(d, before, &head), "collate"))
			entry = head;
	}
	return schema_sql_bare(d, entry);
}

struct str schema_sql_bare(enum dialect_id d, struct str s)
{
	for (;;) {
		struct lexer l = {.d = d, .s = str_trim(s)};
		struct str inner;

		(void)lex_next(&l);
		if (!lex_sign(&l, '(') || !between(&l, &inner) || lex_next(&l) != TOKEN_END)
			return str_trim(s);
		s = inner;
	}
}
