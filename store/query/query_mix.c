/* See query_mix.h. */
#include "store/query/query_mix.h"

#include "store/query/query_op.h"
#include "store/query/query_words.h"

#include "service/base/banned.h"

struct column query_type(enum logical_type logical, enum storage_type storage)
{
	return (struct column){.logical = logical,
			       .storage = storage,
			       .logical_word = str_z(logical_type_name(logical)),
			       .nullable = true,
			       .format = STR_NONE,
			       .db_type = STR_NONE,
			       .enum_type_name = STR_NONE};
}

static bool is_number(const struct column *c)
{
	return !c->own_type && (c->logical == LT_INTEGER || c->logical == LT_NUMBER || c->logical == LT_DECIMAL);
}

static bool is_day(const struct column *c)
{
	return c->logical == LT_DATE || c->logical == LT_DATETIME;
}

static bool is_text(const struct column *c)
{
	return c->storage == ST_TEXT || c->storage == ST_VARCHAR || c->storage == ST_CHAR;
}

bool query_meet(const struct column *place, const struct column *type)
{
	const bool computed = (codec_traits(place) & codec_traits(type) & CODEC_ARITHMETIC) != 0;

	return place->logical == type->logical || place->logical == LT_JSON || place->logical == LT_UNKNOWN ||
	       type->logical == LT_UNKNOWN || (is_day(place) && is_day(type)) || computed ||
	       (is_number(place) && is_number(type));
}

/* ---- the type of both ---- */

/* Doubles beside others are decimals of any length, which keep the digits of all of them. */
static struct column mixed_number(const struct dialect *d, const struct column *a, const struct column *b)
{
	const bool exact_text = d->id == DIALECT_SQLITE &&
				((a->logical == LT_DECIMAL && is_text(a)) || (b->logical == LT_DECIMAL && is_text(b)));

	if (a->logical == LT_NUMBER || b->logical == LT_NUMBER)
		return query_type(LT_NUMBER,
				  a->logical == b->logical && a->storage == b->storage ? a->storage : ST_NUMERIC);
	if (a->logical == LT_DECIMAL || b->logical == LT_DECIMAL)
		return query_type(LT_DECIMAL, exact_text ? ST_TEXT : ST_NUMERIC);
	return query_type(LT_INTEGER, ST_BIGINT);
}

/* A day is the instant at its begin; one without a zone is UTC's beside those with one. */
static struct column mixed_day(const struct column *a, const struct column *b)
{
	const bool naive = (a->logical == LT_DATE || a->storage == ST_TIMESTAMP) &&
			   (b->logical == LT_DATE || b->storage == ST_TIMESTAMP);

	if (a->logical == LT_DATE && b->logical == LT_DATE)
		return query_type(LT_DATE, ST_DATE);
	return query_type(LT_DATETIME, naive ? ST_TIMESTAMP : ST_TIMESTAMPTZ);
}

struct column query_mixed(const struct dialect *d, const struct column *a, const struct column *b)
{
	if (a->logical == LT_JSON || a->logical == LT_UNKNOWN || b->logical == LT_UNKNOWN)
		return *a;
	if (a->logical == b->logical && a->storage == b->storage && a->own_type == b->own_type)
		return *a;
	if (is_number(a) && is_number(b))
		return mixed_number(d, a, b);
	if (is_day(a) && is_day(b))
		return mixed_day(a, b);
	if (a->logical == LT_TIME)
		return query_type(LT_TIME, ST_TIME);
	return a->logical == LT_UUID ? query_type(LT_UUID, ST_UUID) : *a;
}

/* ---- values ---- */

/* What a value is by itself. */
static struct column own_type(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_INTEGER:
		return query_type(LT_INTEGER, ST_BIGINT);
	case JSON_REAL:
		return query_type(LT_NUMBER, ST_DOUBLE);
	case JSON_TRUE:
	case JSON_FALSE:
		return query_type(LT_BOOLEAN, ST_BOOLEAN);
	case JSON_OBJECT:
	case JSON_ARRAY:
		return query_type(LT_JSON, ST_JSONB);
	case JSON_STRING:
	case JSON_NULL:
		break;
	}
	return query_type(LT_STRING, ST_TEXT);
}

