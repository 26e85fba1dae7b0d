/* Large integers inside of arrays, ranges and composites as strings, where a client asked for that. */
#include "store/codec/codec_int64.h"

#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

#define SAFE_INTEGER ((INT64_C(1) << 53) - 1)

/* At any depth. */
static bool has_integers(const struct column *c)
{
	bool any = c->shape == SHAPE_PLAIN && c->logical == LT_INTEGER;

	if (c->element != NULL)
		any = has_integers(c->element);
	for (size_t i = 0; i < c->n_fields && !any; i++)
		any = has_integers(&c->fields[i]);
	return any;
}

struct walk {
	struct str in;
	size_t at;
	struct strbuf *out;
};

static char peek(const struct walk *w)
{
	return w->at < w->in.len ? w->in.p[w->at] : '\0';
}

static void copy_to(struct walk *w, size_t end)
{
	strbuf_put(w->out, str_n(w->in.p + w->at, end - w->at));
	w->at = end;
}

/* A string, with its quotes; what is between them. */
static struct str copy_string(struct walk *w)
{
	size_t end = w->at + 1;
	struct str s;

	while (end < w->in.len && w->in.p[end] != '"')
		end += w->in.p[end] == '\\' ? 2 : 1;
	s = str_n(w->in.p + w->at + 1, end - w->at - 1);
	copy_to(w, end < w->in.len ? end + 1 : w->in.len);
	return s;
}

/* Behind arrays of any depth. */
static const struct column *innermost(const struct column *c)
{
	while (c != NULL && (c->shape == SHAPE_ARRAY || c->shape == SHAPE_MULTIRANGE || c->shape == SHAPE_RANGE))
		c = c->element;
	return c;
}

static const struct column *field(const struct column *c, struct str name)
{
	const struct column *of = c;

	while (of != NULL && of->shape == SHAPE_ARRAY)
		of = of->element;
	if (of == NULL || of->shape != SHAPE_COMPOSITE)
		return of != NULL && (of->shape == SHAPE_RANGE || of->shape == SHAPE_MULTIRANGE) ? of->element : NULL;
	for (size_t i = 0; i < of->n_fields; i++)
		if (str_eq(of->fields[i].name, name))
			return &of->fields[i];
	return NULL;
}

static void copy_scalar(struct walk *w, const struct column *c)
{
	const struct column *inner = innermost(c);
	size_t end = w->at;
	bool quote;
	int64_t i;

	while (end < w->in.len && strchr(",]}", w->in.p[end]) == NULL)
		end++;
	quote = inner != NULL && inner->logical == LT_INTEGER &&
		num_parse_int(str_n(w->in.p + w->at, end - w->at), &i) && (i > SAFE_INTEGER || i < -SAFE_INTEGER);
	strbuf_puts(w->out, quote ? "\"" : "");
	copy_to(w, end);
	strbuf_puts(w->out, quote ? "\"" : "");
}

/* One value. Recurses as deep as the type. c NULL: nothing in it is to be changed. */
static void copy_value(struct walk *w, const struct column *c)
{
	const bool object = peek(w) == '{';

	if (peek(w) == '"') {
		(void)copy_string(w);
		return;
	}
	if (!object && peek(w) != '[') {
		copy_scalar(w, c);
		return;
	}
	copy_to(w, w->at + 1);
	while (w->at < w->in.len && peek(w) != ']' && peek(w) != '}') {
		const struct column *inner = c;

		if (object) {
			inner = field(c, copy_string(w));
			copy_to(w, w->at + (peek(w) == ':'));
		}
		copy_value(w, inner);
		copy_to(w, w->at + (peek(w) == ','));
	}
	copy_to(w, w->at < w->in.len ? w->at + 1 : w->at);
}

void codec_write_decoded(struct strbuf *b, const struct column *c, struct value v, const struct value_format *fmt)
{
	struct walk w = {.in = v.u.s, .out = b};

	if (v.kind == VALUE_JSON && fmt != NULL && fmt->int64_as_string && c != NULL && c->shape != SHAPE_PLAIN &&
	    has_integers(c))
		copy_value(&w, c);
	else
		value_write_json(b, v, fmt);
}
