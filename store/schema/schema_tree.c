/* See schema_tree.h. A reader by precedence, one token ahead. */
#include "store/schema/schema_tree.h"

#include <string.h>

#include "store/schema/schema_lex.h"
#include "store/schema/schema_tree_form.h"
#include "store/schema/schema_tree_type.h"

#include "service/base/banned.h"

#define DEPTH_MAX TREE_DEPTH_MAX

struct reader {
	struct arena *a;
	struct lexer l;
	unsigned depth;
	bool failed;
};

/* How strong operators bind; by the databases' documentation. */
enum { NOTHING, OR, AND, NOT, IS, COMPARES, MATCHES, OTHER, ADDS, MULTIPLIES, RAISES, AT, COLLATES, SIGNS };

static struct tree *expression(struct reader *r, int above);

static struct tree *fail(struct reader *r)
{
	struct tree *t = arena_alloc(r->a, sizeof(*t));

	*t = (struct tree){0};
	r->failed = true;
	return t;
}

static bool says(struct reader *r, const char *word)
{
	return lex_says(&r->l, word);
}

static bool take_word(struct reader *r, const char *word)
{
	const bool is = says(r, word);

	if (is)
		(void)lex_next(&r->l);
	return is;
}

static bool take_sign(struct reader *r, char c)
{
	const bool is = lex_sign(&r->l, c);

	if (is)
		(void)lex_next(&r->l);
	return is;
}

static void expect_sign(struct reader *r, char c)
{
	if (!take_sign(r, c))
		r->failed = true;
}

static void expect_word(struct reader *r, const char *word)
{
	if (!take_word(r, word))
		r->failed = true;
}

static struct str lower(struct reader *r, struct str s)
{
	char *p = arena_alloc(r->a, s.len + 1);

	for (size_t i = 0; i < s.len; i++)
		p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i];
	return str_n(p, s.len);
}

/* A name as the database knows it. */
static struct str name_of(struct reader *r)
{
	struct str s = r->l.text;

	if (r->l.kind == TOKEN_WORD)
		return lower(r, s);
	if (s.len < 2 || s.p[0] == 'U' || s.p[0] == 'u')
		return s;
	s = tree_unquote(r->a, str_n(s.p + 1, s.len - 2), s.p[s.len - 1] == ']' ? '\0' : s.p[0]);
	return r->l.d == DIALECT_SQLITE ? lower(r, s) : s;
}

/* ---- what stands for itself ---- */

/* The word that stands between two arguments; NULL: none does. */
static const char *separating(struct reader *r)
{
	static const char *const words[] = {"distinct", "from", "for",     "using",   "placing",
					    "all",      "both", "leading", "trailing"};
	const size_t n = r->l.d == DIALECT_POSTGRES ? ARRAY_LEN(words) : 1;

	for (size_t i = 0; i < n; i++)
		if (says(r, words[i]))
			return words[i];
	return NULL;
}

/* Expressions with commas between them, to the sign that ends them; the opening one is taken. Words of the standard's
 * own (extract(year FROM d), trim(BOTH FROM s)) are kept as they are. */
static void list(struct reader *r, struct tree *t, char end)
{
	bool goes_on = true;

	while (!r->failed && goes_on && !lex_sign(&r->l, end)) {
		const char *word = separating(r);

		if (word != NULL || lex_sign(&r->l, '*')) {
			tree_add(t, tree_leaf(r->a, TREE_WORD, word != NULL ? str_z(word) : STR("*")));
			(void)lex_next(&r->l);
			continue;
		}
		tree_add(t, expression(r, NOTHING));
		goes_on = take_sign(r, ',') ? !lex_sign(&r->l, end) : separating(r) != NULL;
	}
	expect_sign(r, end);
}

static struct tree *case_of(struct reader *r)
{
	struct tree *t = tree_leaf(r->a, TREE_OP, STR("case"));

	if (!says(r, "when"))
		tree_add(t, tree_op(r->a, "of", expression(r, NOTHING), NULL));
	while (!r->failed && take_word(r, "when")) {
		struct tree *when = expression(r, NOTHING);

		expect_word(r, "then");
		tree_add(t, tree_op(r->a, "when", when, expression(r, NOTHING)));
	}
	if (take_word(r, "else")) {
		struct tree *other = expression(r, NOTHING);

		/* PostgreSQL writes it where it was left out */
		if (!tree_is_null(other))
			tree_add(t, tree_op(r->a, "else", other, NULL));
	}
	expect_word(r, "end");
	return t;
}

static struct tree *cast(struct reader *r, struct tree *of, struct str type)
{
	struct tree *t;

	r->failed |= type.p == NULL;
	t = r->l.d == DIALECT_POSTGRES ? tree_without_cast(r->a, of, type) : NULL;
	return t != NULL ? t : tree_node(r->a, TREE_CAST, type, of, NULL);
}

