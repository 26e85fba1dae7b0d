/* Numbers, encodings, hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/base/num.h"
#include "service/base/strbuf.h"

static void integers_read(void **state UNUSED)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {{"0", 0},
		    {"-0", 0},
		    {"007", 7},
		    {"-1", -1},
		    {"9223372036854775807", INT64_MAX},
		    {"-9223372036854775808", INT64_MIN}};
	static const char *const bad[] = {"",
					  "-",
					  "+1",
					  " 1",
					  "1 ",
					  "1.0",
					  "0x1",
					  "1e3",
					  "9223372036854775808",
					  "-9223372036854775809",
					  "99999999999999999999",
					  "--1",
					  "a"};
	int64_t v;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(num_parse_int(str_z(good[i].text), &v));
		assert_true(v == good[i].value);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		v = 42;
		assert_false(num_parse_int(str_z(bad[i]), &v));
		assert_int_equal(v, 42);
	}
	assert_false(num_parse_int(STR_NONE, &v));
	assert_false(num_parse_int(STR("1\0"), &v));
}

static void integers_print(void **state UNUSED)
{
	static const int64_t values[] = {0, 1, -1, 9, 10, 99, 100, INT64_MAX, INT64_MIN, -1234567890};
	char buf[24];

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		int64_t back;
		size_t len = num_format_int(values[i], buf);

		assert_int_equal(strlen(buf), len);
		assert_true(num_parse_int(str_n(buf, len), &back));
		assert_true(back == values[i]);
	}
	num_format_int(INT64_MIN, buf);
	assert_string_equal(buf, "-9223372036854775808");
	for (int i = -10100; i <= 10100; i++) {
		char by_libc[24];

		(void)snprintf(by_libc, sizeof(by_libc), "%d", i);
		assert_int_equal(num_format_int(i, buf), strlen(by_libc));
		assert_string_equal(buf, by_libc);
	}
}

static void doubles_read(void **state UNUSED)
{
	static const char *const bad[] = {"",    ".",   "-",        "e5",    "1e",     "1e+", " 1",  "1 ",   "0x1p3",
					  "inf", "nan", "infinity", "1e999", "-1e999", "1,5", "1_0", "+NaN", "--1"};
	char text[400];
	double v;

	assert_true(num_parse_double(STR("1.5"), &v) && v > 1.49 && v < 1.51);
	assert_true(num_parse_double(STR("-1e-7"), &v) && v < 0);
	assert_true(num_parse_double(STR(".5"), &v) && v > 0.49);
	assert_true(num_parse_double(STR("5."), &v) && v > 4.9);
	assert_true(num_parse_double(STR("+5E+2"), &v) && v > 499.9);
	assert_true(num_parse_double(STR("1e-999"), &v) && v < 1e-300);
	assert_true(num_parse_double(STR("NaN"), &v) && isnan(v));
	assert_true(num_parse_double(STR("Infinity"), &v) && isinf(v) && v > 0);
	assert_true(num_parse_double(STR("-Infinity"), &v) && isinf(v) && v < 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(num_parse_double(str_z(bad[i]), &v));
	assert_false(num_parse_double(STR("1\0"), &v));
	assert_false(num_parse_double(STR("1e1000000"), &v));
	memset(text, '0', sizeof(text));
	text[1] = '.';
	text[sizeof(text) - 1] = '5';
	assert_true(num_parse_double(str_n(text, sizeof(text)), &v));
	assert_true(v < 1e-300);
	memset(text, '9', sizeof(text));
	assert_false(num_parse_double(str_n(text, sizeof(text)), &v));
}

/* Whatever the short ways take they read as the long ones do; they leave the rest to them. */
static void short_ways_read_the_same(void **state UNUSED)
{
	static const char *const texts[] = {"",
					    "-",
					    ".",
					    "-.",
					    "0",
					    "-0",
					    "7",
					    "-7",
					    "125.25",
					    "-0.5",
					    ".5",
					    "5.",
					    "-5.",
					    "1.2.3",
					    "1..2",
					    "1-2",
					    "--1",
					    "+1",
					    "1e5",
					    "NaN",
					    "0.1",
					    "0.3",
					    "1 ",
					    " 1",
					    "-1.10",
					    "00012",
					    "0.00001",
					    "Infinity",
					    "123456789012345",
					    "1234567890.12345",
					    "12345678901234.5",
					    "1234567890123456",
					    "999999999999999999",
					    "-999999999999999999",
					    "1000000000000000000",
					    "9223372036854775807",
					    "-9223372036854775808",
					    "9223372036854775808"};
	static const size_t n_ints = 9, n_doubles = 15; /* that the short ways take */
	size_t ints = 0, doubles = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int64_t a, b;
		double c, d;

		size_t n = num_parse_short_int(texts[i], &a);
		if (n > 0) {
			assert_int_equal(n, strlen(texts[i]));
			assert_true(num_parse_int(str_z(texts[i]), &b) && a == b);
			ints++;
		}
		n = num_parse_short_double(texts[i], &c);
		if (n > 0) {
			assert_int_equal(n, strlen(texts[i]));
			assert_true(num_parse_double(str_z(texts[i]), &d));
			assert_memory_equal(&c, &d, sizeof(c));
			doubles++;
		}
	}
	assert_int_equal(ints, n_ints);
	assert_int_equal(doubles, n_doubles);
}

