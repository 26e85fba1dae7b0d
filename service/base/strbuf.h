/*
 * A growable, capped byte buffer. Appends return void; the first failure (cap reached, heap
 * exhausted) sticks, later appends do nothing, and the owner looks once at the end: strbuf_failed.
 * Always NUL-terminated after the first append; the NUL is not counted. Not thread-safe.
 */
#ifndef FERROD_BASE_STRBUF_H
#define FERROD_BASE_STRBUF_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "service/base/macros.h"
#include "service/base/str.h"

struct strbuf {
	char *p; /* owned; NULL until the first append */
	size_t len;
	size_t size; /* allocated bytes */
	size_t cap;  /* len never exceeds it; 0 means SIZE_MAX / 2 */
	bool failed;
};

/* Empty; allocates nothing yet. cap in bytes, 0: unbounded. */
void strbuf_init(struct strbuf *b, size_t cap);

/* Frees the bytes; the buffer is as after strbuf_init with the same cap. */
void strbuf_done(struct strbuf *b);

/* Length 0, error cleared, memory kept. */
void strbuf_reset(struct strbuf *b);

/* The bytes so far, borrowed until the next append. */
static inline struct str strbuf_str(const struct strbuf *b)
{
	return (struct str){b->p != NULL ? b->p : "", b->len};
}

static inline bool strbuf_failed(const struct strbuf *b)
{
	return b->failed;
}

/* The bytes as heap memory the caller frees with mem_free (length to *ret_len); the buffer is empty. */
char *strbuf_take(struct strbuf *b, size_t *ret_len);

/* Of strbuf_reserve alone: the buffer has to grow, or has failed. */
char *strbuf_reserve_slow(struct strbuf *b, size_t n);

/* Room for n more bytes; returns where they go, or NULL when failed. Follow with strbuf_advance. */
static inline char *strbuf_reserve(struct strbuf *b, size_t n)
{
	return LIKELY(!b->failed && n < b->size - b->len) ? b->p + b->len : strbuf_reserve_slow(b, n);
}

/* Of the bytes reserved, n have been written. */
static inline void strbuf_advance(struct strbuf *b, size_t n)
{
	assert(n < b->size - b->len);
	b->len += n;
	b->p[b->len] = '\0';
}

/* Of strbuf_put alone: the buffer has to grow, or has failed. */
void strbuf_put_slow(struct strbuf *b, struct str s);

static inline void strbuf_put(struct strbuf *b, struct str s)
{
	if (UNLIKELY(b->failed || s.len == 0 || s.len >= b->size - b->len)) {
		strbuf_put_slow(b, s);
		return;
	}
	memcpy(b->p + b->len, s.p, s.len);
	b->len += s.len;
	b->p[b->len] = '\0';
}

static inline void strbuf_putc(struct strbuf *b, char c)
{
	char *p = strbuf_reserve(b, 1);

	if (LIKELY(p != NULL)) {
		p[0] = c;
		p[1] = '\0';
		b->len++;
	}
}

void strbuf_puts(struct strbuf *b, const char *z);
void strbuf_printf(struct strbuf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_int(struct strbuf *b, int64_t v);

/* Cuts back to len bytes (len <= b->len). */
void strbuf_truncate(struct strbuf *b, size_t len);

/* A JSON string with its quotes (RFC 8259 §7): escapes ", \ and controls; other UTF-8 verbatim.
 * Scans whole words for bytes that need no escape. Ill-formed UTF-8 becomes U+FFFD. */
void strbuf_json_string(struct strbuf *b, struct str s);

/* The same, but false and nothing written when s is no well-formed UTF-8. */
bool strbuf_json_text(struct strbuf *b, struct str s) MUST_CHECK;

/* Copies s into out, which has room for it. False: something in it cannot stand in a JSON string as it is, or is not
 * ASCII; then what out holds is of no use. */
bool strbuf_copy_plain(char *out, struct str s) MUST_CHECK;
/* The same, and false for DEL, too. */
bool strbuf_copy_printable(char *out, struct str s) MUST_CHECK;

/* A part of such a string, without quotes; it neither begins nor ends inside a character. False: it is ill-formed, and
 * what was written of it is to be cut off. */
bool strbuf_json_part(struct strbuf *b, struct str s) MUST_CHECK;

/* A JSON number in the shortest form that reads back as v; v must be finite. Integral values below
 * 1e16 print with ".0" (as Python and jansson do). */
void strbuf_json_double(struct strbuf *b, double v);

/* RFC 4648 §4 base64 with padding, without quotes. */
void strbuf_base64(struct strbuf *b, struct str bytes);

#endif
