/*
 * A change of type is judged by the rows that are there: a value loses when it does not come back from the new type as
 * it was, when the new type does not take it, or when it would mean something else. Each database is asked in its own
 * way: SQLite by the storage class that its affinity gives a value, PostgreSQL by casting there and back.
 */
#include "store/migrate/plan_loss.h"

#include <string.h>

#include "store/dialect/dialect.h"

#include "service/base/banned.h"

/* The table's key as one text; false: it has none. */
static bool put_key(const struct planner *pl, const struct live_table *t, struct strbuf *b)
{
	size_t n = 0;

	for (size_t place = 1; place <= t->n_columns; place++)
		for (size_t i = 0; i < t->n_columns; i++) {
			if (t->columns[i].pk_position != place)
				continue;
			strbuf_puts(b, n++ > 0 ? " || ',' || " : "");
			strbuf_puts(b, "CAST(");
			dialect_quote_ident(b, t->columns[i].name);
			strbuf_puts(b, " AS text)");
		}
	if (n == 0)
		strbuf_puts(b, pl->d->id == DIALECT_SQLITE ? "NULL" : "NULL::text");
	return n > 0;
}

/* ---- SQLite ------------------------------------------------------------------------------------------ */

/* What becomes of a value that is stored in a column so declared (SQLite, "Determination Of Column Affinity"). */
static bool says(struct str type, const char *word)
{
	const size_t n = strlen(word);

	for (size_t i = 0; i + n <= type.len; i++)
		if (str_ieq_z(str_n(type.p + i, n), word))
			return true;
	return false;
}

/* %s is the column. A text that looks like a number becomes one; the text of the number must be that text. */
#define TEXT_CHANGES \
	"(%1$s NOT GLOB '*[^0-9.eE+-]*' AND %1$s GLOB '*[0-9]*' AND CAST(CAST(%1$s AS NUMERIC) AS TEXT) <> %1$s)"

static const char *affinity_test(struct str type, const struct column *c)
{
	if (says(type, "int"))
		return "CASE typeof(%1$s) WHEN 'integer' THEN 0 WHEN 'real' THEN %1$s <> CAST(%1$s AS INTEGER) "
		       "WHEN 'text' THEN CAST(CAST(%1$s AS INTEGER) AS TEXT) <> %1$s ELSE 1 END";
	if (says(type, "char") || says(type, "clob") || says(type, "text"))
		return c->logical == LT_JSON
			       ? "CASE typeof(%1$s) WHEN 'text' THEN NOT json_valid(%1$s) WHEN 'integer' THEN 0 "
				 "WHEN 'real' THEN CAST(CAST(%1$s AS TEXT) AS REAL) <> %1$s ELSE 1 END"
			       : "typeof(%1$s) = 'real' AND CAST(CAST(%1$s AS TEXT) AS REAL) <> %1$s";
	if (says(type, "blob") || str_trim(type).len == 0)
		return "typeof(%1$s) IN ('integer', 'real')";
	if (says(type, "real") || says(type, "floa") || says(type, "doub"))
		return "CASE typeof(%1$s) WHEN 'real' THEN 0 "
		       "WHEN 'integer' THEN CAST(CAST(%1$s AS REAL) AS INTEGER) <> %1$s "
		       "WHEN 'text' THEN CAST(CAST(%1$s AS REAL) AS TEXT) <> %1$s "
		       "AND CAST(CAST(%1$s AS INTEGER) AS TEXT) <> %1$s ELSE 1 END";
	return "CASE typeof(%1$s) WHEN 'text' THEN " TEXT_CHANGES " WHEN 'blob' THEN 1 ELSE 0 END";
}

static bool is_temporal(const struct column *c)
{
	return c->logical == LT_DATETIME || c->logical == LT_DATE || c->logical == LT_TIME;
}

/* Text that is no time where one is wanted. */
static const char temporal_test[] = " OR (typeof(%1$s) = 'text' AND julianday(%1$s) IS NULL)";

static void put_formatted(struct strbuf *b, const char *fmt, struct str name)
{
	const char *p = fmt;

	for (const char *hole = strstr(p, "%1$s"); hole != NULL; hole = strstr(p, "%1$s")) {
		strbuf_put(b, str_n(p, (size_t)(hole - p)));
		strbuf_put(b, name);
		p = hole + strlen("%1$s");
	}
	strbuf_puts(b, p);
}

/* What is no day, or no time of day, alone: the rest of it would not be seen any more. */
static const char date_test[] = " OR (typeof(%1$s) = 'text' AND time(%1$s) <> '00:00:00')";
static const char time_test[] = " OR (typeof(%1$s) = 'text' AND date(%1$s) <> '2000-01-01')";
/* A time of day, which SQLite takes for one of that day. */
static const char day_test[] =
	" OR (typeof(%1$s) = 'text' AND date(%1$s) = '2000-01-01' AND %1$s NOT LIKE '2000-01-01%')";