static struct tree *cast_of(struct reader *r)
{
	struct tree *of;

	expect_sign(r, '(');
	of = expression(r, NOTHING);
	expect_word(r, "as");
	of = cast(r, of, tree_type(r->a, &r->l));
	expect_sign(r, ')');
	return of;
}

/* The rest of a name of which the first part was read. */
static struct str dotted(struct reader *r, struct str name)
{
	while (!r->failed && take_sign(r, '.')) {
		const bool implied = str_eq_z(name, "pg_catalog") && r->l.d == DIALECT_POSTGRES;

		r->failed |= r->l.kind != TOKEN_WORD && r->l.kind != TOKEN_NAME;
		name = implied ? name_of(r) : arena_printf(r->a, "%.*s.%.*s", STR_FMT(name), STR_FMT(name_of(r)));
		(void)lex_next(&r->l);
	}
	return name;
}

/* position(a IN b) */
static void place_of(struct reader *r, struct tree *call)
{
	tree_add(call, expression(r, MATCHES));
	if (take_word(r, "in"))
		tree_add(call, expression(r, NOTHING));
	expect_sign(r, ')');
}

/* A name, with others before it; what follows says what it is of. */
static struct tree *named(struct reader *r)
{
	static const char *const values[] = {"null",
					     "true",
					     "false",
					     "current_date",
					     "current_time",
					     "current_timestamp",
					     "localtime",
					     "localtimestamp",
					     "current_user",
					     "session_user",
					     "user",
					     "current_role",
					     "current_catalog",
					     "current_schema"};
	const bool bare = r->l.kind == TOKEN_WORD;
	struct str name = name_of(r);

	(void)lex_next(&r->l);
	if (bare && r->l.kind == TOKEN_TEXT && r->l.d == DIALECT_POSTGRES) { /* date '2026-01-01' */
		struct tree *text = tree_literal(r->a, r->l.d, r->l.text);

		(void)lex_next(&r->l);
		return cast(r, text, tree_type_word(name));
	}
	name = dotted(r, name);
	if (lex_sign(&r->l, '(')) {
		struct tree *call = tree_leaf(r->a, TREE_CALL, name);

		(void)lex_next(&r->l);
		if (r->l.d == DIALECT_POSTGRES && str_eq_z(name, "position"))
			place_of(r, call);
		else
			list(r, call, ')');
		if (r->l.d == DIALECT_POSTGRES && str_eq_z(name, "trim"))
			tree_trim(r->a, call);
		return call;
	}
	for (size_t i = 0; bare && i < ARRAY_LEN(values); i++)
		if (str_eq_z(name, values[i]))
			return tree_leaf(r->a, TREE_WORD, name);
	return tree_leaf(r->a, TREE_NAME, name);
}

static struct tree *in_parentheses(struct reader *r)
{
	struct tree *t = tree_leaf(r->a, TREE_OP, STR("row"));

	list(r, t, ')');
	if (t->first == NULL || r->failed)
		return fail(r);
	return t->first->next == NULL ? t->first : t;
}

static struct tree *primary(struct reader *r)
{
	struct tree *t;

	if (take_sign(r, '('))
		return in_parentheses(r);
	if (r->l.kind == TOKEN_NUMBER) {
		t = tree_leaf(r->a, TREE_NUMBER, lower(r, r->l.text));
		(void)lex_next(&r->l);
		return t;
	}
	if (r->l.kind == TOKEN_TEXT) {
		t = tree_literal(r->a, r->l.d, r->l.text);
		(void)lex_next(&r->l);
		return t;
	}
	if (take_word(r, "case"))
		return case_of(r);
	if (take_word(r, "cast"))
		return cast_of(r);
	if (r->l.d == DIALECT_POSTGRES && take_word(r, "array")) {
		t = tree_leaf(r->a, TREE_OP, STR("array"));
		expect_sign(r, '[');
		list(r, t, ']');
		return t;
	}
	if (says(r, "select") || says(r, "exists") || says(r, "with"))
		return fail(r);
	return r->l.kind == TOKEN_WORD || r->l.kind == TOKEN_NAME ? named(r) : fail(r);
}

/* ---- what stands behind ---- */

/* The signs of one operator, in `z`; the reader stands on its first. */
static void operator_of(struct reader *r, char *z, size_t size)
{
	const char *p = r->l.text.p;
	const size_t n = lex_operator(&r->l);

	r->failed |= n == 0 || n >= size;
	for (size_t i = 0; !r->failed && i < n; i++) {
		z[i] = p[i];
		(void)lex_next(&r->l);
	}
	z[r->failed ? 0 : n] = '\0';
}

