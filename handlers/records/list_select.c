/* Columns, relations, order: what URLs say of them. */
#include "handlers/records/list_select.h"

#include <string.h>

#include "service/base/limits.h"
#include "service/base/num.h"

#include "service/base/banned.h"

bool url_number(const struct url_filter *f, struct str text, bool *ret_has, int64_t *ret)
{
	if (!num_parse_int(text, ret) || *ret < 0)
		return url_malformed(f, "expected a whole number that is not negative");
	*ret_has = true;
	return true;
}

static size_t count_parts(struct str text)
{
	size_t n = 1;
	for (size_t i = 0; i < text.len; i++)
		n += text.p[i] == ',';
	return n;
}

/* ---- order ---- */

/* Takes a last ".desc" and its like off; false: there is none. */
static bool order_word(struct str *item, struct query_order *o)
{
	static const struct {
		const char *word;
		bool direction;
		int value;
	} words[] = {{".desc", true, 1},
		     {".asc", true, 0},
		     {".nullsfirst", false, NULLS_FIRST},
		     {".nullslast", false, NULLS_LAST}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_ends(*item, str_z(words[i].word)))
			continue;
		item->len -= strlen(words[i].word);
		if (words[i].direction)
			o->descending = words[i].value != 0;
		else
			o->nulls = (enum order_nulls)words[i].value;
		return true;
	}
	return false;
}

static bool order_entry(const struct url_filter *f, const struct query *q, struct str item, struct query_order *o)
{
	const struct query_expr *e = NULL;
	if (item.len == 0)
		return url_malformed(f, "expected column[.asc|.desc][.nullsfirst|.nullslast], separated by commas");
	if (model_column(f->model, item) == NULL) {
		while (order_word(&item, o))
			;
	}
	for (size_t i = 0; i < q->n_select && e == NULL; i++) {
		if (q->select[i].expr != NULL && str_eq(q->select[i].name, item))
			e = q->select[i].expr;
	}
	if (e == NULL && !url_reference(f, item, &e))
		return false;
	o->column = e->kind == EXPR_COLUMN && e->n_hops == 0 && e->n_path == 0 ? e->column : NULL;
	o->expr = o->column == NULL ? e : NULL;
	if ((codec_traits(&e->type) & CODEC_ORDERED) == 0)
		return url_malformed(f, "the values of this column have no order; ->> makes text of a document's");
	return true;
}

bool url_order(const struct url_filter *f, struct query *q, struct str text)
{
	struct query_order *order = arena_array(f->arena, count_parts(text), sizeof(*order));
	size_t n = 0;
	struct str item;
	if (text.p == NULL)
		text = STR("");
	while (url_part(&text, &item)) {
		if (n == LIMIT_COLUMNS)
			return url_malformed(f, "too many columns to order by");
		if (!order_entry(f, q, item, &order[n++]))
			return false;
	}
	q->order = order;
	q->n_order = n;
	return true;
}

/* ---- relations ---- */

static struct query *add_include(const struct url_filter *f, struct query *q, const struct relation *r, struct str name)
{
	struct query_include *includes = arena_array(f->arena, q->n_includes + 1, sizeof(*includes));
	for (size_t i = 0; i < q->n_includes; i++) {
		includes[i] = q->includes[i];
		if (str_eq(includes[i].name, name))
			return NULL;
	}
	includes[q->n_includes] = (struct query_include){
		.relation = r, .query = query_new(f->arena, q->schema, q->dialect, r->target), .name = name};
	q->includes = includes;
	return includes[q->n_includes++].query;
}

static bool unknown_relation(const struct url_filter *f, struct str name)
{
	return url_malformed(f, arena_printf(f->arena, "model \"%.*s\" has no relation \"%.*s\"",
					     STR_FMT(f->model->name), (int)(name.len < 100 ? name.len : 100), name.p)
					.p);
}

/* limit:3, offset:1, order:label.desc */
static bool include_option(const struct url_filter *f, struct query *q, struct str option, bool *ret_known)
{
	const char *colon = memchr(option.p, ':', option.len);
	struct str key = str_n(option.p, colon != NULL ? (size_t)(colon - option.p) : 0);
	struct str value = colon != NULL ? str_n(colon + 1, option.len - key.len - 1) : STR_NONE;
	*ret_known = true;
	if (str_eq_z(key, "limit"))
		return url_number(f, value, &q->has_limit, &q->limit);
	if (str_eq_z(key, "offset"))
		return url_number(f, value, &q->has_offset, &q->offset);
	if (str_eq_z(key, "order"))
		return url_order(f, q, value);
	*ret_known = false;
	return true;
}

/* Recurses as deep as relations are nested, which is bounded. */
static bool include_at(const struct url_filter *f, struct query *q, struct str text, unsigned depth)
{
	struct str part, name, inner;
	if (depth == LIMIT_INCLUDE_DEPTH)
		return url_malformed(f, "the relations are nested too deep");
	while (url_part(&text, &part)) {
		struct url_filter there = *f;
		bool known = false;
		if (depth > 0 && part.len > 0 && !include_option(f, q, part, &known))
			return false;
		if (known)
			continue;
		if (!url_call(part, &name, &inner)) {
			name = part;
			inner = STR_NONE;
		}
		const struct relation *r = model_relation(q->model, name);
		if (r == NULL)
			return unknown_relation(f, name);
		struct query *child = add_include(f, q, r, r->name);
		there.model = r->target;
		if (child == NULL)
			return url_malformed(f, "the relation is included twice");
		if (inner.p != NULL && inner.len > 0 && !include_at(&there, child, inner, depth + 1))
			return false;
	}
	return true;
}

