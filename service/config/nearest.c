/* See nearest.h. */
#include "service/config/nearest.h"

#include "service/base/banned.h"

#define WORD_MAX 64

static char folded(char c)
{
	return c == '_' ? '-' : c;
}

static size_t least(size_t a, size_t b, size_t c)
{
	const size_t ab = a < b ? a : b;
	return ab < c ? ab : c;
}

/* Letters to put in, take out or change, two neighbours in the other order being one change more; row by row. */
static size_t distance(struct str a, struct str b)
{
	size_t row[WORD_MAX + 1];
	for (size_t k = 0; k <= b.len; k++)
		row[k] = k;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t k = 1; k <= b.len; k++) {
			const size_t above = row[k];
			const bool same = folded(a.p[i - 1]) == folded(b.p[k - 1]);
			row[k] = least(above + 1, row[k - 1] + 1, diagonal + (same ? 0 : 1));
			diagonal = above;
		}
	}
	return row[b.len];
}

void nearest_consider(struct nearest *n, const char *candidate)
{
	const struct str c = str_z(candidate);
	if (n->word.len == 0 || n->word.len > WORD_MAX || c.len > WORD_MAX)
		return;
	const size_t d = distance(n->word, c);
	const size_t most = n->word.len < 6 ? n->word.len / 3 : 2;
	if (d <= most && (n->found == NULL || d < n->distance)) {
		n->found = candidate;
		n->distance = d;
	}
}
