/* References to columns, from documents and from URLs. */
#include "store/query/query_ref.h"

#include <string.h>

#include "service/base/limits.h"
#include "service/base/num.h"
#include "store/query/query_op.h"

#include "service/base/banned.h"

static bool fault(struct query_parse *p, const char *pointer, const char *what)
{
	return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "%s", what);
}

const struct column *query_plain(const struct query_expr *e)
{
	return e->kind == EXPR_COLUMN && e->n_hops == 0 && e->n_path == 0 ? e->column : NULL;
}

bool query_same_reference(const struct query_expr *a, const struct query_expr *b)
{
	if (a == b)
		return true;
	if (a->kind != EXPR_COLUMN || b->kind != EXPR_COLUMN || a->column != b->column || a->n_hops != b->n_hops ||
	    a->n_path != b->n_path || (a->n_path > 0 && a->path_type != b->path_type))
		return false;
	for (size_t i = 0; i < a->n_hops; i++)
		if (!str_eq(a->hops[i]->name, b->hops[i]->name) || a->hops[i]->target != b->hops[i]->target)
			return false;
	for (size_t i = 0; i < a->n_path; i++)
		if (a->path[i].index != b->path[i].index || !str_eq(a->path[i].key, b->path[i].key))
			return false;
	return true;
}

struct query_expr *query_expr_column(struct arena *a, const struct column *c)
{
	struct query_expr *e = arena_alloc(a, sizeof(*e));

	*e = (struct query_expr){.kind = EXPR_COLUMN, .column = c, .type = *c};
	return e;
}

const struct model *query_hops_end(const struct model *m, const struct relation *const *hops, size_t n)
{
	return n > 0 ? hops[n - 1]->target : m;
}

/* ---- relations ---- */

static bool unknown_relation(struct query_parse *p, const struct model *m, struct str name, const char *pointer)
{
	return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "model \"%.*s\" has no relation \"%.*s\"",
			  STR_FMT(m->name), (int)(name.len < 100 ? name.len : 100), name.p);
}

static bool check_to_one(struct query_parse *p, const struct relation *r, const char *pointer)
{
	return r->to_one || err_set_at(p->err, ERR_INVALID_QUERY, pointer,
				       "relation \"%.*s\" leads to many records: a relation node says any, none or all",
				       STR_FMT(r->name));
}

bool query_hops(struct query_parse *p, const struct model *m, struct str name, bool to_one, const char *pointer,
		const struct relation *const **ret, size_t *ret_n)
{
	const struct relation **hops = arena_array(p->arena, LIMIT_RELATION_DEPTH, sizeof(const struct relation *));
	struct str part;
	size_t n = 0;

	if (name.len == 0)
		return fault(p, pointer, "a relation's name is needed here");
	while (str_split(&name, '.', &part)) {
		if (n == LIMIT_RELATION_DEPTH)
			return fault(p, pointer, "too many relations in a row");
		hops[n] = model_relation(m, part);
		if (hops[n] == NULL)
			return unknown_relation(p, m, part, pointer);
		if (to_one && !check_to_one(p, hops[n], pointer))
			return false;
		m = hops[n++]->target;
	}
	*ret = hops;
	*ret_n = n;
	return true;
}

static bool unique_column(const struct model *m, const struct column *c)
{
	if (c->unique || (m->n_pk == 1 && m->pk[0] == c))
		return true;
	for (size_t i = 0; i < m->n_uniques; i++)
		if (m->uniques[i].n_columns == 1 && str_eq(m->uniques[i].columns[0], c->name))
			return true;
	return false;
}

