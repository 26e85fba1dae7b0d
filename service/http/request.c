/* Accessors of a request and the simple half of a response; streaming is stream.c's. */
#include "service/http/request.h"

#include "service/base/banned.h"

struct str request_header_find(const struct request *req, const char *name)
{
	for (size_t i = 0; i < req->n_headers; i++)
		if (str_ieq_z(req->headers[i].name, name))
			return req->headers[i].value;
	return STR_NONE;
}

struct str request_header_join(struct request *req, const char *name)
{
	struct str all = request_header(req, name);
	bool first = true;
	for (size_t i = 0; all.p != NULL && i < req->n_headers; i++) {
		if (!str_ieq_z(req->headers[i].name, name))
			continue;
		if (!first)
			all = arena_printf(&req->arena, "%.*s, %.*s", STR_FMT(all), STR_FMT(req->headers[i].value));
		first = false;
	}
	return all;
}

struct str request_arg(const struct request *req, const char *name)
{
	for (size_t i = 0; i < req->n_args; i++)
		if (str_eq_z(req->args[i].name, name))
			return req->args[i].value;
	return STR_NONE;
}

bool request_arg_bool(const struct request *req, const char *name, bool *ret, struct err *err)
{
	struct str v = request_arg(req, name);
	if (v.p == NULL || str_eq_z(v, "false") || str_eq_z(v, "0"))
		*ret = false;
	else if (v.len == 0 || str_eq_z(v, "true") || str_eq_z(v, "1"))
		*ret = true;
	else
		return err_set(err, ERR_INVALID_PARAMETERS, "the query argument \"%s\" takes true or false", name);
	return true;
}

static bool args_known(const struct request *req, bool using, const char *const *names, struct err *err)
{
	for (size_t i = 0; i < req->n_args; i++) {
		bool known = using && str_eq_z(req->args[i].name, "using");
		for (size_t j = 0; !known && names[j] != NULL; j++)
			known = str_eq_z(req->args[i].name, names[j]);
		for (size_t k = 0; known && k < i; k++)
			if (str_eq(req->args[k].name, req->args[i].name))
				return err_set(err, ERR_INVALID_PARAMETERS,
					       "the query argument \"%.*s\" is there more than once",
					       STR_FMT(req->args[i].name));
		if (!known)
			return err_set(err, ERR_INVALID_PARAMETERS, "the query argument \"%.*s\" is not known here",
				       (int)(req->args[i].name.len < 100 ? req->args[i].name.len : 100),
				       req->args[i].name.p);
	}
	return true;
}

bool request_args_known(const struct request *req, const char *const *names, struct err *err)
{
	return args_known(req, false, names, err);
}

bool request_args_routed(const struct request *req, const char *const *names, struct err *err)
{
	return args_known(req, true, names, err);
}

bool request_json(struct request *req, bool optional, json_t **ret, struct err *err)
{
	struct str body = strbuf_str(&req->body);
	if (optional && str_trim(body).len == 0) {
		*ret = NULL;
		return true;
	}
	if (!json_parse_body(&req->arena, body, req->values_max, ret, err))
		return false;
	if (optional && json_is_null(*ret)) /* what generated clients send for no body */
		*ret = NULL;
	return true;
}

bool request_options(struct request *req, bool optional, json_t **ret, struct err *err)
{
	if (request_json(req, optional, ret, err))
		return true;
	if (err->code == ERR_INVALID_VALUE)
		err->code = ERR_INVALID_REQUEST;
	return false;
}

bool request_no_members(struct request *req, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	if (!request_options(req, true, &doc, err))
		return false;
	json_reader_init(&r, &req->arena, doc, "", err);
	return json_reader_done(&r);
}

void response_header(struct response *res, const char *name, struct str value)
{
	if (res->n_headers < ARRAY_LEN(res->headers))
		res->headers[res->n_headers++] = (struct http_pair){str_z(name), value};
}

struct strbuf *response_json(struct response *res, int status)
{
	res->status = status;
	res->content_type = "application/json";
	return &res->body;
}
