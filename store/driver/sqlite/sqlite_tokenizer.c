/*
 * The tokenizers of full-text search, with breaks. FTS tables read documents and queries in one step of SQLite's
 * machine, whatever their length, and what a query costs grows with the square of its terms. SQLite's own tokenizers go
 * on doing the work; between their words the clock is looked at, and a query's words are counted.
 */
#include "store/driver/sqlite/sqlite_internal.h"

#include <pthread.h>

#include "service/base/limits.h"

#include "service/base/banned.h"

#define STEP_WORDS 1024  /* between two pauses */
#define TERMS_A_PHRASE 4 /* so many phrases may a query have at most, in its terms */
#define GAP_MAX 64       /* bytes between two words of one query: operators and quotes */

static size_t terms_max = LIMIT_SQLITE_MATCH_TERMS;

void sqlite_tokenizers_configure(size_t terms)
{
	terms_max = terms;
}

static bool too_many(size_t terms, size_t phrases)
{
	return terms_max > 0 && (terms > terms_max || phrases > (terms_max + TERMS_A_PHRASE - 1) / TERMS_A_PHRASE);
}

static bool is_word(char c)
{
	const unsigned char u = (unsigned char)c;

	return u >= 0x80 || u == '_' || (u >= '0' && u <= '9') || ((u | 0x20) >= 'a' && (u | 0x20) <= 'z');
}

/* The word that begins at i, none of which is an operator. */
static bool is_term(struct str text, size_t i, bool quoted)
{
	static const char *const operators[] = {"AND", "OR", "NOT", "NEAR"};
	size_t n = 0;

	if (!is_word(text.p[i]) || (i > 0 && is_word(text.p[i - 1])))
		return false;
	while (i + n < text.len && is_word(text.p[i + n]))
		n++;
	for (size_t k = 0; !quoted && k < ARRAY_LEN(operators); k++)
		if (str_eq_z(str_n(text.p + i, n), operators[k]))
			return false;
	return true;
}

/* Where a NEAR group begins at i: behind its parenthesis; 0: none does. */
static size_t near_begins(struct str text, size_t i)
{
	static const char word[] = "NEAR";
	size_t at = i + sizeof(word) - 1;

	if (at > text.len || !str_eq_z(str_n(text.p + i, sizeof(word) - 1), word) || (i > 0 && is_word(text.p[i - 1])))
		return 0;
	while (at < text.len && (text.p[at] == ' ' || (text.p[at] >= '\t' && text.p[at] <= '\r')))
		at++;
	return at < text.len && text.p[at] == '(' ? at + 1 : 0;
}

/* Of the group whose phrases begin at i; their distance is counted as one. */
static size_t near_phrases(struct str text, size_t i)
{
	size_t phrases = 0;
	bool quoted = false;

	for (; i < text.len && (quoted || text.p[i] != ')'); i++) {
		const bool begins = is_word(text.p[i]) && !is_word(text.p[i - 1]);

		phrases += !quoted && (begins || text.p[i] == '"');
		quoted ^= text.p[i] == '"';
	}
	return phrases;
}

bool sqlite_tokenizers_too_near(struct str text)
{
	const char *at = text.p;
	size_t i;

	while (terms_max > 0 && text.len > 0 &&
	       (at = memmem(at, (size_t)(text.p + text.len - at), "NEAR", 4)) != NULL) {
		i = near_begins(text, (size_t)(at - text.p));
		if (i > 0) {
			const size_t n = near_phrases(text, i);

			if (n > 1 && (n - 1) * (n - 1) > terms_max)
				return true;
		}
		at++;
	}
	return false;
}

bool sqlite_tokenizers_too_many(struct str text)
{
	size_t terms = 0, phrases = 0;
	bool quoted = false;

	if (terms_max == 0 || text.len <= terms_max / TERMS_A_PHRASE)
		return false;
	if (sqlite_tokenizers_too_near(text))
		return true;
	for (size_t i = 0; i < text.len && !too_many(terms, phrases); i++) {
		const bool begins = is_term(text, i, quoted);

		terms += begins;
		phrases += (begins && !quoted) || (text.p[i] == '"' && !quoted);
		quoted ^= text.p[i] == '"';
	}
	return too_many(terms, phrases);
}

static int tick(struct sqlite_conn *c)
{
	return ++c->words % STEP_WORDS == 0 && !sqlite_wait_pause(c) ? SQLITE_INTERRUPT : SQLITE_OK;
}

