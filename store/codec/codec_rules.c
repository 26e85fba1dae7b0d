/* See codec_rules.h. */
#include "store/codec/codec_rules.h"
#include "service/base/num.h"

#include "service/base/banned.h"

bool codec_stored_as_text(const struct column *c)
{
	return c->storage == ST_TEXT || c->storage == ST_VARCHAR || c->storage == ST_CHAR;
}

static bool hyphen_at(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

bool codec_uuid(struct str in, char out[CODEC_UUID_BYTES])
{
	size_t at = 0;

	if (in.len != 36 && in.len != 32)
		return false;
	for (size_t i = 0; i < 36; i++) {
		int digit;

		if (hyphen_at(i)) {
			if (in.len == 36 && in.p[at++] != '-')
				return false;
			out[i] = '-';
			continue;
		}
		digit = num_hex_digit(in.p[at++]);
		if (digit < 0)
			return false;
		out[i] = "0123456789abcdef"[digit];
	}
	out[36] = '\0';
	return true;
}

void codec_uuid_hex(char uuid[CODEC_UUID_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < CODEC_UUID_BYTES; i++) /* with the NUL */
		if (!hyphen_at(i))
			uuid[n++] = uuid[i];
}

struct value codec_uuid_blob(struct arena *a, const char uuid[CODEC_UUID_BYTES])
{
	uint8_t *bytes = arena_alloc(a, 16);

	for (size_t i = 0, n = 0; i < CODEC_UUID_BYTES - 1; i++) {
		if (hyphen_at(i))
			continue;
		bytes[n / 2] = (uint8_t)(bytes[n / 2] << 4 | (num_hex_digit(uuid[i]) & 0xf));
		n++;
	}
	return value_bytes(str_n((const char *)bytes, 16));
}
