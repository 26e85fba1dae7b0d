/*
 * What stands around an expression whose values another column takes, or a document: SQLite has spellings of times,
 * uuids and decimals, PostgreSQL types, and columns of text that mean something else.
 */
#include "store/codec/codec_respell.h"
#include "store/query/query_sql.h"

#include "service/base/banned.h"

/* ---- PostgreSQL's types ---- */

static const char *type_word(struct sql *s, const struct column *c)
{
	if (c->own_type)
		return arena_strz(s->arena, c->db_type);
	switch (c->storage) {
	case ST_SMALLINT:
		return "smallint";
	case ST_INT:
		return "integer";
	case ST_BIGINT:
		return "bigint";
	case ST_DOUBLE:
		return "double precision";
	case ST_NUMERIC:
		return "numeric";
	case ST_BOOLEAN:
		return "boolean";
	case ST_JSON:
		return "json";
	case ST_JSONB:
		return "jsonb";
	case ST_UUID:
	case ST_UUID_LOGICAL:
		return "uuid";
	case ST_TIMESTAMP:
		return "timestamp";
	case ST_TIMESTAMPTZ:
	case ST_DATETIME_LOGICAL:
		return "timestamptz";
	case ST_DATE:
		return "date";
	case ST_TIME:
		return "time";
	case ST_BYTEA:
		return "bytea";
	case ST_TEXT:
	case ST_VARCHAR:
	case ST_CHAR:
	case ST_TIME_LOGICAL:
		return "text";
	case ST_UNRESOLVED:
		break;
	}
	return NULL;
}

bool sql_has_type(struct sql *s, const struct column *c)
{
	return sql_on_postgres(s) && (c->postgres_native_enum || type_word(s, c) != NULL);
}

void sql_set_boolean(struct sql *s, const struct column *c, struct value v)
{
	sql_put(s, "CASE WHEN typeof(");
	sql_column(s, c->name);
	sql_put(s, ") = 'text' AND lower(");
	sql_column(s, c->name);
	sql_put(s, ") IN (");
	sql_param(s, value_text(v.u.b ? STR("true") : STR("false")));
	sql_put(s, ", ");
	sql_param(s, value_text(v.u.b ? STR("t") : STR("f")));
	sql_put(s, ") THEN ");
	sql_column(s, c->name);
	sql_put(s, " ELSE ");
	sql_param(s, v);
	sql_put(s, " END");
}

bool sql_is_numbered(const struct sql *s, const struct column *c)
{
	return sql_on_postgres(s) && c != NULL && c->postgres_native_enum && c->logical == LT_INTEGER;
}

void sql_number_before(struct sql *s, bool numbered)
{
	sql_put(s, numbered ? "CAST(CAST(" : "");
}

void sql_number_after(struct sql *s, bool numbered)
{
	sql_put(s, numbered ? " AS text) AS bigint)" : "");
}

void sql_type(struct sql *s, const struct column *c)
{
	if (c->postgres_native_enum)
		sql_ident(s, c->enum_type_name);
	else
		sql_put(s, type_word(s, c));
}

static bool is_text(const struct column *c)
{
	return !c->own_type && (c->storage == ST_TEXT || c->storage == ST_VARCHAR || c->storage == ST_CHAR ||
				c->storage == ST_TIME_LOGICAL);
}

static bool is_instant(const struct column *c)
{
	return c->storage == ST_TIMESTAMPTZ || c->storage == ST_DATETIME_LOGICAL;
}

/* Text and enums are no types to each other there. */
static bool other_type(const struct column *from, const struct column *to)
{
	if (from->home != NULL || to->home != NULL) /* nobody knows */
		return false;
	if (from->postgres_native_enum || to->postgres_native_enum)
		return from->postgres_native_enum != to->postgres_native_enum ||
		       !str_eq(from->enum_type_name, to->enum_type_name);
	if (from->own_type || to->own_type)
		return from->own_type != to->own_type || !str_eq(from->db_type, to->db_type);
	return false;
}

static bool is_number(const struct column *c)
{
	return !c->own_type && (c->logical == LT_INTEGER || c->logical == LT_NUMBER || c->logical == LT_DECIMAL);
}

static bool is_double(const struct column *c)
{
	return c->logical == LT_NUMBER && c->storage == ST_DOUBLE && !c->own_type;
}

