/* See schema_tree_form.h. */
#include "store/schema/schema_tree_form.h"

#include "service/base/banned.h"

struct tree *tree_leaf(struct arena *a, enum tree_kind kind, struct str text)
{
	struct tree *t = arena_alloc(a, sizeof(*t));

	*t = (struct tree){.kind = kind, .text = text};
	return t;
}

void tree_add(struct tree *t, struct tree *below)
{
	if (t->last != NULL)
		t->last->next = below;
	else
		t->first = below;
	t->last = below;
	if (below->depth + 1 > t->depth)
		t->depth = below->depth + 1;
}

struct tree *tree_node(struct arena *a, enum tree_kind kind, struct str text, struct tree *one, struct tree *two)
{
	struct tree *t = tree_leaf(a, kind, text);

	tree_add(t, one);
	if (two != NULL)
		tree_add(t, two);
	return t;
}

struct tree *tree_op(struct arena *a, const char *z, struct tree *one, struct tree *two)
{
	return tree_node(a, TREE_OP, str_z(z), one, two);
}

struct tree *tree_again(struct arena *a, const struct tree *t)
{
	struct tree *copy = arena_alloc(a, sizeof(*copy));

	*copy = *t;
	copy->next = NULL;
	return copy;
}

/* Moves what is below `from` below t. */
static void move(struct tree *t, struct tree *from)
{
	struct tree *next;

	for (struct tree *each = from->first; each != NULL; each = next) {
		next = each->next;
		each->next = NULL;
		tree_add(t, each);
	}
}

struct tree *tree_joined(struct arena *a, const char *z, struct tree *x, struct tree *y)
{
	struct tree *t = tree_leaf(a, TREE_OP, str_z(z)), *const both[] = {x, y};

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		if (both[i]->kind == TREE_OP && str_eq_z(both[i]->text, z))
			move(t, both[i]);
		else
			tree_add(t, both[i]);
	}
	return t;
}

static bool names_column(const struct tree *t)
{
	if (t->kind == TREE_NAME || t->depth > TREE_DEPTH_MAX)
		return true;
	for (t = t->first; t != NULL; t = t->next)
		if (names_column(t))
			return true;
	return false;
}

struct tree *tree_among(struct arena *a, enum dialect_id d, struct tree *x, struct tree *set, bool negated)
{
	const bool apart = d == DIALECT_POSTGRES;
	struct tree *all = tree_leaf(a, TREE_OP, STR("set")), *t = NULL;
	size_t n = 0;

	for (const struct tree *each = set->first; each != NULL; each = each->next)
		n += !apart || !names_column(each);
	for (const struct tree *each = set->first; n > 1 && each != NULL; each = each->next)
		if (!apart || !names_column(each))
			tree_add(all, tree_again(a, each));
	if (n > 1 || set->first == NULL)
		t = tree_op(a, negated ? "not in" : "in", tree_again(a, x), all);
	for (const struct tree *each = set->first; each != NULL; each = each->next) {
		struct tree *one;

		if (n > 1 && (!apart || !names_column(each)))
			continue;
		one = tree_op(a, negated ? "<>" : "=", tree_again(a, x), tree_again(a, each));
		t = t != NULL ? tree_joined(a, negated ? "and" : "or", t, one) : one;
	}
	return t;
}

/* (a, b) = (1, 2); NULL: it is none such. */
static struct tree *by_column(struct arena *a, struct str z, const struct tree *x, const struct tree *y)
{
	const bool negated = str_eq_z(z, "<>");
	struct tree *t = NULL;

	if ((!negated && !str_eq_z(z, "=")) || x->kind != TREE_OP || y->kind != TREE_OP || !str_eq_z(x->text, "row") ||
	    !str_eq_z(y->text, "row"))
		return NULL;
	for (x = x->first, y = y->first; x != NULL && y != NULL; x = x->next, y = y->next) {
		struct tree *one = tree_node(a, TREE_OP, z, tree_again(a, x), tree_again(a, y));

		t = t != NULL ? tree_joined(a, negated ? "or" : "and", t, one) : one;
	}
	return x == y ? t : NULL;
}

struct tree *tree_compare(struct arena *a, enum dialect_id d, struct str z, struct tree *x, struct tree *y)
{
	static const char *const same[][2] = {{"!=", "<>"},        {"==", "="},      {"~~", "like"},
					      {"!~~", "not like"}, {"~~*", "ilike"}, {"!~~*", "not ilike"}};
	struct tree *t;

	z = arena_str(a, z);
	for (size_t i = 0; i < (d == DIALECT_POSTGRES ? ARRAY_LEN(same) : 2); i++)
		if (str_eq_z(z, same[i][0]))
			z = str_z(same[i][1]);
	t = d == DIALECT_POSTGRES ? by_column(a, z, x, y) : NULL;
	return t != NULL ? t : tree_node(a, TREE_OP, z, x, y);
}

void tree_trim(struct arena *a, struct tree *call)
{
	struct tree all = *call;
	bool from = false;

	if (all.first == NULL || all.first->kind == TREE_WORD)
		return;
	for (const struct tree *t = all.first; t != NULL; t = t->next)
		from |= t->kind == TREE_WORD && str_eq_z(t->text, "from");
	if (!from && all.first->next != NULL)
		return;
	*call = (struct tree){.kind = TREE_CALL, .text = all.text};
	tree_add(call, tree_leaf(a, TREE_WORD, STR("both")));
	if (!from)
		tree_add(call, tree_leaf(a, TREE_WORD, STR("from")));
	move(call, &all);
}