/* The reference names the columns of a hop itself; relations that the models do not know are met all the same. */
static bool reference_hop(struct query_parse *p, const struct model *m, const json_t *hop, const char *pointer,
			  const struct relation **ret)
{
	static const char *const members[] = {"relation", "from_column", "to_table", "to_column", NULL};
	struct relation *r = arena_alloc(p->arena, sizeof(*r));
	const struct column *from, *to;
	struct str table;

	if (!json_is_object(hop))
		return fault(p, pointer, "a hop is an object");
	if (!query_known(p, hop, pointer, members) || !query_member_str(p, hop, "relation", pointer, true, &r->name) ||
	    !query_member_column(p, m, hop, "from_column", pointer, &from) ||
	    !query_member_str(p, hop, "to_table", pointer, true, &table))
		return false;
	r->target = schema_model_by_table(p->schema, table);
	if (r->target == NULL)
		return fault(p, json_pointer_key(p->arena, pointer, STR("to_table")), "no model has this table");
	if (!query_member_column(p, r->target, hop, "to_column", pointer, &to))
		return false;
	r->kind = REL_FORWARD;
	r->local = true;
	r->target_name = r->target->name;
	r->column = from->name;
	r->to_column = to->name;
	r->to_one = unique_column(r->target, to);
	*ret = r;
	return true;
}

bool query_reference_hops(struct query_parse *p, const struct model *m, const json_t *list, const char *pointer,
			  const struct relation *const **ret, size_t *ret_n)
{
	const size_t n = json_array_size(list);
	const struct relation **hops = arena_array(p->arena, n + 1, sizeof(const struct relation *));

	if (n == 0 || n > LIMIT_RELATION_DEPTH)
		return fault(p, pointer, "a path of one or more hops is needed here");
	for (size_t i = 0; i < n; i++) {
		if (!reference_hop(p, m, json_array_get(list, i), json_pointer_index(p->arena, pointer, i), &hops[i]))
			return false;
		m = hops[i]->target;
	}
	*ret = hops;
	*ret_n = n;
	return true;
}

/* The hop at the end of a path of relation names, of the joins in force. */
static const json_t *joined_hop(const struct query_parse *p, const json_t *names, size_t at)
{
	for (size_t i = 0; i < json_array_size(p->joins); i++) {
		const json_t *path = json_object_get(json_array_get(p->joins, i), "path");
		size_t k = 0;

		while (k <= at && k < json_array_size(path) &&
		       json_equal(json_object_get(json_array_get(path, k), "relation"), json_array_get(names, k)))
			k++;
		if (k > at)
			return json_array_get(path, at);
	}
	return NULL;
}

/* The reference's `path` beside a column: names of relations. */
static bool reference_path(struct query_parse *p, const struct model *m, const json_t *names, const char *pointer,
			   struct query_expr *e)
{
	const size_t n = json_array_size(names);
	const struct relation **hops = arena_array(p->arena, n, sizeof(const struct relation *));

	if (n > LIMIT_RELATION_DEPTH)
		return fault(p, pointer, "too many relations in a row");
	for (size_t i = 0; i < n; i++) {
		const json_t *name = json_array_get(names, i);
		const char *at = json_pointer_index(p->arena, pointer, i);
		const json_t *hop = joined_hop(p, names, i);

		if (!json_is_string(name))
			return fault(p, at, "a relation's name is needed here");
		hops[i] = model_relation(m, json_str(name));
		if (hops[i] == NULL && hop == NULL)
			return unknown_relation(p, m, json_str(name), at);
		if ((hops[i] == NULL && !reference_hop(p, m, hop, at, &hops[i])) || !check_to_one(p, hops[i], at))
			return false;
		m = hops[i]->target;
	}
	e->hops = hops;
	e->n_hops = n;
	return true;
}

/* Are these names of relations? In the reference's envelopes always; else where nothing says that they are keys. */
static bool names_relations(const struct query_parse *p, const struct model *m, const json_t *obj, const char *key)
{
	const json_t *path = query_member(p, obj, "path"), *name = query_member(p, obj, key);
	const struct column *c = json_is_string(name) ? model_column(m, json_str(name)) : NULL;
	const json_t *first = json_array_get(path, 0);

	if (query_member(p, obj, "type") != NULL || query_member(p, obj, "relation") != NULL || !json_is_string(first))
		return false;
	if (p->version > 1)
		return true;
	return (c == NULL || c->logical != LT_JSON) &&
	       (model_relation(m, json_str(first)) != NULL || joined_hop(p, path, 0) != NULL);
}

/* ---- documents ---- */

