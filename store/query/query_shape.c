/* What a query answers: columns, aggregates, groups; and which parts of a query go together. */
#include <stdio.h>
#include <string.h>

#include "service/base/limits.h"
#include "service/base/map.h"
#include "store/query/query_expr.h"
#include "store/query/query_op.h"
#include "store/query/query_ref.h"

#include "service/base/banned.h"

static const struct {
	const char *word;
	unsigned trait; /* what the column must be good for; 0: any column */
	const char *why;
} functions[] = {
	[AGG_COUNT] = {"count", 0, ""},
	[AGG_SUM] = {"sum", CODEC_ARITHMETIC, "numbers"},
	[AGG_AVG] = {"avg", CODEC_ARITHMETIC, "numbers"},
	[AGG_MIN] = {"min", CODEC_EXTREMES, "numbers, text or times"},
	[AGG_MAX] = {"max", CODEC_EXTREMES, "numbers, text or times"},
};

static bool check_name(struct query_parse *p, struct str name, const char *pointer)
{
	return (name.len != 0 && name.len <= LIMIT_NAME_BYTES && memchr(name.p, '\0', name.len) == NULL) ||
	       err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("as")),
			  "\"as\" must be a name of 1 to %d bytes", LIMIT_NAME_BYTES);
}

/* What an aggregate is of: a column, an expression; of a count nothing. */
static bool aggregate_argument(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
			       struct query_aggregate *ret)
{
	const struct expr_scope scope = {.p = p, .model = m};
	const json_t *column = json_object_get(obj, "column"), *expr = json_object_get(obj, "expr");
	const char *at = json_pointer_key(p->arena, pointer, expr != NULL ? STR("expr") : STR("column"));
	const struct column *type;
	const size_t fn = (size_t)ret->fn;

	if (fn == AGG_COUNT && expr == NULL && (column == NULL || json_is_null(column)))
		return true;
	if (expr != NULL && !query_expr_alone(p, obj, pointer))
		return false;
	if (expr != NULL ? !query_parse_expr(&scope, expr, NULL, at, &ret->expr)
			 : !query_ref(p, m, obj, "column", pointer, &ret->expr))
		return false;
	ret->column = query_plain(ret->expr);
	if (ret->column != NULL)
		ret->expr = NULL;
	type = query_aggregate_argument(ret);
	return functions[fn].trait == 0 || (codec_traits(type) & functions[fn].trait) != 0 ||
	       err_set_at(p->err, ERR_INVALID_QUERY, at, "%s needs a column of %s; \"%.*s\" is of type %s",
			  functions[fn].word, functions[fn].why,
			  STR_FMT(ret->column != NULL ? type->name : STR("expr")), logical_type_name(type->logical));
}

bool query_parse_aggregate(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
			   struct query_aggregate *ret)
{
	struct str word;
	size_t fn = 0;

	if (!query_member_str(p, obj, "fn", pointer, true, &word))
		return false;
	while (fn < ARRAY_LEN(functions) && !str_ieq_z(word, functions[fn].word))
		fn++;
	if (fn == ARRAY_LEN(functions))
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("fn")),
				  "\"fn\" must be count, sum, avg, min or max");
	ret->fn = (enum aggregate_fn)fn;
	return aggregate_argument(p, m, obj, pointer, ret);
}

static bool parse_aggregate(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
			    struct query_aggregate *ret)
{
	static const char *const members[] = {"fn", "column", "as", "expr", REF_MEMBERS, NULL};

	return query_known(p, obj, pointer, members) && query_member_str(p, obj, "as", pointer, true, &ret->alias) &&
	       check_name(p, ret->alias, pointer) && query_parse_aggregate(p, m, obj, pointer, ret);
}

static bool parse_aggregates(struct query_parse *p, struct query *q, const json_t *list, const char *pointer)
{
	size_t n = json_array_size(list);

	if (n > LIMIT_AGGREGATES)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "a query has at most %d aggregates",
				  LIMIT_AGGREGATES);
	q->aggregates = arena_array(p->arena, n, sizeof(*q->aggregates));
	for (size_t i = 0; i < n; i++) {
		const json_t *obj;
		const char *at;

		if (!query_element(p, list, i, pointer, &obj, &at) ||
		    !parse_aggregate(p, q->model, obj, at, &q->aggregates[i]))
			return false;
		for (size_t k = 0; k < i; k++)
			if (str_eq(q->aggregates[k].alias, q->aggregates[i].alias))
				return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, at, STR("as")),
						  "two aggregates have this name");
		for (size_t k = 0; k < q->n_group_by; k++)
			if (str_eq(q->group_by[k].name, q->aggregates[i].alias))
				return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, at, STR("as")),
						  "a column of \"group_by\" has this name");
	}
	q->n_aggregates = n;
	return true;
}

