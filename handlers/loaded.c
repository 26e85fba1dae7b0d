/* Eager loading: parents first, then each relation's rows by the parents' link values, then the same below them. */
#include "handlers/loaded.h"

#include "handlers/values.h"

#include "service/base/banned.h"

#define LINKS_MAX 10000 /* link values of one statement: below every database's parameter limit */

/* Rows of the child that belong to one link value, in the child's order. */
struct link {
	struct value value; /* as a parameter */
	size_t *rows;
	size_t n_rows, size;
};

struct loaded_relation {
	const struct query_include *inc;
	struct loaded child;
	struct map links;           /* text of the link value -> struct link */
	const struct column *here;  /* the parent's side of the link */
};

/* ---- rows into memory ---- */

static bool keep_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct loaded *l = arg;
	struct arena *a = &l->c->req->arena;
	(void)ret_stop;
	(void)err;
	if (l->n_rows == l->size) {
		size_t size = l->size > 0 ? l->size * 2 : 64;
		const struct value **rows = arena_array(a, size, sizeof(const struct value *));
		const struct value **raw = arena_array(a, size, sizeof(const struct value *));
		for (size_t i = 0; i < l->n_rows; i++) {
			rows[i] = l->rows[i];
			raw[i] = l->raw[i];
		}
		l->rows = rows;
		l->raw = raw;
		l->size = size;
	}
	struct value *row = arena_array(a, n + 1, sizeof(*row));
	for (size_t i = 0; i < n && i < l->shape.n; i++)
		row[i] = value_dup(a, codec_decode(a, l->q->dialect, &l->shape.decode[i], values[i]));
	l->raw[l->n_rows] = row;
	l->rows[l->n_rows++] = l->shape.full ? context_mapped(l->c, l->q->model, row) : row;
	return true;
}

static bool read_rows(struct loaded *l, struct err *err)
{
	struct stmt stmt;
	struct row_sink sink = {.row = keep_row, .arg = l};
	return query_lower_select(&l->c->req->arena, l->q, &stmt, &l->shape, err) &&
	       context_run(l->c, &stmt, &sink, NULL, err);
}

bool loaded_read(struct context *c, const struct query *q, size_t n_visible, struct loaded *ret, struct err *err)
{
	struct query *plain = arena_alloc(&c->req->arena, sizeof(*plain));
	memset(ret, 0, sizeof(*ret));
	*plain = *q;
	ret->c = c;
	ret->q = plain;
	ret->n_visible = n_visible;
	return read_rows(ret, err) && loaded_includes(ret, err);
}

/* ---- links ---- */

static size_t shape_index(const struct result_shape *s, const struct column *c)
{
	size_t i = 0;
	while (i < s->n && s->columns[i] != c)
		i++;
	return i;
}

static void link_add(struct arena *a, struct link *k, size_t row)
{
	if (k->n_rows == k->size) {
		size_t size = k->size > 0 ? k->size * 2 : 4;
		size_t *rows = arena_array(a, size, sizeof(*rows));
		for (size_t i = 0; i < k->n_rows; i++)
			rows[i] = k->rows[i];
		k->rows = rows;
		k->size = size;
	}
	k->rows[k->n_rows++] = row;
}

static void free_links(void *arg)
{
	map_done(arg);
}

/* One link per distinct value of the parents; their parameters for `there`. */
static bool collect_links(struct loaded *l, struct loaded_relation *r, const struct column *there, struct value **ret,
			  size_t *ret_n, struct err *err)
{
	struct arena *a = &l->c->req->arena;
	size_t at = shape_index(&l->shape, r->here);
	struct value *values = arena_array(a, l->n_rows + 1, sizeof(*values));
	size_t n = 0;
	map_init(&r->links);
	arena_on_done(a, free_links, &r->links);
	for (size_t i = 0; i < l->n_rows && at < l->shape.n; i++) {
		struct value v = l->rows[i][at];
		if (v.kind == VALUE_NULL)
			continue;
		struct str key = value_text_key(a, v);
		if (map_get(&r->links, key) != NULL)
			continue;
		struct link *k = arena_alloc(a, sizeof(*k));
		if (!value_rebind(a, l->q->dialect, there, v, &k->value, err))
			return false;
		(void)map_put(&r->links, key, k);
		values[n++] = k->value;
	}
	*ret = values;
	*ret_n = n;
	return true;
}