/* A double among decimals is the number that it is written as, not the fifteen digits of it that a cast leaves. */
static bool as_written(const struct column *from, const struct column *to)
{
	return is_double(from) && is_number(to) && to->storage == ST_NUMERIC;
}

static bool is_day(const struct column *c)
{
	return c->logical == LT_DATE || c->logical == LT_DATETIME;
}

/* Is it one of a kind, though called otherwise? */
static bool is_kin(const struct column *from, const struct column *to)
{
	return from->logical == to->logical || (from->logical == LT_DATE && to->logical == LT_DATETIME) ||
	       (from->logical == LT_DECIMAL && is_number(to));
}

static bool needs_cast(const struct column *from, const struct column *to)
{
	if (as_written(from, to))
		return true;
	if (!is_kin(from, to) || (from->name.p != NULL && from->name.p == to->name.p))
		return false;
	switch (to->logical) {
	case LT_DATETIME:
	case LT_DATE:
	case LT_TIME:
	case LT_UUID:
	case LT_DECIMAL:
		return is_text(from) != is_text(to);
	case LT_JSON:
		return is_text(from) && !is_text(to); /* json and jsonb are assigned to each other */
	case LT_STRING:
	case LT_UNKNOWN:
		return other_type(from, to);
	case LT_INTEGER:
	case LT_NUMBER:
		return is_text(from);
	case LT_BOOLEAN:
	case LT_BINARY:
		break;
	}
	return false;
}

const struct column *sql_compared(const struct sql *s, const struct column *a, const struct column *b)
{
	static const struct column uuid = {.logical = LT_UUID, .storage = ST_UUID};
	static const struct column text = {.logical = LT_STRING, .storage = ST_TEXT};
	static const struct column number = {.logical = LT_NUMBER, .storage = ST_NUMERIC};
	static const struct column instant = {.logical = LT_DATETIME, .storage = ST_TIMESTAMPTZ};
	const bool stored = a->logical == LT_DATETIME || a->logical == LT_DATE || a->logical == LT_TIME ||
			    a->logical == LT_UUID || a->logical == LT_DECIMAL;

	if (!sql_on_postgres(s)) /* there others may have written both in any form */
		return a->logical == LT_UUID && b->logical == LT_UUID && (a->fill.position > 0 || b->fill.position > 0)
			       ? &uuid
			       : a;
	if (is_number(a) && is_number(b) && (is_double(a) != is_double(b) || is_text(a) != is_text(b)))
		return &number;
	if (a->logical == LT_STRING && b->logical == LT_STRING &&
	    (a->postgres_native_enum || b->postgres_native_enum) && other_type(a, b))
		return &text;
	if (is_day(a) && is_day(b) && a->logical != b->logical && (is_text(a) || is_text(b)))
		return &instant;
	return stored && a->logical == b->logical && is_text(a) ? b : a;
}

static void put_cast_end(struct sql *s, const struct column *to)
{
	if (!sql_has_type(s, to)) {
		sql_put(s, " AS text)");
		return;
	}
	sql_put(s, " AS ");
	sql_type(s, to);
	sql_put(s, ")");
}

static void postgres_before(struct sql *s, const struct column *from, const struct column *to)
{
	if (as_written(from, to))
		sql_put(s, "CAST(CAST(");
	else if (to->logical == LT_DATETIME && is_text(to))
		sql_put(s, is_instant(from) ? "to_char(CAST(" : "to_char(");
	else
		sql_put(s, to->logical == LT_TIME && is_text(to) ? "replace(to_char(CAST(" : "CAST(");
}

static void postgres_after(struct sql *s, const struct column *from, const struct column *to)
{
	if (as_written(from, to))
		sql_put(s, " AS text) AS numeric)");
	else if (to->logical == LT_TIME && is_text(to)) /* six digits, or none */
		sql_put(s, " AS interval), 'HH24:MI:SS.US'), '.000000', '')");
	else if (to->logical != LT_DATETIME || !is_text(to))
		put_cast_end(s, to);
	else
		sql_put(s, is_instant(from)
				   ? " AS timestamptz) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
				   : ", 'YYYY-MM-DD\"T\"HH24:MI:SS.US')");
}

/* ---- documents ---- */

