/* Recursive descent over plain JSON; whoever fails returns NULL, and the whole text goes another way. */
#include "service/base/json_plain.h"

#include <string.h>

#include "service/base/limits.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define DIGITS_MAX 18 /* of an integer that surely fits into 64 bits */

struct reader {
	const char *p, *end;
	unsigned depth;
};

static void skip_blank(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
		r->p++;
}

/* Takes the byte, and blanks before it. */
static bool take(struct reader *r, char c)
{
	skip_blank(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* The content of a string whose opening quote has been taken. */
static bool read_string(struct reader *r, struct str *ret)
{
	const char *from = r->p;
	unsigned char all = 0;

	for (; r->p < r->end && *r->p != '"'; r->p++) {
		const unsigned char c = (unsigned char)*r->p;

		if (c < 0x20 || c == '\\')
			return false;
		all |= c;
	}
	if (r->p == r->end)
		return false;
	*ret = str_n(from, (size_t)(r->p - from));
	r->p++;
	return all < 0x80 || str_is_utf8(*ret);
}

static size_t skip_digits(struct reader *r)
{
	const char *from = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return (size_t)(r->p - from);
}

static json_t *read_real(struct reader *r, const char *from)
{
	double v;

	if (r->p < r->end && *r->p == '.') {
		r->p++;
		if (skip_digits(r) == 0)
			return NULL;
	}
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
		r->p++;
		if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
			r->p++;
		if (skip_digits(r) == 0)
			return NULL;
	}
	return num_parse_double(str_n(from, (size_t)(r->p - from)), &v) ? json_real(v) : NULL;
}

static json_t *read_number(struct reader *r)
{
	const char *from = r->p;
	size_t n;
	int64_t v;

	r->p += *r->p == '-';
	const bool zero = r->p < r->end && *r->p == '0';
	n = skip_digits(r);
	if (n == 0 || (zero && n > 1))
		return NULL;
	if (r->p < r->end && (*r->p == '.' || *r->p == 'e' || *r->p == 'E'))
		return read_real(r, from);
	if (n > DIGITS_MAX || !num_parse_int(str_n(from, (size_t)(r->p - from)), &v))
		return NULL;
	return json_integer(v);
}

static json_t *read_word(struct reader *r, const char *word, size_t len, json_t *value)
{
	if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return NULL;
	r->p += len;
	return value;
}

static json_t *read_value(struct reader *r);

static bool read_elements(struct reader *r, json_t *array)
{
	if (take(r, ']'))
		return true;
	do {
		if (json_array_append_new(array, read_value(r)) != 0)
			return false;
	} while (take(r, ','));
	return take(r, ']');
}

static bool read_members(struct reader *r, json_t *object)
{
	struct str key;
	size_t n = 0;

	if (take(r, '}'))
		return true;
	do {
		if (!take(r, '"') || !read_string(r, &key) || !take(r, ':') ||
		    json_object_setn_new_nocheck(object, key.p, key.len, read_value(r)) != 0)
			return false;
		if (json_object_size(object) != ++n) /* the name was there */
			return false;
	} while (take(r, ','));
	return take(r, '}');
}

static json_t *read_container(struct reader *r, json_t *container, bool (*read)(struct reader *r, json_t *container))
{
	if (container == NULL)
		return NULL;
	if (++r->depth > LIMIT_JSON_DEPTH || !read(r, container)) {
		json_decref(container);
		return NULL;
	}
	r->depth--;
	return container;
}

/* Recurses as deep as LIMIT_JSON_DEPTH. */
static json_t *read_value(struct reader *r)
{
	struct str s;

	skip_blank(r);
	if (r->p == r->end)
		return NULL;
	switch (*r->p) {
	case '{':
		r->p++;
		return read_container(r, json_object(), read_members);
	case '[':
		r->p++;
		return read_container(r, json_array(), read_elements);
	case '"':
		r->p++;
		return read_string(r, &s) ? json_stringn_nocheck(s.p, s.len) : NULL;
	case 't':
		return read_word(r, "true", 4, json_true());
	case 'f':
		return read_word(r, "false", 5, json_false());
	case 'n':
		return read_word(r, "null", 4, json_null());
	default:
		return *r->p == '-' || (*r->p >= '0' && *r->p <= '9') ? read_number(r) : NULL;
	}
}

json_t *json_read_plain(struct str text)
{
	struct reader r = {.p = text.p, .end = text.p + text.len};
	json_t *v;

	if (text.len == 0 || memchr(text.p, '\\', text.len) != NULL)
		return NULL;
	v = read_value(&r);
	skip_blank(&r);
	if (v != NULL && r.p != r.end) {
		json_decref(v);
		return NULL;
	}
	return v;
}
