/* The keys of plans, and the cache of each thread. */
#include "store/query/query_plan.h"

#include "store/codec/time_spelling.h"
#include "store/query/query_container.h"

#include <pthread.h>
#include <string.h>

#include "service/base/limits.h"
#include "service/base/map.h"
#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define EARLY_PAGES 8 /* whose offsets stand in the text */

/* ---- keys ---- */

void plan_key_number(struct plan_key *k, uint64_t n)
{
	unsigned char *p = k->bytes + k->len;

	if (sizeof(k->bytes) - k->len < 10) { /* as long as a number gets */
		k->too_long = true;
		return;
	}
	for (; n >= 0x80; n >>= 7)
		*p++ = (unsigned char)(n | 0x80);
	*p++ = (unsigned char)n;
	k->len = (size_t)(p - k->bytes);
}

static void key_str(struct plan_key *k, struct str s)
{
	plan_key_number(k, s.p != NULL ? s.len + 1 : 0);
	if (s.p == NULL)
		return;
	if (s.len > sizeof(k->bytes) - k->len) {
		k->too_long = true;
		return;
	}
	memcpy(k->bytes + k->len, s.p, s.len);
	k->len += s.len;
}

void plan_key_column(struct plan_key *k, const struct column *c)
{
	plan_key_number(k, c != NULL ? c->index + 1 : 0);
}

static void key_items(struct plan_key *k, const struct query_item *items, size_t n)
{
	plan_key_number(k, n);
	for (size_t i = 0; i < n; i++) {
		plan_key_column(k, items[i].column);
		if (items[i].column == NULL)
			plan_key_expr(k, items[i].expr);
		key_str(k, items[i].name);
	}
}

void plan_key_begin(struct plan_key *k, enum plan_op op, const struct dialect *d, const struct model *m)
{
	k->len = 0;
	k->too_long = false;
	plan_key_number(k, (uint64_t)op << 1 | (d->id == DIALECT_POSTGRES));
	plan_key_number(k, m->serial);
}

static bool is_like(enum query_op op)
{
	return op == OP_LIKE || op == OP_NOT_LIKE || op == OP_ILIKE || op == OP_NOT_ILIKE;
}

bool plan_is_text_at_path(const struct query_node *node)
{
	const struct query_expr *e = node->expr;
	struct str s;

	if ((node->op != OP_EQ && node->op != OP_NE) || node->n_values != 1 || node->values[0].kind != VALUE_TEXT ||
	    e == NULL || e->kind != EXPR_COLUMN || e->n_hops != 0 || e->n_path == 0 || e->path_type != PATH_TEXT)
		return false;
	s = node->values[0].u.s;
	return !str_eq_z(s, "true") && !str_eq_z(s, "false") &&
	       !(s.len > 0 && (s.p[0] == '-' || (s.p[0] >= '0' && s.p[0] <= '9')));
}

/* What of a value shows in the text: null is no parameter; of a document what it is; of a pattern its escapes, and
 * letters beyond ASCII; of a range that it is one. */
static uint64_t trait_of(const struct query_node *node)
{
	const struct value *v = &node->values[0];
	uint64_t traits = 0;

	if (v->kind == VALUE_NULL)
		return 1;
	if (plan_is_text_at_path(node))
		return 32;
	if (v->kind == VALUE_JSON)
		return 8U | (v->u.s.len > 0 ? (uint64_t)(unsigned char)v->u.s.p[0] << 4 : 0);
	if (node->op >= OP_CONTAINS && v->kind == VALUE_TEXT)
		return query_is_range_text(v->u.s) ? 16U : 0;
	for (size_t i = 0; is_like(node->op) && i < v->u.s.len; i++)
		traits |= v->u.s.p[i] == '\\' ? 2U : ((unsigned char)v->u.s.p[i] & 0x80) != 0 ? 4U : 0;
	return traits;
}

static void key_relation(struct plan_key *k, const struct relation *r)
{
	plan_key_number(k, r->target->serial);
	plan_key_number(k, (uint64_t)r->kind << 1 | r->local);
	key_str(k, r->kind == REL_MANY_TO_MANY ? r->source_column : r->column);
	key_str(k, r->kind == REL_MANY_TO_MANY ? r->target_column : r->to_column);
	plan_key_number(k, r->n_columns);
	for (size_t i = 1; i < r->n_columns; i++) {
		key_str(k, r->columns[i]);
		key_str(k, r->to_columns[i]);
	}
	if (r->kind != REL_MANY_TO_MANY)
		return;
	key_str(k, r->through);
	key_str(k, r->source_key);
	key_str(k, r->target_key);
}

static void key_nodes(struct plan_key *k, const struct query_node *const *nodes, size_t n);

