/* See model_sets.h. */
#include "handlers/resources/model_sets.h"

#include "store/schema/schema_subset.h"

#include "service/base/banned.h"

static bool bound(const struct request *req)
{
	return req->principal != NULL && req->principal->sets != NULL;
}

bool models_set_name(struct str set, struct err *err)
{
	if (set.len > LIMIT_NAME_BYTES)
		return err_set(err, ERR_INVALID_PARAMETERS, "the name of a set has at most %d bytes", LIMIT_NAME_BYTES);
	for (size_t i = 0; i < set.len; i++) {
		const char c = set.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c != '\0' && strchr("_-.", c) != NULL)))
			return err_set(err, ERR_INVALID_PARAMETERS,
				       "the name of a set is of letters, digits, _, - and .");
	}
	return true;
}

bool models_may_change(const struct request *req, struct str set, struct err *err)
{
	return principal_has_set(req, set) || err_set(err, ERR_FORBIDDEN,
						      "this key may change the models of its own sets only: \"sets\" "
						      "of its entry, or else its connections");
}

bool models_set_is_there(const struct request *req, const struct schema *s, struct str set, struct err *err)
{
	if (set.p == NULL)
		return true;
	if (!models_set_name(set, err))
		return false;
	for (size_t i = 0; principal_has_set(req, set) && i < s->n_models; i++)
		if (model_of_set(&s->models[i], set))
			return true;
	return err_set(err, ERR_MODEL_NOT_FOUND, "no registered model is of the set \"%.*s\"", STR_FMT(set));
}

bool models_own_set(const struct request *req, struct str *ret, struct err *err)
{
	*ret = STR("");
	if (principal_has_set(req, *ret))
		return true;
	if (req->principal->n_sets == 0)
		return models_may_change(req, *ret, err);
	*ret = req->principal->sets[0];
	return true;
}

void models_seen(void *arg, json_t *m)
{
	const struct request *req = arg;
	const json_t *one = json_object_get(m, "set"), *many = json_object_get(m, "sets"), *v;
	size_t i;
	if (!bound(req) || one == NULL)
		return;
	json_t *seen = json_array();
	if (many == NULL && principal_has_set(req, json_str(one)))
		(void)json_array_append(seen, (json_t *)(uintptr_t)one);
	json_array_foreach(many, i, v)
	{
		if (principal_has_set(req, json_str(v)))
			(void)json_array_append(seen, (json_t *)(uintptr_t)v);
	}
	(void)json_object_del(m, "set");
	(void)json_object_del(m, "sets");
	if (json_array_size(seen) > 0)
		(void)json_object_set(m, "set", json_array_get(seen, 0));
	if (json_array_size(seen) > 1)
		(void)json_object_set(m, "sets", seen);
	json_decref(seen);
}

struct str models_set_seen(const struct request *req, const struct model *m)
{
	for (size_t i = 0; i < m->n_sets; i++)
		if (principal_has_set(req, m->sets[i]))
			return m->sets[i];
	return STR("");
}

bool models_refused(const struct request *req, struct err *err)
{
	if (bound(req) && err->code == ERR_MODEL_CONFLICT)
		(void)snprintf(err->detail, sizeof(err->detail),
			       "another set has a model of that name with another meaning");
	return false;
}