/* ---- FTS5 ---- */

/* The library's own, the same for all connections. */
static struct fts5_tokenizer own5[4];
static const char *const names5[] = {"unicode61", "ascii", "porter", "trigram"};

struct watched {
	struct sqlite_conn *c;
	void *arg;
	int (*on_word)(void *, int, const char *, int, int, int);
	bool query;
};

static int on_word(void *arg, int flags, const char *word, int n, int start, int end)
{
	struct watched *w = arg;
	const int rc = tick(w->c);

	if (rc != SQLITE_OK)
		return rc;
	w->c->match_terms += w->query;
	if (w->query && too_many(w->c->match_terms, w->c->match_phrases))
		return SQLITE_TOOBIG;
	return w->on_word(w->arg, flags, word, n, start, end);
}

static int tokenize(size_t which, Fts5Tokenizer *t, void *arg, int flags, const char *text, int n,
		    int (*each)(void *, int, const char *, int, int, int))
{
	struct watched w = {.c = sqlite_wait_stepping(), .arg = arg, .on_word = each};

	if (w.c == NULL)
		return own5[which].xTokenize(t, arg, flags, text, n, each);
	w.query = (flags & FTS5_TOKENIZE_QUERY) != 0;
	w.c->match_phrases += w.query;
	return own5[which].xTokenize(t, &w, flags, text, n, on_word);
}

/* One each, for nothing else tells which tokenizer is called: FTS5 knows trigram's by its xCreate, which has to stay.
 */
#define TOKENIZE(i) \
	static int tokenize_##i(Fts5Tokenizer *t, void *arg, int flags, const char *text, int n, \
				int (*each)(void *, int, const char *, int, int, int)) \
	{ \
		return tokenize(i, t, arg, flags, text, n, each); \
	}
TOKENIZE(0)
TOKENIZE(1)
TOKENIZE(2)
TOKENIZE(3)

static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;

static int add5(fts5_api *api, size_t which)
{
	static int (*const functions[])(Fts5Tokenizer *, void *, int, const char *, int,
					int (*)(void *, int, const char *, int, int, int)) = {tokenize_0, tokenize_1,
											      tokenize_2, tokenize_3};
	struct fts5_tokenizer t;
	void *data;

	if (api->xFindTokenizer(api, names5[which], &data, &t) != SQLITE_OK)
		return SQLITE_OK; /* an older library lacks it */
	pthread_mutex_lock(&own_lock);
	if (own5[which].xTokenize == NULL)
		own5[which] = t;
	pthread_mutex_unlock(&own_lock);
	t.xTokenize = functions[which];
	return api->xCreateTokenizer(api, names5[which], data, &t, NULL);
}

/* NULL: the library has no FTS5. */
static int find5(struct sqlite_conn *c, fts5_api **ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->h, "SELECT fts5(?1)", -1, &st, NULL);

	*ret = NULL;
	if (rc == SQLITE_ERROR)
		return SQLITE_OK;
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_pointer(st, 1, ret, "fts5_api_ptr", NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		rc = SQLITE_OK;
	(void)sqlite3_finalize(st);
	return rc;
}

/* ---- FTS3 and FTS4: fts3_tokenizer.h of SQLite, which nobody installs ---- */

struct tokenizer3;
struct cursor3;

struct module3 {
	int version;
	int (*create)(int n, const char *const *args, struct tokenizer3 **ret);
	int (*destroy)(struct tokenizer3 *t);
	int (*open)(struct tokenizer3 *t, const char *text, int n, struct cursor3 **ret);
	int (*close)(struct cursor3 *cur);
	int (*next)(struct cursor3 *cur, const char **word, int *n, int *start, int *end, int *pos);
	int (*language)(struct cursor3 *cur, int id);
};

struct tokenizer3 {
	const struct module3 *module;
};

struct cursor3 {
	struct tokenizer3 *tokenizer;
};

static const char *const names3[] = {"simple", "porter", "unicode61"};
static const struct module3 *own3[3]; /* the library's own, the same for all connections */
static struct module3 watching3[3];

static const struct module3 *own_of(const struct tokenizer3 *t)
{
	for (size_t i = 0; i < ARRAY_LEN(names3) - 1; i++)
		if (t->module == &watching3[i])
			return own3[i];
	return own3[ARRAY_LEN(names3) - 1];
}

/* FTS3 has an own idea of what this code says. */
static int refuse3(struct sqlite_conn *c)
{
	c->match_refused = true;
	return SQLITE_TOOBIG;
}

