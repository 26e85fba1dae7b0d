/* {"$ref": "name.rows.0.id"}: references of batch steps to the bodies of earlier ones. */
#include "handlers/batch/batch.h"

#include "service/base/num.h"

#include "service/base/banned.h"

/* The reference's text; STR_NONE when v is no reference. */
static struct str reference(const json_t *v)
{
	if (!json_is_object(v) || json_object_size(v) != 1)
		return STR_NONE;
	const json_t *ref = json_object_get(v, "$ref");
	return json_is_string(ref) ? json_str(ref) : STR_NONE;
}

/* Depth is bounded by the parser (LIMIT_JSON_DEPTH). */
bool batch_each_ref(const json_t *v, bool (*fn)(void *arg, struct str ref), void *arg)
{
	struct str ref = reference(v);
	if (ref.p != NULL)
		return fn(arg, ref);
	if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++) {
			if (!batch_each_ref(json_array_get(v, i), fn, arg))
				return false;
		}
	} else if (json_is_object(v)) {
		const char *key;
		json_t *member;
		json_object_foreach((json_t *)(uintptr_t)v, key, member)
		{
			if (!batch_each_ref(member, fn, arg))
				return false;
		}
	}
	return true;
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

static json_t *resolve_array(struct arena *a, const json_t *v, const char *pointer,
			     json_t *(*find)(void *arg, struct str ref), void *arg, struct err *err)
{
	json_t *copy = json_array();
	for (size_t i = 0; copy != NULL && i < json_array_size(v); i++) {
		json_t *item =
			batch_resolve(a, json_array_get(v, i), json_pointer_index(a, pointer, i), find, arg, err);
		if (item == NULL || json_array_append_new(copy, item) != 0) {
			json_decref(copy);
			return NULL;
		}
	}
	if (copy == NULL)
		err_oom(err);
	return copy;
}

static json_t *resolve_object(struct arena *a, const json_t *v, const char *pointer,
			      json_t *(*find)(void *arg, struct str ref), void *arg, struct err *err)
{
	json_t *copy = json_object();
	const char *key;
	size_t len;
	json_t *member;
	if (copy == NULL) {
		err_oom(err);
		return NULL;
	}
	json_object_keylen_foreach((json_t *)(uintptr_t)v, key, len, member)
	{
		const char *at = json_pointer_key(a, pointer, str_n(key, len));
		json_t *item = batch_resolve(a, member, at, find, arg, err);
		if (item == NULL || json_object_setn_new(copy, key, len, item) != 0) {
			json_decref(copy);
			return NULL;
		}
	}
	return copy;
}

json_t *batch_resolve(struct arena *a, const json_t *v, const char *pointer, json_t *(*find)(void *arg, struct str ref),
		      void *arg, struct err *err)
{
	struct str ref = reference(v);
	if (ref.p != NULL) {
		json_t *found = find(arg, ref);
		if (found != NULL)
			return json_deep_copy(found);
		err_set_at(err, ERR_INVALID_VALUE, pointer, "the reference \"%.*s\" leads to nothing",
			   (int)(ref.len < 100 ? ref.len : 100), ref.p);
		return NULL;
	}
	if (json_is_array(v))
		return resolve_array(a, v, pointer, find, arg, err);
	if (json_is_object(v))
		return resolve_object(a, v, pointer, find, arg, err);
	json_t *copy = json_deep_copy(v);
	if (copy == NULL)
		err_oom(err);
	return copy;
}
