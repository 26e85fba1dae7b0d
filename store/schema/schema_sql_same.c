/* See schema_sql_same.h: both texts are read into trees (schema_tree.h), which are compared. */
#include "store/schema/schema_sql_same.h"

#include "store/schema/schema_instant.h"
#include "store/schema/schema_lex.h"
#include "store/schema/schema_tree.h"
#include "store/schema/schema_tree_type.h"

#include "service/base/banned.h"

static bool same_text(const struct tree *x, const struct tree *y)
{
	if (str_eq(x->text, y->text))
		return true;
	if (x->kind != TREE_TEXT)
		return false;
	if (x->of_interval || y->of_interval)
		return interval_same(x->text, y->text);
	return (x->of_time || y->of_time) && instant_same(x->text, y->text);
}

static bool same_tree(const struct tree *x, const struct tree *y)
{
	if (x->kind != y->kind || !same_text(x, y))
		return false;
	for (x = x->first, y = y->first; x != NULL && y != NULL; x = x->next, y = y->next)
		if (!same_tree(x, y))
			return false;
	return x == NULL && y == NULL;
}

static bool same_tokens(enum dialect_id d, struct str x, struct str y)
{
	struct lexer one = {.d = d, .s = x}, other = {.d = d, .s = y};

	do {
		(void)lex_next(&one);
		(void)lex_next(&other);
		if (one.kind == TOKEN_BROKEN || other.kind == TOKEN_BROKEN)
			return str_eq(x, y);
		if (one.kind != other.kind ||
		    !(one.kind == TOKEN_WORD ? str_ieq(one.text, other.text) : str_eq(one.text, other.text)))
			return false;
	} while (one.kind != TOKEN_END);
	return true;
}

bool schema_sql_same(enum dialect_id d, struct str x, struct str y)
{
	const struct tree *one, *other;
	struct arena a;
	bool same;

	if (x.p == NULL || y.p == NULL)
		return x.p == NULL && y.p == NULL;
	if (str_eq(x, y))
		return true;
	arena_init(&a);
	one = tree_read(&a, d, x);
	other = tree_read(&a, d, y);
	same = one != NULL && other != NULL ? same_tree(one, other) : same_tokens(d, x, y);
	arena_done(&a);
	return same;
}

static bool is_null(enum dialect_id d, struct str x)
{
	const struct tree *t;
	struct arena a;
	bool is;

	if (x.p == NULL)
		return true;
	arena_init(&a);
	t = tree_read(&a, d, x);
	is = t != NULL && tree_is_null(t);
	arena_done(&a);
	return is;
}

bool schema_sql_same_default(enum dialect_id d, struct str x, struct str y)
{
	if (x.p == NULL || y.p == NULL)
		return is_null(d, x) && is_null(d, y);
	return schema_sql_same(d, x, y);
}
