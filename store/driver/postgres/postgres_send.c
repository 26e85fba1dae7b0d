/*
 * What leaves for the server when a statement starts: one flight, with the BEGIN that waits for it, what is to be
 * forgotten, its preparation when it is not prepared yet, and itself.
 */
#include "service/base/mem.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

/* Statements that the server is told to forget with one that it has to prepare. */
#define DEAD_PER_PREPARE 8

bool pg_check_raw(struct pg_conn *c, const struct stmt *s, struct err *err)
{
	struct pg_sql_facts facts;

	pg_sql_scan(s->sql, &facts);
	if (strcmp(facts.first, "copy") == 0)
		return err_set(err, ERR_SQL_ERROR, "COPY is not available here: read with SELECT, write with INSERT");
	if (facts.complete && !facts.several && facts.n_params != s->n_params)
		return err_set(err, ERR_INVALID_PARAMETERS, "the statement takes %zu parameters, but %zu were given",
			       facts.n_params, s->n_params);
	c->cur.several = facts.several;
	c->cur.reads = facts.reads;
	c->cur.deallocates = strcmp(facts.first, "deallocate") == 0 || strcmp(facts.first, "discard") == 0;
	memcpy(c->cur.first, facts.first, sizeof(facts.first));
	if (pg_pooled_refuses(c, &facts, s->sql, err))
		return false;
	c->cur.alters = strcmp(facts.first, "create") == 0 || strcmp(facts.first, "alter") == 0 ||
			strcmp(facts.first, "drop") == 0 || strcmp(facts.first, "do") == 0 ||
			strcmp(facts.first, "call") == 0;
	if (pg_raw_clean(c, s))
		return true;
	/* No look at the text alone tells what a view, a default or a trigger calls. Behind a pooler what it has set is
	 * put back in the same transaction. */
	c->cur.leaves = c->pooled;
	c->base.session_dirty = !c->pooled;
	c->unclean = c->pooled;
	pg_pooled_forget(c);
	return true;
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

/* The key that was just looked up starts with the text and its NUL. */
static bool send_prepare(struct pg_conn *c, struct pg_started *st)
{
	struct pg_cache *k = &c->cache;
	char name[PG_NAME_BYTES];

	st->id = ++k->last_id;
	st->n_dead = k->n_dead < DEAD_PER_PREPARE ? k->n_dead : DEAD_PER_PREPARE;
	pg_stmt_name(st->id, name);
	for (size_t i = 0; i < st->n_dead; i++)
		if (!pg_send_deallocate(c, k->dead[k->n_dead - 1 - i]))
			return false;
	return PQsendPrepare(c->pg, name, k->key.p, (int)c->params.n, c->params.types) == 1 && send_prepared(c, st->id);
}

static bool send_text(struct pg_conn *c, const char *sql)
{
	return PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

/* The server says the mark before it begins to commit, so that it is here when the commit's own answer is lost. */
static bool send_commit(struct pg_conn *c)
{
	return (c->cur.mark == NULL || (send_text(c, PG_MARK_SQL) && PQsendFlushRequest(c->pg) == 1)) &&
	       send_text(c, "COMMIT");
}

/* In one flight, with the BEGIN that waits: the statement, and its preparation when it is not prepared. */
static bool send_pipeline(struct pg_conn *c, const struct stmt *s, bool prepares, struct pg_started *st)
{
	bool ok = PQenterPipelineMode(c->pg) == 1;

	st->opens = c->opening[0] != '\0';
	c->n_syncs = ok ? 1 : 0;
	if (st->opens)
		ok = ok && send_text(c, c->opening);
	if (c->along.waits)
		ok = ok && pg_along_send(c, &st->n_along);
	if (prepares)
		ok = ok && send_prepare(c, st);
	else if (st->hit != NULL)
		ok = ok && send_prepared(c, st->hit->id);
	else
		ok = ok && pg_send_once(c, s);
	c->opening[0] = '\0';
	if (c->cur.closes)
		ok = ok && send_commit(c);
	return ok && PQpipelineSync(c->pg) == 1;
}

bool pg_send_stmt(struct pg_conn *c, const struct stmt *s, struct pg_flight *f, struct pg_started *st)
{
	bool fits = false;

	memset(st, 0, sizeof(*st));
	if (c->pooled) {
		st->pooled = c->cur.autocommit && !f->bare;
		return st->pooled ? pg_pooled_send(c, s, f) : pg_send_once(c, s);
	}
	if (s->cache)
		st->hit = pg_cache_find(&c->cache, s, &fits);
	c->base.cache_hits += st->hit != NULL;
	c->base.cache_misses += st->hit == NULL && fits;
	if ((st->hit == NULL && fits) || c->opening[0] != '\0' || c->cur.closes)
		return send_pipeline(c, s, st->hit == NULL && fits, st);
	return st->hit != NULL ? send_prepared(c, st->hit->id) : pg_send_once(c, s);
}
