/*
 * snippet() and highlight() of FTS5. SQLite's own take time in the square of a document's matches and look at no clock
 * meanwhile: snippet() of a document of a million words goes on for hours. These give the same answers in one pass and
 * pause on the way.
 */
#include "store/driver/sqlite/sqlite_match.h"

#include "service/base/banned.h"

/* ---- marking matches ---- */

struct marking {
	struct match_call *k;
	struct matches matches;
	int col;
	int start, end;             /* of the stretch of overlapping matches that comes next, in tokens; -1: none */
	int pos;                    /* of the next token */
	int range_start, range_end; /* what is shown; range_end -1: all */
	const char *open, *close;
	const char *text;
	int n_text, off; /* bytes; so far in the answer */
	bool is_open;
	sqlite3_str *out;
};

static int next_stretch(struct marking *m)
{
	int rc = SQLITE_OK;

	m->start = m->end = -1;
	while (rc == SQLITE_OK && match_in(&m->matches, m->col)) {
		const struct match_list *l = &m->matches.lists[0];
		const int end = l->off - 1 + m->k->api->xPhraseSize(m->k->fts, l->phrase);

		if (m->start < 0) {
			m->start = l->off;
			m->end = end;
		} else if (l->off > m->end) {
			break;
		} else if (end > m->end) {
			m->end = end;
		}
		rc = match_next(m->k, &m->matches);
	}
	return rc;
}

static int first_stretch(struct marking *m, int col)
{
	int rc = match_first(m->k, &m->matches);

	m->col = col;
	if (rc == SQLITE_OK)
		rc = match_skip(m->k, &m->matches, col);
	return rc == SQLITE_OK ? next_stretch(m) : rc;
}

static void put_until(struct marking *m, int off)
{
	if (off > m->off)
		sqlite3_str_append(m->out, m->text + m->off, off - m->off);
	m->off = off;
}

static void put_open(struct marking *m)
{
	sqlite3_str_appendall(m->out, m->open);
	m->is_open = true;
}

static void put_close(struct marking *m)
{
	sqlite3_str_appendall(m->out, m->close);
	m->is_open = false;
}

static void end_of_range(struct marking *m, int pos, int end)
{
	if (m->is_open) {
		if (m->start >= 0 && pos >= m->start)
			put_until(m, end);
		put_close(m);
	}
	put_until(m, end);
}

static int on_token(void *arg, int flags, const char *token, int n, int start, int end)
{
	struct marking *m = arg;
	int rc = match_tick(m->k), pos;

	(void)token;
	(void)n;
	if (rc != SQLITE_OK || (flags & FTS5_TOKEN_COLOCATED) != 0)
		return rc;
	pos = m->pos++;
	if (m->range_end >= 0) {
		if (pos < m->range_start || pos > m->range_end)
			return SQLITE_OK;
		if (m->range_start > 0 && pos == m->range_start)
			m->off = start;
	}
	/* tokens may overlap: what is open ends where the first one behind the stretch begins behind what is shown */
	if (m->is_open && (pos <= m->start || m->start < 0) && start >= m->off)
		put_close(m);
	if (pos == m->start && !m->is_open) {
		put_until(m, start);
		put_open(m);
	}
	if (pos == m->end) {
		if (!m->is_open)
			put_open(m);
		put_until(m, end);
		rc = next_stretch(m);
	}
	if (pos == m->range_end)
		end_of_range(m, pos, end);
	return rc != SQLITE_OK ? rc : sqlite3_str_errcode(m->out);
}

static void answer(sqlite3_context *ctx, int rc, sqlite3_str *out)
{
	const int n = sqlite3_str_length(out);

	if (rc == SQLITE_OK)
		rc = sqlite3_str_errcode(out);
	if (rc == SQLITE_OK)
		sqlite3_result_text(ctx, n > 0 ? sqlite3_str_value(out) : "", n, SQLITE_TRANSIENT);
	else if (rc == SQLITE_TOOBIG)
		sqlite3_result_error_toobig(ctx);
	else
		sqlite3_result_error_code(ctx, rc);
	sqlite3_free(sqlite3_str_finish(out));
}