/* What the new type has no room for, though SQLite keeps it. */
static void put_sizes(struct strbuf *b, const struct column *c, struct str name)
{
	int64_t digits, places;
	bool sized = c->sqlite_type.p != NULL && ddl_numeric_places(c->sqlite_type, &digits, &places);

	if (c->storage == ST_NUMERIC && !sized)
		sized = c->db_type.p != NULL && ddl_numeric_places(c->db_type, &digits, &places);
	if (c->storage == ST_NUMERIC && sized) {
		put_formatted(b, " OR (typeof(%1$s) IN ('integer', 'real') AND (", name);
		put_formatted(b, "round(%1$s, ", name);
		strbuf_printf(b, "%lld) <> ", (long long)places);
		put_formatted(b, "%1$s OR abs(%1$s) >= ", name);
		strbuf_printf(b, "1e%lld))", (long long)(digits - places));
	}
	if ((c->storage == ST_VARCHAR || c->storage == ST_CHAR) && c->length > 0) {
		put_formatted(b, " OR (typeof(%1$s) = 'text' AND length(%1$s) > ", name);
		strbuf_printf(b, "%lld)", (long long)c->length);
	}
}

static void put_sqlite(struct planner *pl, const struct table_pair *tp, const struct column *c,
		       const struct live_column *live, struct str name)
{
	struct strbuf type;

	strbuf_init(&type, 0);
	planner_put_converted(pl, tp->t, live, c, &type);
	strbuf_puts(&pl->b, "SELECT count(*), max(");
	(void)put_key(pl, tp->t, &pl->b);
	strbuf_puts(&pl->b, ") FROM ");
	dialect_quote_ident(&pl->b, tp->t->name);
	strbuf_puts(&pl->b, " WHERE ");
	strbuf_put(&pl->b, name);
	strbuf_puts(&pl->b, " IS NOT NULL AND (");
	put_formatted(&pl->b, affinity_test(strbuf_str(&type), c), name);
	if (is_temporal(c))
		put_formatted(&pl->b, temporal_test, name);
	if (c->logical == LT_DATETIME || c->logical == LT_DATE)
		put_formatted(&pl->b, day_test, name);
	if (c->logical == LT_DATE)
		put_formatted(&pl->b, date_test, name);
	if (c->logical == LT_TIME)
		put_formatted(&pl->b, time_test, name);
	put_sizes(&pl->b, c, name);
	strbuf_putc(&pl->b, ')');
	strbuf_done(&type);
}

/* ---- PostgreSQL -------------------------------------------------------------------------------------- */

static bool was_text(struct str type)
{
	return str_starts(type, STR("character")) || str_starts(type, STR("text")) || str_starts(type, STR("citext"));
}

/* Types without equality, compared by their text. */
static bool no_equality(struct str type)
{
	static const char *const words[] = {"json", "xml", "point", "polygon", "line"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_z(type, words[i]))
			return true;
	return false;
}

/* The test of one value; whatever it raises says that the new type does not take the value. */
static const char *cast_test(const struct column *c, struct str have)
{
	if (was_text(have))
		switch ((int)c->logical) {
		case LT_DATE: /* a time of day would go */
			return "(%1$s::@)::timestamp IS DISTINCT FROM %1$s::timestamp";
		case LT_DATETIME: /* timestamp without time zone passes over an offset in silence */
			return c->storage == ST_TIMESTAMP
				       ? "(%1$s::@) IS NULL OR %1$s ~ ':[0-9.]+ *([+-][0-9]{2}(:?[0-9]{2})?|[zZ]) *$'"
				       : "(%1$s::@) IS NULL";
		case LT_TIME:
		case LT_UUID:
		case LT_JSON:
		case LT_BINARY:
			if (logical_from_storage(c->storage) != LT_STRING)
				return "(%1$s::@) IS NULL";
			break;
		default:
			break;
		}
	/* jsonb keeps one of two members of one name, and nothing else of them is lost */
	if (str_eq_z(have, "json") && c->storage == ST_JSONB)
		return "(%1$s::@) IS NULL OR (json_typeof(%1$s) = 'object' AND (SELECT count(*) <> count(DISTINCT k) "
		       "FROM json_object_keys(%1$s) k))";
	/* a cast to a length cuts: 'tru' is true again, 'Inf' infinity */
	if (no_equality(have) || (!was_text(have) && (c->storage == ST_VARCHAR || c->storage == ST_CHAR)))
		return "(%1$s::@)::text IS DISTINCT FROM %1$s::text";
	return "((%1$s::@)::#) IS DISTINCT FROM %1$s";
}

static void put_cast_test(struct strbuf *b, const struct column *c, struct str have, struct str name)
{
	const char *p = cast_test(c, have);

	for (; *p != '\0'; p++) {
		if (strncmp(p, "%1$s", 4) == 0) {
			strbuf_put(b, name);
			p += 3;
		} else if (*p == '@') {
			ddl_alter_type(c, b);
		} else if (*p == '#') {
			strbuf_put(b, have);
		} else {
			strbuf_putc(b, *p);
		}
	}
}

