/* Documents, arrays and ranges as operands: JSON in, the database's own text out. */
#include "store/query/query_container.h"

#include <string.h>

#include "service/base/limits.h"
#include "store/codec/codec.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

enum container query_container(const struct column *type)
{
	if (type->logical == LT_JSON)
		return CONTAINER_JSON;
	switch (type->shape) {
	case SHAPE_ARRAY:
		return CONTAINER_ARRAY;
	case SHAPE_RANGE:
	case SHAPE_MULTIRANGE:
		return CONTAINER_RANGE;
	case SHAPE_PLAIN:
	case SHAPE_COMPOSITE:
	case SHAPE_HSTORE:
	case SHAPE_VECTOR:
		break;
	}
	return CONTAINER_NONE;
}

bool query_element_type(const struct column *type, struct str *ret)
{
	*ret = type->element != NULL ? type->element->db_type : STR_NONE;
	return ret->p != NULL && schema_sql_type_name(*ret);
}

static bool without_nul(struct str s, const char *pointer, struct err *err)
{
	return s.len == 0 || memchr(s.p, '\0', s.len) == NULL ||
	       err_set_at(err, ERR_INVALID_VALUE, pointer, "a text with a NUL character is nowhere in this database");
}

static struct str take(struct arena *a, struct strbuf *b)
{
	struct str s = arena_str(a, strbuf_str(b));

	strbuf_done(b);
	return s;
}

/* ---- documents ---- */

static struct str document(const struct leaf *l, const json_t *v, bool in_array)
{
	const json_t *inner = json_object_size(v) == 1 ? json_object_get(v, "$json") : NULL;
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_puts(&b, in_array ? "[" : "");
	json_write(&b, inner != NULL ? inner : v, true);
	strbuf_puts(&b, in_array ? "]" : "");
	return take(l->arena, &b);
}

/* {a,"b c"} of a URL as the JSON array of its texts; STR_NONE: it is none. */
static struct str array_document(struct arena *a, struct str s)
{
	struct strbuf b;
	size_t i = 1;

	if (s.len < 2 || s.p[0] != '{' || s.p[s.len - 1] != '}')
		return STR_NONE;
	strbuf_init(&b, 0);
	strbuf_putc(&b, '[');
	while (i < s.len - 1) {
		const bool quoted = s.p[i] == '"';
		char *text = arena_alloc(a, s.len);
		size_t n = 0;

		for (i += quoted; i < s.len - 1 && s.p[i] != (quoted ? '"' : ','); i++) {
			i += quoted && s.p[i] == '\\' && i + 1 < s.len - 1;
			text[n++] = s.p[i];
		}
		i += quoted;
		strbuf_puts(&b, b.len > 1 ? "," : "");
		strbuf_json_string(&b, str_n(text, n));
		if (i < s.len - 1 && s.p[i++] != ',') {
			strbuf_done(&b);
			return STR_NONE;
		}
	}
	strbuf_putc(&b, ']');
	return take(a, &b);
}

/* Operand i as JSON: a URL's text is a document, or an array as PostgreSQL writes it. */
static bool json_operand(const struct leaf *l, size_t i, const json_t **ret)
{
	struct str array;
	json_t *doc;

	if (l->texts == NULL) {
		*ret = l->list != NULL ? json_array_get(l->list, i) : l->single;
		return true;
	}
	array = array_document(l->arena, l->texts[i]);
	if (!json_parse(l->arena, l->texts[i], &doc, l->err) &&
	    (array.p == NULL || !json_parse(l->arena, array, &doc, l->err)))
		return err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer, "operator %s takes a JSON document",
				  l->word);
	*ret = doc;
	return true;
}

static bool bind_keys(const struct leaf *l, struct value *ret)
{
	const char *separator = "";
	const bool postgres = l->dialect->id == DIALECT_POSTGRES;
	struct strbuf b;
	struct str s;

	strbuf_init(&b, 0);
	strbuf_puts(&b, postgres ? "{" : "[");
	for (size_t i = 0; i < l->n; i++, separator = ",") {
		const json_t *v;

		if (!json_operand(l, i, &v) || !json_is_string(v)) {
			strbuf_done(&b);
			return err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer,
					  "operator %s takes keys, strings", l->word);
		}
		strbuf_puts(&b, separator);
		if (postgres)
			dialect_quote_element(&b, json_str(v));
		else
			strbuf_json_string(&b, json_str(v));
	}
	strbuf_puts(&b, postgres ? "}" : "]");
	s = take(l->arena, &b);
	*ret = value_text(s);
	return !postgres || without_nul(s, l->value_pointer, l->err);
}