/* An exponent and the zeros that make up for it, or for a tenth of it alone. */
static void zeros_and_exponents_even_out(void **state UNUSED)
{
	struct strbuf b;
	double v;

	strbuf_init(&b, 0);
	strbuf_puts(&b, "0.");
	for (int i = 0; i < 99999; i++)
		strbuf_putc(&b, '0');
	strbuf_puts(&b, "1e100000");
	assert_true(num_parse_double(strbuf_str(&b), &v) && v >= 1 && v <= 1);
	strbuf_putc(&b, '0');
	assert_false(num_parse_double(strbuf_str(&b), &v));
	strbuf_done(&b);
}

/* The expected texts are what Python 3's repr() prints. */
static void doubles_print_as_python_does(void **state UNUSED)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{0x0.0p+0, "0.0"},
		{-0x0.0p+0, "-0.0"},
		{0x1.0000000000000p+0, "1.0"},
		{-0x1.0000000000000p+0, "-1.0"},
		{0x1.999999999999ap-4, "0.1"},
		{0x1.999999999999ap-3, "0.2"},
		{0x1.3333333333333p-2, "0.3"},
		{0x1.3333333333334p-2, "0.30000000000000004"},
		{0x1.8000000000000p+0, "1.5"},
		{0x1.9000000000000p+6, "100.0"},
		{0x1.c6bf526340000p+49, "1000000000000000.0"},
		{0x1.c6bf52633fff8p+49, "999999999999999.0"},
		{0x1.1c37937e07fffp+53, "9999999999999998.0"},
		{0x1.1c37937e08000p+53, "1e+16"},
		{0x1.6345785d8a000p+56, "1e+17"},
		{0x1.0f0cf064dd592p+73, "1e+22"},
		{0x1.b1ae4d6e2ef50p+69, "1e+21"},
		{0x1.b69b4ba630f35p+56, "1.2345678901234568e+17"},
		{0x1.a36e2eb1c432dp-14, "0.0001"},
		{0x1.4f8b588e368f1p-17, "1e-05"},
		{0x1.ad7f29abcaf48p-24, "1e-07"},
		{0x1.02e4b6ce5dc68p-13, "0.00012345"},
		{0x1.999999999999ap-5, "0.05"},
		{0x1.0c6f7a0b5ed8dp-20, "1e-06"},
		{0x1.edd3c07ee0b0bp+6, "123.456789"},
		{0x1.2d6871f9adbb9p+20, "1234567.1234567"},
		{0x1.3fd70a3d70a3dp+4, "19.99"},
		{0x1.0000000000000p+53, "9007199254740992.0"},
		{0x1.0000000000001p+53, "9007199254740994.0"},
		{0x1.0000000000000p-44, "5.684341886080802e-14"},
		{0x0.0000000000001p-1022, "5e-324"},
		{0x0.0000000000002p-1022, "1e-323"},
		{0x1.0000000000000p-1022, "2.2250738585072014e-308"},
		{0x0.fffffffffffffp-1022, "2.225073858507201e-308"},
		{0x1.fffffffffffffp+1023, "1.7976931348623157e+308"},
		{0x1.921fb54442d18p+1, "3.141592653589793"},
		{0x1.5bf0a8b145769p+1, "2.718281828459045"},
		{0x1.5555555555555p-2, "0.3333333333333333"},
		{0x1.5555555555555p-1, "0.6666666666666666"},
		{0x1.1666666666666p+2, "4.35"},
		{0x1.23d70a3d70a3dp-1, "0.57"},
		{0x1.7e43c8800759cp+996, "1e+300"},
		{0x1.0000000000000p+53, "9007199254740992.0"},
		{0x1.0000000000000p-1022, "2.2250738585072014e-308"},
		{0x0.0000000000003p-1022, "1.5e-323"},
		{0x1.0000000000000p+70, "1.1805916207174113e+21"},
		{0x1.a36e2eb1c432dp-15, "5e-05"},
		{0x1.02e85be180b71p-13, "0.0001234567890123456"},
		{0x1.c7e83209e90b2p+72, "8.41e+21"},
		{0x1.0000000000000p-24, "5.960464477539063e-08"},
		{0x1.0000000000000p-20, "9.5367431640625e-07"},
		{0x1.0000000000000p+52, "4503599627370496.0"},
		{0x1.52d02c7e14af6p+76, "1e+23"},
		{0x0.0a5ace6f81784p-1022, "9e-310"},
		{-0x1.74de452e6b438p+811, "-1.989032661366619e+244"},
		{0x1.3270e269e0d37p+594, "7.761117632285041e+178"},
		{0x1.c7fd0a6a3a450p-826, "3.980498358697587e-249"},
		{-0x1.f0824128b2f33p+292, "-1.5432835417340557e+88"},
		{0x1.8e811892f902bp-638, "1.3647584518757569e-192"},
		{-0x1.1985d5d9dc9f8p-684, "-1.3701135617873088e-206"},
		{-0x1.25d940ed90475p+655, "-1.7160537630466207e+197"},
		{0x1.675cc81e74ef5p-144, "6.294675241195386e-44"},
		{0x1.0a35a099950d8p-671, "1.0613447212142254e-202"},
		{0x1.d549b6f03675ap+689, "4.708325160387546e+207"},
		{0x1.c172411e20b8fp-38, "6.387016158513563e-12"},
		{-0x1.16ece1738f7d9p-814, "-9.973130378568733e-246"},
		{0x1.1ddb66cad4a26p-781, "8.779753225680271e-236"},
		{-0x1.192cfd3ac94afp-755, "-5.795503248498993e-228"},
		{-0x1.c105d1fb17c23p+809, "-5.988180159386011e+243"},
		{-0x1.0b33839263059p-488, "-1.306052388527796e-147"},
		{-0x1.f48f1a09f76b5p-684, "-2.436117699484841e-206"},
		{0x1.630f1f29d0da9p-770, "2.233386999150174e-232"},
		{-0x1.60af593bd04cfp-673, "-3.51527970626667e-203"},
		{0x1.1e29c658cda14p-820, "1.5987381841032883e-247"},
		{0x1.8d190f9ebdaccp-118, "4.6678633181812096e-36"},
		{-0x1.1973e0becd7b0p-791, "-8.441872792105456e-239"},
		{0x1.7beaddbc496cbp-478, "1.9015657400796622e-144"},
		{0x1.cb2424a23d596p+693, "7.370437700706684e+208"},
		{-0x1.a63ec24ede6a4p-857, "-1.7163996725272777e-258"},
		{-0x1.766581e27a1c0p-733, "-3.2367190832119987e-221"},
	};
	char buf[NUM_DOUBLE_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(num_format_double(cases[i].value, buf), strlen(cases[i].text));
		assert_string_equal(buf, cases[i].text);
	}
}

