/*
 * What leaves for the server when a statement starts: one flight, with the BEGIN that waits for it, what is to be
 * forgotten, its preparation when it is not prepared yet, and itself.
 */
#include "service/base/mem.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* Statements that the server is told to forget with one that it has to prepare. */
#define DEAD_PER_PREPARE 8

static bool check_raw(struct pg_conn *c, const struct stmt *s, struct err *err)
{
	struct pg_sql_facts facts;

	pg_sql_scan(s->sql, &facts);
	if (strcmp(facts.first, "copy") == 0)
		return err_set(err, ERR_SQL_ERROR, "COPY is not available here: read with SELECT, write with INSERT");
	if (facts.complete && !facts.several && facts.n_params != s->n_params)
		return err_set(err, ERR_INVALID_PARAMETERS, "the statement takes %zu parameters, but %zu were given",
			       facts.n_params, s->n_params);
	c->cur.told.several = facts.several;
	c->cur.told.reads = facts.reads;
	c->cur.told.deallocates = strcmp(facts.first, "deallocate") == 0 || strcmp(facts.first, "discard") == 0;
	memcpy(c->cur.told.first, facts.first, sizeof(facts.first));
	if (pg_pooled_refuses(c, &facts, s->sql, err))
		return false;
	c->cur.told.alters = strcmp(facts.first, "create") == 0 || strcmp(facts.first, "alter") == 0 ||
			     strcmp(facts.first, "drop") == 0 || strcmp(facts.first, "do") == 0 ||
			     strcmp(facts.first, "call") == 0;
	if (pg_raw_clean(c, s))
		return true;
	/* No look at the text alone tells what a view, a default or a trigger calls. Behind a pooler what it has set is
	 * put back in the same transaction. */
	c->cur.leaves = c->pooled;
	c->base.session_dirty = !c->pooled;
	c->unclean = c->pooled;
	return true;
}

bool pg_check(struct pg_conn *c, const struct stmt *s, struct err *err)
{
	c->cur.told = (struct pg_told){.reads = s->access == STMT_READ};
	if (memchr(s->sql.p, '\0', s->sql.len) != NULL)
		return err_set(err, ERR_SQL_ERROR, "the statement holds the character U+0000");
	if (s->raw && stmt_takes_own_savepoint(s->sql))
		return err_set(err, ERR_SQL_ERROR, "%s", STMT_OWN_SAVEPOINT);
	return (!s->raw || check_raw(c, s, err)) && pg_params_set(&c->params, s, err);
}

bool pg_send_deallocate(struct pg_conn *c, uint64_t id)
{
#ifdef LIBPQ_HAS_CLOSE_PREPARED
	char name[PG_NAME_BYTES];

	pg_stmt_name(id, name);
	return PQsendClosePrepared(c->pg, name) == 1;
#else
	char sql[PG_NAME_BYTES + 16] = "DEALLOCATE ";

	pg_stmt_name(id, sql + strlen(sql));
	return PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
#endif
}

static bool send_prepared(struct pg_conn *c, uint64_t id)
{
	const struct pg_params *p = &c->params;
	char name[PG_NAME_BYTES];

	pg_stmt_name(id, name);
	return PQsendQueryPrepared(c->pg, name, (int)p->n, p->values, p->lengths, p->formats, 0) == 1;
}

/* The key that was just looked up starts with the text and its NUL. adds: it is known from now on. */
static bool send_parse(struct pg_conn *c, uint64_t id, bool adds)
{
	char name[PG_NAME_BYTES];

	pg_stmt_name(id, name);
	if (PQsendPrepare(c->pg, name, c->cache.key.p, (int)c->params.n, c->params.types) != 1)
		return false;
	if (adds)
		pg_cache_add(&c->cache, id);
	return true;
}

static bool send_prepare(struct pg_conn *c, struct pg_started *st)
{
	struct pg_cache *k = &c->cache;

	st->id = ++k->last_id;
	st->n_dead = k->n_dead < DEAD_PER_PREPARE ? k->n_dead : DEAD_PER_PREPARE;
	for (size_t i = 0; i < st->n_dead; i++)
		if (!pg_send_deallocate(c, st->added ? k->dead[--k->n_dead] : k->dead[k->n_dead - 1 - i]))
			return false;
	return send_parse(c, st->id, st->added) && send_prepared(c, st->id);
}

/* The statement itself. fits: it is to be prepared when it is not. */
static bool send_itself(struct pg_conn *c, const struct stmt *s, bool fits, struct pg_started *st)
{
	if (st->hit == NULL && fits)
		return send_prepare(c, st);
	return st->hit != NULL ? send_prepared(c, st->hit->id) : pg_send_once(c, s);
}

static void look_up(struct pg_conn *c, const struct stmt *s, bool *ret_fits, struct pg_started *st)
{
	*ret_fits = false;
	if (s->cache)
		st->hit = pg_cache_find(&c->cache, s, ret_fits);
	c->base.cache_hits += st->hit != NULL;
	c->base.cache_misses += st->hit == NULL && *ret_fits;
}