bool query_steps(struct query_parse *p, const json_t *list, const char *pointer, const struct query_step **ret,
		 size_t *ret_n)
{
	const size_t n = json_array_size(list);
	struct query_step *steps = arena_array(p->arena, n + 1, sizeof(*steps));

	if (!json_is_array(list) || n == 0)
		return fault(p, pointer, "a path is an array of keys and indexes");
	if (n > LIMIT_PATH_STEPS)
		return err_set_at(p->err, ERR_INVALID_QUERY, pointer, "a path has at most %d steps", LIMIT_PATH_STEPS);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);

		if (!json_is_string(v) && !json_is_integer(v))
			return fault(p, json_pointer_index(p->arena, pointer, i),
				     "a step of a path is a string or a whole number");
		steps[i] = (struct query_step){.key = json_is_string(v) ? json_str(v) : STR_NONE,
					       .index = json_is_integer(v) ? json_integer_value(v) : 0};
	}
	*ret = steps;
	*ret_n = n;
	return query_steps_sayable(p, steps, n, pointer);
}

bool query_steps_sayable(struct query_parse *p, const struct query_step *steps, size_t n, const char *pointer)
{
	const bool sqlite = p->dialect->id == DIALECT_SQLITE;

	for (size_t i = 0; i < n; i++) {
		const struct str key = steps[i].key;

		if (!sqlite && key.p != NULL && memchr(key.p, '\0', key.len) != NULL)
			return fault(p, pointer, "a key with a NUL character is nowhere in this database");
		for (size_t k = 0; sqlite && k < key.len; k++)
			if (key.p[k] == '"' || key.p[k] == '\\' || (unsigned char)key.p[k] < 0x20)
				return fault(
					p, pointer,
					"SQLite cannot follow keys with quotes, backslashes or control characters");
		if (key.p == NULL && (steps[i].index > INT32_MAX || steps[i].index < -INT32_MAX))
			return fault(p, pointer, "an index has at most 31 bits");
	}
	return true;
}

static bool path_type(struct query_parse *p, struct str word, const char *pointer, enum query_path_type *ret)
{
	static const char *const words[] = {
		[PATH_JSON] = "json", [PATH_TEXT] = "text", [PATH_NUMBER] = "number", [PATH_BOOLEAN] = "boolean"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq_z(word, words[i])) {
			*ret = (enum query_path_type)i;
			return true;
		}
	}
	return fault(p, pointer, "\"type\" is text, json, number or boolean");
}

static bool check_document(struct query_parse *p, const struct column *c, const char *pointer)
{
	return c->logical == LT_JSON ||
	       err_set_at(p->err, ERR_INVALID_QUERY, pointer, "a path leads into a JSON column; \"%.*s\" is of type %s",
			  STR_FMT(c->name), logical_type_name(c->logical));
}

static bool json_path(struct query_parse *p, const json_t *obj, const char *pointer, struct query_expr *e)
{
	const json_t *path = query_member(p, obj, "path");
	struct str word = STR("json");

	if (json_is_null(path) || (json_is_array(path) && json_array_size(path) == 0))
		path = NULL;
	if (!query_member_str(p, obj, "type", pointer, false, &word))
		return false;
	if (path == NULL)
		return query_member(p, obj, "type") == NULL ||
		       fault(p, json_pointer_key(p->arena, pointer, STR("type")), "\"type\" goes with a \"path\"");
	const char *at = json_pointer_key(p->arena, pointer, STR("path"));

	if (!check_document(p, e->column, at) || !query_steps(p, path, at, &e->path, &e->n_path) ||
	    !path_type(p, word, json_pointer_key(p->arena, pointer, STR("type")), &e->path_type))
		return false;
	e->type = query_path_column(e->path_type);
	return true;
}

