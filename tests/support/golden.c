/* Reading golden files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "store/schema/schema_json.h"
#include "tests/support/golden.h"

json_t *golden_load(struct arena *a, const char *path)
{
	struct strbuf b;
	FILE *f = fopen(path, "rb");
	json_t *v = NULL;
	struct err err;
	size_t n;
	bool ok;

	if (f == NULL) {
		fail_msg("cannot open %s (tests run in the repository root)", path);
		return NULL;
	}
	strbuf_init(&b, 0);
	do {
		n = fread(strbuf_reserve(&b, 65536), 1, 65536, f);
		strbuf_advance(&b, n);
	} while (n > 0);
	(void)fclose(f);
	ok = json_parse(a, strbuf_str(&b), &v, &err);
	strbuf_done(&b);
	if (!ok)
		fail_msg("%s: %s", path, err.detail);
	return v;
}

json_t *golden_parse(struct arena *a, const char *text)
{
	json_t *v = NULL;
	struct err err;

	if (!json_parse(a, str_z(text), &v, &err))
		fail_msg("%s: %s", err.detail, text);
	return v;
}

json_t *golden_quoted(struct arena *a, const char *text)
{
	char *z = arena_strz(a, str_z(text));

	for (char *p = z; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	return golden_parse(a, z);
}

struct schema *golden_schema(struct arena *a, const json_t *doc)
{
	struct schema *s = NULL;
	struct err err;

	if (!schema_from_json(doc, NULL, a, &s, &err))
		fail_msg("schema refused at %s: %s", err.pointer, err.detail);
	return s;
}

struct schema *golden_shadow_schema(struct arena *a)
{
	return golden_schema(
		a, golden_quoted(a, "{'models':[{'model_name':'ShadowUser','columns':["
				    "{'name':'id','logical_type':'integer','primary_key':true,'nullable':true},"
				    "{'name':'age','logical_type':'integer','nullable':true},"
				    "{'name':'name','logical_type':'string','nullable':true}]}]}"));
}

void golden_each_shadow(void (*check)(const struct dialect *d, const char *path))
{
	check(&dialect_sqlite, "tests/golden/vectors/shadow_sqlite.json");
	check(&dialect_postgres, "tests/golden/vectors/shadow_postgres.json");
}

const char *golden_text(struct arena *a, const json_t *v)
{
	struct strbuf b;
	const char *z;

	strbuf_init(&b, 0);
	json_write(&b, v, true);
	z = arena_strz(a, strbuf_str(&b));
	strbuf_done(&b);
	return z;
}

static void decref(void *arg)
{
	json_decref(arg);
}

json_t *golden_envelope(struct arena *a, const struct schema *s)
{
	struct strbuf b;
	json_t *v;

	strbuf_init(&b, 0);
	schema_write(&b, s, NULL, NULL);
	v = golden_parse(a, arena_strz(a, strbuf_str(&b)));
	strbuf_done(&b);
	return v;
}

json_t *golden_model(struct arena *a, const struct model *m)
{
	json_t *v = schema_model_json(m);

	arena_on_done(a, decref, v);
	return v;
}
