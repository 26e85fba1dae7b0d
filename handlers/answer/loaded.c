/* Eager loading: parents first, then each relation's rows by the parents' link values, then the same below them. */
#include "handlers/answer/loaded.h"

#include "handlers/answer/values.h"
#include "handlers/unit/mapped.h"
#include "service/base/limits.h"
#include "store/codec/codec_int64.h"
#include "store/codec/codec_respell.h"

#include "service/base/banned.h"

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
	const struct column **here; /* the parent's side of the link, n_here columns */
	size_t n_here;
};

/* ---- rows into memory ---- */

/* The arena has all that the request has read so far, in whatever step and at whatever level. */
static bool has_room(const struct context *c, const struct arena *a, struct err *err)
{
	const size_t most = c->app->held_bytes;
	return most == 0 || a->total <= most ||
	       err_set(err, ERR_PAYLOAD_TOO_LARGE,
		       "the rows that this request holds before it answers take more than %zu bytes (held_bytes): ask "
		       "for fewer at a time, by a limit of the page and of what it includes",
		       most);
}

static bool keep_row(void *arg, const struct value *values, size_t n, bool *ret_stop, struct err *err)
{
	struct loaded *l = arg;
	struct arena *a = &l->c->req->arena;
	(void)ret_stop;
	if (!has_room(l->c, a, err))
		return false;
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

/* Values as one text that no others have. */
static struct str values_text(struct arena *a, const struct value *values, size_t n)
{
	struct strbuf b;
	if (n == 1)
		return value_text_key(a, values[0]);
	strbuf_init(&b, 0);
	for (size_t i = 0; i < n; i++) {
		const struct str part = value_text_key(a, values[i]);
		strbuf_int(&b, (int64_t)part.len); /* the length says where a part ends, whatever it holds */
		strbuf_putc(&b, ':');
		strbuf_put(&b, part);
	}
	struct str text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return text;
}

/* The link's values among those of a row, as one text; STR_NONE: one of them is null, or was not read. */
static struct str link_text(struct arena *a, const struct loaded_relation *r, const struct result_shape *shape,
			    const struct value *row)
{
	struct value *values = arena_array(a, r->n_here, sizeof(*values));
	for (size_t i = 0; i < r->n_here; i++) {
		size_t at = shape_index(shape, r->here[i]);
		if (at >= shape->n || row[at].kind == VALUE_NULL)
			return STR_NONE;
		values[i] = row[at];
	}
	return values_text(a, values, r->n_here);
}

/* One link per distinct value of the parents; their parameters for each->link. */
static bool collect_links(struct loaded *l, struct loaded_relation *r, struct query_each *each, struct err *err)
{
	struct arena *a = &l->c->req->arena;
	struct value *values = arena_array(a, 2 * l->n_rows * r->n_here + 1, sizeof(*values));
	size_t n = 0;
	map_init(&r->links);
	arena_on_done(a, free_links, &r->links);
	for (size_t i = 0; i < l->n_rows; i++) {
		struct str key = link_text(a, r, &l->shape, l->rows[i]);
		if (key.p == NULL || map_get(&r->links, key) != NULL)
			continue;
		struct link *k = arena_alloc(a, sizeof(*k));
		(void)map_put(&r->links, key, k);
		for (size_t c = 0; c < r->n_here; c++) {
			const struct column *there = each->links != NULL ? each->links[c] : each->link;
			struct value v = l->rows[i][shape_index(&l->shape, r->here[c])];
			if (!value_rebind(a, l->q->dialect, there, v, &values[n * r->n_here + c], err))
				return false;
		}
		n++;
		if (r->n_here == 1 && codec_twin(a, l->q->dialect, each->link, values[n - 1], &values[n]))
			n++;
	}
	each->values = values;
	each->n_values = n;
	return true;
}

/* The same of a child's row, whose last columns are the link's. */
static struct str child_text(struct arena *a, const struct loaded_relation *r, const struct value *row)
{
	return values_text(a, row + r->child.shape.n - r->n_here, r->n_here);
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
	for (size_t from = 0; from < n; from += LIMIT_LINKS) {
		struct stmt stmt;
		struct row_sink sink = {.row = keep_row, .arg = child};
		each->values = values + from * r->n_here;
		each->n_values = n - from < LIMIT_LINKS ? n - from : LIMIT_LINKS;
		if (!query_lower_each(a, q, each, &stmt, &child->shape, err))
			return false;
		mapped_begin(c, q->model, q->lock, &child->read);
		if (!context_run(c, &stmt, &sink, NULL, err))
			return false;
	}
	for (size_t i = 0; i < child->n_rows; i++) {
		struct link *k = map_get(&r->links, child_text(a, r, child->raw[i]));
		if (k != NULL)
			link_add(a, k, i);
	}
	return true;
}

/* By a foreign key, here or there. */
static bool load_by_key(struct loaded *l, struct loaded_relation *r, struct err *err)
{
	const struct relation *rel = r->inc->relation;
	const size_t n = relation_n_pairs(rel);
	const struct column **there = arena_array(&l->c->req->arena, n, sizeof(const struct column *));
	r->here = arena_array(&l->c->req->arena, n, sizeof(const struct column *));
	r->n_here = n;
	for (size_t i = 0; i < n; i++) {
		there[i] = model_column(rel->target, relation_there(rel, i));
		r->here[i] = model_column(l->q->model, relation_here(rel, i));
	}
	struct query_each each = {.link = there[0], .links = there, .n_links = n};
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
	r->here = arena_alloc(&l->c->req->arena, sizeof(const struct column *));
	r->here[0] = model_column(l->q->model, rel->source_key);
	r->n_here = 1;
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
		const struct str key = link_text(&scratch, r, &l->shape, l->rows[i]);
		const struct link *k = key.p != NULL ? map_get(&r->links, key) : NULL;
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
