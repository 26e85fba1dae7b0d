/* Primary keys: from text, as a condition, as the key of a map. */
#include <string.h>

#include "store/query/query_parse.h"

#include "service/base/banned.h"

struct query *query_by_pk(struct arena *a, const struct schema *s, const struct dialect *d, const struct model *m,
			  const struct value *key)
{
	struct query *q = query_new(a, s, d, m);

	const struct query_node **where = arena_array(a, m->n_pk, sizeof(const struct query_node *));

	for (size_t i = 0; i < m->n_pk; i++)
		where[i] = query_leaf_equal(a, d, m->pk[i], key[i]);
	q->where = where;
	q->n_where = m->n_pk;
	return q;
}

/* Can a value's text hold a comma? */
static bool may_hold_comma(const struct column *c)
{
	return c->logical == LT_STRING || c->logical == LT_JSON || c->logical == LT_UNKNOWN;
}

static size_t count_commas(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += s.p[i] == ',';
	return n;
}

/* Cuts the text into one part a column. Commas beyond those between the parts belong to the only column that can hold
 * them. */
static bool split_key(const struct model *m, struct str text, struct str *parts)
{
	size_t commas = count_commas(text), extra, n_takers = 0, at = 0;

	if (commas + 1 < m->n_pk)
		return false;
	extra = commas + 1 - m->n_pk;
	for (size_t i = 0; i < m->n_pk; i++)
		n_takers += may_hold_comma(m->pk[i]);
	if (extra > 0 && n_takers != 1)
		return false;
	for (size_t i = 0; i < m->n_pk; i++) {
		size_t skip = may_hold_comma(m->pk[i]) ? extra : 0;
		size_t end = at;

		while (end < text.len && (text.p[end] != ',' || skip-- > 0))
			end++;
		parts[i] = str_n(text.p + at, end - at);
		at = end + 1;
	}
	return true;
}

bool query_key_from_text(struct arena *a, const struct dialect *d, const struct model *m, struct str text,
			 struct value **ret, struct err *err)
{
	struct str *parts = arena_array(a, m->n_pk + 1, sizeof(*parts));

	if (m->n_pk == 0)
		return err_set(err, ERR_INVALID_QUERY, "model \"%.*s\" has no primary key", STR_FMT(m->name));
	if (text.p == NULL)
		text = STR("");
	parts[0] = text;
	if (m->n_pk > 1 && !split_key(m, text, parts))
		return err_set(err, ERR_INVALID_VALUE, "the key of model \"%.*s\" has %zu parts, joined by commas",
			       STR_FMT(m->name), m->n_pk);
	return query_key_from_parts(a, d, m, parts, ret, err);
}

bool query_key_from_parts(struct arena *a, const struct dialect *d, const struct model *m, const struct str *parts,
			  struct value **ret, struct err *err)
{
	struct value *values = arena_array(a, m->n_pk, sizeof(*values));

	for (size_t i = 0; i < m->n_pk; i++)
		if (!codec_bind_stored_text(a, d, m->pk[i], parts[i], "", &values[i], err)) {
			err->has_pointer = false;
			return false;
		}
	*ret = values;
	return true;
}

struct str query_identity_key(struct arena *a, const struct model *m, const struct value *key)
{
	struct strbuf b;
	struct str s;

	if (m->n_pk == 1)
		return codec_key_text(a, m->pk[0], key[0]);
	strbuf_init(&b, 0);
	for (size_t i = 0; i < m->n_pk; i++) {
		struct str part = codec_key_text(a, m->pk[i], key[i]);

		strbuf_int(&b, (int64_t)part.len); /* the length says where a part ends, whatever it holds */
		strbuf_putc(&b, ':');
		strbuf_put(&b, part);
	}
	s = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return s;
}
