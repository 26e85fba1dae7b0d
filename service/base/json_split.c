/* See json_split.h. One pass over the bytes, no recursion, no copy of a value that lies in one piece. */
#include "service/base/json_split.h"

#include <string.h>

#include "service/base/banned.h"

enum state {
	AT_FIRST, /* a value or the end of the array */
	AT_VALUE, /* a value must come */
	IN_VALUE,
	AFTER_VALUE, /* a comma or the end of the array */
	AFTER_ARRAY, /* the end of the object */
	AT_MEMBER,   /* a comma came after the array */
	AFTER_ALL
};

static void init(struct json_split *s, bool lines, size_t value_max)
{
	memset(s, 0, sizeof(*s));
	s->lines = lines;
	s->state = AT_FIRST;
	s->value_max = value_max;
	strbuf_init(&s->held, value_max);
}

void json_split_lines(struct json_split *s, size_t value_max)
{
	init(s, true, value_max);
}

void json_split_array(struct json_split *s, size_t value_max)
{
	init(s, false, value_max);
}

void json_split_done(struct json_split *s)
{
	strbuf_done(&s->held);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void drop(struct str *s, size_t n)
{
	if (n > 0)
		*s = str_n(s->p + n, s->len - n);
}

static void skip_space(struct str *s)
{
	while (s->len > 0 && is_space(s->p[0]))
		drop(s, 1);
}

/* JSON's white space alone: a parser would not take any other. */
static void trim(struct str *s)
{
	skip_space(s);
	while (s->len > 0 && is_space(s->p[s->len - 1]))
		s->len--;
}

bool json_split_opens(struct str *text)
{
	static const struct str tokens[] = {{"{", 1}, {"\"records\"", 9}, {":", 1}, {"[", 1}};
	struct str rest = *text;

	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		skip_space(&rest);
		if (!str_starts(rest, tokens[i]))
			return false;
		drop(&rest, tokens[i].len);
	}
	*text = rest;
	return true;
}

/* The value's bytes in the piece end before byte n: the value is handed out, joined with what is held of it. */
static enum json_split_result hand_out(struct json_split *s, struct str *piece, size_t n, struct str *ret)
{
	const struct str part = str_n(piece->p, n);

	drop(piece, n);
	if (s->held.len + n > s->value_max)
		return JSON_SPLIT_TOO_LARGE;
	if (s->held.len == 0) {
		*ret = part;
		return JSON_SPLIT_VALUE;
	}
	strbuf_put(&s->held, part);
	if (strbuf_failed(&s->held))
		return JSON_SPLIT_TOO_LARGE;
	*ret = strbuf_str(&s->held);
	return JSON_SPLIT_VALUE;
}

/* The value goes on in the next piece. */
static enum json_split_result hold(struct json_split *s, struct str *piece)
{
	if (s->held.len + piece->len > s->value_max)
		return JSON_SPLIT_TOO_LARGE;
	strbuf_put(&s->held, *piece);
	drop(piece, piece->len);
	return strbuf_failed(&s->held) ? JSON_SPLIT_TOO_LARGE : JSON_SPLIT_MORE;
}

/* ---- lines ---- */

static enum json_split_result next_line(struct json_split *s, struct str *piece, bool last, struct str *ret)
{
	for (;;) {
		const char *end = piece->len > 0 ? memchr(piece->p, '\n', piece->len) : NULL;
		enum json_split_result r;

		if (end == NULL && !last)
			return hold(s, piece);
		if (end == NULL && piece->len == 0 && s->held.len == 0)
			return JSON_SPLIT_END;
		r = hand_out(s, piece, end != NULL ? (size_t)(end - piece->p) : piece->len, ret);
		if (r != JSON_SPLIT_VALUE)
			return r;
		if (end != NULL)
			drop(piece, 1);
		trim(ret);
		if (ret->len > 0) {
			s->state = AFTER_VALUE;
			return r;
		}
		strbuf_reset(&s->held);
	}
}

/* ---- the array ---- */