static const char *text_or_empty(sqlite3_value *v)
{
	const char *p = (const char *)sqlite3_value_text(v);

	return p != NULL ? p : "";
}

static void highlight(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct match_call k = {.api = api, .fts = fts, .c = api->xUserData(fts)};
	struct marking m = {.k = &k, .range_end = -1};
	int rc, col;

	if (n != 3) {
		sqlite3_result_error(ctx, "wrong number of arguments to function highlight()", -1);
		return;
	}
	col = sqlite3_value_int(args[0]);
	m.open = text_or_empty(args[1]);
	m.close = text_or_empty(args[2]);
	rc = api->xColumnText(fts, col, &m.text, &m.n_text);
	if (rc != SQLITE_OK || m.text == NULL) {
		if (rc != SQLITE_OK)
			sqlite3_result_error_code(ctx, rc);
		return;
	}
	m.out = sqlite3_str_new(sqlite3_context_db_handle(ctx));
	rc = first_stretch(&m, col);
	if (rc == SQLITE_OK)
		rc = api->xTokenize(fts, m.text, m.n_text, &m, on_token);
	if (rc == SQLITE_OK && m.is_open)
		put_close(&m);
	if (rc == SQLITE_OK)
		put_until(&m, m.n_text);
	match_done(&m.matches);
	answer(ctx, rc, m.out);
}

/* ---- the best part of a document ---- */

/* What lies in a stretch of tokens that only moves forward. */
struct window {
	struct matches first, behind; /* of it; the first match that is not in it any more */
	int64_t n;
	int n_phrases, end; /* different ones; token behind the last match */
	unsigned *of_phrase;
};

static int window_open(struct match_call *k, struct window *w)
{
	int rc = match_first(k, &w->first);

	w->of_phrase = sqlite3_malloc64((sqlite3_uint64)(k->api->xPhraseCount(k->fts) + 1) * sizeof(*w->of_phrase));
	if (w->of_phrase == NULL)
		rc = SQLITE_NOMEM;
	return rc == SQLITE_OK ? match_first(k, &w->behind) : rc;
}

static void window_close(struct window *w)
{
	match_done(&w->first);
	match_done(&w->behind);
	sqlite3_free(w->of_phrase);
}

static int window_column(struct match_call *k, struct window *w, int col)
{
	int rc = match_skip(k, &w->first, col);

	w->n = w->n_phrases = w->end = 0;
	memset(w->of_phrase, 0, (size_t)k->api->xPhraseCount(k->fts) * sizeof(*w->of_phrase));
	return rc == SQLITE_OK ? match_skip(k, &w->behind, col) : rc;
}

/* Moves it to n tokens from `start` on, of the column; n > 0. */
static int window_move(struct match_call *k, struct window *w, int col, int start, int n)
{
	const int64_t end = (int64_t)start + n;
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && match_in(&w->behind, col) && w->behind.lists[0].off < end) {
		const struct match_list *l = &w->behind.lists[0];

		w->n++;
		w->n_phrases += w->of_phrase[l->phrase]++ == 0;
		w->end = l->off + k->api->xPhraseSize(k->fts, l->phrase);
		rc = match_next(k, &w->behind);
	}
	while (rc == SQLITE_OK && match_in(&w->first, col) && w->first.lists[0].off < start) {
		w->n--;
		w->n_phrases -= --w->of_phrase[w->first.lists[0].phrase] == 0;
		rc = match_next(k, &w->first);
	}
	return rc;
}

static int64_t window_score(const struct window *w)
{
	return w->n + 999 * (int64_t)w->n_phrases;
}

