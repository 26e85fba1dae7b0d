/* Filters sent as one JSON object: see list_args.h. */
#include "handlers/records/list_args.h"

#include "service/base/json.h"

#include "service/base/banned.h"

static bool is_object(const struct http_pair *arg)
{
	return str_eq_z(arg->name, "filter") && arg->value.len > 0 && arg->value.p[0] == '{';
}

static bool refuse(struct err *err, const char *why)
{
	return err_set(err, ERR_INVALID_PARAMETERS, "the query argument \"filter\": %s", why);
}

/* Appends one member: a text is one argument, an array of texts several of that name. */
static bool spread_member(struct http_pair *to, size_t *n, struct str name, const json_t *v, struct err *err)
{
	size_t n_values = json_is_array(v) ? json_array_size(v) : 1;
	for (size_t i = 0; i < n_values; i++) {
		const json_t *text = json_is_array(v) ? json_array_get(v, i) : v;
		if (!json_is_string(text))
			return refuse(err, "each member must be \"operator.value\", or an array of such texts");
		to[(*n)++] = (struct http_pair){name, json_str(text)};
	}
	return true;
}

/* How many arguments a document amounts to. */
static size_t room(const json_t *doc)
{
	size_t n = 0;
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)doc, key, v)
	{
		n += json_is_array(v) ? json_array_size(v) : 1;
	}
	return n;
}

bool list_args_spread(struct request *req, struct err *err)
{
	for (size_t at = 0; at < req->n_args; at++) {
		json_t *doc;
		const char *key;
		json_t *v;
		size_t n = at;
		if (!is_object(&req->args[at]))
			continue;
		if (!json_parse(&req->arena, req->args[at].value, &doc, err))
			return refuse(err, "it begins like a JSON object and is none");
		size_t n_spread = room(doc);
		struct http_pair *args = arena_array(&req->arena, req->n_args + n_spread, sizeof(*args));
		memcpy(args, req->args, at * sizeof(*args));
		json_object_foreach(doc, key, v)
		{
			if (!spread_member(args, &n, arena_str(&req->arena, str_z(key)), v, err))
				return false;
		}
		memcpy(args + n, req->args + at + 1, (req->n_args - at - 1) * sizeof(*args));
		req->n_args = n + req->n_args - at - 1;
		req->args = args;
		at = n - 1; /* what was spread is not spread again */
	}
	return true;
}
