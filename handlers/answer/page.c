/* Keyset pages. A cursor is sealed JSON: {"b": binding, "d": "n"|"p", "v": [order column values]}. */
#include "handlers/answer/page.h"

#include <math.h>

#include "handlers/answer/cursor_seal.h"
#include "handlers/answer/values.h"
#include "service/base/limits.h"
#include "service/base/num.h"

#include "service/base/banned.h"

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
	q.keys = NULL;
	q.n_extra = 0;
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

/* Is it read anyway: in the answer, or a column of the whole record? */
static bool is_read(const struct query *q, const struct query_order *o)
{
	if (q->n_select == 0)
		return o->column != NULL;
	for (size_t i = 0; i < q->n_extra; i++) {
		if (q->extra[i].column == o->column && q->extra[i].expr == o->expr)
			return true;
	}
	for (size_t i = 0; i < q->n_select; i++) {
		if (o->column != NULL ? q->select[i].column == o->column : q->select[i].expr == o->expr)
			return true;
	}
	return false;
}

/* A value of SQLite's need not be of its column's type, and one answer may stand for several: a cursor has them as they
 * are stored, by their class. Only rowids are whole numbers in any case. */
static bool needs_stored(const struct query *q, const struct query_order *o)
{
	const struct column *c = o->column;
	return q->dialect->id == DIALECT_SQLITE &&
	       (c != NULL ? !(c->autoincrement && c->logical == LT_INTEGER) : o->expr != NULL);
}

static const struct query_expr *stored_form(struct arena *a, const struct query_order *o)
{
	if (o->column != NULL)
		return query_stored(a, o->column);
	struct query_expr *e = arena_alloc(a, sizeof(*e));
	*e = *o->expr;
	e->type.logical = LT_UNKNOWN;
	return e;
}

/* What the cursor needs is read, though not shown. */
static void read_order_columns(struct page *p, struct arena *a, struct query *q)
{
	struct query_item *extra = arena_array(a, q->n_extra + q->n_order + 1, sizeof(*extra));
	size_t *stored = arena_array(a, q->n_order + 1, sizeof(*stored));
	p->stored = stored;
	for (size_t i = 0; i < q->n_extra; i++)
		extra[i] = q->extra[i];
	q->extra = extra;
	for (size_t i = 0; i < q->n_order; i++) {
		const struct query_order *o = &q->order[i];
		const bool as_stored = needs_stored(q, o);
		stored[i] = as_stored ? q->n_extra : SIZE_MAX;
		if (!as_stored && is_read(q, o))
			continue;
		extra[q->n_extra] = (struct query_item){.column = as_stored ? NULL : o->column,
							.expr = as_stored ? stored_form(a, o) : o->expr,
							.name = arena_printf(a, "ferro_order%zu", q->n_extra)};
		q->n_extra++;
	}
}

/* Columns of a row before those that are not shown. */
static size_t n_before(const struct query *run)
{
	return run->n_select > 0 ? run->n_select : run->model->n_columns;
}

/* Where a row of the statement has the value of an entry of the order. */
static size_t order_index(const struct query *run, const struct result_shape *shape, const struct query_order *o)
{
	const size_t before = n_before(run);
	for (size_t i = 0; i < run->n_select; i++) {
		if (o->column == NULL && run->select[i].expr == o->expr)
			return i;
	}
	for (size_t i = 0; i < run->n_extra; i++) {
		if (run->extra[i].column == o->column && run->extra[i].expr == o->expr)
			return before + i;
	}
	size_t at = 0;
	while (at < shape->n && (o->column == NULL || shape->columns[at] != o->column))
		at++;
	return at;
}

static bool bad_cursor(const char *pointer, struct arena *a, struct err *err)
{
	return err_set_at(err, ERR_INVALID_QUERY, json_pointer_key(a, pointer, STR("cursor")),
			  "this is no cursor of this query: filter and order must be those of the answer it came from");
}

/* What JSON has no word for: texts that are no UTF-8 and infinite numbers. Blobs are tagged already. */
static void write_stored(struct strbuf *b, struct value v)
{
	static const struct value_format plain = {0};
	if (v.kind == VALUE_TEXT && !str_is_utf8(v.u.s)) {
		strbuf_puts(b, "{\"t\":\"");
		strbuf_base64(b, v.u.s);
		strbuf_puts(b, "\"}");
	} else if (v.kind == VALUE_DOUBLE && isinf(v.u.d)) {
		strbuf_puts(b, v.u.d > 0 ? "{\"r\":1}" : "{\"r\":-1}");
	} else {
		value_write_json(b, v, &plain);
	}
}

