/* See json_flat.h: RFC 8259 but for \u escapes, escapes in names, nesting, and integers of more than 18 digits. */
#include "service/base/json_flat.h"

#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

#define DIGITS_MAX 18 /* always fit into 64 bits */

void json_flat_init(struct json_flat *f, char *text, size_t n)
{
	*f = (struct json_flat){.p = text, .end = text + n, .first = true};
}

static void skip_space(struct json_flat *f)
{
	while (f->p < f->end && (*f->p == ' ' || *f->p == '\t' || *f->p == '\n' || *f->p == '\r'))
		f->p++;
}

static bool take(struct json_flat *f, char c)
{
	skip_space(f);
	if (f->p == f->end || *f->p != c)
		return false;
	f->p++;
	return true;
}

/* What \c stands for; 0: not one of the short ones. */
static char escaped(char c)
{
	switch (c) {
	case '"':
	case '\\':
	case '/':
		return c;
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return 0;
	}
}

/* After the opening quote. */
static bool string(struct json_flat *f, bool may_escape, struct str *ret)
{
	char *start = f->p, *out = f->p;
	bool ascii = true;

	for (;; f->p++) {
		char c = f->p < f->end ? *f->p : '\0';

		if (c == '"')
			break;
		if ((unsigned char)c < 0x20)
			return false;
		ascii = ascii && (unsigned char)c < 0x80;
		if (c == '\\') {
			c = may_escape && ++f->p < f->end ? escaped(*f->p) : 0;
			if (c == 0)
				return false;
		}
		*out++ = c;
	}
	f->p++;
	*ret = str_n(start, (size_t)(out - start));
	return ascii || str_is_utf8(*ret);
}

static size_t digits(struct json_flat *f)
{
	const char *start = f->p;

	while (f->p < f->end && *f->p >= '0' && *f->p <= '9')
		f->p++;
	return (size_t)(f->p - start);
}

static inline bool at(const struct json_flat *f, char one, char other)
{
	return f->p < f->end && (*f->p == one || *f->p == other);
}

static bool number(struct json_flat *f, struct json_scalar *ret)
{
	const char *start = f->p;
	bool real = false;
	size_t n;

	f->p += *f->p == '-';
	const char *first = f->p;
	n = digits(f);
	if (n == 0 || (n > 1 && *first == '0'))
		return false;
	if (at(f, '.', '.')) {
		real = true;
		f->p++;
		if (digits(f) == 0)
			return false;
	}
	if (at(f, 'e', 'E')) {
		real = true;
		f->p++;
		f->p += at(f, '+', '-');
		if (digits(f) == 0)
			return false;
	}
	const struct str token = str_n(start, (size_t)(f->p - start));
	real = real || str_eq(token, STR("-0")); /* no integer has that sign */
	ret->kind = real ? JSON_SCALAR_REAL : JSON_SCALAR_INT;
	return real ? num_parse_double(token, &ret->u.d) : n <= DIGITS_MAX && num_parse_int(token, &ret->u.i);
}

static bool word(struct json_flat *f, struct str w)
{
	if ((size_t)(f->end - f->p) < w.len || memcmp(f->p, w.p, w.len) != 0)
		return false;
	f->p += w.len;
	return true;
}

static bool scalar(struct json_flat *f, struct json_scalar *ret)
{
	if (take(f, '"')) {
		ret->kind = JSON_SCALAR_STRING;
		return string(f, true, &ret->u.s);
	}
	if (f->p == f->end)
		return false;
	switch (*f->p) {
	case 't':
	case 'f':
		ret->kind = JSON_SCALAR_BOOL;
		ret->u.b = *f->p == 't';
		return word(f, ret->u.b ? STR("true") : STR("false"));
	case 'n':
		ret->kind = JSON_SCALAR_NULL;
		return word(f, STR("null"));
	default:
		return number(f, ret);
	}
}

enum json_flat_result json_flat_next(struct json_flat *f, struct str *ret_name, struct json_scalar *ret)
{
	if (f->first && !take(f, '{'))
		return JSON_FLAT_DECLINED;
	if (take(f, '}')) {
		skip_space(f);
		return f->p == f->end ? JSON_FLAT_END : JSON_FLAT_DECLINED;
	}
	if (!f->first && !take(f, ','))
		return JSON_FLAT_DECLINED;
	f->first = false;
	if (take(f, '"') && string(f, false, ret_name) && take(f, ':') && scalar(f, ret))
		return JSON_FLAT_MEMBER;
	return JSON_FLAT_DECLINED;
}
