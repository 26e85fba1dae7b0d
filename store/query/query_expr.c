/* Expressions from JSON: our words ({"$add": [...]}) and the reference's ({"kind": "add", "left", "right"}). */
#include "store/query/query_expr.h"

#include <string.h>

#include "service/base/limits.h"
#include "store/query/query_container.h"
#include "store/query/query_mix.h"
#include "store/query/query_op.h"
#include "store/query/query_ref.h"
#include "store/query/query_words.h"

#include "service/base/banned.h"

static bool fault(const struct expr_scope *s, const char *pointer, const char *what)
{
	return err_set_at(s->p->err, ERR_INVALID_QUERY, pointer, "%s", what);
}

bool query_is_expr(const json_t *v, const struct column *hint)
{
	const char *ignored;

	return query_expr_form(v, hint, &ignored) != FORM_VALUE;
}

bool query_expr_alone(struct query_parse *p, const json_t *obj, const char *pointer)
{
	static const char *const members[] = {REF_MEMBERS};

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_object_get(obj, members[i]) != NULL)
			return err_set_at(p->err, ERR_INVALID_QUERY,
					  json_pointer_key(p->arena, pointer, str_z(members[i])),
					  "this goes with a column, not with an expression");
	return true;
}

/* ---- operands ---- */

struct operands_of {
	const struct expr_scope *s;
	const struct expr_word *word;
	const json_t *list[LIMIT_EXPR_ARGS];
	const char *pointers[LIMIT_EXPR_ARGS]; /* NULL: the own column */
	const struct query_expr **args;
	size_t n;
};

/* The operands as they stand: a list, or one beside the own column (or alone). */
static bool list_operands(struct operands_of *o, const json_t *v, const char *pointer)
{
	const struct expr_scope *s = o->s;
	const bool alone = o->word->min == 1 && o->word->kind != EXPR_COALESCE;
	const bool listed =
		json_is_array(v) &&
		!(s->own != NULL &&
		  (o->word->kind == EXPR_MERGE || o->word->kind == EXPR_APPEND || o->word->kind == EXPR_REMOVE) &&
		  json_array_size(v) != 2);

	if (!listed) {
		if (!alone && s->own == NULL)
			return fault(s, pointer, "a list of operands is needed here");
		if (!alone)
			o->pointers[o->n++] = NULL;
		o->list[o->n] = v;
		o->pointers[o->n++] = pointer;
		return true;
	}
	if (json_array_size(v) < o->word->min || json_array_size(v) > o->word->max)
		return err_set_at(s->p->err, ERR_INVALID_QUERY, pointer, "%s takes %zu to %zu operands", o->word->word,
				  o->word->min, o->word->max);
	for (; o->n < json_array_size(v); o->n++) {
		o->list[o->n] = json_array_get(v, o->n);
		o->pointers[o->n] = json_pointer_index(s->p->arena, pointer, o->n);
	}
	return true;
}

static const char *pointer_of(const struct operands_of *o, size_t i, const char *pointer)
{
	return o->pointers[i] != NULL ? o->pointers[i] : pointer;
}

static bool check_traits(const struct operands_of *o, const char *pointer)
{
	for (size_t i = 0; i < o->n && o->word->trait != 0; i++) {
		const struct query_expr *e = o->args[i];

		if (e != NULL && (codec_traits(&e->type) & o->word->trait) == 0)
			return err_set_at(o->s->p->err, ERR_INVALID_QUERY, pointer_of(o, i, pointer),
					  "%s needs %s; this is of type %s", o->word->word, o->word->needs,
					  logical_type_name(e->type.logical));
	}
	return true;
}

