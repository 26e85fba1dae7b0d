/* Packing of records: see record_pack.h. Only this process reads what it wrote, so unpacking asserts instead of
 * failing. */
#include "store/session/record_pack.h"

#include <assert.h>
#include <string.h>

#include "service/base/banned.h"

enum tag { TAG_NULL, TAG_FALSE, TAG_TRUE, TAG_INT, TAG_DOUBLE, TAG_TEXT, TAG_BYTES, TAG_JSON };

/* Small magnitudes of either sign get small codes. */
static uint64_t zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t u)
{
	return (int64_t)((u >> 1) ^ ((u & 1) != 0 ? UINT64_MAX : 0));
}

static size_t varint_len(uint64_t v)
{
	size_t n = 1;

	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

static unsigned char *put_varint(unsigned char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (unsigned char)(v | 0x80);
	*p++ = (unsigned char)v;
	return p;
}

static const char *get_varint(const char *p, const char *end, uint64_t *ret)
{
	uint64_t v = 0;
	unsigned shift = 0;

	for (;; shift += 7) {
		assert(p < end && shift < 64);
		v |= (uint64_t)((unsigned char)*p & 0x7F) << shift;
		if (((unsigned char)*p++ & 0x80) == 0)
			break;
	}
	*ret = v;
	return p;
}

size_t record_pack_len(const struct value *values, size_t n)
{
	size_t len = n; /* the tags */

	for (size_t i = 0; i < n; i++) {
		switch (values[i].kind) {
		case VALUE_NULL:
		case VALUE_BOOL:
			break;
		case VALUE_INT:
			len += varint_len(zigzag(values[i].u.i));
			break;
		case VALUE_DOUBLE:
			len += sizeof(double);
			break;
		case VALUE_TEXT:
		case VALUE_BYTES:
		case VALUE_JSON:
			len += varint_len(values[i].u.s.len) + values[i].u.s.len;
			break;
		}
	}
	return len;
}

static unsigned char *put_bytes(unsigned char *p, enum tag tag, struct str s)
{
	*p++ = (unsigned char)tag;
	p = put_varint(p, s.len);
	if (s.len != 0)
		memcpy(p, s.p, s.len);
	return p + s.len;
}

void record_pack(const struct value *values, size_t n, unsigned char *out)
{
	unsigned char *p = out;

	for (size_t i = 0; i < n; i++) {
		const struct value *v = &values[i];

		switch (v->kind) {
		case VALUE_NULL:
			*p++ = TAG_NULL;
			break;
		case VALUE_BOOL:
			*p++ = v->u.b ? TAG_TRUE : TAG_FALSE;
			break;
		case VALUE_INT:
			*p++ = TAG_INT;
			p = put_varint(p, zigzag(v->u.i));
			break;
		case VALUE_DOUBLE:
			*p++ = TAG_DOUBLE;
			memcpy(p, &v->u.d, sizeof(double));
			p += sizeof(double);
			break;
		case VALUE_TEXT:
			p = put_bytes(p, TAG_TEXT, v->u.s);
			break;
		case VALUE_BYTES:
			p = put_bytes(p, TAG_BYTES, v->u.s);
			break;
		case VALUE_JSON:
			p = put_bytes(p, TAG_JSON, v->u.s);
			break;
		}
	}
}

static const char *get_value(const char *p, const char *end, struct value *ret)
{
	enum tag tag;
	uint64_t u;

	assert(p < end);
	tag = (enum tag)(unsigned char)*p++;
	switch (tag) {
	case TAG_NULL:
		*ret = value_null();
		return p;
	case TAG_FALSE:
	case TAG_TRUE:
		*ret = value_bool(tag == TAG_TRUE);
		return p;
	case TAG_INT:
		p = get_varint(p, end, &u);
		*ret = value_int(unzigzag(u));
		return p;
	case TAG_DOUBLE:
		assert((size_t)(end - p) >= sizeof(double));
		ret->kind = VALUE_DOUBLE;
		memcpy(&ret->u.d, p, sizeof(double));
		return p + sizeof(double);
	case TAG_TEXT:
	case TAG_BYTES:
	case TAG_JSON:
		p = get_varint(p, end, &u);
		assert((uint64_t)(end - p) >= u);
		ret->kind = tag == TAG_TEXT ? VALUE_TEXT : tag == TAG_BYTES ? VALUE_BYTES : VALUE_JSON;
		ret->u.s = str_n(p, (size_t)u);
		return p + u;
	}
	assert(false);
	return end;
}

const struct value *record_unpack(struct arena *a, struct str packed, size_t n)
{
	struct value *values = arena_array(a, n != 0 ? n : 1, sizeof(*values));
	const char *p = packed.p, *end = packed.p + packed.len;

	for (size_t i = 0; i < n; i++)
		p = get_value(p, end, &values[i]);
	assert(p == end);
	return values;
}