static void doubles_read_back(void **state UNUSED)
{
	for (int i = 0; i < 20000; i++) {
		char buf[NUM_DOUBLE_BYTES];
		uint64_t bits;
		double v, back;
		size_t len;

		num_random(&bits, sizeof(bits));
		memcpy(&v, &bits, sizeof(v));
		if (i % 2 == 0)
			v = (double)(int64_t)(bits >> 20) / 1000;
		if (!isfinite(v))
			continue;
		len = num_format_double(v, buf);
		assert_true(len < sizeof(buf));
		assert_int_equal(strlen(buf), len);
		assert_true(num_parse_double(str_n(buf, len), &back));
		assert_memory_equal(&back, &v, sizeof(v));
	}
}

/* The digits of the first precision whose nearest decimal reads back as v, without the zeros at their end. */
static size_t nearest_digits(double v, char digits[24], int *ret_exponent)
{
	char z[48];
	size_t n = 0;

	for (int precision = 1; precision <= 17; precision++) {
		snprintf(z, sizeof(z), "%.*e", precision - 1, v);
		if (strtod(z, NULL) == v)
			break;
	}
	for (const char *p = z; *p != 'e'; p++)
		if (*p != '.')
			digits[n++] = *p;
	*ret_exponent = (int)strtol(strchr(z, 'e') + 1, NULL, 10);
	while (n > 1 && digits[n - 1] == '0')
		n--;
	return n;
}

