/* See json_quick.h. RFC 8259 but for \u escapes and escapes in names. */
#include "service/base/json_quick.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "service/base/json_number.h"
#include "service/base/limits.h"

#include "service/base/banned.h"

#define PLAIN_DIGITS 18 /* always fit into 64 bits */

struct quick {
	struct arena *arena;
	const char *p, *end;
	size_t depth;
	size_t values, values_max;
};

static json_t *value(struct quick *q);

static void skip_space(struct quick *q)
{
	while (q->p < q->end && (*q->p == ' ' || *q->p == '\t' || *q->p == '\n' || *q->p == '\r'))
		q->p++;
}

static bool take(struct quick *q, char c)
{
	skip_space(q);
	if (q->p == q->end || *q->p != c)
		return false;
	q->p++;
	return true;
}

static bool counted(struct quick *q)
{
	return ++q->values <= q->values_max;
}

/* Passes the bytes that are neither a quote nor a backslash. *ret_beyond: some are not ASCII. False: one is a control,
 * or the text ends. */
static bool pass_plain(struct quick *q, bool *ret_beyond)
{
	const char *p = q->p;

#ifdef __SSE2__
	for (; q->end - p >= (ptrdiff_t)sizeof(__m128i); p += sizeof(__m128i)) {
		const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		const __m128i ends =
			_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));

		/* compared as signed bytes, those beyond ASCII are below the blank, too */
		if (_mm_movemask_epi8(_mm_or_si128(ends, _mm_cmplt_epi8(v, _mm_set1_epi8(' ')))) != 0)
			break;
	}
#endif
	for (; p < q->end && *p != '"' && *p != '\\'; p++) {
		if ((unsigned char)*p < 0x20)
			return false;
		*ret_beyond = *ret_beyond || (unsigned char)*p >= 0x80;
	}
	q->p = p;
	return p < q->end;
}

/* What \c stands for; 0: not one of the short ones. */
static char escaped(char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = c != '\0' ? strchr(from, c) : NULL;

	return at != NULL ? to[at - from] : '\0';
}

/* Where the string ends, at the earliest: what follows a backslash is no end. */
static const char *string_end(const struct quick *q)
{
	const char *p = q->p;

	while (p < q->end && *p != '"')
		p += *p == '\\' && p + 1 < q->end ? 2 : 1;
	return p;
}

/* The rest of a string from its first backslash on, which q->p stands on; `start` is its first byte. */
static bool unescape(struct quick *q, const char *start, bool *ret_beyond, struct str *ret)
{
	size_t len = (size_t)(q->p - start);
	char *out = arena_alloc(q->arena, (size_t)(string_end(q) - start) + 1);
	const char *from;

	memcpy(out, start, len);
	while (*q->p == '\\') {
		q->p++;
		out[len] = q->p < q->end ? escaped(*q->p) : '\0';
		if (out[len++] == '\0')
			return false;
		from = ++q->p;
		if (!pass_plain(q, ret_beyond))
			return false;
		memcpy(out + len, from, (size_t)(q->p - from));
		len += (size_t)(q->p - from);
	}
	*ret = str_n(out, len);
	return true;
}

/* Behind the opening quote. */
static bool string(struct quick *q, bool may_escape, struct str *ret)
{
	const char *start = q->p;
	bool beyond = false;

	if (!pass_plain(q, &beyond))
		return false;
	*ret = str_n(start, (size_t)(q->p - start));
	if (*q->p == '\\' && (!may_escape || !unescape(q, start, &beyond, ret)))
		return false;
	q->p++;
	return !beyond || str_is_utf8(*ret);
}

static json_t *number(struct quick *q)
{
	const struct str rest = str_n(q->p, (size_t)(q->end - q->p));
	const bool negative = *q->p == '-';
	json_int_t n = 0;
	bool carried;
	const size_t len = json_number_skip(rest, 0, &carried), n_digits = len - negative;

	q->p += len;
	if (carried)
		return json_number_node(q->arena, str_n(rest.p, len));
	if (n_digits == 0 || n_digits > PLAIN_DIGITS || (n_digits > 1 && rest.p[negative] == '0'))
		return NULL;
	for (size_t i = negative; i < len; i++)
		n = n * 10 + (rest.p[i] - '0');
	return json_integer(negative ? -n : n);
}

static json_t *word(struct quick *q, struct str w, json_t *v)
{
	if ((size_t)(q->end - q->p) < w.len || memcmp(q->p, w.p, w.len) != 0)
		return NULL;
	q->p += w.len;
	return v;
}

/* One member; the object has n before it. */
static bool member(struct quick *q, json_t *object, size_t n)
{
	struct str name;
	json_t *v;

	if (!take(q, '"') || !string(q, false, &name) || !take(q, ':'))
		return false;
	v = value(q);
	/* one that is there already does not make it larger */
	return v != NULL && json_object_setn_new_nocheck(object, name.p, name.len, v) == 0 &&
	       json_object_size(object) == n + 1;
}

static bool members(struct quick *q, json_t *object)
{
	size_t n = 0;

	if (take(q, '}'))
		return true;
	while (member(q, object, n++)) {
		if (take(q, '}'))
			return true;
		if (!take(q, ',') || !counted(q))
			break;
	}
	return false;
}

static bool items(struct quick *q, json_t *array)
{
	if (take(q, ']'))
		return true;
	for (;;) {
		json_t *v = value(q);

		if (v == NULL || json_array_append_new(array, v) != 0)
			return false;
		if (take(q, ']'))
			return true;
		if (!take(q, ',') || !counted(q))
			return false;
	}
}

/* Recursion is as deep as documents may be. */
static json_t *nested(struct quick *q, json_t *v)
{
	bool ok = v != NULL && q->depth < LIMIT_JSON_DEPTH && counted(q);

	q->p++;
	q->depth++;
	ok = ok && (json_is_object(v) ? members(q, v) : items(q, v));
	q->depth--;
	if (ok)
		return v;
	json_decref(v);
	return NULL;
}

static json_t *value(struct quick *q)
{
	struct str s;

	skip_space(q);
	if (q->p == q->end)
		return NULL;
	switch (*q->p) {
	case '"':
		q->p++;
		return string(q, true, &s) ? json_stringn_nocheck(s.p, s.len) : NULL;
	case '{':
		return nested(q, json_object());
	case '[':
		return nested(q, json_array());
	case 't':
		return word(q, STR("true"), json_true());
	case 'f':
		return word(q, STR("false"), json_false());
	case 'n':
		return word(q, STR("null"), json_null());
	default:
		return *q->p == '-' || (*q->p >= '0' && *q->p <= '9') ? number(q) : NULL;
	}
}

json_t *json_quick(struct arena *a, struct str text, size_t values_max)
{
	struct quick q = {.arena = a, .p = text.p, .end = text.p + text.len, .values_max = values_max};
	json_t *v;

	if (text.len == 0 || text.len > JSON_QUICK_BYTES || !counted(&q))
		return NULL;
	v = value(&q);
	skip_space(&q);
	if (q.p == q.end)
		return v;
	json_decref(v);
	return NULL;
}
