/* What hangs on a record: related rows, and the links of many-to-many relations. */
#include "handlers/handlers.h"
#include "handlers/records/list_filter.h"
#include "handlers/records/list.h"
#include "handlers/unit/affected.h"
#include "handlers/unit/mapped.h"
#include "handlers/unit/turns.h"
#include "handlers/unit/reads.h"
#include "handlers/records/records.h"
#include "handlers/answer/rows.h"
#include "handlers/answer/select.h"
#include "handlers/answer/values.h"
#include "store/codec/codec_respell.h"

#include "service/base/banned.h"

#define CHUNK_LINKS 500
#define LINK_TURNS 256 /* of a join table: as many locks as one transaction may come to hold for it */

struct relation_request {
	struct record_request r;
	const struct relation *rel;
	const struct value *row; /* the record, as the session sees it */
};

/* The record must be there: from the map, or read (and then mapped). In an open unit. */
static bool source_row(struct relation_request *q, struct err *err)
{
	struct record_request *r = &q->r;
	struct imap_read read;
	q->row = mapped_look(r->c, r->m, r->map_key, &read);
	if (q->row == NULL && !mapped_load(r->c, &read, r->key, r->map_key, &q->row, err))
		return false;
	return q->row != NULL || record_missing(r->m, err);
}

/* Opens the context; resolves model, key and relation. On false nothing is to close. */
static bool relation_open(struct relation_request *q, struct request *req, struct response *res,
			  const char *const *args, struct err *err)
{
	struct str name = req->params[2];
	if (!record_open_args(&q->r, req, res, args, err))
		return false;
	q->rel = model_relation(q->r.m, name);
	if (q->rel != NULL)
		return true;
	(void)err_set(err, ERR_RELATION_NOT_FOUND, "model \"%.*s\" has no relation \"%.*s\"", STR_FMT(q->r.m->name),
		      (int)(name.len < 100 ? name.len : 100), name.p);
	return context_close(q->r.c, false, err);
}

/* The value of the record's column as a parameter for another model's column. */
static bool link_value(struct relation_request *q, struct str column, const struct column *there, struct value *ret,
		       struct err *err)
{
	const struct column *here = model_column(q->r.m, column);
	if (here == NULL || there == NULL)
		return err_set(err, ERR_INTERNAL_ERROR, "the relation names a column that is not there");
	return value_rebind(&q->r.c->req->arena, q->r.c->route.conn->dialect, there, q->row[here->index], ret, err);
}

/* The query for the related rows; *ret NULL: the link is null, there are none. */
static bool related_query(struct relation_request *q, struct query **ret, struct err *err)
{
	struct context *c = q->r.c;
	struct arena *a = &c->req->arena;
	const struct relation *rel = q->rel;
	struct query *query = query_new(a, c->schema, c->route.conn->dialect, rel->target);
	struct value v;
	*ret = NULL;
	if (rel->kind == REL_MANY_TO_MANY) {
		const struct model *join = schema_model_by_table(c->schema, rel->through);
		struct query_m2m *m2m = arena_alloc(a, sizeof(*m2m));
		if (join == NULL || !link_value(q, rel->source_key, model_column(join, rel->source_column), &v, err))
			return join != NULL ? false
					    : err_set(err, ERR_INTERNAL_ERROR,
						      "the relation's join table is not registered");
		*m2m = (struct query_m2m){.join_table = rel->through,
					  .source_col = rel->source_column,
					  .target_col = rel->target_column,
					  .target_key = rel->target_key,
					  .source_id = v};
		query->m2m = m2m;
	} else {
		const size_t n = relation_n_pairs(rel);
		const struct query_node **where = arena_array(a, n, sizeof(const struct query_node *));
		for (size_t i = 0; i < n; i++) {
			const struct column *there = model_column(rel->target, relation_there(rel, i));
			if (!link_value(q, relation_here(rel, i), there, &v, err))
				return false;
			if (v.kind == VALUE_NULL)
				return true;
			where[i] = query_leaf_equal(a, q->r.c->route.conn->dialect, there, v);
		}
		query->where = where;
		query->n_where = n;
	}
	*ret = query;
	return true;
}

static bool empty_answer(struct context *c, bool to_one)
{
	if (to_one) {
		strbuf_puts(response_json(c->res, 200), "{\"row\":null}");
		return true;
	}
	struct rows_writer w;
	rows_none(&w, c);
	rows_end(&w);
	rows_close(&w, NULL);
	rows_done(&w);
	return true;
}

static bool related(struct relation_request *q, struct err *err)
{
	struct context *c = q->r.c;
	struct query *query;
	context_read(c);
	if (!source_row(q, err) || !related_query(q, &query, err) || !context_commit(c, err))
		return false;
	if (query == NULL)
		return empty_answer(c, q->rel->to_one);
	if (!q->rel->to_one)
		return list_answer(c, query, err);
	return list_filter(c->req, &c->req->arena, query, err) && first_answer(c, query, err);
}

bool handle_relation_get(struct request *req, struct response *res, struct err *err)
{
	struct relation_request q = {0};
	if (!relation_open(&q, req, res, NULL, err))
		return false;
	return context_close(q.r.c, related(&q, err), err);
}

