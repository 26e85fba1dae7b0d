/* See sqlite_match.h. */
#include "store/driver/sqlite/sqlite_match.h"

#include "service/base/banned.h"

#define STEPS 4096 /* matches or tokens between two pauses */

int match_tick(struct match_call *k)
{
	return ++k->steps % STEPS == 0 && !sqlite_wait_pause(k->c) ? SQLITE_INTERRUPT : SQLITE_OK;
}

static bool comes_first(const struct match_list *a, const struct match_list *b)
{
	if (a->col != b->col)
		return a->col < b->col;
	return a->off != b->off ? a->off < b->off : a->phrase < b->phrase;
}

static void sink(struct matches *m, int at)
{
	for (;;) {
		const int left = 2 * at + 1;
		int first = at;

		for (int i = left; i < m->n && i <= left + 1; i++)
			if (comes_first(&m->lists[i], &m->lists[first]))
				first = i;
		if (first == at)
			return;
		const struct match_list moved = m->lists[at];
		m->lists[at] = m->lists[first];
		m->lists[first] = moved;
		at = first;
	}
}

int match_first(struct match_call *k, struct matches *m)
{
	const int phrases = k->api->xPhraseCount(k->fts);

	m->n = 0;
	m->lists = sqlite3_malloc64((sqlite3_uint64)(phrases + 1) * sizeof(*m->lists));
	if (m->lists == NULL)
		return SQLITE_NOMEM;
	for (int i = 0; i < phrases; i++) {
		struct match_list *l = &m->lists[m->n];
		const int rc = k->api->xPhraseFirst(k->fts, i, &l->iter, &l->col, &l->off);

		if (rc != SQLITE_OK)
			return rc;
		l->phrase = i;
		m->n += l->col >= 0;
	}
	for (int i = m->n / 2; i >= 0; i--)
		sink(m, i);
	return SQLITE_OK;
}

void match_done(struct matches *m)
{
	sqlite3_free(m->lists);
}

int match_next(struct match_call *k, struct matches *m)
{
	struct match_list *l = &m->lists[0];

	k->api->xPhraseNext(k->fts, &l->iter, &l->col, &l->off);
	if (l->col < 0)
		*l = m->lists[--m->n];
	sink(m, 0);
	return match_tick(k);
}

int match_skip(struct match_call *k, struct matches *m, int col)
{
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && m->n > 0 && m->lists[0].col < col)
		rc = match_next(k, m);
	return rc;
}

bool match_in(const struct matches *m, int col)
{
	return m->n > 0 && m->lists[0].col == col;
}