/* The digits of a printed double, without the zeros around them. */
static size_t printed_digits(const char *text, char digits[40])
{
	size_t n = 0;

	for (; *text != '\0' && *text != 'e'; text++)
		if (*text != '.' && (n > 0 || *text != '0'))
			digits[n++] = *text;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	return n;
}

static double any_double(int i)
{
	uint64_t bits;
	double v;

	num_random(&bits, sizeof(bits));
	switch (i % 4) {
	case 0: /* near a power of two, where doubles change their distance */
		v = ldexp(1, (int)(bits % 2000) - 1060);
		return (bits >> 40) % 3 == 0 ? v : nextafter(v, (bits >> 41) % 2 == 0 ? 0 : HUGE_VAL);
	case 1: /* subnormal */
		bits &= (UINT64_C(1) << (bits >> 58) % 52) - 1;
		break;
	case 2: /* in the range of what people write */
		return (double)(bits >> 11) / (double)(1 + (bits & 0xFFFF));
	default:
		bits &= INT64_MAX;
		break;
	}
	memcpy(&v, &bits, sizeof(v));
	return isfinite(v) ? v : 1;
}

static void doubles_print_as_short_as_can_be(void **state UNUSED)
{
	for (int i = 0; i < 100000; i++) {
		const double v = any_double(i);
		char buf[NUM_DOUBLE_BYTES], expected[24], digits[40];
		size_t n, n_expected;
		int exponent;

		if (v == 0)
			continue;
		(void)num_format_double(v, buf);
		assert_true(strtod(buf, NULL) == v);
		n = printed_digits(buf, digits);
		n_expected = nearest_digits(v, expected, &exponent);
		/* below a power of two a decimal that is not the nearest of its length may still read back */
		assert_true(n <= n_expected);
		if (n == n_expected)
			assert_memory_equal(digits, expected, n);
	}
}

static void doubles_read_like_strtod(void **state UNUSED)
{
	for (int i = 0; i < 100000; i++) {
		uint64_t bits;
		char z[64];
		double v, expected;

		num_random(&bits, sizeof(bits));
		snprintf(z, sizeof(z), "%s%llu.%0*llue%d", bits % 2 == 0 ? "" : "-",
			 (unsigned long long)(bits >> (bits >> 3) % 64), (int)(bits % 9) + 1,
			 (unsigned long long)(bits >> 20) % 1000000, (int)(bits >> 7) % 60 - 30);
		expected = strtod(z, NULL);
		assert_true(num_parse_double(str_z(z), &v));
		assert_memory_equal(&v, &expected, sizeof(v));
	}
}

static void base64_decodes_strictly(void **state UNUSED)
{
	static const struct {
		const char *in, *out;
	} good[] = {{"", ""},
		    {"Zg==", "f"},
		    {"Zm8=", "fo"},
		    {"Zm9v", "foo"},
		    {"Zm9vYg==", "foob"},
		    {"Zm9vYmE=", "fooba"},
		    {"Zm9vYmFy", "foobar"},
		    {"//79", "\xFF\xFE\xFD"},
		    {"++8=", "\xFB\xEF"}};
	static const char *const bad[] = {"Z",      "Zg",   "Zg=",  "Zh==", "Zm9=", "Zg==Zg==", "Z===",    "====",
					  "Zm9v\n", "Zm 9", "Zm-v", "Zm_v", "Zg=a", "=Zg=",     "Zm9vZg=", "Zm\x80v"};
	uint8_t out[32];
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(num_base64_decode(str_z(good[i].in), out, &len));
		assert_int_equal(len, strlen(good[i].out));
		assert_memory_equal(out, good[i].out, len);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(num_base64_decode(str_z(bad[i]), out, &len));
}