/* ---- columns of an answer ---- */

/* A relation's name or a column's, for what has no name of its own. */
static struct str default_name(struct arena *a, const struct query_expr *e)
{
	struct strbuf b;
	struct str s;

	if (e->kind != EXPR_COLUMN)
		return STR_NONE;
	strbuf_init(&b, 0);
	for (size_t i = 0; i < e->n_hops; i++) {
		strbuf_put(&b, e->hops[i]->name);
		strbuf_putc(&b, '.');
	}
	strbuf_put(&b, e->column->name);
	for (size_t i = 0; i < e->n_path; i++) {
		strbuf_putc(&b, '.');
		if (e->path[i].key.p != NULL)
			strbuf_put(&b, e->path[i].key);
		else
			strbuf_int(&b, e->path[i].index);
	}
	s = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return s;
}

bool query_item_of(struct arena *a, const struct query_expr *e, struct str name, struct query_item *ret)
{
	const struct column *plain = query_plain(e);

	*ret = (struct query_item){.column = plain, .expr = plain != NULL ? NULL : e, .name = name};
	if (name.p == NULL)
		ret->name = plain != NULL ? plain->name : default_name(a, e);
	return ret->name.p != NULL;
}

static bool parse_item(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
		       struct query_item *ret)
{
	static const char *const members[] = {"column", "expr", "count", "where", "as", REF_MEMBERS, NULL};
	const struct expr_scope scope = {.p = p, .model = m};
	const json_t *expr = json_object_get(obj, "expr"), *count = json_object_get(obj, "count");
	const json_t *column = json_object_get(obj, "column");
	const struct query_expr *e;
	struct str name = STR_NONE;
	bool ok;

	if (!query_known(p, obj, pointer, members) || !query_member_str(p, obj, "as", pointer, false, &name) ||
	    (name.p != NULL && !check_name(p, name, pointer)))
		return false;
	if ((expr != NULL) + (count != NULL) + (column != NULL) != 1 ||
	    (count == NULL && json_object_get(obj, "where") != NULL))
		return err_set_at(
			p->err, ERR_INVALID_QUERY, pointer,
			"one of \"column\", \"expr\" and \"count\" (which \"where\" goes with) is needed here");
	if ((expr != NULL || count != NULL) && !query_expr_alone(p, obj, pointer))
		return false;
	if (expr != NULL)
		ok = query_parse_expr(&scope, expr, NULL, json_pointer_key(p->arena, pointer, STR("expr")), &e);
	else
		ok = count != NULL ? query_count_expr(p, m, obj, pointer, &e)
				   : query_ref(p, m, obj, "column", pointer, &e);
	if (!ok)
		return false;
	return query_item_of(p->arena, e, name, ret) ||
	       err_set_at(p->err, ERR_INVALID_QUERY, pointer, "member \"as\" is missing: the name of what is computed");
}

/* Every column of the model. */
static void all_columns(const struct model *m, struct query_item *ret)
{
	for (size_t i = 0; i < m->n_columns; i++)
		ret[i] = (struct query_item){.column = &m->columns[i], .name = m->columns[i].name};
}

static bool parse_column_item(struct query_parse *p, const struct model *m, const json_t *v, const char *pointer,
			      struct query_item *ret)
{
	const struct column *c;

	if (json_is_object(v))
		return parse_item(p, m, v, pointer, ret);
	if (!json_is_string(v))
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "a column's name is needed here, not %s",
				  json_type_name(v));
	c = model_column(m, json_str(v));
	*ret = (struct query_item){.column = c, .name = json_str(v)};
	return c != NULL || query_unknown_column(p->err, pointer, m, json_str(v));
}

