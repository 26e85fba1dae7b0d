/*
 * What the functions of FTS5 (sqlite_fts5.c, sqlite_rank.c) share: the matches of a row, all phrases' in their order,
 * as they lie in the phrases' lists. Private to the driver. Whoever has called match_first calls match_done, whatever
 * it returned. Results are SQLite's codes; all but match_in may park the fiber.
 */
#ifndef FERROD_STORE_DRIVER_SQLITE_MATCH_H
#define FERROD_STORE_DRIVER_SQLITE_MATCH_H

#include "store/driver/sqlite/sqlite_internal.h"

/* One call of a function. */
struct match_call {
	const Fts5ExtensionApi *api;
	Fts5Context *fts;
	struct sqlite_conn *c;
	unsigned steps;
};

/* The matches of one phrase: it stands on one of them. */
struct match_list {
	Fts5PhraseIter iter;
	int phrase, col, off; /* off: in tokens */
};

/* A heap of the lists that have not ended: the first one stands on the next match. */
struct matches {
	struct match_list *lists;
	int n;
};

/* Called for each token and match: lets others run now and then. SQLITE_INTERRUPT: give up. */
int match_tick(struct match_call *k);
int match_first(struct match_call *k, struct matches *m);
int match_next(struct match_call *k, struct matches *m);
/* Up to the first match in the column, or behind it. */
int match_skip(struct match_call *k, struct matches *m, int col);
/* Is the next match in the column? */
bool match_in(const struct matches *m, int col);
void match_done(struct matches *m);

/* bm25() */
void sqlite_rank(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *ctx, int n, sqlite3_value **args);

#endif