/* All rows at once, which is quick; only when one of them cannot be cast at all, one by one. */
static void put_postgres(struct planner *pl, const struct table_pair *tp, const struct column *c,
			 const struct live_column *live, struct str name)
{
	struct strbuf body, key, table;

	strbuf_init(&body, 0);
	strbuf_init(&key, 0);
	strbuf_init(&table, 0);
	(void)put_key(pl, tp->t, &key);
	dialect_quote_table(&table, tp->t->schema_name, tp->t->name);
	strbuf_printf(&body,
		      "\n#variable_conflict use_column\n"
		      "DECLARE ferrod_n bigint := 0; ferrod_key text; ferrod_row record; BEGIN BEGIN "
		      "SELECT count(*), max(%.*s) INTO ferrod_n, ferrod_key FROM %.*s WHERE %.*s IS NOT NULL AND (",
		      STR_FMT(strbuf_str(&key)), STR_FMT(strbuf_str(&table)), STR_FMT(name));
	put_cast_test(&body, c, live->type, name);
	strbuf_printf(&body,
		      "); EXCEPTION WHEN OTHERS THEN ferrod_n := 0; ferrod_key := NULL; "
		      "FOR ferrod_row IN SELECT %.*s AS k, %.*s AS c FROM %.*s WHERE %.*s IS NOT NULL LOOP BEGIN IF ",
		      STR_FMT(strbuf_str(&key)), STR_FMT(name), STR_FMT(strbuf_str(&table)), STR_FMT(name));
	put_cast_test(&body, c, live->type, STR("ferrod_row.c"));
	strbuf_puts(&body, " THEN ferrod_n := ferrod_n + 1; ferrod_key := ferrod_row.k; END IF; "
			   "EXCEPTION WHEN OTHERS THEN ferrod_n := ferrod_n + 1; ferrod_key := ferrod_row.k; END; "
			   "END LOOP; END; PERFORM pg_catalog.set_config('ferrod.loss', ferrod_n || ' ' || "
			   "coalesce(ferrod_key, ''), true); END");
	strbuf_puts(&pl->b, "DO ");
	dialect_put_literal(pl->d, &pl->b, strbuf_str(&body));
	strbuf_done(&body);
	strbuf_done(&key);
	strbuf_done(&table);
}

static const char postgres_answer[] =
	"SELECT pg_catalog.split_part(pg_catalog.current_setting('ferrod.loss'), ' ', 1)::bigint, "
	"pg_catalog.substr(pg_catalog.current_setting('ferrod.loss'), "
	"pg_catalog.strpos(pg_catalog.current_setting('ferrod.loss'), ' ') + 1)";

/* ---- the verdict ------------------------------------------------------------------------------------- */

static struct str taken(struct planner *pl)
{
	const struct str s = arena_str(pl->a, strbuf_str(&pl->b));

	strbuf_reset(&pl->b);
	return s;
}

static void probe(struct planner *pl, const struct table_pair *tp, const struct column *c,
		  const struct live_column *live)
{
	struct plan_probe p = {.schema_name = tp->t->schema_name, .table = tp->t->name, .column = live->name};
	struct strbuf name;

	strbuf_init(&name, 0);
	dialect_quote_ident(&name, live->name);
	if (pl->d->id == DIALECT_SQLITE) {
		put_sqlite(pl, tp, c, live, strbuf_str(&name));
		p.query = taken(pl);
	} else {
		put_postgres(pl, tp, c, live, strbuf_str(&name));
		p.prepare = taken(pl);
		p.query = str_z(postgres_answer);
	}
	strbuf_done(&name);
	planner_probe(pl, &p);
}

static void warn(struct planner *pl, const struct table_pair *tp, const struct column *c,
		 const struct live_column *live)
{
	const struct str want = planner_expected_type(pl, tp->t, live, c);

	planner_warn(
		pl, "would_lose_data", tp->m->table, c->name,
		"is declared '%.*s' and the model expects '%.*s': %lld row%s would lose data by that%s%.*s; migrate "
		"with destructive to convert them nevertheless",
		STR_FMT(live->type), STR_FMT(want), (long long)live->lossy_rows, live->lossy_rows == 1 ? "" : "s",
		live->lossy_key.len > 0 ? ", one of them with the key " : "", STR_FMT(live->lossy_key));
	planner_warned_rows(pl, live->lossy_rows, live->lossy_key);
}

enum loss plan_loss(struct planner *pl, const struct table_pair *tp, const struct column *c,
		    const struct live_column *live)
{
	if (tp->t->rows == 0 || live->lossy_rows == 0)
		return LOSS_NONE;
	if (live->lossy_rows < 0) {
		probe(pl, tp, c, live);
		return LOSS_UNKNOWN;
	}
	if (pl->o.destructive)
		return LOSS_ALLOWED;
	warn(pl, tp, c, live);
	return LOSS_REFUSED;
}
