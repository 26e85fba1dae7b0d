/* JSON: strict parsing over jansson, errors without input text, our own writers, and the object reader. */
#include "service/base/json.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/base/fault.h"
#include "service/base/json_quick.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* Of a failed allocation jansson makes a syntax error, or a string that lacks a byte: while it parses we remember it
 * ourselves. Documents that we build are small: there it is as fatal as anywhere. */
static _Thread_local bool parsing, starved;

static void *json_alloc(size_t n)
{
	void *p = malloc(n);

#ifdef FERROD_FAULTS
	if (p != NULL && parsing && fault_due()) {
		free(p);
		p = NULL;
	}
#endif
	if (p == NULL && !parsing)
		mem_fail();
	starved = starved || p == NULL;
	return p;
}

__attribute__((constructor)) static void use_alloc(void)
{
	json_set_alloc_funcs(json_alloc, free);
	if (!json_number_fits_jansson())
		abort(); /* another jansson than we were written for */
}

#define STEP_BYTES 65536 /* of a text that is looked through at a time */

/* What the text is made of, at least as far as it is well formed. */
struct measure {
	size_t depth;   /* deepest nesting; jansson recurses on our small stacks, so this must be known before it starts
			 */
	size_t values;  /* not fewer than it holds, and one more for each empty array and object */
	size_t carried; /* numbers whose digits are carried (json_number.h), or what looks like one */
};

static struct measure measure(struct str text, bool steps)
{
	size_t depth = 0, max = 0, values = 1, n_carried = 0, step = STEP_BYTES;
	bool carried;

	for (size_t i = 0; i < text.len; i++) {
		if (steps && i >= step) {
			step = i + STEP_BYTES;
			wait_may_step_aside();
		}
		switch (text.p[i]) {
		case '"':
			for (i++; i < text.len && text.p[i] != '"'; i++)
				i += text.p[i] == '\\';
			break;
		case '[':
		case '{':
			depth++;
			values++;
			max = depth > max ? depth : max;
			break;
		case ',':
			values++;
			break;
		case ']':
		case '}':
			depth -= depth > 0;
			break;
		default:
			if (text.p[i] != '-' && (text.p[i] < '0' || text.p[i] > '9'))
				break;
			i = json_number_skip(text, i, &carried) - 1;
			n_carried += carried;
			break;
		}
	}
	return (struct measure){max, values, n_carried};
}

static void decref_cleanup(void *arg)
{
	json_decref(arg);
}

/* What is wrong, in our words: jansson's quote the input. NULL for what has no position. */
static const char *reason(enum json_error_code code)
{
	/* -Wswitch-enum would want a line for each code that only other calls of jansson give. */
	switch ((int)code) {
	case json_error_invalid_utf8:
		return "ill-formed UTF-8";
	case json_error_premature_end_of_input:
		return "the text ends too early";
	case json_error_end_of_input_expected:
		return "bytes follow the value";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "a member name contains a NUL character";
	case json_error_duplicate_key:
		return "a member name occurs twice in one object";
	case json_error_invalid_syntax:
	default:
		return "syntax error";
	}
}

/* Hands a long text to jansson in pieces, between which others run. What allocations of others find meanwhile is none
 * of ours. */
static size_t next_piece(void *buffer, size_t max, void *arg)
{
	struct str *rest = arg;
	const size_t n = rest->len < max ? rest->len : max;
	const bool was_starved = starved;

	parsing = false;
	wait_may_step_aside();
	parsing = true;
	starved = was_starved;
	memcpy(buffer, rest->p, n);
	*rest = str_n(rest->p + n, rest->len - n);
	return n;
}

static json_t *load(struct str text, bool steps, json_error_t *e)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
	json_t *v;

	starved = false;
	parsing = true;
	v = steps ? json_load_callback(next_piece, &text, flags, e) : json_loadb(text.p, text.len, flags, e);
	parsing = false;
	return v;
}

/* The document, its numbers with their digits. */
static json_t *load_whole(struct arena *a, struct str text, size_t n_carried, bool steps, json_error_t *e)
{
	struct json_carried_list carried;
	char *copy;
	json_t *v;

	if (n_carried == 0)
		return load(text, steps, e);
	json_number_extract(a, text, n_carried, steps, &copy, &carried);
	v = load(str_n(copy, text.len), steps, e);
	mem_free(copy);
	return v != NULL && !starved ? json_number_place(v, &carried, steps) : v;
}