/* The parts of a type that casts and decoding depend on. */
static void key_type(struct plan_key *k, const struct column *c)
{
	plan_key_number(k, (uint64_t)c->storage << 5 | (uint64_t)c->logical);
	key_str(k, c->postgres_native_enum ? c->enum_type_name : c->own_type ? c->db_type : STR_NONE);
	plan_key_number(k, (uint64_t)c->bool_words << 32 | (uint64_t)c->spelling << 3 | (uint64_t)c->uuid_bytes << 2 |
				   (uint64_t)c->uuid_hex << 1 | (c->fill.position > 0));
	plan_key_number(k, c->name.p != NULL ? c->index + 1 : 0);
	plan_key_number(k, c->home != NULL ? c->home->serial : 0);
	key_str(k, c->home != NULL ? c->name : STR_NONE);
}

static void key_path(struct plan_key *k, const struct query_expr *e)
{
	plan_key_number(k, e->n_path << 2 | (unsigned)e->path_type);
	for (size_t i = 0; i < e->n_path; i++)
		plan_key_number(k, e->path[i].key.p != NULL);
}

/* Recurses as deep as the expression, which parsing bounds. */
void plan_key_expr(struct plan_key *k, const struct query_expr *e)
{
	plan_key_number(k, e != NULL ? (uint64_t)e->kind + 1 : 0);
	if (e == NULL || k->too_long)
		return;
	key_type(k, &e->type);
	plan_key_column(k, e->column);
	plan_key_number(k, e->n_hops);
	for (size_t i = 0; i < e->n_hops; i++)
		key_relation(k, e->hops[i]);
	key_path(k, e);
	plan_key_number(k, e->n_args);
	for (size_t i = 0; i < e->n_args; i++)
		plan_key_expr(k, e->args[i]);
	key_nodes(k, e->when, e->n_when);
	key_nodes(k, &e->match, e->match != NULL);
}

bool query_time_values(const struct column *c, const struct query_node *node)
{
	char out[TEMPORAL_BYTES];

	for (size_t i = 0; i < node->n_values; i++)
		if (!time_normal(c, node->values[i], out))
			return false;
	return node->n_values > 0;
}

/* Times have a range beside them, other values in a column of times have none. */
static bool is_time(const struct query_node *node)
{
	const struct column *c = node->column;

	return c != NULL && (c->logical == LT_DATETIME || c->logical == LT_DATE || c->logical == LT_TIME) &&
	       node->n_values > 0 && node->values[0].kind != VALUE_NULL && query_time_values(c, node);
}

/* SQLite: values that stand for a text and a blob. */
static size_t n_either(const struct query_node *node)
{
	size_t n = 0;

	if (node->op != OP_EQ && node->op != OP_NE && node->op != OP_IN && node->op != OP_NOT_IN && node->op != OP_GT &&
	    node->op != OP_LE)
		return 0;
	for (size_t i = 0; i < node->n_values; i++)
		n += node->values[i].kind == VALUE_TEXT && !str_is_utf8(node->values[i].u.s);
	return n;
}

static void key_leaf(struct plan_key *k, const struct query_node *node)
{
	plan_key_column(k, node->column);
	if (node->column == NULL) {
		plan_key_number(k, node->aggregate);
		plan_key_expr(k, node->expr);
	}
	plan_key_expr(k, node->operand);
	plan_key_number(k, node->n_values);
	plan_key_number(k, node->n_values > 0 ? trait_of(node) : 0);
	plan_key_number(k, (uint64_t)n_either(node) << 2 | (uint64_t)node->stored << 1 | is_time(node));
	if (node->op == OP_MATCH)
		plan_key_number(k, (node->config.p != NULL ? 2U : 0U) | (node->model != NULL ? 1U : 0U));
	for (size_t i = 1; i < node->n_values && node->values[i].kind == VALUE_JSON; i++)
		plan_key_number(k, node->values[i].kind);
}

/* Recurses as deep as the tree, which parsing bounds. */
static void key_node(struct plan_key *k, const struct query_node *node)
{
	plan_key_number(k, (uint64_t)node->kind << 6 | (node->kind == NODE_LEAF ? node->op : 0));
	switch (node->kind) {
	case NODE_LEAF:
		key_leaf(k, node);
		return;
	case NODE_AND:
	case NODE_OR:
		key_node(k, node->left);
		key_node(k, node->right);
		return;
	case NODE_NOT:
		key_node(k, node->left);
		return;
	case NODE_RELATION:
		key_relation(k, node->relation);
		plan_key_number(k, (uint64_t)node->quantifier << 1 | node->reference);
		key_nodes(k, node->where, node->n_where);
		return;
	}
}