bool query_items_distinct(const struct query_item *items, size_t n, size_t *ret_at)
{
	struct map names;
	bool ok = true;

	map_init(&names);
	for (size_t i = 0; i < n && ok; i++) {
		ok = map_get(&names, items[i].name) == NULL;
		*ret_at = i;
		if (ok)
			(void)map_put(&names, items[i].name, (void *)(uintptr_t)&items[i]);
	}
	map_done(&names);
	return ok;
}

static bool parse_items(struct query_parse *p, const struct model *m, const json_t *list, const char *pointer,
			const struct query_item **ret, size_t *ret_n)
{
	const size_t n = json_array_size(list);
	struct query_item *items;
	size_t k = 0, twice;

	if (n > m->n_columns + LIMIT_COMPUTED)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "more columns than model \"%.*s\" has",
				  STR_FMT(m->name));
	items = arena_array(p->arena, n + m->n_columns, sizeof(*items));
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);

		if (i == 0 && json_is_string(v) && str_eq_z(json_str(v), "*") && model_column(m, json_str(v)) == NULL) {
			all_columns(m, items);
			k = m->n_columns;
		} else if (!parse_column_item(p, m, v, json_pointer_index(p->arena, pointer, i), &items[k++])) {
			return false;
		}
		if (!query_items_distinct(items, k, &twice))
			return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_index(p->arena, pointer, i),
					  "column \"%.*s\" is named twice", STR_FMT(items[twice].name));
	}
	*ret = items;
	*ret_n = k;
	return true;
}

bool query_parse_shape(struct query_parse *p, struct query *q, const json_t *body, const char *pointer)
{
	const json_t *select, *group_by, *aggregates, *having;
	const char *select_pointer = json_pointer_key(p->arena, pointer, STR("select"));

	if (!query_member_array(p, body, "select", pointer, &select) ||
	    !query_member_array(p, body, "group_by", pointer, &group_by) ||
	    !query_member_array(p, body, "aggregates", pointer, &aggregates) ||
	    !query_member_array(p, body, "having", pointer, &having) ||
	    !query_member_bool(p, body, "distinct", pointer, &q->distinct))
		return false;
	if (select != NULL && json_array_size(select) == 0)
		return err_set_at(p->err, ERR_INVALID_QUERY, select_pointer, "\"select\" names no column");
	return parse_items(p, q->model, select, select_pointer, &q->select, &q->n_select) &&
	       parse_items(p, q->model, group_by, json_pointer_key(p->arena, pointer, STR("group_by")), &q->group_by,
			   &q->n_group_by) &&
	       parse_aggregates(p, q, aggregates, json_pointer_key(p->arena, pointer, STR("aggregates"))) &&
	       query_parse_having(p, q, having, json_pointer_key(p->arena, pointer, STR("having")));
}

size_t query_n_visible(const struct query *q)
{
	if (q->n_select != 0)
		return q->n_select + q->n_aggregates;
	return q->n_aggregates + q->n_group_by != 0 ? q->n_aggregates + q->n_group_by : q->model->n_columns;
}

/* ---- what goes together ---- */

struct check {
	const struct query *q;
	const char *pointer;
	struct err *err;
};

static bool refuse(const struct check *c, const char *member, const char *why)
{
	char pointer[sizeof(c->err->pointer)];
	int n = snprintf(pointer, sizeof(pointer), "%s/%s", c->pointer, member);

	return err_set_at(c->err, ERR_INVALID_QUERY, n > 0 && (size_t)n < sizeof(pointer) ? pointer : c->pointer,
			  "\"%s\" %s", member, why);
}

static const char no_equality[] =
	"does not work on columns of JSON or of a type that has no equality: name the columns in \"select\"";

/* What cannot be compared by itself (PostgreSQL's json, points) is neither grouped nor made distinct. */
static bool comparable_type(const struct column *c)
{
	return c->logical != LT_JSON && (column_compared_as(c).p == NULL || c->enum_values != NULL);
}

static bool comparable(const struct query_item *i)
{
	return comparable_type(i->column != NULL ? i->column : &i->expr->type);
}

/* Is it one of the groups' columns? A computed one must be that very one. */
static bool grouped(const struct query *q, const struct column *c, const struct query_expr *e)
{
	for (size_t i = 0; i < q->n_group_by; i++)
		if (c != NULL ? q->group_by[i].column == c : q->group_by[i].expr == e)
			return true;
	return false;
}

