/* A recursive-descent reader of the few shapes that literals and membership checks have in catalogs. */
#include "store/migrate/live_literal.h"

#include <string.h>

#include "service/base/num.h"
#include "store/schema/schema_lex.h"
#include "store/schema/schema_tree_type.h"

#include "service/base/banned.h"

#define MAX_DEPTH 16
#define MAX_VALUES 10000

struct cursor_at {
	struct str s;
	size_t at;
	size_t n_casts; /* of the operand that was read last */
};

static void blank(struct cursor_at *c)
{
	while (c->at < c->s.len && strchr(" \t\r\n", c->s.p[c->at]) != NULL)
		c->at++;
}

static bool eat(struct cursor_at *c, const char *sign)
{
	const size_t n = strlen(sign);

	blank(c);
	if (c->s.len - c->at < n || memcmp(c->s.p + c->at, sign, n) != 0)
		return false;
	c->at += n;
	return true;
}

static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
	       (unsigned char)c >= 0x80;
}

/* A bare word; empty when there is none. */
static struct str word(struct cursor_at *c)
{
	size_t from;

	blank(c);
	from = c->at;
	while (c->at < c->s.len && word_char(c->s.p[c->at]))
		c->at++;
	return str_n(c->s.p + from, c->at - from);
}

static bool keyword(struct cursor_at *c, const char *z)
{
	const size_t from = c->at;

	if (str_ieq_z(word(c), z))
		return true;
	c->at = from;
	return false;
}

/* From an opening quote past the closing one. */
static bool quoted(struct cursor_at *c, char open, char end, struct str *ret)
{
	size_t from, i;

	blank(c);
	from = c->at;
	if (from >= c->s.len || c->s.p[from] != open)
		return false;
	for (i = from + 1; i < c->s.len; i++) {
		if (c->s.p[i] != end)
			continue;
		if (end != ']' && i + 1 < c->s.len && c->s.p[i + 1] == end) {
			i++;
			continue;
		}
		c->at = i + 1;
		*ret = str_n(c->s.p + from, c->at - from);
		return true;
	}
	return false;
}

/* Does a cast to the type leave what it is given as it is, but for its type? */
static bool keeps(struct str type)
{
	static const char *const types[] = {"text", "character varying", "character varying[]", "text[]"};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq_z(type, types[i]))
			return true;
	return false;
}

/* character varying(N) with room for so many bytes. */
static bool has_room(struct str type, size_t bytes)
{
	struct str head, rest = type;
	int64_t n;

	(void)str_split(&rest, '(', &head);
	return str_eq_z(head, "character varying") && rest.len > 1 && num_parse_int(str_n(rest.p, rest.len - 1), &n) &&
	       n >= 0 && (uint64_t)n >= bytes;
}

/* ::type, any number of them: the first one names the type of a literal of so many bytes, more must leave it as it is.
 * False: what stands there is no type, or changes the value. */
static bool casts(struct cursor_at *c, size_t bytes)
{
	struct lexer l = {.d = DIALECT_POSTGRES, .s = c->s};
	struct arena a;
	bool ok = true;

	arena_init(&a);
	for (; ok && eat(c, "::"); c->n_casts++) {
		struct str type;

		l.at = c->at;
		(void)lex_next(&l);
		type = tree_type(&a, &l);
		ok = type.p != NULL && l.kind != TOKEN_BROKEN &&
		     (keeps(type) || has_room(type, bytes) ||
		      (c->n_casts == 0 && memchr(type.p, '(', type.len) == NULL));
		c->at = l.kind == TOKEN_END ? c->s.len : (size_t)(l.text.p - c->s.p);
	}
	arena_done(&a);
	return ok;
}

static bool number(struct cursor_at *c, struct literal *ret)
{
	size_t from, digits = 0;

	blank(c);
	from = c->at;
	if (c->at < c->s.len && (c->s.p[c->at] == '-' || c->s.p[c->at] == '+'))
		c->at++;
	for (; c->at < c->s.len; c->at++) {
		const char ch = c->s.p[c->at];
		const bool exponent_sign =
			(ch == '-' || ch == '+') && (c->s.p[c->at - 1] == 'e' || c->s.p[c->at - 1] == 'E');

		if (ch >= '0' && ch <= '9')
			digits++;
		else if (!(digits > 0 && (ch == 'e' || ch == 'E' || exponent_sign)) && ch != '.')
			break;
	}
	*ret = (struct literal){LITERAL_NUMBER, str_n(c->s.p + from, c->at - from)};
	if (digits > 0 && (c->at >= c->s.len || !word_char(c->s.p[c->at]))) {
		if (ret->text.p[0] == '+')
			ret->text = str_n(ret->text.p + 1, ret->text.len - 1);
		return true;
	}
	c->at = from;
	return false;
}