/* ---- links of a many-to-many relation ---- */

struct links {
	struct relation_request q;
	const struct model *join;
	const struct column *source, *target;
	struct value source_value;
	struct value *ids;
	size_t n_ids;
	bool all; /* DELETE without a body */
};

static bool read_ids(struct request *req, bool optional, const json_t **ret, struct err *err)
{
	struct json_reader r;
	json_t *doc;
	*ret = NULL;
	if (!request_json(req, optional, &doc, err))
		return false;
	if (doc == NULL)
		return true;
	json_reader_init(&r, &req->arena, doc, "", err);
	json_reader_array(&r, "ids", ret);
	json_reader_require(&r, "ids");
	return json_reader_done(&r);
}

static bool bind_ids(struct links *l, const json_t *ids, struct err *err)
{
	struct context *c = l->q.r.c;
	struct arena *a = &c->req->arena;
	size_t n = json_array_size(ids);
	l->ids = arena_array(a, n + 1, sizeof(*l->ids));
	for (size_t i = 0; i < n; i++) {
		const char *pointer = json_pointer_index(a, "/ids", i);
		struct value v;
		if (!codec_bind(a, c->route.conn->dialect, l->target, json_array_get(ids, i), pointer, &v, err))
			return false;
		if (v.kind == VALUE_NULL)
			return err_set_at(err, ERR_INVALID_VALUE, pointer, "null is no id");
		bool seen = false;
		for (size_t k = 0; k < l->n_ids && !seen; k++)
			seen = value_equal(l->ids[k], v);
		if (!seen)
			l->ids[l->n_ids++] = v;
	}
	return true;
}

/* Resolves the join table's columns and the record's side of the links. */
static bool links_prepare(struct links *l, const json_t *ids, struct err *err)
{
	const struct relation *rel = l->q.rel;
	if (rel->kind != REL_MANY_TO_MANY)
		return err_set(err, ERR_INVALID_QUERY,
			       "relation \"%.*s\" is not many-to-many: write the foreign key instead",
			       STR_FMT(rel->name));
	l->join = schema_model_by_table(l->q.r.c->schema, rel->through);
	if (l->join != NULL) {
		l->source = model_column(l->join, rel->source_column);
		l->target = model_column(l->join, rel->target_column);
	}
	if (l->source == NULL || l->target == NULL)
		return err_set(err, ERR_INTERNAL_ERROR, "the relation's join table is not registered");
	l->all = ids == NULL;
	return (ids == NULL || bind_ids(l, ids, err)) && source_row(&l->q, err) &&
	       link_value(&l->q, rel->source_key, l->source, &l->source_value, err);
}

/* Links of the record, only those to `ids` unless all. */
static struct query *links_query(struct links *l)
{
	struct context *c = l->q.r.c;
	struct arena *a = &c->req->arena;
	struct query *q = query_new(a, c->schema, c->route.conn->dialect, l->join);
	const struct query_node **where = arena_array(a, 2, sizeof(const struct query_node *));
	struct query_node *in = arena_alloc(a, sizeof(*in));
	struct value *ids = arena_array(a, 2 * l->n_ids + 1, sizeof(*ids));
	size_t n = 0;
	for (size_t i = 0; i < l->n_ids; i++) {
		ids[n++] = l->ids[i];
		n += codec_twin(a, q->dialect, l->target, l->ids[i], &ids[n]);
	}
	*in = (struct query_node){.kind = NODE_LEAF, .op = OP_IN, .column = l->target, .values = ids, .n_values = n};
	where[0] = query_leaf_equal(a, q->dialect, l->source, l->source_value);
	where[1] = in;
	q->where = where;
	q->n_where = l->all ? 1 : 2;
	return q;
}

static bool remove_links(struct links *l, int64_t *ret, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	struct exec_result result;
	if (!query_lower_delete(&l->q.r.c->req->arena, links_query(l), false, &stmt, &shape, err))
		return false;
	mapped_write_all(l->q.r.c, l->join, MAPPED_DELETED);
	if (!context_run(l->q.r.c, &stmt, NULL, &result, err))
		return false;
	*ret = result.affected;
	return true;
}

/* Removes from l->ids those that are linked already. */
static bool keep_id(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct links *l = arg;
	struct arena *a = &l->q.r.c->req->arena;
	const struct dialect *d = l->q.r.c->route.conn->dialect;
	struct value v;
	(void)ret_stop;
	if (n == 0)
		return true;
	if (!value_rebind(a, d, l->target, codec_decode(a, d, l->target, values[0]), &v, err))
		return false;
	for (size_t i = 0; i < l->n_ids; i++) {
		if (value_equal(l->ids[i], v)) {
			l->ids[i] = l->ids[--l->n_ids];
			return true;
		}
	}
	return true;
}

