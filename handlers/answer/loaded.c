/* Eager loading: parents first, then each relation's rows by the parents' link values, then the same below them. */
#include "handlers/answer/loaded.h"

#include "handlers/answer/values.h"
#include "handlers/unit/mapped.h"
#include "store/codec/codec_int64.h"

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
	struct map links;          /* text of the link value -> struct link */
	const struct column *here; /* the parent's side of the link */
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
	l->rows[l->n_rows++] = l->shape.full ? mapped_row(&l->read, a, row) : row;
	return true;
}

static bool read_rows(struct loaded *l, struct err *err)
{
	struct stmt stmt;
	struct row_sink sink = {.row = keep_row, .arg = l};
	if (!query_lower_select(&l->c->req->arena, l->q, &stmt, &l->shape, err))
		return false;
	mapped_begin(l->c, l->q->model, l->q->lock, &l->read);
	return context_run(l->c, &stmt, &sink, NULL, err);
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

/* One link per distinct value of the parents; their parameters for each->link. */
static bool collect_links(struct loaded *l, struct loaded_relation *r, struct query_each *each, struct err *err)
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
		if (!value_rebind(a, l->q->dialect, each->link, v, &k->value, err))
			return false;
		(void)map_put(&r->links, key, k);
		values[n++] = k->value;
	}
	each->values = values;
	each->n_values = n;
	return true;
}

/* Reads the child's rows for the link values, in as few statements as parameters allow. */
static bool read_children(struct loaded_relation *r, struct context *c, struct query_each *each, struct err *err)
{
	const struct query *q = r->inc->query;
	struct arena *a = &c->req->arena;
	struct loaded *child = &r->child;
	const struct value *values = each->values;
	size_t n = each->n_values;
	child->c = c;
	child->q = q;
	child->n_visible = query_n_visible(q);
	for (size_t from = 0; from < n; from += LINKS_MAX) {
		struct stmt stmt;
		struct row_sink sink = {.row = keep_row, .arg = child};
		each->values = values + from;
		each->n_values = n - from < LINKS_MAX ? n - from : LINKS_MAX;
		if (!query_lower_each(a, q, each, &stmt, &child->shape, err))
			return false;
		mapped_begin(c, q->model, q->lock, &child->read);
		if (!context_run(c, &stmt, &sink, NULL, err))
			return false;
	}
	for (size_t i = 0; i < child->n_rows; i++) {
		struct link *k = map_get(&r->links, value_text_key(a, child->raw[i][child->shape.n - 1]));
		if (k != NULL)
			link_add(a, k, i);
	}
	return true;
}

/* By a foreign key, here or there. */
static bool load_by_key(struct loaded *l, struct loaded_relation *r, struct err *err)
{
	const struct relation *rel = r->inc->relation;
	struct query_each each = {.link = model_column(rel->target, rel->local ? rel->to_column : rel->column)};
	r->here = model_column(l->q->model, rel->local ? rel->column : rel->to_column);
	return collect_links(l, r, &each, err) && read_children(r, l->c, &each, err);
}

/* Through a join table. */
static bool load_through(struct loaded *l, struct loaded_relation *r, struct err *err)
{
	const struct relation *rel = r->inc->relation;
	const struct model *join = schema_model_by_table(l->c->schema, rel->through);
	const struct query_m2m m2m = {.join_table = rel->through,
				      .source_col = rel->source_column,
				      .target_col = rel->target_column,
				      .target_key = rel->target_key};
	if (join == NULL)
		return err_set(err, ERR_INVALID_QUERY, "the join table of relation \"%.*s\" is not registered",
			       STR_FMT(rel->name));
	struct query_each each = {.link = model_column(join, rel->source_column), .join = &m2m};
	r->here = model_column(l->q->model, rel->source_key);
	return collect_links(l, r, &each, err) && read_children(r, l->c, &each, err);
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
	strbuf_putc(b, '[');
	for (size_t i = 0; k != NULL && i < k->n_rows; i++) {
		if (i > 0)
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
		strbuf_json_string(b, r->inc->name);
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
		codec_write_decoded(b, &l->shape.decode[k], l->rows[i][k], fmt);
	}
	loaded_write_relations(b, l, i, fmt);
	strbuf_putc(b, '}');
}