bool url_include(const struct url_filter *f, struct query *q, struct str text)
{
	return include_at(f, q, text.p != NULL ? text : STR(""), 0);
}

/* ---- columns ---- */

struct selection {
	struct query_item *items;
	size_t n;
};

static bool select_at(const struct url_filter *f, struct query *q, struct str text, unsigned depth);

/* author(name): a relation with columns of its own; comments(count): how many. */
static bool select_relation(const struct url_filter *f, struct query *q, struct selection *s, struct str name,
			    struct str alias, struct str inner, unsigned depth)
{
	const struct relation *r = model_relation(q->model, name);
	struct url_filter there = *f;
	if (r == NULL)
		return unknown_relation(f, name);
	if (str_eq_z(inner, "count") && model_column(r->target, inner) == NULL) {
		s->items[s->n++] = (struct query_item){.expr = query_count_of(f->arena, r),
						       .name = alias.p != NULL ? alias : name};
		return true;
	}
	struct query *child = add_include(f, q, r, alias.p != NULL ? alias : r->name);
	if (child == NULL)
		return url_malformed(f, "the relation is named twice");
	there.model = r->target;
	return select_at(&there, child, inner, depth + 1);
}

/* [alias:]column, [alias:]relation(columns), * */
static bool select_part(const struct url_filter *f, struct query *q, struct selection *s, struct str part,
			unsigned depth)
{
	const struct model *m = q->model;
	const char *colon = memchr(part.p, ':', part.len);
	struct str alias = STR_NONE, name, inner;
	const struct query_expr *e;
	if (str_eq_z(part, "*") && model_column(m, part) == NULL) {
		for (size_t i = 0; i < m->n_columns; i++)
			s->items[s->n++] = (struct query_item){.column = &m->columns[i], .name = m->columns[i].name};
		return true;
	}
	if (colon != NULL && model_column(m, part) == NULL && (size_t)(colon - part.p) > 0 &&
	    (memchr(part.p, '(', part.len) == NULL || (const char *)memchr(part.p, '(', part.len) > colon)) {
		alias = str_n(part.p, (size_t)(colon - part.p));
		part = str_n(colon + 1, part.len - alias.len - 1);
		if (alias.len > LIMIT_NAME_BYTES)
			return url_malformed(f, "a name has at most 63 bytes");
	}
	if (model_column(m, part) == NULL && url_call(part, &name, &inner))
		return select_relation(f, q, s, name, alias, inner, depth);
	return url_reference(f, part, &e) && (query_item_of(f->arena, e, alias, &s->items[s->n++]) ||
					      url_malformed(f, "what is computed needs a name: name:column"));
}

/* Recurses as deep as relations are nested, which is bounded. */
static bool select_at(const struct url_filter *f, struct query *q, struct str text, unsigned depth)
{
	struct selection s = {.items =
				      arena_array(f->arena, count_parts(text) + q->model->n_columns, sizeof(*s.items))};
	struct str part;
	size_t twice;
	bool all = false;
	if (depth == LIMIT_INCLUDE_DEPTH)
		return url_malformed(f, "the relations are nested too deep");
	if (count_parts(text) > LIMIT_COLUMNS)
		return url_malformed(f, "too many columns");
	while (url_part(&text, &part)) {
		if (part.len == 0)
			return url_malformed(f, "expected column names, separated by commas");
		if (all && str_eq_z(part, "*"))
			return url_malformed(f, "a column is named twice");
		all = all || str_eq_z(part, "*");
		if (!select_part(f, q, &s, part, depth))
			return false;
	}
	if (!query_items_distinct(s.items, s.n, &twice))
		return url_malformed(f, "a column is named twice");
	if (s.n == 0) /* relations only: the record is its key */
		for (size_t i = 0; i < q->model->n_pk; i++)
			s.items[s.n++] = (struct query_item){.column = q->model->pk[i], .name = q->model->pk[i]->name};
	q->select = s.items;
	q->n_select = s.n;
	url_read_links(f->arena, q);
	return true;
}

bool url_select(const struct url_filter *f, struct query *q, struct str text)
{
	return select_at(f, q, text.p != NULL ? text : STR(""), 0);
}

static bool is_read(const struct query *q, const struct column *c)
{
	for (size_t i = 0; i < q->n_select; i++) {
		if (q->select[i].column == c)
			return true;
	}
	for (size_t i = 0; i < q->n_extra; i++) {
		if (q->extra[i].column == c)
			return true;
	}
	return false;
}

void url_read_links(struct arena *a, struct query *q)
{
	size_t room = q->n_extra + 1;
	for (size_t i = 0; i < q->n_includes; i++)
		room += relation_n_pairs(q->includes[i].relation);
	struct query_item *extra = arena_array(a, room, sizeof(*extra));
	for (size_t i = 0; i < q->n_extra; i++)
		extra[i] = q->extra[i];
	q->extra = extra;
	for (size_t i = 0; q->n_select > 0 && i < q->n_includes; i++) {
		const struct relation *r = q->includes[i].relation;
		for (size_t k = 0; k < relation_n_pairs(r); k++) {
			struct str key = r->kind == REL_MANY_TO_MANY ? r->source_key : relation_here(r, k);
			const struct column *c = model_column(q->model, key);
			if (c == NULL || is_read(q, c))
				continue;
			extra[q->n_extra] =
				(struct query_item){.column = c, .name = arena_printf(a, "ferro_link%zu", q->n_extra)};
			q->n_extra++;
		}
	}
}
