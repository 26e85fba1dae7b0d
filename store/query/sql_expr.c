/* Expressions as SQL. */
#include "store/query/query_container.h"
#include "store/query/query_sql.h"

#include "service/base/banned.h"

/* ---- casts ---- */

/* The type of the column that the value is for, as its table has it; the planner drops the branch. */
static void put_value_as_there(struct sql *s, const struct query_expr *e)
{
	sql_put(s, "CASE WHEN false THEN (SELECT ");
	sql_ident(s, e->type.name);
	sql_put(s, " FROM ");
	sql_table(s, e->type.home);
	sql_put(s, " LIMIT 0) ELSE ");
	sql_param(s, e->value);
	sql_put(s, " END");
}

static void put_value(struct sql *s, const struct query_expr *e, bool bare)
{
	const bool cast = !bare && sql_has_type(s, &e->type);

	if (cast && e->type.home != NULL) {
		put_value_as_there(s, e);
		return;
	}

	sql_put(s, cast ? "CAST(" : "");
	sql_param(s, e->value);
	if (!cast)
		return;
	sql_put(s, " AS ");
	sql_type(s, &e->type);
	sql_put(s, ")");
}

static bool makes_document(const struct query_expr *e)
{
	return e->kind >= EXPR_APPEND && e->kind <= EXPR_REMOVE_PATH && e->type.logical == LT_JSON;
}

static void put_branches(struct sql *s, const struct query_expr *e, const struct column *to);

/* Its values as a column of type `to` holds them. */
static void put_converted(struct sql *s, const struct query_expr *e, const struct column *to)
{
	if (e->kind == EXPR_CASE || e->kind == EXPR_COALESCE) {
		put_branches(s, e, to);
		return;
	}
	sql_convert_before(s, &e->type, to);
	sql_expr(s, e);
	sql_convert_after(s, &e->type, to);
}

void sql_expr_as(struct sql *s, const struct query_expr *e, const struct column *to)
{
	const bool computing = s->computing;

	s->computing = false;
	if (makes_document(e) && e->type.name.p == to->name.p) /* what is assigned needs no cast */
		sql_expr(s, e);
	else
		put_converted(s, e, to);
	s->computing = computing;
}

/* SQLite: a number at a path with its digits, which json_extract turns into a double. */
static void put_number_document(struct sql *s, const struct query_expr *e)
{
	struct query_expr json = *e;

	json.path_type = PATH_JSON;
	sql_put(s, "CASE WHEN json_type(");
	sql_reference(s, &json);
	sql_put(s, ") IN ('integer', 'real') THEN ");
	sql_reference(s, &json);
	sql_put(s, " END");
}

void sql_document(struct sql *s, const struct query_expr *e)
{
	static const struct column document = {.logical = LT_JSON, .storage = ST_JSONB};
	const bool plain = e->kind == EXPR_COLUMN && e->n_hops == 0;

	if (!sql_on_postgres(s) && e->kind == EXPR_COLUMN && e->n_path > 0 && e->path_type == PATH_NUMBER) {
		put_number_document(s, e);
	} else if (!sql_on_postgres(s)) {
		sql_expr_as(s, e, &document);
	} else if (e->type.logical != LT_JSON) {
		sql_convert_before(s, &e->type, &document);
		sql_expr(s, e);
		sql_convert_after(s, &e->type, &document);
	} else if (plain && e->n_path == 0) {
		sql_jsonb(s, e->column);
	} else if (plain) {
		sql_chain(s, e, false);
	} else {
		sql_put(s, "CAST(");
		sql_expr(s, e);
		sql_put(s, " AS jsonb)");
	}
}

/* ---- computing ---- */

static void put_arguments(struct sql *s, const struct query_expr *e, const char *between)
{
	for (size_t i = 0; i < e->n_args; i++) {
		sql_put(s, i > 0 ? between : "");
		if (e->args[i]->kind == EXPR_VALUE)
			put_value(s, e->args[i],
				  e->args[i]->type.storage == e->args[0]->type.storage && i > 0 &&
					  e->args[0]->kind == EXPR_COLUMN && e->kind != EXPR_CONCAT);
		else
			sql_expr(s, e->args[i]);
	}
}

