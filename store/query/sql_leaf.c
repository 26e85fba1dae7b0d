/* Leaves on documents, arrays, ranges and texts that are searched. */
#include "store/query/sql_leaf.h"

#include <string.h>

#include "store/query/query_container.h"
#include "store/query/query_op.h"

#include "service/base/banned.h"

static void put_cast_param(struct sql *s, struct value v, struct str type)
{
	sql_put(s, "CAST(");
	sql_param(s, v);
	sql_put(s, " AS ");
	sql_put(s, arena_strz(s->arena, type));
	sql_put(s, ")");
}

static bool compares(enum query_op op)
{
	return op <= OP_GE || op == OP_IN || op == OP_NOT_IN || op == OP_BETWEEN || op == OP_DISTINCT ||
	       op == OP_NOT_DISTINCT;
}

/* Is the subject compared by what the time is, not by what is stored? */
static bool by_time(const struct sql *s, const struct condition *c)
{
	const struct column *type = sql_subject_type(c);

	return sql_is_time(s, type) && compares(c->node->op) && !(c->node->stored && sql_time_ordered(s, type));
}

/* What both sides are cast to; STR_NONE: nothing. */
static struct str compared_as(const struct sql *s, const struct condition *c)
{
	const struct column *type = sql_subject_type(c);

	if (!sql_on_postgres(s) || type == NULL || !compares(c->node->op))
		return STR_NONE;
	/* what is computed is a time, the table may have a text */
	if (type->home != NULL && type->storage == ST_TIME && c->node->operand != NULL)
		return STR("time");
	return column_compared_as(type);
}

static void put_as(struct sql *s, struct str type)
{
	sql_put(s, " AS ");
	sql_put(s, arena_strz(s->arena, type));
	sql_put(s, ")");
}

/* Their operators are those of numbers, whose texts are others. */
static bool is_reference(struct str type)
{
	return str_starts(type, STR("reg")) && memchr(type.p, '(', type.len) == NULL;
}

/* What a time is compared as beside an expression: a day as the instant at its begin, where that is one. */
static struct column compared_time(const struct condition *c, const struct column *type)
{
	const struct query_expr *operand = c->node->operand;
	const struct column *subject = sql_subject_type(c);
	struct column t = *type;

	if (t.logical == LT_DATE && operand != NULL &&
	    (operand->type.logical == LT_DATETIME || subject->logical == LT_DATETIME)) {
		t.logical = LT_DATETIME;
		t.spelling = TIME_MIXED;
	}
	return t;
}

void sql_operand(struct sql *s, const struct condition *c, const struct query_expr *e)
{
	const struct str as = compared_as(s, c);
	const struct column *type = sql_subject_type(c);
	const bool numbered = sql_is_numbered(s, &e->type) && compares(c->node->op);
	struct column time;

	sql_put(s, as.p != NULL ? "CAST(" : "");
	sql_number_before(s, numbered);
	if (sql_is_time(s, type)) { /* each in its own unit, if it has one */
		time = compared_time(c, sql_is_time(s, &e->type) ? &e->type : type);
		sql_time_before(s, &time);
		sql_expr(s, e);
		sql_time_after(s, &time);
	} else if (type != NULL) {
		sql_expr_as(s, e, sql_compared(s, type, &e->type));
	} else {
		sql_expr(s, e);
	}
	sql_number_after(s, numbered);
	if (as.p != NULL)
		put_as(s, as);
}

/* Is what is compared the number, not the label? A label is found by an index. */
static bool by_number(const struct sql *s, const struct condition *c)
{
	const enum query_op op = c->node->op;

	return sql_is_numbered(s, sql_subject_type(c)) && compares(op) &&
	       (c->node->operand != NULL || op == OP_LT || op == OP_LE || op == OP_GT || op == OP_GE ||
		op == OP_BETWEEN);
}