/* An instant as it is answered; what no RFC 3339 says is the database's own word. */
static bool is_native_instant(const struct column *c)
{
	return c->logical == LT_DATETIME && !is_text(c);
}

/* Text with six digits of a fraction, of which the last may be zeros. */
static bool is_stored_time(const struct column *c)
{
	return (c->logical == LT_DATETIME || c->logical == LT_TIME) && is_text(c);
}

/* Has to_jsonb the type's own form? */
static bool says_itself(const struct column *c)
{
	return c->logical == LT_BOOLEAN || c->logical == LT_NUMBER || (c->logical == LT_INTEGER && !c->own_type) ||
	       (c->logical == LT_UNKNOWN && c->shape != SHAPE_PLAIN);
}

static void postgres_document_before(struct sql *s, const struct column *from)
{
	if (is_native_instant(from))
		sql_put(s, "(SELECT to_jsonb(CASE WHEN \"v\" >= '0001-01-01' AND \"v\" < '10000-01-01' THEN "
			   "rtrim(rtrim(to_char(\"v\", 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '0'), '.')");
	if (is_native_instant(from))
		sql_put(s, is_instant(from) ? " || 'Z' ELSE CAST(\"v\" AS text) END) FROM (SELECT "
					    : " ELSE CAST(\"v\" AS text) END) FROM (SELECT ");
	else if (is_stored_time(from))
		sql_put(s, "to_jsonb(regexp_replace(regexp_replace(CAST(");
	else if (from->logical == LT_BINARY)
		sql_put(s, "to_jsonb(translate(encode(");
	else if (says_itself(from))
		sql_put(s, "to_jsonb(");
	else
		sql_put(s, "to_jsonb(CAST(");
}

static void postgres_document_after(struct sql *s, const struct column *from)
{
	if (is_native_instant(from))
		sql_put(s, " AS \"v\") AS \"ferro_v\")");
	else if (is_stored_time(from))
		sql_put(s, " AS text), '(\\.[0-9]*[1-9])0+', '\\1'), '\\.0+(Z|$)', '\\1'))");
	else if (from->logical == LT_BINARY)
		sql_put(s, ", 'base64'), E'\\n', ''))");
	else if (says_itself(from))
		sql_put(s, ")");
	else if (from->logical == LT_INTEGER)
		sql_put(s, " AS bigint))");
	else if (from->logical == LT_DECIMAL)
		sql_put(s, " AS numeric))");
	else if (from->logical == LT_TIME)
		sql_put(s, " AS time))");
	else
		sql_put(s, from->logical == LT_DATE && !is_text(from) ? " AS date))" : " AS text))");
}

/* ---- both ---- */

static void put_code(struct sql *s, const struct column *c)
{
	sql_put(s, arena_printf(s->arena, ", %d", codec_spelling_code(c)).p);
}

static bool into_document(const struct column *from, const struct column *to)
{
	return to->logical == LT_JSON && from->logical != LT_JSON;
}

/* A label that counts as a number elsewhere. */
static bool as_number(const struct sql *s, const struct column *from, const struct column *to)
{
	return sql_is_numbered(s, from) && to->logical == LT_INTEGER && !sql_is_numbered(s, to);
}

void sql_convert_before(struct sql *s, const struct column *from, const struct column *to)
{
	if (into_document(from, to) && sql_on_postgres(s))
		postgres_document_before(s, from);
	else if (into_document(from, to))
		sql_put(s, "ferro_document(");
	else if (sql_on_postgres(s) && needs_cast(from, to))
		postgres_before(s, from, to);
	else if (as_number(s, from, to))
		sql_number_before(s, true);
	else if (!sql_on_postgres(s) && codec_respells(from, to))
		sql_put(s, "ferro_respell(");
}

void sql_convert_after(struct sql *s, const struct column *from, const struct column *to)
{
	if (into_document(from, to) && sql_on_postgres(s)) {
		postgres_document_after(s, from);
	} else if (into_document(from, to)) {
		put_code(s, from);
		sql_put(s, ")");
	} else if (sql_on_postgres(s) && needs_cast(from, to)) {
		postgres_after(s, from, to);
	} else if (as_number(s, from, to)) {
		sql_number_after(s, true);
	} else if (!sql_on_postgres(s) && codec_respells(from, to)) {
		put_code(s, from);
		put_code(s, to);
		sql_put(s, ")");
	}
}
