/* JSON: strict parsing over jansson, errors without input text, our own writers, and the object reader. */
#include "service/base/json.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/base/fault.h"
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
}

#define STEP_BYTES 65536 /* of a text that is looked through at a time */

/* What the text is made of, at least as far as it is well formed. */
struct measure {
	size_t depth;  /* deepest nesting; jansson recurses on our small stacks, so this must be known before it starts
			*/
	size_t values; /* not fewer than it holds, and one more for each empty array and object */
};

static struct measure measure(struct str text, bool steps)
{
	size_t depth = 0, max = 0, values = 1, step = STEP_BYTES;

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
			break;
		}
	}
	return (struct measure){max, values};
}

/* Where the scanner is inside the arrays and objects around it. */
struct scan_frame {
	bool is_array;
	size_t index;   /* of the element it is at */
	struct str key; /* of the member it is at: the raw token with its quotes */
};

struct scan {
	struct str text;
	size_t pos;
	size_t n_frames;
	struct scan_frame frames[LIMIT_JSON_DEPTH];
};

/* The token that starts at pos: a string with its quotes, a run of number or word bytes, or one byte. */
static struct str scan_token(struct scan *s)
{
	const char *p = s->text.p;
	const size_t start = s->pos;
	size_t i = start + 1;

	if (p[start] == '"') {
		while (i < s->text.len && p[i] != '"')
			i += p[i] == '\\' ? 2 : 1;
		i = i < s->text.len ? i + 1 : s->text.len;
	} else if (p[start] == '-' || (p[start] >= '0' && p[start] <= '9')) {
		while (i < s->text.len && strchr("0123456789+-.eE", p[i]) != NULL && p[i] != '\0')
			i++;
	}
	s->pos = i;
	return str_n(p + start, i - start);
}

static bool number_fits(struct str token)
{
	int64_t as_int;
	double as_double;

	if (memchr(token.p, '.', token.len) == NULL && memchr(token.p, 'e', token.len) == NULL &&
	    memchr(token.p, 'E', token.len) == NULL)
		return num_parse_int(token, &as_int);
	return num_parse_double(token, &as_double);
}

/* Goes to the first number that does not fit; false when there is none. */
static bool scan_to_overflow(struct scan *s)
{
	while (s->pos < s->text.len) {
		struct str token = scan_token(s);
		struct scan_frame *top = s->n_frames > 0 ? &s->frames[s->n_frames - 1] : NULL;

		switch (token.p[0]) {
		case '[':
		case '{':
			if (s->n_frames == ARRAY_LEN(s->frames))
				return false;
			s->frames[s->n_frames++] = (struct scan_frame){token.p[0] == '[', 0, STR_NONE};
			break;
		case ']':
		case '}':
			s->n_frames -= s->n_frames > 0;
			break;
		case ',':
			if (top != NULL) {
				top->index++;
				top->key = STR_NONE;
			}
			break;
		case '"':
			if (top != NULL && !top->is_array && top->key.p == NULL)
				top->key = token;
			break;
		default:
			if ((token.p[0] == '-' || (token.p[0] >= '0' && token.p[0] <= '9')) && !number_fits(token))
				return true;
			break;
		}
	}
	return false;
}

static void decref_cleanup(void *arg)
{
	json_decref(arg);
}

/* "/records/0/age" for where the scanner stopped. */
static const char *scan_pointer(const struct scan *s, struct arena *a)
{
	const char *pointer = "";

	for (size_t i = 0; i < s->n_frames; i++) {
		const struct scan_frame *f = &s->frames[i];
		json_t *key;

		if (f->is_array) {
			pointer = json_pointer_index(a, pointer, f->index);
			continue;
		}
		/* jansson itself has read this token as a key already; it resolves the escapes once more */
		key = f->key.p != NULL ? json_loadb(f->key.p, f->key.len, JSON_DECODE_ANY, NULL) : NULL;
		if (key == NULL)
			break;
		pointer = json_pointer_key(a, pointer, json_str(key));
		json_decref(key);
	}
	return pointer;
}

static bool overflow_error(struct arena *a, struct str text, struct err *err)
{
	static const char detail[] = "this number fits neither a 64-bit integer nor a double; send it as a string";
	struct scan *s = arena_alloc(a, sizeof(*s)); /* too large for a fiber's stack */

	s->text = text;
	if (!scan_to_overflow(s))
		return err_set(err, ERR_INVALID_VALUE, "%s", detail);
	return err_set_at(err, ERR_INVALID_VALUE, scan_pointer(s, a), "%s", detail);
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

static bool parse(struct arena *a, struct str text, size_t values_max, json_t **ret, struct err *err)
{
	struct measure m;
	json_error_t e;
	json_t *v;

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
	v = load(text, steps, &e);
	if (starved) {
		json_decref(v);
		return err_oom(err);
	}
	if (v == NULL) {
		enum json_error_code code = json_error_code(&e);

		if (code == json_error_out_of_memory)
			return err_oom(err);
		if (code == json_error_numeric_overflow)
			return overflow_error(a, text, err);
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
	bool steps; /* between elements others may run */
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
			if (w->steps)
				wait_may_step_aside();
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
		strbuf_json_double(w->b, json_real_value(v));
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

void json_write_long(struct strbuf *b, const json_t *v, bool sorted)
{
	write_value(&(struct writer){.b = b, .sorted = sorted, .steps = true}, v);
}

void json_write_canonical(struct strbuf *b, const json_t *v)
{
	write_value(&(struct writer){.b = b, .sorted = true, .ascii = true}, v);
}

void json_write_canonical_long(struct strbuf *b, const json_t *v)
{
	write_value(&(struct writer){.b = b, .sorted = true, .ascii = true, .steps = true}, v);
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
	return arena_printf(a, "%s/%zu", pointer, index).p;
}
