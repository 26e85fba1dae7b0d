/* See codec_array.h. The text: PostgreSQL documentation, "Array Input and Output Syntax". */
#include "store/codec/codec_array.h"

#include <math.h>
#include <string.h>

#include "service/base/num.h"
#include "store/dialect/dialect.h"

#include "service/base/banned.h"

/* As many as PostgreSQL's arrays have, which also bounds the recursion. */
#define DIMENSIONS_MAX 6

/* All types of PostgreSQL's own have a comma between elements but this one. */
static char delimiter(const struct column *element)
{
	return str_ieq_z(element->db_type, "box") ? ';' : ',';
}

/* ---- JSON in ---- */

struct writer {
	struct arena *arena;
	const struct column *column;
	const char *pointer; /* of the whole */
	codec_element_bind bind;
	size_t sizes[DIMENSIONS_MAX], n;
	size_t at[DIMENSIONS_MAX]; /* where in the array we are */
	struct strbuf text;
	struct err *err;
};

/* Of the element, or the array, that is reached with the first `depth` places. */
static const char *pointer_of(const struct writer *w, size_t depth)
{
	const char *pointer = w->pointer;

	for (size_t i = 0; i < depth; i++)
		pointer = json_pointer_index(w->arena, pointer, w->at[i]);
	return pointer;
}

static void put_double(struct strbuf *b, double d)
{
	char buf[NUM_DOUBLE_BYTES];

	if (!isfinite(d)) {
		strbuf_puts(b, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
		return;
	}
	(void)num_format_double(d, buf);
	strbuf_puts(b, buf);
}

static void put_bytes(struct writer *w, struct str s)
{
	char *hex = arena_alloc(w->arena, 2 * s.len + 1);

	num_hex((const uint8_t *)s.p, s.len, hex);
	strbuf_puts(&w->text, "\"\\\\x");
	strbuf_puts(&w->text, hex);
	strbuf_putc(&w->text, '"');
}

static void put_value(struct writer *w, struct value v)
{
	switch (v.kind) {
	case VALUE_NULL:
		strbuf_puts(&w->text, "NULL");
		return;
	case VALUE_BOOL:
		strbuf_putc(&w->text, v.u.b ? 't' : 'f');
		return;
	case VALUE_INT:
		strbuf_int(&w->text, v.u.i);
		return;
	case VALUE_DOUBLE:
		put_double(&w->text, v.u.d);
		return;
	case VALUE_BYTES:
		put_bytes(w, v.u.s);
		return;
	case VALUE_TEXT:
	case VALUE_JSON:
		dialect_quote_element(&w->text, v.u.s);
		return;
	}
}

/* Is a value of the type an array on the wire, without being one in the database? */
static bool is_list(const struct column *type)
{
	return type->shape == SHAPE_MULTIRANGE || type->shape == SHAPE_VECTOR;
}

/* The sizes along the first elements; the others have to have the same. */
static bool measure(struct writer *w, const json_t *v)
{
	for (; json_is_array(v); v = json_array_get(v, 0)) {
		/* an element that is an array itself is told by what is in it, which is none */
		if (w->n > 0 && is_list(w->column->element) && !json_is_array(json_array_get(v, 0)))
			return true;
		if (w->n == DIMENSIONS_MAX)
			return err_set_at(w->err, ERR_INVALID_VALUE, w->pointer,
					  "column \"%.*s\" takes arrays of at most %d dimensions",
					  STR_FMT(w->column->name), DIMENSIONS_MAX);
		w->sizes[w->n++] = json_array_size(v);
		if (json_array_size(v) == 0 && w->n > 1)
			return err_set_at(w->err, ERR_INVALID_VALUE, w->pointer,
					  "column \"%.*s\" takes no empty array inside another: the database keeps "
					  "none",
					  STR_FMT(w->column->name));
	}
	return true;
}

static bool put_element(struct writer *w, const json_t *v, size_t depth)
{
	struct value bound;

	/* where it stands is only told when it is needed */
	if (!w->bind(w->arena, w->column->element, v, w->pointer, &bound, w->err))
		return w->bind(w->arena, w->column->element, v, pointer_of(w, depth), &bound, w->err);
	put_value(w, bound);
	return true;
}

static bool put_array(struct writer *w, const json_t *v, size_t depth)
{
	const char between = delimiter(w->column->element);
	const bool inner = depth + 1 < w->n;

	if (json_array_size(v) != w->sizes[depth])
		return err_set_at(w->err, ERR_INVALID_VALUE, pointer_of(w, depth),
				  "column \"%.*s\" takes arrays whose inner arrays have the same size",
				  STR_FMT(w->column->name));
	strbuf_putc(&w->text, '{');
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *item = json_array_get(v, i);

		w->at[depth] = i;
		if (i > 0)
			strbuf_putc(&w->text, between);
		if (json_is_array(item) != inner && !(is_list(w->column->element) && !inner))
			return err_set_at(w->err, ERR_INVALID_VALUE, pointer_of(w, depth + 1),
					  "column \"%.*s\" takes arrays of one depth", STR_FMT(w->column->name));
		if (!(inner ? put_array(w, item, depth + 1) : put_element(w, item, depth + 1)))
			return false;
	}
	strbuf_putc(&w->text, '}');
	return true;
}