static void key_nodes(struct plan_key *k, const struct query_node *const *nodes, size_t n)
{
	plan_key_number(k, n);
	for (size_t i = 0; i < n && !k->too_long; i++)
		key_node(k, nodes[i]);
}

/* Where a computed column of the answer stands: ordering by it says so. */
static uint64_t order_place(const struct query *q, const struct query_expr *e)
{
	const struct query_item *items = q->n_select != 0 ? q->select : q->group_by;
	const size_t n = q->n_select != 0 ? q->n_select : q->n_group_by;

	for (size_t i = 0; e != NULL && i < n; i++)
		if (items[i].expr == e)
			return i + 1;
	return 0;
}

static void key_order(struct plan_key *k, const struct query *q)
{
	plan_key_number(k, q->n_order);
	for (size_t i = 0; i < q->n_order; i++) {
		plan_key_column(k, q->order[i].column);
		if (q->order[i].column == NULL) {
			plan_key_expr(k, q->order[i].expr);
			plan_key_number(k, order_place(q, q->order[i].expr));
			plan_key_number(k, q->order[i].aggregate);
		}
		plan_key_number(k, (uint64_t)q->order[i].nulls << 1 | q->order[i].descending);
	}
}

static bool is_page_size(int64_t n)
{
	return n > 0 && (n <= 10 || (n <= 100 && n % 5 == 0) || (n <= 1000 && n % 50 == 0));
}

bool plan_limit_stands(const struct query *q)
{
	return q->dialect->id == DIALECT_POSTGRES && q->has_limit && q->limit > 0 &&
	       (is_page_size(q->limit) || is_page_size(q->limit - 1));
}

static bool is_early_page(int64_t size, int64_t offset)
{
	return is_page_size(size) && offset % size == 0 && offset / size <= EARLY_PAGES;
}

bool plan_offset_stands(const struct query *q)
{
	return q->has_offset && plan_limit_stands(q) &&
	       (is_early_page(q->limit, q->offset) || is_early_page(q->limit - 1, q->offset));
}

/* None, large, small, or the number itself, where it stands in the text. */
static uint64_t limit_class(const struct query *q, int64_t limit_max)
{
	if (!q->has_limit)
		return 0;
	if (limit_max > 0 && plan_limit_stands(q))
		return (uint64_t)q->limit + 2;
	return q->limit > limit_max || q->limit < 0 ? 1 : 2;
}

void plan_key_query(struct plan_key *k, enum plan_op op, const struct query *q, int64_t limit_max)
{
	plan_key_begin(k, op, q->dialect, q->model);
	plan_key_number(k, (uint64_t)q->lock << 3 | (unsigned)q->distinct << 2 | (unsigned)q->has_offset << 1 |
				   (q->m2m != NULL));
	if (q->m2m != NULL) {
		key_str(k, q->m2m->join_table);
		key_str(k, q->m2m->source_col);
		key_str(k, q->m2m->target_col);
		key_str(k, q->m2m->target_key);
	}
	key_nodes(k, q->where, q->n_where);
	key_order(k, q);
	plan_key_number(k, limit_class(q, limit_max));
	plan_key_number(k, limit_max > 0 && plan_offset_stands(q) ? (uint64_t)q->offset + 1 : 0);
	key_items(k, q->select, q->n_select);
	key_items(k, q->extra, q->n_extra);
	key_items(k, q->group_by, q->n_group_by);
	plan_key_number(k, q->n_aggregates);
	for (size_t i = 0; i < q->n_aggregates; i++) {
		plan_key_number(k, q->aggregates[i].fn);
		plan_key_column(k, q->aggregates[i].column);
		plan_key_expr(k, q->aggregates[i].expr);
		key_str(k, q->aggregates[i].alias);
	}
	key_nodes(k, q->having, q->n_having);
}

/* ---- the cache ---- */

struct plan_cache {
	struct map by_key;
	struct plan *newest, *oldest;
	size_t n;
	uint64_t hits, misses; /* written by the owner, read anywhere */
	struct plan_cache *next;
};

static pthread_mutex_t caches_lock = PTHREAD_MUTEX_INITIALIZER;
static struct plan_cache *caches;       /* of all threads */
static struct query_plan_stats retired; /* of threads that have ended */
static pthread_key_t cache_key;
static pthread_once_t cache_once = PTHREAD_ONCE_INIT;
static _Thread_local struct plan_cache *cache;

static void unref(void *arg)
{
	struct plan *p = arg;
	struct arena arena = p->arena; /* which p lies in */

	if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) == 0)
		arena_done(&arena);
}

