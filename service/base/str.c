/* Spans: comparison, cutting, and UTF-8 (RFC 3629). */
#include "service/base/str.h"

#include "service/base/banned.h"

int str_cmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n != 0 ? memcmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_ieq(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	if (a.len == 0 || memcmp(a.p, b.p, a.len) == 0) /* mostly */
		return true;
	for (size_t i = 0; i < a.len; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return prefix.len == 0 || (s.len >= prefix.len && memcmp(s.p, prefix.p, prefix.len) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
	return suffix.len == 0 ||
	       (s.len >= suffix.len && memcmp(s.p + (s.len - suffix.len), suffix.p, suffix.len) == 0);
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && is_space(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && is_space(s.p[s.len - 1]))
		s.len--;
	return s;
}

bool str_split(struct str *s, char sep, struct str *ret_head)
{
	const char *at;

	if (s->p == NULL)
		return false;
	at = s->len != 0 ? memchr(s->p, sep, s->len) : NULL;
	if (at == NULL) {
		*ret_head = *s;
		*s = STR_NONE;
		return true;
	}
	*ret_head = str_n(s->p, (size_t)(at - s->p));
	*s = str_n(at + 1, s->len - ret_head->len - 1);
	return true;
}

size_t str_utf8_next(struct str s, size_t pos, uint32_t *ret_cp)
{
	const unsigned char *p = (const unsigned char *)s.p + pos;
	const size_t n = s.len - pos;
	unsigned char lo = 0x80, hi = 0xBF; /* bounds of the second byte (Unicode table 3-7) */
	uint32_t cp = p[0];
	size_t need;

	*ret_cp = STR_UTF8_BAD;
	if (cp < 0x80) {
		*ret_cp = cp;
		return 1;
	}
	if (cp < 0xC2 || cp > 0xF4)
		return 1;
	if (cp < 0xE0) {
		need = 2;
		cp &= 0x1F;
	} else if (cp < 0xF0) {
		lo = cp == 0xE0 ? 0xA0 : 0x80;
		hi = cp == 0xED ? 0x9F : 0xBF;
		need = 3;
		cp &= 0x0F;
	} else {
		lo = cp == 0xF0 ? 0x90 : 0x80;
		hi = cp == 0xF4 ? 0x8F : 0xBF;
		need = 4;
		cp &= 0x07;
	}
	for (size_t i = 1; i < need; i++) {
		if (i >= n || p[i] < lo || p[i] > hi)
			return i;
		cp = cp << 6 | (p[i] & 0x3FU);
		lo = 0x80;
		hi = 0xBF;
	}
	*ret_cp = cp;
	return need;
}

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint64_t word_at(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Of eight bytes or more; the last words may overlap. */
static bool is_ascii(struct str s)
{
	size_t i = 0;

	for (; s.len - i > 4 * sizeof(uint64_t); i += 4 * sizeof(uint64_t)) {
		const char *p = s.p + i;

		if (((word_at(p) | word_at(p + 8) | word_at(p + 16) | word_at(p + 24)) & HIGH_BITS) != 0)
			return false;
	}
	for (; s.len - i > sizeof(uint64_t); i += sizeof(uint64_t))
		if ((word_at(s.p + i) & HIGH_BITS) != 0)
			return false;
	return (word_at(s.p + s.len - sizeof(uint64_t)) & HIGH_BITS) == 0;
}

/* Of fewer than eight bytes: the halves may overlap. */
static bool is_short_ascii(struct str s)
{
	uint32_t first, last;

	if (s.len < sizeof(first)) {
		unsigned char all = 0;

		for (size_t i = 0; i < s.len; i++)
			all |= (unsigned char)s.p[i];
		return all < 0x80;
	}
	memcpy(&first, s.p, sizeof(first));
	memcpy(&last, s.p + s.len - sizeof(last), sizeof(last));
	return ((first | last) & (uint32_t)HIGH_BITS) == 0;
}

bool str_is_utf8(struct str s)
{
	size_t i = 0;

	if (LIKELY(s.len < sizeof(uint64_t) ? is_short_ascii(s) : is_ascii(s)))
		return true;
	while (i < s.len) {
		uint32_t cp;

		if (s.len - i >= sizeof(uint64_t) && (word_at(s.p + i) & HIGH_BITS) == 0) {
			i += sizeof(uint64_t);
			continue;
		}
		i += str_utf8_next(s, i, &cp);
		if (cp == STR_UTF8_BAD)
			return false;
	}
	return true;
}

size_t str_utf8_count(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
	return n;
}