static void put_subject(struct sql *s, const struct condition *c)
{
	const struct column *type = sql_subject_type(c), *as = type;

	if (type != NULL && c->node->operand != NULL && compares(c->node->op))
		as = sql_compared(s, type, &c->node->operand->type);
	sql_number_before(s, by_number(s, c));
	if (as != type)
		sql_convert_before(s, type, as);
	if (c->node->column != NULL)
		sql_column(s, c->node->column->name);
	else if (c->node->expr != NULL)
		sql_expr(s, c->node->expr);
	else
		sql_aggregate(s, &c->q->aggregates[c->node->aggregate]);
	if (as != type)
		sql_convert_after(s, type, as);
	sql_number_after(s, by_number(s, c));
}

void sql_subject(struct sql *s, const struct condition *c)
{
	const bool time = by_time(s, c);
	const struct str as = compared_as(s, c);
	struct column type;

	sql_put(s, as.p != NULL ? "CAST(" : "");
	if (time) {
		type = compared_time(c, sql_subject_type(c));
		sql_time_before(s, &type);
	}
	put_subject(s, c);
	if (time)
		sql_time_after(s, &type);
	if (as.p != NULL)
		put_as(s, as);
}

void sql_subject_text(struct sql *s, const struct condition *c)
{
	static const struct column uuid = {.logical = LT_UUID, .storage = ST_UUID};
	const struct column *type = sql_subject_type(c);
	const bool spelled = type != NULL && type->logical == LT_UUID && !sql_on_postgres(s);
	const bool foreign = type != NULL && type->own_type && type->storage == ST_UNRESOLVED &&
			     !str_ieq_z(type->db_type, "citext"); /* which compares without case */
	const bool cast =
		sql_on_postgres(s) && type != NULL &&
		(foreign || type->postgres_native_enum || type->enum_values != NULL || sql_needs_text(s, type));

	if (spelled)
		sql_convert_before(s, type, &uuid);
	sql_put(s, cast ? "CAST(" : "");
	sql_subject(s, c);
	sql_put(s, cast ? " AS text)" : "");
	if (spelled)
		sql_convert_after(s, type, &uuid);
}

void sql_value(struct sql *s, const struct condition *c, struct value v)
{
	const struct column *type = sql_subject_type(c);

	const struct str as = compared_as(s, c);

	if (as.p != NULL) {
		sql_put(s, "CAST(");
		put_cast_param(s, v, column_own_type(type));
		put_as(s, as);
		return;
	}
	/* beside a composite, a parameter would be any record, which has no text form */
	if (sql_on_postgres(s) && type != NULL && type->own_type &&
	    (type->shape == SHAPE_COMPOSITE || is_reference(type->db_type))) {
		put_cast_param(s, v, type->db_type);
		return;
	}
	if (by_time(s, c) && type != NULL)
		v = sql_time_value(s, type, v);
	sql_param(s, v);
}

const struct column *sql_subject_type(const struct condition *c)
{
	const struct query_aggregate *g;

	if (c->node->column != NULL)
		return c->node->column;
	if (c->node->expr != NULL)
		return &c->node->expr->type;
	g = c->q != NULL ? &c->q->aggregates[c->node->aggregate] : NULL;
	return g != NULL && (g->fn == AGG_MIN || g->fn == AGG_MAX) ? query_aggregate_argument(g) : NULL;
}

void sql_subject_document(struct sql *s, const struct condition *c)
{
	struct query_expr own = {.kind = EXPR_COLUMN, .column = c->node->column};

	if (c->node->column != NULL)
		own.type = *c->node->column;
	sql_document(s, c->node->column != NULL ? &own : c->node->expr);
}

/* ---- documents on SQLite ---- */

/* A scalar at a path, without building text: the type says what the value, which SQLite has no booleans for, is. The
 * value is looked at first, since it is seldom the one; a number's last digits then, which SQLite does not compare. */