/* What computes tells the type; values follow it. */
static bool parse_operands(struct operands_of *o, const struct column *hint, const char *pointer)
{
	const struct column *known = NULL;

	o->args = arena_array(o->s->p->arena, o->n, sizeof(const struct query_expr *));
	for (size_t i = 0; i < o->n; i++) {
		if (o->pointers[i] == NULL)
			o->args[i] = query_expr_column(o->s->p->arena, o->s->own);
		else if (query_is_expr(o->list[i], hint) &&
			 !query_parse_expr(o->s, o->list[i], NULL, o->pointers[i], &o->args[i]))
			return false;
		if (o->args[i] != NULL &&
		    (known == NULL || (known->logical == LT_INTEGER && (o->word->trait & CODEC_ARITHMETIC) != 0)))
			known = &o->args[i]->type;
	}
	if (!check_traits(o, pointer))
		return false;
	/* what text is made of is any text, whatever comes of it is compared with */
	if (known == NULL && hint != NULL && hint->logical == LT_STRING && hint->enum_values == NULL &&
	    (o->word->trait & CODEC_ARITHMETIC) == 0)
		known = hint;
	for (size_t i = 0; i < o->n; i++) {
		if (o->args[i] == NULL && json_is_null(o->list[i]) && o->word->trait != 0)
			return err_set_at(o->s->p->err, ERR_INVALID_VALUE, o->pointers[i], "%s takes a value, not null",
					  o->word->word);
		if (o->args[i] == NULL && !query_parse_expr(o->s, o->list[i], known, o->pointers[i], &o->args[i]))
			return false;
	}
	return true;
}

/* Doubles before decimals before whole numbers. */
static struct column number_type(const struct operands_of *o)
{
	struct column c = query_type(LT_INTEGER, ST_BIGINT);

	for (size_t i = 0; i < o->n; i++) {
		const struct column *type = &o->args[i]->type;

		if (type->logical == LT_NUMBER)
			return query_type(LT_NUMBER, ST_DOUBLE);
		if (type->logical == LT_DECIMAL)
			c = query_type(LT_DECIMAL, ST_NUMERIC);
	}
	return c;
}

static bool check_array(const struct operands_of *o, const char *pointer)
{
	const enum container c = query_container(&o->args[0]->type);
	const bool sqlite = o->s->p->dialect->id == DIALECT_SQLITE;
	struct str ignored;

	if (o->word->kind == EXPR_MERGE)
		return c == CONTAINER_JSON || fault(o->s, pointer, "$merge needs a JSON column");
	if (c == CONTAINER_JSON)
		return true;
	if (c != CONTAINER_ARRAY || sqlite || !query_element_type(&o->args[0]->type, &ignored))
		return fault(o->s, pointer,
			     sqlite ? "arrays are JSON columns on SQLite" : "this needs an array column");
	return true;
}

/* The element is bound as a document or as the text of its kind. */
static bool parse_array(struct operands_of *o, const char *pointer)
{
	const struct expr_scope *s = o->s;
	const struct column json = query_type(LT_JSON, ST_JSONB), text = query_type(LT_STRING, ST_TEXT);
	struct query_expr *element = arena_alloc(s->p->arena, sizeof(*element));
	struct strbuf b;

	o->args = arena_array(s->p->arena, 2, sizeof(const struct query_expr *));
	if (o->pointers[0] == NULL)
		o->args[0] = query_expr_column(s->p->arena, s->own);
	else if (!query_parse_expr(s, o->list[0], NULL, o->pointers[0], &o->args[0]))
		return false;
	if (!check_array(o, pointer))
		return false;
	o->args[1] = element;
	if (query_is_expr(o->list[1], &json))
		return query_parse_expr(s, o->list[1], NULL, o->pointers[1], &o->args[1]);
	if (query_container(&o->args[0]->type) == CONTAINER_JSON && json_is_null(o->list[1])) {
		*element = (struct query_expr){.kind = EXPR_VALUE, .type = json, .value = value_json(STR("null"))};
		return o->word->kind != EXPR_MERGE || fault(s, pointer_of(o, 1, pointer), "$merge takes an object");
	}
	if (o->word->kind == EXPR_MERGE && !json_is_object(o->list[1]))
		return fault(s, pointer_of(o, 1, pointer), "$merge takes an object");
	if (query_container(&o->args[0]->type) == CONTAINER_JSON)
		return query_literal(s, o->list[1], &json, pointer_of(o, 1, pointer), element);
	if (json_is_string(o->list[1]) || json_is_null(o->list[1]))
		return query_literal(s, o->list[1], &text, pointer_of(o, 1, pointer), element);
	strbuf_init(&b, 0);
	json_write(&b, o->list[1], true);
	*element = (struct query_expr){
		.kind = EXPR_VALUE, .type = text, .value = value_text(arena_str(s->p->arena, strbuf_str(&b)))};
	strbuf_done(&b);
	return true;
}