static int strength(enum dialect_id d, const char *z)
{
	if (strcmp(z, "=") == 0 || strcmp(z, "<>") == 0 || strcmp(z, "!=") == 0 || strcmp(z, "==") == 0)
		return d == DIALECT_POSTGRES ? COMPARES : IS;
	if (strcmp(z, "<") == 0 || strcmp(z, ">") == 0 || strcmp(z, "<=") == 0 || strcmp(z, ">=") == 0)
		return COMPARES;
	if (strcmp(z, "+") == 0 || strcmp(z, "-") == 0)
		return ADDS;
	if (strcmp(z, "*") == 0 || strcmp(z, "/") == 0 || strcmp(z, "%") == 0)
		return MULTIPLIES;
	if (d == DIALECT_SQLITE && (strcmp(z, "||") == 0 || z[0] == '-'))
		return RAISES;
	if (d == DIALECT_POSTGRES && strcmp(z, "^") == 0)
		return RAISES;
	return OTHER;
}

static struct tree *compare(struct reader *r, struct tree *x, const char *z, int above)
{
	const bool any = says(r, "any") || says(r, "some"), all = says(r, "all");
	struct tree *y;

	if (r->l.d == DIALECT_POSTGRES && (any || all)) {
		(void)lex_next(&r->l);
		expect_sign(r, '(');
		y = expression(r, NOTHING);
		expect_sign(r, ')');
		while (y->kind == TREE_CAST)
			y = y->first;
		if (y->kind == TREE_OP && str_eq_z(y->text, "array") && y->first != NULL &&
		    strcmp(z, any ? "=" : "<>") == 0)
			return tree_among(r->a, r->l.d, x, y, all);
		y = tree_op(r->a, any ? "any" : "all", y, NULL);
	} else {
		y = expression(r, above);
	}
	return tree_compare(r->a, r->l.d, str_z(z), x, y);
}

/* SQLite has LIKE and its kin beside =. */
static int matches(const struct reader *r)
{
	return r->l.d == DIALECT_POSTGRES ? MATCHES : IS;
}

static struct tree *between(struct reader *r, struct tree *x, bool negated)
{
	struct tree *low = expression(r, matches(r)), *high;

	expect_word(r, "and");
	high = expression(r, matches(r));
	if (negated)
		return tree_joined(r->a, "or", tree_op(r->a, "<", x, low),
				   tree_op(r->a, ">", tree_again(r->a, x), high));
	return tree_joined(r->a, "and", tree_op(r->a, ">=", x, low), tree_op(r->a, "<=", tree_again(r->a, x), high));
}

/* PostgreSQL knows it as a regular expression. */
static struct tree *similar(struct reader *r, struct tree *x, bool negated)
{
	struct tree *pattern;

	expect_word(r, "to");
	pattern = tree_node(r->a, TREE_CALL, STR("similar_to_escape"), expression(r, MATCHES), NULL);
	if (take_word(r, "escape"))
		tree_add(pattern, expression(r, MATCHES));
	return tree_op(r->a, negated ? "!~" : "~", x, pattern);
}

/* LIKE and its kin, with or without NOT before them; NULL: none of them. */
static struct tree *matching(struct reader *r, struct tree *x, bool negated)
{
	static const char *const words[] = {"like", "ilike", "glob", "regexp", "match"};
	struct tree *t;

	if (take_word(r, "between"))
		return between(r, x, negated);
	if (r->l.d == DIALECT_POSTGRES && take_word(r, "similar"))
		return similar(r, x, negated);
	if (take_word(r, "in")) {
		struct tree *set = tree_leaf(r->a, TREE_OP, STR("set"));

		expect_sign(r, '(');
		list(r, set, ')');
		return tree_among(r->a, r->l.d, x, set, negated);
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (take_word(r, words[i])) {
			t = tree_op(r->a, arena_printf(r->a, "%s%s", negated ? "not " : "", words[i]).p, x,
				    expression(r, matches(r)));
			if (take_word(r, "escape"))
				tree_add(t, expression(r, matches(r)));
			return t;
		}
	return NULL;
}

static struct tree *is(struct reader *r, struct tree *x)
{
	const bool negated = take_word(r, "not"), binary = r->l.d == DIALECT_SQLITE;

	if (!binary && take_word(r, "null"))
		return tree_op(r->a, negated ? "is not null" : "is null", x, NULL);
	if (take_word(r, "distinct")) {
		expect_word(r, "from");
		return tree_op(r->a, negated ? "is not distinct" : "is distinct", x, expression(r, IS));
	}
	struct tree *y = expression(r, IS);
	/* to SQLite x IS NULL & y is x IS (NULL & y) */
	if (binary && y != NULL && y->kind == TREE_WORD && str_eq_z(y->text, "null"))
		return tree_op(r->a, negated ? "is not null" : "is null", x, NULL);
	return tree_op(r->a, negated ? "is not" : "is", x, y);
}

/* NOT NULL of SQLite, NOT LIKE, NOT IN. */
static struct tree *not_what(struct reader *r, struct tree *x)
{
	struct tree *t;

