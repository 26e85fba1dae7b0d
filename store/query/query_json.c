/* QueryIR documents: the envelope, the members of a payload, and which of them go together. */
#include <stdio.h>

#include "service/base/limits.h"
#include "store/query/query_expr.h"
#include "store/query/query_ref.h"

#include "service/base/banned.h"

#define IR_VERSION_MAX 14 /* of the reference's QueryIR */

/* `using` is the request's: who calls has read it. */
static const char *const envelope_members[] = {"ir_kind", "ir_version", "payload", "using", NULL};
static const char *const payload_members[] = {
	"model_name",      "using",      "where",    "order_by", "limit",   "offset", "select",
	"distinct",        "aggregates", "group_by", "having",   "include", "cursor", "lock",
	"materialization", "set",        "joins",    "after",    "before",  "m2m",    NULL};

/* The payload of an envelope, or the document itself when it is a bare payload. */
static bool open_envelope(struct query_parse *p, const json_t *doc, const char *pointer, const json_t **ret,
			  const char **ret_pointer)
{
	struct arena *a = p->arena;
	struct err *err = p->err;
	const json_t *kind = json_object_get(doc, "ir_kind");
	const json_t *version = json_object_get(doc, "ir_version");

	*ret = doc;
	*ret_pointer = pointer;
	if (!json_is_object(doc))
		return err_set_at(err, ERR_INVALID_QUERY, pointer, "a query is an object, not %s", json_type_name(doc));
	if (kind == NULL && version == NULL && json_object_get(doc, "payload") == NULL)
		return true;
	if (!json_is_string(kind) || !str_eq(json_str(kind), STR("query")))
		return err_set_at(err, ERR_INVALID_QUERY, json_pointer_key(a, pointer, STR("ir_kind")),
				  "the envelope's \"ir_kind\" must be \"query\"");
	if (!json_is_integer(version) || json_integer_value(version) < 1 ||
	    json_integer_value(version) > IR_VERSION_MAX)
		return err_set_at(err, ERR_INVALID_QUERY, json_pointer_key(a, pointer, STR("ir_version")),
				  "the envelope's \"ir_version\" must be 1 to %d", IR_VERSION_MAX);
	p->version = (int)json_integer_value(version);
	if (!query_known(p, doc, pointer, envelope_members))
		return false;
	*ret = json_object_get(doc, "payload");
	*ret_pointer = json_pointer_key(a, pointer, STR("payload"));
	if (!json_is_object(*ret))
		return err_set_at(err, ERR_INVALID_QUERY, *ret_pointer, "the payload must be an object");
	return true;
}

bool query_json_model(const json_t *doc, struct str *ret)
{
	const json_t *name = json_object_get(doc, "model_name");

	if (name == NULL)
		name = json_object_get(json_object_get(doc, "payload"), "model_name");
	if (!json_is_string(name))
		return false;
	*ret = json_str(name);
	return true;
}

/* `limit` and `offset`: absent, null, or a count. */
static bool parse_count(struct query_parse *p, const json_t *body, const char *key, const char *pointer, bool *ret_has,
			int64_t *ret)
{
	const json_t *v = query_member(p, body, key);

	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, str_z(key)),
				  "\"%s\" must be an integer from 0 to 9223372036854775807", key);
	*ret_has = true;
	*ret = json_integer_value(v);
	return true;
}