/* Bytes up to the one after the value: its comma or bracket; piece.len when that is not in the piece. */
static size_t value_bytes(struct json_split *s, struct str piece)
{
	size_t i = 0;

	for (; i < piece.len; i++) {
		const char c = piece.p[i];

		if (s->quoted) {
			if (s->escaped)
				s->escaped = false;
			else if (c == '\\')
				s->escaped = true;
			else if (c == '"')
				s->quoted = false;
			continue;
		}
		switch (c) {
		case '"':
			s->quoted = true;
			break;
		case '{':
		case '[':
			s->depth++;
			break;
		case '}':
		case ']':
			if (s->depth == 0)
				return i;
			s->depth--;
			break;
		case ',':
			if (s->depth == 0)
				return i;
			break;
		default:
			break;
		}
	}
	return i;
}

static bool eat(struct str *s, struct str token)
{
	skip_space(s);
	if (!str_starts(*s, token))
		return false;
	drop(s, token.len);
	return true;
}

bool json_split_opens_behind(struct str *text, struct str name, struct str *ret)
{
	struct str rest = *text;
	struct json_split value = {0};
	size_t n;

	if (!eat(&rest, STR("{")) || !eat(&rest, STR("\"")) || !str_starts(rest, name))
		return false;
	drop(&rest, name.len);
	if (!str_starts(rest, STR("\"")))
		return false;
	drop(&rest, 1);
	if (!eat(&rest, STR(":")))
		return false;
	skip_space(&rest);
	n = value_bytes(&value, rest);
	*ret = str_n(rest.p, n);
	trim(ret);
	drop(&rest, n);
	if (ret->len == 0 || ret->p[0] != '{' || !eat(&rest, STR(",")) || !eat(&rest, STR("\"records\"")) ||
	    !eat(&rest, STR(":")) || !eat(&rest, STR("[")))
		return false;
	*text = rest;
	return true;
}

static enum json_split_result in_value(struct json_split *s, struct str *piece, bool last, struct str *ret)
{
	const size_t n = value_bytes(s, *piece);

	if (n == piece->len && !last)
		return hold(s, piece);
	if (n == 0 && s->held.len == 0)
		return JSON_SPLIT_BROKEN;
	s->state = AFTER_VALUE;
	return hand_out(s, piece, n, ret);
}

/* One token between values. JSON_SPLIT_MORE: the state has changed. */
static enum json_split_result between(struct json_split *s, struct str *piece)
{
	const char c = piece->p[0];

	switch ((enum state)s->state) {
	case AT_FIRST:
	case AT_VALUE:
		if (s->state == AT_FIRST && c == ']') {
			s->state = AFTER_ARRAY;
			break;
		}
		s->state = IN_VALUE;
		s->quoted = s->escaped = false;
		s->depth = 0;
		return JSON_SPLIT_MORE;
	case AFTER_VALUE:
		if (c != ',' && c != ']')
			return JSON_SPLIT_BROKEN;
		s->state = c == ',' ? AT_VALUE : AFTER_ARRAY;
		break;
	case AFTER_ARRAY:
		if (c != ',' && c != '}')
			return JSON_SPLIT_BROKEN;
		s->state = c == ',' ? AT_MEMBER : AFTER_ALL;
		break;
	case AT_MEMBER:
		return c == '"' ? JSON_SPLIT_MEMBER : JSON_SPLIT_BROKEN;
	case IN_VALUE:
	case AFTER_ALL:
		return JSON_SPLIT_BROKEN;
	}
	drop(piece, 1);
	return JSON_SPLIT_MORE;
}

static enum json_split_result next_element(struct json_split *s, struct str *piece, bool last, struct str *ret)
{
	for (;;) {
		enum json_split_result r;

		if (s->state == IN_VALUE)
			return in_value(s, piece, last, ret);
		skip_space(piece);
		if (piece->len == 0 && !last)
			return JSON_SPLIT_MORE;
		if (piece->len == 0)
			return s->state == AFTER_ALL ? JSON_SPLIT_END : JSON_SPLIT_BROKEN;
		r = between(s, piece);
		if (r != JSON_SPLIT_MORE)
			return r;
	}
}

enum json_split_result json_split_next(struct json_split *s, struct str *piece, bool last, struct str *ret)
{
	if (s->state == AFTER_VALUE)
		strbuf_reset(&s->held);
	if (s->lines) {
		s->state = AT_FIRST;
		return next_line(s, piece, last, ret);
	}
	return next_element(s, piece, last, ret);
}
