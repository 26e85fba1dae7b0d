/*
 * Reading raw SQL as far as that is possible without a database: placeholders, statement ends, and whether the
 * statement can leave state behind in the database session. The last is a proof, not a guess: what is not known to be
 * harmless is not.
 */
#include <stdlib.h>

#include "store/driver/postgres/postgres_lex.h"

#include "service/base/limits.h"

#include "service/base/banned.h"

/* What may stand before a parenthesis without calling a function that could change the session: key words, types, and
 * functions of the server that only compute. Sorted. Shadowing one of them by a function of the same name needs the
 * same rights as a trigger does, which no look at the text could see either. */
static const char *const known[] = {
	"abs",
	"age",
	"all",
	"and",
	"any",
	"array",
	"array_agg",
	"array_append",
	"array_length",
	"array_position",
	"array_remove",
	"array_to_string",
	"as",
	"ascii",
	"avg",
	"between",
	"bit_length",
	"bool_and",
	"bool_or",
	"btrim",
	"by",
	"cardinality",
	"cast",
	"ceil",
	"ceiling",
	"char",
	"char_length",
	"character_length",
	"chr",
	"clock_timestamp",
	"coalesce",
	"concat",
	"concat_ws",
	"conflict",
	"convert_from",
	"convert_to",
	"count",
	"current_database",
	"current_schema",
	"current_setting",
	"current_timestamp",
	"date",
	"date_part",
	"date_trunc",
	"decimal",
	"decode",
	"dense_rank",
	"distinct",
	"div",
	"else",
	"encode",
	"every",
	"except",
	"exists",
	"exp",
	"extract",
	"filter",
	"first_value",
	"floor",
	"format",
	"from",
	"gen_random_uuid",
	"generate_series",
	"greatest",
	"group",
	"having",
	"ilike",
	"in",
	"initcap",
	"intersect",
	"interval",
	"isfinite",
	"join",
	"json_agg",
	"json_array_length",
	"json_build_array",
	"json_build_object",
	"json_object_agg",
	"json_typeof",
	"jsonb_agg",
	"jsonb_array_elements",
	"jsonb_array_elements_text",
	"jsonb_array_length",
	"jsonb_build_array",
	"jsonb_build_object",
	"jsonb_each",
	"jsonb_each_text",
	"jsonb_object_agg",
	"jsonb_object_keys",
	"jsonb_set",
	"jsonb_typeof",
	"justify_days",
	"lag",
	"last_value",
	"lateral",
	"lead",
	"least",
	"left",
	"length",
	"like",
	"limit",
	"ln",
	"log",
	"lower",
	"lpad",
	"ltrim",
	"make_date",
	"make_interval",
	"make_time",
	"make_timestamp",
	"make_timestamptz",
	"materialized",
	"max",
	"md5",
	"min",
	"mod",
	"not",
	"now",
	"ntile",
	"nullif",
	"numeric",
	"octet_length",
	"offset",
	"on",
	"or",
	"over",
	"overlay",
	"partition",
	"percent_rank",
	"percentile_cont",
	"pg_sleep",
	"pg_typeof",
	"position",
	"power",
	"quote_ident",
	"quote_literal",
	"random",
	"rank",
	"regexp_matches",
	"regexp_replace",
	"regexp_split_to_array",
	"repeat",
	"replace",
	"returning",
	"reverse",
	"right",
	"round",
	"row",
	"row_number",
	"row_to_json",
	"rpad",
	"rtrim",
	"select",
	"set",
	"sign",
	"similar",
	"some",
	"split_part",
	"sqrt",
	"starts_with",
	"statement_timestamp",
	"stddev",
	"string_agg",
	"string_to_array",
	"strpos",
	"substr",
	"substring",
	"sum",
	"then",
	"time",
	"timestamp",
	"timestamptz",
	"to_char",
	"to_date",
	"to_json",
	"to_jsonb",
	"to_number",
	"to_timestamp",
	"transaction_timestamp",
	"translate",
	"trim",
	"trunc",
	"union",
	"unnest",
	"upper",
	"using",
	"values",
	"varchar",
	"variance",
	"version",
	"when",
	"where",
	"within",
};

