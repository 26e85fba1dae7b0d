/* The API description, the docs page and a page for every problem code, all carried in the binary. */
#include "handlers/handlers.h"
#include "handlers/resources/openapi_models.h"
#include "handlers/unit/context.h"
#include "openapi/assets.h"
#include "service/base/num.h"
#include "service/http/compression.h"
#include "service/http/problem.h"

#include "service/base/banned.h"

/* Nothing inline, nothing from elsewhere; the page talks to this server alone. */
static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* Strong, of the bytes: a new binary with the same page keeps its tag. */
static struct str etag(struct arena *a, struct str bytes)
{
	uint8_t hash[32];
	uint64_t head;
	num_sha256(bytes, hash);
	memcpy(&head, hash, sizeof(head));
	return arena_printf(a, "\"%016llx\"", (unsigned long long)head);
}

static bool has_tag(struct str list, struct str tag)
{
	struct str item;
	while (str_split(&list, ',', &item)) {
		item = str_trim(item);
		if (str_starts(item, STR("W/")))
			item = str_n(item.p + 2, item.len - 2);
		if (coding_tag_is(item, tag) || str_eq_z(item, "*"))
			return true;
	}
	return false;
}

/* no-cache: kept, but asked after each time; an upgraded server never meets the page of the old one. */
static bool asset(struct request *req, struct response *res, const char *type, const char *bytes, uint64_t len)
{
	struct str body = str_n(bytes, (size_t)len);
	struct str tag = etag(&req->arena, body);
	response_header(res, "Cache-Control", STR("no-cache"));
	response_header(res, "ETag", tag);
	response_header(res, "X-Content-Type-Options", STR("nosniff"));
	res->status = 304;
	if (has_tag(request_header_list(req, "If-None-Match"), tag))
		return true;
	res->status = 200;
	res->content_type = type;
	strbuf_put(&res->body, body);
	return true;
}

static void page_headers(struct response *res)
{
	response_header(res, "Content-Security-Policy", str_z(policy));
	response_header(res, "Referrer-Policy", STR("no-referrer"));
}

/* A description in JSON; with the models at hand, of a set and on a connection, perhaps. */
static bool description(struct request *req, struct response *res, struct str text, bool old, struct err *err)
{
	const struct str models = request_arg(req, "models");
	if (!request_args_known(req, (const char *const[]){"models", "set", "using", NULL}, err))
		return false;
	if (models.p != NULL && !str_eq_z(models, "true") && !str_eq_z(models, "false"))
		return err_set(err, ERR_INVALID_PARAMETERS, "\"models\" is true or false");
	if (models.p != NULL && str_eq_z(models, "true"))
		return openapi_with_models(req, res, text, old, err);
	if (request_arg(req, "set").p != NULL || request_arg(req, "using").p != NULL)
		return err_set(err, ERR_INVALID_PARAMETERS, "\"set\" and \"using\" go with models=true");
	return asset(req, res, "application/json", text.p, text.len);
}

bool handle_openapi_json(struct request *req, struct response *res, struct err *err)
{
	return description(req, res, str_n(openapi_json, (size_t)openapi_json_len), false, err);
}

bool handle_openapi_30_json(struct request *req, struct response *res, struct err *err)
{
	return description(req, res, str_n(openapi_30_json, (size_t)openapi_30_json_len), true, err);
}

bool handle_openapi_yaml(struct request *req, struct response *res, struct err *err)
{
	return request_args_known(req, (const char *const[]){NULL}, err) &&
	       asset(req, res, "application/yaml", openapi_yaml, openapi_yaml_len);
}

/* ---- where to go from here ---- */

/* A browser says that it takes HTML and is sent to the docs page; whoever else looks gets the addresses. */
bool handle_root(struct request *req, struct response *res, struct err *err)
{
	struct str rest = request_header_list(req, "Accept"), item, type;
	if (!request_args_known(req, (const char *const[]){NULL}, err))
		return false;
	response_header(res, "Vary", STR("Accept"));
	while (str_split(&rest, ',', &item)) {
		(void)str_split(&item, ';', &type);
		if (!str_ieq_z(str_trim(type), "text/html"))
			continue;
		res->status = 303;
		response_header(res, "Location", STR("/docs"));
		return true;
	}
	strbuf_puts(response_json(res, 200),
		    "{\"name\":\"ferrod\",\"docs\":\"/docs\",\"openapi\":\"/openapi.json\",\"health\":\"/healthz\","
		    "\"ready\":\"/readyz\",\"api\":\"/v1\"}");
	return true;
}