static bool drop_linked(struct links *l, struct err *err)
{
	struct stmt stmt;
	struct result_shape shape;
	struct row_sink sink = {.row = keep_id, .arg = l};
	struct query *q = links_query(l);
	struct query_item *items = arena_alloc(&l->q.r.c->req->arena, sizeof(*items));
	*items = (struct query_item){.column = l->target, .name = l->target->name};
	q->select = items;
	q->n_select = 1;
	return query_lower_select(&l->q.r.c->req->arena, q, &stmt, &shape, err) &&
	       context_run(l->q.r.c, &stmt, &sink, NULL, err);
}

/* Is (source, target) unique in the join table? Then a lost race is no error. */
static bool pair_is_unique(const struct links *l)
{
	const struct model *m = l->join;
	if (m->n_pk == 2 &&
	    ((m->pk[0] == l->source && m->pk[1] == l->target) || (m->pk[0] == l->target && m->pk[1] == l->source)))
		return true;
	for (size_t i = 0; i < m->n_uniques; i++) {
		const struct schema_index *u = &m->uniques[i];
		if (u->n_columns != 2)
			continue;
		if ((str_eq(u->columns[0], l->source->name) && str_eq(u->columns[1], l->target->name)) ||
		    (str_eq(u->columns[0], l->target->name) && str_eq(u->columns[1], l->source->name)))
			return true;
	}
	return false;
}

static struct record_row link_row(struct links *l, size_t i)
{
	struct context *c = l->q.r.c;
	struct arena *a = &c->req->arena;
	struct value *values = arena_array(a, l->join->n_columns, sizeof(*values));
	bool *given = arena_array(a, l->join->n_columns, sizeof(*given));
	values[l->source->index] = l->source_value;
	values[l->target->index] = l->ids[i];
	given[l->source->index] = given[l->target->index] = true;
	return (struct record_row){.values = values, .given = given, .sent = given};
}

/* Without a unique key in the join table nothing keeps two callers from adding the same link, from whichever of its two
 * ends. Those who add links to a record take turns; the column that comes first says of which end's record. */
static bool take_turns(struct links *l, struct err *err)
{
	struct arena *a = &l->q.r.c->req->arena;
	bool here = l->source->index < l->target->index;
	const struct column *column = here ? l->source : l->target;
	size_t n = here ? 1 : l->n_ids;
	int64_t *numbers = arena_array(a, n, sizeof(*numbers));
	for (size_t i = 0; i < n; i++) {
		struct str text = value_text_key(a, here ? l->source_value : l->ids[i]);
		uint64_t bucket = (uint64_t)turn_number(text) % LINK_TURNS;
		numbers[i] = turn_number(arena_printf(a, "links\n%.*s\n%.*s\n%llu", STR_FMT(l->join->table),
						      STR_FMT(column->name), (unsigned long long)bucket));
	}
	return turns_take(l->q.r.c, numbers, n, err);
}

static bool add_links(struct links *l, int64_t *ret, struct err *err)
{
	struct context *c = l->q.r.c;
	struct arena *a = &c->req->arena;
	const struct column *pair[2] = {l->source, l->target};
	bool unique = pair_is_unique(l);
	*ret = 0;
	if (l->n_ids == 0)
		return true;
	if ((!unique && !take_turns(l, err)) || !drop_linked(l, err))
		return false;
	for (size_t from = 0; from < l->n_ids; from += CHUNK_LINKS) {
		size_t n = l->n_ids - from < CHUNK_LINKS ? l->n_ids - from : CHUNK_LINKS;
		struct record_row *rows = arena_array(a, n, sizeof(*rows));
		struct stmt stmt;
		struct result_shape shape;
		struct exec_result result;
		for (size_t i = 0; i < n; i++)
			rows[i] = link_row(l, from + i);
		const struct record_insert_how how = {
			.conflict = unique ? RECORD_IGNORE : RECORD_INSERT,
			.target = {.columns = unique ? pair : NULL, .n_columns = unique ? 2 : 0}};
		if (!record_lower_insert(a, c->route.conn->dialect, l->join, rows, n, &how, &stmt, &shape, err))
			return false;
		mapped_insert(c, l->join);
		if (!context_run(c, &stmt, NULL, &result, err))
			return false;
		*ret += result.affected;
	}
	return true;
}

static bool change_links(struct request *req, struct response *res, bool add, struct err *err)
{
	struct links *l = arena_alloc(&req->arena, sizeof(*l));
	const json_t *ids;
	int64_t affected = 0;
	if (!read_ids(req, !add, &ids, err) || !relation_open(&l->q, req, res, context_no_args, err))
		return false;
	struct context *c = l->q.r.c;
	bool ok = record_write_unit(c, true, err) && links_prepare(l, ids, err) &&
		  (add ? add_links(l, &affected, err) : remove_links(l, &affected, err)) &&
		  affected_within(affected, affected_bound(res), err);
	if (!context_close(c, ok, err))
		return false;
	struct strbuf *b = response_json(res, 200);
	strbuf_putc(b, '{');
	out_int(b, "rows_affected", affected);
	strbuf_putc(b, '}');
	return true;
}

bool handle_relation_add(struct request *req, struct response *res, struct err *err)
{
	return change_links(req, res, true, err);
}

bool handle_relation_remove(struct request *req, struct response *res, struct err *err)
{
	return change_links(req, res, false, err);
}