static void put_json_scalar(struct sql *s, const struct query_expr *e, struct value v)
{
	const char first = v.u.s.p[0];
	const bool word = first == 't' || first == 'f' || first == 'n', number = !word && first != '"';

	sql_put(s, "CASE WHEN json_valid(");
	sql_column(s, e->column->name);
	sql_put(s, ") THEN ");
	if (!word) { /* numbers as doubles: a long integer and the same with a point are one */
		sql_put(s, number ? "CAST(" : "");
		sql_json_call(s, "json_extract", e);
		sql_put(s, number ? " AS REAL) = CAST(json_extract(" : " = json_extract(");
		sql_param(s, v);
		sql_put(s, number ? ", '$') AS REAL) AND " : ", '$') AND ");
	}
	if (!number) {
		sql_json_call(s, "json_type", e);
		sql_put(s, first == 't'   ? " = 'true'"
			   : first == 'f' ? " = 'false'"
			   : first == 'n' ? " = 'null'"
					  : " = 'text'");
	} else {
		sql_put(s, "ferro_json_equal(");
		sql_json_at(s, e);
		sql_put(s, ", ");
		sql_param(s, v);
		sql_put(s, ")");
	}
	sql_put(s, " END");
}

bool sql_plain_text(struct sql *s, const struct condition *c, const char *sign)
{
	const struct query_expr *e = c->node->expr;

	if (sql_on_postgres(s) || c->node->operand != NULL || !plan_is_text_at_path(c->node))
		return false;
	sql_put(s, "CASE WHEN json_valid(");
	sql_column(s, e->column->name);
	sql_put(s, ") THEN ");
	sql_json_call(s, "json_extract", e);
	sql_put(s, " END");
	sql_put(s, sign);
	sql_param(s, c->node->values[0]);
	return true;
}

void sql_json_equal(struct sql *s, const struct condition *c, struct value v)
{
	const struct query_expr *e = c->node->expr;

	if (e != NULL && e->kind == EXPR_COLUMN && e->n_hops == 0 && e->n_path > 0 && v.u.s.len > 0 &&
	    v.u.s.p[0] != '{' && v.u.s.p[0] != '[') {
		put_json_scalar(s, e, v);
		return;
	}
	sql_put(s, "ferro_json_equal(");
	sql_subject(s, c);
	sql_put(s, ", ");
	sql_param(s, v);
	sql_put(s, ")");
}

/* ---- documents, arrays and ranges ---- */

static const char *const container_signs[] = {
	[OP_CONTAINS] = " @> ", [OP_CONTAINED] = " <@ ", [OP_OVERLAP] = " && ",   [OP_HAS_KEY] = " ? ",
	[OP_HAS_ANY] = " ?| ",  [OP_HAS_ALL] = " ?& ",   [OP_ADJACENT] = " -|- ", [OP_LEFT_OF] = " << ",
	[OP_RIGHT_OF] = " >> ", [OP_NOT_LEFT] = " &> ",  [OP_NOT_RIGHT] = " &< ",
};

static void put_json_operator(struct sql *s, const struct condition *c, struct value v)
{
	static const char *const functions[] = {
		[OP_CONTAINS] = "ferro_json_contains(", [OP_CONTAINED] = "ferro_json_contained(",
		[OP_OVERLAP] = "ferro_json_contains(",  [OP_ANY] = "ferro_json_contains(",
		[OP_HAS_KEY] = "ferro_json_has_all(",   [OP_HAS_ANY] = "ferro_json_has_any(",
		[OP_HAS_ALL] = "ferro_json_has_all("};
	const enum query_op op = c->node->op;
	const bool keys = op == OP_HAS_KEY || op == OP_HAS_ANY || op == OP_HAS_ALL;

	if (sql_on_postgres(s)) { /* an element is contained as an array of it */
		sql_subject_document(s, c);
		sql_put(s, op == OP_OVERLAP || op == OP_ANY ? " @> " : op == OP_HAS_KEY ? " ?& " : container_signs[op]);
		put_cast_param(s, v, keys ? STR("text[]") : STR("jsonb"));
		return;
	}
	sql_put(s, functions[op]);
	sql_subject(s, c);
	sql_put(s, ", ");
	sql_param(s, v);
	sql_put(s, ")");
}

