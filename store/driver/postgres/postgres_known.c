/* What is known of tables (postgres_plain.c says how), by name, and of clients' texts (postgres_proof.c). */
#include "service/base/clock.h"
#include "service/base/limits.h"
#include "service/base/mem.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

struct relation {
	struct str name; /* owned */
	bool plain;
	int64_t seen_ns;
};

/* Of a set of names that texts hold. */
struct proof {
	struct str key; /* owned */
	enum raw_kind kind;
	int64_t seen_ns;  /* when the catalog said so */
	int64_t asked_ns; /* when somebody set out to ask; 0: never */
};

/* Which set is a text's. */
struct text {
	struct str sql, key; /* owned, one behind the other; an empty key: it has none */
	size_t n_params;
};

struct pg_plain {
	struct mutex lock;
	struct map by_name;
	uint64_t n_forgotten; /* how often all of it was */
	struct map proofs, texts;
};

struct pg_plain *pg_plain_create(void)
{
	struct pg_plain *x = mem_alloc(sizeof(*x));

	mutex_init(&x->lock);
	map_init(&x->by_name);
	map_init(&x->proofs);
	map_init(&x->texts);
	return x;
}

/* The lock is held, or nobody else is there. */
static void empty(struct pg_plain *x)
{
	struct relation *r;

	for (size_t pos = 0; (r = map_next(&x->by_name, &pos)) != NULL;) {
		mem_free((char *)(uintptr_t)r->name.p);
		mem_free(r);
	}
	map_done(&x->by_name);
}

static void empty_proofs(struct pg_plain *x)
{
	struct proof *p;

	for (size_t pos = 0; (p = map_next(&x->proofs, &pos)) != NULL;) {
		mem_free((char *)(uintptr_t)p->key.p);
		mem_free(p);
	}
	map_done(&x->proofs);
	map_init(&x->proofs);
}

static void empty_texts(struct pg_plain *x)
{
	struct text *t;

	for (size_t pos = 0; (t = map_next(&x->texts, &pos)) != NULL;) {
		mem_free((char *)(uintptr_t)t->sql.p);
		mem_free(t);
	}
	map_done(&x->texts);
	map_init(&x->texts);
}

void pg_plain_forget(struct pg_plain *x)
{
	mutex_lock(&x->lock);
	empty(x);
	empty_proofs(x);
	map_init(&x->by_name);
	x->n_forgotten++;
	mutex_unlock(&x->lock);
}

void pg_plain_destroy(struct pg_plain *x)
{
	empty(x);
	empty_proofs(x);
	empty_texts(x);
	mutex_done(&x->lock);
	mem_free(x);
}

/* Under a role a name may mean another table: one in a schema of its own. */
static struct str name_for(const char *role, struct str table, struct strbuf *scratch)
{
	if (role[0] == '\0')
		return table;
	strbuf_put(scratch, table);
	strbuf_put(scratch, STR("\0\0"));
	strbuf_puts(scratch, role);
	return strbuf_str(scratch);
}

/* False: not known, or no more. */
bool pg_plain_get(struct pg_plain *x, const char *role, struct str table, bool *ret_plain, uint64_t *ret_since)
{
	struct strbuf scratch;
	bool found;

	strbuf_init(&scratch, 0);
	const struct str name = name_for(role, table, &scratch);
	mutex_lock(&x->lock);
	const struct relation *r = map_get(&x->by_name, name);
	found = r != NULL && clock_coarse_ns() - r->seen_ns < LIMIT_PLAIN_NS;
	*ret_plain = found && r->plain;
	*ret_since = x->n_forgotten;
	mutex_unlock(&x->lock);
	strbuf_done(&scratch);
	return found;
}

bool pg_plain_seen(struct pg_conn *c, const struct stmt *s)
{
	bool plain, all = true;
	uint64_t since;

	for (size_t i = 0; i < s->n_tables; i++) {
		if (!pg_plain_get(c->base.db->plain, c->base.role, s->tables[i], &plain, &since))
			return false;
		all = all && plain;
	}
	c->base.session_dirty |= !all;
	return true;
}