/* ---- the docs page ---- */

bool handle_docs(struct request *req, struct response *res, struct err *err)
{
	(void)err;
	page_headers(res);
	return asset(req, res, "text/html; charset=utf-8", docs_index, docs_index_len);
}

bool handle_docs_style(struct request *req, struct response *res, struct err *err)
{
	(void)err;
	return asset(req, res, "text/css; charset=utf-8", docs_style, docs_style_len);
}

bool handle_docs_module(struct request *req, struct response *res, struct err *err)
{
	static const struct {
		const char *name, *bytes;
		const uint64_t *len;
	} modules[] = {
		{"app.js", docs_app, &docs_app_len},
		{"dom.js", docs_dom, &docs_dom_len},
		{"client.js", docs_client, &docs_client_len},
		{"reference.js", docs_reference, &docs_reference_len},
		{"schema.js", docs_schema, &docs_schema_len},
		{"connections.js", docs_connections, &docs_connections_len},
		{"models.js", docs_models, &docs_models_len},
		{"records.js", docs_records, &docs_records_len},
		{"tables.js", docs_tables, &docs_tables_len},
		{"query.js", docs_query, &docs_query_len},
		{"migrate.js", docs_migrate, &docs_migrate_len},
	};
	for (size_t i = 0; i < ARRAY_LEN(modules); i++)
		if (str_eq_z(req->params[0], modules[i].name))
			return asset(req, res, "text/javascript; charset=utf-8", modules[i].bytes, *modules[i].len);
	return err_set(err, ERR_ROUTE_NOT_FOUND, "the docs page has no such file; /docs is its start");
}

/* ---- problems ---- */

static void page_head(struct response *res, const char *title)
{
	res->status = 200;
	res->content_type = "text/html; charset=utf-8";
	page_headers(res);
	strbuf_printf(&res->body,
		      "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>%s</title>\n"
		      "<meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\n"
		      "<link rel=\"stylesheet\" href=\"/docs/style.css\"></head>\n<body "
		      "class=\"plain\">\n<main>\n<h1>%s</h1>\n",
		      title, title);
}

static void html_text(struct strbuf *b, const char *z)
{
	for (; *z != '\0'; z++) {
		if (*z == '<')
			strbuf_puts(b, "&lt;");
		else if (*z == '&')
			strbuf_puts(b, "&amp;");
		else
			strbuf_putc(b, *z);
	}
}

bool handle_problems(struct request *req, struct response *res, struct err *err)
{
	(void)req;
	(void)err;
	struct strbuf *b = &res->body;
	page_head(res, "Problems");
	strbuf_puts(b, "<table>\n");
	for (int i = 0; i < ERR_N_CODES; i++) {
		enum err_code code = (enum err_code)i;
		const char *name = err_code_name(code);
		strbuf_printf(b, "<tr><td>%d</td><td><a href=\"/problems/%s\"><code>%s</code></a></td><td>",
			      problem_status(code), name, name);
		html_text(b, problem_title(code));
		strbuf_puts(b, "</td></tr>\n");
	}
	strbuf_puts(b, "</table>\n</main>\n</body>\n</html>\n");
	return true;
}

bool handle_problem(struct request *req, struct response *res, struct err *err)
{
	enum err_code code;
	if (!problem_code(req->params[0], &code))
		return err_set(err, ERR_ROUTE_NOT_FOUND, "no problem has that code; /problems lists them all");
	struct strbuf *b = &res->body;
	page_head(res, err_code_name(code));
	strbuf_printf(b, "<p>Status <strong>%d</strong>: ", problem_status(code));
	html_text(b, problem_title(code));
	strbuf_puts(b, "</p>\n<p>");
	html_text(b, problem_help(code));
	strbuf_printf(b, "</p>\n<p>%s</p>\n<p><a href=\"/problems\">All problems</a></p>\n</main>\n</body>\n</html>\n",
		      problem_retryable(code) ? "The same request may succeed when it is sent again."
					      : "The same request will fail again until something is changed.");
	return true;
}