bool codec_array_bind(const struct codec_array *array, const json_t *in, struct value *ret, struct err *err)
{
	const struct column *c = array->column;
	struct writer w = {
		.arena = array->arena, .column = c, .pointer = array->pointer, .bind = array->bind, .err = err};
	bool ok;

	if (!json_is_array(in))
		return err_set_at(err, ERR_INVALID_VALUE, array->pointer,
				  "column \"%.*s\" takes an array, or the database's text of one", STR_FMT(c->name));
	strbuf_init(&w.text, 0);
	ok = measure(&w, in) && put_array(&w, in, 0);
	if (ok && strbuf_failed(&w.text))
		ok = err_oom(err);
	if (ok)
		*ret = value_text(arena_str(array->arena, strbuf_str(&w.text)));
	strbuf_done(&w.text);
	return ok;
}

/* ---- text out ---- */

struct reader {
	struct arena *arena;
	const struct column *element;
	codec_element_decode decode;
	struct str in;
	size_t at;
	char delimiter;
	char *texts; /* room for those of all elements */
	struct strbuf out;
};

static char peek(const struct reader *r)
{
	return r->at < r->in.len ? r->in.p[r->at] : '\0';
}

/* One element's text, without its quotes. False: it does not end. */
static bool read_text(struct reader *r, struct str *ret, bool *ret_quoted)
{
	char *text = r->texts;
	size_t n = 0;

	*ret_quoted = peek(r) == '"';
	r->at += *ret_quoted;
	for (; r->at < r->in.len; r->at++) {
		const char c = r->in.p[r->at];

		if (*ret_quoted ? c == '"' : c == r->delimiter || c == '}')
			break;
		if (c == '\\' && ++r->at == r->in.len)
			return false;
		text[n++] = r->in.p[r->at];
	}
	if (*ret_quoted && peek(r) != '"')
		return false;
	r->at += *ret_quoted;
	*ret = str_n(text, n);
	r->texts += n;
	return *ret_quoted || n > 0;
}

static bool read_element(struct reader *r)
{
	static const struct value_format plain = {0};
	struct str s;
	struct value v;
	bool quoted, wrapped;

	if (!read_text(r, &s, &quoted))
		return false;
	v = !quoted && str_eq(s, STR("NULL")) ? value_null() : value_text(s);
	if (v.kind != VALUE_NULL)
		r->decode(r->arena, r->element, &v);
	/* a document that is an array would be taken for a further dimension */
	wrapped = v.kind == VALUE_JSON && r->element->logical == LT_JSON && str_trim(v.u.s).p[0] == '[';
	strbuf_puts(&r->out, wrapped ? "{\"$json\":" : "");
	value_write_json(&r->out, v, &plain);
	strbuf_puts(&r->out, wrapped ? "}" : "");
	return true;
}

static bool read_array(struct reader *r, size_t depth)
{
	if (depth == DIMENSIONS_MAX || peek(r) != '{')
		return false;
	r->at++;
	strbuf_putc(&r->out, '[');
	while (peek(r) != '}') {
		if (!(peek(r) == '{' ? read_array(r, depth + 1) : read_element(r)))
			return false;
		if (peek(r) == '}')
			break;
		if (peek(r) != r->delimiter)
			return false;
		r->at++;
		strbuf_putc(&r->out, ',');
		if (peek(r) == '}')
			return false;
	}
	r->at++;
	strbuf_putc(&r->out, ']');
	return true;
}

struct value codec_array_decode(struct arena *a, const struct column *c, struct value in, codec_element_decode decode)
{
	struct reader r = {
		.arena = a, .element = c->element, .decode = decode, .in = in.u.s, .delimiter = delimiter(c->element)};

	if (in.kind != VALUE_TEXT || in.u.s.len == 0 || in.u.s.p[0] != '{')
		return in;
	r.texts = arena_alloc(a, in.u.s.len);
	strbuf_init(&r.out, 0);
	if (read_array(&r, 0) && r.at == r.in.len && !strbuf_failed(&r.out))
		in = value_json(arena_str(a, strbuf_str(&r.out)));
	strbuf_done(&r.out);
	return in;
}