static bool send_mark(struct pg_conn *c)
{
	const struct stmt mark = {.sql = STR(PG_MARK_SQL),
				  .access = STMT_READ,
				  .cache = !c->base.session_dirty,
				  .quick = true,
				  .n_columns = 2};
	struct pg_started st = {.added = true};
	struct err ignored;
	bool fits;

	c->ahead.mark_id = 0;
	if (!pg_params_set(&c->params, &mark, &ignored))
		return false;
	look_up(c, &mark, &fits, &st);
	if (!fits)
		return pg_send_once(c, &mark);
	if (st.hit == NULL) { /* nothing may fail before COMMIT that is no fault of the transaction's */
		c->ahead.mark_id = st.id = ++c->cache.last_id;
		if (!send_parse(c, st.id, true))
			return false;
	}
	return send_prepared(c, st.hit != NULL ? st.hit->id : st.id);
}

/* The server says the mark before it begins to commit, so that it is here when the commit's own answer is lost. */
static bool send_commit(struct pg_conn *c)
{
	return (c->cur.mark == NULL || (send_mark(c) && PQsendFlushRequest(c->pg) == 1)) &&
	       pg_word_send(c, PG_WORD_COMMIT, "COMMIT");
}

/* May COMMIT be sent behind it? An empty one fails without the server's calling it a failure; and what is prepared must
 * be known still. */
static bool may_close(const struct pg_told *told, bool raw)
{
	return !told->deallocates && (!raw || told->first[0] != '\0');
}

/* May others? Not when it may change what is known here of those that follow. */
static bool may_follow(const struct pg_told *told, bool raw)
{
	return !told->alters && may_close(told, raw);
}

/* May the transaction's mark be asked for behind its first statement? It holds to the end, unless a statement runs that
 * may change what it says of the commit. */
static bool may_mark(const struct pg_conn *c, bool raw)
{
	return c->marking && c->has_history && !c->base.session_dirty && !c->cur.told.reads && !c->cur.closes &&
	       c->ahead.n_stmts <= 1 && may_close(&c->cur.told, raw);
}

/* What bytes are taken for is asked first (postgres_bytes.c). */
static bool has_bytes(const struct stmt *s)
{
	for (size_t i = 0; i < s->n_params; i++)
		if (s->params[i].kind == VALUE_BYTES)
			return true;
	return false;
}

/* What travels along behind the first statement. *ret_all: nothing of it was left behind. */
static bool send_ahead(struct pg_conn *c, bool raw, bool *ret_all)
{
	struct pg_ahead *a = &c->ahead;
	const struct pg_told first = c->cur.told;
	struct err ignored;
	bool ok = true;
	size_t i = 1;

	a->n = a->at = 0;
	for (; ok && i < a->n_stmts && may_follow(&c->cur.told, raw); i++) {
		const struct stmt *s = a->stmts[i];
		struct pg_ahead_item *item = &a->items[a->n];
		bool fits;

		if ((s->raw && (stmt_is_transaction(s->sql) || has_bytes(s))) || !pg_plain_seen(c, s) ||
		    !pg_check(c, s, &ignored))
			break;
		*item = (struct pg_ahead_item){.s = s, .told = c->cur.told, .started = {.added = true}};
		look_up(c, s, &fits, &item->started);
		ok = send_itself(c, s, fits, &item->started);
		a->n++;
		raw = s->raw;
	}
	*ret_all = i >= a->n_stmts && may_close(&c->cur.told, raw);
	a->n_stmts = 0;
	c->cur.told = first;
	return ok;
}

/* In one flight, with the BEGIN that waits: the statement, its preparation when it is not prepared, and what travels
 * along. */
static bool send_pipeline(struct pg_conn *c, const struct stmt *s, bool fits, struct pg_started *st)
{
	bool ok = PQenterPipelineMode(c->pg) == 1, all;

	st->opens = c->opening[0] != '\0';
	c->cur.marks = st->opens && may_mark(c, s->raw);
	c->marking = c->marking && !st->opens;
	st->added = c->ahead.n_stmts > 1 || c->cur.closes || c->cur.marks;
	c->n_syncs = ok ? 1 : 0;
	if (st->opens)
		ok = ok && pg_words_prepare(c, &st->n_words) && pg_word_send(c, c->words.opening, c->opening);
	if (c->along.waits)
		ok = ok && pg_along_send(c, &st->n_along);
	ok = ok && send_itself(c, s, fits, st);
	c->opening[0] = '\0';
	ok = ok && send_ahead(c, s->raw, &all);
	if (ok && c->cur.closes) {
		c->cur.closes = all && c->ahead.n == 0;
		c->ahead.closes = all && c->ahead.n > 0;
		c->ahead.mark = c->cur.mark;
		ok = !all || send_commit(c);
	}
	if (ok && c->cur.marks)
		ok = send_mark(c);
	return ok && PQpipelineSync(c->pg) == 1;
}

bool pg_send_stmt(struct pg_conn *c, const struct stmt *s, struct pg_flight *f, struct pg_started *st)
{
	bool fits;

	memset(st, 0, sizeof(*st));
	if (c->pooled) {
		st->pooled = c->cur.autocommit && !f->bare;
		return st->pooled ? pg_pooled_send(c, s, f) : pg_send_once(c, s);
	}
	look_up(c, s, &fits, st);
	if ((st->hit == NULL && fits) || c->opening[0] != '\0' || c->cur.closes || c->ahead.n_stmts > 1)
		return send_pipeline(c, s, fits, st);
	return st->hit != NULL ? send_prepared(c, st->hit->id) : pg_send_once(c, s);
}