bool query_ref(struct query_parse *p, const struct model *m, const json_t *obj, const char *key, const char *pointer,
	       const struct query_expr **ret)
{
	struct query_expr *e = arena_alloc(p->arena, sizeof(*e));
	const bool reference = names_relations(p, m, obj, key);
	struct str relation = STR_NONE;

	if (!query_member_str(p, obj, "relation", pointer, false, &relation))
		return false;
	if (reference &&
	    !reference_path(p, m, query_member(p, obj, "path"), json_pointer_key(p->arena, pointer, STR("path")), e))
		return false;
	if (relation.p != NULL &&
	    !query_hops(p, m, relation, true, json_pointer_key(p->arena, pointer, STR("relation")), &e->hops,
			&e->n_hops))
		return false;
	m = query_hops_end(m, e->hops, e->n_hops);
	if (!query_member_column(p, m, obj, key, pointer, &e->column))
		return false;
	e->kind = EXPR_COLUMN;
	e->type = *e->column;
	e->type.nullable = e->type.nullable || e->n_hops > 0;
	*ret = e;
	return reference || json_path(p, obj, pointer, e);
}

/* ---- URLs ---- */

/* One step of data->a->0: *text moves past it and the arrow before it. */
static void text_step(struct str *text, struct query_step *ret, bool *ret_last)
{
	const char *arrow;
	struct str part;

	*ret_last = str_starts(*text, STR("->>"));
	*text = str_n(text->p + (*ret_last ? 3 : 2), text->len - (*ret_last ? 3 : 2));
	arrow = memmem(text->p, text->len, "->", 2);
	part = str_n(text->p, arrow != NULL ? (size_t)(arrow - text->p) : text->len);
	*text = str_n(text->p + part.len, text->len - part.len);
	*ret = (struct query_step){.key = part};
	if (num_parse_int(part, &ret->index))
		ret->key = STR_NONE;
}

static bool text_path(struct query_parse *p, struct str arrows, const char *pointer, struct query_expr *e)
{
	struct query_step *steps = arena_array(p->arena, LIMIT_PATH_STEPS, sizeof(*steps));
	bool last = false;
	size_t n = 0;

	while (arrows.len > 0) {
		if (n == LIMIT_PATH_STEPS || last)
			return fault(p, pointer, last ? "->> ends a path" : "the path has too many steps");
		text_step(&arrows, &steps[n], &last);
		if (steps[n].key.p != NULL && steps[n].key.len == 0)
			return fault(p, pointer, "a key or an index follows the arrow");
		n++;
	}
	e->path = steps;
	e->n_path = n;
	e->path_type = last ? PATH_TEXT : PATH_JSON;
	e->type = query_path_column(e->path_type);
	return check_document(p, e->column, pointer) && query_steps_sayable(p, steps, n, pointer);
}

bool query_ref_from_text(struct arena *a, const struct query *q, const struct model *m, struct str text,
			 const char *pointer, const struct query_expr **ret, struct err *err)
{
	struct query_parse p = {.arena = a, .schema = q->schema, .dialect = q->dialect, .err = err};
	const bool exact = text.len > 0 && text.p[0] == '.';
	struct str name = exact ? str_n(text.p + 1, text.len - 1) : text;
	const struct column *c = model_column(m, name);
	const char *arrow = exact || text.len == 0 ? NULL : memmem(text.p, text.len, "->", 2);
	struct query_expr *e;
	const char *dot;

	if (c != NULL || exact) {
		*ret = c != NULL ? query_expr_column(a, c) : NULL;
		return c != NULL || query_unknown_column(err, pointer, m, name);
	}
	e = arena_alloc(a, sizeof(*e));
	e->kind = EXPR_COLUMN;
	if (arrow != NULL)
		name = str_n(text.p, (size_t)(arrow - text.p));
	dot = name.len > 0 ? memrchr(name.p, '.', name.len) : NULL;
	if (dot != NULL) {
		struct str relation = str_n(name.p, (size_t)(dot - name.p));

		if (!query_hops(&p, m, relation, true, pointer, &e->hops, &e->n_hops))
			return false;
		name = str_n(dot + 1, name.len - relation.len - 1);
		m = query_hops_end(m, e->hops, e->n_hops);
	}
	e->column = model_column(m, name);
	if (e->column == NULL)
		return query_unknown_column(err, pointer, m, name);
	e->type = *e->column;
	e->type.nullable = e->type.nullable || e->n_hops > 0;
	*ret = e;
	return arrow == NULL || text_path(&p, str_n(arrow, text.len - (size_t)(arrow - text.p)), pointer, e);
}

