/* Keyset pages. A cursor is base64url of JSON: {"b": binding, "d": "n"|"p", "v": [order column values]}. */
#include "handlers/answer/page.h"

#include "handlers/answer/values.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define CURSOR_BYTES ((size_t)1024 * 1024) /* long texts may be part of the order */

/* Filter and order, whatever the page: two queries with the same digest see the same sequence of rows. */
static bool bind_page(struct page *p, struct err *err)
{
	struct query q = *p->base;
	struct stmt stmt;
	struct result_shape shape;
	struct value_format plain = {.tag_bytes = true};
	struct strbuf b;
	uint8_t digest[16];
	if (p->binding[0] != '\0')
		return true;
	q.has_limit = q.has_offset = false;
	q.cursor = STR_NONE;
	q.lock = QUERY_LOCK_NONE;
	q.n_includes = 0;
	q.n_select = 0;
	q.select = NULL;
	if (!query_lower_select(p->arena, &q, &stmt, &shape, err))
		return false;
	strbuf_init(&b, 0);
	strbuf_put(&b, q.model->name);
	strbuf_putc(&b, '\n');
	strbuf_put(&b, stmt.sql);
	for (size_t i = 0; i < stmt.n_params; i++) {
		strbuf_putc(&b, '\n');
		value_write_json(&b, stmt.params[i], &plain);
	}
	num_digest128(strbuf_str(&b), digest);
	strbuf_done(&b);
	num_hex(digest, 8, p->binding);
	return true;
}

static bool ordered_by(const struct query *q, const struct column *c)
{
	for (size_t i = 0; i < q->n_order; i++) {
		if (q->order[i].column == c)
			return true;
	}
	return false;
}

/* The key's columns close the order, so that no two rows are equal in it. */
static void break_ties(struct arena *a, struct query *q)
{
	struct query_order *order = arena_array(a, q->n_order + q->model->n_pk, sizeof(*order));
	size_t n = 0;
	for (size_t i = 0; i < q->n_order; i++)
		order[n++] = q->order[i];
	for (size_t i = 0; i < q->model->n_pk; i++) {
		if (!ordered_by(q, q->model->pk[i]))
			order[n++] = (struct query_order){.column = q->model->pk[i]};
	}
	q->order = order;
	q->n_order = n;
}

/* What the cursor needs is read, though not shown. */
static void read_order_columns(struct arena *a, struct query *q)
{
	if (q->n_select == 0)
		return;
	const struct column **list = arena_array(a, q->n_select + q->n_order, sizeof(const struct column *));
	size_t n = 0;
	for (size_t i = 0; i < q->n_select; i++)
		list[n++] = q->select[i];
	for (size_t i = 0; i < q->n_order; i++) {
		bool there = false;
		for (size_t k = 0; k < n && !there; k++)
			there = list[k] == q->order[i].column;
		if (!there)
			list[n++] = q->order[i].column;
	}
	q->select = list;
	q->n_select = n;
}

/* Where nulls stand when nobody says: PostgreSQL takes them for the largest values, SQLite for the smallest. */
static bool nulls_first(const struct query *q, const struct query_order *o)
{
	if (o->nulls != NULLS_DEFAULT)
		return o->nulls == NULLS_FIRST;
	return q->dialect->id == DIALECT_POSTGRES ? o->descending : !o->descending;
}

static struct query_node *node(struct arena *a, enum node_kind kind, const struct query_node *left,
			       const struct query_node *right)
{
	struct query_node *n = arena_alloc(a, sizeof(*n));
	*n = (struct query_node){.kind = kind, .left = left, .right = right};
	return n;
}

static struct query_node *leaf(struct arena *a, const struct column *c, enum query_op op, const struct value *v)
{
	struct query_node *n = arena_alloc(a, sizeof(*n));
	*n = (struct query_node){.kind = NODE_LEAF, .op = op, .column = c, .values = v, .n_values = v != NULL ? 1 : 0};
	return n;
}

/* "the column stands after v in its order"; NULL: nothing does. */
static const struct query_node *after(struct arena *a, const struct query *q, const struct query_order *o,
				      const struct value *v)
{
	bool first = nulls_first(q, o);
	if (v->kind == VALUE_NULL)
		return first ? leaf(a, o->column, OP_IS_NOT_NULL, NULL) : NULL;
	const struct query_node *n = leaf(a, o->column, o->descending ? OP_LT : OP_GT, v);
	if (!first && o->column->nullable)
		n = node(a, NODE_OR, n, leaf(a, o->column, OP_IS_NULL, NULL));
	return n;
}

/* (c1 after v1) or (c1 = v1 and c2 after v2) or ...; NULL: no row can follow. */
static const struct query_node *position(struct arena *a, const struct query *q, const struct value *v)
{
	const struct query_node *any = NULL;
	const struct query_node *equal = NULL;
	for (size_t i = 0; i < q->n_order; i++) {
		const struct query_node *term = after(a, q, &q->order[i], &v[i]);
		if (term != NULL && equal != NULL)
			term = node(a, NODE_AND, equal, term);
		if (term != NULL)
			any = any != NULL ? node(a, NODE_OR, any, term) : term;
		const struct query_node *same = query_leaf_equal(a, q->order[i].column, v[i]);
		equal = equal != NULL ? node(a, NODE_AND, equal, same) : same;
	}
	return any;
}