enum token { TOK_END, TOK_WORD, TOK_QUOTED, TOK_OTHER };

struct scan {
	struct str sql;
	size_t pos;
	size_t start;  /* of the token that was read last */
	bool open;     /* a quote or comment has no end */
	size_t param;  /* of a placeholder, else 0 */
	char word[32]; /* TOK_WORD: lower case; "" when longer */
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static char at(const struct scan *s, size_t pos)
{
	return pos < s->sql.len ? s->sql.p[pos] : '\0';
}

/* Past a block comment, which nests. */
static void skip_comment(struct scan *s)
{
	size_t depth = 0;

	while (s->pos < s->sql.len) {
		if (at(s, s->pos) == '/' && at(s, s->pos + 1) == '*') {
			depth++;
			s->pos += 2;
		} else if (at(s, s->pos) == '*' && at(s, s->pos + 1) == '/') {
			s->pos += 2;
			if (--depth == 0)
				return;
		} else {
			s->pos++;
		}
	}
	s->open = true;
}

static void skip_blank(struct scan *s)
{
	while (s->pos < s->sql.len) {
		if (is_space(at(s, s->pos))) {
			s->pos++;
		} else if (at(s, s->pos) == '-' && at(s, s->pos + 1) == '-') {
			while (s->pos < s->sql.len && at(s, s->pos) != '\n' && at(s, s->pos) != '\r')
				s->pos++;
		} else if (at(s, s->pos) == '/' && at(s, s->pos + 1) == '*') {
			skip_comment(s);
		} else {
			return;
		}
	}
}

/* Past a quoted text that starts here; a doubled quote stays inside. */
static void skip_quoted(struct scan *s, bool backslash)
{
	const char quote = at(s, s->pos++);

	while (s->pos < s->sql.len) {
		char c = at(s, s->pos++);

		if (c == '\\' && backslash) {
			s->pos++;
		} else if (c == quote) {
			if (at(s, s->pos) != quote)
				return;
			s->pos++;
		}
	}
	s->open = true;
}

/* Past $tag$...$tag$; false when there is no such quote here. */
static bool skip_dollar(struct scan *s)
{
	size_t end = s->pos + 1;
	size_t len;

	if (is_start(at(s, end)))
		while (is_start(at(s, end)) || is_digit(at(s, end)))
			end++;
	if (at(s, end) != '$')
		return false;
	len = end + 1 - s->pos;
	for (size_t i = end + 1; i + len <= s->sql.len; i++)
		if (memcmp(s->sql.p + i, s->sql.p + s->pos, len) == 0) {
			s->pos = i + len;
			return true;
		}
	s->pos = s->sql.len;
	s->open = true;
	return true;
}

static enum token next_word(struct scan *s)
{
	const size_t start = s->pos;
	size_t len;

	while (is_start(at(s, s->pos)) || is_digit(at(s, s->pos)) || at(s, s->pos) == '$')
		s->pos++;
	len = s->pos - start;
	s->word[0] = '\0';
	if (len < sizeof(s->word)) {
		for (size_t i = 0; i < len; i++) {
			char c = s->sql.p[start + i];

			s->word[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		}
		s->word[len] = '\0';
	}
	if (at(s, s->pos) == '\'') { /* E'..', B'..', N'..': a literal */
		skip_quoted(s, strcmp(s->word, "e") == 0);
		return TOK_OTHER;
	}
	return TOK_WORD;
}

static enum token next(struct scan *s)
{
	char c;

