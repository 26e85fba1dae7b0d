/* Integers and encodings; doubles are in num_double.c. */
#include "service/base/num.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

#include "service/base/banned.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool num_parse_int(struct str s, int64_t *ret)
{
	const bool negative = s.len > 0 && s.p[0] == '-';
	int64_t v = 0;
	size_t i = negative;

	if (i == s.len)
		return false;
	for (const size_t safe = s.len < 18 ? s.len : 18; i < safe; i++) {
		if (!is_digit(s.p[i]))
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	v = negative ? -v : v;
	for (; i < s.len; i++) {
		int64_t digit = s.p[i] - '0';

		if (!is_digit(s.p[i]) || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, negative ? -digit : digit, &v))
			return false;
	}
	*ret = v;
	return true;
}

static size_t count_digits(uint64_t v)
{
	static const uint64_t tens[] = {0,
					10,
					100,
					1000,
					10000,
					100000,
					1000000,
					10000000,
					100000000,
					1000000000,
					10000000000,
					100000000000,
					1000000000000,
					10000000000000,
					100000000000000,
					1000000000000000,
					10000000000000000,
					100000000000000000,
					1000000000000000000,
					UINT64_C(10000000000000000000)};
	/* bits times log10(2), rounded down: too few by one at most */
	const unsigned n = ((64 - (unsigned)__builtin_clzll(v | 1)) * 1233) >> 12;

	return n + (v >= tens[n]);
}

