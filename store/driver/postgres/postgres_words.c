/*
 * BEGIN and COMMIT by name: a text without one is parsed each time, which costs a server as much as a short statement
 * does. They are prepared with the first BEGIN of a connection that travels, and stay. A session in which something may
 * have run that forgets them is sent the text until it has been put back; that counts what is left.
 */
#include "service/base/num.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

static const char *const names[PG_WORDS] = {PG_WORD_NAME "commit",  PG_WORD_NAME "begin_0", PG_WORD_NAME "begin_1",
					    PG_WORD_NAME "begin_2", PG_WORD_NAME "begin_3", PG_WORD_NAME "begin_4",
					    PG_WORD_NAME "begin_5", PG_WORD_NAME "begin_6", PG_WORD_NAME "begin_7"};

static bool may_name(const struct pg_conn *c)
{
	return !c->words.off && !c->pooled && !c->base.session_dirty;
}

static bool prepare(struct pg_conn *c, unsigned word, const char *text, size_t *n)
{
	if ((c->words.known & 1u << word) != 0)
		return true;
	c->words.sent |= 1u << word;
	++*n;
	return PQsendPrepare(c->pg, names[word], text, 0, NULL) == 1;
}

bool pg_words_prepare(struct pg_conn *c, size_t *ret_n)
{
	*ret_n = 0;
	c->words.sent = 0;
	return !may_name(c) ||
	       (prepare(c, PG_WORD_COMMIT, "COMMIT", ret_n) && prepare(c, c->words.opening, c->opening, ret_n));
}

void pg_words_done(struct pg_conn *c, bool ok)
{
	if (ok)
		c->words.known |= c->words.sent;
	else
		c->words.off = true;
	c->words.sent = 0;
}

bool pg_word_send(struct pg_conn *c, unsigned word, const char *text)
{
	if (may_name(c) && ((c->words.known | c->words.sent) & 1u << word) != 0)
		return PQsendQueryPrepared(c->pg, names[word], 0, NULL, NULL, NULL, 0) == 1;
	return PQsendQueryParams(c->pg, text, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

bool pg_all_prepared(const struct pg_conn *c, struct str count)
{
	const size_t n = c->cache.n + c->cache.n_dead + (size_t)__builtin_popcount(c->words.known);
	int64_t left = -1;

	return !c->words.off && num_parse_int(count, &left) && left == (int64_t)n;
}

void pg_words_forget(struct pg_conn *c)
{
	c->words = (struct pg_words){.opening = c->words.opening};
}