/* Of $coalesce. */
static bool choices(struct operands_of *o, const struct column *hint, const char *pointer, struct column *ret_type)
{
	o->args = arena_array(o->s->p->arena, o->n, sizeof(const struct query_expr *));
	for (size_t i = 0; i < o->n; i++) {
		if (o->pointers[i] == NULL)
			o->args[i] = query_expr_column(o->s->p->arena, o->s->own);
		o->pointers[i] = pointer_of(o, i, pointer);
	}
	return query_mix(
		o->s,
		&(const struct query_choices){
			.args = o->args, .list = o->list, .pointers = o->pointers, .places = o->pointers, .n = o->n},
		hint, ret_type);
}

static bool call(const struct expr_scope *s, const struct expr_word *w, const json_t *v, const struct column *hint,
		 const char *pointer, struct query_expr *ret)
{
	struct operands_of *o = arena_alloc(s->p->arena, sizeof(*o));
	const bool array = w->kind == EXPR_APPEND || w->kind == EXPR_REMOVE || w->kind == EXPR_MERGE;

	*o = (struct operands_of){.s = s, .word = w};
	if (!list_operands(o, v, pointer))
		return false;
	if (w->kind == EXPR_COALESCE) {
		*ret = (struct query_expr){.kind = w->kind, .n_args = o->n};
		if (!choices(o, hint, pointer, &ret->type))
			return false;
		ret->args = o->args;
		return true;
	}
	if (!(array ? parse_array(o, pointer) : parse_operands(o, hint, pointer)) || !check_traits(o, pointer))
		return false;
	ret->kind = w->kind;
	ret->args = o->args;
	ret->n_args = o->n;
	if ((w->trait & CODEC_ARITHMETIC) != 0)
		ret->type = number_type(o);
	else if (w->kind == EXPR_LENGTH)
		ret->type = query_type(LT_INTEGER, ST_BIGINT);
	else if (w->kind == EXPR_CONCAT || w->kind == EXPR_LOWER || w->kind == EXPR_UPPER)
		ret->type = query_type(LT_STRING, ST_TEXT);
	else
		ret->type = o->args[0]->type;
	ret->type.nullable = true;
	return true;
}

/* ---- the others ---- */

static bool now(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		struct query_expr *ret)
{
	if (!json_is_true(v))
		return fault(s, pointer, "$now takes true");
	ret->kind = EXPR_NOW;
	ret->type = hint != NULL && hint->logical != LT_JSON ? *hint : query_type(LT_DATETIME, ST_TIMESTAMPTZ);
	return (codec_traits(&ret->type) & CODEC_NOW) != 0 ||
	       err_set_at(s->p->err, ERR_INVALID_QUERY, pointer,
			  "$now needs a datetime, date or time column; this is of type %s",
			  logical_type_name(ret->type.logical));
}

struct case_of {
	const struct expr_scope *s;
	const struct query_node **conditions;
	const struct query_expr **args;
	const json_t **list;
	const char **pointers, **places;
	size_t n; /* conditions; one more of the others */
};