/* SQLite would turn an integer that overflows into a float without a word, and a division by zero into null. */
static void put_arithmetic(struct sql *s, const struct query_expr *e)
{
	static const char *const signs[] = {
		[EXPR_ADD] = " + ", [EXPR_SUB] = " - ", [EXPR_MUL] = " * ", [EXPR_DIV] = " / "};
	const bool outermost = !s->computing, sqlite = !sql_on_postgres(s);
	const bool checked = outermost && sqlite && e->type.logical == LT_INTEGER;
	bool rounding = false;

	s->computing = true;
	sql_put(s, checked ? "ferro_integer(" : outermost ? "" : "(");
	if (outermost)
		rounding = sql_round_before(s, &e->type);
	if (e->kind == EXPR_DIV && sqlite) {
		sql_expr(s, e->args[0]);
		sql_put(s, " / ferro_nonzero(");
		sql_expr(s, e->args[1]);
		sql_put(s, ")");
	} else {
		put_arguments(s, e, signs[e->kind]);
	}
	sql_round_after(s, rounding);
	sql_put(s, checked || !outermost ? ")" : "");
	s->computing = !outermost;
}

/* Enums, native ones at least, and uuids are no text on PostgreSQL. */
static bool is_no_text(const struct sql *s, const struct column *c)
{
	return sql_on_postgres(s) && (c->postgres_native_enum || c->enum_values != NULL || sql_needs_text(s, c));
}

static void put_call(struct sql *s, const char *name, const struct query_expr *arg)
{
	const bool cast = is_no_text(s, &arg->type) && arg->kind != EXPR_VALUE;

	sql_put(s, name);
	sql_put(s, cast ? "(CAST(" : "(");
	sql_expr(s, arg);
	sql_put(s, cast ? " AS text))" : ")");
}

/* Is there one that is no value, and text? It tells the type of the values beside it, which may be one of text's kind
 * that the model does not name: an enum, citext, inet. */
static bool tells_text(const struct query_expr *e)
{
	for (size_t i = 0; i < e->n_args; i++)
		if (e->args[i]->kind != EXPR_VALUE && e->args[i]->type.logical == LT_STRING)
			return true;
	return false;
}

/* One of several of which one is the result. Of documents one may be json, another jsonb: as the former, which keeps
 * the text of both. */
static void put_choice(struct sql *s, const struct query_expr *e, const struct query_expr *arg, const struct column *to)
{
	const bool json = sql_on_postgres(s) && to->logical == LT_JSON;
	const bool document = json && arg->type.logical == LT_JSON;
	const bool told =
		sql_on_postgres(s) && arg->type.logical == LT_STRING && to->logical == LT_STRING && tells_text(e);

	sql_put(s, json ? "CAST(" : "");
	if (arg->kind == EXPR_VALUE && (document || told))
		put_value(s, arg, true);
	else if (document)
		sql_expr(s, arg);
	else
		put_converted(s, arg, to);
	sql_put(s, json ? " AS json)" : "");
}

static void put_case(struct sql *s, const struct query_expr *e, const struct column *to)
{
	sql_put(s, "CASE");
	for (size_t i = 0; i < e->n_when; i++) {
		sql_put(s, " WHEN ");
		s->conditions(s, &e->when[i], 1, "");
		sql_put(s, " THEN ");
		put_choice(s, e, e->args[i], to);
	}
	sql_put(s, " ELSE ");
	put_choice(s, e, e->args[e->n_args - 1], to);
	sql_put(s, " END");
}

static void put_branches(struct sql *s, const struct query_expr *e, const struct column *to)
{
	if (e->kind == EXPR_CASE) {
		put_case(s, e, to);
		return;
	}
	sql_put(s, e->n_args > 1 ? "COALESCE(" : "(");
	for (size_t i = 0; i < e->n_args; i++) {
		sql_put(s, i > 0 ? ", " : "");
		put_choice(s, e, e->args[i], to);
	}
	sql_put(s, ")");
}

