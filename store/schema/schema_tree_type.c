/* See schema_tree_type.h. */
#include "store/schema/schema_tree_type.h"

#include <string.h>

#include "service/base/num.h"
#include "service/base/strbuf.h"

#include "service/base/banned.h"

struct str tree_unquote(struct arena *a, struct str s, char quote)
{
	char *p = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		p[n++] = s.p[i];
		if (quote != '\0' && s.p[i] == quote && i + 1 < s.len && s.p[i + 1] == quote)
			i++;
	}
	return str_n(p, n);
}

/* What is behind a backslash in E''; '\0': more than one letter is to be read. */
static char escaped(char c)
{
	static const char letters[] = "bfnrt", values[] = "\b\f\n\r\t";
	const char *at = strchr(letters, c);

	if (c == '\0' || c == 'x' || c == 'u' || c == 'U' || (c >= '0' && c <= '7'))
		return '\0';
	return at != NULL ? values[at - letters] : c;
}

/* False: it has escapes that are not read here. */
static bool unescape(struct arena *a, struct str s, struct str *ret)
{
	char *p = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		p[n] = s.p[i];
		if (s.p[i] == '\\') {
			p[n] = i + 1 < s.len ? escaped(s.p[i + 1]) : '\0';
			i++;
			if (p[n] == '\0')
				return false;
		} else if (s.p[i] == '\'' && i + 1 < s.len && s.p[i + 1] == '\'') {
			i++;
		}
		n++;
	}
	*ret = str_n(p, n);
	return true;
}

static struct str without_dollars(struct str s)
{
	const char *end = memchr(s.p + 1, '$', s.len - 1);
	const size_t n = end != NULL ? (size_t)(end - s.p) + 1 : 0;

	return 2 * n <= s.len ? str_n(s.p + n, s.len - 2 * n) : s;
}

struct tree *tree_literal(struct arena *a, enum dialect_id d, struct str s)
{
	struct tree *t = arena_alloc(a, sizeof(*t));
	const char first = s.p[0];

	*t = (struct tree){.kind = TREE_TEXT};
	if (first == '\'' && s.len >= 2) {
		t->text = tree_unquote(a, str_n(s.p + 1, s.len - 2), '\'');
	} else if (first == '$') {
		t->text = without_dollars(s);
	} else if ((first == 'N' || first == 'n') && s.len >= 3) {
		t->text = tree_unquote(a, str_n(s.p + 2, s.len - 3), '\'');
	} else if (d != DIALECT_POSTGRES || (first != 'E' && first != 'e') || s.len < 3 ||
		   !unescape(a, str_n(s.p + 2, s.len - 3), &t->text)) {
		char *p = arena_alloc(a, s.len + 1);

		/* bits and bytes; letters are digits in them */
		for (size_t i = 0; i < s.len; i++)
			p[i] = (first == 'X' || first == 'x' || first == 'B' || first == 'b') && s.p[i] >= 'A' &&
					       s.p[i] <= 'Z'
				       ? (char)(s.p[i] - 'A' + 'a')
				       : s.p[i];
		*t = (struct tree){.kind = TREE_OTHER, .text = str_n(p, s.len)};
	}
	return t;
}

bool tree_is_null(const struct tree *t)
{
	return t->kind == TREE_WORD && str_eq_z(t->text, "null");
}

/* ---- types ---- */

struct str tree_type_word(struct str name)
{
	static const char *const same[][2] = {
		{"int", "integer"},
		{"int4", "integer"},
		{"int8", "bigint"},
		{"int2", "smallint"},
		{"float8", "double precision"},
		{"float", "double precision"},
		{"float4", "real"},
		{"bool", "boolean"},
		{"decimal", "numeric"},
		{"dec", "numeric"},
		{"varchar", "character varying"},
		{"char", "character"},
		{"bpchar", "character"},
		{"timestamptz", "timestamp with time zone"},
		{"timetz", "time with time zone"},
	};

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (str_ieq_z(name, same[i][0]))
			return str_z(same[i][1]);
	return name;
}

static bool take(struct lexer *l, const char *word)
{
	const bool is = lex_says(l, word);

	if (is)
		(void)lex_next(l);
	return is;
}

static void put_lower(struct strbuf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		strbuf_putc(b, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i]);
}

