/* The growable buffer, and what is written into it for JSON. */
#include "service/base/strbuf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define TRY_BYTES (64 * 1024)
#define SIZE_FIRST 256

void strbuf_init(struct strbuf *b, size_t cap)
{
	*b = (struct strbuf){.cap = cap};
}

void strbuf_done(struct strbuf *b)
{
	mem_free(b->p);
	strbuf_init(b, b->cap);
}

void strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->p != NULL)
		b->p[0] = '\0';
}

char *strbuf_take(struct strbuf *b, size_t *ret_len)
{
	char *p = b->p;

	if (p == NULL)
		p = mem_strndup("", 0);
	if (ret_len != NULL)
		*ret_len = b->len;
	strbuf_init(b, b->cap);
	return p;
}

/* Makes room for n more bytes and the NUL. */
static bool grow(struct strbuf *b, size_t n)
{
	const size_t cap = b->cap != 0 && b->cap < SIZE_MAX / 2 ? b->cap : SIZE_MAX / 2;
	size_t size;
	char *p;

	if (b->failed)
		return false;
	if (n > cap - b->len) {
		b->failed = true;
		return false;
	}
	if (b->size > b->len + n)
		return true;
	size = b->size < SIZE_FIRST ? SIZE_FIRST : b->size * 2; /* size <= cap + 1: no overflow */
	if (size > cap + 1)
		size = cap + 1;
	if (size < b->len + n + 1)
		size = b->len + n + 1;
	/* like a block of an arena; what is large is a client's doing, and refused */
	p = size < TRY_BYTES ? mem_realloc(b->p, size) : mem_try(b->p, size);
	if (p == NULL) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->size = size;
	return true;
}

/* True when n more bytes (and the NUL) fit, growing when they do not. A buffer within its size is within its
 * cap, too. */
static inline bool ensure(struct strbuf *b, size_t n)
{
	return LIKELY(!b->failed && n < b->size - b->len) || grow(b, n);
}

char *strbuf_reserve_slow(struct strbuf *b, size_t n)
{
	return ensure(b, n) ? b->p + b->len : NULL;
}

void strbuf_put_slow(struct strbuf *b, struct str s)
{
	if (!ensure(b, s.len))
		return;
	if (s.len != 0)
		memcpy(b->p + b->len, s.p, s.len);
	b->len += s.len;
	b->p[b->len] = '\0';
}

void strbuf_puts(struct strbuf *b, const char *z)
{
	strbuf_put(b, str_z(z));
}

void strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!ensure(b, 64))
		return;
	va_start(ap, fmt);
	n = vsnprintf(b->p + b->len, b->size - b->len, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n >= b->size - b->len) {
		b->p[b->len] = '\0';
		if (!ensure(b, (size_t)n))
			return;
		va_start(ap, fmt);
		n = vsnprintf(b->p + b->len, b->size - b->len, fmt, ap);
		va_end(ap);
	}
	assert(n >= 0);
	b->len += (size_t)n;
}

void strbuf_int(struct strbuf *b, int64_t v)
{
	if (ensure(b, 24))
		b->len += num_format_int(v, b->p + b->len);
}

void strbuf_truncate(struct strbuf *b, size_t len)
{
	assert(len <= b->len);
	b->len = len;
	if (b->p != NULL)
		b->p[len] = '\0';
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))
#define HIGH_BITS EACH_BYTE(0x80)

/* A high bit somewhere when a byte of w is zero. */
static inline uint64_t zero_bytes(uint64_t w)
{
	return (w - EACH_BYTE(1)) & ~w & HIGH_BITS;
}

/* Non-zero when a byte of w is a control (DEL when `del`), '"', '\\' or not ASCII. */
static inline uint64_t special_bytes(uint64_t w, bool del)
{
	uint64_t control = (w - EACH_BYTE(0x20)) & ~w & HIGH_BITS;

	if (del)
		control |= zero_bytes(w ^ EACH_BYTE(0x7F));
	return control | zero_bytes(w ^ EACH_BYTE('"')) | zero_bytes(w ^ EACH_BYTE('\\')) | (w & HIGH_BITS);
}