/* The lock is held. */
static void keep(struct pg_plain *x, struct str name, bool plain)
{
	struct relation *r = map_get(&x->by_name, name);

	if (r == NULL && x->by_name.n >= LIMIT_PLAIN_TABLES) { /* those in use are soon there again */
		empty(x);
		map_init(&x->by_name);
	}
	if (r == NULL) {
		r = mem_alloc(sizeof(*r));
		r->name = str_n(mem_strndup(name.p, name.len), name.len);
		(void)map_put(&x->by_name, r->name, r);
	}
	r->plain = plain;
	r->seen_ns = clock_coarse_ns();
}

void pg_plain_keep(struct pg_plain *x, const char *role, struct str table, bool plain, uint64_t since)
{
	struct strbuf scratch;

	strbuf_init(&scratch, 0);
	const struct str name = name_for(role, table, &scratch);
	mutex_lock(&x->lock);
	if (x->n_forgotten == since)
		keep(x, name, plain);
	mutex_unlock(&x->lock);
	strbuf_done(&scratch);
}

/* ---- clients' texts ---- */

bool pg_proof_text(struct pg_plain *x, const struct stmt *s, struct strbuf *ret_key)
{
	mutex_lock(&x->lock);
	const struct text *t = map_get_hashed(&x->texts, s->sql, stmt_hash(s));
	const bool found = t != NULL && t->n_params == s->n_params;
	if (found)
		strbuf_put(ret_key, t->key);
	mutex_unlock(&x->lock);
	return found;
}

void pg_proof_keep_text(struct pg_plain *x, const struct stmt *s, struct str key)
{
	const uint64_t hash = stmt_hash(s);
	struct text *t;
	char *copy;

	mutex_lock(&x->lock);
	if (x->texts.n >= LIMIT_PROOF_TEXTS)
		empty_texts(x);
	if (map_get_hashed(&x->texts, s->sql, hash) == NULL) {
		copy = mem_alloc(s->sql.len + key.len + 1);
		memcpy(copy, s->sql.p, s->sql.len);
		memcpy(copy + s->sql.len, key.p, key.len);
		t = mem_alloc(sizeof(*t));
		*t = (struct text){str_n(copy, s->sql.len), str_n(copy + s->sql.len, key.len), s->n_params};
		(void)map_put_hashed(&x->texts, t->sql, hash, t);
	}
	mutex_unlock(&x->lock);
}

static struct proof *add_proof(struct pg_plain *x, struct str key)
{
	struct proof *p = mem_alloc(sizeof(*p));

	if (x->proofs.n >= LIMIT_PROOFS) /* those in use are soon there again */
		empty_proofs(x);
	p->key = str_n(mem_strndup(key.p, key.len), key.len);
	(void)map_put(&x->proofs, p->key, p);
	return p;
}

/* One that has come once may never come again. Before the time is over one caller looks again while others go on. */
enum raw_kind pg_proof_get(struct pg_plain *x, struct str key, bool *ret_wanted)
{
	const int64_t now = clock_coarse_ns();
	enum raw_kind kind = RAW_UNKNOWN;
	bool asks;

	mutex_lock(&x->lock);
	struct proof *p = map_get(&x->proofs, key);
	if (p == NULL && ret_wanted != NULL)
		add_proof(x, key);
	if (p != NULL) {
		const bool fresh = p->kind != RAW_UNKNOWN && now - p->seen_ns < LIMIT_PLAIN_NS;

		asks = p->asked_ns == 0 || now - p->asked_ns > LIMIT_PLAIN_NS / 2;
		if (fresh && !asks)
			kind = p->kind;
		if (ret_wanted != NULL && asks) {
			p->asked_ns = now;
			*ret_wanted = true;
		}
	}
	mutex_unlock(&x->lock);
	return kind;
}

uint64_t pg_plain_since(struct pg_plain *x)
{
	mutex_lock(&x->lock);
	const uint64_t since = x->n_forgotten;
	mutex_unlock(&x->lock);
	return since;
}

void pg_proof_keep(struct pg_plain *x, struct str key, enum raw_kind kind, uint64_t since)
{
	mutex_lock(&x->lock);
	if (x->n_forgotten != since) {
		mutex_unlock(&x->lock);
		return;
	}
	struct proof *p = map_get(&x->proofs, key);
	if (p == NULL)
		p = add_proof(x, key);
	p->kind = kind;
	p->seen_ns = p->asked_ns = clock_coarse_ns();
	mutex_unlock(&x->lock);
}
