/* The catalog: where everything comes from, and reading it again. */
#include "handlers/answer/render.h"
#include "handlers/handlers.h"
#include "handlers/resources/model_sets.h"
#include "handlers/unit/context.h"

#include "service/base/banned.h"

static void out_connections(struct strbuf *b, struct request *req)
{
	struct connection **all;
	struct err no;
	const size_t n = connection_list(&request_app(req)->store->connections, &req->arena, &all, NULL);
	out_name(b, "connections");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (principal_connection(req, all[i]->name, &no)) {
			strbuf_puts(b, b->p[b->len - 1] == '[' ? "{" : ",{");
			out_str(b, "name", all[i]->name);
			out_str(b, "origin", str_z(connection_origin_word(all[i]->origin)));
			if (all[i]->declared_in != NULL)
				out_str(b, "file", str_z(all[i]->declared_in));
			strbuf_putc(b, '}');
		}
		connection_unref(all[i]);
	}
	strbuf_putc(b, ']');
}

static void out_models(struct strbuf *b, struct request *req)
{
	struct schema_registry *models = &request_app(req)->store->models;
	struct schema *s = schema_registry_get(models);
	out_name(b, "models");
	strbuf_putc(b, '[');
	for (size_t i = 0; i < s->n_models; i++) {
		const struct str file = schema_registry_file(models, s->models[i].name, &req->arena);
		strbuf_puts(b, i == 0 ? "{" : ",{");
		out_str(b, "name", s->models[i].name);
		out_str(b, "set", models_set_seen(req, &s->models[i]));
		out_str(b, "origin", file.p != NULL ? STR("declared") : STR("told"));
		if (file.p != NULL)
			out_str(b, "file", file);
		strbuf_putc(b, '}');
	}
	strbuf_putc(b, ']');
	schema_unref(s);
}

bool handle_catalog(struct request *req, struct response *res, struct err *err)
{
	if (!request_args_known(req, context_no_args, err) || !catalog_reached(req, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_connections(b, req);
	out_models(b, req);
	out_str(b, "version", told_version(request_app(req)->told, &req->arena));
	strbuf_putc(b, '}');
	return true;
}

/* "connection:NAME" and "introspect:NAME" of a connection that the caller may not know of. */
static bool hidden(const struct request *req, struct str what)
{
	struct str name = what, kind;
	return str_split(&name, ':', &kind) && (str_eq_z(kind, "connection") || str_eq_z(kind, "introspect")) &&
	       !principal_sees(req, name);
}

static void out_list(struct strbuf *b, const struct request *req, const char *name, const struct str *list, size_t n)
{
	out_name(b, name);
	strbuf_putc(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (hidden(req, list[i]))
			continue;
		strbuf_puts(b, b->p[b->len - 1] == '[' ? "" : ",");
		strbuf_json_string(b, list[i]);
	}
	strbuf_putc(b, ']');
}

bool handle_catalog_reload(struct request *req, struct response *res, struct err *err)
{
	struct declared_changes c;
	if (!request_no_members(req, err) || !request_args_known(req, context_no_args, err) ||
	    !declared_reload(request_app(req)->declared, req->deadline, &req->arena, &c, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_list(b, req, "added", c.added, c.n_added);
	out_list(b, req, "changed", c.changed, c.n_changed);
	out_list(b, req, "removed", c.removed, c.n_removed);
	out_list(b, req, "unchanged", c.unchanged, c.n_unchanged);
	strbuf_putc(b, '}');
	catalog_header(res);
	return true;
}