/* Its words; false: it has none. */
static bool put_words(struct strbuf *b, struct lexer *l)
{
	const struct lexer first = *l;
	bool quoted = l->kind == TOKEN_NAME;

	if (l->kind != TOKEN_WORD && l->kind != TOKEN_NAME)
		return false;
	(void)lex_next(l);
	if (!quoted && l->d == DIALECT_POSTGRES && lex_sign(l, '.') && str_ieq_z(first.text, "pg_catalog")) {
		(void)lex_next(l);
		return put_words(b, l);
	}
	if (lex_says(&first, "double") && take(l, "precision")) {
		strbuf_puts(b, "double precision");
	} else if ((lex_says(&first, "character") || lex_says(&first, "char") || lex_says(&first, "bit")) &&
		   take(l, "varying")) {
		strbuf_puts(b, lex_says(&first, "bit") ? "bit varying" : "character varying");
	} else if (quoted) {
		strbuf_put(b, first.text);
	} else {
		put_lower(b, tree_type_word(first.text));
	}
	while (lex_sign(l, '.')) {
		strbuf_putc(b, '.');
		if (lex_next(l) != TOKEN_WORD && l->kind != TOKEN_NAME)
			return false;
		put_lower(b, l->text);
		(void)lex_next(l);
	}
	return true;
}

static bool put_modifier(struct strbuf *b, struct lexer *l)
{
	if (!lex_sign(l, '('))
		return true;
	do {
		put_lower(b, l->text);
		(void)lex_next(l);
		if (l->kind == TOKEN_END || l->kind == TOKEN_BROKEN || lex_sign(l, '('))
			return false;
	} while (!lex_sign(l, ')'));
	strbuf_putc(b, ')');
	(void)lex_next(l);
	return true;
}

static bool put_zone(struct strbuf *b, struct lexer *l)
{
	const bool with = lex_says(l, "with"), without = lex_says(l, "without");

	if (!with && !without)
		return true;
	(void)lex_next(l);
	if (!take(l, "time") || !take(l, "zone"))
		return false;
	if (with)
		strbuf_puts(b, " with time zone");
	return true;
}

static bool put_type(struct strbuf *b, struct lexer *l)
{
	if (!put_words(b, l) || !put_modifier(b, l) || !put_zone(b, l))
		return false;
	while (l->d == DIALECT_POSTGRES && lex_sign(l, '[')) {
		if (lex_next(l) == TOKEN_NUMBER)
			(void)lex_next(l);
		if (!lex_sign(l, ']'))
			return false;
		(void)lex_next(l);
		strbuf_puts(b, "[]");
	}
	return true;
}

struct str tree_type(struct arena *a, struct lexer *l)
{
	struct strbuf b;
	struct str type = STR_NONE;

	strbuf_init(&b, 0);
	/* SQLite's may be of any words, or of none */
	if (l->d == DIALECT_SQLITE)
		for (; l->kind == TOKEN_WORD || l->kind == TOKEN_NAME; (void)lex_next(l)) {
			put_lower(&b, l->text);
			strbuf_putc(&b, ' ');
		}
	if (l->d == DIALECT_SQLITE ? put_modifier(&b, l) : put_type(&b, l))
		type = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return type;
}

static bool one_of(struct str type, const char *const *types, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_z(type, types[i]))
			return true;
	return false;
}

static bool is_number_type(struct str type)
{
	static const char *const types[] = {"smallint", "integer", "bigint", "numeric", "real", "double precision"};

	return one_of(type, types, ARRAY_LEN(types));
}

/* It is written where a value of a lesser type is used as one of these. */
static bool is_wider(struct str type)
{
	static const char *const types[] = {"text",
					    "character varying",
					    "character",
					    "numeric",
					    "double precision",
					    "bigint",
					    "timestamp",
					    "timestamp with time zone",
					    "text[]",
					    "character varying[]"};

	return one_of(type, types, ARRAY_LEN(types));
}

static struct tree *literal_of(struct arena *a, struct tree *of, struct str type)
{
	struct tree *t = arena_alloc(a, sizeof(*t));
	double ignored;

	*t = *of;
	t->was_cast = true;
	t->of_time = type.len >= 4 && memcmp(type.p, "time", 4) == 0;
	t->of_interval = str_eq_z(type, "interval");
	if (memchr(type.p, '(', type.len) != NULL || (of->was_cast && !is_wider(type)))
		return NULL;
	if (of->kind == TREE_NUMBER)
		return is_number_type(type) ? t : NULL;
	if (of->kind == TREE_WORD && !tree_is_null(of))
		return str_eq_z(type, "boolean") ? t : NULL;
	if (of->kind == TREE_TEXT && is_number_type(type) && num_parse_double(of->text, &ignored))
		t->kind = TREE_NUMBER;
	if (of->kind == TREE_TEXT && str_eq_z(type, "boolean") &&
	    (str_eq_z(of->text, "true") || str_eq_z(of->text, "false")))
		t->kind = TREE_WORD;
	return t;
}

struct tree *tree_without_cast(struct arena *a, struct tree *of, struct str type)
{
	if (type.p == NULL)
		return NULL;
	if (of->kind == TREE_TEXT || of->kind == TREE_NUMBER || tree_is_null(of) ||
	    (of->kind == TREE_WORD && (str_eq_z(of->text, "true") || str_eq_z(of->text, "false"))))
		return literal_of(a, of, type);
	/* to character it is cut of its blanks, and never written unasked */
	return is_wider(type) && !str_eq_z(type, "character") ? of : NULL;
}