/* The index of the first byte from i on that cannot stand in a JSON string as it is; s.len when none. */
static size_t skip_plain(struct str s, size_t i)
{
	const unsigned char *p = (const unsigned char *)s.p;
	uint64_t w;
	uint32_t cp;

	while (i < s.len) {
		for (; s.len - i >= sizeof(w); i += sizeof(w)) {
			memcpy(&w, p + i, sizeof(w));
			if (special_bytes(w, false) != 0)
				break;
		}
		while (i < s.len && p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\')
			i++;
		if (i < s.len && p[i] < 0x80)
			return i;
		while (i < s.len && p[i] >= 0x80) {
			size_t n = str_utf8_next(s, i, &cp);

			if (cp == STR_UTF8_BAD)
				return i;
			i += n;
		}
	}
	return s.len;
}

/* Writes what stands for the byte at i, which skip_plain stopped at; returns how many bytes it was for. */
static size_t put_special(struct strbuf *b, struct str s, size_t i)
{
	static const char hex[] = "0123456789abcdef";
	static const char shorts[] = "btn.fr"; /* 0x08 to 0x0D; 0x0B has no short form */
	unsigned char c = (unsigned char)s.p[i];
	uint32_t cp;

	if (c >= 0x80) {
		strbuf_put(b, STR("\xEF\xBF\xBD"));
		return str_utf8_next(s, i, &cp);
	}
	if (c == '"' || c == '\\')
		strbuf_put(b, str_n((char[]){'\\', (char)c}, 2));
	else if (c >= 0x08 && c <= 0x0D && c != 0x0B)
		strbuf_put(b, str_n((char[]){'\\', shorts[c - 0x08]}, 2));
	else
		strbuf_put(b, str_n((char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6));
	return 1;
}

/* Copies n < 8 bytes; true when one of them is special. */
static inline bool copy_few(char *out, const char *p, size_t n, bool del)
{
	uint32_t first, last;
	uint64_t w;

	if (n >= sizeof(first)) {
		memcpy(&first, p, sizeof(first));
		memcpy(&last, p + n - sizeof(last), sizeof(last));
		memcpy(out, &first, sizeof(first));
		memcpy(out + n - sizeof(last), &last, sizeof(last));
		return special_bytes((uint64_t)first << 32 | last, del) != 0;
	}
	if (n == 0)
		return false;
	out[0] = p[0];
	out[n / 2] = p[n / 2];
	out[n - 1] = p[n - 1];
	w = (uint64_t)(unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8 |
	    (uint64_t)(unsigned char)p[n - 1] << 16 | EACH_BYTE(' ') << 24;
	return special_bytes(w, del) != 0;
}

#ifdef __SSE2__
/* Is a byte of v special? Compared as signed bytes, those beyond ASCII are below the blank, too. */
static inline bool special_block(__m128i v, bool del)
{
	__m128i special = _mm_or_si128(
		_mm_cmplt_epi8(v, _mm_set1_epi8(' ')),
		_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));

	if (del)
		special = _mm_or_si128(special, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7F)));
	return _mm_movemask_epi8(special) != 0;
}

/* Copies 8 to 16 bytes as two halves that overlap; true when one of them is special. */
static inline bool copy_halves(char *out, struct str s, bool del)
{
	const size_t last = s.len - sizeof(uint64_t);
	const __m128i low = _mm_loadl_epi64((const __m128i *)(const void *)s.p);
	const __m128i high = _mm_loadl_epi64((const __m128i *)(const void *)(s.p + last));

	_mm_storel_epi64((__m128i *)(void *)out, low);
	_mm_storel_epi64((__m128i *)(void *)(out + last), high);
	return special_block(_mm_unpacklo_epi64(low, high), del);
}
#endif

/* Copies plain bytes of s, a block at a time; what is left at the end is copied as a block that overlaps the one
 * before. Returns how many bytes are good: all, or up to the block that holds one that is not plain. `del`: DEL is
 * none, either. */
