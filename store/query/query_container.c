/* Documents, arrays and ranges as operands: JSON in, the database's own text out. */
#include "store/query/query_container.h"

#include <string.h>

#include "service/base/limits.h"
#include "store/codec/codec.h"

#include "service/base/banned.h"

static const struct {
	const char *range, *element;
} ranges[] = {
	{"int4range", "integer"}, {"int8range", "bigint"},      {"numrange", "numeric"},
	{"tsrange", "timestamp"}, {"tstzrange", "timestamptz"}, {"daterange", "date"},
};

enum container query_container(const struct column *type)
{
	if (type->logical == LT_JSON)
		return CONTAINER_JSON;
	if (type->db_type.p == NULL)
		return CONTAINER_NONE;
	if (str_ends(type->db_type, STR("[]")))
		return CONTAINER_ARRAY;
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (str_ieq_z(type->db_type, ranges[i].range))
			return CONTAINER_RANGE;
	return CONTAINER_NONE;
}

/* Type names stand in the text: letters, digits and what modifiers need, nothing that could end one. */
static bool safe_type(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		const char c = name.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("_ .(),", c) == NULL))
			return false;
	}
	return name.len > 0;
}

bool query_element_type(const struct column *type, struct str *ret)
{
	struct str name = type->db_type;

	for (size_t i = 0; i < ARRAY_LEN(ranges) && name.p != NULL; i++) {
		if (str_ieq_z(name, ranges[i].range)) {
			*ret = str_z(ranges[i].element);
			return true;
		}
	}
	while (name.p != NULL && str_ends(name, STR("[]")))
		name.len -= 2;
	*ret = name;
	return safe_type(name);
}

/* ---- arrays ---- */

static void put_element(struct strbuf *b, const json_t *v)
{
	struct strbuf text;

	if (json_is_null(v)) {
		strbuf_puts(b, "NULL");
		return;
	}
	if (json_is_string(v)) {
		dialect_quote_element(b, json_str(v));
		return;
	}
	strbuf_init(&text, 0);
	json_write(&text, v, true);
	dialect_quote_element(b, strbuf_str(&text));
	strbuf_done(&text);
}

/* Arrays in arrays are further dimensions. Recurses as deep as the document, which parsing bounds. */
static void put_array(struct strbuf *b, const json_t *v)
{
	strbuf_putc(b, '{');
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *item = json_array_get(v, i);

		if (i > 0)
			strbuf_putc(b, ',');
		if (json_is_array(item))
			put_array(b, item);
		else
			put_element(b, item);
	}
	strbuf_putc(b, '}');
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

bool query_array_text(struct arena *a, const json_t *v, const char *pointer, struct str *ret, struct err *err)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	if (json_is_array(v)) {
		put_array(&b, v);
	} else {
		strbuf_putc(&b, '{');
		put_element(&b, v);
		strbuf_putc(&b, '}');
	}
	*ret = take(a, &b);
	return without_nul(*ret, pointer, err);
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

	for (size_t i = 0; i < l->n; i++) {
		const json_t *v;

		if (!json_operand(l, i, &v))
			return false;
		ret[i] = value_json(document(l, v, elements));
		if (l->dialect->id == DIALECT_POSTGRES && strstr(arena_strz(l->arena, ret[i].u.s), "\\u0000") != NULL)
			return err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer,
					  "a text with a NUL character is nowhere in this database");
	}
	*ret_n = l->n;
	return true;
}

/* ---- ranges ---- */

static bool put_bound(const struct leaf *l, struct strbuf *b, const char *key)
{
	const json_t *v = json_object_get(l->single, key);

	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_string(v) && !json_is_number(v))
		return err_set_at(l->err, ERR_INVALID_VALUE, json_pointer_key(l->arena, l->value_pointer, str_z(key)),
				  "a bound is a number, a string or null");
	put_element(b, v);
	return true;
}

static bool put_range(const struct leaf *l, struct strbuf *b)
{
	static const char *const known[] = {"lower", "upper", "bounds", "empty"};
	const json_t *bounds = json_object_get(l->single, "bounds");
	struct str s = json_is_string(bounds) ? json_str(bounds) : STR("[)");
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		n += json_object_get(l->single, known[i]) != NULL;
	if (n == 0 || n != json_object_size(l->single) || s.len != 2 || strchr("[(", s.p[0]) == NULL ||
	    strchr("])", s.p[1]) == NULL || (bounds != NULL && !json_is_string(bounds)))
		return err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer,
				  "a range is {\"lower\", \"upper\", \"bounds\": \"[)\"} or {\"empty\": true}");
	if (json_is_true(json_object_get(l->single, "empty"))) {
		strbuf_puts(b, "empty");
		return true;
	}
	strbuf_putc(b, s.p[0]);
	if (!put_bound(l, b, "lower"))
		return false;
	strbuf_putc(b, ',');
	if (!put_bound(l, b, "upper"))
		return false;
	strbuf_putc(b, s.p[1]);
	return true;
}

bool query_is_range_text(struct str s)
{
	return s.len > 1 && (s.p[0] == '[' || s.p[0] == '(' || str_ieq_z(s, "empty"));
}

/* An object or a range's text is a range; anything else is one element, which only `contains` takes. */
static bool bind_range(const struct leaf *l, struct value *ret)
{
	struct strbuf b;
	struct str s = STR_NONE;
	bool ok = true;

	if (l->n != 1)
		return err_set_at(l->err, ERR_INVALID_QUERY, l->pointer, "operator %s takes one range", l->word);
	if (l->texts != NULL)
		s = l->texts[0];
	else if (json_is_string(l->single))
		s = json_str(l->single);
	strbuf_init(&b, 0);
	if (s.p != NULL)
		strbuf_put(&b, s);
	else if (json_is_object(l->single))
		ok = put_range(l, &b);
	else if (json_is_number(l->single))
		json_write(&b, l->single, false);
	else
		ok = err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer, "a range or a value is needed here");
	s = take(l->arena, &b);
	if (ok && l->op != OP_CONTAINS && !query_is_range_text(s))
		ok = err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer, "operator %s takes a range", l->word);
	*ret = value_text(s);
	return ok && without_nul(s, l->value_pointer, l->err);
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
	struct str s;

	if (l->texts != NULL && l->n == 1 && (l->op == OP_ANY || (l->texts[0].len > 0 && l->texts[0].p[0] == '{'))) {
		*ret = value_text(l->texts[0]);
		return without_nul(l->texts[0], l->value_pointer, l->err);
	}
	if (l->texts != NULL)
		return err_set_at(l->err, ERR_INVALID_VALUE, l->value_pointer, "an array is needed here, as in {a,b}");
	if (l->type->element != NULL)
		return bind_elements(l, ret);
	if (l->op != OP_ANY) {
		if (!query_array_text(l->arena, l->list != NULL ? l->list : l->single, l->value_pointer, &s, l->err))
			return false;
		*ret = value_text(s);
		return true;
	}
	if (json_is_string(l->single)) {
		s = json_str(l->single);
	} else {
		struct strbuf b;

		strbuf_init(&b, 0);
		json_write(&b, l->single, true);
		s = take(l->arena, &b);
	}
	*ret = json_is_null(l->single) ? value_null() : value_text(s);
	return without_nul(s, l->value_pointer, l->err);
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
