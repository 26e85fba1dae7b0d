/* See schema_sql_same.h: both texts are brought into one form, token by token. */
#include "store/schema/schema_sql_same.h"

#include <string.h>

#include "service/base/num.h"
#include "service/base/strbuf.h"
#include "store/schema/schema_lex.h"

#include "service/base/banned.h"

#define OPERAND_MAX 128

/* The form in the making: tokens with a blank before each. */
struct form {
	struct strbuf b;
	size_t last; /* where the last token begins */
};

static void put(struct form *f, struct str token)
{
	f->last = f->b.len;
	strbuf_putc(&f->b, ' ');
	strbuf_put(&f->b, token);
}

static void put_lower(struct form *f, struct str token)
{
	f->last = f->b.len;
	strbuf_putc(&f->b, ' ');
	for (size_t i = 0; i < token.len; i++)
		strbuf_putc(&f->b,
			    token.p[i] >= 'A' && token.p[i] <= 'Z' ? (char)(token.p[i] - 'A' + 'a') : token.p[i]);
}

/* Is the last token this word? Then it goes. */
static bool take_back(struct form *f, const char *word)
{
	const struct str all = strbuf_str(&f->b);

	if (all.len == 0 || !str_eq_z(str_n(all.p + f->last + 1, all.len - f->last - 1), word))
		return false;
	strbuf_truncate(&f->b, f->last);
	return true;
}

/* Behind ::, the name of a type, with what belongs to it. */
static void skip_type(struct lexer *l)
{
	const bool zoned = lex_says(l, "timestamp") || lex_says(l, "time");
	const bool two = lex_says(l, "double") || lex_says(l, "character") || lex_says(l, "bit");

	(void)lex_next(l);
	if (two && (lex_says(l, "precision") || lex_says(l, "varying")))
		(void)lex_next(l);
	while (lex_sign(l, '.')) {
		(void)lex_next(l);
		(void)lex_next(l);
	}
	if (lex_sign(l, '(')) {
		while (!lex_sign(l, ')') && l->kind != TOKEN_END && l->kind != TOKEN_BROKEN)
			(void)lex_next(l);
		(void)lex_next(l);
	}
	if (zoned && (lex_says(l, "with") || lex_says(l, "without"))) {
		(void)lex_next(l);
		(void)lex_next(l);
		(void)lex_next(l);
	}
	while (lex_sign(l, '[') || lex_sign(l, ']'))
		(void)lex_next(l);
}

/* '-1' is -1 to PostgreSQL. */
static void put_text(struct form *f, struct str token)
{
	const bool quoted = token.len > 2 && token.p[0] == '\'' && token.p[token.len - 1] == '\'';
	const struct str inner = quoted ? str_n(token.p + 1, token.len - 2) : token;
	double ignored;

	put(f, quoted && inner.p[0] == '-' && num_parse_double(inner, &ignored) ? inner : token);
}

static void put_name(struct form *f, struct str token)
{
	const bool quoted = token.len > 2 && (token.p[0] == '"' || token.p[0] == '`' || token.p[0] == '[');

	if (quoted)
		put(f, str_n(token.p + 1, token.len - 2));
	else
		put(f, token);
}

/* The operand of BETWEEN stands once more before its upper bound. */
static void put_word(struct form *f, const struct lexer *l, char *operand, size_t *operand_len)
{
	const struct str all = strbuf_str(&f->b);

	if (lex_says(l, "array"))
		return;
	if (lex_says(l, "any") && take_back(f, "=")) {
		put(f, STR("in"));
		return;
	}
	if (lex_says(l, "between") && all.len > f->last && all.len - f->last - 1 < OPERAND_MAX) {
		*operand_len = all.len - f->last - 1;
		memcpy(operand, all.p + f->last + 1, *operand_len);
		put(f, STR(">="));
		return;
	}
	if (lex_says(l, "and") && *operand_len > 0) {
		put(f, STR("and"));
		put(f, str_n(operand, *operand_len));
		put(f, STR("<="));
		*operand_len = 0;
		return;
	}
	put_lower(f, l->text);
}

/* Signs of one operator. */
static void put_operator(struct form *f, struct lexer *l)
{
	char sign[16];
	size_t n = 0;
	struct str s;

	do
		sign[n++] = l->text.p[0];
	while (lex_next(l) == TOKEN_SIGN && n < sizeof(sign) && strchr("+-*/<>=~!@#%^&|", l->text.p[0]) != NULL &&
	       l->text.p == l->s.p + l->at - 1 && l->text.p[-1] == sign[n - 1]);
	s = str_n(sign, n);
	if (str_eq_z(s, "!="))
		s = STR("<>");
	if (str_eq_z(s, "~~"))
		s = STR("like");
	if (str_eq_z(s, "!~~"))
		s = STR("not like");
	if (str_eq_z(s, "~~*"))
		s = STR("ilike");
	put(f, s);
}

static void bring(enum dialect_id d, struct str s, struct form *f)
{
	struct lexer l = {.d = d, .s = s};
	char operand[OPERAND_MAX];
	size_t operand_len = 0;

	(void)lex_next(&l);
	while (l.kind != TOKEN_END && l.kind != TOKEN_BROKEN) {
		if (lex_sign(&l, '(') || lex_sign(&l, ')') || lex_sign(&l, '[') || lex_sign(&l, ']')) {
			(void)lex_next(&l);
		} else if (lex_sign(&l, ':')) {
			(void)lex_next(&l);
			(void)lex_next(&l);
			skip_type(&l);
		} else if (l.kind == TOKEN_SIGN && strchr("+-*/<>=~!@#%^&|", l.text.p[0]) != NULL) {
			put_operator(f, &l);
		} else {
			if (l.kind == TOKEN_WORD)
				put_word(f, &l, operand, &operand_len);
			else if (l.kind == TOKEN_TEXT)
				put_text(f, l.text);
			else
				put_name(f, l.text);
			(void)lex_next(&l);
		}
	}
	if (l.kind == TOKEN_BROKEN) /* as it is, then */
		put(f, s);
}

bool schema_sql_same(enum dialect_id d, struct str x, struct str y)
{
	struct form one = {0}, other = {0};
	bool same;

	if (x.p == NULL || y.p == NULL)
		return x.p == NULL && y.p == NULL;
	strbuf_init(&one.b, 0);
	strbuf_init(&other.b, 0);
	bring(d, x, &one);
	bring(d, y, &other);
	same = str_eq(strbuf_str(&one.b), strbuf_str(&other.b));
	strbuf_done(&one.b);
	strbuf_done(&other.b);
	return same;
}