static bool find_alias(const struct query *q, struct str name, size_t *ret)
{
	for (size_t i = 0; i < q->n_aggregates; i++) {
		if (str_eq(q->aggregates[i].alias, name)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* A computed column of the answer by its name. */
static const struct query_expr *find_item(const struct query *q, struct str name)
{
	const struct query_item *items = q->n_select != 0 ? q->select : q->group_by;
	const size_t n = q->n_select != 0 ? q->n_select : q->n_group_by;

	for (size_t i = 0; i < n; i++)
		if (items[i].expr != NULL && str_eq(items[i].name, name))
			return items[i].expr;
	return NULL;
}

/* The match that the rows are found by: the first that must hold. Recurses as deep as the tree. */
static const struct query_node *find_match(const struct query_node *node)
{
	const struct query_node *found;

	if (node->kind == NODE_LEAF && node->op == OP_MATCH)
		return node;
	if (node->kind != NODE_AND)
		return NULL;
	found = find_match(node->left);
	return found != NULL ? found : find_match(node->right);
}

bool query_rank(struct arena *a, const struct query *q, const char *pointer, const struct query_expr **ret,
		struct err *err)
{
	struct query_expr *e = arena_alloc(a, sizeof(*e));

	for (size_t i = 0; i < q->n_where && e->match == NULL; i++)
		e->match = find_match(q->where[i]);
	if (e->match == NULL)
		return err_set_at(err, ERR_INVALID_QUERY, pointer, "\"rank\" needs a match that every row is found by");
	e->kind = EXPR_RANK;
	e->type = (struct column){.logical = LT_NUMBER, .storage = ST_DOUBLE, .logical_word = STR("number")};
	*ret = e;
	return true;
}

static bool order_words(struct query_parse *p, const json_t *obj, const char *pointer, struct query_order *ret)
{
	struct str direction = STR("asc"), nulls = p->version > 1 ? STR("last") : STR("");

	if (!query_member_str(p, obj, "direction", pointer, false, &direction) ||
	    !query_member_str(p, obj, "nulls", pointer, false, &nulls))
		return false;
	ret->descending = str_ieq_z(direction, "desc");
	if (!ret->descending && !str_ieq_z(direction, "asc"))
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("direction")),
				  "\"direction\" must be \"asc\" or \"desc\"");
	ret->nulls = str_eq_z(nulls, "first") ? NULLS_FIRST : str_eq_z(nulls, "last") ? NULLS_LAST : NULLS_DEFAULT;
	if (nulls.len != 0 && ret->nulls == NULLS_DEFAULT && !str_eq_z(nulls, "native"))
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("nulls")),
				  "\"nulls\" must be \"first\", \"last\" or \"native\"");
	return true;
}

/* What is ordered by: an aggregate or a computed column by its name, a column, an expression, the rank of a match. */
static bool order_target(struct query_parse *p, const struct query *q, const json_t *obj, const char *pointer,
			 struct query_order *ret)
{
	const struct expr_scope scope = {.p = p, .model = q->model};
	const json_t *column = query_member(p, obj, "column"), *expr = query_member(p, obj, "expr");
	const bool ref = query_member(p, obj, "relation") != NULL || json_array_size(query_member(p, obj, "path")) > 0;
	bool rank = false;

	if (!query_member_bool(p, obj, "rank", pointer, &rank))
		return false;
	if ((column != NULL) + (expr != NULL) + rank != 1)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer,
				  "one of \"column\", \"expr\" and \"rank\" is needed here");
	if (rank)
		return query_rank(p->arena, q, json_pointer_key(p->arena, pointer, STR("rank")), &ret->expr, p->err);
	if (expr != NULL)
		return query_expr_alone(p, obj, pointer) &&
		       query_parse_expr(&scope, expr, NULL, json_pointer_key(p->arena, pointer, STR("expr")),
					&ret->expr);
	if (!ref && json_is_string(column) && find_alias(q, json_str(column), &ret->aggregate))
		return true;
	if (!ref && json_is_string(column) && model_column(q->model, json_str(column)) == NULL) {
		ret->expr = find_item(q, json_str(column));
		if (ret->expr != NULL)
			return true;
	}
	return query_ref(p, q->model, obj, "column", pointer, &ret->expr);
}

/* The same expression as one of the answer's columns, so that it is that column (a group must be). */
static const struct query_expr *same_item(const struct query *q, const struct query_expr *e)
{
	const struct query_item *items = q->n_select != 0 ? q->select : q->group_by;
	const size_t n = q->n_select != 0 ? q->n_select : q->n_group_by;

	for (size_t i = 0; i < n; i++)
		if (items[i].expr != NULL && query_same_reference(items[i].expr, e))
			return items[i].expr;
	return e;
}

static bool parse_order_entry(struct query_parse *p, const struct query *q, const json_t *obj, const char *pointer,
			      struct query_order *ret)
{
	static const char *const members[] = {"column", "expr", "rank", "direction", "nulls", REF_MEMBERS, NULL};
	const struct column *type;

	if (!query_known(p, obj, pointer, members) || !order_words(p, obj, pointer, ret) ||
	    !order_target(p, q, obj, pointer, ret))
		return false;
	if (ret->expr == NULL)
		return true;
	type = &ret->expr->type;
	ret->expr = same_item(q, ret->expr);
	ret->column = query_plain(ret->expr);
	if (ret->column != NULL)
		ret->expr = NULL;
	if ((codec_traits(type) & CODEC_ORDERED) == 0)
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("column")),
				  "the values of column \"%.*s\" have no order",
				  STR_FMT(ret->column != NULL ? ret->column->name : STR("expr")));
	return true;
}

