/* The state as a document, and where it lies. */
#include "store/state/export.h"

#include <ctype.h>

#include "service/base/json.h"
#include "store/connection/dsn.h"

#include "service/base/banned.h"

#define FILE_NAME "ferrod-state.db"

/* The URL with its secrets replaced, and what a ${ in the rest of it must look like. */
static struct str placeholders(struct arena *a, struct str name, struct str url)
{
	const struct str mark = STR("<redacted>"), shown = dsn_redact(a, url);
	struct strbuf b;
	int n = 0;
	strbuf_init(&b, 0);
	for (size_t i = 0; i < shown.len;) {
		const struct str rest = str_n(shown.p + i, shown.len - i);
		if (!str_starts(rest, mark)) {
			if (str_starts(rest, STR("${")))
				strbuf_putc(&b, '$');
			strbuf_putc(&b, shown.p[i++]);
			continue;
		}
		strbuf_puts(&b, "${env:");
		for (size_t k = 0; k < name.len; k++)
			strbuf_putc(&b, (char)toupper((unsigned char)name.p[k]));
		strbuf_puts(&b, "_SECRET");
		if (++n > 1)
			strbuf_int(&b, n);
		strbuf_putc(&b, '}');
		i += mark.len;
	}
	struct str out = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return out;
}

static json_t *text(struct str s)
{
	return json_stringn(s.p, s.len);
}

static bool add_connection(struct arena *a, const struct state_content *c, const struct state_connection *x,
			   json_t *list, struct err *err)
{
	json_t *options, *o;
	if (!json_parse(a, x->options, &options, err) || !json_is_object(options))
		return err_set(err, ERR_INVALID_REQUEST, "the state's connection '%.*s' cannot be read",
			       STR_FMT(x->name));
	o = json_object();
	(void)json_object_set_new(o, "name", text(x->name));
	(void)json_object_set_new(o, "url", text(placeholders(a, x->name, x->url)));
	if (c->default_name.p != NULL && str_eq(c->default_name, x->name))
		(void)json_object_set_new(o, "default", json_true());
	(void)json_object_update(o, options);
	(void)json_array_append_new(list, o);
	return true;
}

/* Models as a catalog has them: what says where they came from is not in it. */
static bool add_models(struct arena *a, struct str kept, json_t *list, struct err *err)
{
	json_t *models, *m;
	size_t i;
	if (kept.p == NULL)
		return true;
	if (!json_parse(a, kept, &models, err) || !json_is_array(models))
		return err_set(err, ERR_INVALID_REQUEST, "the state's models cannot be read");
	json_array_foreach(models, i, m)
	{
		json_t *copy = json_deep_copy(m);
		(void)json_object_del(copy, "origin");
		(void)json_array_append_new(list, copy);
	}
	return true;
}

static void write_out(json_t *doc, FILE *out)
{
	struct strbuf b;
	strbuf_init(&b, 0);
	json_write(&b, doc, false);
	fprintf(out, "%.*s\n", STR_FMT(strbuf_str(&b)));
	strbuf_done(&b);
}

bool state_export(struct state *s, FILE *out, struct err *err)
{
	struct state_content c;
	struct arena a;
	arena_init(&a);
	json_t *doc = json_object(), *connections = json_array(), *list = json_array();
	(void)json_object_set_new(doc, "connections", connections);
	(void)json_object_set_new(doc, "models", list);
	bool ok = state_load(s, &a, &c, err);
	for (size_t i = 0; ok && i < c.n_connections; i++)
		ok = add_connection(&a, &c, &c.connections[i], connections, err);
	ok = ok && add_models(&a, c.models, list, err);
	if (ok)
		write_out(doc, out);
	json_decref(doc);
	arena_done(&a);
	return ok;
}

struct str state_default_url(struct arena *a, struct str default_url)
{
	struct dsn dsn;
	struct err ignored;
	struct strbuf b;
	const char *slash = NULL;
	strbuf_init(&b, 0);
	strbuf_puts(&b, "sqlite:");
	if (dsn_parse(a, default_url, &dsn, &ignored) && dsn.dialect == DIALECT_SQLITE &&
	    dsn.mode != SQLITE_MODE_MEMORY && dsn.path.len > 0)
		slash = memrchr(dsn.path.p, '/', dsn.path.len);
	for (const char *p = dsn.path.p; slash != NULL && p <= slash; p++) {
		if (*p == '%' || *p == '?' || *p == '#')
			strbuf_printf(&b, "%%%02X", (unsigned)*p);
		else
			strbuf_putc(&b, *p);
	}
	strbuf_puts(&b, FILE_NAME "?mode=rwc");
	struct str url = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return url;
}
