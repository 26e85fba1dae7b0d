/* What is known of tables (postgres_plain.c says how): the harmless and the others, by name. */
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

struct pg_plain {
	struct mutex lock;
	struct map by_name;
	uint64_t n_forgotten; /* how often all of it was */
};

struct pg_plain *pg_plain_create(void)
{
	struct pg_plain *x = mem_alloc(sizeof(*x));

	mutex_init(&x->lock);
	map_init(&x->by_name);
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

void pg_plain_forget(struct pg_plain *x)
{
	mutex_lock(&x->lock);
	empty(x);
	map_init(&x->by_name);
	x->n_forgotten++;
	mutex_unlock(&x->lock);
}

void pg_plain_destroy(struct pg_plain *x)
{
	empty(x);
	mutex_done(&x->lock);
	mem_free(x);
}

/* False: not known, or no more. */
bool pg_plain_get(struct pg_plain *x, struct str table, bool *ret_plain, uint64_t *ret_since)
{
	bool found;

	mutex_lock(&x->lock);
	const struct relation *r = map_get(&x->by_name, table);
	found = r != NULL && clock_coarse_ns() - r->seen_ns < LIMIT_PLAIN_NS;
	*ret_plain = found && r->plain;
	*ret_since = x->n_forgotten;
	mutex_unlock(&x->lock);
	return found;
}

void pg_plain_keep(struct pg_plain *x, struct str table, bool plain, uint64_t since)
{
	mutex_lock(&x->lock);
	if (x->n_forgotten != since) {
		mutex_unlock(&x->lock);
		return;
	}
	struct relation *r = map_get(&x->by_name, table);
	if (r == NULL && x->by_name.n >= LIMIT_PLAIN_TABLES) { /* those in use are soon there again */
		empty(x);
		map_init(&x->by_name);
	}
	if (r == NULL) {
		r = mem_alloc(sizeof(*r));
		r->name = str_n(mem_strndup(table.p, table.len), table.len);
		(void)map_put(&x->by_name, r->name, r);
	}
	r->plain = plain;
	r->seen_ns = clock_coarse_ns();
	mutex_unlock(&x->lock);
}