static inline __attribute__((always_inline)) size_t copy_plain(char *out, struct str s, bool del)
{
	size_t i = 0;

	if (s.len < sizeof(uint64_t))
		return copy_few(out, s.p, s.len, del) ? 0 : s.len;
#ifdef __SSE2__
	if (s.len <= sizeof(__m128i))
		return copy_halves(out, s, del) ? 0 : s.len;
	for (; s.len - i >= sizeof(__m128i); i += sizeof(__m128i)) {
		const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.p + i));

		_mm_storeu_si128((__m128i *)(void *)(out + i), v);
		if (special_block(v, del))
			return i;
	}
	const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.p + s.len - sizeof(__m128i)));

	_mm_storeu_si128((__m128i *)(void *)(out + s.len - sizeof(v)), v);
	return special_block(v, del) ? i : s.len;
#else
	uint64_t w;

	for (; s.len - i >= sizeof(w); i += sizeof(w)) {
		memcpy(&w, s.p + i, sizeof(w));
		memcpy(out + i, &w, sizeof(w));
		if (special_bytes(w, del) != 0)
			return i;
	}
	memcpy(&w, s.p + s.len - sizeof(w), sizeof(w));
	memcpy(out + s.len - sizeof(w), &w, sizeof(w));
	return special_bytes(w, del) != 0 ? i : s.len;
#endif
}

bool strbuf_copy_plain(char *out, struct str s)
{
	return copy_plain(out, s, false) == s.len;
}

bool strbuf_copy_printable(char *out, struct str s)
{
	return copy_plain(out, s, true) == s.len;
}

/* The string from its first byte on that may not be plain. False: it is ill-formed. */
static __attribute__((noinline)) bool put_escaped(struct strbuf *b, struct str s, size_t i)
{
	bool good = true;

	while (i < s.len) {
		size_t end = skip_plain(s, i);

		strbuf_put(b, str_n(s.p + i, end - i));
		i = end;
		if (i < s.len) {
			good = good && (unsigned char)s.p[i] < 0x80;
			i += put_special(b, s, i);
		}
	}
	return good;
}

static inline __attribute__((always_inline)) bool put_json_string(struct strbuf *b, struct str s)
{
	char *p;
	size_t n;

	if (UNLIKELY(s.len > SIZE_MAX / 4 || !ensure(b, s.len + 2))) {
		b->failed = true;
		return true;
	}
	p = b->p + b->len;
	p[0] = '"';
	n = copy_plain(p + 1, s, false);
	b->len += 1 + n;
	if (UNLIKELY(n < s.len)) {
		const bool good = put_escaped(b, s, n);

		strbuf_putc(b, '"');
		return good;
	}
	p[1 + n] = '"';
	p[2 + n] = '\0';
	b->len++;
	return true;
}

void strbuf_json_string(struct strbuf *b, struct str s)
{
	(void)put_json_string(b, s);
}

bool strbuf_json_text(struct strbuf *b, struct str s)
{
	const size_t before = b->len;

	if (LIKELY(put_json_string(b, s)))
		return true;
	strbuf_truncate(b, before);
	return false;
}

bool strbuf_json_part(struct strbuf *b, struct str s)
{
	if (s.len > SIZE_MAX / 4 || !ensure(b, s.len + 1)) {
		b->failed = true;
		return true;
	}
	const size_t n = s.len > 0 ? copy_plain(b->p + b->len, s, false) : 0;

	b->len += n;
	b->p[b->len] = '\0';
	return n == s.len || put_escaped(b, s, n);
}

void strbuf_json_double(struct strbuf *b, double v)
{
	if (ensure(b, NUM_DOUBLE_BYTES))
		b->len += num_format_double(v, b->p + b->len);
}

void strbuf_base64(struct strbuf *b, struct str bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)bytes.p;
	size_t n = bytes.len;
	char *out;

	if (n > SIZE_MAX / 4 || !ensure(b, (n + 2) / 3 * 4)) {
		b->failed = true;
		return;
	}
	out = b->p + b->len;
	b->len += (n + 2) / 3 * 4;
	for (; n >= 3; n -= 3, p += 3) {
		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = digits[p[2] & 63];
	}
	if (n != 0) {
		unsigned second = n == 2 ? p[1] : 0;

		*out++ = digits[p[0] >> 2];
		*out++ = digits[(p[0] & 3U) << 4 | second >> 4];
		*out++ = n == 2 ? digits[(second & 15) << 2] : '=';
		*out++ = '=';
	}
	*out = '\0';
}