static bool bind_documents(const struct leaf *l, struct value *ret, size_t *ret_n)
{
	const bool elements = l->op == OP_ANY || l->op == OP_OVERLAP;

	const json_t *only = NULL, *v;
	size_t n = l->n;

	/* a URL's text is the list of them */
	if (l->texts != NULL && l->op == OP_OVERLAP && !json_operand(l, 0, &only))
		return false;
	if (json_is_array(only))
		n = json_array_size(only);
	if (n > l->dialect->params_max)
		return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer,
				  "operator %s has more values than one statement takes", l->word);
	for (size_t i = 0; i < n; i++) {
		v = json_is_array(only) ? json_array_get(only, i) : NULL;
		if (v == NULL && !json_operand(l, i, &v))
			return false;
		ret[i] = value_json(document(l, v, elements));
		if (l->dialect->id == DIALECT_POSTGRES && strstr(arena_strz(l->arena, ret[i].u.s), "\\u0000") != NULL)
			return err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer,
					  "a text with a NUL character is nowhere in this database");
	}
	*ret_n = n;
	return true;
}

/* ---- ranges ---- */

bool query_is_range_text(struct str s)
{
	return s.len > 1 && (strchr("[({", s.p[0]) != NULL || str_ieq_z(s, "empty"));
}

/* A range for a column of multiranges is the only one of a multirange. */
static bool bind_one_range(const struct leaf *l, const json_t *v, struct value *ret)
{
	struct column range = *l->type;

	range.shape = SHAPE_RANGE;
	if (!codec_bind(l->arena, l->dialect, &range, v, l->value_pointer, ret, l->err))
		return false;
	if (l->type->shape == SHAPE_MULTIRANGE)
		*ret = value_text(arena_printf(l->arena, "{%.*s}", STR_FMT(ret->u.s)));
	return true;
}

/* The database's text of a range, or of an element. */
static bool bind_range_text(const struct leaf *l, struct str s, struct value *ret)
{
	if (!query_is_range_text(s))
		return codec_bind_text(l->arena, l->dialect, l->type->element, s, l->value_pointer, ret, l->err);
	if (l->type->shape == SHAPE_MULTIRANGE && s.p[0] != '{')
		s = arena_printf(l->arena, "{%.*s}", STR_FMT(s));
	*ret = value_text(s);
	return without_nul(s, l->value_pointer, l->err);
}

/* An object or a range's text is a range; anything else is one element, which only `contains` takes. */
static bool bind_range(const struct leaf *l, struct value *ret)
{
	const json_t *v = l->list != NULL ? l->list : l->single;
	const struct str s = l->texts != NULL ? l->texts[0] : json_is_string(v) ? json_str(v) : STR_NONE;
	bool range = json_is_object(v) || json_is_array(v) || (s.p != NULL && query_is_range_text(s));
	json_t *doc;

	if (json_is_array(v) ? l->type->shape != SHAPE_MULTIRANGE : l->n != 1)
		return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer, "operator %s takes one range", l->word);
	if (l->op != OP_CONTAINS && !range)
		return err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer, "operator %s takes a range", l->word);
	if (l->texts != NULL && s.p[0] == '{' && json_parse(l->arena, s, &doc, l->err))
		return bind_one_range(l, doc, ret);
	if (s.p != NULL)
		return bind_range_text(l, s, ret);
	if (json_is_object(v))
		return bind_one_range(l, v, ret);
	return codec_bind(l->arena, l->dialect, json_is_array(v) ? l->type : l->type->element, v, l->value_pointer, ret,
			  l->err);
}

/* One element, or an array of them, as the column's own values are bound. */
static bool bind_elements(const struct leaf *l, struct value *ret)
{
	const json_t *v = l->list != NULL ? l->list : l->single;
	json_t *array = NULL;
	bool ok;

	if (l->op == OP_ANY)
		return codec_bind(l->arena, l->dialect, l->type->element, l->single, l->value_pointer, ret, l->err);
	if (!json_is_array(v)) {
		array = json_array();
		(void)json_array_append(array, (json_t *)(uintptr_t)v);
	}
	ok = codec_bind(l->arena, l->dialect, l->type, array != NULL ? array : v, l->value_pointer, ret, l->err);
	json_decref(array);
	return ok;
}

static bool bind_array(const struct leaf *l, struct value *ret)
{
	struct err ignored;
	json_t *doc;

	if (l->texts != NULL && l->n == 1 && (l->op == OP_ANY || (l->texts[0].len > 0 && l->texts[0].p[0] == '{'))) {
		*ret = value_text(l->texts[0]);
		return without_nul(l->texts[0], l->value_pointer, l->err);
	}
	if (l->texts != NULL && l->n == 1 && json_parse(l->arena, l->texts[0], &doc, &ignored) && json_is_array(doc))
		return codec_bind(l->arena, l->dialect, l->type, doc, l->value_pointer, ret, l->err);
	if (l->texts != NULL)
		return err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer,
				  "an array is needed here, as in {a,b} or [\"a\",\"b\"]");
	return bind_elements(l, ret);
}

bool query_bind_container(const struct leaf *l, struct value *ret, size_t *ret_n)
{
	*ret_n = 1;
	switch (query_container(l->type)) {
	case CONTAINER_ARRAY:
		return bind_array(l, ret);
	case CONTAINER_RANGE:
		return bind_range(l, ret);
	case CONTAINER_JSON:
	case CONTAINER_NONE:
		break;
	}
	if (l->op == OP_HAS_KEY || l->op == OP_HAS_ANY || l->op == OP_HAS_ALL)
		return bind_keys(l, ret);
	return bind_documents(l, ret, ret_n);
}
