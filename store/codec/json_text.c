/* A validator with a stack of one bit a level: in an object or in an array. */
#include "store/codec/json_text.h"

#include <stdint.h>

#include "service/base/wait.h"
#include "store/value.h"

#include "service/base/banned.h"

#define DEPTH_MAX 1024

struct scan {
	struct str s;
	size_t at;
	size_t depth;
	bool too_deep;
	uint8_t objects[DEPTH_MAX / 8]; /* bit d: level d is an object */
};

static int peek(const struct scan *t)
{
	return t->at < t->s.len ? (unsigned char)t->s.p[t->at] : -1;
}

static void skip_space(struct scan *t)
{
	while (t->at < t->s.len) {
		char c = t->s.p[t->at];

		if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			return;
		t->at++;
	}
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool scan_escape(struct scan *t)
{
	int c = peek(t);

	t->at++;
	switch (c) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return true;
	case 'u':
		if (t->s.len - t->at < 4)
			return false;
		for (size_t i = 0; i < 4; i++)
			if (!is_hex(t->s.p[t->at + i]))
				return false;
		t->at += 4;
		return true;
	default:
		return false;
	}
}

static bool scan_string(struct scan *t)
{
	if (peek(t) != '"')
		return false;
	t->at++;
	while (t->at < t->s.len) {
		unsigned char c = (unsigned char)t->s.p[t->at++];

		if (t->at % VALUE_PART_BYTES == 0)
			wait_may_step_aside();
		if (c == '"')
			return true;
		if (c < 0x20)
			return false;
		if (c == '\\' && (t->at == t->s.len || !scan_escape(t)))
			return false;
	}
	return false;
}

static bool scan_digits(struct scan *t)
{
	if (!is_digit(peek(t)))
		return false;
	while (is_digit(peek(t)))
		t->at++;
	return true;
}

static bool scan_number(struct scan *t)
{
	if (peek(t) == '-')
		t->at++;
	if (peek(t) == '0')
		t->at++;
	else if (!scan_digits(t))
		return false;
	if (peek(t) == '.') {
		t->at++;
		if (!scan_digits(t))
			return false;
	}
	if (peek(t) == 'e' || peek(t) == 'E') {
		t->at++;
		if (peek(t) == '+' || peek(t) == '-')
			t->at++;
		return scan_digits(t);
	}
	return true;
}

static bool scan_word(struct scan *t, struct str word)
{
	if (!str_starts(str_n(t->s.p + t->at, t->s.len - t->at), word))
		return false;
	t->at += word.len;
	return true;
}

static bool push(struct scan *t, bool object)
{
	uint8_t bit = (uint8_t)(1U << t->depth % 8);

	t->too_deep = t->depth == DEPTH_MAX;
	if (t->too_deep)
		return false;
	if (object)
		t->objects[t->depth / 8] |= bit;
	else
		t->objects[t->depth / 8] &= (uint8_t)~bit;
	t->depth++;
	t->at++;
	return true;
}

static bool in_object(const struct scan *t)
{
	return (t->objects[(t->depth - 1) / 8] & 1U << (t->depth - 1) % 8) != 0;
}

/* A member's name and colon. */
static bool scan_name(struct scan *t)
{
	skip_space(t);
	if (!scan_string(t))
		return false;
	skip_space(t);
	if (peek(t) != ':')
		return false;
	t->at++;
	return true;
}

static bool scan_scalar(struct scan *t)
{
	switch (peek(t)) {
	case '"':
		return scan_string(t);
	case 't':
		return scan_word(t, STR("true"));
	case 'f':
		return scan_word(t, STR("false"));
	case 'n':
		return scan_word(t, STR("null"));
	default:
		return scan_number(t);
	}
}

/* After a value: closes what ends here; *ret_more says that another value follows. */
static bool scan_after(struct scan *t, bool *ret_more)
{
	while (t->depth > 0) {
		skip_space(t);
		if (peek(t) == ',') {
			t->at++;
			*ret_more = true;
			return !in_object(t) || scan_name(t);
		}
		if (peek(t) != (in_object(t) ? '}' : ']'))
			return false;
		t->at++;
		t->depth--;
	}
	*ret_more = false;
	return true;
}

/* Opens containers until a scalar or an empty container has been read. */
static bool scan_value(struct scan *t)
{
	for (;;) {
		int c;

		skip_space(t);
		c = peek(t);
		if (c != '{' && c != '[')
			return scan_scalar(t);
		if (!push(t, c == '{'))
			return false;
		skip_space(t);
		if (peek(t) == (c == '{' ? '}' : ']')) {
			t->at++;
			t->depth--;
			return true;
		}
		if (c == '{' && !scan_name(t))
			return false;
	}
}

enum json_text json_text_check(struct str text)
{
	struct scan t = {.s = text};
	bool more = true;

	for (size_t look = VALUE_PART_BYTES; more;) {
		if (!scan_value(&t) || !scan_after(&t, &more))
			return t.too_deep ? JSON_TEXT_TOO_DEEP : JSON_TEXT_INVALID;
		if (t.at >= look) {
			look = t.at + VALUE_PART_BYTES;
			wait_may_step_aside();
		}
	}
	skip_space(&t);
	return t.at == t.s.len && value_is_utf8(text) ? JSON_TEXT_VALID : JSON_TEXT_INVALID;
}

bool json_text_valid(struct str text)
{
	return json_text_check(text) == JSON_TEXT_VALID;
}
