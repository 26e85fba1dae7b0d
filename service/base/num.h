/*
 * Overflow-checked reading and printing of numbers and encodings. Nothing here depends on the locale. Owns nothing:
 * buffers are the caller's.
 */
#ifndef FERROD_BASE_NUM_H
#define FERROD_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/base/macros.h"
#include "service/base/str.h"

#define NUM_DOUBLE_BYTES 32

/* Decimal integer with optional '-' and no other byte; false on anything else or overflow. */
bool num_parse_int(struct str s, int64_t *ret) MUST_CHECK;

/* The same for what is frequent, up to its NUL: at most 18 digits. How many bytes it has, for there may be more behind
 * the NUL; 0: it may be an integer all the same. */
static inline size_t num_parse_short_int(const char *z, int64_t *ret)
{
	const bool negative = *z == '-';
	const char *const first = z + negative, *p = first;
	int64_t v = 0;

	for (; p - first < 18; p++) {
		const unsigned digit = (unsigned char)*p - (unsigned)'0';

		if (digit > 9)
			break;
		v = v * 10 + (int64_t)digit;
	}
	*ret = negative ? -v : v;
	return *p == '\0' && p != first ? (size_t)(p - z) : 0;
}

/* A finite or special ("NaN", "Infinity", "-Infinity") double filling all of s; false otherwise. */
bool num_parse_double(struct str s, double *ret) MUST_CHECK;

/* The same for what is frequent, up to its NUL: at most 15 characters behind a '-', digits with a point or none. How
 * many bytes it has; 0: it may be a double all the same. */
size_t num_parse_short_double(const char *z, double *ret) MUST_CHECK;

/* Shortest decimal form that reads back as v ("0.1", "1e+22", "100.0"), NUL-terminated; returns its
 * length (< NUM_DOUBLE_BYTES). v must be finite. */
size_t num_format_double(double v, char buf[NUM_DOUBLE_BYTES]);

/* Decimal form of v, NUL-terminated; returns its length (at most 20). */
size_t num_format_int(int64_t v, char buf[24]);

/* Nanoseconds as milliseconds with three decimals ("-0.001"), rounded towards zero, NUL-terminated; returns its length.
 */
size_t num_format_ms(int64_t ns, char buf[28]);

/* RFC 4648 §4 base64, strict: standard alphabet, padding required, no white space, zero pad bits.
 * Writes at most 3 * (s.len / 4) bytes to out; false when malformed. */
bool num_base64_decode(struct str s, uint8_t *out, size_t *ret_len) MUST_CHECK;

/* base64url without padding (RFC 4648 §5) of n bytes into out (4 * ((n + 2) / 3) + 1 bytes). */
void num_base64url(const uint8_t *bytes, size_t n, char *out);

/* A hexadecimal digit's value, either case; -1: it is none. */
int num_hex_digit(char c);
/* Lower-case hexadecimal, NUL-terminated: out has 2 * n + 1 bytes. */
void num_hex(const uint8_t *bytes, size_t n, char *out);

/* n bytes from getrandom(2). */
void num_random(void *out, size_t n);

/* SHA-256 (FIPS 180-4) of s. */
void num_sha256(struct str s, uint8_t ret[32]);

/* The same of bytes that come in parts: init, any number of add, end. */
struct num_sha256 {
	uint32_t h[8];
	uint64_t len;
	uint8_t block[64]; /* its first len % 64 bytes wait for the rest */
};
void num_sha256_init(struct num_sha256 *x);
void num_sha256_add(struct num_sha256 *x, struct str s);
void num_sha256_end(struct num_sha256 *x, uint8_t ret[32]);

/* Equal bytes of equal length, in time independent of where they differ. */
bool num_equal_ct(struct str a, struct str b);

/* A 128-bit digest of s that is the same in every process of one machine type: names a content among its versions. Not
 * for secrets. */
void num_digest128(struct str s, uint8_t ret[16]);

/* SipHash-like 64-bit hash keyed per process, for tables whose keys clients choose. */
uint64_t num_hash(struct str s);

#endif
