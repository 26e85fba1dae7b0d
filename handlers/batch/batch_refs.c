/*
 * {"$ref": "name.rows.0.id"}: references of batch steps to the bodies of earlier ones. One stands for a whole value: of
 * a step's member, a column, an argument, an operand. Below such a value is the client's own document, where "$ref" is
 * a word like any other; {"$json": X} says so of a whole value.
 */
#include "handlers/batch/batch.h"

#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

/* What stands somewhere in a step. */
enum place {
	STRUCTURE, /* of the step or its query: members below are structure too, but for those of the table */
	VALUES,    /* an object or array of values: a record, arguments */
	RECORDS,   /* an array of records */
	KEY,       /* a value, or an array of them */
	OPERANDS,  /* an object of operands: `set` */
	OPERAND,   /* a value, perhaps typed or an expression over others */
	LIST,      /* an operand that may be an array of operands */
	VALUE,
	DOCUMENT /* the client's own: not looked into */
};

static enum place member_place(const char *key)
{
	static const struct {
		const char *key;
		enum place place;
	} rows[] = {
		{"args", VALUES}, {"record", VALUES}, {"records", RECORDS}, {"set", OPERANDS},
		{"pk", KEY},      {"value", OPERAND}, {"values", LIST},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(key, rows[i].key) == 0)
			return rows[i].place;
	return STRUCTURE;
}

/* Operators whose value is a list rather than a document. */
static bool takes_list(const json_t *node)
{
	static const char *const words[] = {"in",          "not in",  "not_in",  "between", "not between",
					    "not_between", "has_any", "has_all", "overlap", "any"};
	const json_t *operator= json_object_get(node, "operator");

	for (size_t i = 0; json_is_string(operator) && i < ARRAY_LEN(words); i++)
		if (str_ieq_z(json_str(operator), words[i]))
			return true;
	return false;
}

/* {"$add": X} and its like; what says how a value is written is none. */
static bool is_expression(const json_t *v)
{
	static const char *const forms[] = {"$json", "$bytes", "$text", "$ref"};
	const char *key;

	if (json_object_size(v) != 1)
		return false;
	key = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)v));
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (strcmp(key, forms[i]) == 0)
			return false;
	return key[0] == '$';
}

static bool is_typed(const json_t *v)
{
	return json_object_size(v) == 2 && json_is_string(json_object_get(v, "kind")) &&
	       json_object_get(v, "value") != NULL;
}

/* Of what stands below v, which stands at `at`: of its member `key`, or (NULL) of its elements. */
static enum place below(const json_t *v, enum place at, const char *key)
{
	switch (at) {
	case STRUCTURE:
		if (key == NULL)
			return STRUCTURE;
		return strcmp(key, "value") == 0 && takes_list(v) ? LIST : member_place(key);
	case VALUES:
		return VALUE;
	case RECORDS:
		return key == NULL ? VALUES : DOCUMENT;
	case KEY:
		return key == NULL ? VALUE : DOCUMENT;
	case OPERANDS:
		return OPERAND;
	case LIST:
		if (key == NULL)
			return OPERAND;
		return is_expression(v) || (is_typed(v) && strcmp(key, "value") == 0) ? LIST : DOCUMENT;
	case OPERAND:
		if (key != NULL && is_expression(v))
			return LIST;
		return key != NULL && is_typed(v) && strcmp(key, "value") == 0 ? OPERAND : DOCUMENT;
	case VALUE:
	case DOCUMENT:
		break;
	}
	return DOCUMENT;
}

/* Whether v, at that place, is a reference; its text, STR_NONE for one that is no string. */
static bool reference(const json_t *v, enum place at, struct str *ret)
{
	const json_t *ref = json_object_size(v) == 1 && at != DOCUMENT ? json_object_get(v, "$ref") : NULL;

	*ret = json_is_string(ref) ? json_str(ref) : STR_NONE;
	return ref != NULL;
}

/* Depth is bounded by the parser (LIMIT_JSON_DEPTH). */
static bool each_ref(const json_t *v, enum place at, bool (*fn)(void *arg, struct str ref), void *arg)
{
	struct str ref;
	const char *key;
	json_t *member;

	if (reference(v, at, &ref))
		return fn(arg, ref);
	if (at == DOCUMENT)
		return true;
	for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++)
		if (!each_ref(json_array_get(v, i), below(v, at, NULL), fn, arg))
			return false;
	json_object_foreach((json_t *)(uintptr_t)v, key, member)
	{
		if (!each_ref(member, below(v, at, key), fn, arg))
			return false;
	}
	return true;
}

bool batch_each_ref(const json_t *step, bool (*fn)(void *arg, struct str ref), void *arg)
{
	return each_ref(step, STRUCTURE, fn, arg);
}

json_t *batch_walk(json_t *v, struct str path)
{
	struct str part;
	while (v != NULL && str_split(&path, '.', &part)) {
		int64_t index;
		if (json_is_array(v))
			v = num_parse_int(part, &index) && index >= 0 ? json_array_get(v, (size_t)index) : NULL;
		else
			v = json_object_getn(v, part.p, part.len);
	}
	return v;
}

struct resolver {
	struct arena *arena;
	json_t *(*find)(void *arg, struct str ref);
	void *arg;
	struct err *err;
};

static json_t *resolve(const struct resolver *r, const json_t *v, enum place at, const char *pointer);

static json_t *resolve_array(const struct resolver *r, const json_t *v, enum place at, const char *pointer)
{
	json_t *copy = json_array();
	for (size_t i = 0; copy != NULL && i < json_array_size(v); i++) {
		json_t *item =
			resolve(r, json_array_get(v, i), below(v, at, NULL), json_pointer_index(r->arena, pointer, i));
		if (item == NULL || json_array_append_new(copy, item) != 0) {
			json_decref(copy);
			return NULL;
		}
	}
	if (copy == NULL)
		err_oom(r->err);
	return copy;
}

static json_t *resolve_object(const struct resolver *r, const json_t *v, enum place at, const char *pointer)
{
	json_t *copy = json_object();
	const char *key;
	size_t len;
	json_t *member;
	if (copy == NULL) {
		err_oom(r->err);
		return NULL;
	}
	json_object_keylen_foreach((json_t *)(uintptr_t)v, key, len, member)
	{
		json_t *item =
			resolve(r, member, below(v, at, key), json_pointer_key(r->arena, pointer, str_n(key, len)));
		if (item == NULL || json_object_setn_new(copy, key, len, item) != 0) {
			json_decref(copy);
			return NULL;
		}
	}
	return copy;
}

static json_t *resolve(const struct resolver *r, const json_t *v, enum place at, const char *pointer)
{
	struct str ref;

	if (reference(v, at, &ref)) {
		json_t *found = r->find(r->arg, ref);
		if (found != NULL)
			return json_dup(r->arena, found);
		err_set_at(r->err, ERR_INVALID_VALUE, pointer, "the reference \"%.*s\" leads to nothing",
			   (int)(ref.len < 100 ? ref.len : 100), ref.p);
		return NULL;
	}
	if (json_is_array(v) && at != DOCUMENT)
		return resolve_array(r, v, at, pointer);
	if (json_is_object(v) && at != DOCUMENT)
		return resolve_object(r, v, at, pointer);
	return json_dup(r->arena, v);
}

json_t *batch_resolve(struct arena *a, const json_t *step, json_t *(*find)(void *arg, struct str ref), void *arg,
		      struct err *err)
{
	const struct resolver r = {.arena = a, .find = find, .arg = arg, .err = err};

	return resolve(&r, step, STRUCTURE, "");
}
