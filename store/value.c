/* Values: copies, equality, and their JSON form. */
#include "store/value.h"

#include <math.h>
#include <string.h>

#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

/* Integers beyond it cannot be told apart by readers whose numbers are doubles (2^53 - 1). */
#define SAFE_INTEGER INT64_C(9007199254740991)

static const struct value_format format_default;

struct value value_dup(struct arena *a, struct value v)
{
	switch (v.kind) {
	case VALUE_TEXT:
	case VALUE_BYTES:
	case VALUE_JSON:
		v.u.s = arena_str(a, v.u.s.p != NULL ? v.u.s : STR(""));
		break;
	case VALUE_NULL:
	case VALUE_BOOL:
	case VALUE_INT:
	case VALUE_DOUBLE:
		break;
	}
	return v;
}

bool value_equal(struct value a, struct value b)
{
	if (a.kind != b.kind)
		return false;
	switch (a.kind) {
	case VALUE_NULL:
		return true;
	case VALUE_BOOL:
		return a.u.b == b.u.b;
	case VALUE_INT:
		return a.u.i == b.u.i;
	case VALUE_DOUBLE: /* a NaN is the same content as a NaN */
		return isnan(a.u.d) ? isnan(b.u.d) != 0 : a.u.d == b.u.d && signbit(a.u.d) == signbit(b.u.d);
	case VALUE_TEXT:
	case VALUE_BYTES:
	case VALUE_JSON:
		return str_eq(a.u.s, b.u.s);
	}
	return false;
}

static void write_int(struct strbuf *b, int64_t i, bool as_string)
{
	bool quote = as_string && (i > SAFE_INTEGER || i < -SAFE_INTEGER);

	if (quote)
		strbuf_putc(b, '"');
	strbuf_int(b, i);
	if (quote)
		strbuf_putc(b, '"');
}

static void write_double(struct strbuf *b, double d)
{
	if (isnan(d))
		strbuf_put(b, STR("\"NaN\""));
	else if (isinf(d))
		strbuf_put(b, d > 0 ? STR("\"Infinity\"") : STR("\"-Infinity\""));
	else
		strbuf_json_double(b, d);
}

/* The first of what is left, which ends with a character; 0: nothing is left. */
static size_t part_of(struct str rest)
{
	size_t n = VALUE_PART_BYTES;

	if (rest.len <= n)
		return rest.len;
	for (int i = 0; i < 3 && ((unsigned char)rest.p[n] & 0xC0) == 0x80; i++)
		n--;
	return n;
}

bool value_is_utf8(struct str s)
{
	while (s.len > 0) {
		const size_t n = part_of(s);

		if (!str_is_utf8(str_n(s.p, n)))
			return false;
		s = str_n(s.p + n, s.len - n);
		if (s.len > 0)
			wait_may_step_aside();
	}
	return true;
}

void value_write_large(struct strbuf *b, struct str s)
{
	const size_t before = b->len;
	bool good = true;

	strbuf_putc(b, '"');
	for (struct str rest = s; good && rest.len > 0;) {
		const size_t n = part_of(rest);

		good = strbuf_json_part(b, str_n(rest.p, n));
		rest = str_n(rest.p + n, rest.len - n);
		wait_may_step_aside();
	}
	strbuf_putc(b, '"');
	if (good || strbuf_failed(b))
		return;
	strbuf_truncate(b, before);
	value_write_tagged(b, s);
}

#define BASE64_PART (VALUE_PART_BYTES / 3 * 3) /* which needs no padding */

void value_write_base64(struct strbuf *b, struct str s)
{
	for (; s.len > BASE64_PART; s = str_n(s.p + BASE64_PART, s.len - BASE64_PART)) {
		strbuf_base64(b, str_n(s.p, BASE64_PART));
		wait_may_step_aside();
	}
	strbuf_base64(b, s);
}

static void write_bytes(struct strbuf *b, struct str s, bool tag)
{
	if (tag)
		strbuf_put(b, STR("{\"$bytes\":"));
	strbuf_putc(b, '"');
	value_write_base64(b, s);
	strbuf_putc(b, '"');
	if (tag)
		strbuf_putc(b, '}');
}

void value_write_tagged(struct strbuf *b, struct str s)
{
	write_bytes(b, s, true);
}

static void write_plainly(struct strbuf *b, struct str s)
{
	for (; s.len > VALUE_PART_BYTES; s = str_n(s.p + VALUE_PART_BYTES, s.len - VALUE_PART_BYTES)) {
		strbuf_put(b, str_n(s.p, VALUE_PART_BYTES));
		wait_may_step_aside();
	}
	strbuf_put(b, s);
}

/* A document goes out as it is, but never with a line break: one row of NDJSON is one line. */
static void write_document(struct strbuf *b, struct str s)
{
	bool in_string = false;
	size_t from = 0;

	if (s.len == 0 || (memchr(s.p, '\n', s.len) == NULL && memchr(s.p, '\r', s.len) == NULL)) {
		write_plainly(b, s.len != 0 ? s : STR("null"));
		return;
	}
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (i % VALUE_PART_BYTES == VALUE_PART_BYTES - 1)
			wait_may_step_aside();
		if (in_string && c == '\\') {
			i++;
		} else if (c == '"') {
			in_string = !in_string;
		} else if (!in_string && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
			strbuf_put(b, str_n(s.p + from, i - from));
			from = i + 1;
		}
	}
	if (from < s.len)
		write_plainly(b, str_n(s.p + from, s.len - from));
}

void value_write_json(struct strbuf *b, struct value v, const struct value_format *fmt)
{
	if (fmt == NULL)
		fmt = &format_default;
	switch (v.kind) {
	case VALUE_NULL:
		strbuf_put(b, STR("null"));
		return;
	case VALUE_BOOL:
		strbuf_put(b, v.u.b ? STR("true") : STR("false"));
		return;
	case VALUE_INT:
		write_int(b, v.u.i, fmt->int64_as_string);
		return;
	case VALUE_DOUBLE:
		write_double(b, v.u.d);
		return;
	case VALUE_TEXT:
		value_write_text(b, v.u.s);
		return;
	case VALUE_BYTES:
		write_bytes(b, v.u.s, fmt->tag_bytes);
		return;
	case VALUE_JSON:
		write_document(b, v.u.s);
		return;
	}
}
