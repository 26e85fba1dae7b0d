/* A span of bytes that never owns. Text is UTF-8 and need not end in NUL. */
#ifndef FERROD_BASE_STR_H
#define FERROD_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "service/base/macros.h"

struct str {
	const char *p; /* NULL only in an absent span (len 0) */
	size_t len;
};

/* A span over a string literal. */
#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
#define STR_NONE ((struct str){NULL, 0})
/* printf arguments for "%.*s" (spans are bounded well below INT_MAX). */
#define STR_FMT(s) (int)(s).len, (s).p != NULL ? (s).p : ""

/* A span over a NUL-terminated string, borrowed; NULL gives STR_NONE. */
static inline struct str str_z(const char *z)
{
	return (struct str){z, z != NULL ? strlen(z) : 0};
}

static inline struct str str_n(const char *p, size_t len)
{
	return (struct str){p, len};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool str_eq_z(struct str a, const char *z)
{
	return str_eq(a, str_z(z));
}

/* Byte order, shorter first on a tie: the order of Python's sorted() over UTF-8 text. */
int str_cmp(struct str a, struct str b);

/* ASCII case-insensitive equality; the second: with a NUL-terminated string. */
bool str_ieq(struct str a, struct str b);
static inline bool str_ieq_z(struct str a, const char *z)
{
	const struct str b = str_z(z);

	return a.len == b.len && str_ieq(a, b);
}

bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);

/* Without ASCII white space at both ends; borrows from s. */
struct str str_trim(struct str s);

/* Cuts s at the first `sep`: *ret_head is what is before it (all of s when there is none), *s what
 * follows (STR_NONE when there is none). Returns false when s was already STR_NONE (p NULL). */
bool str_split(struct str *s, char sep, struct str *ret_head);

/* What str_utf8_next gives for an ill-formed sequence. */
#define STR_UTF8_BAD UINT32_MAX

/* The code point that starts at byte pos < s.len into *ret_cp; returns its bytes (1..4). An ill-formed sequence
 * gives STR_UTF8_BAD and the length of its maximal subpart (what one U+FFFD replaces; Unicode 3.9). */
size_t str_utf8_next(struct str s, size_t pos, uint32_t *ret_cp);

/* True when every byte is well-formed UTF-8 (RFC 3629: no surrogates, nothing over U+10FFFF). */
bool str_is_utf8(struct str s);

/* Number of code points of well-formed UTF-8. */
size_t str_utf8_count(struct str s);

#endif
