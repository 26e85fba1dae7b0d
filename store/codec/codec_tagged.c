/* Values of SQLite that are not of their column's type, on the wire. */
#include "store/codec/codec_rules.h"

#include <math.h>
#include <string.h>

#include "service/base/num.h"
#include "store/codec/codec.h"
#include "store/codec/json_text.h"

#include "service/base/banned.h"

struct value codec_tagged(struct arena *a, const char *tag, struct value v)
{
	struct value_format untagged = {0};
	struct strbuf b;
	struct str s;

	strbuf_init(&b, 0);
	strbuf_puts(&b, "{\"");
	strbuf_puts(&b, tag);
	strbuf_puts(&b, "\":");
	value_write_json(&b, v, &untagged);
	strbuf_putc(&b, '}');
	s = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return value_json(s);
}

bool codec_is_infinite(const json_t *v)
{
	const json_t *word = json_object_size(v) == 1 ? json_object_get(v, CODEC_NUMBER) : NULL;
	const struct str s = json_is_string(word) ? json_str(word) : STR("");

	return str_eq(s, STR("Infinity")) || str_eq(s, STR("-Infinity"));
}

static bool untagged(struct arena *a, const json_t *in, struct value *ret)
{
	const json_t *text = json_object_size(in) == 1 ? json_object_get(in, "$text") : NULL;
	const json_t *bytes = json_object_size(in) == 1 ? json_object_get(in, "$bytes") : NULL;
	struct str s;
	uint8_t *out;
	size_t len;

	if (json_is_string(text)) {
		*ret = value_text(json_str(text));
		return true;
	}
	if (!json_is_string(bytes))
		return false;
	s = json_str(bytes);
	out = arena_alloc(a, s.len / 4 * 3 + 1);
	if (!num_base64_decode(s, out, &len))
		return false;
	s = str_n((const char *)out, len);
	*ret = str_is_utf8(s) ? value_bytes(s) : value_text(s);
	return true;
}

bool codec_untagged(struct arena *a, const struct column *c, const json_t *in, struct value *ret)
{
	struct value v;

	if ((c->logical == LT_BINARY || c->logical == LT_JSON) && codec_is_infinite(in)) {
		const char *word = json_string_value(json_object_get(in, CODEC_NUMBER));

		*ret = value_double(word[0] == '-' ? -(double)INFINITY : (double)INFINITY);
		return true;
	}
	/* a document is never answered like that */
	if (!untagged(a, in, &v) || (c->logical == LT_JSON && json_text_valid(v.u.s)))
		return false;
	*ret = v;
	return true;
}

bool codec_untagged_text(struct arena *a, const struct column *c, struct str in, struct value *ret)
{
	struct err ignored;
	json_t *doc;

	return str_starts(in, STR("{\"$")) && json_parse(a, in, &doc, &ignored) && codec_untagged(a, c, doc, ret);
}

/* Has the double of the number its digits? */
static bool keeps_digits(const json_t *v)
{
	json_t *kept = json_real(json_real_value(v)); /* NULL: it is infinite */
	const bool same = kept != NULL && json_number_equal(v, kept);

	json_decref(kept);
	return same;
}

bool codec_untyped(const struct column *c, const json_t *in, struct value *ret)
{
	if (c->logical != LT_STRING || c->sqlite_type.p == NULL ||
	    (c->sqlite_type.len > 0 && !str_ieq_z(c->sqlite_type, "any")))
		return false;
	if (json_is_integer(in))
		*ret = value_int(json_integer_value(in));
	else if (keeps_digits(in))
		*ret = value_double(json_real_value(in));
	else
		return false;
	return true;
}

bool codec_number_survives(const struct column *c, const json_t *v)
{
	static const char *const texts[] = {"char", "clob", "text", "blob"};
	bool as_text = c->sqlite_type.len == 0 || json_number_token(v).p == NULL;

	for (size_t i = 0; i < ARRAY_LEN(texts) && !as_text; i++)
		for (size_t k = 0; k + 4 <= c->sqlite_type.len && !as_text; k++)
			as_text = str_ieq_z(str_n(c->sqlite_type.p + k, 4), texts[i]);
	if (as_text)
		return true;
	return keeps_digits(v);
}