static bool case_branch(const struct case_of *c, const json_t *pair, const char *pointer, size_t i)
{
	const struct expr_scope *s = c->s;

	if (json_array_size(pair) != 2)
		return fault(s, pointer, "a branch is [condition, value]");
	c->list[i] = json_array_get(pair, 1);
	c->places[i] = pointer;
	c->pointers[i] = json_pointer_index(s->p->arena, pointer, 1);
	return s->p->node(s->p, s->model, json_array_get(pair, 0), json_pointer_index(s->p->arena, pointer, 0),
			  &c->conditions[i]);
}

/* What is assigned is of the column's kind, branch by branch. */
static bool check_case(const struct case_of *c, const struct column *hint)
{
	for (size_t i = 0; i <= c->n && hint != NULL && !c->s->compared; i++)
		if (!query_meet(hint, &c->args[i]->type))
			return err_set_at(c->s->p->err, ERR_INVALID_QUERY, c->places[i],
					  "this gives a value of type %s; one of type %s is needed",
					  logical_type_name(c->args[i]->type.logical),
					  logical_type_name(hint->logical));
	return true;
}

static bool case_values(const struct case_of *c, const struct column *hint, struct column *ret_type)
{
	const struct query_choices choices = {
		.args = c->args, .list = c->list, .pointers = c->pointers, .places = c->places, .n = c->n + 1};

	return query_mix(c->s, &choices, hint, ret_type) && check_case(c, hint);
}

static bool cases(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		  struct query_expr *ret)
{
	static const char *const members[] = {"when", "else", NULL};
	const char *at = json_pointer_key(s->p->arena, pointer, STR("when"));
	const json_t *when = json_object_get(v, "when"), *otherwise = json_object_get(v, "else");
	const size_t n = json_array_size(when);
	const struct case_of c = {.s = s,
				  .conditions = arena_array(s->p->arena, n + 1, sizeof(const struct query_node *)),
				  .args = arena_array(s->p->arena, n + 1, sizeof(const struct query_expr *)),
				  .list = arena_array(s->p->arena, n + 1, sizeof(const json_t *)),
				  .pointers = arena_array(s->p->arena, n + 1, sizeof(const char *)),
				  .places = arena_array(s->p->arena, n + 1, sizeof(const char *)),
				  .n = n};

	if (!json_is_object(v) || !json_is_array(when) || n == 0 || n > LIMIT_EXPR_ARGS)
		return fault(s, at, "$case takes {\"when\": [[condition, value], ...], \"else\": value}");
	if (!query_known(s->p, v, pointer, members))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!case_branch(&c, json_array_get(when, i), json_pointer_index(s->p->arena, at, i), i))
			return false;
	c.list[n] = otherwise != NULL ? otherwise : json_null();
	c.places[n] = c.pointers[n] = json_pointer_key(s->p->arena, pointer, STR("else"));
	*ret = (struct query_expr){
		.kind = EXPR_CASE, .args = c.args, .n_args = n + 1, .when = c.conditions, .n_when = n};
	return case_values(&c, hint, &ret->type);
}

static bool document(const struct expr_scope *s, const json_t *v, const char *pointer, const struct query_expr **ret)
{
	const json_t *of = json_object_get(v, "of");

	if (of != NULL) {
		if (!query_parse_expr(s, of, NULL, json_pointer_key(s->p->arena, pointer, STR("of")), ret))
			return false;
	} else if (s->own != NULL) {
		*ret = query_expr_column(s->p->arena, s->own);
	} else {
		return fault(s, pointer, "member \"of\" is missing: the document");
	}
	return query_container(&(*ret)->type) == CONTAINER_JSON || fault(s, pointer, "this needs a JSON column");
}