	(void)lex_next(&r->l);
	if (r->l.d == DIALECT_SQLITE && take_word(r, "null"))
		return tree_op(r->a, "is not null", x, NULL);
	t = matching(r, x, true);
	return t != NULL ? t : fail(r);
}

static struct tree *by_word(struct reader *r, struct tree *x, int above, bool *ret_more)
{
	struct tree *t;

	*ret_more = true;
	if (above < OR && take_word(r, "or"))
		return tree_joined(r->a, "or", x, expression(r, OR));
	if (above < AND && take_word(r, "and"))
		return tree_joined(r->a, "and", x, expression(r, AND));
	if (above < IS && take_word(r, "is"))
		return is(r, x);
	if (above < IS && take_word(r, "isnull"))
		return tree_op(r->a, "is null", x, NULL);
	if (above < IS && take_word(r, "notnull"))
		return tree_op(r->a, "is not null", x, NULL);
	if (above < matches(r) && says(r, "not"))
		return not_what(r, x);
	if (above < matches(r) && (t = matching(r, x, false)) != NULL)
		return t;
	if (above < AT && r->l.d == DIALECT_POSTGRES && take_word(r, "at")) {
		expect_word(r, "time");
		expect_word(r, "zone");
		return tree_op(r->a, "at time zone", x, expression(r, AT));
	}
	if (above < COLLATES && take_word(r, "collate")) {
		t = tree_leaf(r->a, TREE_NAME, name_of(r));
		(void)lex_next(&r->l);
		t->text = dotted(r, t->text);
		return tree_op(r->a, "collate", x, t);
	}
	*ret_more = false;
	return x;
}

/* ::type, [i] and .field bind strongest. */
static struct tree *close_by(struct reader *r, struct tree *x)
{
	while (!r->failed && r->l.d == DIALECT_POSTGRES) {
		if (take_sign(r, ':')) {
			expect_sign(r, ':');
			x = cast(r, x, tree_type(r->a, &r->l));
		} else if (take_sign(r, '[')) {
			x = tree_op(r->a, "element", x, expression(r, NOTHING));
			expect_sign(r, ']');
		} else if (take_sign(r, '.')) {
			x = tree_op(r->a, "field", x, tree_leaf(r->a, TREE_NAME, name_of(r)));
			(void)lex_next(&r->l);
		} else {
			break;
		}
	}
	return x;
}

static struct tree *before(struct reader *r)
{
	char z[16];
	struct tree *x;

	if (take_word(r, "not"))
		return tree_op(r->a, "not", expression(r, NOT), NULL);
	if (r->l.kind != TOKEN_SIGN || strchr("+-~@!|", r->l.text.p[0]) == NULL)
		return close_by(r, primary(r));
	operator_of(r, z, sizeof(z));
	x = expression(r, z[0] == '-' || z[0] == '+' || r->l.d == DIALECT_SQLITE ? SIGNS : OTHER);
	if (strcmp(z, "-") == 0 && x->kind == TREE_NUMBER && x->text.len > 0 && x->text.p[0] != '-')
		return tree_leaf(r->a, TREE_NUMBER, arena_printf(r->a, "-%.*s", STR_FMT(x->text)));
	if (strcmp(z, "+") == 0 && x->kind == TREE_NUMBER)
		return x;
	return tree_node(r->a, TREE_OP, arena_printf(r->a, "sign %s", z), x, NULL);
}

static struct tree *expression(struct reader *r, int above)
{
	struct tree *x;
	bool more = true;

	if (++r->depth > DEPTH_MAX || r->failed) {
		r->depth--;
		return fail(r);
	}
	x = before(r);
	while (more && !r->failed) {
		if (r->l.kind == TOKEN_WORD) {
			x = by_word(r, x, above, &more);
		} else if (lex_operator(&r->l) > 0) {
			const struct lexer at = r->l;
			char z[16];

			operator_of(r, z, sizeof(z));
			more = strength(r->l.d, z) > above;
			if (more)
				x = compare(r, x, z, strength(r->l.d, z));
			else
				r->l = at;
		} else {
			more = false;
		}
	}
	r->depth--;
	return x;
}

struct tree *tree_read(struct arena *a, enum dialect_id d, struct str sql)
{
	struct reader r = {.a = a, .l = {.d = d, .s = sql}};
	struct tree *t;

	(void)lex_next(&r.l);
	t = expression(&r, NOTHING);
	return r.failed || r.l.kind != TOKEN_END || t->depth > DEPTH_MAX ? NULL : t;
}