	s->param = 0;
	skip_blank(s);
	s->start = s->pos;
	if (s->pos >= s->sql.len)
		return TOK_END;
	c = at(s, s->pos);
	if (is_start(c))
		return next_word(s);
	if (c == '\'' || c == '"') {
		skip_quoted(s, false);
		return c == '"' ? TOK_QUOTED : TOK_OTHER;
	}
	if (c == '$' && is_digit(at(s, s->pos + 1))) {
		for (s->pos++; is_digit(at(s, s->pos)); s->pos++)
			if (s->param < 1000000)
				s->param = s->param * 10 + (size_t)(at(s, s->pos) - '0');
		return TOK_OTHER;
	}
	if (c == '$' && skip_dollar(s))
		return TOK_OTHER;
	if (is_digit(c)) { /* a number, so that 1e5 is no word */
		while (is_digit(at(s, s->pos)) || is_start(at(s, s->pos)) || at(s, s->pos) == '.')
			s->pos++;
		return TOK_OTHER;
	}
	s->pos++;
	return TOK_OTHER;
}

static int by_word(const void *key, const void *row)
{
	return strcmp(key, *(const char *const *)row);
}

static bool is_known(const char *word)
{
	return bsearch(word, known, ARRAY_LEN(known), sizeof(known[0]), by_word) != NULL;
}

static bool one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, list[i]) == 0)
			return true;
	return false;
}

void pg_sql_scan(struct str sql, struct pg_sql_facts *ret)
{
	static const char *const starts[] = {"select", "insert", "update", "delete", "values", "table", "with"};
	struct scan s = {.sql = sql};
	bool harmless = true, semicolon = false, dotted = false;
	bool table = false; /* the name after INTO, whose parenthesis lists columns */
	enum token before = TOK_END;
	char word[sizeof(s.word)] = "";
	enum token t;

	memset(ret, 0, sizeof(*ret));
	while ((t = next(&s)) != TOK_END) {
		char c = at(&s, s.pos - 1);

		ret->several = ret->several || (semicolon && c != ';');
		if (t == TOK_WORD && ret->first[0] == '\0')
			memcpy(ret->first, s.word, sizeof(ret->first) - 1);
		if (s.param > ret->n_params)
			ret->n_params = s.param;
		if (t == TOK_OTHER && c == ';' && s.param == 0)
			semicolon = true;
		if (t == TOK_OTHER && c == '(' && (before == TOK_WORD || before == TOK_QUOTED) && !table &&
		    (before == TOK_QUOTED || dotted || !is_known(word)))
			harmless = false;
		if (t == TOK_WORD && strcmp(s.word, "into") == 0) {
			harmless = harmless && strcmp(ret->first, "insert") == 0;
			table = true;
		} else if (t == TOK_OTHER) {
			table = table && c == '.';
		} else {
			table = table && (strcmp(word, "into") == 0 || strcmp(word, ".") == 0);
		}
		dotted = (t == TOK_WORD || t == TOK_QUOTED) && before == TOK_OTHER && word[0] == '.';
		if (t == TOK_WORD) {
			memcpy(word, s.word, sizeof(word));
		} else {
			word[0] = c;
			word[1] = '\0';
		}
		before = t;
	}
	ret->complete = !s.open;
	ret->harmless = harmless && ret->complete && !ret->several && one_of(ret->first, starts, ARRAY_LEN(starts));
	ret->reads = ret->harmless && (strcmp(ret->first, "select") == 0 || strcmp(ret->first, "values") == 0 ||
				       strcmp(ret->first, "table") == 0);
}

/* ---- the names in a text ---- */

#define RUN_BYTES 8 /* of operators' characters in a row */

/* Operators that key words stand for: IN, BETWEEN, NULLIF, LIKE, SIMILAR TO, ... */
static const char *const implied[] = {"=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~"};

struct names {
	struct str *list;
	size_t n, max;
	struct arena *arena;
	bool reads; /* nothing in it writes or locks rows */
};

