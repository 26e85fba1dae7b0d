/* What a query answers: columns, aggregates, groups; and which parts of a query go together. */
#include <stdio.h>
#include <string.h>

#include "service/base/limits.h"
#include "store/query/query_parse.h"

#include "service/base/banned.h"

#define AGGREGATES_MAX 100

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

static bool parse_aggregate(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
			    struct query_aggregate *ret)
{
	static const char *const members[] = {"fn", "column", "as", NULL};
	struct str word;
	size_t fn = 0;

	if (!query_known(p, obj, pointer, members) || !query_member_str(p, obj, "fn", pointer, true, &word) ||
	    !query_member_str(p, obj, "as", pointer, true, &ret->alias))
		return false;
	while (fn < ARRAY_LEN(functions) && !str_ieq_z(word, functions[fn].word))
		fn++;
	if (fn == ARRAY_LEN(functions))
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("fn")),
				  "\"fn\" must be count, sum, avg, min or max");
	ret->fn = (enum aggregate_fn)fn;
	if (ret->alias.len == 0 || ret->alias.len > LIMIT_NAME_BYTES ||
	    memchr(ret->alias.p, '\0', ret->alias.len) != NULL)
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("as")),
				  "\"as\" must be a name of 1 to %d bytes", LIMIT_NAME_BYTES);
	if (fn == AGG_COUNT && (json_object_get(obj, "column") == NULL || json_is_null(json_object_get(obj, "column"))))
		return true;
	if (!query_member_column(p, m, obj, "column", pointer, &ret->column))
		return false;
	if (functions[fn].trait != 0 && (codec_traits(ret->column) & functions[fn].trait) == 0)
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("column")),
				  "%s needs a column of %s; \"%.*s\" is of type %s", functions[fn].word,
				  functions[fn].why, STR_FMT(ret->column->name),
				  logical_type_name(ret->column->logical));
	return true;
}

static bool parse_aggregates(struct query_parse *p, struct query *q, const json_t *list, const char *pointer)
{
	size_t n = json_array_size(list);

	if (n > AGGREGATES_MAX)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "a query has at most %d aggregates",
				  AGGREGATES_MAX);
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
			if (str_eq(q->group_by[k]->name, q->aggregates[i].alias))
				return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, at, STR("as")),
						  "a column of \"group_by\" has this name");
	}
	q->n_aggregates = n;
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
	return query_columns(p, q->model, select, select_pointer, &q->select, &q->n_select) &&
	       query_columns(p, q->model, group_by, json_pointer_key(p->arena, pointer, STR("group_by")), &q->group_by,
			     &q->n_group_by) &&
	       parse_aggregates(p, q, aggregates, json_pointer_key(p->arena, pointer, STR("aggregates"))) &&
	       query_parse_having(p, q, having, json_pointer_key(p->arena, pointer, STR("having")));
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

/* PostgreSQL's json cannot be compared, so neither grouped nor made distinct. */
static bool comparable(const struct column *c)
{
	return c->logical != LT_JSON;
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
	if (q->cursor.p != NULL)
		return refuse(c, "cursor", "does not go with aggregates and groups");
	if (q->n_having != 0 && q->n_aggregates == 0)
		return refuse(c, "having", "needs aggregates");
	for (size_t i = 0; i < q->n_select; i++)
		if (!query_has_column(q->group_by, q->n_group_by, q->select[i]))
			return refuse(c, "select", "may only name columns of \"group_by\" here");
	for (size_t i = 0; i < q->n_group_by; i++)
		if (!comparable(q->group_by[i]))
			return refuse(c, "group_by", "cannot name a JSON column");
	for (size_t i = 0; i < q->n_order; i++)
		if (q->order[i].column != NULL && !query_has_column(q->group_by, q->n_group_by, q->order[i].column))
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
		if (!comparable(q->select[i]))
			return refuse(c, "distinct", "does not work on JSON columns: name the columns in \"select\"");
	for (size_t i = 0; q->n_select == 0 && i < q->model->n_columns; i++)
		if (!comparable(&q->model->columns[i]))
			return refuse(c, "distinct", "does not work on JSON columns: name the columns in \"select\"");
	for (size_t i = 0; q->n_select != 0 && i < q->n_order; i++)
		if (!query_has_column(q->select, q->n_select, q->order[i].column))
			return refuse(c, "order_by", "may only name columns of \"select\" when they are distinct");
	return true;
}

/* Relations are followed by values of the rows: these must be among what is read. */
static bool check_includes(const struct check *c)
{
	const struct query *q = c->q;

	for (size_t i = 0; q->n_select != 0 && i < q->n_includes; i++) {
		const struct relation *r = q->includes[i].relation;
		struct str key = r->kind == REL_MANY_TO_MANY ? r->source_key : r->local ? r->column : r->to_column;
		const struct column *column = model_column(q->model, key);

		if (column != NULL && !query_has_column(q->select, q->n_select, column))
			return err_set_at(c->err, ERR_INVALID_QUERY, c->pointer,
					  "\"select\" must name column \"%.*s\" to include relation \"%.*s\"",
					  STR_FMT(key), STR_FMT(r->name));
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
	if (q->cursor.p != NULL && q->has_offset)
		return refuse(&c, "offset", "does not go with \"cursor\"");
	if (q->cursor.p != NULL && q->model->n_pk == 0)
		return refuse(&c, "cursor", "needs a model with a primary key");
	return check_includes(&c);
}
