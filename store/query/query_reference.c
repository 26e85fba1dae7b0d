/* What the reference's payloads (QueryIR 2 to 14) have and ours say otherwise: joins, materialization, keys of a page.
 */
#include "store/query/query_op.h"
#include "store/query/query_ref.h"

#include "service/base/limits.h"

#include "service/base/banned.h"

static bool fault(struct query_parse *p, const char *pointer, const char *what)
{
	return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "%s", what);
}

/* ---- materialization ---- */

/* A path of hops as includes inside each other; paths that begin alike share them. */
static bool include_path(struct query_parse *p, struct query *q, const json_t *path, const char *pointer)
{
	const struct relation *const *hops;
	size_t n;

	if (!query_reference_hops(p, q->model, path, pointer, &hops, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		struct query_include *includes;
		size_t k = 0;

		while (k < q->n_includes && !str_eq(q->includes[k].name, hops[i]->name))
			k++;
		if (k < q->n_includes) {
			q = q->includes[k].query;
			continue;
		}
		includes = arena_array(p->arena, k + 1, sizeof(*includes));
		for (size_t c = 0; c < k; c++)
			includes[c] = q->includes[c];
		includes[k] =
			(struct query_include){.relation = hops[i],
					       .query = query_new(p->arena, p->schema, p->dialect, hops[i]->target),
					       .name = hops[i]->name};
		q->includes = includes;
		q->n_includes = k + 1;
		q = includes[k].query;
	}
	return true;
}

static bool instances(struct query_parse *p, struct query *q, const json_t *obj, const char *pointer)
{
	static const char *const members[] = {"kind", "paths", NULL};
	const char *at = json_pointer_key(p->arena, pointer, STR("paths"));
	const json_t *paths;

	if (!query_known(p, obj, pointer, members) || !query_member_array(p, obj, "paths", pointer, &paths))
		return false;
	if (json_array_size(paths) > LIMIT_COLUMNS)
		return fault(p, at, "too many paths");
	for (size_t i = 0; i < json_array_size(paths); i++)
		if (!include_path(p, q, json_array_get(paths, i), json_pointer_index(p->arena, at, i)))
			return false;
	return true;
}

static bool aggregate_field(struct query_parse *p, struct query *q, const json_t *obj, const char *pointer)
{
	static const char *const members[] = {"fn", "column", "path", NULL};
	struct query_aggregate *g = &q->aggregates[q->n_aggregates++];

	if (!json_is_object(obj))
		return fault(p, pointer, "an aggregate is an object");
	return query_known(p, obj, pointer, members) && query_parse_aggregate(p, q->model, obj, pointer, g);
}

/* Fields by name: columns, own or related, and aggregates, whose groups the columns are. */
static bool record(struct query_parse *p, struct query *q, const json_t *obj, const char *pointer)
{
	static const char *const members[] = {"kind", "fields", NULL}, *const field[] = {"name", "column", "path",
											 "expr", NULL};
	const char *at = json_pointer_key(p->arena, pointer, STR("fields"));
	const json_t *fields;
	struct query_item *items;
	size_t n, k = 0, twice;

	if (!query_known(p, obj, pointer, members) || !query_member_array(p, obj, "fields", pointer, &fields))
		return false;
	n = json_array_size(fields);
	if (n == 0 || n > LIMIT_COLUMNS)
		return fault(p, at, "\"fields\" names one or more fields");
	items = arena_array(p->arena, n, sizeof(*items));
	q->aggregates = arena_array(p->arena, n, sizeof(*q->aggregates));
	for (size_t i = 0; i < n; i++) {
		const struct query_expr *e;
		const json_t *f;
		const char *here;
		struct str name;

		if (!query_element(p, fields, i, at, &f, &here) || !query_known(p, f, here, field) ||
		    !query_member_str(p, f, "name", here, true, &name))
			return false;
		if (json_object_get(f, "expr") != NULL) {
			q->aggregates[q->n_aggregates].alias = name;
			if (!aggregate_field(p, q, json_object_get(f, "expr"),
					     json_pointer_key(p->arena, here, STR("expr"))))
				return false;
		} else if (!query_ref(p, q->model, f, "column", here, &e) ||
			   !query_item_of(p->arena, e, name, &items[k++])) {
			return false;
		}
	}
	if (!query_items_distinct(items, k, &twice))
		return fault(p, at, "two fields have one name");
	*(q->n_aggregates > 0 ? &q->group_by : &q->select) = items;
	*(q->n_aggregates > 0 ? &q->n_group_by : &q->n_select) = k;
	return true;
}

static bool materialization(struct query_parse *p, struct query *q, const json_t *obj, const char *pointer)
{
	static const char *const root[] = {"kind", NULL};
	struct str kind;

	if (!json_is_object(obj))
		return fault(p, pointer, "\"materialization\" must be an object");
	if (!query_member_str(p, obj, "kind", pointer, true, &kind))
		return false;
	if (str_eq_z(kind, "root_instances"))
		return query_known(p, obj, pointer, root);
	if (q->n_select != 0 || q->n_aggregates != 0 || q->n_group_by != 0)
		return fault(p, pointer,
			     "\"materialization\" goes without \"select\", \"aggregates\" and \"group_by\"");
	if (str_eq_z(kind, "instances"))
		return instances(p, q, obj, pointer);
	if (str_eq_z(kind, "record"))
		return record(p, q, obj, pointer);
	return fault(p, json_pointer_key(p->arena, pointer, STR("kind")),
		     "\"kind\" is root_instances, instances or record");
}

bool query_parse_reference(struct query_parse *p, struct query *q, const json_t *body, const char *pointer)
{
	const json_t *how = query_member(p, body, "materialization");

	if (!query_joined(p, q->model, p->joins, json_pointer_key(p->arena, pointer, STR("joins")), &q->where,
			  &q->n_where))
		return false;
	q->set = query_member(p, body, "set");
	q->set_pointer = json_pointer_key(p->arena, pointer, STR("set"));
	if (json_is_null(q->set) || (json_is_array(q->set) && json_array_size(q->set) == 0))
		q->set = NULL;
	return how == NULL || json_is_null(how) ||
	       materialization(p, q, how, json_pointer_key(p->arena, pointer, STR("materialization")));
}

/* ---- keys of a page ---- */

static bool closes_order(const struct query *q)
{
	for (size_t i = 0; i < q->model->n_pk; i++) {
		size_t k = 0;

		while (k < q->n_order && q->order[k].column != q->model->pk[i])
			k++;
		if (k == q->n_order)
			return false;
	}
	return q->model->n_pk > 0;
}

static bool parse_key(struct query_parse *p, const struct query_order *o, const json_t *v, const char *pointer,
		      struct value *ret)
{
	const struct column *type = o->column != NULL ? o->column : &o->expr->type;

	v = query_untyped(v);
	if (json_is_null(v) && o->column != NULL && o->column->primary_key)
		return fault(p, pointer, "a primary key is never null");
	return type->fill.position > 0 ? codec_bind_stored(p->arena, p->dialect, type, v, pointer, ret, p->err)
				       : query_bind(p->arena, p->dialect, type, v, pointer, ret, p->err);
}

bool query_parse_keys(struct query_parse *p, struct query *q, const json_t *body, const char *pointer)
{
	const json_t *after, *before, *list;
	struct value *keys;
	const char *at;

	if (!query_member_array(p, body, "after", pointer, &after) ||
	    !query_member_array(p, body, "before", pointer, &before))
		return false;
	list = after != NULL ? after : before;
	if (list == NULL)
		return true;
	at = json_pointer_key(p->arena, pointer, after != NULL ? STR("after") : STR("before"));
	if (after != NULL && before != NULL)
		return fault(p, at, "\"after\" and \"before\" exclude each other");
	if (json_array_size(list) != q->n_order || !closes_order(q))
		return fault(p, at, "a value for each entry of \"order_by\" is needed, the primary key among them");
	keys = arena_array(p->arena, q->n_order, sizeof(*keys));
	for (size_t i = 0; i < q->n_order; i++) {
		if (q->order[i].column == NULL && q->order[i].expr == NULL)
			return fault(p, at, "aggregates have no position");
		if (!parse_key(p, &q->order[i], json_array_get(list, i), json_pointer_index(p->arena, at, i), &keys[i]))
			return false;
	}
	q->keys = keys;
	q->before = before != NULL;
	return true;
}
