/*
 * The description of the models at hand: what the general one says of records, filters and relations, said once more
 * for each registered model by its own names and types.
 */
#include "handlers/resources/openapi_models.h"

#include "handlers/resources/model_sets.h"
#include "handlers/resources/openapi_operations.h"
#include "handlers/resources/openapi_records.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

struct writing {
	struct describing d;
	struct response *res;
	struct err *err;
};

/* ---- the document ---- */

/* The members without their braces; the body may have been sent, so it does not tell whether a comma is due. Keys are
 * those of components and paths: nothing in them needs an escape. */
static void put_members(struct strbuf *b, const json_t *o, bool *first)
{
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		strbuf_puts(b, *first ? "\"" : ",\"");
		strbuf_puts(b, key);
		strbuf_puts(b, "\":");
		json_write(b, v, false);
		*first = false;
	}
}

/* An object of the general description, and what each described model adds to it. */
static bool write_object(struct writing *w, const json_t *general,
			 void (*add)(struct describing *, const struct model *, json_t *))
{
	struct strbuf *b = &w->res->body;
	bool first = true;
	strbuf_putc(b, '{');
	put_members(b, general, &first);
	for (size_t i = 0; i < w->d.s->n_models; i++) {
		const struct model *m = &w->d.s->models[i];
		if (described_as(&w->d, m).p == NULL)
			continue;
		json_t *more = json_object();
		add(&w->d, m, more);
		put_members(b, more, &first);
		json_decref(more);
		arena_reset(w->d.scratch);
		if (!response_flush(w->res, w->err))
			return false;
		wait_may_step_aside();
	}
	strbuf_putc(b, '}');
	return true;
}

static void write_tags(struct writing *w, const json_t *general)
{
	struct strbuf *b = &w->res->body;
	json_write(b, general, false);
	strbuf_truncate(b, b->len - 1);
	for (size_t i = 0; i < w->d.s->n_models; i++) {
		const struct str name = described_as(&w->d, &w->d.s->models[i]);
		if (name.p == NULL)
			continue;
		strbuf_puts(b, ",{");
		out_str(b, "name", name);
		out_str(b, "description",
			arena_printf(w->d.scratch, "Records of %.*s.", STR_FMT(w->d.s->models[i].name)));
		strbuf_putc(b, '}');
	}
	strbuf_putc(b, ']');
}

/* An object of the general description, some of whose members are written by us. */
static bool write_members(struct writing *w, const json_t *general,
			  bool (*ours)(struct writing *, const char *key, const json_t *v))
{
	struct strbuf *b = &w->res->body;
	const char *key;
	json_t *v;
	bool first = true;
	json_object_foreach((json_t *)(uintptr_t)general, key, v)
	{
		strbuf_puts(b, first ? "{\"" : ",\"");
		strbuf_puts(b, key);
		strbuf_puts(b, "\":");
		first = false;
		if (!ours(w, key, v))
			return false;
	}
	strbuf_putc(b, '}');
	return true;
}

static bool write_component(struct writing *w, const char *key, const json_t *v)
{
	if (strcmp(key, "schemas") == 0)
		return write_object(w, v, openapi_put_records);
	if (strcmp(key, "parameters") == 0)
		return write_object(w, v, openapi_put_filters);
	json_write(&w->res->body, v, false);
	return true;
}

static bool write_part(struct writing *w, const char *key, const json_t *v)
{
	if (strcmp(key, "paths") == 0)
		return write_object(w, v, openapi_put_operations);
	if (strcmp(key, "components") == 0)
		return write_members(w, v, write_component);
	if (strcmp(key, "tags") == 0)
		write_tags(w, v);
	else
		json_write(&w->res->body, v, false);
	return true;
}

/* ---- what is asked for ---- */

static bool connection_is_there(const struct request *req, struct str using, struct err *err)
{
	struct connection *conn;
	if (using.p == NULL)
		return true;
	if (!principal_connection(req, using, err) ||
	    !connection_get(&request_app(req)->store->connections, using, &conn, err))
		return false;
	connection_unref(conn);
	return true;
}

static bool answer(struct request *req, struct response *res, const struct describing *d, struct err *err)
{
	struct writing w = {.d = *d, .res = res, .err = err};
	struct arena scratch;
	if (!models_set_is_there(req, d->s, d->set, err) || !connection_is_there(req, d->using, err))
		return false;
	arena_init(&scratch);
	w.d.scratch = &scratch;
	describing_init(&w.d);
	response_header(res, "Cache-Control", STR("no-store"));
	(void)response_json(res, 200);
	const bool ok = write_members(&w, w.d.general, write_part);
	describing_done(&w.d);
	arena_done(&scratch);
	return ok;
}

bool openapi_with_models(struct request *req, struct response *res, struct str general, bool old, struct err *err)
{
	struct schema *s;
	json_t *doc;
	if (!json_parse(&req->arena, general, &doc, err))
		return false;
	s = schema_registry_get(&request_app(req)->store->models);
	const struct describing d = {.a = &req->arena,
				     .s = s,
				     .set = request_arg(req, "set"),
				     .using = request_arg(req, "using"),
				     .old = old,
				     .general = doc};
	const bool ok = answer(req, res, &d, err);
	schema_unref(s);
	return ok;
}