/* {"path": [...], "value": X, "of"?}; of a removal the path may stand alone. */
static bool at_path(const struct expr_scope *s, bool set, const json_t *v, const char *pointer, struct query_expr *ret)
{
	static const char *const members[] = {"path", "value", "of", NULL}, *const removal[] = {"path", "of", NULL};
	const struct column json = query_type(LT_JSON, ST_JSONB);
	const struct query_expr **args = arena_array(s->p->arena, 2, sizeof(const struct query_expr *));
	const json_t *path = json_is_array(v) ? v : json_object_get(v, "path");
	const char *at = json_is_array(v) ? pointer : json_pointer_key(s->p->arena, pointer, STR("path"));
	const json_t *value = json_object_get(v, "value");

	if (!json_is_object(v) && (set || !json_is_array(v)))
		return fault(s, pointer, "an object with \"path\" is needed here");
	if (!query_known(s->p, v, pointer, set ? members : removal) || !document(s, v, pointer, &args[0]) ||
	    !query_steps(s->p, path, at, &ret->path, &ret->n_path))
		return false;
	if (set && value == NULL)
		return fault(s, pointer, "member \"value\" is missing");
	at = json_pointer_key(s->p->arena, pointer, STR("value"));
	if (set && json_is_null(value)) {
		struct query_expr *null = arena_alloc(s->p->arena, sizeof(*null));

		*null = (struct query_expr){.kind = EXPR_VALUE, .type = json, .value = value_json(STR("null"))};
		args[1] = null;
	} else if (set && !query_parse_expr(s, value, &json, at, &args[1])) {
		return false;
	}
	ret->kind = set ? EXPR_SET_PATH : EXPR_REMOVE_PATH;
	ret->args = args;
	ret->n_args = set ? 2 : 1;
	ret->type = args[0]->type;
	return true;
}

static bool given(const struct expr_scope *s, const json_t *v, const char *pointer, struct query_expr *ret)
{
	const struct column *c;

	if (!s->given)
		return fault(s, pointer, "$given is the row of an upsert: here is none");
	if (!json_is_string(v))
		return fault(s, pointer, "$given takes a column's name");
	c = model_column(s->model, json_str(v));
	if (c == NULL)
		return query_unknown_column(s->p->err, pointer, s->model, json_str(v));
	*ret = (struct query_expr){.kind = EXPR_GIVEN, .column = c, .type = *c};
	return true;
}

static bool known_words(const struct expr_scope *s, const char *pointer, const struct column *hint)
{
	return err_set_at(s->p->err, ERR_INVALID_QUERY, pointer,
			  "unknown expression; $column, $add, $sub, $mul, $div, $concat, $coalesce, $lower, $upper, "
			  "$length, $now, $case, $append, $remove, $merge, $set_path and $remove_path are known%s",
			  hint == NULL || hint->logical != LT_JSON ? "" : ", and {\"$json\": ...} around a document");
}

static bool expression(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		       const struct query_expr **ret)
{
	static const char *const members[] = {"$column", REF_MEMBERS, NULL};
	struct query_expr *e = arena_alloc(s->p->arena, sizeof(*e));
	const char *key = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)v));
	const char *at = json_pointer_key(s->p->arena, pointer, str_z(key));
	const json_t *operand = json_object_get(v, key);
	const struct expr_word *w = query_word(key);

	if (json_object_get(v, "$column") != NULL)
		return query_known(s->p, v, pointer, members) && query_ref(s->p, s->model, v, "$column", pointer, ret);
	if (w == NULL)
		return known_words(s, at, hint);
	*ret = e;
	if (w->kind == EXPR_NOW)
		return now(s, operand, hint, at, e);
	if (w->kind == EXPR_CASE)
		return cases(s, operand, hint, at, e);
	if (w->kind == EXPR_SET_PATH || w->kind == EXPR_REMOVE_PATH)
		return at_path(s, w->kind == EXPR_SET_PATH, operand, at, e);
	if (w->kind == EXPR_GIVEN)
		return given(s, operand, at, e);
	return call(s, w, operand, hint, at, e);
}

/* ---- the reference's form ---- */

/* {"kind": K, "left": X, "right": Y}: a merge, an addition, a subtraction. */
static bool reference_call(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
			   struct query_expr *ret)
{
	struct operands_of *o = arena_alloc(s->p->arena, sizeof(*o));
	const struct str kind = json_str(json_object_get(v, "kind"));
	const struct expr_word *w = query_word_of_kind(kind);