/* The child's query restricted to link values; its own limit is per parent, so it is applied when rows are handed out. */
static struct query *child_query(struct arena *a, const struct query *q, const struct column *link, const struct value *values,
				 size_t n)
{
	struct query *child = arena_alloc(a, sizeof(*child));
	struct query_node *in = arena_alloc(a, sizeof(*in));
	const struct query_node **where = arena_array(a, q->n_where + 1, sizeof(const struct query_node *));
	*child = *q;
	*in = (struct query_node){.kind = NODE_LEAF, .op = OP_IN, .column = link, .values = values, .n_values = n};
	for (size_t i = 0; i < q->n_where; i++)
		where[i] = q->where[i];
	where[child->n_where++] = in;
	child->where = where;
	child->has_limit = child->has_offset = false;
	if (child->n_select > 0 && child->n_select < q->model->n_columns) {
		const struct column **list = arena_array(a, child->n_select + 1, sizeof(const struct column *));
		bool there = false;
		for (size_t i = 0; i < child->n_select; i++) {
			list[i] = q->select[i];
			there = there || list[i] == link;
		}
		if (!there)
			list[child->n_select++] = link;
		child->select = list;
	}
	return child;
}

/* Reads the child's rows for the link values, in as few statements as parameters allow. */
static bool read_children(struct loaded_relation *r, struct context *c, const struct column *link, const struct value *values,
			  size_t n, struct err *err)
{
	const struct query *q = r->inc->query;
	struct loaded *child = &r->child;
	child->c = c;
	child->q = q;
	child->n_visible = q->n_select > 0 ? q->n_select : SIZE_MAX;
	for (size_t from = 0; from < n; from += LINKS_MAX) {
		size_t count = n - from < LINKS_MAX ? n - from : LINKS_MAX;
		child->q = child_query(&c->req->arena, q, link, values + from, count);
		if (!read_rows(child, err))
			return false;
	}
	return true;
}

/* ---- foreign keys ---- */

static bool load_by_key(struct loaded *l, struct loaded_relation *r, struct err *err)
{
	const struct relation *rel = r->inc->relation;
	struct arena *a = &l->c->req->arena;
	const struct column *there = model_column(rel->target, rel->local ? rel->to_column : rel->column);
	struct value *values;
	size_t n;
	r->here = model_column(l->q->model, rel->local ? rel->column : rel->to_column);
	if (!collect_links(l, r, there, &values, &n, err) || !read_children(r, l->c, there, values, n, err))
		return false;
	size_t at = shape_index(&r->child.shape, there);
	for (size_t i = 0; i < r->child.n_rows && at < r->child.shape.n; i++) {
		struct link *k = map_get(&r->links, value_text_key(a, r->child.raw[i][at]));
		if (k != NULL)
			link_add(a, k, i);
	}
	return true;
}

/* ---- through a join table ---- */

struct pairs {
	struct loaded_relation *r;
	struct context *c;
	const struct result_shape *shape;
	const struct column *target;  /* the child's key */
	struct map by_target;         /* text of the child's key -> struct link whose rows are indices into `sources` */
	struct link **sources;        /* the parent's link of each pair */
	struct value *targets;        /* distinct, as parameters */
	size_t n_pairs, size, n_targets;
};

static bool keep_pair(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct pairs *p = arg;
	struct arena *a = &p->c->req->arena;
	const struct dialect *d = p->c->route.conn->dialect;
	(void)ret_stop;
	if (n < 2)
		return true;
	struct value source = codec_decode(a, d, &p->shape->decode[0], values[0]);
	struct value target = value_dup(a, codec_decode(a, d, &p->shape->decode[1], values[1]));
	struct link *from = map_get(&p->r->links, value_text_key(a, source));
	if (from == NULL || target.kind == VALUE_NULL)
		return true;
	if (p->n_pairs == p->size) {
		size_t size = p->size > 0 ? p->size * 2 : 64;
		struct link **sources = arena_array(a, size, sizeof(struct link *));
		struct value *targets = arena_array(a, size, sizeof(*targets));
		for (size_t i = 0; i < p->n_pairs; i++)
			sources[i] = p->sources[i];
		for (size_t i = 0; i < p->n_targets; i++)
			targets[i] = p->targets[i];
		p->sources = sources;
		p->targets = targets;
		p->size = size;
	}
	struct str key = value_text_key(a, target);
	struct link *to = map_get(&p->by_target, key);
	if (to == NULL) {
		to = arena_alloc(a, sizeof(*to));
		if (!value_rebind(a, d, p->target, target, &to->value, err))
			return false;
		(void)map_put(&p->by_target, key, to);
		p->targets[p->n_targets++] = to->value;
	}
	link_add(a, to, p->n_pairs);
	p->sources[p->n_pairs++] = from;
	return true;
}

/* The join table's pairs whose source is one of the values. */
static bool read_pairs(struct loaded *l, struct pairs *p, const struct model *join, const struct relation *rel,
		       const struct value *values, size_t n, struct err *err)
{
	struct arena *a = &l->c->req->arena;
	const struct column *source = model_column(join, rel->source_column);
	const struct column **select = arena_array(a, 2, sizeof(const struct column *));
	select[0] = source;
	select[1] = model_column(join, rel->target_column);
	struct query *base = query_new(a, l->c->schema, l->q->dialect, join);
	base->select = select;
	base->n_select = 2;
	for (size_t from = 0; from < n; from += LINKS_MAX) {
		size_t count = n - from < LINKS_MAX ? n - from : LINKS_MAX;
		struct stmt stmt;
		struct result_shape shape;
		struct row_sink sink = {.row = keep_pair, .arg = p};
		p->shape = &shape;
		struct query *q = child_query(a, base, source, values + from, count);
		if (!query_lower_select(a, q, &stmt, &shape, err) || !context_run(l->c, &stmt, &sink, NULL, err))
			return false;
	}
	return true;
}