/* SQLite: the time now as ferrod writes it. */
static void put_now_sqlite(struct sql *s, const struct column *c)
{
	if (c->logical == LT_DATE)
		sql_put(s, "date('now')");
	else if (c->logical == LT_TIME)
		sql_put(s, "ferro_clock(strftime('%H:%M:%f000', 'now'))");
	else
		sql_put(s, c->storage == ST_TIMESTAMP ? "strftime('%Y-%m-%dT%H:%M:%f000', 'now')"
						      : "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')");
}

/* The time now, in the column's own spelling. */
static void put_now(struct sql *s, const struct column *c)
{
	const struct column own = {
		.logical = c->logical, .storage = c->storage, .name = STR_NONE, .spelling = TIME_FERROD};
	const bool postgres = sql_on_postgres(s);
	const bool text = c->storage == ST_TEXT || c->storage == ST_VARCHAR || c->storage == ST_CHAR ||
			  c->storage == ST_TIME_LOGICAL;

	if (postgres && !text && c->storage != ST_TIMESTAMP && c->logical == LT_DATETIME) {
		sql_put(s, "CURRENT_TIMESTAMP");
	} else if (postgres && !text) { /* whatever the session's time zone */
		sql_put(s, "CAST(CURRENT_TIMESTAMP AT TIME ZONE 'UTC' AS ");
		sql_put(s, c->logical == LT_DATE ? "date)" : c->logical == LT_TIME ? "time)" : "timestamp)");
	} else if (postgres) {
		sql_put(s, "to_char(CURRENT_TIMESTAMP AT TIME ZONE 'UTC', ");
		sql_put(s, c->logical == LT_DATE   ? "'YYYY-MM-DD')"
			   : c->logical == LT_TIME ? "'HH24:MI:SS.US')"
						   : "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
	} else {
		sql_convert_before(s, &own, c);
		put_now_sqlite(s, c);
		sql_convert_after(s, &own, c);
	}
}

/* ---- arrays and documents ---- */

static void put_array_call(struct sql *s, const struct query_expr *e)
{
	struct str element;

	sql_put(s, e->kind == EXPR_APPEND ? "array_append(" : "array_remove(");
	sql_expr(s, e->args[0]);
	sql_put(s, ", ");
	if (e->args[1]->kind == EXPR_VALUE && query_element_type(&e->args[0]->type, &element)) {
		sql_put(s, "CAST(");
		sql_param(s, e->args[1]->value);
		sql_put(s, " AS ");
		sql_put(s, arena_strz(s->arena, element));
		sql_put(s, ")");
	} else {
		sql_expr(s, e->args[1]);
	}
	sql_put(s, ")");
}

/* The document, or what stands where there is none. */
static void put_base(struct sql *s, const struct query_expr *e, const char *empty)
{
	sql_put(s, "COALESCE(");
	sql_document(s, e);
	sql_put(s, ", '");
	sql_put(s, empty);
	sql_put(s, "')");
}

static void put_json_postgres(struct sql *s, const struct query_expr *e)
{
	if (e->kind == EXPR_REMOVE) {
		sql_put(s, "(SELECT COALESCE(jsonb_agg(\"e\" ORDER BY \"o\"), '[]') FROM jsonb_array_elements(");
		sql_document(s, e->args[0]);
		sql_put(s, ") WITH ORDINALITY AS \"ferro_e\"(\"e\", \"o\") WHERE \"e\" <> ");
		sql_document(s, e->args[1]);
		sql_put(s, ")");
		return;
	}
	put_base(s, e->args[0], e->kind == EXPR_APPEND ? "[]" : "{}");
	sql_put(s, e->kind == EXPR_APPEND ? " || jsonb_build_array(" : " || ");
	sql_document(s, e->args[1]);
	sql_put(s, e->kind == EXPR_APPEND ? ")" : "");
}

static void put_json_sqlite(struct sql *s, const struct query_expr *e)
{
	static const char *const names[] = {[EXPR_APPEND] = "json_insert(",
					    [EXPR_REMOVE] = "ferro_json_without(",
					    [EXPR_MERGE] = "ferro_json_merge(",
					    [EXPR_REMOVE_PATH] = "json_remove("};

	sql_put(s, names[e->kind]);
	if (e->kind == EXPR_REMOVE || e->kind == EXPR_REMOVE_PATH)
		sql_expr(s, e->args[0]);
	else
		put_base(s, e->args[0], e->kind == EXPR_APPEND ? "[]" : "{}");
	sql_put(s, e->kind == EXPR_APPEND ? ", '$[#]', json(" : ", ");
	if (e->kind == EXPR_REMOVE_PATH)
		sql_path_param(s, e->path, e->n_path);
	else
		sql_document(s, e->args[1]);
	sql_put(s, e->kind == EXPR_APPEND ? "))" : ")");
}

/* No value is JSON null, not no document. */
static void put_at_path(struct sql *s, const struct query_expr *e)
{
	const struct query_expr *value = e->kind == EXPR_SET_PATH ? e->args[1] : NULL;
	const bool missing = value != NULL && value->kind != EXPR_VALUE && sql_on_postgres(s);

	if (value != NULL)
		put_base(s, e->args[0], "{}");
	else
		sql_document(s, e->args[0]);
	sql_put(s, value != NULL ? missing ? " AS \"v\", COALESCE(" : " AS \"v\", " : "");
	if (value != NULL)
		sql_document(s, value);
	sql_put(s, missing ? ", 'null')" : "");
	sql_put(s, value != NULL ? " AS \"n\") AS \"ferro_v\")" : " AS \"v\") AS \"ferro_v\")");
}

static void put_container(struct sql *s, const struct query_expr *e)
{
	if (query_container(&e->args[0]->type) == CONTAINER_ARRAY)
		put_array_call(s, e);
	else if ((e->kind == EXPR_SET_PATH || e->kind == EXPR_REMOVE_PATH) && sql_at_path_before(s, e))
		put_at_path(s, e);
	else if (sql_on_postgres(s))
		put_json_postgres(s, e);
	else
		put_json_sqlite(s, e);
}

/* ---- text search ---- */

static void put_config(struct sql *s, const struct query_node *match)
{
	if (match->config.p == NULL)
		return;
	sql_put(s, "CAST(");
	sql_param(s, value_text(match->config));
	sql_put(s, " AS regconfig), ");
}

static bool is_vector(const struct column *c)
{
	return c->db_type.p != NULL && str_ieq_z(c->db_type, "tsvector");
}

static void put_row_text(struct sql *s, const struct model *m)
{
	sql_put(s, "concat_ws(' '");
	for (size_t i = 0; i < m->n_columns; i++) {
		if (m->columns[i].logical != LT_STRING || is_vector(&m->columns[i]))
			continue;
		sql_put(s, ", ");
		sql_column(s, m->columns[i].name);
	}
	sql_put(s, ")");
}

void sql_search_text(struct sql *s, const struct query_node *match)
{
	const struct column *c = match->column != NULL ? match->column
				 : match->expr != NULL ? &match->expr->type
						       : NULL;

	if (c != NULL && is_vector(c)) {
		sql_column(s, c->name);
		return;
	}
	sql_put(s, "to_tsvector(");
	put_config(s, match);
	if (match->column != NULL)
		sql_column(s, match->column->name);
	else if (match->expr != NULL)
		sql_expr(s, match->expr);
	else
		put_row_text(s, match->model);
	sql_put(s, ")");
}

void sql_search(struct sql *s, const struct query_node *match)
{
	sql_put(s, "websearch_to_tsquery(");
	put_config(s, match);
	sql_put(s, "CAST(");
	sql_param(s, match->values[0]);
	sql_put(s, " AS text))");
}

/* The larger the better on both; FTS5's own is the smaller the better. */
static void put_rank(struct sql *s, const struct query_expr *e)
{
	if (!sql_on_postgres(s)) {
		sql_put(s, "-");
		sql_column(s, STR("rank"));
		return;
	}
	sql_put(s, "CAST(ts_rank(");
	sql_search_text(s, e->match);
	sql_put(s, ", ");
	sql_search(s, e->match);
	sql_put(s, ") AS double precision)");
}

/* ---- all of them ---- */

/* Recurses as deep as the expression, which parsing bounds. */
void sql_expr(struct sql *s, const struct query_expr *e)
{
	const bool computing = s->computing;

	if (e->kind >= EXPR_ADD && e->kind <= EXPR_DIV) {
		put_arithmetic(s, e);
		return;
	}
	s->computing = false;
	switch (e->kind) {
	case EXPR_COLUMN:
		sql_reference(s, e);
		break;
	case EXPR_GIVEN:
		sql_put(s, "\"excluded\".");
		sql_ident(s, e->column->name);
		break;
	case EXPR_VALUE:
		put_value(s, e, false);
		break;
	case EXPR_ADD:
	case EXPR_SUB:
	case EXPR_MUL:
	case EXPR_DIV:
		break;
	case EXPR_CONCAT:
		sql_put(s, computing ? "(" : "");
		put_arguments(s, e, " || ");
		sql_put(s, computing ? ")" : "");
		break;
	case EXPR_COALESCE:
	case EXPR_CASE:
		put_branches(s, e, &e->type);
		break;
	case EXPR_LOWER:
		put_call(s, sql_on_postgres(s) ? "LOWER" : "ferro_lower", e->args[0]);
		break;
	case EXPR_UPPER:
		put_call(s, sql_on_postgres(s) ? "UPPER" : "ferro_upper", e->args[0]);
		break;
	case EXPR_LENGTH:
		put_call(s, "LENGTH", e->args[0]);
		break;
	case EXPR_NOW:
		put_now(s, &e->type);
		break;
	case EXPR_APPEND:
	case EXPR_REMOVE:
	case EXPR_MERGE:
	case EXPR_SET_PATH:
	case EXPR_REMOVE_PATH:
		put_container(s, e);
		break;
	case EXPR_COUNT:
		sql_counted(s, e);
		break;
	case EXPR_RANK:
		put_rank(s, e);
		break;
	case EXPR_READ:
		sql_read_before(s, &e->type);
		sql_expr(s, e->args[0]);
		sql_read_after(s, &e->type);
		break;
	}
	s->computing = computing;
}

static void put_fill(struct sql *s, const struct query_set *set)
{
	if (set->fill == SET_COUNT) {
		sql_put(s, "COALESCE(");
		sql_ident(s, set->column->name);
		sql_put(s, ", 0) + 1");
	} else if (sql_on_postgres(s)) {
		sql_put(s, "DEFAULT");
	} else { /* SQLite has no word for it in an UPDATE; record_fill.c has lexed the expression */
		sql_put(s, "(");
		sql_puts(s, set->default_sql.p != NULL ? set->default_sql : set->column->fill.default_sql);
		sql_put(s, ")");
	}
}

/* A column without zones has the instant, one with zones also whether there is one. */
static void put_compared(struct sql *s, const struct column *c, const struct value *v)
{
	const bool zones = c->logical == LT_DATETIME && c->storage != ST_TIMESTAMP;

	zones ? sql_time_same_before(s, c) : sql_time_before(s, c);
	if (v != NULL)
		sql_param(s, *v);
	else
		sql_column(s, c->name);
	zones ? sql_time_same_after(s, c) : sql_time_after(s, c);
}

/* A time that is the one that is there leaves it as it is written. */
static void put_time(struct sql *s, const struct query_set *set)
{
	sql_put(s, "CASE WHEN ");
	put_compared(s, set->column, NULL);
	sql_put(s, " = ");
	put_compared(s, set->column, &set->value);
	sql_put(s, " THEN ");
	sql_column(s, set->column->name);
	sql_put(s, " ELSE ");
	sql_param(s, set->value);
	sql_put(s, " END");
}

void sql_set(struct sql *s, const struct query_set *set)
{
	sql_ident(s, set->column->name);
	sql_put(s, " = ");
	if (set->fill != SET_GIVEN)
		put_fill(s, set);
	else if (set->expr != NULL)
		sql_expr_as(s, set->expr, set->column);
	else if (sql_time_has_forms(s, set->column) && set->value.kind != VALUE_NULL)
		put_time(s, set);
	else if (!sql_on_postgres(s) && set->column->bool_words && set->value.kind == VALUE_BOOL)
		sql_set_boolean(s, set->column, set->value);
	else if (!sql_uuid_set(s, set))
		sql_written(s, set->column, set->value);
}
