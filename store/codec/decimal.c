/* Decimal text: the digits and where the point stands among them. */
#include "store/codec/decimal.h"

#include <stdint.h>
#include <string.h>

#include "service/base/num.h"

#include "service/base/banned.h"

/* Far over both limits, far under what overflows. */
#define EXPONENT_MAX 1000000

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

struct parts {
	bool negative;
	struct str whole, fraction;
	int64_t exponent;
};

static struct str run_of_digits(struct str in, size_t *at)
{
	size_t from = *at;

	while (*at < in.len && is_digit(in.p[*at]))
		(*at)++;
	return str_n(in.p + from, *at - from);
}

static bool split(struct str in, struct parts *p)
{
	size_t at = 0;
	bool down = false;
	struct str digits;

	*p = (struct parts){.fraction = STR("")};
	if (at < in.len && (in.p[at] == '+' || in.p[at] == '-'))
		p->negative = in.p[at++] == '-';
	p->whole = run_of_digits(in, &at);
	if (at < in.len && in.p[at] == '.') {
		at++;
		p->fraction = run_of_digits(in, &at);
	}
	if (p->whole.len + p->fraction.len == 0)
		return false;
	if (at < in.len && (in.p[at] == 'e' || in.p[at] == 'E')) {
		at++;
		if (at < in.len && (in.p[at] == '+' || in.p[at] == '-'))
			down = in.p[at++] == '-';
		digits = run_of_digits(in, &at);
		if (digits.len == 0 || !num_parse_int(digits, &p->exponent) || p->exponent > EXPONENT_MAX)
			return false;
		if (down)
			p->exponent = -p->exponent;
	}
	return at == in.len;
}

/* Digit i of whole and fraction taken together. */
static char digit_at(const struct parts *p, size_t i)
{
	return i < p->whole.len ? p->whole.p[i] : p->fraction.p[i - p->whole.len];
}

/* "0" or "0.000" with that many zeros. */
static bool zero(int64_t scale, struct arena *a, struct str *ret)
{
	size_t n = scale > 0 ? (size_t)scale : 0;
	char *out;

	if (n > DECIMAL_FRACTION_DIGITS)
		return false;
	out = arena_alloc(a, n + 2);
	memset(out, '0', n + 2);
	out[1] = '.';
	*ret = str_n(out, n == 0 ? 1 : n + 2);
	return true;
}

bool decimal_canonical(struct arena *a, struct str in, struct str *ret)
{
	struct parts p;
	size_t n, zeros = 0, n_out = 0;
	int64_t point, first;
	char *out;

	if (in.len > DECIMAL_WHOLE_DIGITS + DECIMAL_FRACTION_DIGITS + 16 || !split(in, &p))
		return false;
	n = p.whole.len + p.fraction.len;
	while (zeros < n && digit_at(&p, zeros) == '0')
		zeros++;
	point = (int64_t)p.whole.len + p.exponent; /* digits before the point */
	if (zeros == n)
		return zero((int64_t)n - point, a, ret);
	if (point - (int64_t)zeros > DECIMAL_WHOLE_DIGITS || (int64_t)n - point > DECIMAL_FRACTION_DIGITS)
		return false;
	out = arena_alloc(a, (size_t)((point > 0 ? point : 0) + ((int64_t)n > point ? (int64_t)n - point : 0)) + 4);
	if (p.negative)
		out[n_out++] = '-';
	first = (int64_t)zeros < point ? (int64_t)zeros : point - 1; /* leading zeros skipped, but for one */
	if (point < 1) {
		first = point;
		out[n_out++] = '0';
	}
	for (int64_t i = first; i < point; i++)
		out[n_out++] = i < (int64_t)n ? digit_at(&p, (size_t)i) : '0';
	if ((int64_t)n > point) {
		out[n_out++] = '.';
		for (int64_t i = point; i < (int64_t)n; i++)
			out[n_out++] = i >= 0 ? digit_at(&p, (size_t)i) : '0';
	}
	*ret = str_n(out, n_out);
	return true;
}

struct str decimal_trim(struct str canonical)
{
	struct str s = canonical;

	if (s.len == 0 || memchr(s.p, '.', s.len) == NULL)
		return s;
	while (s.p[s.len - 1] == '0')
		s.len--;
	if (s.p[s.len - 1] == '.')
		s.len--;
	return s;
}

size_t decimal_significant(struct str canonical)
{
	size_t n = 0, last = 0;

	for (size_t i = 0; i < canonical.len; i++) {
		char c = canonical.p[i];

		if (!is_digit(c) || (n == 0 && c == '0'))
			continue;
		n++;
		if (c != '0')
			last = n;
	}
	return last;
}

struct str decimal_from_double(struct arena *a, double v)
{
	char shortest[NUM_DOUBLE_BYTES];
	struct str text;

	(void)num_format_double(v, shortest);
	if (decimal_canonical(a, str_z(shortest), &text))
		return decimal_trim(text);
	return arena_str(a, str_z(shortest));
}
