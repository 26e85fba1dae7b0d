/* What is an expression, and what is not. */
#include "store/query/query_words.h"

#include <string.h>

#include "service/base/limits.h"

#include "service/base/banned.h"

static const struct expr_word words[] = {
	{"$add", EXPR_ADD, 2, LIMIT_EXPR_ARGS, CODEC_ARITHMETIC, "numbers"},
	{"$sub", EXPR_SUB, 2, 2, CODEC_ARITHMETIC, "numbers"},
	{"$mul", EXPR_MUL, 2, LIMIT_EXPR_ARGS, CODEC_ARITHMETIC, "numbers"},
	{"$div", EXPR_DIV, 2, 2, CODEC_ARITHMETIC, "numbers"},
	{"$concat", EXPR_CONCAT, 2, LIMIT_EXPR_ARGS, CODEC_CONCAT, "free text"},
	{"$coalesce", EXPR_COALESCE, 1, LIMIT_EXPR_ARGS, 0, NULL},
	{"$lower", EXPR_LOWER, 1, 1, CODEC_LIKE, "text"},
	{"$upper", EXPR_UPPER, 1, 1, CODEC_LIKE, "text"},
	{"$length", EXPR_LENGTH, 1, 1, CODEC_LIKE, "text"},
	{"$append", EXPR_APPEND, 2, 2, 0, NULL},
	{"$remove", EXPR_REMOVE, 2, 2, 0, NULL},
	{"$merge", EXPR_MERGE, 2, 2, 0, NULL},
	{"$now", EXPR_NOW, 0, 0, 0, NULL},
	{"$case", EXPR_CASE, 0, 0, 0, NULL},
	{"$set_path", EXPR_SET_PATH, 0, 0, 0, NULL},
	{"$remove_path", EXPR_REMOVE_PATH, 0, 0, 0, NULL},
	{"$column", EXPR_COLUMN, 0, 0, 0, NULL},
	{"$given", EXPR_GIVEN, 0, 0, 0, NULL},
};

const struct expr_word *query_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i].word, word) == 0)
			return &words[i];
	return NULL;
}

const struct expr_word *query_word_of_kind(struct str kind)
{
	const struct expr_word *w = words;

	while (!str_eq_z(kind, w->word + 1))
		w++;
	return w;
}

static const char *first_key(const json_t *v)
{
	return json_object_iter_key(json_object_iter((json_t *)(uintptr_t)v));
}

/* ---- the reference's ---- */

static const char *const no_members[] = {NULL}, *const literal[] = {"value", NULL}, *const column[] = {"column", NULL},
			 *const two[] = {"left", "right", NULL};
static const struct {
	const char *kind;
	const char *const *members; /* beside "kind", all of which it has */
} kinds[] = {
	{"literal", literal}, {"column", column}, {"add", two}, {"sub", two}, {"merge", two}, {"now", no_members},
};

static bool is_listed(const char *const *members, const char *key)
{
	for (size_t i = 0; members[i] != NULL; i++)
		if (strcmp(members[i], key) == 0)
			return true;
	return false;
}

/* Has it all the members of its kind? *ret_member: one more, NULL: it has no other. */
static bool reads_as(const json_t *v, const char *const *members, const char **ret_member)
{
	const char *key;
	const json_t *ignored;

	for (size_t i = 0; members[i] != NULL; i++)
		if (json_object_get(v, members[i]) == NULL)
			return false;
	*ret_member = NULL;
	json_object_foreach((json_t *)(uintptr_t)v, key, ignored)
	{
		if (*ret_member == NULL && strcmp(key, "kind") != 0 && !is_listed(members, key))
			*ret_member = key;
	}
	return true;
}

/* A type that is no scalar and no document has objects of its own, whose members may have any name. */
static bool has_objects(const struct column *hint)
{
	return hint != NULL && hint->shape != SHAPE_PLAIN;
}

static enum expr_form reference_form(const json_t *v, const struct column *hint, const char **ret_member)
{
	const json_t *kind = json_object_get(v, "kind");

	for (size_t i = 0; json_is_string(kind) && i < ARRAY_LEN(kinds); i++) {
		if (!str_eq_z(json_str(kind), kinds[i].kind) || !reads_as(v, kinds[i].members, ret_member))
			continue;
		if (*ret_member == NULL)
			return FORM_REFERENCE;
		return has_objects(hint) ? FORM_VALUE : FORM_FAULT;
	}
	/* {"kind": "int", "value": 1}, where no document can be meant */
	if (json_is_string(kind) && query_is_value_kind(json_str(kind)) && hint != NULL && hint->logical != LT_JSON &&
	    !has_objects(hint) && reads_as(v, literal, ret_member) && *ret_member != NULL)
		return FORM_FAULT;
	return FORM_VALUE;
}

/* ---- ours ---- */

/* {"$json": X} and its like say how a value is written. */
static bool is_tag(const char *key)
{
	static const char *const tags[] = {"$json", "$bytes", "$text", "$number", NULL};

	return is_listed(tags, key);
}

static enum expr_form lone_form(const json_t *v)
{
	const char *key = first_key(v);

	if (key[0] != '$' || (is_tag(key) && strcmp(key, "$number") != 0) || codec_is_infinite(v))
		return FORM_VALUE;
	return FORM_WORD;
}

/* Of several members: one that is no expression's where another is a word; where no document can be meant, any that
 * would be one. */
static enum expr_form several_form(const json_t *v, const struct column *hint, const char **ret_member)
{
	const bool document = (hint != NULL && hint->logical == LT_JSON) || has_objects(hint);
	const char *key, *other = NULL, *would = NULL;
	const json_t *ignored;
	bool is_word = false;

	json_object_foreach((json_t *)(uintptr_t)v, key, ignored)
	{
		const bool here = query_word(key) != NULL;

		if (!here || is_word)
			other = other != NULL ? other : key;
		is_word |= here;
		if (!here && !document && key[0] == '$' && !is_tag(key))
			would = would != NULL ? would : key;
	}
	*ret_member = is_word ? other : would;
	return *ret_member != NULL ? FORM_FAULT : FORM_VALUE;
}

enum expr_form query_expr_form(const json_t *v, const struct column *hint, const char **ret_member)
{
	enum expr_form form;

	if (!json_is_object(v) || json_object_size(v) == 0)
		return FORM_VALUE;
	if (json_object_get(v, "$column") != NULL)
		return FORM_WORD;
	form = reference_form(v, hint, ret_member);
	if (form != FORM_VALUE)
		return form;
	return json_object_size(v) == 1 ? lone_form(v) : several_form(v, hint, ret_member);
}