/* What is short and usual. NULL: to be looked at closely. */
static json_t *quick(struct arena *a, struct str text, size_t values_max)
{
	json_t *v;

	starved = false;
	parsing = true;
	v = json_quick(a, text, values_max);
	parsing = false;
	if (v != NULL && starved) {
		json_decref(v);
		v = NULL;
	}
	return v;
}

static bool parse(struct arena *a, struct str text, size_t values_max, json_t **ret, struct err *err)
{
	struct measure m;
	json_error_t e;
	json_t *v = quick(a, text, values_max);

	if (v != NULL) {
		arena_on_done(a, decref_cleanup, v);
		*ret = v;
		return true;
	}
	if (starved)
		return err_oom(err);
	if (str_trim(text).len == 0)
		return err_set(err, ERR_INVALID_JSON, "the body is empty");
	/* No JSON text has one, but jansson 2.14 takes it for the end and does not look at what follows. */
	if (memchr(text.p, '\0', text.len) != NULL)
		return err_set(err, ERR_INVALID_JSON, "not valid JSON: it contains a NUL byte");
	const bool steps = values_max != SIZE_MAX && text.len > STEP_BYTES;
	m = measure(text, steps);
	if (m.depth > LIMIT_JSON_DEPTH)
		return err_set(err, ERR_INVALID_JSON, "the body is nested deeper than %d levels", LIMIT_JSON_DEPTH);
	if (m.values > values_max)
		return err_set(err, ERR_PAYLOAD_TOO_LARGE, "the body holds more than %zu JSON values", values_max);
	v = load_whole(a, text, m.carried, steps, &e);
	if (starved) {
		json_decref(v);
		return err_oom(err);
	}
	if (v == NULL) {
		enum json_error_code code = json_error_code(&e);

		if (code == json_error_out_of_memory)
			return err_oom(err);
		return err_set(err, ERR_INVALID_JSON, "not valid JSON at line %d, column %d: %s", e.line, e.column,
			       reason(code));
	}
	arena_on_done(a, decref_cleanup, v);
	*ret = v;
	return true;
}

bool json_parse(struct arena *a, struct str text, json_t **ret, struct err *err)
{
	return parse(a, text, SIZE_MAX, ret, err);
}

bool json_parse_body(struct arena *a, struct str text, size_t values_max, json_t **ret, struct err *err)
{
	return parse(a, text, values_max, ret, err);
}

/* A string of the canonical form: printable ASCII as it is, all else escaped in UTF-16 units. */
static void write_ascii_string(struct strbuf *b, struct str s)
{
	uint32_t cp;

	strbuf_putc(b, '"');
	for (size_t i = 0; i < s.len;) {
		size_t n = str_utf8_next(s, i, &cp);

		if (cp == STR_UTF8_BAD)
			cp = 0xFFFD;
		if (cp >= 0x20 && cp < 0x7F) {
			if (cp == '"' || cp == '\\')
				strbuf_putc(b, '\\');
			strbuf_putc(b, (char)cp);
		} else if (cp >= 0x08 && cp <= 0x0D && cp != 0x0B) {
			strbuf_put(b, str_n((char[]){'\\', "btn.fr"[cp - 0x08]}, 2));
		} else if (cp < 0x10000) {
			strbuf_printf(b, "\\u%04x", (unsigned)cp);
		} else {
			strbuf_printf(b, "\\u%04x\\u%04x", 0xD800 + (unsigned)((cp - 0x10000) >> 10),
				      0xDC00 + (unsigned)((cp - 0x10000) & 0x3FF));
		}
		i += n;
	}
	strbuf_putc(b, '"');
}

struct writer {
	struct strbuf *b;
	bool sorted;
	bool ascii;
};

struct member {
	struct str key;
	const json_t *value;
};