static bool add_name(struct names *names, char kind, struct str text, bool lower)
{
	char *copy = arena_alloc(names->arena, text.len + 2);

	copy[0] = kind;
	for (size_t i = 0; i < text.len; i++) {
		const char c = text.p[i];

		copy[i + 1] = lower && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	const struct str name = str_n(copy, text.len + 1);
	for (size_t i = 0; i < names->n; i++)
		if (str_eq(names->list[i], name))
			return true;
	if (names->n == names->max)
		return false;
	names->list[names->n++] = name;
	return true;
}

/* How the server divides a run of operators' characters is not looked at: any part may be one. */
static bool add_run(struct names *names, struct str run)
{
	bool ok = run.len <= RUN_BYTES;

	for (size_t from = 0; ok && from < run.len; from++)
		for (size_t len = 1; ok && from + len <= run.len; len++)
			ok = add_name(names, PG_NAME_OPERATOR, str_n(run.p + from, len), false);
	return ok;
}

static bool add_word(struct names *names, struct str text)
{
	static const char *const writes[] = {"into", "insert", "update", "delete", "merge", "share"};

	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.p[i] >= 0x80) /* how the server folds it is the locale's */
			return false;
	for (size_t i = 0; i < ARRAY_LEN(writes); i++)
		names->reads = names->reads && !str_ieq_z(text, writes[i]);
	/* UESCAPE: a quoted name may be another than it looks */
	return text.len <= LIMIT_NAME_BYTES && !str_ieq_z(text, "uescape") && add_name(names, PG_NAME_WORD, text, true);
}

static bool has_any(struct str text, const char *set)
{
	for (size_t i = 0; i < text.len; i++)
		if (strchr(set, text.p[i]) != NULL)
			return true;
	return false;
}

/* A quoted name without quotes in it; not U&"...", whose escapes are not read here. */
static bool add_quoted(struct names *names, struct str sql, size_t start, struct str text)
{
	const struct str name = text.len > 2 ? str_n(text.p + 1, text.len - 2) : STR_NONE;

	return name.len > 0 && name.len <= LIMIT_NAME_BYTES && !has_any(name, "\"\\\n") &&
	       (start == 0 || sql.p[start - 1] != '&') && add_name(names, PG_NAME_WORD, name, false);
}

/* A literal, whose end must be the same whatever standard_conforming_strings is; a word before it is its type. */
static bool plain_literal(struct str text)
{
	const char first = (char)(text.p[0] | 0x20);

	if (text.p[0] == '\'' || first == 'n')
		return (text.p[0] == '\'' || (text.len > 1 && text.p[1] == '\'')) && !has_any(text, "\\");
	return text.len > 1 && text.p[1] == '\'' && strchr("ebx", first) != NULL;
}

/* A number that no word is glued to. */
static bool plain_number(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_digit(text.p[i]) && text.p[i] != '.' && (text.p[i] | 0x20) != 'e')
			return false;
	return true;
}

static bool add_other(struct names *names, struct scan *s, struct str *run, struct str text)
{
	const char c = text.p[0];

	if (text.len == 1 && strchr("+-*/<>=~!@#%^&|`?", c) != NULL) {
		if (run->len == 0 || run->p + run->len != text.p) {
			if (!add_run(names, *run))
				return false;
			*run = str_n(text.p, 0);
		}
		run->len++;
		return true;
	}
	if (c == '$' || is_digit(c))
		return s->param > 0 || c == '$' || plain_number(text);
	return text.len == 1 ? (unsigned char)c < 0x80 : plain_literal(text);
}

bool pg_sql_names(struct str sql, struct arena *a, struct strbuf *ret, bool *ret_reads)
{
	struct scan s = {.sql = sql};
	struct str list[PG_NAMES_IN_TEXT], run = STR_NONE;
	struct names names = {.list = list, .max = ARRAY_LEN(list), .arena = a, .reads = true};
	bool ok = true;
	enum token t;

	for (size_t i = 0; i < ARRAY_LEN(implied); i++)
		ok = ok && add_name(&names, PG_NAME_OPERATOR, str_z(implied[i]), false);
	while (ok && (t = next(&s)) != TOK_END) {
		const struct str text = str_n(sql.p + s.start, s.pos - s.start);

		if (t == TOK_WORD)
			ok = add_word(&names, text);
		else if (t == TOK_QUOTED)
			ok = add_quoted(&names, sql, s.start, text);
		else
			ok = add_other(&names, &s, &run, text);
	}
	ok = ok && !s.open && add_run(&names, run);
	for (size_t i = 0; ok && i < names.n; i++) {
		strbuf_put(ret, names.list[i]);
		strbuf_putc(ret, '\n');
	}
	*ret_reads = names.reads;
	return ok && !strbuf_failed(ret);
}