static bool selected(const struct query *q, const struct column *c, const struct query_expr *e)
{
	for (size_t i = 0; i < q->n_select; i++)
		if (c != NULL ? q->select[i].column == c : q->select[i].expr == e)
			return true;
	return false;
}

static bool check_groups(const struct check *c)
{
	const struct query *q = c->q;

	if (q->distinct)
		return refuse(c, "distinct", "does not go with aggregates and groups");
	if (q->lock != QUERY_LOCK_NONE)
		return refuse(c, "lock", "does not go with aggregates and groups");
	if (q->n_includes != 0)
		return refuse(c, "include", "does not go with aggregates and groups");
	if (q->cursor.p != NULL || q->keys != NULL)
		return refuse(c, q->cursor.p != NULL ? "cursor" : "after", "does not go with aggregates and groups");
	if (q->n_having != 0 && q->n_aggregates == 0)
		return refuse(c, "having", "needs aggregates");
	for (size_t i = 0; i < q->n_select; i++)
		if (!grouped(q, q->select[i].column, q->select[i].expr))
			return refuse(c, "select", "may only name columns of \"group_by\" here");
	for (size_t i = 0; i < q->n_group_by; i++)
		if (!comparable(&q->group_by[i]))
			return refuse(c, "group_by", "cannot name a column of JSON or of a type that has no equality");
	for (size_t i = 0; i < q->n_order; i++)
		if ((q->order[i].column != NULL || q->order[i].expr != NULL) &&
		    !grouped(q, q->order[i].column, q->order[i].expr))
			return refuse(c, "order_by", "may only name columns of \"group_by\" and aggregates here");
	return true;
}

static bool check_distinct(const struct check *c)
{
	const struct query *q = c->q;

	if (q->lock != QUERY_LOCK_NONE)
		return refuse(c, "lock", "does not go with \"distinct\"");
	if (q->cursor.p != NULL)
		return refuse(c, "cursor", "does not go with \"distinct\"");
	for (size_t i = 0; i < q->n_select; i++)
		if (!comparable(&q->select[i]))
			return refuse(c, "distinct", no_equality);
	for (size_t i = 0; q->n_select == 0 && i < q->model->n_columns; i++)
		if (!comparable_type(&q->model->columns[i]))
			return refuse(c, "distinct", no_equality);
	for (size_t i = 0; q->n_select != 0 && i < q->n_order; i++)
		if (!selected(q, q->order[i].column, q->order[i].expr))
			return refuse(c, "order_by", "may only name columns of \"select\" when they are distinct");
	return true;
}

static bool read_besides(const struct query *q, const struct column *c)
{
	for (size_t i = 0; i < q->n_extra; i++)
		if (q->extra[i].column == c)
			return true;
	return false;
}

/* Relations are followed by values of the rows: these must be among what is read. */
static bool check_includes(const struct check *c)
{
	const struct query *q = c->q;

	for (size_t i = 0; q->n_select != 0 && i < q->n_includes; i++) {
		const struct relation *r = q->includes[i].relation;

		for (size_t k = 0; k < relation_n_pairs(r); k++) {
			struct str key = r->kind == REL_MANY_TO_MANY ? r->source_key : relation_here(r, k);
			const struct column *column = model_column(q->model, key);

			if (column != NULL && !selected(q, column, NULL) && !read_besides(q, column))
				return err_set_at(c->err, ERR_INVALID_QUERY, c->pointer,
						  "\"select\" must name column \"%.*s\" to include relation \"%.*s\"",
						  STR_FMT(key), STR_FMT(r->name));
		}
	}
	return true;
}

bool query_check(const struct query *q, const char *pointer, struct err *err)
{
	const struct check c = {q, pointer, err};

	if (q->n_aggregates != 0 || q->n_group_by != 0)
		return check_groups(&c);
	if (q->n_having != 0)
		return refuse(&c, "having", "needs aggregates");
	if (q->distinct && !check_distinct(&c))
		return false;
	if (q->keys != NULL && (q->has_offset || q->cursor.p != NULL))
		return refuse(&c, q->before ? "before" : "after", "goes with neither \"offset\" nor \"cursor\"");
	if (q->cursor.p != NULL && q->has_offset)
		return refuse(&c, "offset", "does not go with \"cursor\"");
	if (q->cursor.p != NULL && q->model->n_pk == 0)
		return refuse(&c, "cursor", "needs a model with a primary key");
	return check_includes(&c);
}
