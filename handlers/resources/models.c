/* Registered models: SchemaIR in, canonical SchemaIR out. */
#include "handlers/unit/context.h"
#include "handlers/unit/told_answer.h"
#include "handlers/handlers.h"
#include "handlers/answer/render.h"
#include "handlers/resources/model_sets.h"

#include "service/base/banned.h"

static struct schema_registry *registry(struct request *req)
{
	return &request_app(req)->store->models;
}

/* What was registered, and what its document said that nobody heeds. */
static void out_envelope(struct strbuf *b, struct request *req, const struct schema *s)
{
	schema_write(b, s, models_seen, req);
	if (s->n_warnings == 0)
		return;
	strbuf_truncate(b, b->len - 1);
	out_name(b, "warnings");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < s->n_warnings; i++) {
		strbuf_puts(b, i > 0 ? ",{" : "{");
		out_str(b, "code", str_z(s->warnings[i].code));
		out_str(b, "pointer", s->warnings[i].pointer);
		out_str(b, "detail", s->warnings[i].detail);
		strbuf_putc(b, '}');
	}
	strbuf_putc(b, ']');
	strbuf_putc(b, '}');
}

/* ?set=NAME: whose models they are. Of a key that is bound to sets, the first one without a word. */
static bool set_of(const struct request *req, struct str *ret, struct err *err)
{
	static const char *const args[] = {"set", NULL};
	*ret = request_arg(req, "set");
	if (!request_args_known(req, args, err))
		return false;
	if (ret->p == NULL)
		return models_own_set(req, ret, err);
	return models_set_name(*ret, err) && models_may_change(req, *ret, err);
}

static bool apply(struct request *req, struct response *res, bool replace_all, struct err *err)
{
	json_t *doc;
	struct schema *s;
	struct str set;
	if (!request_options(req, false, &doc, err) || !set_of(req, &set, err))
		return false;
	if (!json_is_object(doc))
		return err_set_at(err, ERR_INVALID_REQUEST, "", "expected a SchemaIR object, not %s",
				  json_type_name(doc));
	const struct schema_edit edit = {.doc = doc,
					 .how = {.replace_all = replace_all,
						 .may_sql = principal_has(req, SCOPE_SQL),
						 .may_catalogs = principal_has(req, SCOPE_ADMIN),
						 .set = set}};
	if (!told_models(request_app(req)->told, &edit, told_by(req), &req->arena, &s, err))
		return models_refused(req, err);
	out_envelope(response_json(res, 200), req, s);
	catalog_header(res);
	schema_unref(s);
	return true;
}

bool handle_models_put(struct request *req, struct response *res, struct err *err)
{
	return apply(req, res, true, err);
}

bool handle_models_post(struct request *req, struct response *res, struct err *err)
{
	return apply(req, res, false, err);
}

bool handle_models(struct request *req, struct response *res, struct err *err)
{
	if (!request_args_known(req, context_no_args, err) || !catalog_reached(req, err))
		return false;
	struct schema *s = schema_registry_get(registry(req));
	schema_write(response_json(res, 200), s, models_seen, req);
	schema_unref(s);
	return true;
}

static bool no_model(struct request *req, struct err *err)
{
	return err_set(err, ERR_MODEL_NOT_FOUND, "no model \"%.*s\" is registered; register it with POST /v1/models",
		       STR_FMT(req->params[0]));
}

bool handle_model(struct request *req, struct response *res, struct err *err)
{
	if (!request_args_known(req, context_no_args, err) || !catalog_reached(req, err))
		return false;
	struct schema *s = schema_registry_get(registry(req));
	const struct model *m = schema_model(s, req->params[0]);
	json_t *json = m != NULL ? schema_model_json(m) : NULL;
	if (json != NULL) {
		models_seen(req, json);
		json_write(response_json(res, 200), json, true);
	}
	json_decref(json);
	schema_unref(s);
	return m != NULL || no_model(req, err);
}

static void decref(void *arg)
{
	json_decref(arg);
}

/* Empties the sets that the key is bound to, one after the other; what is in others, too, stays in those. */
static bool clear_own(struct request *req, struct err *err)
{
	const struct principal *p = req->principal;
	json_t *nothing = json_pack("{s:[]}", "models");
	arena_on_done(&req->arena, decref, nothing);
	for (size_t i = 0; i < p->n_sets; i++) {
		const struct schema_edit none = {.doc = nothing, .how = {.replace_all = true, .set = p->sets[i]}};
		if (!told_models(request_app(req)->told, &none, told_by(req), &req->arena, NULL, err))
			return false;
	}
	return true;
}

bool handle_models_clear(struct request *req, struct response *res, struct err *err)
{
	const struct schema_edit all = {.doc = NULL};
	if (!request_args_known(req, context_no_args, err) ||
	    !(req->principal != NULL && req->principal->sets != NULL
		      ? clear_own(req, err)
		      : told_models(request_app(req)->told, &all, told_by(req), &req->arena, NULL, err)))
		return false;
	res->status = 204;
	catalog_header(res);
	return true;
}

bool handle_model_remove(struct request *req, struct response *res, struct err *err)
{
	const struct principal *p = req->principal;
	const struct schema_edit one = {
		.remove = req->params[0], .sets = p != NULL ? p->sets : NULL, .n_sets = p != NULL ? p->n_sets : 0};
	if (!request_args_known(req, context_no_args, err) ||
	    !told_models(request_app(req)->told, &one, told_by(req), &req->arena, NULL, err))
		return false;
	res->status = 204;
	catalog_header(res);
	return true;
}