/* With a fraction beyond whole numbers what a column of these becomes. */
static struct column value_type(const json_t *v, const struct column *hint)
{
	return hint == NULL || (hint->logical == LT_INTEGER && json_is_real(v)) ? own_type(v) : *hint;
}

bool query_literal(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		   struct query_expr *ret)
{
	if (hint == NULL || hint->logical != LT_JSON)
		v = query_untyped(v);
	ret->kind = EXPR_VALUE;
	ret->type = value_type(v, hint);
	return query_bind(s->p->arena, s->p->dialect, &ret->type, v, pointer, &ret->value, s->p->err);
}

/* ---- branches ---- */

/* {"$now": true} is as much a value as one that is given: it has the others' type. */
static bool is_now(const json_t *v)
{
	const json_t *kind = json_object_get(v, "kind");

	return json_object_size(v) == 1 &&
	       (json_object_get(v, "$now") != NULL || (json_is_string(kind) && str_eq(json_str(kind), STR("now"))));
}

static bool is_computed(const json_t *v, const struct column *hint)
{
	const char *ignored;

	return query_expr_form(v, hint, &ignored) != FORM_VALUE;
}

static bool differ(const struct expr_scope *s, const char *pointer, const struct column *place,
		   const struct column *type)
{
	return err_set_at(s->p->err, ERR_INVALID_QUERY, pointer,
			  "this gives a value of type %s; one of type %s is needed", logical_type_name(type->logical),
			  logical_type_name(place->logical));
}

struct mix {
	const struct expr_scope *s;
	const struct query_choices *c;
	const struct column *hint;
	bool known;
	struct column type;
};

static void join(struct mix *m, const struct column *type)
{
	m->type = m->known ? query_mixed(m->s->p->dialect, &m->type, type) : *type;
	m->known = true;
}

static bool parse_computed(struct mix *m)
{
	for (size_t i = 0; i < m->c->n; i++)
		if (m->c->args[i] == NULL && is_computed(m->c->list[i], m->hint) && !is_now(m->c->list[i]) &&
		    !m->s->p->expr(m->s, m->c->list[i], m->hint, m->c->pointers[i], &m->c->args[i]))
			return false;
	for (size_t i = 0; i < m->c->n; i++) {
		if (m->c->args[i] == NULL)
			continue;
		if (m->known && !query_meet(&m->type, &m->c->args[i]->type))
			return differ(m->s, m->c->places[i], &m->type, &m->c->args[i]->type);
		join(m, &m->c->args[i]->type);
	}
	return true;
}

static bool has_now(const struct mix *m)
{
	for (size_t i = 0; i < m->c->n; i++)
		if (m->c->args[i] == NULL && is_now(m->c->list[i]))
			return true;
	return false;
}

/* Is it a whole number that values of the type are not? */
static bool is_beyond(const json_t *v, const struct column *type)
{
	const int64_t i = json_integer_value(v), most = type->logical == LT_NUMBER     ? INT64_C(1) << 53
							: type->storage == ST_SMALLINT ? INT16_MAX
							: type->storage == ST_INT      ? INT32_MAX
										       : INT64_MAX;

	return i > most || i < -most - 1;
}

/* A fraction among whole numbers makes all of them numbers; of values alone the first tells what they are. What is
 * assigned is as large as the column allows. */
static void join_value(struct mix *m, const json_t *v)
{
	const bool assigned = m->hint != NULL && !m->s->compared, whole = m->type.logical == LT_INTEGER;
	struct column type;

	if (json_is_null(v) || (m->known && !json_is_number(v)))
		return;
	type = own_type(v);
	if (!m->known || (whole && json_is_real(v)) ||
	    ((whole || m->type.logical == LT_NUMBER) && json_is_integer(v) && !assigned && is_beyond(v, &m->type)))
		join(m, &type);
}

