/* The splitter of bulk bodies: whatever the text and wherever it is cut, the same values come out of it. The first byte
 * says how it is cut. */
#include "service/base/json_split.h"
#include "service/base/num.h"
#include "tests/fuzz/fuzz_common.h"

/* Digest of the values and of how they ended. */
static void split(struct str text, bool lines, size_t step, uint8_t ret[32])
{
	enum json_split_result r = JSON_SPLIT_MORE;
	struct num_sha256 sum;
	struct json_split s;
	size_t at = 0;
	num_sha256_init(&sum);
	if (lines)
		json_split_lines(&s, 64);
	else
		json_split_array(&s, 64);
	while (r == JSON_SPLIT_MORE) {
		size_t n = text.len - at < step ? text.len - at : step;
		struct str piece = str_n(text.p + at, n), value;
		at += n;
		while ((r = json_split_next(&s, &piece, n == 0, &value)) == JSON_SPLIT_VALUE) {
			num_sha256_add(&sum, value);
			num_sha256_add(&sum, STR("|"));
		}
		if (r == JSON_SPLIT_MORE && (piece.len > 0 || n == 0))
			abort();
	}
	char end = (char)r;
	num_sha256_add(&sum, str_n(&end, 1));
	num_sha256_end(&sum, ret);
	json_split_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t whole[32], pieces[32];
	size_t step = size > 0 && data[0] > 0 ? data[0] : 1;
	struct str text = size > 1 ? str_n((const char *)data + 1, size - 1) : STR("");
	bool array = json_split_opens(&text);
	for (int lines = 0; lines < (array ? 1 : 2); lines++) {
		split(text, lines != 0, text.len + 1, whole);
		split(text, lines != 0, step, pieces);
		if (memcmp(whole, pieces, sizeof(whole)) != 0)
			abort();
	}
	return 0;
}