static bool load_through(struct loaded *l, struct loaded_relation *r, struct err *err)
{
	const struct relation *rel = r->inc->relation;
	struct arena *a = &l->c->req->arena;
	const struct model *join = schema_model_by_table(l->c->schema, rel->through);
	struct pairs *p = arena_alloc(a, sizeof(*p));
	struct value *values;
	size_t n;
	if (join == NULL)
		return err_set(err, ERR_INVALID_QUERY, "the join table of relation \"%.*s\" is not registered", STR_FMT(rel->name));
	p->r = r;
	p->c = l->c;
	p->target = model_column(rel->target, rel->target_key);
	map_init(&p->by_target);
	arena_on_done(a, free_links, &p->by_target);
	r->here = model_column(l->q->model, rel->source_key);
	if (!collect_links(l, r, model_column(join, rel->source_column), &values, &n, err) ||
	    !read_pairs(l, p, join, rel, values, n, err) ||
	    !read_children(r, l->c, p->target, p->targets, p->n_targets, err))
		return false;
	size_t at = shape_index(&r->child.shape, p->target);
	for (size_t i = 0; i < r->child.n_rows && at < r->child.shape.n; i++) {
		const struct link *to = map_get(&p->by_target, value_text_key(a, r->child.raw[i][at]));
		for (size_t k = 0; to != NULL && k < to->n_rows; k++)
			link_add(a, p->sources[to->rows[k]], i);
	}
	return true;
}

bool loaded_includes(struct loaded *l, struct err *err)
{
	size_t n = l->q->n_includes;
	l->relations = arena_array(&l->c->req->arena, n + 1, sizeof(*l->relations));
	for (size_t i = 0; i < n && l->n_rows > 0; i++) {
		struct loaded_relation *r = &l->relations[i];
		r->inc = &l->q->includes[i];
		bool through = r->inc->relation->kind == REL_MANY_TO_MANY;
		if (!(through ? load_through(l, r, err) : load_by_key(l, r, err)) || !loaded_includes(&r->child, err))
			return false;
	}
	return true;
}

/* ---- writing ---- */

static void write_to_many(struct strbuf *b, const struct loaded_relation *r, const struct link *k,
			  const struct value_format *fmt)
{
	const struct query *q = r->inc->query;
	size_t from = q->has_offset ? (size_t)q->offset : 0;
	size_t n = k != NULL ? k->n_rows : 0;
	if (q->has_limit && (n < from || n - from > (size_t)q->limit))
		n = n < from ? n : from + (size_t)q->limit;
	strbuf_putc(b, '[');
	for (size_t i = from; i < n; i++) {
		if (i > from)
			strbuf_putc(b, ',');
		loaded_write(b, &r->child, k->rows[i], fmt);
	}
	strbuf_putc(b, ']');
}

void loaded_write_relations(struct strbuf *b, const struct loaded *l, size_t i, const struct value_format *fmt)
{
	struct arena scratch;
	arena_init(&scratch);
	for (size_t n = 0; n < l->q->n_includes; n++) {
		const struct loaded_relation *r = &l->relations[n];
		size_t at = shape_index(&l->shape, r->here);
		const struct link *k = NULL;
		if (at < l->shape.n && l->rows[i][at].kind != VALUE_NULL)
			k = map_get(&r->links, value_text_key(&scratch, l->rows[i][at]));
		strbuf_putc(b, ',');
		strbuf_json_string(b, r->inc->relation->name);
		strbuf_putc(b, ':');
		if (!r->inc->relation->to_one)
			write_to_many(b, r, k, fmt);
		else if (k != NULL && k->n_rows > 0)
			loaded_write(b, &r->child, k->rows[0], fmt);
		else
			strbuf_puts(b, "null");
	}
	arena_done(&scratch);
}

void loaded_write(struct strbuf *b, const struct loaded *l, size_t i, const struct value_format *fmt)
{
	strbuf_putc(b, '{');
	for (size_t k = 0; k < l->shape.n && k < l->n_visible; k++) {
		if (k > 0)
			strbuf_putc(b, ',');
		strbuf_json_string(b, l->shape.names[k]);
		strbuf_putc(b, ':');
		value_write_json(b, l->rows[i][k], fmt);
	}
	loaded_write_relations(b, l, i, fmt);
	strbuf_putc(b, '}');
}