static int compare_members(const void *a, const void *b)
{
	return str_cmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void write_string(const struct writer *w, struct str s)
{
	if (w->ascii)
		write_ascii_string(w->b, s);
	else
		strbuf_json_string(w->b, s);
}

static void write_value(const struct writer *w, const json_t *v);

static void write_sorted(const struct writer *w, json_t *obj)
{
	struct member *members = mem_array(json_object_size(obj), sizeof(*members));
	size_t n = 0;

	for (void *it = json_object_iter(obj); it != NULL; it = json_object_iter_next(obj, it)) {
		members[n].key = str_n(json_object_iter_key(it), json_object_iter_key_len(it));
		members[n++].value = json_object_iter_value(it);
	}
	qsort(members, n, sizeof(*members), compare_members);
	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			strbuf_putc(w->b, ',');
		write_string(w, members[i].key);
		strbuf_putc(w->b, ':');
		write_value(w, members[i].value);
	}
	mem_free(members);
}

static void write_object(const struct writer *w, const json_t *v)
{
	json_t *obj = (json_t *)(uintptr_t)v; /* jansson's iterators want it writable and leave it as it is */
	bool first = true;

	strbuf_putc(w->b, '{');
	if (w->sorted) {
		write_sorted(w, obj);
	} else {
		for (void *it = json_object_iter(obj); it != NULL; it = json_object_iter_next(obj, it)) {
			if (!first)
				strbuf_putc(w->b, ',');
			first = false;
			write_string(w, str_n(json_object_iter_key(it), json_object_iter_key_len(it)));
			strbuf_putc(w->b, ':');
			write_value(w, json_object_iter_value(it));
		}
	}
	strbuf_putc(w->b, '}');
}

/* The canonical form has one spelling for one double. */
static void write_real(const struct writer *w, const json_t *v)
{
	const struct str token = json_number_token(v);

	if (token.p != NULL && !w->ascii)
		strbuf_put(w->b, token);
	else
		strbuf_json_double(w->b, json_real_value(v));
}

/* Recursion is as deep as the tree, which json_parse bounds. */
static void write_value(const struct writer *w, const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		write_object(w, v);
		break;
	case JSON_ARRAY:
		strbuf_putc(w->b, '[');
		for (size_t i = 0; i < json_array_size(v); i++) {
			if (i != 0)
				strbuf_putc(w->b, ',');
			write_value(w, json_array_get(v, i));
		}
		strbuf_putc(w->b, ']');
		break;
	case JSON_STRING:
		write_string(w, json_str(v));
		break;
	case JSON_INTEGER:
		strbuf_int(w->b, (int64_t)json_integer_value(v));
		break;
	case JSON_REAL:
		write_real(w, v);
		break;
	case JSON_TRUE:
		strbuf_puts(w->b, "true");
		break;
	case JSON_FALSE:
		strbuf_puts(w->b, "false");
		break;
	case JSON_NULL:
		strbuf_puts(w->b, "null");
		break;
	}
}

void json_write(struct strbuf *b, const json_t *v, bool sorted)
{
	write_value(&(struct writer){.b = b, .sorted = sorted}, v);
}

void json_write_canonical(struct strbuf *b, const json_t *v)
{
	write_value(&(struct writer){.b = b, .sorted = true, .ascii = true}, v);
}

const char *json_type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "object";
	case JSON_ARRAY:
		return "array";
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
		return "integer";
	case JSON_REAL:
		return "number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

const char *json_pointer_key(struct arena *a, const char *pointer, struct str key)
{
	const size_t n = strlen(pointer);
	char *out = arena_alloc(a, n + 2 * key.len + 2);
	size_t len = n;

	memcpy(out, pointer, n);
	out[len++] = '/';
	for (size_t i = 0; i < key.len; i++) {
		if (key.p[i] == '~' || key.p[i] == '/') {
			out[len++] = '~';
			out[len++] = key.p[i] == '~' ? '0' : '1';
		} else {
			out[len++] = key.p[i];
		}
	}
	return out; /* arena memory is zeroed: a NUL follows */
}

const char *json_pointer_index(struct arena *a, const char *pointer, size_t index)
{
	char digits[24];
	const size_t at = strlen(pointer), n = num_format_int((int64_t)index, digits);
	char *ret = arena_alloc(a, at + 1 + n + 1);

	memcpy(ret, pointer, at);
	ret[at] = '/';
	memcpy(ret + at + 1, digits, n);
	return ret;
}
