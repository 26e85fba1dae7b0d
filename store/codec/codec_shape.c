/* See codec_shape.h. The texts: PostgreSQL documentation, "Range Types", "Composite Types" and the manuals of hstore
 * and pgvector. */
#include "store/codec/codec_shape.h"

#include <math.h>
#include <string.h>

#include "service/base/num.h"
#include "store/codec/json_text.h"

#include "service/base/banned.h"

/* ---- JSON in ---- */

struct writer {
	const struct codec_array *in;
	struct strbuf *text;
	struct err *err;
};

static bool takes(const struct writer *w, const char *pointer, const char *what)
{
	return err_set_at(w->err, ERR_INVALID_VALUE, pointer, "column \"%.*s\" takes %s", STR_FMT(w->in->column->name),
			  what);
}

static void put_quoted(struct strbuf *b, struct str s)
{
	strbuf_putc(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			strbuf_putc(b, '\\');
		strbuf_putc(b, s.p[i]);
	}
	strbuf_putc(b, '"');
}

/* A bound value as the database reads it inside of another. */
static void put_value(const struct writer *w, struct value v)
{
	char buf[NUM_DOUBLE_BYTES], *hex;

	switch (v.kind) {
	case VALUE_NULL:
		return;
	case VALUE_BOOL:
		strbuf_putc(w->text, v.u.b ? 't' : 'f');
		return;
	case VALUE_INT:
		strbuf_int(w->text, v.u.i);
		return;
	case VALUE_DOUBLE:
		(void)num_format_double(v.u.d, buf);
		strbuf_puts(w->text, isnan(v.u.d)      ? "NaN"
				     : isfinite(v.u.d) ? buf
				     : v.u.d > 0       ? "Infinity"
						       : "-Infinity");
		return;
	case VALUE_BYTES:
		hex = arena_alloc(w->in->arena, 2 * v.u.s.len + 1);
		num_hex((const uint8_t *)v.u.s.p, v.u.s.len, hex);
		strbuf_puts(w->text, "\"\\\\x");
		strbuf_puts(w->text, hex);
		strbuf_putc(w->text, '"');
		return;
	case VALUE_TEXT:
	case VALUE_JSON:
		put_quoted(w->text, v.u.s);
		return;
	}
}

static bool put_part(const struct writer *w, const struct column *type, const json_t *v, const char *pointer)
{
	struct value bound;

	if (v == NULL || json_is_null(v))
		return true;
	if (!w->in->bind(w->in->arena, type, v, pointer, &bound, w->err))
		return false;
	put_value(w, bound);
	return true;
}

#define RANGE_WORDS \
	"a range, {\"lower\", \"upper\", \"bounds\": \"[)\"} or {\"empty\": true}, or the database's text of one"

static bool put_range(const struct writer *w, const json_t *v, const char *pointer)
{
	static const char *const known[] = {"lower", "upper", "bounds", "empty"};
	const json_t *bounds = json_object_get(v, "bounds");
	const struct str s = json_is_string(bounds) ? json_str(bounds) : STR("[)");
	const struct column *type = w->in->column->element;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		n += json_object_get(v, known[i]) != NULL;
	if (n == 0 || n != json_object_size(v) || s.len != 2 || strchr("[(", s.p[0]) == NULL ||
	    strchr("])", s.p[1]) == NULL || (bounds != NULL && !json_is_string(bounds)))
		return takes(w, pointer, RANGE_WORDS);
	if (json_is_true(json_object_get(v, "empty"))) {
		strbuf_puts(w->text, "empty");
		return true;
	}
	strbuf_putc(w->text, s.p[0]);
	if (!put_part(w, type, json_object_get(v, "lower"), json_pointer_key(w->in->arena, pointer, STR("lower"))))
		return false;
	strbuf_putc(w->text, ',');
	if (!put_part(w, type, json_object_get(v, "upper"), json_pointer_key(w->in->arena, pointer, STR("upper"))))
		return false;
	strbuf_putc(w->text, s.p[1]);
	return true;
}

static bool put_multirange(const struct writer *w, const json_t *v, const char *pointer)
{
	if (!json_is_array(v))
		return takes(w, pointer, "an array of ranges, or the database's text of them");
	strbuf_putc(w->text, '{');
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *item = json_array_get(v, i);

		strbuf_puts(w->text, i > 0 ? "," : "");
		if (json_is_string(item))
			strbuf_put(w->text, json_str(item));
		else if (!put_range(w, item, json_pointer_index(w->in->arena, pointer, i)))
			return false;
	}
	strbuf_putc(w->text, '}');
	return true;
}