/* SQLite bounds how deep an expression is: many are halved. */
static void put_any_document(struct sql *s, const struct condition *c, const struct value *values, size_t n)
{
	sql_put(s, n > 1 ? "(" : "");
	if (n > 32) {
		put_any_document(s, c, values, n / 2);
		sql_put(s, " OR ");
		put_any_document(s, c, values + n / 2, n - n / 2);
	}
	for (size_t i = 0; n <= 32 && i < n; i++) {
		sql_put(s, i > 0 ? " OR " : "");
		put_json_operator(s, c, values[i]);
	}
	sql_put(s, n > 1 ? ")" : "");
}

static void put_json_container(struct sql *s, const struct condition *c)
{
	if (c->node->n_values == 0)
		sql_put(s, "1 = 0");
	else
		put_any_document(s, c, c->node->values, c->node->n_values);
}

/* A domain over an enum has no operators, the enum has. */
static void put_any(struct sql *s, const struct condition *c, struct str element)
{
	const struct column *e = sql_subject_type(c)->element;
	const struct str as = column_compared_as(e);

	put_cast_param(s, c->node->values[0], as.p != NULL ? as : element);
	sql_put(s, as.p != NULL ? " = ANY (CAST(" : " = ANY (");
	sql_subject(s, c);
	if (as.p != NULL)
		put_as(s, arena_printf(s->arena, "%.*s[]", STR_FMT(as)));
	sql_put(s, ")");
}

void sql_container(struct sql *s, const struct condition *c)
{
	const struct column *type = sql_subject_type(c);
	const enum container kind = query_container(type);
	const struct value v = c->node->n_values > 0 ? c->node->values[0] : value_null();
	struct str element = STR_NONE;

	if (kind == CONTAINER_JSON) {
		put_json_container(s, c);
		return;
	}
	if (!query_element_type(type, &element)) { /* such a type has been refused */
		sql_put(s, "1 = 0");
		return;
	}
	if (c->node->op == OP_ANY) {
		put_any(s, c, element);
		return;
	}
	sql_subject(s, c);
	sql_put(s, container_signs[c->node->op]);
	if (kind == CONTAINER_ARRAY)
		put_cast_param(s, v, arena_printf(s->arena, "%.*s[]", STR_FMT(element)));
	else
		put_cast_param(s, v, v.kind == VALUE_TEXT && query_is_range_text(v.u.s) ? type->db_type : element);
}

/* The table's hidden column of its own name means every column of it. */
void sql_match(struct sql *s, const struct condition *c)
{
	if (sql_on_postgres(s)) {
		sql_search_text(s, c->node);
		sql_put(s, " @@ ");
		sql_search(s, c->node);
		return;
	}
	if (c->node->model != NULL)
		sql_column(s, c->node->model->table);
	else
		sql_subject(s, c);
	sql_put(s, " MATCH ");
	sql_param(s, c->node->values[0]);
}

bool sql_either_class(const struct sql *s, struct value v)
{
	return !sql_on_postgres(s) && v.kind == VALUE_TEXT && !str_is_utf8(v.u.s);
}

void sql_order_of_either(struct sql *s, const struct condition *c, const char *sign)
{
	const bool more = c->node->op == OP_GT;

	sql_put(s, "(");
	sql_subject(s, c);
	sql_put(s, sign);
	sql_value(s, c, c->node->values[0]);
	sql_put(s, more ? " AND " : " OR ");
	sql_subject(s, c);
	sql_put(s, more ? " <> " : " = ");
	sql_param(s, value_bytes(c->node->values[0].u.s));
	sql_put(s, ")");
}