/* ---- conditions on what is related ---- */

static const struct query_node *around(struct arena *a, const struct relation *r, enum quantifier q,
				       const struct query_node *const *inner, size_t n)
{
	struct query_node *node = arena_alloc(a, sizeof(*node));

	*node = (struct query_node){
		.kind = NODE_RELATION, .relation = r, .quantifier = q, .where = inner, .n_where = n};
	return node;
}

/* Through several relations: any of any is any; none is that there is not any; all is none for which it is not so. */
const struct query_node *query_related(struct arena *a, const struct relation *const *hops, size_t n, enum quantifier q,
				       const struct query_node *const *inner, size_t n_inner)
{
	for (size_t i = n; i-- > 1;) {
		const struct query_node **one = arena_array(a, 1, sizeof(const struct query_node *));

		one[0] = around(a, hops[i], q == QUANTIFIER_ALL ? QUANTIFIER_ALL : QUANTIFIER_ANY, inner, n_inner);
		inner = one;
		n_inner = 1;
	}
	return around(a, hops[0], q, inner, n_inner);
}

static struct query_node *related(struct arena *a, const struct relation *const *hops, size_t n,
				  const struct query_node *const *inner)
{
	struct query_node *node = arena_alloc(a, sizeof(*node));

	*node = *query_related(a, hops, n, QUANTIFIER_ANY, inner, 1);
	return node;
}

static const struct query_node *through(struct arena *a, const struct relation *const *hops, size_t n,
					const struct query_node *leaf)
{
	for (size_t i = n; i-- > 0;) {
		const struct query_node **one = arena_array(a, 1, sizeof(const struct query_node *));
		struct query_node *node = arena_alloc(a, sizeof(*node));

		one[0] = leaf;
		*node = (struct query_node){
			.kind = NODE_RELATION, .relation = hops[i], .where = one, .n_where = 1, .reference = true};
		leaf = node;
	}
	return leaf;
}

static struct query_node *negation(struct arena *a, const struct query_node *inner)
{
	struct query_node *node = arena_alloc(a, sizeof(*node));

	*node = (struct query_node){.kind = NODE_NOT, .left = inner};
	return node;
}

const struct query_node *query_settle(struct arena *a, struct query_node *leaf)
{
	const struct query_expr *e = leaf->expr;
	const bool null = leaf->n_values == 1 && leaf->values[0].kind == VALUE_NULL;
	const bool is_null = leaf->op == OP_IS_NULL || (leaf->op == OP_EQ && null);
	const bool is_not_null = leaf->op == OP_IS_NOT_NULL || (leaf->op == OP_NE && null);
	const struct query_node **one;
	struct query_expr *there;

	if (e == NULL || e->kind != EXPR_COLUMN)
		return leaf;
	if (e->n_hops == 0) {
		if (e->n_path == 0) {
			leaf->column = e->column;
			leaf->expr = NULL;
		}
		return leaf;
	}
	/* of nothing there is no member, whatever is asked about: not even null is unknown then */
	if ((leaf->op == OP_IN || leaf->op == OP_NOT_IN) && leaf->n_values == 0)
		return leaf;
	if (leaf->operand != NULL || (!query_op_strict(leaf->op) && !is_null && !is_not_null))
		return leaf;
	there = arena_alloc(a, sizeof(*there));
	*there = *e;
	there->hops = NULL;
	there->n_hops = 0;
	leaf->expr = e->n_path > 0 ? there : NULL;
	leaf->column = e->n_path > 0 ? NULL : e->column;
	if (!is_null && !is_not_null)
		return through(a, e->hops, e->n_hops, leaf);
	one = arena_array(a, 1, sizeof(const struct query_node *));
	one[0] = leaf;
	leaf->op = OP_IS_NOT_NULL;
	leaf->n_values = 0;
	leaf = related(a, e->hops, e->n_hops, one);
	return is_null ? negation(a, leaf) : leaf; /* where nothing is related there is null as well */
}
