/* The API description carried in the binary, and a page for every problem code. */
#include "handlers/handlers.h"
#include "openapi/assets.h"
#include "service/problem.h"

#include "service/base/banned.h"

static bool asset(struct response *res, const char *type, const char *bytes, uint64_t len)
{
	res->status = 200;
	res->content_type = type;
	response_header(res, "Cache-Control", STR("max-age=300"));
	strbuf_put(&res->body, str_n(bytes, (size_t)len));
	return true;
}

bool handle_openapi_json(struct request *req, struct response *res, struct err *err)
{
	(void)req;
	(void)err;
	return asset(res, "application/json", openapi_json, openapi_json_len);
}

bool handle_openapi_yaml(struct request *req, struct response *res, struct err *err)
{
	(void)req;
	(void)err;
	return asset(res, "application/yaml", openapi_yaml, openapi_yaml_len);
}

static void page_head(struct strbuf *b, const char *title)
{
	strbuf_printf(b,
		      "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>%s</title>\n"
		      "<style>body{font:16px/1.5 sans-serif;max-width:44em;margin:2em auto;padding:0 1em}"
		      "code{background:#eee;padding:0 .2em}td{padding:.1em .8em .1em 0;vertical-align:top}</style>"
		      "</head>\n<body>\n<h1>%s</h1>\n",
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
	res->status = 200;
	res->content_type = "text/html; charset=utf-8";
	page_head(b, "Problems");
	strbuf_puts(b, "<table>\n");
	for (int i = 0; i < ERR_N_CODES; i++) {
		enum err_code code = (enum err_code)i;
		const char *name = err_code_name(code);
		strbuf_printf(b, "<tr><td>%d</td><td><a href=\"/problems/%s\"><code>%s</code></a></td><td>",
			      problem_status(code), name, name);
		html_text(b, problem_title(code));
		strbuf_puts(b, "</td></tr>\n");
	}
	strbuf_puts(b, "</table>\n</body>\n</html>\n");
	return true;
}

bool handle_problem(struct request *req, struct response *res, struct err *err)
{
	enum err_code code;
	if (!problem_code(req->params[0], &code))
		return err_set(err, ERR_ROUTE_NOT_FOUND, "no problem has that code; /problems lists them all");
	struct strbuf *b = &res->body;
	res->status = 200;
	res->content_type = "text/html; charset=utf-8";
	page_head(b, err_code_name(code));
	strbuf_printf(b, "<p>Status <strong>%d</strong>: ", problem_status(code));
	html_text(b, problem_title(code));
	strbuf_puts(b, "</p>\n<p>");
	html_text(b, problem_help(code));
	strbuf_printf(b, "</p>\n<p>%s</p>\n<p><a href=\"/problems\">All problems</a></p>\n</body>\n</html>\n",
		      problem_retryable(code) ? "The same request may succeed when it is sent again."
					      : "The same request will fail again until something is changed.");
	return true;
}
