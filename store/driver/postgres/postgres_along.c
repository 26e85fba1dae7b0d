/*
 * A statement that travels with the next one, behind the BEGIN that waits and before it: a write of which nothing is
 * wanted but that it succeeds. What follows it in the flight runs only if it did.
 */
#include <string.h>

#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

bool pg_along_note(struct driver_conn *base, const struct stmt *s)
{
	struct pg_conn *c = pg_conn(base);
	struct pg_along *a = &c->along;
	struct err ignored;
	bool fits;

	base->refused = base->mark.is_set = false;
	if (c->pooled || c->opening[0] == '\0')
		return false;
	strbuf_reset(&a->sql);
	strbuf_put(&a->sql, s->sql);
	if (c->has_history)
		strbuf_puts(&a->sql, " RETURNING " PG_MARK_COLUMNS);
	struct stmt whole = *s;
	whole.sql = strbuf_str(&a->sql);
	const struct pg_stmt *known = pg_cache_find(&c->cache, &whole, &fits);
	if (strbuf_failed(&a->sql) || !fits || !pg_params_set(&a->params, s, &ignored))
		return false;
	a->prepares = known == NULL;
	a->id = known != NULL ? known->id : ++c->cache.last_id;
	if (a->prepares) {
		strbuf_reset(&a->key);
		strbuf_put(&a->key, strbuf_str(&c->cache.key));
		a->hash = c->cache.hash;
	}
	a->waits = !strbuf_failed(&a->key);
	return a->waits;
}

void pg_along_forget(struct pg_conn *c)
{
	c->along.waits = false;
}

bool pg_along_send(struct pg_conn *c, size_t *ret_n)
{
	struct pg_along *a = &c->along;
	const struct pg_params *p = &a->params;
	char name[PG_NAME_BYTES];

	pg_stmt_name(a->id, name);
	a->waits = a->failed = false;
	*ret_n = a->prepares ? 2 : 1;
	return (!a->prepares || PQsendPrepare(c->pg, name, a->key.p, (int)p->n, p->types) == 1) &&
	       PQsendQueryPrepared(c->pg, name, (int)p->n, p->values, p->lengths, p->formats, 0) == 1;
}

void pg_along_done(struct pg_conn *c, const PGresult *error, bool prepared)
{
	struct pg_along *a = &c->along;
	const char *state = error != NULL ? PQresultErrorField(error, PG_DIAG_SQLSTATE) : NULL;
	const bool gone = state != NULL && strcmp(state, "26000") == 0;

	a->failed = error != NULL;
	c->base.refused = gone || (state != NULL && strcmp(state, "23505") == 0);
	if (gone)
		pg_cache_lost(&c->cache, a->id);
	else if (a->prepares && prepared)
		pg_cache_put(&c->cache, a->id, strbuf_str(&a->key), a->hash);
	a->prepares = false;
}