static bool parse_order(struct query_parse *p, struct query *q, const json_t *list, const char *pointer)
{
	size_t n = json_array_size(list);

	if (n > LIMIT_COLUMNS)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "too many columns to order by");
	q->order = arena_array(p->arena, n, sizeof(*q->order));
	for (size_t i = 0; i < n; i++) {
		const json_t *obj;
		const char *at;

		if (!query_element(p, list, i, pointer, &obj, &at) || !parse_order_entry(p, q, obj, at, &q->order[i]))
			return false;
	}
	q->n_order = n;
	return true;
}

/* The column of this model that the join table's target column refers to. */
static struct str target_key(const struct model *join, struct str target_col, const struct model *m)
{
	for (size_t i = 0; i < join->n_fks; i++)
		if (str_eq(join->fks[i].column, target_col) && str_eq(join->fks[i].to_table, m->table) &&
		    model_column(m, join->fks[i].to_column) != NULL)
			return join->fks[i].to_column;
	return m->n_pk == 1 ? m->pk[0]->name : STR_NONE;
}

static bool parse_m2m(struct query_parse *p, struct query *q, const json_t *obj, const char *pointer)
{
	static const char *const members[] = {"join_table", "source_col", "target_col", "source_id", NULL};
	struct query_m2m *m2m = arena_alloc(p->arena, sizeof(*m2m));
	const struct column *source, *target;
	const struct model *join;
	const json_t *id = json_object_get(obj, "source_id");
	const char *id_pointer = json_pointer_key(p->arena, pointer, STR("source_id"));

	if (!json_is_object(obj))
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "\"m2m\" must be an object");
	if (!query_known(p, obj, pointer, members) ||
	    !query_member_str(p, obj, "join_table", pointer, true, &m2m->join_table))
		return false;
	join = schema_model_by_table(p->schema, m2m->join_table);
	if (join == NULL)
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("join_table")),
				  "no model has this join table");
	if (!query_member_column(p, join, obj, "source_col", pointer, &source) ||
	    !query_member_column(p, join, obj, "target_col", pointer, &target))
		return false;
	m2m->source_col = source->name;
	m2m->target_col = target->name;
	m2m->target_key = target_key(join, target->name, q->model);
	if (m2m->target_key.p == NULL)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer,
				  "model \"%.*s\" has no single primary key to join on", STR_FMT(q->model->name));
	if (id == NULL || json_is_null(query_untyped(id)))
		return err_set_at(p->err, ERR_INVALID_QUERY, id_pointer, "a many-to-many query needs a source id");
	if (!codec_bind(p->arena, p->dialect, source, query_untyped(id), id_pointer, &m2m->source_id, p->err))
		return false;
	q->m2m = m2m;
	return true;
}

static bool parse_lock(struct query_parse *p, struct query *q, const json_t *body, const char *pointer)
{
	struct str word = STR_NONE;

	if (!query_member_str(p, body, "lock", pointer, false, &word))
		return false;
	if (word.p == NULL)
		return true;
	if (str_eq(word, STR("update")))
		q->lock = QUERY_LOCK_UPDATE;
	else if (str_eq(word, STR("share")))
		q->lock = QUERY_LOCK_SHARE;
	else
		return err_set_at(p->err, ERR_INVALID_QUERY, json_pointer_key(p->arena, pointer, STR("lock")),
				  "\"lock\" must be \"update\" or \"share\"");
	return true;
}

bool query_parse_body(struct query_parse *p, struct query *q, const json_t *body, const char *pointer)
{
	const json_t *where, *order, *includes;
	const json_t *m2m = query_member(p, body, "m2m");

	if (!query_member_array(p, body, "where", pointer, &where) ||
	    !query_member_array(p, body, "order_by", pointer, &order) ||
	    !query_member_array(p, body, "include", pointer, &includes) ||
	    !query_member_array(p, body, "joins", pointer, &p->joins) ||
	    !query_parse_nodes(p, q->model, where, json_pointer_key(p->arena, pointer, STR("where")), &q->where,
			       &q->n_where) ||
	    !query_parse_shape(p, q, body, pointer) || !query_parse_reference(p, q, body, pointer) ||
	    !parse_order(p, q, order, json_pointer_key(p->arena, pointer, STR("order_by"))) ||
	    !parse_count(p, body, "limit", pointer, &q->has_limit, &q->limit) ||
	    !parse_count(p, body, "offset", pointer, &q->has_offset, &q->offset) || !parse_lock(p, q, body, pointer) ||
	    !query_member_str(p, body, "cursor", pointer, false, &q->cursor))
		return false;
	if (m2m != NULL && !json_is_null(m2m) && !parse_m2m(p, q, m2m, json_pointer_key(p->arena, pointer, STR("m2m"))))
		return false;
	if (!query_parse_includes(p, q, includes, json_pointer_key(p->arena, pointer, STR("include"))) ||
	    !query_parse_keys(p, q, body, pointer))
		return false;
	p->joins = NULL;
	return query_check(q, pointer, p->err);
}

