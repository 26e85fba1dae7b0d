/* Values that a row has brought, on their way into another statement. */
#include "handlers/answer/values.h"

#include "service/base/banned.h"

/* base64, or (tag) {"$bytes": base64}. */
static json_t *bytes_to_json(struct str s, bool tag)
{
	struct strbuf text;
	json_t *out;
	strbuf_init(&text, 0);
	strbuf_base64(&text, s);
	out = json_stringn(text.p != NULL ? text.p : "", text.len);
	strbuf_done(&text);
	return tag ? json_pack("{s:o}", "$bytes", out) : out;
}

json_t *value_to_json(struct arena *a, struct value v)
{
	json_t *out = NULL;
	struct err ignored;
	switch (v.kind) {
	case VALUE_BOOL:
		return json_boolean(v.u.b);
	case VALUE_INT:
		return json_integer(v.u.i);
	case VALUE_DOUBLE:
		return json_real(v.u.d);
	case VALUE_TEXT:
		out = json_stringn(v.u.s.p != NULL ? v.u.s.p : "", v.u.s.len);
		return out != NULL ? out : bytes_to_json(v.u.s, true);
	case VALUE_BYTES:
		return bytes_to_json(v.u.s, false);
	case VALUE_JSON:
		if (json_parse(a, v.u.s, &out, &ignored))
			return json_incref(out);
		break;
	case VALUE_NULL:
		break;
	}
	return json_null();
}

bool value_rebind(struct arena *a, const struct dialect *d, const struct column *c, struct value v, struct value *ret,
		  struct err *err)
{
	json_t *j = value_to_json(a, v);
	struct value bound;
	bool ok = codec_bind_stored(a, d, c, j, "", &bound, err);
	if (ok)
		*ret = value_dup(a, bound);
	json_decref(j);
	return ok;
}

bool row_key_values(struct arena *a, const struct dialect *d, const struct model *m, const struct value *row,
		    struct value **ret, struct err *err)
{
	struct value *key = arena_array(a, m->n_pk, sizeof(*key));
	for (size_t i = 0; i < m->n_pk; i++) {
		if (!value_rebind(a, d, m->pk[i], row[m->pk[i]->index], &key[i], err))
			return false;
	}
	*ret = key;
	return true;
}

struct str value_text_key(struct arena *a, struct value v)
{
	if (v.kind == VALUE_TEXT)
		return v.u.s;
	struct value_format plain = {0};
	struct strbuf b;
	strbuf_init(&b, 0);
	value_write_json(&b, v, &plain);
	struct str s = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return s;
}