static size_t bytes_of(const struct literal *l)
{
	size_t n = l->text.len;

	if (l->kind != LITERAL_TEXT)
		return n;
	for (size_t i = 1; i + 2 < l->text.len; i++)
		if (l->text.p[i] == '\'' && l->text.p[i + 1] == '\'') {
			n--;
			i++;
		}
	return n - 2;
}

static bool literal(struct cursor_at *c, int depth, struct literal *ret)
{
	struct str text;

	if (depth > MAX_DEPTH)
		return false;
	c->n_casts = 0;
	if (eat(c, "(")) {
		if (!literal(c, depth + 1, ret) || !eat(c, ")"))
			return false;
	} else if (quoted(c, '\'', '\'', &text)) {
		*ret = (struct literal){LITERAL_TEXT, text};
	} else if (keyword(c, "true")) {
		*ret = (struct literal){LITERAL_BOOL, STR("true")};
	} else if (keyword(c, "false")) {
		*ret = (struct literal){LITERAL_BOOL, STR("false")};
	} else if (keyword(c, "null")) {
		*ret = (struct literal){LITERAL_NULL, STR("null")};
	} else if (!number(c, ret)) {
		return false;
	}
	return casts(c, bytes_of(ret));
}

static bool at_end(struct cursor_at *c)
{
	blank(c);
	return c->at == c->s.len;
}

bool literal_read(struct str expression, struct literal *ret)
{
	struct cursor_at c = {.s = expression};

	return literal(&c, 0, ret) && at_end(&c);
}

/* Without the quotes around it, and with those doubled inside made one. */
static struct str unquote(struct arena *a, struct str s)
{
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 1; i + 1 < s.len; i++) {
		out[n++] = s.p[i];
		if (s.p[0] != '[' && s.p[i] == s.p[0])
			i++;
	}
	return str_n(out, n);
}

struct str literal_text(struct arena *a, const struct literal *l)
{
	return l->kind == LITERAL_TEXT ? unquote(a, l->text) : arena_str(a, l->text);
}

static bool column(struct arena *a, struct cursor_at *c, int depth, struct str *ret)
{
	struct str text;

	if (depth > MAX_DEPTH)
		return false;
	c->n_casts = 0;
	if (eat(c, "(")) {
		if (!column(a, c, depth + 1, ret) || !eat(c, ")"))
			return false;
	} else if (quoted(c, '"', '"', &text) || quoted(c, '`', '`', &text) || quoted(c, '[', ']', &text)) {
		*ret = unquote(a, text);
	} else {
		*ret = arena_str(a, word(c));
		if (ret->len == 0)
			return false;
	}
	return casts(c, SIZE_MAX);
}

static bool add_value(struct arena *a, struct cursor_at *c, struct literal_check *out)
{
	struct literal l;

	if (!literal(c, 0, &l) || l.kind == LITERAL_NULL || out->n_values == MAX_VALUES)
		return false;
	if ((out->n_values & (out->n_values - 1)) == 0) {
		struct literal *more = arena_array(a, out->n_values == 0 ? 1 : 2 * out->n_values, sizeof(*more));

		if (out->n_values > 0)
			memcpy(more, out->values, out->n_values * sizeof(*more));
		out->values = more;
	}
	l.text = arena_str(a, l.text);
	out->values[out->n_values++] = l;
	return true;
}

static bool list(struct arena *a, struct cursor_at *c, const char *end, struct literal_check *out)
{
	do
		if (!add_value(a, c, out))
			return false;
	while (eat(c, ","));
	return eat(c, end);
}

static bool array(struct arena *a, struct cursor_at *c, int depth, struct literal_check *out)
{
	if (depth > MAX_DEPTH)
		return false;
	if (keyword(c, "array")) {
		if (!eat(c, "[") || !list(a, c, "]", out))
			return false;
	} else if (!eat(c, "(") || !array(a, c, depth + 1, out) || !eat(c, ")")) {
		return false;
	}
	c->n_casts = 0;
	return casts(c, SIZE_MAX);
}

static bool membership(struct arena *a, struct cursor_at *c, int depth, struct literal_check *out)
{
	const size_t from = c->at;

	if (depth > MAX_DEPTH)
		return false;
	*out = (struct literal_check){0};
	if (column(a, c, 0, &out->column)) {
		if (keyword(c, "in"))
			return eat(c, "(") && list(a, c, ")", out);
		if (eat(c, "=")) {
			(void)eat(c, "="); /* SQLite's other spelling */
			return keyword(c, "any") ? array(a, c, 0, out) : add_value(a, c, out);
		}
	}
	c->at = from;
	return eat(c, "(") && membership(a, c, depth + 1, out) && eat(c, ")");
}

bool literal_check_read(struct arena *a, struct str expression, struct literal_check *ret)
{
	struct cursor_at c = {.s = expression};

	return membership(a, &c, 0, ret) && at_end(&c);
}
