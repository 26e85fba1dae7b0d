/*
 * Doubles to and from text. Printing: what people write is found by scaling, the rest by the Schubfach method
 * (Raffaello Giulietti, "The Schubfach way to render doubles", 2020), whose powers of ten are computed at its first
 * use. Reading: exactly when digits and power are exact doubles, else by strtod, which is locale-safe here because the
 * daemon never calls setlocale.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

__extension__ typedef unsigned __int128 uint128;

/* ---- reading ---- */

#define EXPONENT_MAX INT64_C(1000000000000) /* more than any text has digits that could make up for it */
#define DIGITS_EXACT 15                     /* of any such number a double keeps them all */

/* A decimal as it is written: digits times ten to `exponent`. */
struct decimal {
	uint64_t digits;
	size_t n_digits; /* from the first that is not zero */
	int64_t exponent;
	bool negative;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Beyond 19 digits d->digits is of no use. */
static size_t scan_digits(struct str s, size_t i, struct decimal *d)
{
	const size_t from = i;

	for (; i < s.len && is_digit(s.p[i]); i++) {
		d->n_digits += d->n_digits > 0 || s.p[i] != '0';
		d->digits = d->digits * 10 + (uint64_t)(s.p[i] - '0');
	}
	return i - from;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or after the point, and nothing else. */
static bool scan_decimal(struct str s, struct decimal *d)
{
	size_t i = 0, n, n_fraction = 0;
	int64_t exponent = 0;
	bool negative;

	*d = (struct decimal){0};
	d->negative = s.len > 0 && s.p[0] == '-';
	if (s.len > 0 && (s.p[0] == '+' || s.p[0] == '-'))
		i++;
	n = scan_digits(s, i, d);
	i += n;
	if (i < s.len && s.p[i] == '.') {
		n_fraction = scan_digits(s, i + 1, d);
		i += 1 + n_fraction;
	}
	if (n + n_fraction == 0)
		return false;
	if (i < s.len && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		negative = i < s.len && s.p[i] == '-';
		if (i < s.len && (s.p[i] == '+' || s.p[i] == '-'))
			i++;
		if (i == s.len)
			return false;
		for (; i < s.len && is_digit(s.p[i]); i++)
			exponent = exponent < EXPONENT_MAX ? exponent * 10 + (s.p[i] - '0') : exponent;
		if (negative)
			exponent = -exponent;
	}
	d->exponent = exponent - (int64_t)n_fraction;
	return i == s.len;
}

static bool read_slowly(struct str s, double *ret)
{
	char small[128];
	char *z = small;
	double v;

	if (s.len >= sizeof(small)) {
		z = mem_try(NULL, s.len + 1);
		if (z == NULL)
			return false;
	}
	memcpy(z, s.p, s.len);
	z[s.len] = '\0';
	v = strtod(z, NULL);
	if (z != small)
		mem_free(z);
	if (isinf(v))
		return false; /* too large; too small is 0 or subnormal, as good as a double gets */
	*ret = v;
	return true;
}

static double scale(uint64_t digits, int64_t exponent, bool negative)
{
	static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	/* two exact doubles: the one operation rounds as reading has to */
	double v = (double)digits;

	v = exponent < 0 ? v / tens[-exponent] : v * tens[exponent];
	return negative ? -v : v;
}

/* [-] digits [. digits], and short: what databases and people write. */
static bool read_short(struct str s, double *ret)
{
	const bool negative = s.len > 0 && s.p[0] == '-';
	size_t point = s.len, n = 0;
	uint64_t digits = 0;

	if (s.len > DIGITS_EXACT)
		return false;
	for (size_t i = negative; i < s.len; i++) {
		if (is_digit(s.p[i])) {
			digits = digits * 10 + (uint64_t)(s.p[i] - '0');
			n++;
		} else if (s.p[i] == '.' && point == s.len) {
			point = i;
		} else {
			return false;
		}
	}
	if (n == 0)
		return false;
	*ret = scale(digits, point < s.len ? (int64_t)point + 1 - (int64_t)s.len : 0, negative);
	return true;
}

size_t num_parse_short_double(const char *z, double *ret)
{
	const bool negative = *z == '-';
	const char *const first = z + negative, *p = first, *point = NULL;
	uint64_t digits = 0;

	for (; p - first <= DIGITS_EXACT; p++) {
		const unsigned digit = (unsigned char)*p - (unsigned)'0';

		if (digit <= 9)
			digits = digits * 10 + digit;
		else if (*p == '.' && point == NULL)
			point = p;
		else
			break;
	}
	/* at most DIGITS_EXACT digits, and one at least */
	if (*p != '\0' || p - first > DIGITS_EXACT || p - first == (point != NULL))
		return 0;
	*ret = scale(digits, point != NULL ? point + 1 - p : 0, negative);
	return (size_t)(p - z);
}

bool num_parse_double(struct str s, double *ret)
{
	struct decimal d;

	if (read_short(s, ret))
		return true;
	if (!scan_decimal(s, &d)) {
		if (str_eq(s, STR("NaN")))
			*ret = (double)NAN;
		else if (str_eq(s, STR("Infinity")))
			*ret = HUGE_VAL;
		else if (str_eq(s, STR("-Infinity")))
			*ret = -HUGE_VAL;
		else
			return false;
		return true;
	}
	if (d.n_digits > DIGITS_EXACT || d.exponent > 22 || d.exponent < -22)
		return read_slowly(s, ret);
	*ret = scale(d.digits, d.exponent, d.negative);
	return true;
}

/* ---- powers of ten ---- */

#define POWER_MIN (-292)
#define POWER_MAX 324
#define LIMBS 44 /* of 32 bits: 10^324 takes 1077, 2^POWER_BITS the rest */
#define POWER_BITS 1400

/* The first 128 bits of 10^k, rounded up. */
struct power {
	uint64_t high, low;
};

static struct power powers[POWER_MAX - POWER_MIN + 1];
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

/* The first 128 bits of a number, the top one set; rounded up when it has more. */
static struct power leading_bits(const uint32_t limbs[LIMBS], bool inexact)
{
	size_t top = LIMBS - 1;
	uint128 v = 0;
	unsigned shift;

	while (limbs[top] == 0)
		top--;
	shift = (unsigned)__builtin_clz(limbs[top]);
	for (size_t i = 0; i < 4; i++)
		v = v << 32 | (top >= i ? limbs[top - i] : 0);
	v <<= shift;
	if (shift != 0 && top >= 4) {
		v |= limbs[top - 4] >> (32 - shift);
		inexact = inexact || (uint32_t)(limbs[top - 4] << shift) != 0;
	} else if (top >= 4) {
		inexact = inexact || limbs[top - 4] != 0;
	}
	for (size_t i = 5; i <= top && !inexact; i++)
		inexact = limbs[top - i] != 0;
	v += inexact;
	return (struct power){(uint64_t)(v >> 64), (uint64_t)v};
}

static void make_powers(void)
{
	uint32_t up[LIMBS] = {1}, down[LIMBS] = {0};

	for (int k = 0; k <= POWER_MAX; k++) {
		uint64_t carry = 0;

		powers[k - POWER_MIN] = leading_bits(up, false);
		for (size_t i = 0; i < LIMBS; i++) {
			carry += (uint64_t)up[i] * 10;
			up[i] = (uint32_t)carry;
			carry >>= 32;
		}
	}
	/* floor(floor(x / 10) / 10) is floor(x / 100): the bits of 2^n / 10^m, less what lies beyond the point */
	down[POWER_BITS / 32] = UINT32_C(1) << POWER_BITS % 32;
	for (int k = -1; k >= POWER_MIN; k--) {
		uint64_t rest = 0;

		for (size_t i = LIMBS; i-- > 0;) {
			rest = rest << 32 | down[i];
			down[i] = (uint32_t)(rest / 10);
			rest %= 10;
		}
		powers[k - POWER_MIN] = leading_bits(down, true);
	}
}

/* ---- printing ---- */

/* Is v the decimal that v * tens, rounded, over tens is? `product` is off by two roundings at most: a division, which
 * is slow, is for those it may be. */
static inline bool is_decimal(double v, double tens, int64_t *ret)
{
	const double product = v * tens;
	const int64_t scaled = (int64_t)(product + 0.5);

	*ret = scaled;
	/* exact comparison is the point */
	return fabs(product - (double)scaled) <= product * 0x1p-50 && (double)scaled / tens == v;
}

/* Of v below 1e12 and no more than two decimals, as what is counted in money. 0: it has more. */
static inline size_t format_cents(double v, char buf[NUM_DOUBLE_BYTES])
{
	int64_t cents;
	size_t len;

	if (!is_decimal(v, 100, &cents))
		return 0;
	const unsigned rest = (unsigned)(cents % 100);

	len = num_format_int(cents / 100, buf);
	buf[len] = '.';
	buf[len + 1] = (char)('0' + rest / 10);
	buf[len + 2] = (char)('0' + rest % 10);
	len += rest % 10 != 0 ? 3 : 2;
	buf[len] = '\0';
	return len;
}

/*
 * The quick way for what people write: v with at most six decimals and fifteen digits. Two different decimals of
 * fifteen digits never share a double, so the first that reads back as v is the shortest. Dividing two exact
 * integers rounds once, as reading the decimal would. Returns 0 when v is not of that kind.
 */
static size_t format_plain(double v, char buf[NUM_DOUBLE_BYTES])
{
	static const double tens[] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6};
	const bool is_small = v < 1e12;
	char digits[24];
	size_t n, len;

	if (!(v < 1e15 && v >= 1e-4))
		return 0;
	len = is_small ? format_cents(v, buf) : 0;
	if (len != 0)
		return len;
	for (size_t k = is_small ? 3 : 0; k < ARRAY_LEN(tens); k++) {
		int64_t scaled;

		if (v * tens[k] >= 1e15 - 1)
			return 0;
		if (!is_decimal(v, tens[k], &scaled))
			continue;
		n = num_format_int(scaled, digits);
		for (; n <= k; n++) { /* 0.05: "5" -> "005" */
			memmove(digits + 1, digits, n + 1);
			digits[0] = '0';
		}
		memcpy(buf, digits, n - k);
		len = n - k;
		buf[len++] = '.';
		memcpy(buf + len, k != 0 ? digits + (n - k) : "0", k != 0 ? k : 1);
		len += k != 0 ? k : 1;
		buf[len] = '\0';
		return len;
	}
	return 0;
}

/* floor(log2(10^e)), floor(log10(2^e)) and floor(log10(3/4 * 2^e)), exact for |e| <= 1100. */
static int log2_of_ten(int e)
{
	return (e * 1741647) >> 19;
}

static int log10_of_two(int e, bool three_quarters)
{
	return (e * 1262611 - (three_quarters ? 524031 : 0)) >> 22;
}

/* The upper 64 bits of p * n / 2^64; the lowest one also stands for whatever is lost. */
static uint64_t multiply_to_odd(struct power p, uint64_t n)
{
	const uint128 low = (uint128)p.low * n;
	const uint128 sum = (uint128)p.high * n + (uint64_t)(low >> 64);

	return (uint64_t)(sum >> 64) | ((uint64_t)sum > 1);
}

/* Of all decimals that read back as v > 0, the shortest, and of those the nearest: the result times ten to *ret_power.
 */
static uint64_t shortest(double v, int *ret_power)
{
	uint64_t bits, c, lower, middle, upper, s;
	int q, k, h;
	bool odd, uneven, down, up;

	pthread_once(&powers_once, make_powers);
	memcpy(&bits, &v, sizeof(bits));
	c = bits & ((UINT64_C(1) << 52) - 1);
	q = (int)(bits >> 52 & 0x7FF);
	uneven = c == 0 && q > 1; /* a power of two: the doubles below are twice as dense */
	c |= q != 0 ? UINT64_C(1) << 52 : 0;
	q = (q != 0 ? q : 1) - 1075;
	odd = (c & 1) != 0; /* its borders read as its even neighbours */
	k = log10_of_two(q, uneven);
	h = q + log2_of_ten(-k) + 1;
	/* v and the borders of what reads back as v, in quarters of ten to k */
	const struct power p = powers[-k - POWER_MIN];
	lower = multiply_to_odd(p, (4 * c - (uneven ? 1 : 2)) << h) + odd;
	middle = multiply_to_odd(p, 4 * c << h);
	upper = multiply_to_odd(p, (4 * c + 2) << h) - odd;
	s = middle / 4;
	*ret_power = k + 1;
	down = lower <= 40 * (s / 10);
	up = 40 * (s / 10) + 40 <= upper;
	if (s >= 10 && down != up)
		return s / 10 + up;
	*ret_power = k;
	down = lower <= 4 * s;
	up = 4 * s + 4 <= upper;
	if (down != up)
		return s + up;
	return s + (middle > 4 * s + 2 || (middle == 4 * s + 2 && (s & 1) != 0));
}

/* d.ddde+XX, as in Python's repr. */
static size_t put_scientific(char *out, const char *digits, size_t n, int exponent)
{
	const int magnitude = exponent < 0 ? -exponent : exponent;
	size_t len = 0;

	out[len++] = digits[0];
	if (n > 1) {
		out[len++] = '.';
		memcpy(out + len, digits + 1, n - 1);
		len += n - 1;
	}
	out[len++] = 'e';
	out[len++] = exponent < 0 ? '-' : '+';
	if (magnitude < 10)
		out[len++] = '0';
	return len + num_format_int(magnitude, out + len);
}

static size_t put_written_out(char *out, const char *digits, size_t n, int exponent)
{
	const size_t whole = exponent < 0 ? 0 : (size_t)exponent + 1;
	size_t len = 0;

	if (exponent < 0) {
		memcpy(out, "0.000", 5);
		len = 1 + (size_t)-exponent;
		memcpy(out + len, digits, n);
		len += n;
		out[len] = '\0';
		return len;
	}
	for (size_t i = 0; i < whole; i++)
		out[len++] = i < n ? digits[i] : '0';
	out[len++] = '.';
	if (n <= whole)
		out[len++] = '0';
	for (size_t i = whole; i < n; i++)
		out[len++] = digits[i];
	out[len] = '\0';
	return len;
}

/* Python's repr: exponents from -4 to 15 are written out, others as d.ddde+XX. */
size_t num_format_double(double v, char buf[NUM_DOUBLE_BYTES])
{
	const double magnitude = fabs(v);
	char digits[24];
	size_t n, len = 0;
	int power, exponent;

	if (signbit(v))
		buf[len++] = '-';
	if (magnitude == 0) {
		memcpy(buf + len, "0.0", 4);
		return len + 3;
	}
	n = format_plain(magnitude, buf + len);
	if (n != 0)
		return len + n;
	n = num_format_int((int64_t)shortest(magnitude, &power), digits);
	exponent = power + (int)n - 1;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	if (exponent < -4 || exponent >= 16)
		return len + put_scientific(buf + len, digits, n, exponent);
	return len + put_written_out(buf + len, digits, n, exponent);
}