static void base64url_has_no_padding(void **state UNUSED)
{
	char out[32];

	num_base64url((const uint8_t *)"", 0, out);
	assert_string_equal(out, "");
	num_base64url((const uint8_t *)"f", 1, out);
	assert_string_equal(out, "Zg");
	num_base64url((const uint8_t *)"fo", 2, out);
	assert_string_equal(out, "Zm8");
	num_base64url((const uint8_t *)"foobar", 6, out);
	assert_string_equal(out, "Zm9vYmFy");
	num_base64url((const uint8_t *)"\xFB\xEF\xFF\xFE", 4, out);
	assert_string_equal(out, "--___g");
}

static void assert_sha256(struct str s, const char *expected)
{
	uint8_t digest[32];
	char hex[65];

	num_sha256(s, digest);
	num_hex(digest, sizeof(digest), hex);
	assert_string_equal(hex, expected);
}

static void sha256_of_known_texts(void **state UNUSED)
{
	static char million[1000000];

	assert_sha256(STR_NONE, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_sha256(STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_sha256(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	memset(million, 'a', sizeof(million));
	assert_sha256(str_n(million, sizeof(million)),
		      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	assert_sha256(str_n(million, 55), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	assert_sha256(str_n(million, 64), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
	assert_sha256(str_n(million, 119), "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb");
}

static void sha256_of_parts(void **state UNUSED)
{
	char text[300];
	uint8_t whole[32], parts[32];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)i;
	num_sha256(str_n(text, sizeof(text)), whole);
	for (size_t step = 1; step <= sizeof(text); step++) {
		struct num_sha256 x;

		num_sha256_init(&x);
		for (size_t at = 0; at < sizeof(text); at += step)
			num_sha256_add(&x, str_n(text + at, sizeof(text) - at < step ? sizeof(text) - at : step));
		num_sha256_add(&x, STR_NONE);
		num_sha256_end(&x, parts);
		assert_memory_equal(whole, parts, sizeof(whole));
	}
}

static void constant_time_equality(void **state UNUSED)
{
	assert_true(num_equal_ct(STR("secret"), STR("secret")));
	assert_true(num_equal_ct(STR_NONE, STR("")));
	assert_false(num_equal_ct(STR("secret"), STR("secreT")));
	assert_false(num_equal_ct(STR("Secret"), STR("secret")));
	assert_false(num_equal_ct(STR("secret"), STR("secre")));
	assert_false(num_equal_ct(STR("\x80"), STR("\0")));
}

static void hash_tells_texts_apart(void **state UNUSED)
{
	static uint64_t seen[4096];
	char text[32];

	memset(text, 'a', sizeof(text));
	assert_true(num_hash(STR("abc")) == num_hash(STR("abc")));
	assert_true(num_hash(STR_NONE) == num_hash(STR("")));
	for (size_t len = 0; len < sizeof(text); len++) {
		seen[len] = num_hash(str_n(text, len));
		for (size_t i = 0; i < len; i++)
			assert_true(seen[i] != seen[len]);
	}
	for (size_t at = 0; at < sizeof(text); at++) {
		text[at] = 'b';
		assert_true(num_hash(str_n(text, sizeof(text))) != seen[sizeof(text) - 1]);
		text[at] = 'a';
	}
}

static void random_bytes_differ(void **state UNUSED)
{
	uint8_t a[32] = {0}, b[32] = {0};

	num_random(a, sizeof(a));
	num_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_read),
		cmocka_unit_test(integers_print),
		cmocka_unit_test(doubles_read),
		cmocka_unit_test(short_ways_read_the_same),
		cmocka_unit_test(zeros_and_exponents_even_out),
		cmocka_unit_test(doubles_print_as_python_does),
		cmocka_unit_test(doubles_read_back),
		cmocka_unit_test(doubles_print_as_short_as_can_be),
		cmocka_unit_test(doubles_read_like_strtod),
		cmocka_unit_test(base64_decodes_strictly),
		cmocka_unit_test(base64url_has_no_padding),
		cmocka_unit_test(sha256_of_known_texts),
		cmocka_unit_test(sha256_of_parts),
		cmocka_unit_test(constant_time_equality),
		cmocka_unit_test(hash_tells_texts_apart),
		cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