/* A value as it stands beside the others: a whole number keeps its digits among fractions. */
static bool parse_value(const struct mix *m, const json_t *v, const char *pointer, const struct query_expr **ret)
{
	const bool whole = json_is_integer(v) && !is_text(&m->type) &&
			   (m->type.logical == LT_NUMBER || m->type.logical == LT_DECIMAL);
	struct query_expr *e;

	if (!whole)
		return m->s->p->expr(m->s, v, &m->type, pointer, ret);
	e = arena_alloc(m->s->p->arena, sizeof(*e));
	*ret = e;
	return query_literal(m->s, v, NULL, pointer, e);
}

bool query_mix(const struct expr_scope *s, const struct query_choices *c, const struct column *hint,
	       struct column *ret_type)
{
	const struct column now = query_type(LT_DATETIME, ST_TIMESTAMPTZ);
	struct mix m = {.s = s, .c = c, .hint = hint};

	if (hint != NULL && hint->logical == LT_JSON) /* which takes them all */
		join(&m, hint);
	if (!parse_computed(&m))
		return false;
	if (!m.known && hint != NULL)
		join(&m, hint);
	else if (!m.known && has_now(&m))
		join(&m, &now);
	for (size_t i = 0; i < c->n; i++)
		if (c->args[i] == NULL && !is_now(c->list[i]))
			join_value(&m, query_untyped(c->list[i]));
	if (!m.known)
		m.type = query_type(LT_STRING, ST_TEXT);
	m.type.nullable = true;
	for (size_t i = 0; i < c->n; i++)
		if (c->args[i] == NULL && !parse_value(&m, c->list[i], c->pointers[i], &c->args[i]))
			return false;
	*ret_type = m.type;
	return true;
}

/* ---- comparisons ---- */

/* A text is read as what it is compared with; false: nothing can be read from a text there. */
static bool read_as(const struct dialect *d, const struct column *type, struct column *ret)
{
	switch (type->logical) {
	case LT_INTEGER:
	case LT_NUMBER:
	case LT_DECIMAL:
		*ret = query_type(LT_DECIMAL, d->id == DIALECT_SQLITE && type->logical == LT_DECIMAL && is_text(type)
						      ? ST_TEXT
						      : ST_NUMERIC);
		return true;
	case LT_BOOLEAN:
		*ret = query_type(LT_BOOLEAN, ST_BOOLEAN);
		return true;
	case LT_UUID:
		*ret = query_type(LT_UUID, ST_UUID);
		return true;
	case LT_DATETIME:
		*ret = query_type(LT_DATETIME, type->storage == ST_TIMESTAMP ? ST_TIMESTAMP : ST_TIMESTAMPTZ);
		return true;
	case LT_DATE:
		*ret = query_type(LT_DATE, ST_DATE);
		return true;
	case LT_TIME:
		*ret = query_type(LT_TIME, ST_TIME);
		return true;
	case LT_STRING:
	case LT_BINARY:
	case LT_JSON:
	case LT_UNKNOWN:
		break;
	}
	return false;
}

static const struct query_expr *reading(struct arena *a, const struct query_expr *e, struct column type)
{
	struct query_expr *read = arena_alloc(a, sizeof(*read));
	const struct query_expr **args = arena_array(a, 1, sizeof(const struct query_expr *));

	args[0] = e;
	*read = (struct query_expr){.kind = EXPR_READ, .args = args, .n_args = 1, .type = type};
	return read;
}

bool query_compared(const struct expr_scope *s, const char *pointer, const struct query_expr **subject,
		    const struct query_expr **operand)
{
	const struct column *a = &(*subject)->type, *b = &(*operand)->type;
	struct column type;

	if (query_meet(a, b) || query_meet(b, a))
		return true;
	if (a->logical == LT_STRING && read_as(s->p->dialect, b, &type)) {
		*subject = reading(s->p->arena, *subject, type);
		return true;
	}
	if (b->logical == LT_STRING && read_as(s->p->dialect, a, &type)) {
		*operand = reading(s->p->arena, *operand, type);
		return true;
	}
	return err_set_at(s->p->err, ERR_INVALID_QUERY, pointer,
			  "this gives a value of type %s; what it is compared with is of type %s",
			  logical_type_name(b->logical), logical_type_name(a->logical));
}