static bool put_composite(const struct writer *w, const json_t *v, const char *pointer)
{
	const struct column *c = w->in->column;
	size_t n = 0;

	if (!json_is_object(v))
		return takes(w, pointer, "an object of its fields, or the database's text of one");
	strbuf_putc(w->text, '(');
	for (size_t i = 0; i < c->n_fields; i++) {
		const json_t *field = json_object_get(v, arena_strz(w->in->arena, c->fields[i].name));

		n += field != NULL;
		strbuf_puts(w->text, i > 0 ? "," : "");
		if (!put_part(w, &c->fields[i], field, json_pointer_key(w->in->arena, pointer, c->fields[i].name)))
			return false;
	}
	strbuf_putc(w->text, ')');
	return n == json_object_size(v) || takes(w, pointer, "the fields of its type, and no others");
}

static bool put_hstore(const struct writer *w, const json_t *v, const char *pointer)
{
	const char *key, *between = "";
	json_t *item;

	if (!json_is_object(v))
		return takes(w, pointer, "an object of strings, or the database's text of one");
	json_object_foreach((json_t *)(uintptr_t)v, key, item)
	{
		if (!json_is_string(item) && !json_is_null(item))
			return takes(w, json_pointer_key(w->in->arena, pointer, str_z(key)), "strings and null only");
		strbuf_puts(w->text, between);
		put_quoted(w->text, str_z(key));
		strbuf_puts(w->text, "=>");
		if (json_is_null(item))
			strbuf_puts(w->text, "NULL");
		else
			put_quoted(w->text, json_str(item));
		between = ",";
	}
	return true;
}

static bool put_vector(const struct writer *w, const json_t *v, const char *pointer)
{
	bool numbers = json_is_array(v);

	for (size_t i = 0; numbers && i < json_array_size(v); i++)
		numbers = json_is_number(json_array_get(v, i));
	if (!numbers)
		return takes(w, pointer, "an array of numbers");
	json_write(w->text, v, false);
	return true;
}

static bool put_shape(const struct writer *w, const json_t *v)
{
	switch (w->in->column->shape) {
	case SHAPE_RANGE:
		return put_range(w, v, w->in->pointer);
	case SHAPE_MULTIRANGE:
		return put_multirange(w, v, w->in->pointer);
	case SHAPE_COMPOSITE:
		return put_composite(w, v, w->in->pointer);
	case SHAPE_HSTORE:
		return put_hstore(w, v, w->in->pointer);
	case SHAPE_VECTOR:
		return put_vector(w, v, w->in->pointer);
	case SHAPE_PLAIN:
	case SHAPE_ARRAY:
		break;
	}
	return takes(w, w->in->pointer, "text");
}

bool codec_shape_bind(const struct codec_array *in, const json_t *v, struct value *ret, struct err *err)
{
	struct strbuf text;
	struct writer w = {in, &text, err};
	bool ok;

	if (in->column->shape == SHAPE_ARRAY)
		return codec_array_bind(in, v, ret, err);
	strbuf_init(&text, 0);
	ok = put_shape(&w, v);
	if (ok && strbuf_failed(&text))
		ok = err_oom(err);
	if (ok && text.len != 0 && memchr(text.p, '\0', text.len) != NULL)
		ok = takes(&w, in->pointer, "text without NUL characters");
	if (ok)
		*ret = value_text(arena_str(in->arena, strbuf_str(&text)));
	strbuf_done(&text);
	return ok;
}

/* ---- text out ---- */

struct reader {
	struct arena *arena;
	const struct column *column;
	codec_element_decode decode;
	struct str in;
	size_t at;
	struct strbuf out;
};

static char peek(const struct reader *r)
{
	return r->at < r->in.len ? r->in.p[r->at] : '\0';
}

static bool eat(struct reader *r, char c)
{
	if (peek(r) != c || r->at >= r->in.len)
		return false;
	r->at++;
	return true;
}

/* Up to one of `ends`, which is left; quotes may begin and end anywhere. *ret_given: there was something, be it "". */
static bool read_text(struct reader *r, const char *ends, struct str *ret, bool *ret_given)
{
	char *text = arena_alloc(r->arena, r->in.len - r->at + 1);
	bool quoted = false;
	size_t n = 0;

	*ret_given = false;
	for (; r->at < r->in.len; r->at++) {
		const char c = r->in.p[r->at];

		if (!quoted && strchr(ends, c) != NULL)
			break;
		*ret_given = true;
		if (c == '"' && quoted && r->at + 1 < r->in.len && r->in.p[r->at + 1] == '"') {
			text[n++] = r->in.p[++r->at];
		} else if (c == '"') {
			quoted = !quoted;
		} else {
			if (c == '\\' && ++r->at == r->in.len)
				return false;
			text[n++] = r->in.p[r->at];
		}
	}
	*ret = str_n(text, n);
	return !quoted && r->at < r->in.len;
}