/* A query is read word by word, each from where the last one ended: nothing else opens texts like that. */
static int open3(struct tokenizer3 *t, const char *text, int n, struct cursor3 **ret)
{
	struct sqlite_conn *c = sqlite_wait_stepping();

	if (c != NULL) {
		const size_t len = n >= 0 ? (size_t)n : text != NULL ? strlen(text) : 0;
		const bool goes_on = c->match_at != NULL && text > c->match_at && text <= c->match_end + GAP_MAX;
		const int rc = tick(c);

		if (rc != SQLITE_OK)
			return rc;
		c->match_phrases = goes_on ? c->match_phrases + 1 : 0;
		c->match_at = text;
		c->match_end = text + len;
		c->text_words = 0;
		if (too_many(0, c->match_phrases))
			return refuse3(c);
	}
	return own_of(t)->open(t, text, n, ret);
}

/* Is it a cell of a row that a statement of this connection stands on? A document is, a query is none. */
static bool is_cell(struct sqlite_conn *c, const char *text)
{
	for (sqlite3_stmt *st = sqlite3_next_stmt(c->h, NULL); st != NULL; st = sqlite3_next_stmt(c->h, st)) {
		const int n = sqlite3_stmt_busy(st) ? sqlite3_data_count(st) : 0;

		for (int i = 0; i < n; i++)
			if (sqlite3_column_type(st, i) == SQLITE_TEXT &&
			    text == (const char *)sqlite3_column_text(st, i))
				return true;
	}
	return false;
}

static int next3(struct cursor3 *cur, const char **word, int *n, int *start, int *end, int *pos)
{
	struct sqlite_conn *c = sqlite_wait_stepping();
	int rc = c != NULL ? tick(c) : SQLITE_OK;

	if (rc == SQLITE_OK)
		rc = own_of(cur->tokenizer)->next(cur, word, n, start, end, pos);
	/* where nothing is written, a text of so many words is a phrase unless it is a document */
	if (rc == SQLITE_OK && c != NULL && terms_max > 0 && ++c->text_words == terms_max + 1 && c->reads &&
	    !is_cell(c, c->match_at))
		return refuse3(c);
	return rc;
}

static int find3(struct sqlite_conn *c, const char *name, const struct module3 **ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->h, "SELECT fts3_tokenizer(?1)", -1, &st, NULL);

	*ret = NULL;
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW && sqlite3_column_bytes(st, 0) == (int)sizeof(*ret))
		memcpy(ret, sqlite3_column_blob(st, 0), sizeof(*ret));
	(void)sqlite3_finalize(st);
	return rc == SQLITE_NOMEM ? rc : SQLITE_OK; /* without FTS3, or that tokenizer */
}

static int set3(struct sqlite_conn *c, const char *name, const struct module3 *module)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->h, "SELECT fts3_tokenizer(?1, ?2)", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(st, 2, &module, (int)sizeof(module), SQLITE_TRANSIENT);
	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		rc = SQLITE_OK;
	(void)sqlite3_finalize(st);
	return rc;
}

static int add3(struct sqlite_conn *c, size_t which)
{
	const struct module3 *own;
	int rc = find3(c, names3[which], &own);

	if (rc != SQLITE_OK || own == NULL || own->version < 0 || own->version > 1)
		return rc;
	pthread_mutex_lock(&own_lock);
	if (own3[which] == NULL) {
		watching3[which] = (struct module3){.version = own->version,
						    .create = own->create,
						    .destroy = own->destroy,
						    .open = open3,
						    .close = own->close,
						    .next = next3,
						    .language = own->version >= 1 ? own->language : NULL};
		own3[which] = own;
	}
	pthread_mutex_unlock(&own_lock);
	return set3(c, names3[which], &watching3[which]);
}

int sqlite_tokenizers_register(struct sqlite_conn *c)
{
	fts5_api *api;
	int rc = find5(c, &api);

	for (size_t i = 0; rc == SQLITE_OK && api != NULL && i < ARRAY_LEN(names5); i++)
		rc = add5(api, i);
	if (rc == SQLITE_OK && api != NULL)
		rc = sqlite_fts5_register(c, api);
	if (rc != SQLITE_OK)
		return rc;
	/* for as long as this takes: a pointer that a caller gave would be called */
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 1, (int *)NULL);
	for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_LEN(names3); i++)
		rc = add3(c, i);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0, (int *)NULL);
	return rc;
}