	*o = (struct operands_of){.s = s, .word = w, .n = 2};
	o->list[0] = json_object_get(v, "left");
	o->list[1] = json_object_get(v, "right");
	o->pointers[0] = json_pointer_key(s->p->arena, pointer, STR("left"));
	o->pointers[1] = json_pointer_key(s->p->arena, pointer, STR("right"));
	for (size_t i = 0; i < 2; i++) {
		const json_t *kind_of = json_object_get(o->list[i], "kind");

		if (json_is_string(kind_of) && str_eq_z(json_str(kind_of), "literal"))
			o->list[i] = query_untyped(json_object_get(o->list[i], "value"));
	}
	if (!(w->kind == EXPR_MERGE ? parse_array(o, pointer) : parse_operands(o, hint, pointer)) ||
	    !check_traits(o, pointer))
		return false;
	*ret = (struct query_expr){.kind = w->kind, .args = o->args, .n_args = 2};
	ret->type = w->kind == EXPR_MERGE ? o->args[0]->type : number_type(o);
	ret->type.nullable = true;
	return true;
}

static bool reference(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		      const struct query_expr **ret)
{
	const struct str kind = json_str(json_object_get(v, "kind"));
	struct query_expr *e = arena_alloc(s->p->arena, sizeof(*e));

	*ret = e;
	if (str_eq(kind, STR("column")))
		return query_ref(s->p, s->model, v, "column", pointer, ret);
	if (str_eq(kind, STR("literal")))
		return query_literal(s, query_untyped(json_object_get(v, "value")), hint,
				     json_pointer_key(s->p->arena, pointer, STR("value")), e);
	if (str_eq(kind, STR("now")))
		return now(s, json_true(), hint, pointer, e);
	return reference_call(s, v, hint, pointer, e);
}

bool query_parse_expr(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		      const struct query_expr **ret)
{
	const char *member;
	struct query_expr *e;

	switch (query_expr_form(v, hint, &member)) {
	case FORM_WORD:
		return expression(s, v, hint, pointer, ret);
	case FORM_REFERENCE:
		return reference(s, v, hint, pointer, ret);
	case FORM_FAULT:
		return err_set_at(
			s->p->err, ERR_INVALID_QUERY, json_pointer_key(s->p->arena, pointer, str_z(member)),
			"an expression has no such member%s",
			hint == NULL || hint->logical != LT_JSON ? "" : "; write {\"$json\": ...} around a document");
	case FORM_VALUE:
		break;
	}
	e = arena_alloc(s->p->arena, sizeof(*e));
	*ret = e;
	return query_literal(s, v, hint, pointer, e);
}

const struct query_expr *query_count_of(struct arena *a, const struct relation *r)
{
	struct query_expr *e = arena_alloc(a, sizeof(*e));
	const struct relation **hops = arena_array(a, 1, sizeof(const struct relation *));

	hops[0] = r;
	*e = (struct query_expr){
		.kind = EXPR_COUNT, .type = query_type(LT_INTEGER, ST_BIGINT), .hops = hops, .n_hops = 1};
	return e;
}

bool query_count_expr(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
		      const struct query_expr **ret)
{
	struct query_expr *e = arena_alloc(p->arena, sizeof(*e));
	const json_t *where;
	struct str name;

	*e = (struct query_expr){.kind = EXPR_COUNT, .type = query_type(LT_INTEGER, ST_BIGINT)};
	*ret = e;
	return query_member_str(p, obj, "count", pointer, true, &name) &&
	       query_hops(p, m, name, false, json_pointer_key(p->arena, pointer, STR("count")), &e->hops, &e->n_hops) &&
	       query_member_array(p, obj, "where", pointer, &where) &&
	       p->nodes(p, query_hops_end(m, e->hops, e->n_hops), where,
			json_pointer_key(p->arena, pointer, STR("where")), &e->when, &e->n_when);
}