static void unlink_plan(struct plan_cache *c, struct plan *p)
{
	*(p->newer != NULL ? &p->newer->older : &c->newest) = p->older;
	*(p->older != NULL ? &p->older->newer : &c->oldest) = p->newer;
	p->newer = p->older = NULL;
}

static void link_newest(struct plan_cache *c, struct plan *p)
{
	p->older = c->newest;
	*(c->newest != NULL ? &c->newest->newer : &c->oldest) = p;
	c->newest = p;
}

static void drop_oldest(struct plan_cache *c)
{
	struct plan *p = c->oldest;

	(void)map_remove(&c->by_key, p->key);
	unlink_plan(c, p);
	c->n--;
	unref(p);
}

static void destroy_cache(void *arg)
{
	struct plan_cache *c = arg, **at = &caches;

	pthread_mutex_lock(&caches_lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	retired.hits += c->hits;
	retired.misses += c->misses;
	pthread_mutex_unlock(&caches_lock);
	while (c->oldest != NULL)
		drop_oldest(c);
	map_done(&c->by_key);
	mem_free(c);
	cache = NULL;
}

static void make_key(void)
{
	if (pthread_key_create(&cache_key, destroy_cache) != 0)
		mem_fail();
}

static struct plan_cache *cache_here(void)
{
	if (cache != NULL)
		return cache;
	pthread_once(&cache_once, make_key);
	cache = mem_alloc(sizeof(*cache));
	map_init(&cache->by_key);
	if (pthread_setspecific(cache_key, cache) != 0)
		mem_fail();
	pthread_mutex_lock(&caches_lock);
	cache->next = caches;
	caches = cache;
	pthread_mutex_unlock(&caches_lock);
	return cache;
}

static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

void query_plan_stats(struct query_plan_stats *ret)
{
	pthread_mutex_lock(&caches_lock);
	*ret = retired;
	for (const struct plan_cache *c = caches; c != NULL; c = c->next) {
		ret->hits += __atomic_load_n(&c->hits, __ATOMIC_RELAXED);
		ret->misses += __atomic_load_n(&c->misses, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&caches_lock);
}

const struct plan *plan_find(struct arena *a, const struct plan_key *k)
{
	struct plan_cache *c = cache_here();
	struct plan *p = k->too_long ? NULL : map_get(&c->by_key, str_n((const char *)k->bytes, k->len));

	if (p == NULL) {
		count(&c->misses);
		return NULL;
	}
	count(&c->hits);
	if (p != c->newest) {
		unlink_plan(c, p);
		link_newest(c, p);
	}
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	arena_on_done(a, unref, p);
	return p;
}

static void copy_shape(struct plan *p, const struct result_shape *shape)
{
	struct column *decode;
	struct str *names;

	p->shape = *shape;
	p->shape.columns = arena_array(&p->arena, shape->n, sizeof(*p->shape.columns));
	p->shape.names = names = arena_array(&p->arena, shape->n, sizeof(*names));
	for (size_t i = 0; i < shape->n; i++) {
		p->shape.columns[i] = shape->columns[i];
		names[i] = arena_str(&p->arena, shape->names[i]);
	}
	if (shape->n > 0 && shape->columns[0] == shape->decode) /* the model's own, which live as long */
		return;
	p->shape.decode = decode = arena_array(&p->arena, shape->n, sizeof(*decode));
	for (size_t i = 0; i < shape->n; i++) {
		decode[i] = shape->decode[i];
		decode[i].name = names[i];
	}
}

static const struct str *copy_tables(struct plan *p, const struct stmt *s)
{
	struct str *tables = arena_array(&p->arena, s->n_tables + 1, sizeof(*tables));

	for (size_t i = 0; i < s->n_tables; i++)
		tables[i] = arena_str(&p->arena, s->tables[i]);
	return tables;
}

void plan_keep(const struct plan_key *k, const struct stmt *s, const struct result_shape *shape)
{
	struct plan_cache *c = cache_here();
	struct arena arena;
	struct plan *p;

	if (k->too_long || s->sql.len > LIMIT_PLAN_BYTES)
		return;
	if (c->n == LIMIT_PLANS)
		drop_oldest(c);
	arena_init(&arena);
	p = arena_alloc(&arena, sizeof(*p));
	p->arena = arena;
	p->refs = 1;
	p->key = arena_str(&p->arena, str_n((const char *)k->bytes, k->len));
	p->stmt = *s;
	p->stmt.sql = arena_str(&p->arena, s->sql);
	p->stmt.params = NULL;
	p->stmt.tables = copy_tables(p, s);
	if (shape != NULL)
		copy_shape(p, shape);
	(void)map_put(&c->by_key, p->key, p);
	link_newest(c, p);
	c->n++;
}