static void write_part(struct reader *r, const struct column *type, struct str s, bool given)
{
	static const struct value_format plain = {0};
	struct value v = given ? value_text(s) : value_null();

	if (given)
		r->decode(r->arena, type, &v);
	value_write_json(&r->out, v, &plain);
}

static bool read_range(struct reader *r)
{
	const struct str rest = str_n(r->in.p + r->at, r->in.len - r->at);
	const char first = peek(r);
	struct str s;
	bool given;

	if (str_starts(rest, STR("empty"))) {
		r->at += STR("empty").len;
		strbuf_puts(&r->out, "{\"empty\":true}");
		return true;
	}
	if (!eat(r, '[') && !eat(r, '('))
		return false;
	strbuf_puts(&r->out, "{\"lower\":");
	if (!read_text(r, ",", &s, &given) || !eat(r, ','))
		return false;
	write_part(r, r->column->element, s, given);
	strbuf_puts(&r->out, ",\"upper\":");
	if (!read_text(r, "])", &s, &given))
		return false;
	write_part(r, r->column->element, s, given);
	strbuf_printf(&r->out, ",\"bounds\":\"%c%c\"}", first, peek(r));
	r->at++;
	return true;
}

static bool read_multirange(struct reader *r)
{
	if (!eat(r, '{'))
		return false;
	strbuf_putc(&r->out, '[');
	if (!eat(r, '}')) {
		do {
			strbuf_puts(&r->out, r->out.p[r->out.len - 1] == '[' ? "" : ",");
			if (!read_range(r))
				return false;
		} while (eat(r, ','));
		if (!eat(r, '}'))
			return false;
	}
	strbuf_putc(&r->out, ']');
	return true;
}

static bool read_composite(struct reader *r)
{
	const struct column *c = r->column;
	struct str s;
	bool given;

	if (!eat(r, '('))
		return false;
	strbuf_putc(&r->out, '{');
	for (size_t i = 0; i < c->n_fields; i++) {
		if ((i > 0 && !eat(r, ',')) || !read_text(r, ",)", &s, &given))
			return false;
		strbuf_puts(&r->out, i > 0 ? "," : "");
		strbuf_json_string(&r->out, c->fields[i].name);
		strbuf_putc(&r->out, ':');
		write_part(r, &c->fields[i], s, given);
	}
	strbuf_putc(&r->out, '}');
	return eat(r, ')');
}

static bool read_hstore(struct reader *r)
{
	struct str key, s;
	bool given;

	strbuf_putc(&r->out, '{');
	while (r->at < r->in.len) {
		if (!read_text(r, "=", &key, &given) || !eat(r, '=') || !eat(r, '>'))
			return false;
		strbuf_puts(&r->out, r->out.len > 1 ? "," : "");
		strbuf_json_string(&r->out, key);
		strbuf_putc(&r->out, ':');
		if (str_starts(str_n(r->in.p + r->at, r->in.len - r->at), STR("NULL"))) {
			r->at += 4;
			strbuf_puts(&r->out, "null");
		} else {
			/* its last value ends where the text does */
			const struct str whole = r->in;

			r->in = arena_printf(r->arena, "%.*s,", STR_FMT(whole));
			if (!read_text(r, ",", &s, &given))
				return false;
			r->in = whole;
			strbuf_json_string(&r->out, s);
		}
		if (eat(r, ','))
			(void)eat(r, ' ');
	}
	strbuf_putc(&r->out, '}');
	return true;
}

static bool read_shape(struct reader *r)
{
	switch (r->column->shape) {
	case SHAPE_RANGE:
		return read_range(r);
	case SHAPE_MULTIRANGE:
		return read_multirange(r);
	case SHAPE_COMPOSITE:
		return read_composite(r);
	case SHAPE_HSTORE:
		return read_hstore(r);
	case SHAPE_VECTOR:
		strbuf_put(&r->out, r->in);
		r->at = r->in.len;
		return peek(r) == '\0' && json_text_valid(r->in);
	case SHAPE_PLAIN:
	case SHAPE_ARRAY:
		break;
	}
	return false;
}

struct value codec_shape_decode(struct arena *a, const struct column *c, struct value in, codec_element_decode decode)
{
	struct reader r = {.arena = a, .column = c, .decode = decode};

	if (c->shape == SHAPE_ARRAY)
		return codec_array_decode(a, c, in, decode);
	if (in.kind != VALUE_TEXT)
		return in;
	r.in = in.u.s;
	strbuf_init(&r.out, 0);
	if (read_shape(&r) && r.at == r.in.len && !strbuf_failed(&r.out))
		in = value_json(arena_str(a, strbuf_str(&r.out)));
	strbuf_done(&r.out);
	return in;
}