static void add_where(struct arena *a, struct query *q, const struct query_node *n)
{
	const struct query_node **where = arena_array(a, q->n_where + 1, sizeof(const struct query_node *));
	for (size_t i = 0; i < q->n_where; i++)
		where[i] = q->where[i];
	where[q->n_where++] = n;
	q->where = where;
}

static void turn_order(struct arena *a, struct query *q)
{
	struct query_order *order = arena_array(a, q->n_order, sizeof(*order));
	for (size_t i = 0; i < q->n_order; i++) {
		order[i] = q->order[i];
		if (order[i].nulls != NULLS_DEFAULT)
			order[i].nulls = order[i].nulls == NULLS_FIRST ? NULLS_LAST : NULLS_FIRST;
		order[i].descending = !order[i].descending;
	}
	q->order = order;
}

static bool bad_cursor(const char *pointer, struct arena *a, struct err *err)
{
	return err_set_at(err, ERR_INVALID_QUERY, json_pointer_key(a, pointer, STR("cursor")),
			  "this is no cursor of this query: filter and order must be those of the answer it came from");
}

/* base64url without padding -> bytes in the arena. */
static bool decode_base64url(struct arena *a, struct str in, struct str *ret)
{
	if (in.len == 0 || in.len > CURSOR_BYTES)
		return false;
	char *text = arena_alloc(a, in.len + 4);
	uint8_t *out = arena_alloc(a, in.len + 4);
	size_t n = in.len;
	for (size_t i = 0; i < n; i++)
		text[i] = in.p[i] == '-' ? '+' : (in.p[i] == '_' ? '/' : in.p[i]);
	while (n % 4 != 0)
		text[n++] = '=';
	size_t len;
	if (!num_base64_decode(str_n(text, n), out, &len))
		return false;
	*ret = str_n((const char *)out, len);
	return true;
}

/* The cursor's values as parameters for the order's columns. */
static bool read_cursor(struct page *p, struct value **ret, struct err *err)
{
	const struct query *q = p->base;
	struct str text;
	json_t *doc;
	struct err ignored;
	if (!decode_base64url(p->arena, q->cursor, &text) || !json_parse(p->arena, text, &doc, &ignored))
		return false;
	const json_t *binding = json_object_get(doc, "b");
	const json_t *direction = json_object_get(doc, "d");
	const json_t *values = json_object_get(doc, "v");
	if (!json_is_string(binding) || !json_is_string(direction) || json_array_size(values) != q->n_order ||
	    !bind_page(p, err) || !str_eq_z(json_str(binding), p->binding))
		return false;
	p->backward = str_eq_z(json_str(direction), "p");
	struct value *v = arena_array(p->arena, q->n_order, sizeof(*v));
	for (size_t i = 0; i < q->n_order; i++) {
		if (!codec_bind(p->arena, q->dialect, q->order[i].column, json_array_get(values, i), "", &v[i],
				&ignored))
			return false;
	}
	*ret = v;
	return true;
}

bool page_prepare(struct arena *a, struct query *q, const char *pointer, struct page *ret, struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	ret->arena = a;
	ret->base = ret->run = q;
	ret->n_visible = q->n_select > 0 ? q->n_select : SIZE_MAX;
	ret->limit = q->has_limit && q->limit < INT64_MAX ? q->limit : 0;
	bool grouped = q->n_aggregates > 0 || q->n_group_by > 0 || q->distinct;
	ret->continued = q->cursor.p != NULL;
	ret->active = !grouped && q->model->n_pk > 0 && (ret->limit > 0 || ret->continued);
	if (!ret->active)
		return true;
	break_ties(a, q);
	struct query *run = arena_alloc(a, sizeof(*run));
	*run = *q;
	run->cursor = STR_NONE;
	ret->run = run;
	if (ret->continued) {
		struct value *v;
		if (!read_cursor(ret, &v, err))
			return bad_cursor(pointer, a, err);
		if (ret->backward)
			turn_order(a, run);
		const struct query_node *where = position(a, run, v);
		if (where != NULL)
			add_where(a, run, where);
		else
			run->limit = 0;
		if (where == NULL)
			run->has_limit = true;
	}
	if (run->has_limit && run->limit > 0)
		run->limit++;
	read_order_columns(a, run);
	return true;
}

struct str page_cursor(struct page *p, const struct result_shape *shape, const struct value *row, bool backward)
{
	struct err ignored;
	struct strbuf b;
	struct value_format plain = {0};
	if (!bind_page(p, &ignored))
		return STR_NONE;
	strbuf_init(&b, CURSOR_BYTES);
	strbuf_printf(&b, "{\"b\":\"%s\",\"d\":\"%s\",\"v\":[", p->binding, backward ? "p" : "n");
	for (size_t i = 0; i < p->base->n_order; i++) {
		size_t at = 0;
		while (at < shape->n && shape->columns[at] != p->base->order[i].column)
			at++;
		if (i > 0)
			strbuf_putc(&b, ',');
		value_write_json(&b, at < shape->n ? row[at] : value_null(), &plain);
	}
	strbuf_puts(&b, "]}");
	struct str s = STR_NONE;
	if (!strbuf_failed(&b) && b.len / 3 * 4 + 4 <= CURSOR_BYTES) {
		char *text = arena_alloc(p->arena, b.len / 3 * 4 + 8);
		num_base64url((const uint8_t *)b.p, b.len, text);
		s = str_z(text);
	}
	strbuf_done(&b);
	return s;
}
