/* bm25() of FTS5, by the formula of its documentation: SQLite's own takes time in the square of a query's phrases. */
#include "store/driver/sqlite/sqlite_match.h"

#include <math.h>

#include "service/base/banned.h"

struct weights {
	double average; /* tokens of a document */
	int n;
	double of_phrase[];
};

struct counting {
	struct match_call *k;
	int64_t n;
};

static int on_document(const Fts5ExtensionApi *api, Fts5Context *fts, void *arg)
{
	struct counting *c = arg;

	(void)api;
	(void)fts;
	c->n++;
	return match_tick(c->k);
}

/* Of a whole query: kept with it. */
static int weigh(struct match_call *k, const struct weights **ret)
{
	const int n = k->api->xPhraseCount(k->fts);
	struct weights *w = k->api->xGetAuxdata(k->fts, 0);
	sqlite3_int64 rows = 0, tokens = 0;
	int rc;

	*ret = w;
	if (w != NULL)
		return SQLITE_OK;
	w = sqlite3_malloc64(sizeof(*w) + (sqlite3_uint64)n * sizeof(w->of_phrase[0]));
	if (w == NULL)
		return SQLITE_NOMEM;
	w->n = n;
	rc = k->api->xRowCount(k->fts, &rows);
	if (rc == SQLITE_OK)
		rc = k->api->xColumnTotalSize(k->fts, -1, &tokens);
	w->average = rows > 0 ? (double)tokens / (double)rows : 1;
	for (int i = 0; rc == SQLITE_OK && i < n; i++) {
		struct counting c = {.k = k};
		double idf;

		rc = sqlite_wait_pause(k->c) ? k->api->xQueryPhrase(k->fts, i, &c, on_document) : SQLITE_INTERRUPT;
		idf = log(((double)(rows - c.n) + 0.5) / ((double)c.n + 0.5));
		w->of_phrase[i] = idf <= 0.0 ? 1e-6 : idf;
	}
	if (rc != SQLITE_OK) {
		sqlite3_free(w);
		return rc;
	}
	*ret = w;
	return k->api->xSetAuxdata(k->fts, w, sqlite3_free); /* frees it when it fails */
}

/* How often the phrase is there, by the columns' weights. */
static int count_phrase(struct match_call *k, int phrase, int n_args, sqlite3_value **args, double *ret)
{
	Fts5PhraseIter iter;
	int col, off, rc = k->api->xPhraseFirst(k->fts, phrase, &iter, &col, &off);

	*ret = 0;
	while (rc == SQLITE_OK && col >= 0) {
		*ret += col < n_args ? sqlite3_value_double(args[col]) : 1.0;
		k->api->xPhraseNext(k->fts, &iter, &col, &off);
		rc = match_tick(k);
	}
	return rc;
}

void sqlite_rank(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *ctx, int n, sqlite3_value **args)
{
	const double k1 = 1.2, b = 0.75;
	struct match_call k = {.api = api, .fts = fts, .c = api->xUserData(fts)};
	const struct weights *w = NULL;
	double score = 0, often;
	int tokens = 0, rc = weigh(&k, &w);

	if (rc == SQLITE_OK)
		rc = api->xColumnSize(fts, -1, &tokens);
	for (int i = 0; rc == SQLITE_OK && i < w->n; i++) {
		rc = count_phrase(&k, i, n, args, &often);
		score += w->of_phrase[i] *
			 ((often * (k1 + 1.0)) / (often + k1 * (1 - b + b * (double)tokens / w->average)));
	}
	if (rc == SQLITE_OK)
		sqlite3_result_double(ctx, -1.0 * score);
	else
		sqlite3_result_error_code(ctx, rc);
}