static const char decimals[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
			       "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
			       "8081828384858687888990919293949596979899";

/* What is frequent has four digits at most. */
static inline size_t format_small(unsigned v, char *buf)
{
	const unsigned high = v / 100, low = v % 100;
	char *p = buf;

	if (v >= 1000) {
		memcpy(p, decimals + (size_t)high * 2, 2);
		p += 2;
	} else if (v >= 100) {
		*p++ = (char)('0' + high);
	}
	if (v >= 10) {
		memcpy(p, decimals + (size_t)low * 2, 2);
		p += 2;
	} else {
		*p++ = (char)('0' + low);
	}
	*p = '\0';
	return (size_t)(p - buf);
}

size_t num_format_int(int64_t v, char buf[24])
{
	if ((uint64_t)v < 10000)
		return format_small((unsigned)v, buf);
	uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	const size_t len = count_digits(rest) + (v < 0);
	char *p = buf + len;

	buf[0] = '-';
	*p = '\0';
	for (; rest >= 100; rest /= 100) {
		p -= 2;
		memcpy(p, decimals + rest % 100 * 2, 2);
	}
	if (rest >= 10)
		memcpy(p - 2, decimals + rest * 2, 2);
	else
		p[-1] = (char)('0' + rest);
	return len;
}

size_t num_format_ms(int64_t ns, char buf[28])
{
	const int64_t us = ns / 1000;
	const unsigned rest = (unsigned)(us < 0 ? -(us % 1000) : us % 1000);
	size_t n = 0;

	if (us < 0 && us > -1000)
		buf[n++] = '-';
	n += num_format_int(us / 1000, buf + n);
	buf[n++] = '.';
	buf[n++] = (char)('0' + rest / 100);
	buf[n++] = (char)('0' + rest / 10 % 10);
	buf[n++] = (char)('0' + rest % 10);
	buf[n] = '\0';
	return n;
}

/* The value of a base64 digit, or 64. */
static unsigned base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (is_digit(c))
		return (unsigned)(c - '0') + 52;
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool num_base64_decode(struct str s, uint8_t *out, size_t *ret_len)
{
	size_t n_pad = 0, len = 0;

	if (s.len % 4 != 0)
		return false;
	if (s.len != 0 && s.p[s.len - 1] == '=')
		n_pad = s.p[s.len - 2] == '=' ? 2 : 1;
	for (size_t i = 0; i < s.len; i += 4) {
		const size_t n = i + 4 == s.len ? 4 - n_pad : 4;
		unsigned v[4] = {0};

		for (size_t k = 0; k < n; k++) {
			v[k] = base64_value(s.p[i + k]);
			if (v[k] == 64)
				return false;
		}
		if ((n == 2 && (v[1] & 15) != 0) || (n == 3 && (v[2] & 3) != 0))
			return false;
		out[len++] = (uint8_t)(v[0] << 2 | v[1] >> 4);
		if (n > 2)
			out[len++] = (uint8_t)((v[1] & 15) << 4 | v[2] >> 2);
		if (n > 3)
			out[len++] = (uint8_t)((v[2] & 3) << 6 | v[3]);
	}
	*ret_len = len;
	return true;
}

void num_base64url(const uint8_t *bytes, size_t n, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned acc = 0, n_bits = 0;

	for (size_t i = 0; i < n; i++) {
		acc = (acc << 8 | bytes[i]) & 0xFFFF;
		for (n_bits += 8; n_bits >= 6; n_bits -= 6)
			*out++ = digits[acc >> (n_bits - 6) & 63];
	}
	if (n_bits != 0)
		*out++ = digits[acc << (6 - n_bits) & 63];
	*out = '\0';
}

int num_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void num_hex(const uint8_t *bytes, size_t n, char *out)
{
	static const char pairs[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
				    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
				    "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
				    "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
				    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
				    "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
				    "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
				    "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

	for (size_t i = 0; i < n; i++, out += 2)
		memcpy(out, pairs + 2 * (size_t)bytes[i], 2);
	*out = '\0';
}

void num_random(void *out, size_t n)
{
	unsigned char *p = out;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort(); /* without random bytes no session id is a secret */
		p += got;
		n -= (size_t)got;
	}
}

bool num_equal_ct(struct str a, struct str b)
{
	unsigned diff = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		diff |= (unsigned char)a.p[i] ^ (unsigned char)b.p[i];
	/* keeps the compiler from leaving the loop early */
	__asm__ volatile("" : "+r"(diff));
	return diff == 0;
}

static uint32_t ror32(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

/* One block of 64 bytes (FIPS 180-4 section 6.2.2). */
static void sha256_block(uint32_t h[8], const uint8_t block[64])
{
	static const uint32_t k[64] = {
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
		0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
		0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
		0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
		0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	};
	uint32_t w[64], v[8];

	for (size_t t = 0; t < 16; t++)
		w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
		       (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
	for (size_t t = 16; t < 64; t++)
		w[t] = (ror32(w[t - 2], 17) ^ ror32(w[t - 2], 19) ^ w[t - 2] >> 10) + w[t - 7] +
		       (ror32(w[t - 15], 7) ^ ror32(w[t - 15], 18) ^ w[t - 15] >> 3) + w[t - 16];
	memcpy(v, h, sizeof(v));
	for (size_t t = 0; t < 64; t++) {
		uint32_t t1 = v[7] + (ror32(v[4], 6) ^ ror32(v[4], 11) ^ ror32(v[4], 25)) +
			      ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[t] + w[t];
		uint32_t t2 = (ror32(v[0], 2) ^ ror32(v[0], 13) ^ ror32(v[0], 22)) +
			      ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (size_t i = 0; i < 8; i++)
		h[i] += v[i];
}

void num_sha256_init(struct num_sha256 *x)
{
	*x = (struct num_sha256){
		.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void num_sha256_add(struct num_sha256 *x, struct str s)
{
	const size_t waiting = x->len % 64;
	size_t at = 0;

	x->len += s.len;
	if (waiting > 0) {
		at = s.len < 64 - waiting ? s.len : 64 - waiting;
		if (at > 0)
			memcpy(x->block + waiting, s.p, at);
		if (waiting + at < 64)
			return;
		sha256_block(x->h, x->block);
	}
	for (; s.len - at >= 64; at += 64)
		sha256_block(x->h, (const uint8_t *)s.p + at);
	if (s.len > at)
		memcpy(x->block, s.p + at, s.len - at);
}

void num_sha256_end(struct num_sha256 *x, uint8_t ret[32])
{
	const uint64_t n_bits = x->len * 8;
	const size_t rest = x->len % 64, tail_len = rest < 56 ? 64 : 128;
	uint8_t tail[128] = {0};

	memcpy(tail, x->block, rest);
	tail[rest] = 0x80;
	for (size_t i = 0; i < 8; i++)
		tail[tail_len - 1 - i] = (uint8_t)(n_bits >> (8 * i));
	for (size_t i = 0; i < tail_len; i += 64)
		sha256_block(x->h, tail + i);
	for (size_t i = 0; i < 32; i++)
		ret[i] = (uint8_t)(x->h[i / 4] >> (24 - 8 * (i % 4)));
}

void num_sha256(struct str s, uint8_t ret[32])
{
	struct num_sha256 x;

	num_sha256_init(&x);
	num_sha256_add(&x, s);
	num_sha256_end(&x, ret);
}

static pthread_once_t hash_once = PTHREAD_ONCE_INIT;
static uint64_t hash_key[2];

static void make_hash_key(void)
{
	num_random(hash_key, sizeof(hash_key));
}

static uint64_t rol64(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rol64(v[1], 13) ^ v[0];
	v[0] = rol64(v[0], 32);
	v[2] += v[3];
	v[3] = rol64(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rol64(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rol64(v[1], 17) ^ v[2];
	v[2] = rol64(v[2], 32);
}

/* Takes in all of s, with c rounds a word; words are read in the machine's byte order. */
static inline void sip_absorb(uint64_t v[4], struct str s, unsigned c)
{
	uint64_t w;
	size_t at = 0;

	for (; s.len - at >= sizeof(w); at += sizeof(w)) {
		memcpy(&w, s.p + at, sizeof(w));
		v[3] ^= w;
		for (unsigned i = 0; i < c; i++)
			sip_round(v);
		v[0] ^= w;
	}
	w = (uint64_t)s.len << 56;
	for (size_t i = 0; at + i < s.len; i++)
		w |= (uint64_t)(unsigned char)s.p[at + i] << (8 * i);
	v[3] ^= w;
	for (unsigned i = 0; i < c; i++)
		sip_round(v);
	v[0] ^= w;
}

static inline uint64_t sip_squeeze(uint64_t v[4], uint64_t with, size_t at, unsigned d)
{
	v[at] ^= with;
	for (unsigned i = 0; i < d; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* SipHash-1-3 (Aumasson, Bernstein 2012), but for the byte order. */
uint64_t num_hash(struct str s)
{
	pthread_once(&hash_once, make_hash_key);
	uint64_t v[4] = {hash_key[0] ^ UINT64_C(0x736f6d6570736575), hash_key[1] ^ UINT64_C(0x646f72616e646f6d),
			 hash_key[0] ^ UINT64_C(0x6c7967656e657261), hash_key[1] ^ UINT64_C(0x7465646279746573)};
	sip_absorb(v, s, 1);
	return sip_squeeze(v, 0xFF, 2, 3);
}

/* SipHash-2-4 with 128 bits of output and a key of zeros. */
void num_digest128(struct str s, uint8_t ret[16])
{
	uint64_t v[4] = {UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d) ^ 0xEE,
			 UINT64_C(0x6c7967656e657261), UINT64_C(0x7465646279746573)};
	uint64_t word;

	sip_absorb(v, s, 2);
	word = sip_squeeze(v, 0xEE, 2, 4);
	memcpy(ret, &word, sizeof(word));
	word = sip_squeeze(v, 0xDD, 1, 4);
	memcpy(ret + sizeof(word), &word, sizeof(word));
}