/* Where a part of n tokens begins that has the matches of the window in its middle. */
static int window_middle(const struct window *w, int n, int n_document)
{
	const int64_t first = w->first.lists[0].off;
	int64_t at = first - (n - (w->end - first)) / 2;

	if (at + n > n_document)
		at = n_document - n;
	return at < 0 ? 0 : (int)at;
}

/* Tokens with which sentences begin. */
struct sentences {
	struct match_call *k;
	const char *text;
	int *starts;
	size_t n, size;
	int pos;   /* of the next token */
	int seen;  /* bytes that were looked at */
	int solid; /* the last of them that is no blank; -1: none */
};

static int sentence_add(struct sentences *s, int pos)
{
	if (s->n == s->size) {
		const size_t size = s->size != 0 ? 2 * s->size : 64;
		int *more = sqlite3_realloc64(s->starts, size * sizeof(*more));

		if (more == NULL)
			return SQLITE_NOMEM;
		s->starts = more;
		s->size = size;
	}
	s->starts[s->n++] = pos;
	return SQLITE_OK;
}

static int on_sentence(void *arg, int flags, const char *token, int n, int start, int end)
{
	struct sentences *s = arg;
	const int rc = match_tick(s->k), pos = s->pos;

	(void)token;
	(void)n;
	(void)end;
	if (rc != SQLITE_OK || (flags & FTS5_TOKEN_COLOCATED) != 0)
		return rc;
	s->pos++;
	for (; s->seen < start; s->seen++)
		if (strchr(" \t\n\r", s->text[s->seen]) == NULL || s->text[s->seen] == '\0')
			s->solid = s->seen;
	if (pos == 0)
		return sentence_add(s, 0);
	if (s->solid >= 0 && s->solid != start - 1 && (s->text[s->solid] == '.' || s->text[s->solid] == ':'))
		return sentence_add(s, pos);
	return SQLITE_OK;
}

struct search {
	struct match_call *k;
	struct matches each;
	struct window at_match, at_sentence;
	int n_tokens; /* of the part that is looked for */
	int64_t score;
	int col, start, n_document; /* the best one so far */
};

static void found(struct search *s, int64_t score, int col, int start, int n_document)
{
	if (score <= s->score)
		return;
	s->score = score;
	s->col = col;
	s->start = start;
	s->n_document = n_document;
}

/* The sentences begin in order, and so do the matches: both are gone through once. */
static int search_matches(struct search *s, int col, const struct sentences *in, int n_document)
{
	const int n = s->n_tokens;
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && match_in(&s->each, col);) {
		const int off = s->each.lists[0].off;

		if (off > n_document)
			return SQLITE_CORRUPT_VTAB;
		if (n > 0 && (rc = window_move(s->k, &s->at_match, col, off, n)) == SQLITE_OK)
			found(s, window_score(&s->at_match), col, window_middle(&s->at_match, n, n_document),
			      n_document);
		while (i + 1 < in->n && in->starts[i + 1] <= off)
			i++;
		if (rc == SQLITE_OK && in->n > 0 && n_document > n && in->starts[i] < off) {
			if (n > 0)
				rc = window_move(s->k, &s->at_sentence, col, in->starts[i], n);
			found(s, (n > 0 ? window_score(&s->at_sentence) : 0) + (in->starts[i] == 0 ? 120 : 100), col,
			      in->starts[i], n_document);
		}
		if (rc == SQLITE_OK)
			rc = match_next(s->k, &s->each);
	}
	return rc;
}