/* What has no meaning below a relation. */
static bool check_included(const struct query *q, const char *pointer, struct err *err)
{
	const char *what = q->m2m != NULL ? "m2m" : q->distinct ? "distinct" : q->cursor.p != NULL ? "cursor" : NULL;

	if (q->lock != QUERY_LOCK_NONE)
		what = "lock";
	if (q->n_aggregates != 0 || q->n_group_by != 0)
		what = "aggregates";
	return what == NULL ||
	       err_set_at(err, ERR_INVALID_QUERY, pointer, "\"%s\" does not go with an included relation", what);
}

static const char *const include_members[] = {"relation", "as",      "select",   "where",      "order_by", "limit",
					      "offset",   "include", "distinct", "aggregates", "group_by", "having",
					      "cursor",   "lock",    "m2m",      NULL};

/* One entry of `include`: a relation's name, or an object about it. */
static bool parse_include(struct query_parse *p, const struct query *q, const json_t *item, const char *pointer,
			  struct query_include *ret)
{
	struct str name;
	const char *at = pointer;

	if (json_is_string(item)) {
		name = json_str(item);
	} else if (json_is_object(item)) {
		at = json_pointer_key(p->arena, pointer, STR("relation"));
		if (!query_known(p, item, pointer, include_members) ||
		    !query_member_str(p, item, "relation", pointer, true, &name))
			return false;
	} else {
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "a relation's name or an object is needed here");
	}
	ret->relation = model_relation(q->model, name);
	if (ret->relation == NULL)
		return err_set_at(p->err, ERR_INVALID_QUERY, at, "model \"%.*s\" has no relation \"%.*s\"",
				  STR_FMT(q->model->name), STR_FMT(name));
	ret->query = query_new(p->arena, p->schema, p->dialect, ret->relation->target);
	ret->name = name;
	if (json_is_object(item) && !query_member_str(p, item, "as", pointer, false, &ret->name))
		return false;
	return json_is_string(item) ||
	       (query_parse_body(p, ret->query, item, pointer) && check_included(ret->query, pointer, p->err));
}

bool query_parse_includes(struct query_parse *p, struct query *q, const json_t *list, const char *pointer)
{
	size_t n = json_array_size(list);

	if (n == 0)
		return true;
	if (q->n_includes != 0)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer,
				  "\"include\" and \"materialization\" exclude each other");
	if (p->include_depth == LIMIT_INCLUDE_DEPTH)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "\"include\" is nested deeper than %d levels",
				  LIMIT_INCLUDE_DEPTH);
	if (n > q->model->n_relations + LIMIT_INCLUDES)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "more relations than model \"%.*s\" has",
				  STR_FMT(q->model->name));
	p->include_depth++;
	q->includes = arena_array(p->arena, n, sizeof(*q->includes));
	for (size_t i = 0; i < n; i++) {
		const char *at = json_pointer_index(p->arena, pointer, i);

		if (!parse_include(p, q, json_array_get(list, i), at, &q->includes[i]))
			return false;
		for (size_t k = 0; k < i; k++)
			if (str_eq(q->includes[k].name, q->includes[i].name))
				return err_set_at(p->err, ERR_INVALID_QUERY, at, "the relation is included twice");
	}
	p->include_depth--;
	q->n_includes = n;
	return true;
}

bool query_from_json(struct arena *a, const struct schema *s, const struct dialect *d, const json_t *doc,
		     const char *pointer, struct query **ret, struct err *err)
{
	struct query_parse p;
	const struct model *m;
	const json_t *body;
	struct query *q;
	struct str name;

	query_parse_init(&p, a, s, d, err);
	if (!open_envelope(&p, doc, pointer, &body, &pointer) || !query_known(&p, body, pointer, payload_members) ||
	    !query_member_str(&p, body, "model_name", pointer, true, &name))
		return false;
	m = schema_model(s, name);
	if (m == NULL)
		return err_set_at(err, ERR_MODEL_NOT_FOUND, json_pointer_key(a, pointer, STR("model_name")),
				  "no model is named \"%.*s\"", (int)(name.len < 100 ? name.len : 100), name.p);
	q = query_new(a, s, d, m);
	if (!query_parse_body(&p, q, body, pointer))
		return false;
	*ret = q;
	return true;
}