static bool read_stored(struct arena *a, const json_t *in, struct value *ret)
{
	const json_t *text = json_object_get(in, "t"), *infinite = json_object_get(in, "r");
	const json_t *word = json_object_get(in, "$text"); /* that of an infinite number, and yet a text */
	struct err ignored;
	size_t len;
	if (json_is_string(word)) {
		*ret = value_text(json_str(word));
		return true;
	}
	if (json_is_string(text)) {
		uint8_t *out = arena_alloc(a, json_string_length(text) / 4 * 3 + 1);
		if (!num_base64_decode(json_str(text), out, &len))
			return false;
		*ret = value_text(str_n((const char *)out, len));
		return true;
	}
	if (json_is_integer(infinite)) {
		*ret = value_double(json_integer_value(infinite) > 0 ? (double)INFINITY : -(double)INFINITY);
		return true;
	}
	return codec_bind_raw(a, in, "", ret, &ignored);
}

/* The cursor's values as parameters for the order's columns. */
static bool read_cursor(struct page *p, struct value **ret, struct err *err)
{
	const struct query *q = p->base;
	struct str text;
	json_t *doc;
	struct err ignored;
	if (q->cursor.len > LIMIT_CURSOR_BYTES || !cursor_unseal(p->arena, q->cursor, p->whose, &text) ||
	    !json_parse(p->arena, text, &doc, &ignored))
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
		const struct query_order *o = &q->order[i];
		const struct column *type = o->column != NULL ? o->column : &o->expr->type;
		const json_t *value = json_array_get(values, i);
		/* what the database holds is not always what the column takes: a row must not stop the walk */
		if (needs_stored(q, o) ? !read_stored(p->arena, value, &v[i])
				       : !query_bind_value(p->arena, q->dialect, type, value, &v[i], &ignored) &&
						 !codec_bind_raw(p->arena, value, "", &v[i], &ignored))
			return false;
	}
	*ret = v;
	return true;
}

bool page_prepare(struct arena *a, struct query *q, struct str whose, const char *pointer, struct page *ret,
		  struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	ret->arena = a;
	ret->whose = whose;
	ret->base = ret->run = q;
	ret->n_visible = query_n_visible(q);
	ret->limit = q->has_limit && q->limit < INT64_MAX ? q->limit : 0;
	bool grouped = q->n_aggregates > 0 || q->n_group_by > 0 || q->distinct;
	ret->continued = q->cursor.p != NULL || q->keys != NULL;
	ret->active = !grouped && q->model->n_pk > 0 && (ret->limit > 0 || ret->continued);
	if (!ret->active)
		return true;
	break_ties(a, q);
	struct query *run = arena_alloc(a, sizeof(*run));
	*run = *q;
	run->cursor = STR_NONE;
	ret->run = run;
	if (ret->continued) {
		struct value *v = NULL;
		if (q->keys == NULL && !read_cursor(ret, &v, err))
			return bad_cursor(pointer, a, err);
		if (q->keys == NULL) {
			run->keys = v;
			run->before = ret->backward;
		}
		ret->backward = run->before;
		query_keyset(a, run);
	}
	if (run->has_limit && run->limit > 0)
		run->limit++;
	read_order_columns(ret, a, run);
	return true;
}

struct str page_cursor(struct page *p, const struct result_shape *shape, const struct value *row, bool backward)
{
	struct err ignored;
	struct strbuf b;
	struct value_format plain = {0};
	if (!bind_page(p, &ignored))
		return STR_NONE;
	strbuf_init(&b, LIMIT_CURSOR_BYTES);
	strbuf_printf(&b, "{\"b\":\"%s\",\"d\":\"%s\",\"v\":[", p->binding, backward ? "p" : "n");
	for (size_t i = 0; i < p->base->n_order; i++) {
		const size_t at = p->stored[i] != SIZE_MAX ? n_before(p->run) + p->stored[i]
							   : order_index(p->run, shape, &p->base->order[i]);
		if (i > 0)
			strbuf_putc(&b, ',');
		if (p->stored[i] != SIZE_MAX)
			write_stored(&b, at < shape->n ? row[at] : value_null());
		else
			value_write_json(&b, at < shape->n ? row[at] : value_null(), &plain);
	}
	strbuf_puts(&b, "]}");
	struct str s = STR_NONE;
	if (!strbuf_failed(&b)) {
		s = cursor_seal(p->arena, strbuf_str(&b), p->whose);
		if (s.len > LIMIT_CURSOR_BYTES)
			s = STR_NONE;
	}
	strbuf_done(&b);
	return s;
}