static int search_column(struct search *s, int col)
{
	struct sentences in = {.k = s->k, .solid = -1};
	int n, n_document = 0, rc;

	rc = s->k->api->xColumnText(s->k->fts, col, &in.text, &n);
	if (rc == SQLITE_OK)
		rc = s->k->api->xTokenize(s->k->fts, in.text, n, &in, on_sentence);
	if (rc == SQLITE_OK)
		rc = s->k->api->xColumnSize(s->k->fts, col, &n_document);
	if (rc == SQLITE_OK)
		rc = match_skip(s->k, &s->each, col);
	if (rc == SQLITE_OK)
		rc = window_column(s->k, &s->at_match, col);
	if (rc == SQLITE_OK)
		rc = window_column(s->k, &s->at_sentence, col);
	if (rc == SQLITE_OK)
		rc = search_matches(s, col, &in, n_document);
	sqlite3_free(in.starts);
	return rc;
}

/* col < 0: any. */
static int search(struct search *s, int col)
{
	const int columns = s->k->api->xColumnCount(s->k->fts);
	int rc = match_first(s->k, &s->each);

	s->col = col >= 0 ? col : 0;
	if (rc == SQLITE_OK)
		rc = window_open(s->k, &s->at_match);
	if (rc == SQLITE_OK)
		rc = window_open(s->k, &s->at_sentence);
	for (int i = 0; rc == SQLITE_OK && i < columns; i++)
		if (col < 0 || col == i)
			rc = search_column(s, i);
	match_done(&s->each);
	window_close(&s->at_match);
	window_close(&s->at_sentence);
	return rc;
}

/* The part that was found, with its matches marked. */
static int show(struct marking *m, const struct search *s, const char *dots)
{
	int rc = first_stretch(m, s->col);

	m->range_start = s->start;
	m->range_end = s->n_tokens > INT32_MAX - s->start ? INT32_MAX : s->start + s->n_tokens - 1;
	if (s->start > 0)
		sqlite3_str_appendall(m->out, dots);
	while (rc == SQLITE_OK && m->start >= 0 && m->start < s->start)
		rc = next_stretch(m);
	if (rc == SQLITE_OK)
		rc = m->k->api->xTokenize(m->k->fts, m->text, m->n_text, m, on_token);
	if (rc == SQLITE_OK && m->is_open)
		put_close(m);
	if (rc != SQLITE_OK)
		return rc;
	if (m->range_end >= s->n_document - 1)
		put_until(m, m->n_text);
	else
		sqlite3_str_appendall(m->out, dots);
	return SQLITE_OK;
}

static void snippet(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *ctx, int n, sqlite3_value **args)
{
	struct match_call k = {.api = api, .fts = fts, .c = api->xUserData(fts)};
	struct search s = {.k = &k};
	struct marking m = {.k = &k};
	int rc;

	if (n != 5) {
		sqlite3_result_error(ctx, "wrong number of arguments to function snippet()", -1);
		return;
	}
	m.open = text_or_empty(args[1]);
	m.close = text_or_empty(args[2]);
	s.n_tokens = sqlite3_value_int(args[4]);
	rc = search(&s, sqlite3_value_int(args[0]));
	if (rc == SQLITE_OK)
		rc = api->xColumnText(fts, s.col, &m.text, &m.n_text);
	if (rc == SQLITE_OK && s.n_document == 0)
		rc = api->xColumnSize(fts, s.col, &s.n_document);
	m.out = sqlite3_str_new(sqlite3_context_db_handle(ctx));
	if (rc == SQLITE_OK && m.text == NULL) { /* NULL of NULL */
		sqlite3_free(sqlite3_str_finish(m.out));
		return;
	}
	if (rc == SQLITE_OK)
		rc = show(&m, &s, text_or_empty(args[3]));
	match_done(&m.matches);
	answer(ctx, rc, m.out);
}

int sqlite_fts5_register(struct sqlite_conn *c, fts5_api *api)
{
	int rc = api->xCreateFunction(api, "snippet", c, snippet, NULL);

	if (rc == SQLITE_OK)
		rc = api->xCreateFunction(api, "highlight", c, highlight, NULL);
	if (rc == SQLITE_OK)
		rc = api->xCreateFunction(api, "bm25", c, sqlite_rank, NULL);
	return rc;
}
