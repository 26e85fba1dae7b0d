/*
 * The prepared statements of one connection: found by text and parameter types, least recently used out first. What is
 * dropped here is queued in `dead` until the server can be told together with the next statement that has to be
 * prepared.
 */
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

void pg_cache_init(struct pg_cache *k, const char *role)
{
	memset(k, 0, sizeof(*k));
	k->role = role;
	map_init(&k->by_key);
	strbuf_init(&k->key, 0);
}

static void unlink_stmt(struct pg_cache *k, struct pg_stmt *p)
{
	*(p->newer != NULL ? &p->newer->older : &k->newest) = p->older;
	*(p->older != NULL ? &p->older->newer : &k->oldest) = p->newer;
	p->newer = p->older = NULL;
}

static void link_newest(struct pg_cache *k, struct pg_stmt *p)
{
	p->older = k->newest;
	*(k->newest != NULL ? &k->newest->newer : &k->oldest) = p;
	k->newest = p;
}

struct pg_stmt *pg_cache_find(struct pg_cache *k, const struct stmt *s, bool *ret_fits)
{
	struct pg_stmt *p;

	*ret_fits = s->sql.len + 2 + s->n_params + DRIVER_ROLE_BYTES <= PG_CACHE_KEY_MAX;
	if (!*ret_fits)
		return NULL;
	strbuf_reset(&k->key);
	strbuf_put(&k->key, s->sql);
	strbuf_putc(&k->key, '\0');
	k->hash = stmt_hash(s);
	for (size_t i = 0; i < s->n_params; i++) {
		const char letter = pg_param_letter(s, i);

		k->hash = k->hash * 31 + (unsigned char)letter;
		strbuf_putc(&k->key, letter);
	}
	if (k->role[0] != '\0') { /* what a plan is for depends on it where there is row security */
		strbuf_putc(&k->key, '\0');
		strbuf_puts(&k->key, k->role);
		k->hash = k->hash * 31 + num_hash(str_z(k->role));
	}
	if (strbuf_failed(&k->key)) {
		strbuf_reset(&k->key);
		*ret_fits = false;
		return NULL;
	}
	p = map_get_hashed(&k->by_key, strbuf_str(&k->key), k->hash);
	if (p != NULL && p != k->newest) {
		unlink_stmt(k, p);
		link_newest(k, p);
	}
	return p;
}

static void bury(struct pg_cache *k, uint64_t id)
{
	if (k->n_dead == k->dead_size) {
		k->dead_size = k->dead_size == 0 ? 8 : 2 * k->dead_size;
		k->dead = mem_realloc(k->dead, k->dead_size * sizeof(*k->dead));
	}
	k->dead[k->n_dead++] = id;
}

void pg_cache_drop(struct pg_cache *k, struct pg_stmt *p, bool gone)
{
	(void)map_remove_hashed(&k->by_key, p->key, p->hash);
	unlink_stmt(k, p);
	k->n--;
	if (!gone)
		bury(k, p->id);
	mem_free((char *)(uintptr_t)p->key.p);
	pg_shape_unref(p->shape);
	mem_free(p);
}

void pg_cache_shape(struct pg_cache *k, uint64_t id, const PGresult *res)
{
	struct pg_stmt *p = k->newest;

	while (p != NULL && p->id != id)
		p = p->older;
	if (p != NULL && p->shape == NULL)
		p->shape = pg_shape_of(res);
}

/* Rare, and there are not many. It may have been evicted already: a server that is told to forget what it does not know
 * forgets nothing of what it is told with it. */
void pg_cache_lost(struct pg_cache *k, uint64_t id)
{
	struct pg_stmt *p = k->newest;

	while (p != NULL && p->id != id)
		p = p->older;
	if (p != NULL) {
		pg_cache_drop(k, p, true);
		return;
	}
	for (size_t i = 0; i < k->n_dead; i++) {
		if (k->dead[i] == id) {
			k->dead[i] = k->dead[--k->n_dead];
			return;
		}
	}
}

void pg_cache_add(struct pg_cache *k, uint64_t id)
{
	pg_cache_put(k, id, strbuf_str(&k->key), k->hash);
}

void pg_cache_put(struct pg_cache *k, uint64_t id, struct str key, uint64_t hash)
{
	struct pg_stmt *p = mem_alloc(sizeof(*p));

	p->key.p = mem_strndup(key.p, key.len); /* copies inner NULs too */
	p->key.len = key.len;
	p->hash = hash;
	p->id = id;
	if (k->n >= LIMIT_STATEMENT_CACHE)
		pg_cache_drop(k, k->oldest, false);
	(void)map_put_hashed(&k->by_key, p->key, p->hash, p);
	link_newest(k, p);
	k->n++;
}

void pg_cache_clear(struct pg_cache *k, bool gone)
{
	while (k->oldest != NULL)
		pg_cache_drop(k, k->oldest, gone);
	if (gone)
		k->n_dead = 0;
}

void pg_cache_done(struct pg_cache *k)
{
	pg_cache_clear(k, true);
	map_done(&k->by_key);
	strbuf_done(&k->key);
	mem_free(k->dead);
	k->dead = NULL;
}

void pg_stmt_name(uint64_t id, char buf[PG_NAME_BYTES])
{
	buf[0] = 'f';
	(void)num_format_int((int64_t)(id & INT64_MAX), buf + 1);
}
